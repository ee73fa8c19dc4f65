package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// diagTimeout bounds one dump of the kernel's socket table.
const diagTimeout = 5 // seconds

// diagDumps is what is asked for: TCP sockets that listen, UDP sockets that
// are bound and have no peer.
var diagDumps = []struct {
	proto    string
	protocol uint8
	family   uint8
	states   uint32
}{
	{"tcp", unix.IPPROTO_TCP, unix.AF_INET, 1 << tcpListen},
	{"tcp", unix.IPPROTO_TCP, unix.AF_INET6, 1 << tcpListen},
	{"udp", unix.IPPROTO_UDP, unix.AF_INET, 1 << tcpClose},
	{"udp", unix.IPPROTO_UDP, unix.AF_INET6, 1 << tcpClose},
}

// States and attributes of linux/tcp_states.h and linux/inet_diag.h.
const (
	tcpClose          = 7
	tcpListen         = 10
	diagAttrV6Only    = 11 // INET_DIAG_SKV6ONLY
	diagRequestLength = 56
	diagMessageLength = 72
)

// diagSockets asks the kernel for its sockets by netlink.
func diagSockets() ([]Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("cannot ask the kernel for its sockets: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: diagTimeout}); err != nil {
		return nil, fmt.Errorf("cannot ask the kernel for its sockets: %w", err)
	}
	var sockets []Socket
	for i, dump := range diagDumps {
		seq := uint32(i + 1)
		found, err := diagDump(fd, seq, dump.family, dump.protocol, dump.states)
		if errors.Is(err, unix.EINTR) { // the table changed meanwhile
			found, err = diagDump(fd, seq+100, dump.family, dump.protocol, dump.states)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot ask the kernel for its %s sockets: %w", dump.proto, err)
		}
		for _, s := range found {
			s.Proto = dump.proto
			sockets = append(sockets, s)
		}
	}
	return sockets, nil
}

func diagDump(fd int, seq uint32, family, protocol uint8, states uint32) ([]Socket, error) {
	request := make([]byte, unix.SizeofNlMsghdr+diagRequestLength)
	binary.NativeEndian.PutUint32(request, uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	binary.NativeEndian.PutUint32(request[8:], seq)
	body := request[unix.SizeofNlMsghdr:]
	body[0], body[1] = family, protocol
	binary.NativeEndian.PutUint32(body[4:], states)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	var sockets []Socket
	buf := make([]byte, 64<<10)
	for {
		n, from, err := unix.Recvfrom(fd, buf, unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return nil, fmt.Errorf("no answer within %d s", diagTimeout)
		case err != nil:
			return nil, err
		case n > len(buf):
			return nil, errors.New("the answer was cut short")
		}
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
			continue // not the kernel
		}
		found, done, err := parseDiag(buf[:n], seq)
		if err != nil {
			return nil, err
		}
		if sockets = append(sockets, found...); done {
			return sockets, nil
		}
	}
}

// parseDiag reads one datagram of the kernel's answer, see sock_diag(7) and
// netlink(7). It returns EINTR when the kernel says the dump is inconsistent.
func parseDiag(data []byte, seq uint32) (sockets []Socket, done bool, err error) {
	errShort := errors.New("the answer is malformed")
	for len(data) > 0 {
		if len(data) < unix.SizeofNlMsghdr {
			return nil, false, errShort
		}
		length := int(binary.NativeEndian.Uint32(data))
		kind, flags := binary.NativeEndian.Uint16(data[4:]), binary.NativeEndian.Uint16(data[6:])
		if length < unix.SizeofNlMsghdr || length > len(data) {
			return nil, false, errShort
		}
		body := data[unix.SizeofNlMsghdr:length]
		ours := binary.NativeEndian.Uint32(data[8:]) == seq
		data = data[min((length+3)&^3, len(data)):]
		switch {
		case !ours: // of an earlier dump that was given up
		case flags&unix.NLM_F_DUMP_INTR != 0:
			return nil, false, unix.EINTR
		case kind == unix.NLMSG_DONE:
			return sockets, true, nil
		case kind == unix.NLMSG_ERROR:
			if len(body) < 4 {
				return nil, false, errShort
			}
			return nil, false, unix.Errno(-int32(binary.NativeEndian.Uint32(body)))
		case kind == unix.SOCK_DIAG_BY_FAMILY:
			s, ok := parseDiagSocket(body)
			if !ok {
				return nil, false, errShort
			}
			sockets = append(sockets, s)
		}
	}
	return sockets, false, nil
}

// parseDiagSocket reads a struct inet_diag_msg and its attributes.
func parseDiagSocket(body []byte) (Socket, bool) {
	if len(body) < diagMessageLength {
		return Socket{}, false
	}
	var addr netip.Addr
	switch body[0] {
	case unix.AF_INET:
		addr = netip.AddrFrom4([4]byte(body[8:12]))
	case unix.AF_INET6:
		addr = netip.AddrFrom16([16]byte(body[8:24]))
	default:
		return Socket{}, false
	}
	s := Socket{
		Local: netip.AddrPortFrom(addr, binary.BigEndian.Uint16(body[4:])),
		UID:   binary.NativeEndian.Uint32(body[64:]),
		Inode: uint64(binary.NativeEndian.Uint32(body[68:])),
	}
	if device := binary.NativeEndian.Uint32(body[40:]); device != 0 {
		s.Device = deviceName(device)
	}
	for attrs := body[diagMessageLength:]; len(attrs) >= 4; {
		length, kind := int(binary.NativeEndian.Uint16(attrs)), binary.NativeEndian.Uint16(attrs[2:])
		if length < 4 || length > len(attrs) {
			return Socket{}, false
		}
		if kind == diagAttrV6Only && length > 4 {
			s.V6Only = attrs[4] != 0
		}
		attrs = attrs[min((length+3)&^3, len(attrs)):]
	}
	return s, true
}

// deviceName is the interface's name, or its number when it has gone.
func deviceName(index uint32) string {
	if dev, err := net.InterfaceByIndex(int(index)); err == nil {
		return dev.Name
	}
	return fmt.Sprintf("interface %d", index)
}
