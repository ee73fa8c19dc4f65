package auditrule

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
)

// kernel is the real kernel's audit interface, for tests that put rules into
// it. Everything that a test adds it takes away again; rules of others stay.
type kernel struct {
	t   testing.TB
	fd  int
	seq uint32
}

const (
	msgSet       = 1001
	msgAddRule   = 1011
	msgDelRule   = 1012
	msgListRules = 1013
)

// openKernel needs the kernel's audit and keeps other test programs from using
// it at the same time.
func openKernel(t testing.TB) *kernel {
	t.Helper()
	lab.LockAudit(t)
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		t.Fatal(err)
	}
	k := &kernel{t: t, fd: fd}
	t.Cleanup(func() { unix.Close(fd) })
	return k
}

// request sends a message and returns the payloads of the answers before the
// end: the acknowledgement, and for a list the closing message.
func (k *kernel) request(kind uint16, payload []byte) ([][]byte, error) {
	k.seq++
	msg := make([]byte, 16, 16+len(payload))
	binary.NativeEndian.PutUint32(msg, uint32(16+len(payload)))
	binary.NativeEndian.PutUint16(msg[4:], kind)
	binary.NativeEndian.PutUint16(msg[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	binary.NativeEndian.PutUint32(msg[8:], k.seq)
	if err := unix.Sendto(k.fd, append(msg, payload...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	var answers [][]byte
	buf := make([]byte, 16<<10)
	for {
		n, _, err := unix.Recvfrom(k.fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if binary.NativeEndian.Uint32(buf[8:]) != k.seq {
			continue
		}
		switch got := binary.NativeEndian.Uint16(buf[4:]); got {
		case unix.NLMSG_ERROR:
			if code := int32(binary.NativeEndian.Uint32(buf[16:])); code != 0 {
				return nil, syscall.Errno(-code)
			}
			if kind != msgListRules {
				return nil, nil
			}
		case unix.NLMSG_DONE:
			return answers, nil
		default:
			answers = append(answers, append([]byte(nil), buf[16:n]...))
		}
	}
}

// add loads a rule until the test ends.
func (k *kernel) add(r *Rule) error {
	wire := r.Encode()
	if _, err := k.request(msgAddRule, wire); err != nil {
		return err
	}
	plain := *r
	plain.Prepend = false
	k.t.Cleanup(func() { k.remove(&plain) })
	return nil
}

// remove takes a rule away; one that is gone already is fine.
func (k *kernel) remove(r *Rule) {
	if _, err := k.request(msgDelRule, r.Encode()); err != nil && !errors.Is(err, unix.ENOENT) {
		k.t.Errorf("cannot remove %v: %v", r, err)
	}
}

func (k *kernel) list() []Rule {
	k.t.Helper()
	wire, err := k.request(msgListRules, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	var rules []Rule
	for _, w := range wire {
		r, err := Decode(w)
		if err != nil {
			k.t.Fatal(err)
		}
		rules = append(rules, r)
	}
	return rules
}

// auditctl runs the real program and returns what it prints, by lines.
func auditctl(t testing.TB, args ...string) ([]string, error) {
	t.Helper()
	out, err := exec.Command("/sbin/auditctl", args...).CombinedOutput()
	return strings.Split(strings.TrimRight(string(out), "\n"), "\n"), err
}

// thisHost is the Env and Paths of the machine that the test runs on.
type thisHost struct{}

func (thisHost) Machine() (Machine, error) {
	m, ok := ThisMachine()
	if !ok {
		return m, errors.New("unknown architecture")
	}
	return m, nil
}

func (thisHost) UID(name string) (uint32, bool, error) {
	if name == "root" {
		return 0, true, nil
	}
	return 0, false, nil
}

func (h thisHost) GID(name string) (uint32, bool, error) { return h.UID(name) }

func (thisHost) IsDir(name string) (bool, error) {
	info, err := os.Stat(name)
	return err == nil && info.IsDir(), nil
}

func (thisHost) Lstat(name string) (FileKind, error) {
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return Absent, nil
	case err != nil:
		return Absent, err
	case info.IsDir():
		return Dir, nil
	case info.Mode()&os.ModeSymlink != 0:
		return Link, nil
	case info.Mode()&os.ModeSocket != 0:
		return Socket, nil
	}
	return File, nil
}

func (thisHost) Readlink(name string) (string, error) { return os.Readlink(name) }
func (thisHost) Mounts() ([]Mount, error) {
	return []Mount{{Point: "/", Type: "ext4", Early: true}}, nil
}
func (thisHost) Vanishes(string) (bool, error) { return false, nil }
