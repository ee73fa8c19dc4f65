package checks

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hostguard/hostguard/internal/host"
)

// Duration is how long a probe took.
type Duration = time.Duration

// DefaultProbeTimeout bounds one probe, waits on shared facts included.
const DefaultProbeTimeout = 15 * time.Second

// Task is one bound rule, ready to run.
type Task struct {
	Rule  string
	Needs host.Caps
	Probe Probe
}

// Run runs all tasks at the same time and returns their findings in the
// tasks' order. The host's facts are gathered once, by whichever probe asks
// first. A probe that panics, outlives probeTimeout or is still running when
// ctx ends becomes an Error finding; the others stand.
func Run(ctx context.Context, h *host.Host, tasks []Task, probeTimeout time.Duration) []Finding {
	findings := make([]Finding, len(tasks))
	var wg sync.WaitGroup
	for i, t := range tasks {
		wg.Go(func() {
			start := time.Now()
			findings[i] = run(ctx, h, t, probeTimeout)
			findings[i].Duration = time.Since(start)
		})
	}
	wg.Wait()
	return findings
}

func run(ctx context.Context, h *host.Host, t Task, timeout time.Duration) Finding {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
	defer cancel()

	done := make(chan Finding, 1) // a hung probe is abandoned, and must not block when it returns
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- failedLook(t.Rule, fmt.Errorf("the probe panicked: %v\n%s", p, debug.Stack()))
			}
		}()
		done <- look(ctx, h, t)
	}()
	select {
	case f := <-done:
		return f
	case <-ctx.Done():
		return failedLook(t.Rule, fmt.Errorf("cannot finish looking: %w", context.Cause(ctx)))
	}
}

func look(ctx context.Context, h *host.Host, t Task) Finding {
	if err := h.Lacks(ctx, t.Needs); err != nil {
		if errors.Is(err, host.ErrNotRunning) {
			return Finding{Rule: t.Rule, Verdict: Inapplicable(err.Error())}
		}
		return failedLook(t.Rule, err)
	}
	v, err := t.Probe(ctx, h)
	if err != nil {
		f := failedLook(t.Rule, err)
		f.Evidence = v.Evidence // what was seen before the look failed
		return f
	}
	if v.Status != Pass && v.Status != Fail && v.Status != NotApplicable {
		return failedLook(t.Rule, fmt.Errorf("the probe returned %v, which is no verdict: report this as a defect", v.Status))
	}
	return Finding{Rule: t.Rule, Verdict: v}
}

func failedLook(rule string, err error) Finding {
	return Finding{Rule: rule, Verdict: Verdict{Status: Error}, Err: err}
}
