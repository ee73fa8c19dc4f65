package host

import (
	"context"
	"errors"
	"io/fs"

	"github.com/hostguard/hostguard/internal/unitfile"
)

// UnitFiles returns the host's unit files and what the next boot starts of
// them, from files alone: it works under --root and without systemd running.
func (h *Host) UnitFiles(ctx context.Context) (*unitfile.Tree, error) {
	return h.unitTree.get(ctx, func(context.Context) (*unitfile.Tree, error) { return unitfile.Open(h) })
}

// readUnit reads a unit's file or drop-in, unless it is masked.
func (h *Host) readUnit(name string) (data []byte, masked bool, err error) {
	data, err = h.ReadFile(name)
	if errors.Is(err, ErrNotRegular) || errors.Is(err, fs.ErrNotExist) && h.isMask(name) {
		return nil, true, nil
	}
	return data, false, err
}

// isMask reports whether a unit's file is a link to /dev/null, which an image
// need not have.
func (h *Host) isMask(name string) bool {
	text, err := h.Readlink(name)
	return err == nil && text == "/dev/null"
}

// unitDirs are the folders of unit files, the first wins, see systemd.unit(5).
var unitDirs = []string{
	"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
}
