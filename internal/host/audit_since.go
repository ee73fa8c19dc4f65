package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// AuditStart is since when auditing is known to have been enabled: the kernel
// records nothing of a process that is older than the first time.
type AuditStart struct {
	Known bool
	Since time.Duration // since boot, comparable with Process.Start
	How   string        // how it is known
}

// Without systemd's word, auditd is given time from its start to enable
// auditing. With it, only the grain of processes' start times matters.
const (
	auditdMargin = 5 * time.Second
	startGrain   = 20 * time.Millisecond
)

// AuditedSince finds since when processes are recorded. The kernel decides when
// a process is created, once auditing was ever enabled (kernel/auditsc.c,
// audit_alloc). It keeps no time of that, so it is shown by others: audit=1 on
// its command line, or the auditd that runs now.
func (h *Host) AuditedSince(ctx context.Context) (AuditStart, error) {
	if h.AuditedFromBoot() {
		return AuditStart{true, 0, "audit=1 is on the kernel's command line"}, nil
	}
	s, err := h.AuditStatus(ctx)
	if err != nil {
		return AuditStart{}, err
	}
	processes, err := h.Processes(ctx)
	if err != nil {
		return AuditStart{}, err
	}
	daemon, there := processes[int(s.PID)]
	if s.PID == 0 || !there || daemon.Program() != "auditd" || s.Enabled == 0 {
		return AuditStart{}, nil
	}
	since := daemon.Start + auditdMargin
	if h.systemdAnswers(ctx) == nil {
		units, err := h.loadedUnits(ctx, "auditd.service")
		if err != nil {
			return AuditStart{}, err
		}
		// The unit is up once auditd has enabled auditing. Its clock stands
		// still while the machine sleeps; processes' start times do not.
		u := units["auditd.service"]
		if u.Active() && u.ActiveEnterMonotonic > 0 && u.Service != nil && u.Service.MainPID == daemon.PID {
			slept, err := sleepTime()
			if err != nil {
				return AuditStart{}, err
			}
			since = u.ActiveEnterMonotonic + slept + startGrain
		}
	}
	return AuditStart{true, since, fmt.Sprintf("auditd (pid %d) has been up since %v after boot", daemon.PID, since.Round(time.Second))}, nil
}

// sleepTime is how long the machine was suspended since boot.
func sleepTime() (time.Duration, error) {
	var monotonic, boot unix.Timespec
	if err := errors.Join(unix.ClockGettime(unix.CLOCK_MONOTONIC, &monotonic), unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot)); err != nil {
		return 0, fmt.Errorf("cannot read the clocks: %w", err)
	}
	return time.Duration(boot.Nano() - monotonic.Nano()), nil
}
