package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// maxSockets bounds what is looked at. Any user can open hundreds of thousands.
const maxSockets = 20_000

type socketFacts struct {
	sockets fact[[]Socket]
}

// Socket is a TCP socket that listens or a UDP socket that is bound to a port
// without a peer, in the host's own network namespace.
type Socket struct {
	Proto  string         // tcp, udp
	Local  netip.AddrPort // 0.0.0.0 and :: mean all addresses
	V6Only bool           // of an IPv6 socket: it takes no IPv4 traffic
	Device string         // the interface it is bound to; empty: any
	UID    uint32         // who made it
	Inode  uint64
	PIDs   []int  // processes that hold it, ascending
	Unheld bool   // no process has it open: the kernel's own (NFS, WireGuard, VXLAN …), or kept alive by io_uring
	Own    bool   // only hostguard itself has it open: it asks something
	Hidden string // why its holder cannot be seen; empty when it can, or when there surely is none

	// Of the process that serves it: the first holder outside of containers and
	// other than systemd, else the first in a container. Systemd holds a socket
	// alone until somebody connects.
	PID       int
	Exe       string // its program, else its name
	Genuine   bool   // Exe is the program that the host has under that path, or had and root has replaced; only then it says what serves
	Unit      string // its unit; of a socket that systemd holds alone, the socket unit
	Container string // the container it runs in
}

// Loopback reports whether only the host itself can reach the socket.
func (s Socket) Loopback() bool { return s.Local.Addr().Unmap().IsLoopback() || s.Device == "lo" }

// Families says which IP versions reach the socket: "4", "6" or "4 and 6".
func (s Socket) Families() string {
	addr := s.Local.Addr()
	switch {
	case addr.Is4() || addr.Is4In6():
		return "4"
	case addr.IsUnspecified() && !s.V6Only:
		return "4 and 6"
	}
	return "6"
}

// String names the socket as evidence does: "tcp 0.0.0.0:80".
func (s Socket) String() string {
	name := s.Proto + " " + s.Local.String()
	if s.Device != "" {
		name += " on " + s.Device
	}
	return name
}

// Sockets returns the listening TCP and the bound UDP sockets of IPv4 and
// IPv6, sorted by port, protocol and address, with who holds them. They come
// from the kernel by sock_diag(7); it needs root to see their holders. Network
// namespaces other than the host's (those of containers) are not looked at.
func (h *Host) Sockets(ctx context.Context) ([]Socket, error) {
	if !h.Running() {
		return nil, ErrNotRunning
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("cannot see who holds sockets: %w", ErrNotRoot)
	}
	return h.sockets.get(ctx, h.readSockets)
}

