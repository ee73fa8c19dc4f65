package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/hostguard/hostguard/internal/auditrule"
)

// AuditdConfFile is auditd's configuration.
const AuditdConfFile = "/etc/audit/auditd.conf"

// AuditdConf is auditd's configuration; its methods give values and defaults.
type AuditdConf struct {
	auditrule.DaemonConf
	Exists bool
}

// AuditdConf reads /etc/audit/auditd.conf. A file that auditd refuses is an
// error that says where.
func (h *Host) AuditdConf(ctx context.Context) (AuditdConf, error) {
	return h.auditConf.get(ctx, func(context.Context) (AuditdConf, error) {
		info, err := h.Lstat(AuditdConfFile)
		if errors.Is(err, fs.ErrNotExist) {
			return AuditdConf{}, nil
		}
		if err != nil {
			return AuditdConf{}, err
		}
		data, err := h.ReadFile(AuditdConfFile)
		if err != nil {
			return AuditdConf{}, err
		}
		conf, err := auditrule.ParseDaemonConf(AuditdConfFile, data)
		if err != nil {
			return AuditdConf{}, fmt.Errorf("auditd does not start with this configuration: %w", err)
		}
		switch stat := info.Sys().(*syscall.Stat_t); {
		case info.Mode()&fs.ModeSymlink != 0:
			return AuditdConf{}, errors.New("auditd does not start: " + AuditdConfFile + " is a symbolic link")
		case stat.Uid != 0:
			return AuditdConf{}, errors.New("auditd does not start: " + AuditdConfFile + " is not owned by root")
		case info.Mode().Perm()&0o002 != 0:
			return AuditdConf{}, errors.New("auditd does not start: " + AuditdConfFile + " is writable by everyone")
		}
		return AuditdConf{conf, true}, nil
	})
}
