package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

func (j job) watchProcess(ctx context.Context, h *host.Host, p watchParams, now time.Time) (checks.Verdict, error) {
	processes, err := h.Processes(ctx)
	if err != nil {
		return checks.Verdict{}, fmt.Errorf("cannot tell whether the "+j.name+" runs: %w", err)
	}
	var found []host.Process
	for _, process := range processes {
		if process.Exe == p.Watch.Process {
			found = append(found, process)
		}
	}
	slices.SortFunc(found, func(a, b host.Process) int { return cmp.Compare(a.PID, b.PID) })
	var units map[string]host.Unit
	if len(found) > 0 && found[0].Unit != "" {
		if units, err = h.UnitsAndBoot(ctx, found[0].Unit); err != nil {
			return checks.Verdict{}, fmt.Errorf("cannot tell what starts the "+j.name+" at boot: %w", err)
		}
	}
	v, err := j.judgeProcess(p.Watch.Process, found, units)
	if err != nil || v.Status != checks.Pass || p.Stamp == "" {
		return v, err
	}
	info, err := h.Lstat(p.Stamp)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return checks.Verdict{}, fmt.Errorf("cannot tell when the "+j.name+" last succeeded: %w", err)
	}
	return j.judgeStamp(info, p.Stamp, now.Add(-time.Duration(p.MaxAge)), v.Evidence), nil
}

// judgeProcess wants the program to run in a unit that is started at boot.
func (j job) judgeProcess(program string, found []host.Process, units map[string]host.Unit) (checks.Verdict, error) {
	e := checks.Evidence{Source: program, Key: j.name, Want: "running in a unit that is started at boot", Got: "not running"}
	if len(found) == 0 {
		return checks.Failed("The "+j.name+" does not run.", e), nil
	}
	first := found[0]
	e.Got = fmt.Sprintf("process %d in %s", first.PID, cmp.Or(first.Unit, "no unit"))
	if first.Container != "" {
		return checks.Verdict{}, fmt.Errorf("cannot tell what starts the "+j.name+" at boot: %s runs in container %s", program, first.Container[:min(12, len(first.Container))])
	}
	if unit := units[first.Unit]; first.Unit == "" || unit.Boot == "" {
		return checks.Failed("Nothing starts the "+j.name+" at boot.", e), nil
	}
	return checks.Passed(e), nil
}