func (h *Host) readSockets(ctx context.Context) ([]Socket, error) {
	processes, err := h.Processes(ctx)
	if err != nil {
		return nil, err
	}
	sockets, err := diagSockets()
	if err != nil {
		return nil, err
	}
	if len(sockets) > maxSockets {
		return nil, fmt.Errorf("cannot look at the sockets: there are %d, and %d are the most", len(sockets), maxSockets)
	}
	holders, unseen, err := socketHolders(ctx, processes, sockets)
	if err != nil {
		return nil, err
	}
	systemdRuns := h.systemdAnswers(ctx) == nil
	heldBySystemd := false
	for i := range sockets {
		s := &sockets[i]
		s.PIDs = holders[s.Inode]
		if len(s.PIDs) == 0 && unseen != nil {
			s.Hidden = unseen.Error()
		}
		s.Unheld = len(s.PIDs) == 0 && unseen == nil
		s.Own = len(s.PIDs) == 1 && processes[s.PIDs[0]].Own
		s.PID = server(s.PIDs, processes, systemdRuns)
		p := processes[s.PID]
		s.Exe, s.Unit, s.Container = cmp.Or(p.Exe, p.Comm), p.Unit, p.Container
		s.Genuine = p.Container == "" && genuine(p)
		heldBySystemd = heldBySystemd || s.PID == 1 && systemdRuns
	}
	if heldBySystemd {
		if err := h.nameSocketUnits(ctx, sockets); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(sockets, func(a, b Socket) int {
		return cmp.Or(cmp.Compare(a.Local.Port(), b.Local.Port()), cmp.Compare(a.Proto, b.Proto),
			a.Local.Addr().Compare(b.Local.Addr()), cmp.Compare(a.Inode, b.Inode))
	})
	return sockets, nil
}

// server chooses the process that is taken to serve a socket, 0 when none
// holds it. Whoever is on the host comes first: a socket can be shared with a
// container's process, and is the host's all the same.
func server(holders []int, processes map[int]Process, systemdRuns bool) int {
	best, rank := 0, 3
	for _, pid := range holders {
		r := 0
		switch {
		case pid == 1 && systemdRuns:
			r = 2
		case processes[pid].Container != "":
			r = 1
		}
		if r < rank {
			best, rank = pid, r
		}
	}
	return best
}

// genuine reports whether a process runs the file that the host has under the
// path it shows. In a mount namespace of one's own, which any user can make, a
// program can lie under any path. Of a program that was replaced only its owner
// is left to go by.
func genuine(p Process) bool {
	var runs, lies unix.Stat_t
	if p.Exe == "" || unix.Stat(fmt.Sprintf("/proc/%d/exe", p.PID), &runs) != nil {
		return false
	}
	if strings.HasSuffix(p.Exe, " (deleted)") {
		return runs.Nlink == 0 && runs.Uid == 0
	}
	return unix.Stat(p.Exe, &lies) == nil && runs.Dev == lies.Dev && runs.Ino == lies.Ino
}

// nameSocketUnits replaces the unit of sockets that systemd holds alone by the
// socket unit they belong to.
func (h *Host) nameSocketUnits(ctx context.Context, sockets []Socket) error {
	all, err := h.AllUnits(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, u := range all {
		if strings.HasSuffix(u.Name, ".socket") && u.Active() {
			names = append(names, u.Name)
		}
	}
	units, err := h.loadedUnits(ctx, names...)
	if err != nil {
		return err
	}
	for i := range sockets {
		for _, name := range names {
			if sockets[i].PID == 1 && listensOn(units[name], sockets[i]) {
				sockets[i].Unit = name
			}
		}
	}
	return nil
}

func listensOn(u Unit, s Socket) bool {
	if u.Socket == nil {
		return false
	}
	proto := map[string]string{"Stream": "tcp", "Datagram": "udp"}
	return slices.ContainsFunc(u.Socket.Listen, func(l UnitListen) bool {
		addr, err := netip.ParseAddrPort(l.Address)
		return err == nil && proto[l.Type] == s.Proto && addr == s.Local
	})
}

// socketHolders finds the processes that have the sockets among their open
// files. It returns also why it could not look at some process.
func socketHolders(ctx context.Context, processes map[int]Process, sockets []Socket) (holders map[uint64][]int, unseen, err error) {
	wanted := make(map[uint64]bool, len(sockets))
	for _, s := range sockets {
		wanted[s.Inode] = true
	}
	var pids []int
	for pid, p := range processes {
		if !p.Kernel {
			pids = append(pids, pid)
		}
	}
	holders = make(map[uint64][]int)
	var mu sync.Mutex
	err = eachPID(ctx, pids, func(pid int) error {
		held, err := heldSockets(pid, wanted)
		mu.Lock()
		defer mu.Unlock()
		if denied(err) {
			unseen = err
			return nil
		}
		for _, inode := range held {
			holders[inode] = append(holders[inode], pid)
		}
		return err
	})
	for inode, pids := range holders {
		slices.Sort(pids)
		holders[inode] = slices.Compact(pids)
	}
	return holders, unseen, err
}

// heldSockets returns the inodes of a process's open sockets that are wanted.
func heldSockets(pid int, wanted map[uint64]bool) ([]uint64, error) {
	name := "/proc/" + strconv.Itoa(pid) + "/fd"
	dir, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var held []uint64
	buf := make([]byte, 64) // "socket:[4294967295]"; longer links are files
	for {
		fds, err := dir.Readdirnames(512)
		for _, fd := range fds {
			n, err := unix.Readlinkat(int(dir.Fd()), fd, buf)
			if denied(err) { // a process that even root may not look into
				return held, pathError("readlink", name+"/"+fd, err)
			}
			if err != nil {
				continue // closed meanwhile
			}
			if inode, ok := socketInode(buf[:n]); ok && wanted[inode] {
				held = append(held, inode)
			}
		}
		if errors.Is(err, io.EOF) {
			return held, nil
		}
		if err != nil {
			return held, err
		}
	}
}

func socketInode(link []byte) (uint64, bool) {
	digits, isSocket := strings.CutPrefix(string(link), "socket:[")
	if !isSocket || !strings.HasSuffix(digits, "]") {
		return 0, false
	}
	inode, err := strconv.ParseUint(digits[:len(digits)-1], 10, 64)
	return inode, err == nil
}
