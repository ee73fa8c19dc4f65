package hardware

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

// Validate refuses numbers that no machine falls short of by mistake.
func (p cpuParams) Validate() error {
	if p.Cores < 1 || p.Threads < 1 {
		return errors.New("cores and threads: want at least 1")
	}
	return nil
}

func cpus(ctx context.Context, h *host.Host, p cpuParams) (checks.Verdict, error) {
	hw, err := h.Hardware(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeCPUs(hw, p), nil
}

// judgeCPUs wants enough cores and threads, and control groups that leave
// enough of the threads.
func judgeCPUs(hw host.Hardware, p cpuParams) checks.Verdict {
	v := checks.Verdict{Status: checks.Pass}
	look := func(source, key string, want int, got float64) {
		e := checks.Evidence{Source: source, Key: key, Got: strconv.FormatFloat(got, 'f', -1, 64)}
		if got < float64(want) {
			v.Status = checks.Fail
			e.Want = fmt.Sprintf("at least %d", want)
		}
		v.Evidence = append(v.Evidence, e)
	}
	look("/sys/devices/system/cpu", "cores online", p.Cores, float64(hw.Cores))
	look("/proc/cpuinfo", "threads online", p.Threads, float64(hw.Threads))
	for _, l := range hw.CPULimit {
		look(l.Source, "processors left to containers", p.Threads, l.Amount)
	}
	if v.Status == checks.Fail {
		v.Reason = fmt.Sprintf("The host has less than the %d cores and %d threads that the connector needs.", p.Cores, p.Threads)
	}
	return v
}
