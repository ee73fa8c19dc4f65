package audit

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

type processAgeParams struct {
	Processes  []string `yaml:"processes" doc:"Programs whose processes must be recordable, by file name."`
	Containers bool     `yaml:"containers" doc:"Processes in containers must be, too."`
}

var defaultProcessAge = processAgeParams{Processes: []string{"dockerd", "containerd"}, Containers: true}

// auditStart is the moment since boot from which on auditing is known to have
// been enabled, and how that is known.
type auditStart struct {
	known bool
	since time.Duration
	how   string
}

func processAge(ctx context.Context, h *host.Host, p processAgeParams) (checks.Verdict, error) {
	processes, err := h.Processes(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	start, err := auditedSince(ctx, h, processes)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeProcessAge(processes, start, p)
}

// Without systemd's word, auditd is given time from its start to enable
// auditing. With it, only the grain of processes' start times matters.
const (
	daemonMargin = 5 * time.Second
	clockGrain   = 20 * time.Millisecond
)

// auditedSince finds since when processes are recorded. The kernel decides when
// a process is created, once auditing was ever enabled (kernel/auditsc.c,
// audit_alloc). It keeps no time of that, so it is shown by others.
func auditedSince(ctx context.Context, h *host.Host, processes map[int]host.Process) (auditStart, error) {
	if h.AuditedFromBoot() {
		return auditStart{true, 0, "audit=1 is on the kernel's command line"}, nil
	}
	s, err := h.AuditStatus(ctx)
	if err != nil {
		return auditStart{}, err
	}
	daemon, there := processes[int(s.PID)]
	if s.PID == 0 || !there || path.Base(daemon.Exe) != "auditd" || s.Enabled == 0 {
		return auditStart{}, nil
	}
	since := daemon.Start + daemonMargin
	if h.Lacks(ctx, host.Systemd) == nil {
		units, err := h.Units(ctx, "auditd.service")
		if err != nil {
			return auditStart{}, err
		}
		// The unit is up once auditd has enabled auditing. Its clock stands
		// still while the machine sleeps; processes' start times do not.
		u := units["auditd.service"]
		if u.Active() && u.ActiveEnterMonotonic > 0 && u.Service != nil && u.Service.MainPID == daemon.PID {
			slept, err := sleepTime()
			if err != nil {
				return auditStart{}, err
			}
			since = u.ActiveEnterMonotonic + slept + clockGrain
		}
	}
	return auditStart{true, since, fmt.Sprintf("auditd (pid %d) has been up since %v after boot", daemon.PID, since.Round(time.Second))}, nil
}

// sleepTime is how long the machine was suspended since boot.
func sleepTime() (time.Duration, error) {
	var monotonic, boot unix.Timespec
	if err := errors.Join(unix.ClockGettime(unix.CLOCK_MONOTONIC, &monotonic), unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot)); err != nil {
		return 0, fmt.Errorf("cannot read the clocks: %w", err)
	}
	return time.Duration(boot.Nano() - monotonic.Nano()), nil
}

// judgeProcessAge wants each process to have started after auditing was
// enabled; where that is not shown it cannot be told whether it is recorded.
func judgeProcessAge(processes map[int]host.Process, start auditStart, p processAgeParams) (checks.Verdict, error) {
	var older, seen []checks.Evidence
	for _, process := range sorted(processes) {
		name := path.Base(process.Exe)
		named := slices.Contains(p.Processes, name) && process.Container == ""
		if process.Kernel || !named && !(p.Containers && process.Container != "") {
			continue
		}
		e := checks.Evidence{
			Source: fmt.Sprintf("process %d", process.PID), Key: process.Exe,
			Got: fmt.Sprintf("started %v after boot", process.Start.Round(time.Second)),
		}
		if start.known && (start.since == 0 || process.Start > start.since) {
			seen = append(seen, e)
			continue
		}
		e.Want = "started after auditing was enabled: restart it, or reboot with audit=1"
		older = append(older, e)
	}
	switch {
	case len(older)+len(seen) == 0:
		return checks.Inapplicable("None of the processes runs."), nil
	case len(older) > 0 && start.known:
		return checks.Verdict{Evidence: older}, fmt.Errorf("cannot tell whether anything of %d processes is recorded: "+
			"they started before auditing was known to be enabled (%s): restart them, or reboot", len(older), start.how)
	case len(older) > 0:
		return checks.Verdict{Evidence: older}, fmt.Errorf("cannot tell whether anything of %d processes is recorded: "+
			"nothing shows since when auditing is enabled: restart auditd and then them, or reboot with audit=1", len(older))
	}
	return checks.Passed(append([]checks.Evidence{{Source: "audit", Key: "enabled since", Got: start.how}}, seen...)...), nil
}

// sorted are the processes by pid.
func sorted(processes map[int]host.Process) []host.Process {
	list := make([]host.Process, 0, len(processes))
	for _, p := range processes {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b host.Process) int { return a.PID - b.PID })
	return list
}
