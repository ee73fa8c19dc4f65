package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/cronconf"
	"github.com/hostguard/hostguard/internal/host"
)

// cronUnits run a cron daemon on Debian and on Red Hat's distributions.
var cronUnits = []string{"cron.service", "crond.service"}

const userTables = "/var/spool/cron/crontabs/"

// cronFacts is what was seen of a cron job and its daemon.
type cronFacts struct {
	file   string
	info   fs.FileInfo // of the file itself; nil: it does not exist
	linked fs.FileInfo // of the link that it is reached by; nil: it is no link
	table  *cronconf.Table
	daemon host.Unit   // the cron daemon that is installed
	stamp  fs.FileInfo // of the file written on success; nil: none named, or absent
	users  []string    // names of accounts on this host
}

func (j job) watchCron(ctx context.Context, h *host.Host, p watchParams, now time.Time) (checks.Verdict, error) {
	f := cronFacts{file: p.Watch.Cron}
	if !path.IsAbs(f.file) {
		f.file = path.Join("/etc/cron.d", f.file)
	}
	f.file = path.Clean(f.file)
	units, err := h.UnitsAndBoot(ctx, cronUnits...)
	if err != nil {
		return checks.Verdict{}, fmt.Errorf("cannot tell whether cron runs: %w", err)
	}
	for _, name := range cronUnits {
		if u := units[name]; f.daemon.Name == "" || u.Installed() && !f.daemon.Installed() {
			f.daemon = u
		}
	}
	if err := f.read(h); err != nil {
		return checks.Verdict{}, fmt.Errorf("cannot read the "+j.name+"'s cron table: %w", err)
	}
	if p.Stamp != "" {
		if f.stamp, err = h.Lstat(p.Stamp); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return checks.Verdict{}, fmt.Errorf("cannot tell when the "+j.name+" last succeeded: %w", err)
		}
	}
	return j.judgeCron(f, p, now)
}

// read looks at the table and the names of accounts.
func (f *cronFacts) read(h *host.Host) error {
	info, err := h.Lstat(f.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() == fs.ModeSymlink {
		f.linked = info
		if info, err = h.Stat(f.file); err != nil {
			return err
		}
	}
	data, err := h.ReadFile(f.file)
	if err != nil {
		return err
	}
	f.info, f.table = info, cronconf.Parse(data, !strings.HasPrefix(f.file, userTables))
	accounts, err := h.ReadFile("/etc/passwd")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(accounts)) {
		name, _, _ := strings.Cut(line, ":")
		f.users = append(f.users, name)
	}
	return nil
}

// judgeCron wants a job that cron reads and runs, and a stamp that says that
// it succeeded at one of its last two times.
func (j job) judgeCron(f cronFacts, p watchParams, now time.Time) (checks.Verdict, error) {
	fail := func(reason string, line int, want, got string) (checks.Verdict, error) {
		return checks.Failed(reason, checks.Evidence{Source: f.file, Line: line, Key: j.name, Want: want, Got: got}), nil
	}
	if f.info == nil {
		return fail("The "+j.name+"'s cron table does not exist.", 0, "a cron table", "absent")
	}
	if why := f.ignored(); why != "" {
		return fail("cron ignores the "+j.name+"'s table: "+why+".", 0, "a table that cron reads", why)
	}
	if len(f.table.Problems) > 0 {
		problem := f.table.Problems[0]
		return fail("cron ignores the whole table because of one line.", problem.Line, "well-formed lines", problem.Text)
	}
	entry, count := f.entry(p.Command)
	switch {
	case count == 0 && p.Command != "":
		return fail("The "+j.name+"'s command is not in its cron table.", 0, p.Command, fmt.Sprintf("%d other commands", len(f.table.Entries)))
	case count == 0:
		return fail("The "+j.name+"'s cron table has no entry.", 0, "an entry", "none")
	case count > 1:
		return checks.Verdict{}, fmt.Errorf("cannot tell which of %d entries of %s is the "+j.name+": name its whole command (command)", count, f.file)
	}
	if entry.User != "" && !slices.Contains(f.users, entry.User) {
		return fail("The "+j.name+"'s cron entry names a user that this host does not list, so cron does not run it.", entry.Line, "a user of /etc/passwd", entry.User)
	}
	daemon := checks.Evidence{Source: f.daemon.Name, Key: "cron daemon", Want: "started at boot and active", Got: fmt.Sprintf("%s, %s", f.daemon.BootState(), f.daemon.ActiveState)}
	if !f.daemon.Installed() {
		daemon.Got = "not installed"
	}
	if !f.daemon.Installed() || !f.daemon.Active() || f.daemon.Boot == "" {
		return checks.Failed("The cron daemon does not run or is not started at boot, so the "+j.name+"'s job is never started.", daemon), nil
	}
	due, found := entry.Schedule.Before(now)
	if found {
		due, found = entry.Schedule.Before(due)
	}
	if found && j.tooSeldom(due, now) {
		return fail("The "+j.name+"'s cron entry recurs too seldom.", entry.Line, j.often(), "due twice since "+stamp(due))
	}
	if !found {
		return fail("The "+j.name+"'s cron entry does not recur.", entry.Line, "a recurring schedule", "none")
	}
	seen := []checks.Evidence{daemon, {Source: f.file, Line: entry.Line, Key: "command", Got: entry.Command}}
	if entry.Silent {
		seen = append(seen, checks.Evidence{Source: f.file, Line: entry.Line, Key: "MAILTO", Got: "empty: cron mails nothing, the job must notify by itself"})
	}
	if p.Stamp == "" && j.seen {
		return checks.Passed(seen...), nil
	}
	if p.Stamp == "" {
		return checks.Verdict{Evidence: seen}, errors.New("cannot tell whether the " + j.name + " succeeds: cron keeps no record of that; name a file that the job writes on success (stamp), or make it a systemd timer")
	}
	return j.judgeStamp(f.stamp, p.Stamp, due, seen), nil
}

