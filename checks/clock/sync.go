package clock

import (
	"context"
	"fmt"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/quantity"
)

// defaultMaxError is what the kernel's bound grows to in 83 minutes without
// an update: more than two of the longest intervals in which daemons ask.
const defaultMaxError = quantity.Duration(2500 * time.Millisecond)

type syncParams struct {
	MaxError quantity.Duration `yaml:"max_error" doc:"The largest error that the kernel's clock may have; it grows by 0.5 ms a second since the last update, to 16s."`
}

func sync(ctx context.Context, h *host.Host, p syncParams) (checks.Verdict, error) {
	clock, err := h.KernelClock(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeSync(clock, p), nil
}

func judgeSync(clock host.KernelClock, p syncParams) checks.Verdict {
	const source = "kernel clock (adjtimex)"
	flag := checks.Evidence{Source: source, Key: "synchronised", Want: "yes", Got: "yes"}
	bound := checks.Evidence{Source: source, Key: "maximum error", Want: "at most " + p.MaxError.String(), Got: span(clock.MaxError)}
	if !clock.Synchronised {
		flag.Got = "no (STA_UNSYNC)"
		return checks.Failed("The kernel says that nothing keeps its clock in time.", flag, bound)
	}
	if clock.MaxError > time.Duration(p.MaxError) {
		return checks.Failed(fmt.Sprintf("The clock was last set right so long ago that it may be wrong by %s.", span(clock.MaxError)), bound, flag)
	}
	return checks.Passed(flag, bound)
}
