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

// unitDirs are the folders of unit files, the first wins, see systemd.unit(5).
var unitDirs = []string{
	"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
}
