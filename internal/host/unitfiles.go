package host

import (
	"context"

	"github.com/hostguard/hostguard/internal/unitfile"
)

// UnitFiles returns the host's unit files and what the next boot starts of
// them, from files alone: it works under --root and without systemd running.
func (h *Host) UnitFiles(ctx context.Context) (*unitfile.Tree, error) {
	return h.unitTree.get(ctx, func(context.Context) (*unitfile.Tree, error) { return unitfile.Open(h) })
}
