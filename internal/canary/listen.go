package canary

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/elastic/go-libaudit/v2/auparse"
	"golang.org/x/sys/unix"
)

// Source is where audit records are heard: [Listen] or [Follow].
type Source interface {
	// wait returns the event of a process about a file, nil when none came
	// before the context ended. The error is that some records were missed.
	wait(ctx context.Context, pid int, inode uint64) (*Event, error)
	Close() error
}

// listener hears the kernel's audit records while auditd goes on taking them.
type listener struct {
	fd     int
	buffer []byte
}

// The multicast group for those who only read (linux/audit.h), and room for
// what comes while nobody reads.
const (
	readLog       = 1
	receiveBuffer = 8 << 20
	longestRecord = 16 << 10
)

// Listen joins the kernel's group of readers, which needs CAP_AUDIT_READ.
func Listen() (Source, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err == nil {
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer),
			unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (readLog - 1)}),
		)
		if err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen to the kernel's audit: %w", err)
	}
	return &listener{fd: fd, buffer: make([]byte, longestRecord)}, nil
}

func (l *listener) Close() error { return unix.Close(l.fd) }

func (l *listener) wait(ctx context.Context, pid int, inode uint64) (*Event, error) {
	e := ear{pid: pid, inode: inode}
	for {
		n, from, err := unix.Recvfrom(l.fd, l.buffer, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			if ctx.Err() != nil {
				return nil, nil
			}
			fds := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}
			if _, err := unix.Poll(fds, int(pause/time.Millisecond)); err != nil && !errors.Is(err, unix.EINTR) {
				return nil, fmt.Errorf("cannot wait for the event: %w", err)
			}
		case err != nil: // ENOBUFS: more came than there was room for
			return nil, fmt.Errorf("cannot hear all that the kernel records: %w", err)
		default:
			sender, ok := from.(*unix.SockaddrNetlink)
			if !ok || sender.Pid != 0 || n <= unix.NLMSG_HDRLEN {
				continue
			}
			// struct nlmsghdr: length, type. Its length is not the message's.
			kind := auparse.AuditMessageType(binary.NativeEndian.Uint16(l.buffer[4:]))
			if !e.wants(kind) {
				continue
			}
			if record, err := auparse.Parse(kind, string(l.buffer[unix.NLMSG_HDRLEN:n])); err == nil {
				if event := e.hear(record); event != nil {
					return event, nil
				}
			}
		}
	}
}

// pause is how long is waited before it is seen whether the time is over.
const pause = 20 * time.Millisecond
