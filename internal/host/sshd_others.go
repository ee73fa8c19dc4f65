package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
var otherServers = []string{"dropbear", "dropbearmulti", "tinysshd", "lshd", "wolfsshd", "esshd"}

var otherServerDirs = []string{"/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/sbin", "/bin"}

// otherServerUnits start them: services, sockets and templates of either.
var otherServerUnits = []string{"dropbear", "tinysshd", "lsh-server", "lshd"}

// IsOtherSSHUnit reports whether a unit of this name is an SSH server other than
// OpenSSH's, an instance of a template included.
func IsOtherSSHUnit(name string) bool {
	stem, isService := strings.CutSuffix(name, ".service")
	if !isService {
		var isSocket bool
		if stem, isSocket = strings.CutSuffix(name, ".socket"); !isSocket {
			return false
		}
	}
	stem, _, _ = strings.Cut(stem, "@")
	return slices.Contains(otherServerUnits, stem)
}

// otherSSH finds SSH servers that are not the daemons.
func (h *Host) otherSSH(ctx context.Context, processes map[int]Process, daemons []*SSHD) ([]OtherSSHServer, error) {
	var out []OtherSSHServer
	runs := map[int]bool{}
	for _, pid := range sortedPIDs(processes) {
		p := processes[pid]
		name := p.Program()
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
	programs, err := h.otherSSHPrograms()
	if err != nil {
		return nil, err
	}
	units, err := h.otherSSHUnits(ctx, len(programs) > 0)
	if err != nil {
		return nil, err
	}
	return slices.Concat(out, programs, units), nil
}

// otherSSHPrograms are those installed, whether something starts them or not.
func (h *Host) otherSSHPrograms() (out []OtherSSHServer, err error) {
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
	return out, nil
}

// otherSSHUnits are the units that are active, or that the next boot starts. The
// files of all units are read only where there is a sign of such a server: of an
// image that does not boot they may be in any state.
func (h *Host) otherSSHUnits(ctx context.Context, installed bool) (out []OtherSSHServer, err error) {
	states := map[string]string{}
	if h.Running() && h.systemdAnswers(ctx) == nil {
		units, err := h.AllUnits(ctx)
		if err != nil {
			return nil, fmt.Errorf("cannot tell which SSH servers run: %w", err)
		}
		for _, u := range units {
			if IsOtherSSHUnit(u.Name) && u.ActiveState != "inactive" && u.ActiveState != "failed" {
				states[u.Name] = u.ActiveState
			}
		}
	}
	for _, stem := range otherServerUnits {
		for _, suffix := range []string{".service", ".socket", "@.service"} {
			file, err := h.unitFile(stem + suffix)
			if err != nil {
				return nil, fmt.Errorf("cannot tell which SSH servers are installed: %w", err)
			}
			installed = installed || file != ""
		}
	}
	if installed {
		tree, err := h.UnitFiles(ctx)
		if err != nil {
			return nil, fmt.Errorf("cannot tell which SSH servers are started at boot: %w", err)
		}
		for name, by := range tree.AtBoot() {
			if IsOtherSSHUnit(name) {
				states[name] = by
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(states)) {
		out = append(out, OtherSSHServer{Program: name, Place: name + " (" + states[name] + ")", Running: true})
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