// ignored says why cron would not read the table, see cron(8).
func (f *cronFacts) ignored() string {
	dir, name := path.Split(f.file)
	user := dir == userTables
	switch {
	case dir == "/etc/cron.d/" && !cronconf.ReadsName(name):
		return "in /etc/cron.d a name may have letters, digits, _ and - only, so no dot"
	case dir != "/etc/cron.d/" && f.file != "/etc/crontab" && !user:
		return "it is none of /etc/crontab, /etc/cron.d/NAME and " + userTables + "USER"
	case user && !slices.Contains(f.users, name):
		return "it is named after no user of /etc/passwd"
	}
	if f.linked != nil && (user || owner(f.linked) != 0) {
		return "it is a link that cron does not follow"
	}
	stat, _ := f.info.Sys().(*syscall.Stat_t)
	switch {
	case !f.info.Mode().IsRegular():
		return "it is no regular file"
	case !user && owner(f.info) != 0:
		return "it does not belong to root"
	case !user && f.info.Mode().Perm()&0o022 != 0:
		return fmt.Sprintf("others than root may write it (mode %04o)", f.info.Mode().Perm())
	case user && f.info.Mode().Perm() != 0o600:
		return fmt.Sprintf("its mode is %04o and not 0600", f.info.Mode().Perm())
	case stat != nil && stat.Nlink != 1 && f.linked == nil:
		return "it has several names (hard links)"
	}
	return ""
}

// entry returns the entry with that command, or the only one, and how many match.
func (f *cronFacts) entry(command string) (found cronconf.Entry, count int) {
	for _, e := range f.table.Entries {
		if command == "" || strings.TrimSpace(e.Command) == strings.TrimSpace(command) {
			found = e
			count++
		}
	}
	return found, count
}

// judgeStamp wants the file that is written on success to be no older than due.
func (j job) judgeStamp(info fs.FileInfo, name string, due time.Time, seen []checks.Evidence) checks.Verdict {
	e := checks.Evidence{Source: name, Key: "last success", Want: "not before " + stamp(due), Got: "never (the file does not exist)"}
	switch {
	case info == nil:
		return checks.Failed("The "+j.name+" has never succeeded.", e)
	case !info.Mode().IsRegular():
		e.Got = "no regular file"
		return checks.Failed("The file that shows the "+j.name+"'s success is none.", e)
	case info.Mode().Perm()&0o022 != 0 || owner(info) != 0:
		e.Want, e.Got = "a file that only root can write", fmt.Sprintf("owner %d, mode %04o", owner(info), info.Mode().Perm())
		return checks.Failed("Others than root can pretend that the "+j.name+" succeeded.", e)
	}
	e.Got = stamp(info.ModTime())
	if info.ModTime().Before(due) {
		return checks.Failed("The "+j.name+" has missed two of its times or failed at both.", e)
	}
	return checks.Passed(append(seen, e)...)
}

func owner(info fs.FileInfo) uint32 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Uid
	}
	return ^uint32(0)
}
