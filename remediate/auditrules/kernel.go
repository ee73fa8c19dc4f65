// Package auditrules changes what the kernel's audit holds: one rule, or one
// switch of its status, each as a kind of thing that fix moves from one state
// to another and back. Nothing is ever replaced as a whole: rules that somebody
// else has loaded stay as they are.
package auditrules

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/remediate"
)

// Requests of linux/audit.h.
const (
	setStatus  = 1001
	addRule    = 1011
	deleteRule = 1012
)

// patience bounds the wait for the kernel, which answers at once.
const patience = 3 * time.Second

// LockedError says that the kernel's audit is immutable (auditctl -e 2): what
// it holds changes only with a reboot, which loads what is on disk.
type LockedError struct{}

func (*LockedError) Error() string {
	return "the kernel holds its audit configuration locked (-e 2): only a reboot changes it"
}

// RefusedError says that this process may not change the kernel's audit, as in
// a container, or that there is none to change.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string {
	return "cannot change the kernel's audit: " + e.Err.Error()
}

func (e *RefusedError) Unwrap() error { return e.Err }

// kernelError says that the kernel did not do what it was asked.
type kernelError struct{ err error }

func (e *kernelError) Error() string { return e.err.Error() }
func (e *kernelError) Unwrap() error { return e.err }

// back makes a conflict of what the kernel answers with a refusal when a move is
// taken back: it would refuse it again, and the rest can be taken back.
func back(t remediate.Thing, err error) error {
	var kernel *kernelError
	var answer unix.Errno
	var locked *LockedError
	if errors.As(err, &kernel) && errors.As(err, &answer) || errors.As(err, &locked) {
		return &remediate.ConflictError{Target: t.Target, Why: err.Error()}
	}
	return err
}

// ofThisHost makes a kind one that an image cannot be given: it has no kernel.
func ofThisHost(k remediate.Kind) remediate.Kind {
	k.Running = true
	return k
}

// status asks the kernel, and says when nothing can be changed.
func status(ctx context.Context) (host.AuditStatus, error) {
	s, err := host.New(host.Options{}).AuditStatus(ctx)
	if err != nil {
		return s, &RefusedError{err}
	}
	return s, nil
}

// request sends one request and waits until the kernel acknowledges it, see
// netlink(7). The error is the kernel's number, or that it did not answer.
func request(kind uint16, payload []byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	wait := unix.NsecToTimeval(int64(patience))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return err
	}
	const sequence = 1 // the socket is for this request alone
	message := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(payload))
	binary.NativeEndian.PutUint32(message, uint32(cap(message)))
	binary.NativeEndian.PutUint16(message[4:], kind)
	binary.NativeEndian.PutUint16(message[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	binary.NativeEndian.PutUint32(message[8:], sequence)
	if err := unix.Sendto(fd, append(message, payload...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 16<<10) // it repeats the request
	for {
		n, from, err := unix.Recvfrom(fd, answer, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return fmt.Errorf("the kernel did not answer within %v", patience)
		case err != nil:
			return err
		}
		sender, ok := from.(*unix.SockaddrNetlink)
		if !ok || sender.Pid != 0 || n < unix.SizeofNlMsghdr+4 ||
			binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR || binary.NativeEndian.Uint32(answer[8:]) != sequence {
			continue // not the acknowledgement
		}
		if code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 {
			return unix.Errno(-code)
		}
		return nil
	}
}
