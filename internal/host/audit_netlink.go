package host

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	libaudit "github.com/elastic/go-libaudit/v2"
	"golang.org/x/sys/unix"
)

// auditBuffer holds the longest answer: a rule with two paths of 4096 bytes
// and a key.
const auditBuffer = 16 << 10

// auditLink is a netlink connection to the kernel's audit. libaudit's own
// sleeps 50 ms whenever an answer is late; this one waits with poll(2).
type auditLink struct {
	fd       int
	port     uint32
	seq      atomic.Uint32
	buffer   []byte
	deadline time.Time
}

var _ libaudit.NetlinkSendReceiver = (*auditLink)(nil)

// auditPatience bounds the wait for the kernel, which answers at once.
const auditPatience = 3 * time.Second

func openAuditLink(ctx context.Context) (*auditLink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		return nil, err
	}
	link := &auditLink{fd: fd, buffer: make([]byte, auditBuffer), deadline: time.Now().Add(auditPatience)}
	if end, ok := ctx.Deadline(); ok && end.Before(link.deadline) {
		link.deadline = end
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		link.Close()
		return nil, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		link.Close()
		return nil, err
	}
	link.port = name.(*unix.SockaddrNetlink).Pid
	return link, nil
}

// Close ends the connection.
func (l *auditLink) Close() error { return unix.Close(l.fd) }

// Send sends one request and returns its sequence number.
func (l *auditLink) Send(msg syscall.NetlinkMessage) (uint32, error) {
	msg.Header.Pid = l.port
	msg.Header.Seq = l.seq.Add(1)
	msg.Header.Len = uint32(syscall.SizeofNlMsghdr + len(msg.Data))
	data := make([]byte, syscall.SizeofNlMsghdr, msg.Header.Len)
	*(*syscall.NlMsghdr)(unsafe.Pointer(&data[0])) = msg.Header
	data = append(data, msg.Data...)
	return msg.Header.Seq, unix.Sendto(l.fd, data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// SendNoWait is Send: requests to the kernel never wait.
func (l *auditLink) SendNoWait(msg syscall.NetlinkMessage) (uint32, error) { return l.Send(msg) }

// Receive waits for one message until the deadline.
func (l *auditLink) Receive(_ bool, parse libaudit.NetlinkParser) ([]syscall.NetlinkMessage, error) {
	for {
		n, from, err := unix.Recvfrom(l.fd, l.buffer, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			if err := l.wait(); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, err
		case n > len(l.buffer):
			return nil, fmt.Errorf("the kernel's answer of %d bytes is too long", n)
		default:
			if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
				continue // not from the kernel
			}
			return parse(l.buffer[:n])
		}
	}
}

func (l *auditLink) wait() error {
	left := time.Until(l.deadline)
	if left <= 0 {
		return errors.New("the kernel did not answer in time")
	}
	fds := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}
	_, err := unix.Poll(fds, int(left.Milliseconds())+1)
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}
