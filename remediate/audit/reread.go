package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/host"
)

// reread is the action that has auditd read its configuration again, see
// auditd(8). Debian's unit has no reload, and a restart would lose records.
const reread = "auditd-reread"

// rereadPatience is how long auditd may take to say that it read it.
const rereadPatience = 10 * time.Second

// mostOfLog bounds how much is read of what auditd writes meanwhile, in bytes.
const mostOfLog = 8 << 20

// rereadConfig signals auditd, and waits until it writes that the configuration
// was taken. Where none runs there is nothing to do.
func rereadConfig(ctx context.Context, _ string) error {
	h := host.New(host.Options{})
	s, err := h.AuditStatus(ctx)
	if err != nil {
		return err
	}
	if s.PID == 0 {
		return nil
	}
	conf, err := h.AuditdConf(ctx)
	if err != nil {
		return err
	}
	writes := strings.EqualFold(conf.Get("write_logs").Value, "yes")
	log := &growing{name: conf.Get("log_file").Value}
	defer log.close()
	if err := log.open(); writes && err != nil && !errors.Is(err, fs.ErrNotExist) { // auditd makes it, where it wrote none so far
		return fmt.Errorf("cannot read what auditd writes: %w", err)
	}
	if log.file != nil {
		if _, err := log.file.Seek(0, io.SeekEnd); err != nil {
			return err
		}
	}
	if err := hangUp(int(s.PID)); err != nil {
		return fmt.Errorf("cannot have auditd read its configuration: %w", err)
	}
	if !writes {
		return nil // as after an undo: it writes nothing any more, not even that
	}
	ctx, cancel := context.WithTimeout(ctx, rereadPatience)
	defer cancel()
	return waitForReread(ctx, log)
}

// growing is a file that is read as it grows, once it is there.
type growing struct {
	name string
	file *os.File
}

func (g *growing) open() (err error) {
	g.file, err = os.OpenFile(g.name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	return err
}

func (g *growing) close() {
	if g.file != nil {
		g.file.Close()
	}
}

// Read is at the end as long as there is no file.
func (g *growing) Read(p []byte) (int, error) {
	if g.file == nil {
		if err := g.open(); errors.Is(err, fs.ErrNotExist) {
			return 0, io.EOF
		} else if err != nil {
			return 0, err
		}
	}
	return g.file.Read(p)
}

// hangUp sends SIGHUP to auditd, and to no other process that has its number.
func hangUp(pid int) error {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(process)
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return err
	}
	if path.Base(exe) != "auditd" {
		return fmt.Errorf("the program that takes the audit records is %s", exe)
	}
	return unix.PidfdSendSignal(process, unix.SIGHUP, nil, 0)
}

// waitForReread reads auditd's own record of the reconfiguration.
func waitForReread(ctx context.Context, log io.Reader) error {
	var seen []byte
	for {
		more, err := io.ReadAll(io.LimitReader(log, mostOfLog))
		if err != nil {
			return fmt.Errorf("cannot read what auditd writes: %w", err)
		}
		seen = append(seen, more...)
		end := bytes.LastIndexByte(seen, '\n') + 1
		for line := range bytes.Lines(seen[:end]) {
			if !bytes.HasPrefix(line, []byte("type=DAEMON_CONFIG ")) || !bytes.Contains(line, []byte("op=reconfigure")) {
				continue
			}
			if bytes.Contains(line, []byte("res=success")) {
				return nil
			}
			return errors.New("auditd says that it did not take its configuration: " + string(bytes.TrimSpace(line)))
		}
		seen = seen[end:]
		select {
		case <-ctx.Done():
			return errors.New("auditd did not say that it read its configuration")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
