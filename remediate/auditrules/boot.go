package auditrules

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/remediate"
)

// ofTheFiles reports whether a rule is not the transaction's any more: the host
// has booted since, and files hold it for the next boot, too. What the
// transaction wrote to them is taken back before, so they are somebody else's:
// to delete the rule would end what he has recorded.
//
// A clock that was set forward meanwhile looks like a boot. The rule then stays
// although the transaction added it; the files want it.
func ofTheFiles(ctx context.Context, t remediate.Thing) (bool, error) {
	booted, err := bootedSince(t.Began)
	if err != nil || !booted {
		return false, err
	}
	r, err := parse(t.Target)
	if err != nil {
		return false, err
	}
	files, err := host.New(host.Options{}).AuditFiles(ctx)
	if err != nil {
		return false, &remediate.ConflictError{Target: t.Target, Why: fmt.Sprintf("the host has booted since, and it cannot be told whether its files hold the rule: %v", err)}
	}
	return slices.ContainsFunc(files.Boot.Rules, func(held auditrule.Rule) bool { return held.Equal(r) }), nil
}

// bootedSince reports whether the host booted after a time; not, when that is
// not known.
func bootedSince(began time.Time) (bool, error) {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return false, fmt.Errorf("cannot tell when the host booted: %w", err)
	}
	boot := time.Now().Add(-time.Duration(up.Nano()))
	return !began.IsZero() && began.Before(boot), nil
}
