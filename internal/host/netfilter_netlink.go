package host

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// netlinkSocket asks the kernel over netlink(7), one question after the other.
type netlinkSocket struct {
	fd   int
	seq  uint32
	left int // bytes that answers may still have
	buf  []byte
}

// dialNetlink opens a netlink socket of a family of netlink whose answers may
// have max bytes together.
func dialNetlink(family, max int) (*netlinkSocket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, family)
	if err != nil {
		return nil, err
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: diagTimeout}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &netlinkSocket{fd: fd, left: max, buf: make([]byte, 32<<10)}, nil
}

func (n *netlinkSocket) close() { unix.Close(n.fd) }

// dump asks for a list and calls each for its messages, whose bodies each may
// keep. It returns EINTR when the list changed meanwhile.
func (n *netlinkSocket) dump(kind uint16, body []byte, each func(kind uint16, body []byte)) error {
	return n.exchange(kind, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, body, each)
}

// ask asks for one thing.
func (n *netlinkSocket) ask(kind uint16, body []byte, each func(kind uint16, body []byte)) error {
	return n.exchange(kind, unix.NLM_F_REQUEST|unix.NLM_F_ACK, body, each)
}

func (n *netlinkSocket) exchange(kind, flags uint16, body []byte, each func(kind uint16, body []byte)) error {
	n.seq++
	request := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(body))
	binary.NativeEndian.PutUint32(request, uint32(unix.SizeofNlMsghdr+len(body)))
	binary.NativeEndian.PutUint16(request[4:], kind)
	binary.NativeEndian.PutUint16(request[6:], flags)
	binary.NativeEndian.PutUint32(request[8:], n.seq)
	if err := unix.Sendto(n.fd, append(request, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	for {
		size, from, err := unix.Recvfrom(n.fd, n.buf, unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return fmt.Errorf("no answer within %d s", diagTimeout)
		case err != nil:
			return err
		case size > len(n.buf):
			return errors.New("the answer was cut short")
		}
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
			continue // not the kernel
		}
		if n.left -= size; n.left < 0 {
			return fmt.Errorf("%w: the kernel's answer", ErrTooLarge)
		}
		done, err := n.parse(n.buf[:size], each)
		if done || err != nil {
			return err
		}
	}
}

// parse hands out the messages of one datagram, netlink(7).
func (n *netlinkSocket) parse(data []byte, each func(kind uint16, body []byte)) (done bool, err error) {
	errMalformed := errors.New("the answer is malformed")
	kept := append([]byte(nil), data...) // what is handed out is kept
	for data = kept; len(data) > 0; {
		if len(data) < unix.SizeofNlMsghdr {
			return false, errMalformed
		}
		length := int(binary.NativeEndian.Uint32(data))
		kind, flags := binary.NativeEndian.Uint16(data[4:]), binary.NativeEndian.Uint16(data[6:])
		if length < unix.SizeofNlMsghdr || length > len(data) {
			return false, errMalformed
		}
		body := data[unix.SizeofNlMsghdr:length]
		ours := binary.NativeEndian.Uint32(data[8:]) == n.seq
		data = data[min((length+3)&^3, len(data)):]
		switch {
		case !ours: // of an earlier question that was given up
		case flags&unix.NLM_F_DUMP_INTR != 0:
			return false, unix.EINTR
		case kind == unix.NLMSG_DONE:
			if len(body) >= 4 {
				if code := int32(binary.NativeEndian.Uint32(body)); code < 0 {
					return false, unix.Errno(-code)
				}
			}
			return true, nil
		case kind == unix.NLMSG_ERROR:
			if len(body) < 4 {
				return false, errMalformed
			}
			if code := int32(binary.NativeEndian.Uint32(body)); code != 0 {
				return false, unix.Errno(-code)
			}
			return true, nil // acknowledged
		default:
			each(kind, body)
		}
	}
	return false, nil
}
