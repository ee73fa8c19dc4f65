package audit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

type processAgeParams struct {
	Processes  []string `yaml:"processes" doc:"Programs whose processes must be recordable, by file name."`
	Containers bool     `yaml:"containers" doc:"Processes in containers must be, too."`
}

var defaultProcessAge = processAgeParams{Processes: []string{"dockerd", "containerd"}, Containers: true}

func processAge(ctx context.Context, h *host.Host, p processAgeParams) (checks.Verdict, error) {
	processes, err := h.Processes(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	start, err := h.AuditedSince(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeProcessAge(processes, start, p)
}

// judgeProcessAge wants each process to have started after auditing was
// enabled; where that is not shown it cannot be told whether it is recorded.
func judgeProcessAge(processes map[int]host.Process, start host.AuditStart, p processAgeParams) (checks.Verdict, error) {
	var older, seen []checks.Evidence
	for _, process := range sorted(processes) {
		name := process.Program()
		named := slices.Contains(p.Processes, name) && process.Container == ""
		if process.Kernel || !named && !(p.Containers && process.Container != "") {
			continue
		}
		e := checks.Evidence{
			Source: fmt.Sprintf("process %d", process.PID), Key: process.Exe,
			Got: fmt.Sprintf("started %v after boot", process.Start.Round(time.Second)),
		}
		if start.Known && (start.Since == 0 || process.Start > start.Since) {
			seen = append(seen, e)
			continue
		}
		e.Want = "started after auditing was enabled: restart it, or reboot with audit=1"
		older = append(older, e)
	}
	switch {
	case len(older)+len(seen) == 0:
		return checks.Inapplicable("None of the processes runs."), nil
	case len(older) > 0 && start.Known:
		return checks.Verdict{Evidence: older}, fmt.Errorf("cannot tell whether anything of %d processes is recorded: "+
			"they started before auditing was known to be enabled (%s): restart them, or reboot", len(older), start.How)
	case len(older) > 0:
		return checks.Verdict{Evidence: older}, fmt.Errorf("cannot tell whether anything of %d processes is recorded: "+
			"nothing shows since when auditing is enabled: restart auditd and then them, or reboot with audit=1", len(older))
	}
	return checks.Passed(append([]checks.Evidence{{Source: "audit", Key: "enabled since", Got: start.How}}, seen...)...), nil
}

// Blind names the programs of Docker and in containers of which nothing shows
// that the kernel records them.
func Blind(ctx context.Context, h *host.Host) ([]string, error) {
	processes, err := h.Processes(ctx)
	if err != nil {
		return nil, err
	}
	start, err := h.AuditedSince(ctx)
	if err != nil {
		return nil, err
	}
	v, err := judgeProcessAge(processes, start, defaultProcessAge)
	if err == nil {
		return nil, nil
	}
	var names []string
	for _, e := range v.Evidence {
		names = append(names, e.Key)
	}
	return names, nil
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
