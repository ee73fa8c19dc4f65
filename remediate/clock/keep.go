package clock

import (
	"context"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/unitstate"
)

// Keep wants one time daemon to keep the clock, and others not to.
type Keep struct {
	Unit string
	Off  []string // sorted
}

// Resolve stops the others before the one is started: two would fight over the
// clock. Where the one cannot be started or enabled the others go on, or nobody
// would keep it.
func (k Keep) Resolve(ctx context.Context, h *host.Host, d *remediate.Draft) error {
	plan, err := unitstate.Make(ctx, h, map[string]unitstate.Want{k.Unit: unitstate.On}, nil)
	if err != nil {
		return err
	}
	if len(plan.Refusals) > 0 {
		return unitstate.Wish(ctx, h, d, k.Unit, unitstate.On) // which says why
	}
	off := make(map[string]unitstate.Want)
	for _, name := range k.Off {
		off[name] = unitstate.Off
	}
	if err := unitstate.Ensure(ctx, h, d, off, nil); err != nil {
		return err
	}
	return unitstate.Wish(ctx, h, d, k.Unit, unitstate.On)
}
