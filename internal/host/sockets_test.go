package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
	"golang.org/x/sys/unix"
)

// TestSocketsOfThisTest opens sockets of all kinds and looks for them.
func TestSocketsOfThisTest(t *testing.T) {
	lab.Need(t, lab.Root)
	t.Parallel()
	open := []struct {
		network, address string
		want             string // as Socket says it, the port apart
		families         string
		loopback         bool
	}{
		{"tcp4", "127.0.0.1:0", "tcp 127.0.0.1", "4", true},
		{"tcp4", "0.0.0.0:0", "tcp 0.0.0.0", "4", false},
		{"tcp6", "[::1]:0", "tcp [::1]", "6", true},
		{"tcp", "[::]:0", "tcp [::]", "4 and 6", false}, // hard case 29
		{"tcp6", "[::]:0", "tcp [::]", "6", false},
		{"udp4", "0.0.0.0:0", "udp 0.0.0.0", "4", false},
		{"udp", "[::]:0", "udp [::]", "4 and 6", false},
		{"udp6", "[::1]:0", "udp [::1]", "6", true},
	}
	ports := make([]uint16, len(open))
	for i, o := range open {
		if strings.HasPrefix(o.network, "tcp") {
			l, err := net.Listen(o.network, o.address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			ports[i] = l.Addr().(*net.TCPAddr).AddrPort().Port()
		} else {
			l, err := net.ListenPacket(o.network, o.address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			ports[i] = l.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		}
	}
	peer, err := net.Dial("udp4", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()

	sockets, err := New(Options{}).Sockets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range open {
		want := fmt.Sprintf("%s:%d", o.want, ports[i])
		at := slices.IndexFunc(sockets, func(s Socket) bool { return s.String() == want })
		if at < 0 {
			t.Errorf("%s is not among the sockets", want)
			continue
		}
		s := sockets[at]
		if s.Families() != o.families || s.Loopback() != o.loopback {
			t.Errorf("%s: reached over %s, loopback %v; want %s, %v", want, s.Families(), s.Loopback(), o.families, o.loopback)
		}
		if s.PID != os.Getpid() || s.Exe != self || !s.Genuine || !s.Own || s.Unheld || s.Hidden != "" {
			t.Errorf("%s: held by %d %s (unheld %v, hidden %q), want %d %s", want, s.PID, s.Exe, s.Unheld, s.Hidden, os.Getpid(), self)
		}
	}
	local := peer.LocalAddr().(*net.UDPAddr).AddrPort()
	if slices.ContainsFunc(sockets, func(s Socket) bool { return s.Proto == "udp" && s.Local == local }) {
		t.Errorf("the socket %v, which speaks with one peer only, counts as listening", local)
	}
}

// A program under sshd's path, in a mount namespace of its own, is not sshd.
func TestGenuineProgram(t *testing.T) {
	lab.Need(t, lab.SSHD, lab.Root)
	t.Parallel()
	removed := filepath.Join(t.TempDir(), "sleep")
	for name, c := range map[string]struct {
		args []string
		exe  string
		want bool
	}{
		"a program of the host": {[]string{"/bin/sleep", "60"}, "", true},
		"laid over sshd's path": {[]string{"/usr/bin/unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", "mount --bind /bin/sleep /usr/sbin/sshd && exec /usr/sbin/sshd 60"}, sshdProgram, false},
		"called deleted":        {[]string{"/usr/bin/unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", "mount -t tmpfs none /media && cp /bin/sleep '/media/sshd (deleted)' && exec '/media/sshd (deleted)' 60"}, "/media/sshd (deleted)", false},
		"deleted":               {[]string{"/bin/bash", "-c", `cp /bin/sleep "$0" && exec -a sleep "$0" 60`, removed}, removed, true},
	} {
		cmd := exec.Command(c.args[0], c.args[1:]...)
		must(t, cmd.Start())
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		var p Process
		waitFor(t, func() bool {
			p, _ = readProcess(cmd.Process.Pid)
			return c.exe == "" || p.Exe == c.exe
		})
		if p.Exe == removed {
			must(t, os.Remove(removed))
			p, _ = readProcess(cmd.Process.Pid)
		}
		if got := genuine(p); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestSocketServer(t *testing.T) {
	t.Parallel()
	processes := map[int]Process{1: {}, 5: {Container: "c"}, 7: {}, 9: {}}
	for _, c := range []struct {
		holders []int
		systemd bool
		want    int
	}{
		{nil, true, 0}, {[]int{1}, true, 1}, {[]int{1, 7, 9}, true, 7}, {[]int{1, 7}, false, 1},
		{[]int{5}, true, 5}, {[]int{1, 5}, true, 5}, {[]int{5, 9}, true, 9},
	} {
		if got := server(c.holders, processes, c.systemd); got != c.want {
			t.Errorf("%v: %d, want %d", c.holders, got, c.want)
		}
	}
}

// TestSocketsAsSS compares with ss on this machine; sockets that came or went
// in between are looked for again.
func TestSocketsAsSS(t *testing.T) {
	lab.Need(t, lab.Root)
	t.Parallel()
	var missing, extra []string
	for range 10 {
		sockets, err := New(Options{}).Sockets(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var ours []string
		for _, s := range sockets {
			ours = append(ours, s.ssForm())
		}
		missing, extra = difference(ssSockets(lab.Exec(t, "ss", "-Hlntu").Stdout), ours)
		if len(missing)+len(extra) == 0 {
			return
		}
	}
	t.Errorf("only ss sees %q, only we see %q", missing, extra)
}

// ssForm writes a socket as ss does, where * means both families.
func (s Socket) ssForm() string {
	addr := s.Local.Addr().String()
	switch {
	case s.Local.Addr().Is6() && s.Local.Addr().IsUnspecified() && !s.V6Only:
		addr = "*"
	case s.Local.Addr().Is6():
		addr = "[" + addr + "]"
	}
	if s.Device != "" {
		addr += "%" + s.Device
	}
	return fmt.Sprintf("%s %s:%d", s.Proto, addr, s.Local.Port())
}

func ssSockets(out string) []string {
	var sockets []string
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) >= 5 {
			sockets = append(sockets, f[0]+" "+f[4])
		}
	}
	return sockets
}

// difference returns what only one of the lists holds.
func difference(a, b []string) (onlyA, onlyB []string) {
	for _, s := range a {
		if !slices.Contains(b, s) {
			onlyA = append(onlyA, s)
		}
	}
	for _, s := range b {
		if !slices.Contains(a, s) {
			onlyB = append(onlyB, s)
		}
	}
	return onlyA, onlyB
}

func TestSocketsNeedARunningSystem(t *testing.T) {
	t.Parallel()
	if _, err := New(Options{Root: t.TempDir()}).Sockets(context.Background()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v, want %v", err, ErrNotRunning)
	}
}

// diagReply builds what the kernel sends for one socket.
func diagReply(kind, flags uint16, seq uint32, body []byte) []byte {
	m := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(body))
	binary.NativeEndian.PutUint32(m, uint32(unix.SizeofNlMsghdr+len(body)))
	binary.NativeEndian.PutUint16(m[4:], kind)
	binary.NativeEndian.PutUint16(m[6:], flags)
	binary.NativeEndian.PutUint32(m[8:], seq)
	return append(m, body...)
}

func diagBody(family byte, addr netip.AddrPort, attrs ...byte) []byte {
	b := make([]byte, diagMessageLength)
	b[0] = family
	binary.BigEndian.PutUint16(b[4:], addr.Port())
	copy(b[8:], addr.Addr().AsSlice())
	return append(b, attrs...)
}

func TestParseDiag(t *testing.T) {
	t.Parallel()
	http := netip.MustParseAddrPort("[::]:80")
	v6only := []byte{5, 0, diagAttrV6Only, 0, 1, 0, 0, 0}
	done := diagReply(unix.NLMSG_DONE, unix.NLM_F_MULTI, 1, make([]byte, 4))
	for name, test := range map[string]struct {
		data []byte
		want string
		done bool
		err  error
	}{
		"two and the end": {
			data: slices.Concat(
				diagReply(unix.SOCK_DIAG_BY_FAMILY, 0, 1, diagBody(unix.AF_INET6, http, v6only...)),
				diagReply(unix.SOCK_DIAG_BY_FAMILY, 0, 1, diagBody(unix.AF_INET, netip.MustParseAddrPort("10.0.0.1:53"))), done),
			want: "[::]:80 true, 10.0.0.1:53 false", done: true,
		},
		"more to come":          {data: diagReply(unix.SOCK_DIAG_BY_FAMILY, 0, 1, diagBody(unix.AF_INET6, http)), want: "[::]:80 false"},
		"of another dump":       {data: slices.Concat(diagReply(unix.SOCK_DIAG_BY_FAMILY, 0, 7, diagBody(unix.AF_INET6, http)), done), done: true},
		"the table changed":     {data: diagReply(unix.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP_INTR, 1, diagBody(unix.AF_INET6, http)), err: unix.EINTR},
		"refused":               {data: diagReply(unix.NLMSG_ERROR, 0, 1, []byte{0xfe, 0xff, 0xff, 0xff}), err: unix.ENOENT},
		"refused without a why": {data: diagReply(unix.NLMSG_ERROR, 0, 1, nil), err: errors.New("malformed")},
		"header cut":            {data: done[:10], err: errors.New("malformed")},
		"length past the end":   {data: append([]byte{200, 0, 0, 0}, done[4:]...), err: errors.New("malformed")},
		"length too small":      {data: append([]byte{3, 0, 0, 0}, done[4:]...), err: errors.New("malformed")},
		"socket cut":            {data: diagReply(unix.SOCK_DIAG_BY_FAMILY, 0, 1, make([]byte, 40)), err: errors.New("malformed")},
		"attribute cut":         {data: diagReply(unix.SOCK_DIAG_BY_FAMILY, 0, 1, diagBody(unix.AF_INET6, http, 9, 0, 11, 0)), err: errors.New("malformed")},
		"unknown family":        {data: diagReply(unix.SOCK_DIAG_BY_FAMILY, 0, 1, diagBody(unix.AF_UNIX, http)), err: errors.New("malformed")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sockets, done, err := parseDiag(test.data, 1)
			var got []string
			for _, s := range sockets {
				got = append(got, fmt.Sprint(s.Local, " ", s.V6Only))
			}
			var errno unix.Errno
			switch {
			case (err != nil) != (test.err != nil), errors.As(test.err, &errno) && !errors.Is(err, errno):
				t.Errorf("got error %v, want %v", err, test.err)
			case err == nil && (strings.Join(got, ", ") != test.want || done != test.done):
				t.Errorf("got %q, done %v, want %q, %v", got, done, test.want, test.done)
			}
		})
	}
}

func FuzzParseDiag(f *testing.F) {
	f.Add(diagReply(unix.SOCK_DIAG_BY_FAMILY, 0, 1, diagBody(unix.AF_INET6, netip.MustParseAddrPort("[::]:80"), 5, 0, 11, 0, 1, 0, 0, 0)))
	f.Add(diagReply(unix.NLMSG_DONE, 0, 1, make([]byte, 4)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if sockets, _, err := parseDiag(data, 1); err == nil && len(sockets) > len(data)/diagMessageLength {
			t.Errorf("%d sockets from %d bytes", len(sockets), len(data))
		}
	})
}

func TestListensOn(t *testing.T) {
	t.Parallel()
	unit := Unit{Socket: &SocketState{Listen: []UnitListen{
		{"Stream", "0.0.0.0:22"}, {"Stream", "[::]:22"}, {"Datagram", "127.0.0.1:69"}, {"Stream", "/run/x.sock"},
	}}}
	for _, test := range []struct {
		proto, local string
		want         bool
	}{
		{"tcp", "0.0.0.0:22", true}, {"tcp", "[::]:22", true}, {"udp", "127.0.0.1:69", true},
		{"udp", "0.0.0.0:22", false}, {"tcp", "0.0.0.0:23", false}, {"tcp", "127.0.0.1:22", false},
	} {
		if got := listensOn(unit, Socket{Proto: test.proto, Local: netip.MustParseAddrPort(test.local)}); got != test.want {
			t.Errorf("%s %s: got %v, want %v", test.proto, test.local, got, test.want)
		}
	}
	if listensOn(Unit{}, Socket{}) {
		t.Error("a unit that is no socket unit listens")
	}
}
