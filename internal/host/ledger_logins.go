package host

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/sshlog"
)

// Bounds of the search for logins.
const (
	maxLoginEntries = 5000     // of the journal
	maxLogTail      = 16 << 20 // bytes of one log file
	maxLogFiles     = 8
	maxLogLine      = 64 << 10
	loginTimeout    = 8 * time.Second
)

// KeyLogins are the keys that sshd accepted, each key's last time on each account.
type KeyLogins struct {
	Source string // where they were looked up
	Forged string // how somebody could have made them up; empty: root alone
	Last   map[LoginKey]sshlog.Login
}

// LoginKey is a key on an account; of a certificate, the key that signed it
// counts too.
type LoginKey struct{ Account, Key string }

// AcceptedLogins looks the last logins with keys up: in the journal, by the
// fields that it sets itself, else in sshd's log files. It takes seconds on a
// large log, and is not for check.
func (h *Host) AcceptedLogins(ctx context.Context) (*KeyLogins, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, loginTimeout, fmt.Errorf("no answer within %v", loginTimeout))
	defer cancel()
	var errJournal error
	if h.Running() {
		var l *KeyLogins
		l, errJournal = h.journalLogins(ctx)
		if errJournal == nil && len(l.Last) > 0 {
			return l, nil
		}
	}
	l, err := h.logLogins(ctx)
	if err != nil || l.Source == "" && errJournal != nil {
		return nil, errors.Join(errJournal, err)
	}
	if l.Source == "" {
		l.Forged, l.Source = "", "the journal, which holds none"
		if !h.Running() {
			l.Source = "no log of sshd's"
		}
	}
	return l, nil
}

func (l *KeyLogins) add(login sshlog.Login) {
	for _, key := range []string{login.Key, login.Authority} {
		at := LoginKey{login.Account, key}
		if key != "" && login.Time.After(l.Last[at].Time) {
			l.Last[at] = login
		}
	}
}

const journalctl = "/usr/bin/journalctl"

func (h *Host) journalLogins(ctx context.Context) (*KeyLogins, error) {
	out, err := h.Exec(ctx, journalctl, "--output=json", "--output-fields=MESSAGE,_UID,_COMM,_SYSTEMD_UNIT", "--no-pager", "--quiet", "--reverse",
		fmt.Sprintf("--lines=%d", maxLoginEntries), "--grep=^Accepted publickey for ", "_UID=0", "_COMM=sshd", "+", "_UID=0", "_COMM=sshd-session")
	if err != nil {
		return nil, fmt.Errorf("cannot look logins up in the journal: %w", withoutPath(err))
	}
	// It exits with 1 when nothing matches.
	if out.ExitCode > 1 || out.ExitCode == 1 && len(out.Stderr) > 0 {
		return nil, fmt.Errorf("cannot look logins up in the journal: %s", strings.TrimSpace(string(out.Stderr)))
	}
	logins, err := sshlog.Journal(out.Stdout)
	if err != nil {
		return nil, err
	}
	l := &KeyLogins{Source: "the journal", Last: map[LoginKey]sshlog.Login{}}
	for _, login := range logins {
		l.add(login)
	}
	return l, nil
}

// logLogins reads auth.log, or secure on other distributions, and the rotated
// ones, the newest first.
func (h *Host) logLogins(ctx context.Context) (*KeyLogins, error) {
	l := &KeyLogins{Last: map[LoginKey]sshlog.Login{}, Forged: "any user can write such lines with logger"}
	zone := time.UTC
	if data, err := h.ReadFile("/etc/localtime"); err == nil {
		if z, err := time.LoadLocationFromTZData("local", data); err == nil {
			zone = z
		}
	}
	for _, base := range []string{"/var/log/auth.log", "/var/log/secure"} {
		for i := range maxLogFiles {
			name := base
			if i > 0 {
				name = fmt.Sprintf("%s.%d", base, i)
			}
			err := h.readLog(ctx, l, name, zone)
			if errors.Is(err, fs.ErrNotExist) && i > 0 {
				err = h.readLog(ctx, l, name+".gz", zone)
			}
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				return nil, fmt.Errorf("cannot look logins up: %w", err)
			case l.Source == "":
				l.Source = base
			}
		}
	}
	return l, nil
}

// readLog takes the logins of the end of one log file in.
func (h *Host) readLog(ctx context.Context, l *KeyLogins, name string, zone *time.Location) error {
	f, err := h.open(name, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w (%v)", ErrNotRegular, info.Mode().Type())
	}
	if err != nil {
		return pathError("read", name, err)
	}
	var in io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		unzipped, err := gzip.NewReader(bufio.NewReader(f))
		if err != nil {
			return pathError("read", name, err)
		}
		in = io.LimitReader(unzipped, 4*maxLogTail)
	} else if info.Size() > maxLogTail {
		if _, err := f.Seek(-maxLogTail, io.SeekEnd); err != nil {
			return pathError("read", name, err)
		}
	}
	// Of the clock's zone or a small step a line may be a little after the file.
	return pathError("read", name, l.addLog(ctx, in, info.ModTime().Add(24*time.Hour), zone))
}

func (l *KeyLogins) addLog(ctx context.Context, in io.Reader, latest time.Time, zone *time.Location) error {
	lines := bufio.NewReaderSize(in, maxLogLine)
	for ctx.Err() == nil {
		data, err := lines.ReadSlice('\n')
		if login, ok := sshlog.Syslog(string(data), latest, zone); ok && err == nil {
			l.add(login)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull): // no line of sshd's
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
	return context.Cause(ctx)
}

// String says where a login was seen.
func (l *KeyLogins) String() string {
	if l.Forged != "" {
		return l.Source + " (" + l.Forged + ")"
	}
	return l.Source
}
