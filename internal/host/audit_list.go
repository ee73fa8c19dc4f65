package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel sends each rule as a message of its own, by a thread that sleeps
// while the receiver's queue is full. So the queue is long enough for some
// thousand rules, and many messages are taken by one system call: when rules
// are loaded, each call of a process may be compared with all of them.
const (
	auditQueue   = 4 << 20
	auditSlots   = 32
	auditListing = 1013 // AUDIT_LIST_RULES of linux/audit.h

	// Who takes each message as it comes makes the thread and itself take turns.
	auditGather = 200 * time.Microsecond
)

// mmsghdr is what recvmmsg(2) fills in for one message.
type mmsghdr struct {
	unix.Msghdr
	n uint32
	_ [4]byte
}

// slots is room for messages.
type slots struct {
	buffer  []byte
	headers [auditSlots]mmsghdr
	vectors [auditSlots]unix.Iovec
	senders [auditSlots]unix.RawSockaddrNetlink
}

func newSlots() *slots {
	s := &slots{buffer: make([]byte, auditSlots*auditBuffer)}
	for i := range s.headers {
		s.vectors[i].Base = &s.buffer[i*auditBuffer]
		s.vectors[i].SetLen(auditBuffer)
		s.headers[i].Iov = &s.vectors[i]
		s.headers[i].SetIovlen(1)
		s.headers[i].Name = (*byte)(unsafe.Pointer(&s.senders[i]))
	}
	return s
}

// receive takes up to all slots' messages without waiting: unix.EAGAIN when
// there is none.
func (s *slots) receive(fd int) (n int, err error) {
	for i := range s.headers {
		s.headers[i].Namelen = unix.SizeofSockaddrNetlink
	}
	got, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&s.headers[0])), auditSlots,
		unix.MSG_DONTWAIT|unix.MSG_TRUNC, 0, 0)
	runtime.KeepAlive(s)
	if errno != 0 {
		return 0, errno
	}
	return int(got), nil
}

// message is the one of a slot; it is nil when the kernel did not send it.
func (s *slots) message(i int) ([]byte, error) {
	n := int(s.headers[i].n)
	switch {
	case s.senders[i].Pid != 0 || s.headers[i].Namelen < unix.SizeofSockaddrNetlink:
		return nil, nil
	case n > auditBuffer:
		return nil, fmt.Errorf("the kernel's answer of %d bytes is too long", n)
	case n < unix.SizeofNlMsghdr:
		return nil, fmt.Errorf("the kernel's answer of %d bytes is too short", n)
	}
	return s.buffer[i*auditBuffer:][:n], nil
}

// listRules asks for the loaded rules and hands each to take, in the kernel's
// order and as audit_rule_data; take must not keep it. The kernel makes the
// list at one moment: rules that come and go meanwhile do not tear it.
func (l *auditLink) listRules(take func([]byte) error) error {
	// Without the privilege the queue is shorter, and the list takes longer.
	_ = unix.SetsockoptInt(l.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, auditQueue)
	return l.receiveRules(take)
}

func (l *auditLink) receiveRules(take func([]byte) error) error {
	seq, err := l.Send(syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: auditListing, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK}})
	if err != nil {
		return err
	}
	s := newSlots()
	for acknowledged, gathered := false, false; ; {
		n, err := s.receive(l.fd)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN) && !gathered:
			time.Sleep(auditGather)
			gathered = true
			continue
		case errors.Is(err, unix.EAGAIN):
			if err := l.wait(); err != nil {
				return err
			}
			gathered = false
			continue
		case err != nil:
			return err
		}
		for i := range n {
			msg, err := s.message(i)
			if err != nil {
				return err
			}
			if msg == nil || binary.NativeEndian.Uint32(msg[8:]) != seq {
				continue // not an answer: records come with 0
			}
			body := msg[unix.SizeofNlMsghdr:]
			switch kind := binary.NativeEndian.Uint16(msg[4:]); {
			case kind == unix.NLMSG_ERROR:
				if err := netlinkError(body); err != nil {
					return err
				}
				acknowledged = true
			case !acknowledged:
				return fmt.Errorf("the kernel answered with a message of type %d before it agreed", kind)
			case kind == unix.NLMSG_DONE:
				return nil
			case kind == auditListing:
				if err := take(body); err != nil {
					return err
				}
			default:
				return fmt.Errorf("the kernel listed a message of type %d among its rules", kind)
			}
		}
	}
}

// netlinkError is what struct nlmsgerr says, see netlink(7); nil is agreement.
func netlinkError(body []byte) error {
	if len(body) < 4 {
		return errors.New("the kernel's answer is too short")
	}
	if code := int32(binary.NativeEndian.Uint32(body)); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}
