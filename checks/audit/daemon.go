package audit

import (
	"context"
	"errors"
	"fmt"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/unitfile"
)

const daemonUnit = "auditd.service"

// daemonSeen is all that was seen of auditd.
type daemonSeen struct {
	file    unitfile.Unit
	boot    string    // the link or unit file by which the next boot starts it
	live    host.Unit // as the service manager has it
	refusal error     // why the kernel's audit cannot be asked; host.ErrNotRunning of a tree
}

func daemon(ctx context.Context, h *host.Host) (checks.Verdict, error) {
	files, err := h.UnitFiles(ctx)
	if err != nil {
		return checks.Verdict{}, fmt.Errorf("cannot read unit files: %w", err)
	}
	var s daemonSeen
	if s.file, err = files.Unit(daemonUnit); err != nil {
		return checks.Verdict{}, fmt.Errorf("cannot read the unit file of auditd: %w", err)
	}
	s.boot = files.AtBoot()[s.file.ID]
	if !h.Running() {
		s.refusal = host.ErrNotRunning
		return judgeDaemon(s)
	}
	units, err := h.Units(ctx, daemonUnit)
	if err != nil {
		return checks.Verdict{}, err
	}
	s.live = units[daemonUnit]
	s.refusal = h.Lacks(ctx, host.AuditNetlink)
	return judgeDaemon(s)
}

// judgeDaemon wants auditd installed, started at boot and up. Where the kernel
// refuses to be asked auditd cannot run either, as in a container: then that it
// is down says nothing about the host.
func judgeDaemon(s daemonSeen) (checks.Verdict, error) {
	state := s.file.State
	if state == "" {
		state = "not found"
	}
	boot := checks.Evidence{Source: s.file.Path, Key: daemonUnit + " at boot", Want: "started", Got: state}
	if s.file.Path == "" {
		boot.Source = "systemd's unit folders"
		return s.failed("auditd is not installed.", boot), nil
	}
	if s.boot == "" {
		if state == "enabled" || state == "alias" {
			boot.Got += ", but no link leads to it from default.target"
		}
		return s.failed("The next boot does not start auditd.", boot), nil
	}
	boot.Source, boot.Want, boot.Got = s.boot, "", state+", started"
	if errors.Is(s.refusal, host.ErrNotRunning) {
		boot.Got += "; whether it runs is not looked at: this is a file tree"
		return checks.Passed(boot), nil
	}
	now := checks.Evidence{Source: "systemd", Key: daemonUnit + " now", Got: s.live.ActiveState}
	switch {
	case s.refusal != nil:
		return checks.Verdict{Evidence: []checks.Evidence{now, boot}}, fmt.Errorf("cannot tell whether auditd works: %w", s.refusal)
	case !s.live.Active():
		now.Want = "active"
		return s.failed("auditd does not run.", now, boot), nil
	case s.live.NeedReload:
		boot.Got += "; its files changed since systemd read them"
	}
	return checks.Passed(now, boot), nil
}

func (s daemonSeen) failed(reason string, at ...checks.Evidence) checks.Verdict {
	v := checks.Failed(reason, at...)
	v.Repair = DaemonRepair{Installed: s.file.Path != ""}
	return v
}
