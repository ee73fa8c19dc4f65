package host

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hostguard/hostguard/internal/sshdconf"
)

// StaleSince returns when sshd's configuration last changed and by which file
// or folder, and when the daemon last read it. It returns zero times for a
// daemon that does not run.
func (h *Host) StaleSince(d *SSHD) (changed, read time.Time, by string, err error) {
	if d.PID == 0 || d.Config == nil {
		return time.Time{}, time.Time{}, "", nil
	}
	read = d.Started
	// A reload starts the program anew in the same process: only its pid file
	// is younger then.
	if e, err := d.Config.For(sshdconf.Connection{}); err == nil {
		name := e.Get("pidfile").Text()
		if data, err := h.ReadFile(name); err == nil && strings.TrimSpace(string(data)) == strconv.Itoa(d.PID) {
			if info, err := h.Stat(name); err == nil && info.ModTime().After(read) {
				read = info.ModTime()
			}
		}
	}
	for _, name := range slices.Concat(d.Config.Files, d.Config.Folders) {
		info, err := h.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return changed, read, by, fmt.Errorf("cannot tell when sshd's configuration changed: %w", err)
		}
		st := info.Sys().(*syscall.Stat_t)
		at := time.Unix(st.Ctim.Unix())
		if at.After(changed) {
			changed, by = at, name
		}
	}
	return changed, read, by, nil
}
