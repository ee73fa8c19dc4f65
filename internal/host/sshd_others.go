package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// OtherSSHServer is an SSH server that is not OpenSSH's, or that may be one.
type OtherSSHServer struct {
	Program string // its path or name
	Place   string // "process 77", "/usr/sbin/dropbear", "tcp 0.0.0.0:22", a unit
	Running bool   // it runs, or is started by a unit
}

// otherServers are the programs of other SSH servers.
var otherServers = []string{"dropbear", "dropbearmulti", "tinysshd", "tinysshd-makekey", "lshd", "wolfsshd", "bitvise", "esshd"}

var otherServerDirs = []string{"/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/sbin", "/bin"}

// otherServerUnits start them.
var otherServerUnits = []string{"dropbear.service", "dropbear.socket", "tinysshd.socket", "tinysshd.service", "lsh-server.service", "lshd.service"}

// otherSSH finds SSH servers that are not the daemons.
func (h *Host) otherSSH(ctx context.Context, processes map[int]Process, daemons []*SSHD) ([]OtherSSHServer, error) {
	var out []OtherSSHServer
	runs := map[int]bool{}
	for _, pid := range sortedPIDs(processes) {
		p := processes[pid]
		name := path.Base(strings.TrimSuffix(p.Exe, " (deleted)"))
		if p.Exe == "" {
			name = p.Comm
		}
		if p.Kernel || p.Container != "" || !slices.Contains(otherServers, name) {
			continue
		}
		if away, err := inContainer(pid); err != nil {
			return nil, err
		} else if away {
			continue
		}
		runs[pid] = true
		out = append(out, OtherSSHServer{Program: name, Place: fmt.Sprintf("process %d (%s)", pid, p.Exe), Running: true})
	}
	if h.Running() {
		more, err := h.strangersOnSSHPort(ctx, processes, daemons, runs)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	seen := map[string]bool{}
	for _, name := range otherServers {
		for _, dir := range otherServerDirs {
			real, err := h.Resolve(dir + "/" + name)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("cannot tell which SSH servers are installed: %w", err)
			}
			if !seen[real] {
				seen[real] = true
				out = append(out, OtherSSHServer{Program: name, Place: real})
			}
		}
	}
	if len(seen) == 0 {
		return out, nil
	}
	tree, err := h.UnitFiles(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot tell which SSH servers are started at boot: %w", err)
	}
	atBoot := tree.AtBoot()
	for _, unit := range otherServerUnits {
		if by, ok := atBoot[unit]; ok {
			out = append(out, OtherSSHServer{Program: unit, Place: unit + " (" + by + ")", Running: true})
		}
	}
	return out, nil
}

// strangersOnSSHPort are listeners on port 22 that are not a known daemon's.
func (h *Host) strangersOnSSHPort(ctx context.Context, processes map[int]Process, daemons []*SSHD, known map[int]bool) ([]OtherSSHServer, error) {
	sockets, err := h.Sockets(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot tell what listens on port 22: %w", err)
	}
	var out []OtherSSHServer
	for _, s := range sockets {
		if s.Proto != "tcp" || s.Local.Port() != sshPort || known[s.PID] || s.Container != "" {
			continue
		}
		isSSHD := slices.ContainsFunc(daemons, func(d *SSHD) bool { return d.PID != 0 && slices.Contains(s.PIDs, d.PID) }) ||
			slices.Contains([]string{"ssh.socket", "sshd.socket"}, s.Unit)
		if !isSSHD {
			out = append(out, OtherSSHServer{Program: s.Exe, Place: s.String(), Running: true})
		}
	}
	return out, nil
}
