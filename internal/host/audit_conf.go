package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/hostguard/hostguard/internal/auditrule"
)

// AuditdConfFile is auditd's configuration, unless its unit says -c DIR.
const AuditdConfFile = "/etc/audit/auditd.conf"

// AuditdConf is auditd's configuration; its methods give values and defaults.
type AuditdConf struct {
	auditrule.DaemonConf
	File   string
	Exists bool
}

// auditdConfFile returns the file that the loaded auditd.service has auditd
// read (-c in auditd(8)). A file tree is taken to have it in its usual place.
func (h *Host) auditdConfFile(ctx context.Context) (string, error) {
	if !h.Running() || h.systemdAnswers(ctx) != nil {
		return AuditdConfFile, nil
	}
	units, err := h.loadedUnits(ctx, "auditd.service")
	if err != nil {
		return "", fmt.Errorf("cannot tell which configuration auditd reads: %w", err)
	}
	if s := units["auditd.service"].Service; s != nil && len(s.ExecStart) > 0 {
		args := s.ExecStart[0].Args
		for i, arg := range args {
			dir, found := strings.CutPrefix(arg, "-c")
			if found && dir == "" && i+1 < len(args) {
				dir = args[i+1]
			}
			if found && path.IsAbs(dir) {
				return path.Join(dir, path.Base(AuditdConfFile)), nil
			}
		}
	}
	return AuditdConfFile, nil
}

// AuditdConf reads auditd's configuration. Where auditd would refuse it and not
// start, the error holds an *auditrule.LineError that says where; its line is
// 0 where the whole file is at fault.
func (h *Host) AuditdConf(ctx context.Context) (AuditdConf, error) {
	return h.auditConf.get(ctx, func(ctx context.Context) (AuditdConf, error) {
		file, err := h.auditdConfFile(ctx)
		if err != nil {
			return AuditdConf{}, err
		}
		info, err := h.Lstat(file)
		if errors.Is(err, fs.ErrNotExist) {
			return AuditdConf{File: file}, nil
		}
		if err != nil {
			return AuditdConf{}, err
		}
		data, err := h.ReadFile(file)
		if err != nil {
			return AuditdConf{}, err
		}
		conf, err := auditrule.ParseDaemonConf(file, data)
		if err == nil {
			err = h.auditdRefuses(file, info, conf)
		}
		var refused *auditrule.LineError
		if errors.As(err, &refused) {
			return AuditdConf{}, fmt.Errorf("auditd does not start with this configuration: %w", err)
		}
		return AuditdConf{conf, file, true}, err
	})
}

// auditdRefuses says why auditd does not start with what the host has: an
// *auditrule.LineError, or that this cannot be told.
func (h *Host) auditdRefuses(name string, file fs.FileInfo, conf auditrule.DaemonConf) error {
	refuse := func(pos auditrule.Pos, format string, args ...any) error {
		if pos.File == "" {
			pos.File = name
		}
		return &auditrule.LineError{Pos: pos, Reason: fmt.Sprintf(format, args...)}
	}
	switch stat := file.Sys().(*syscall.Stat_t); {
	case file.Mode()&fs.ModeSymlink != 0:
		return refuse(auditrule.Pos{}, "it is a symbolic link")
	case stat.Uid != 0:
		return refuse(auditrule.Pos{}, "it is not owned by root")
	case file.Mode().Perm()&0o002 != 0:
		return refuse(auditrule.Pos{}, "it is writable by everyone")
	}
	for _, name := range []string{"space_left_action", "admin_space_left_action", "disk_full_action", "disk_error_action"} {
		s := conf.Get(name)
		if !strings.EqualFold(s.Value, "exec") {
			continue
		}
		problem, err := h.auditdProgram(s.Option)
		if err != nil {
			return fmt.Errorf("cannot tell whether auditd takes the program of %s: %w", name, err)
		}
		if problem != "" {
			return refuse(s.Pos, "%s: %s %s", name, s.Option, problem)
		}
	}
	if s := conf.Get("log_file"); s.Pos.Line > 0 {
		problem, err := h.auditdLog(s.Value)
		if err != nil {
			return fmt.Errorf("cannot tell whether auditd can write its log: %w", err)
		}
		if problem != "" {
			return refuse(s.Pos, "log_file: %s", problem)
		}
	}
	group := conf.Get("log_group")
	if group.Value == "" {
		return nil
	}
	gid, err := h.auditdGroup(group.Value)
	if err != nil {
		return fmt.Errorf("cannot tell whether auditd finds the group %q of log_group: %w", group.Value, err)
	}
	if log := conf.Get("log_file"); gid != 0 && path.Dir(log.Value) == "/var/log" {
		return refuse(log.Pos, "log_file: with a log_group the log may not lie in /var/log itself")
	}
	return nil
}

// auditdProgram says why auditd refuses to run a program, "" when it does not.
func (h *Host) auditdProgram(name string) (string, error) {
	info, err := h.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "does not exist", nil
	}
	if err != nil {
		return "", err
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return "is no regular file", nil
	case info.Sys().(*syscall.Stat_t).Uid != 0:
		return "is not owned by root", nil
	case mode.Perm()&^0o205 != 0o550 || mode.Perm()&0o005 != 0 && mode.Perm()&0o005 != 0o005:
		return fmt.Sprintf("has mode %04o: auditd wants 0755, 0750, 0555 or 0550", mode.Perm()), nil
	}
	return "", nil
}

// auditdLog says why auditd refuses a log file, "" when it does not.
func (h *Host) auditdLog(name string) (string, error) {
	dir, err := h.Stat(path.Dir(name))
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && !dir.IsDir():
		return path.Dir(name) + " is no folder", nil
	case err != nil:
		return "", err
	}
	info, err := h.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil // auditd makes it
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return name + " is no regular file", nil
	case info.Sys().(*syscall.Stat_t).Uid != 0:
		return name + " is not owned by root", nil
	}
	return "", nil
}

// auditdGroup is the group of a number, of which auditd reads what leads, or
// of a name.
func (h *Host) auditdGroup(name string) (uint32, error) {
	digits := name[:len(name)-len(strings.TrimLeft(name, "0123456789"))]
	if digits == "" {
		gid, _, err := h.newAuditEnv(nil).GID(name)
		return gid, err
	}
	gid, err := strconv.ParseUint(digits, 10, 32)
	return uint32(gid), err
}
