package checks

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/stack"
)

// Duration is how long a probe took.
type Duration = time.Duration

// DefaultProbeTimeout bounds one probe, waits on shared facts included.
const DefaultProbeTimeout = 15 * time.Second

// Task is one bound rule, ready to run.
type Task struct {
	Rule  string
	Needs host.Caps
	Long  bool // see Check
	Probe Probe
}

// Run runs all tasks at the same time and returns their findings in the
// tasks' order. The host's facts are gathered once, by whichever probe asks
// first. A probe that panics, outlives probeTimeout or is still running when
// ctx ends becomes an Error finding; the others stand.
func Run(ctx context.Context, h *host.Host, tasks []Task, probeTimeout time.Duration) []Finding {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, fmt.Errorf("no answer within %v", probeTimeout))
	defer cancel()
	begin := time.Now()
	type answer struct {
		task    int
		finding Finding
	}
	answers := make(chan answer, len(tasks)) // a hung probe is abandoned, and must not block when it returns
	start := func(long bool) {
		for i, t := range tasks {
			if t.Long != long {
				continue
			}
			go func() {
				stack.Reserve()
				start := time.Now()
				f := run(ctx, h, t)
				f.Duration = time.Since(start)
				answers <- answer{i, f}
			}()
		}
	}
	start(true)
	runtime.Gosched() // until they wait
	start(false)
	findings := make([]Finding, len(tasks))
	for i, t := range tasks {
		findings[i] = Finding{Rule: t.Rule} // without a status until it is answered
	}
	for range tasks {
		select {
		case a := <-answers:
			findings[a.task] = a.finding
			continue
		case <-ctx.Done():
		}
		break
	}
	for len(answers) > 0 {
		a := <-answers
		findings[a.task] = a.finding
	}
	for i, f := range findings {
		if f.Status == 0 {
			findings[i] = failedLook(f.Rule, fmt.Errorf("cannot finish looking: %w", context.Cause(ctx)))
			findings[i].Duration = time.Since(begin)
		}
	}
	return findings
}

func run(ctx context.Context, h *host.Host, t Task) (f Finding) {
	defer func() {
		if p := recover(); p != nil {
			f = failedLook(t.Rule, fmt.Errorf("the probe panicked: %v\n%s", p, debug.Stack()))
		}
	}()
	return look(ctx, h, t)
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
