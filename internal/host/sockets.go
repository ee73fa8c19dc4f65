package host

import (
	"context"
	"net/netip"
)

type socketFacts struct{}

// Socket is a TCP socket that listens or a UDP socket that is bound, in the
// host's own network namespace.
type Socket struct {
	Proto   string         // tcp, udp
	Local   netip.AddrPort // 0.0.0.0 and :: mean all addresses
	V6Only  bool           // of an IPv6 socket: it takes no IPv4 (v4-mapped) traffic
	Device  string         // interface it is bound to; empty: any
	UID     uint32         // who made it
	Inode   uint64         // 0 for sockets without a file
	PIDs    []int          // processes that hold it, ascending; empty: the kernel's own, or not seen
	Kernel  bool           // no process holds it: NFS, WireGuard, VXLAN …
	Unit    string         // the unit of its first holder, or the socket unit when systemd holds it
	Process string         // program path of its first holder, else its comm
}

// Loopback reports whether only the host itself can reach the socket.
func (s Socket) Loopback() bool { return s.Local.Addr().Unmap().IsLoopback() }

// Sockets returns the listening TCP and the bound UDP sockets of IPv4 and
// IPv6, sorted by port, protocol and address. Network namespaces other than
// the host's (those of containers) are not looked at.
func (h *Host) Sockets(ctx context.Context) ([]Socket, error) {
	return nil, ErrNotRunning
}
