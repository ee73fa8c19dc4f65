package jobs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/trustedfile"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/filestate"
	"github.com/hostguard/hostguard/remediate/unitstate"
)

// cronUnits run a cron daemon on Debian and on Red Hat's distributions.
var cronUnits = []string{"cron.service", "crond.service"}

var publicFile = filestate.New{Mode: 0o644}

// Resolve implements remediate.Change.
func (j Job) Resolve(ctx context.Context, h *host.Host, d *remediate.Draft) error {
	by, daemon, err := j.scheduler(ctx, h)
	if err != nil {
		return err
	}
	if j.why == ifThere {
		there, err := j.Name.there(ctx, h)
		if err != nil || !there {
			return err
		}
	}
	if by == "" {
		d.Person("There is neither a cron daemon nor systemd that could start hostguard's %s: install cron.", definitions[j.Name].about)
		return nil
	}
	program, err := programOf(h)
	if err != nil {
		d.Person("%v", err)
		return nil
	}
	var moved bool
	if by == "cron" {
		moved, err = j.byCron(ctx, h, d, program, daemon)
	} else {
		moved, err = j.byTimer(ctx, h, d, program)
	}
	if err != nil {
		return err
	}
	if !moved && j.why == asked {
		d.Person("hostguard's %s is scheduled and started, and does not work: run %q and mend what it says.", definitions[j.Name].about, strings.Join(j.command(program), " "))
	}
	if definitions[j.Name].try && d.Running() {
		d.Validate("try hostguard's "+definitions[j.Name].about, func(ctx context.Context) error { return j.try(ctx, h, program) })
	}
	return nil
}

// byCron puts the job into our cron table, takes its timer away and has the
// daemon run.
func (j Job) byCron(ctx context.Context, h *host.Host, d *remediate.Draft, program, daemon string) (bool, error) {
	entry, err := j.entry(program)
	if err != nil {
		d.Person("cannot schedule hostguard's %s: %v", definitions[j.Name].about, err)
		return false, nil
	}
	moved, err := filestate.Edit(ctx, d, table, publicFile, func(old []byte) ([]byte, error) { return withEntry(old, j.Name, entry) })
	if err != nil {
		return false, err
	}
	mode, owner := uint32(0o644), uint32(0)
	if wide, err := others(h, table); err != nil {
		return false, err
	} else if wide { // cron reads no table that others could write
		m, err := filestate.SetMeta(ctx, d, table, filestate.Meta{Mode: &mode, UID: &owner})
		if err != nil {
			return false, err
		}
		moved = moved || m
	}
	gone, err := j.Name.withoutTimer(ctx, h, d)
	if err != nil {
		return false, err
	}
	started, err := ensure(ctx, h, d, daemon, nil)
	return moved || gone || started, err
}

// byTimer writes the job's units, takes its cron entry away and starts the timer.
func (j Job) byTimer(ctx context.Context, h *host.Host, d *remediate.Draft, program string) (bool, error) {
	timer, err := j.timerFile()
	if err != nil {
		d.Person("cannot schedule hostguard's %s: %v", definitions[j.Name].about, err)
		return false, nil
	}
	service, err := j.serviceFile(program)
	if err != nil {
		d.Person("cannot schedule hostguard's %s: %v", definitions[j.Name].about, err)
		return false, nil
	}
	files := map[string][]byte{}
	moved := false
	for _, f := range []struct{ name, text string }{{unitFolder + j.Name.service(), service}, {unitFolder + j.Name.timer(), timer}} {
		files[f.name] = []byte(f.text)
		m, err := filestate.Edit(ctx, d, f.name, publicFile, func([]byte) ([]byte, error) { return []byte(f.text), nil })
		if err != nil {
			return false, err
		}
		moved = moved || m
	}
	d.Activate("daemon-reload", "")
	gone, err := j.Name.withoutEntry(ctx, h, d)
	if err != nil {
		return false, err
	}
	started, err := ensure(ctx, h, d, j.Name.timer(), files)
	return moved || gone || started, err
}

// ensure wants a unit to run now and after each boot, and reports whether it
// does not do so yet.
func ensure(ctx context.Context, h *host.Host, d *remediate.Draft, unit string, files map[string][]byte) (moved bool, err error) {
	if d.Running() {
		units, err := h.UnitsAndBoot(ctx, unit)
		if err != nil {
			return false, err
		}
		u := units[unit]
		moved = !u.Active() || u.Boot == ""
	}
	return moved, unitstate.Ensure(ctx, h, d, map[string]unitstate.Want{unit: unitstate.On}, files)
}

// Without wants a job not to be scheduled.
type Without struct{ Name Name }

