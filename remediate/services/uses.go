package services

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hostguard/hostguard/internal/host"
)

// uses is what can be seen now of who depends on which unit.
type uses struct {
	processes  map[int]host.Process
	ancestors  map[string]bool // units that hostguard was started from
	byInode    map[uint64]int  // connection → process
	ends       map[ends]uint64 // connection by its two ends
	bridges    []netip.Prefix  // docker's networks on this host
	containers []host.Container
	listening  map[string]uint64 // path of a unix socket → inode
}

// ends are the two ends of a connection, this one first.
type ends struct{ local, remote netip.AddrPort }

// findUses looks at processes, their connections, and containers' mounts. It
// sees what is connected at this moment.
func findUses(ctx context.Context, h *host.Host) (*uses, error) {
	u := &uses{ancestors: map[string]bool{}, byInode: map[uint64]int{}, ends: map[ends]uint64{}, listening: map[string]uint64{}}
	var err error
	if u.processes, err = h.Processes(ctx); err != nil {
		return nil, err
	}
	for pid := os.Getpid(); pid > 1 && len(u.ancestors) < len(u.processes)+1; {
		p, known := u.processes[pid]
		if !known {
			break
		}
		u.ancestors[p.Unit] = true
		pid = p.PPID
	}
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		if err := u.readConnections(file); err != nil {
			return nil, err
		}
	}
	if err := u.readListening("/proc/self/net/unix"); err != nil {
		return nil, err
	}
	u.findHolders()
	if u.bridges, err = dockerBridges(); err != nil {
		return nil, err
	}
	u.containers, err = h.Containers(ctx)
	if errors.Is(err, host.ErrDockerDown) {
		err = nil
	}
	return u, err
}

// of says who uses a unit, which listens at the given addresses if it is a
// socket; empty: nobody that can be seen.
func (u *uses) of(name string, listens []string) string {
	if u.ancestors[name] {
		return "hostguard itself was started from it"
	}
	for _, p := range u.processes {
		if p.Unit == name && isSSHD(p) {
			return fmt.Sprintf("people may get in over it: process %d is %s", p.PID, p.Program())
		}
	}
	for e, inode := range u.ends {
		p, held := u.processes[u.byInode[inode]]
		if !held || p.Unit != name {
			continue
		}
		other := u.processes[u.byInode[u.ends[ends{e.remote, e.local}]]]
		switch {
		case isSSHD(other):
			return fmt.Sprintf("it carries an SSH login (process %d)", other.PID)
		case other.Container != "":
			return fmt.Sprintf("the container %.12s is connected to it", other.Container)
		case slices.ContainsFunc(u.bridges, func(b netip.Prefix) bool { return b.Contains(e.remote.Addr()) && b.Addr() != e.remote.Addr() }):
			return fmt.Sprintf("a container is connected to it (%v)", e.remote)
		}
	}
	sockets := slices.Clone(listens)
	for socket, inode := range u.listening {
		if p, held := u.processes[u.byInode[inode]]; held && p.Unit == name {
			sockets = append(sockets, socket)
		}
	}
	for _, socket := range sockets {
		for _, c := range u.containers {
			if path.IsAbs(socket) && slices.ContainsFunc(c.Mounts, func(m host.ContainerMount) bool { return leadsTo(m.Source, socket) }) {
				return fmt.Sprintf("the container %s has its socket %s mounted", c.Name, socket)
			}
		}
	}
	return ""
}

func isSSHD(p host.Process) bool {
	return slices.Contains([]string{"sshd", "sshd-session", "sshd-auth", "dropbear"}, p.Program())
}

// leadsTo reports whether a mount of a container is made for a socket: it is
// the socket, or a folder of it that is not one of everybody's.
func leadsTo(source, socket string) bool {
	source, socket = withoutVarRun(source), withoutVarRun(socket)
	if slices.Contains([]string{"/", "/run", "/var", "/var/lib", "/tmp", "/var/tmp"}, source) {
		return false
	}
	return source == socket || strings.HasPrefix(socket, source+"/")
}

func withoutVarRun(name string) string {
	if rest, under := strings.CutPrefix(path.Clean(name), "/var/run"); under && (rest == "" || rest[0] == '/') {
		return "/run" + rest
	}
	return path.Clean(name)
}

// readConnections reads the established connections of /proc/net/tcp, see
// proc_net(5).
func (u *uses) readConnections(file string) error {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil // without IPv6
	}
	if err != nil {
		return fmt.Errorf("cannot see who is connected to what: %w", err)
	}
	const established = "01"
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[3] != established {
			continue
		}
		local, err1 := parseEnd(f[1])
		remote, err2 := parseEnd(f[2])
		inode, err3 := strconv.ParseUint(f[9], 10, 64)
		if err := errors.Join(err1, err2, err3); err != nil {
			return fmt.Errorf("cannot read %s: %w", file, err)
		}
		u.ends[ends{local, remote}] = inode
	}
	return lines.Err()
}

// parseEnd reads an address and port as the kernel prints them: hexadecimal,
// the address as words in this machine's byte order.
func parseEnd(text string) (netip.AddrPort, error) {
	address, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(address)
	if err != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, fmt.Errorf("%q is not an address", text)
	}
	if littleEndian {
		for i := 0; i < len(raw); i += 4 {
			slices.Reverse(raw[i : i+4])
		}
	}
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is not a port", text)
	}
	addr, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), nil
}

// readListening reads the paths of listening unix sockets.
func (u *uses) readListening(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("cannot see which sockets are listened at: %w", err)
	}
	const accepting = "00010000" // __SO_ACCEPTCON
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		f := strings.SplitN(strings.TrimSpace(lines.Text()), " ", 8)
		f = slices.DeleteFunc(f, func(s string) bool { return s == "" })
		if len(f) < 7 || f[3] != accepting {
			continue
		}
		words := strings.Fields(strings.Join(f[6:], " "))
		if len(words) < 1 {
			continue
		}
		inode, err := strconv.ParseUint(words[0], 10, 64)
		if err == nil && len(words) > 1 && path.IsAbs(words[1]) {
			u.listening[strings.Join(words[1:], " ")] = inode
		}
	}
	return lines.Err()
}

// findHolders finds the process of each connection and listening socket. A
// process that ends meanwhile is left out.
func (u *uses) findHolders() {
	wanted := map[uint64]bool{}
	for _, inode := range u.ends {
		wanted[inode] = true
	}
	for _, inode := range u.listening {
		wanted[inode] = true
	}
	for pid, p := range u.processes {
		if p.Kernel || pid == 1 {
			continue
		}
		dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			text, err := os.Readlink(filepath.Join(dir, e.Name()))
			if err != nil {
				continue
			}
			number, isSocket := strings.CutPrefix(text, "socket:[")
			inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64)
			if isSocket && err == nil && wanted[inode] && (u.byInode[inode] == 0 || isSSHD(p)) {
				u.byInode[inode] = pid
			}
		}
	}
}

// dockerBridges are the networks of docker's bridges, with the host's own
// address in each.
func dockerBridges() ([]netip.Prefix, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("cannot list the host's networks: %w", err)
	}
	var found []netip.Prefix
	for _, i := range interfaces {
		if i.Name != "docker0" && i.Name != "docker_gwbridge" && !strings.HasPrefix(i.Name, "br-") {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("cannot list the addresses of %s: %w", i.Name, err)
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				found = append(found, p)
			}
		}
	}
	return found, nil
}