// Resolve implements remediate.Change.
func (w Without) Resolve(ctx context.Context, h *host.Host, d *remediate.Draft) error {
	if _, err := w.Name.withoutEntry(ctx, h, d); err != nil {
		return err
	}
	_, err := w.Name.withoutTimer(ctx, h, d)
	return err
}

func (n Name) withoutEntry(ctx context.Context, h *host.Host, d *remediate.Draft) (bool, error) {
	there, err := exists(h, table)
	if err != nil || !there {
		return false, err
	}
	return filestate.Edit(ctx, d, table, publicFile, func(old []byte) ([]byte, error) { return withoutEntry(old, n), nil })
}

// withoutTimer takes the timer out of force. Its files stay: without a link
// nothing starts it.
func (n Name) withoutTimer(ctx context.Context, h *host.Host, d *remediate.Draft) (moved bool, err error) {
	there, err := n.timed(ctx, h)
	if err != nil || !there {
		return false, err
	}
	return true, unitstate.Wish(ctx, h, d, n.timer(), unitstate.Off)
}

// timed reports whether the job's timer is started at boot.
func (n Name) timed(ctx context.Context, h *host.Host) (bool, error) {
	units, err := h.UnitFiles(ctx)
	if err != nil {
		return false, err
	}
	return units.AtBoot()[n.timer()] != "", nil
}

// there reports whether the job is scheduled, in either way.
func (n Name) there(ctx context.Context, h *host.Host) (bool, error) {
	data, err := h.ReadFile(table)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for line := range strings.Lines(string(data)) {
		if entryOf(line, n) {
			return true, nil
		}
	}
	return n.timed(ctx, h)
}

func exists(h *host.Host, name string) (bool, error) {
	_, err := h.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// others reports whether others than root own the file or could write it.
func others(h *host.Host, name string) (bool, error) {
	info, err := h.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return info.Mode().Perm()&0o022 != 0 || uidOf(info) != 0, nil
}

// scheduler returns what starts the job, "cron" with the daemon's unit or
// "timer"; empty where there is neither. A cron that somebody has masked is not
// one that is there.
func (j Job) scheduler(ctx context.Context, h *host.Host) (by, daemon string, err error) {
	units, err := h.UnitFiles(ctx)
	if err != nil {
		return "", "", err
	}
	usable := func(name string) bool {
		u, err := units.Unit(name)
		return err == nil && u.Path != "" && !strings.HasPrefix(u.State, "masked")
	}
	for _, name := range cronUnits {
		if daemon == "" && usable(name) {
			daemon = name
		}
	}
	switch {
	case j.By == "timer" || daemon == "" && j.By == "":
		if !usable("timers.target") {
			return "", "", nil
		}
		return "timer", "", nil
	case daemon == "":
		return "", "", nil
	}
	return "cron", daemon, nil
}

// programs are where hostguard may lie in an image.
var programs = []string{"/usr/local/bin/hostguard", "/usr/bin/hostguard", "/usr/local/sbin/hostguard", "/usr/sbin/hostguard"}

// passing are folders that are emptied, or gone after a boot.
var passing = []string{"/tmp/", "/var/tmp/", "/run/", "/dev/", "/proc/"}

// programOf is the path by which jobs start hostguard: where this one lies, or
// where it lies in an image. Root runs it again and again, so nobody else may be
// able to write it, or put another in its place.
func programOf(h *host.Host) (string, error) {
	if !h.Running() {
		for _, p := range programs {
			if info, err := h.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 && info.Mode().Perm()&0o022 == 0 && uidOf(info) == 0 {
				return p, nil
			}
		}
		return "", fmt.Errorf("hostguard is not in the image, so that no job could run: install it as %s", programs[0])
	}
	program, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("cannot tell where hostguard lies: %w", err)
	}
	if err := trustedfile.Check(program); err != nil {
		return "", fmt.Errorf("jobs cannot run this hostguard, which others than root could replace: install it as %s and run that (%w)", programs[0], err)
	}
	for _, p := range passing {
		if strings.HasPrefix(program, p) {
			return "", fmt.Errorf("jobs cannot run %s, which does not stay: install it as %s and run that", program, programs[0])
		}
	}
	if !strings.HasSuffix(program, "/hostguard") {
		return "", fmt.Errorf("jobs cannot run %s: install it under its own name as %s and run that", program, programs[0])
	}
	return program, nil
}

// try runs the job once.
func (j Job) try(ctx context.Context, h *host.Host, program string) error {
	out, err := h.Exec(ctx, program, j.command(program)[1:]...)
	switch {
	case err != nil:
		return err
	case out.ExitCode != 0 && out.ExitCode != 75: // another run is at work
		return fmt.Errorf("it ended with %d: %s", out.ExitCode, strings.TrimSpace(string(out.Stderr)))
	}
	return nil
}
