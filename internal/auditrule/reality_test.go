package auditrule

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	statusEnabled = 1 // bits of audit_status.mask
	statusPID     = 4
	userMessage   = 1112
	syscallRecord = 1300
)

// recorder enables auditing and takes the records in auditd's place, until the
// test ends. Other processes' system calls are recorded only by rules.
type recorder struct {
	*kernel
	mu      sync.Mutex
	records []string
	seen    chan string // marks that came back
	marks   int
}

// set writes one number of the kernel's audit status.
func (k *kernel) set(mask, enabled, pid uint32) error {
	payload := make([]byte, 44)
	for i, v := range []uint32{mask, enabled, 0, pid} {
		binary.NativeEndian.PutUint32(payload[i*4:], v)
	}
	_, err := k.request(msgSet, payload)
	return err
}

// status returns enabled and the pid of auditd.
func (k *kernel) status() (enabled, pid uint32) {
	k.t.Helper()
	out, err := auditctl(k.t, "-s")
	if err != nil {
		k.t.Fatal(err)
	}
	for _, line := range out {
		fmt.Sscanf(line, "enabled %d", &enabled)
		fmt.Sscanf(line, "pid %d", &pid)
	}
	return enabled, pid
}

func startRecorder(t testing.TB) *recorder {
	k := openKernel(t)
	enabled, pid := k.status()
	if pid != 0 {
		t.Fatalf("an audit daemon runs here (pid %d): its records cannot be taken", pid)
	}
	if enabled == 2 {
		t.Fatal("auditing is locked on this machine")
	}
	r := &recorder{kernel: k, seen: make(chan string, 16)}
	// Records come to the socket that named itself the daemon: one of its own,
	// so that answers and records do not mix.
	daemon := &kernel{t: t}
	var err error
	if daemon.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT); err != nil {
		t.Fatal(err)
	}
	unix.SetsockoptInt(daemon.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20)
	if err := daemon.set(statusPID, 0, uint32(os.Getpid())); err != nil {
		t.Fatalf("cannot take the place of auditd: %v", err)
	}
	stop := make(chan struct{})
	go r.read(daemon.fd, stop)
	t.Cleanup(func() {
		k.set(statusEnabled, enabled, 0)
		k.set(statusPID, 0, 0)
		close(stop)
		unix.Close(daemon.fd)
	})
	if err := k.set(statusEnabled, 1, 0); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *recorder) read(fd int, stop chan struct{}) {
	buf := make([]byte, 16<<10)
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		unix.Poll(fds, 100)
		select {
		case <-stop:
			return
		default:
		}
		n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		if err != nil || n < 16 {
			continue
		}
		text := string(buf[16:n])
		switch binary.NativeEndian.Uint16(buf[4:]) {
		case syscallRecord:
			r.mu.Lock()
			r.records = append(r.records, text)
			r.mu.Unlock()
		case userMessage:
			if _, mark, ok := strings.Cut(text, "hgmark-"); ok {
				mark, _, _ = strings.Cut(mark, "-")
				r.seen <- mark
			}
		}
	}
}

// drain returns the system calls recorded so far with a key that begins so.
func (r *recorder) drain(key string) []string {
	r.t.Helper()
	r.marks++
	mark := fmt.Sprint(r.marks)
	if _, err := r.request(userMessage, []byte("op=test msg=hgmark-"+mark+"-\x00")); err != nil {
		r.t.Fatalf("cannot send a mark: %v", err)
	}
	for deadline := time.After(10 * time.Second); ; {
		select {
		case got := <-r.seen:
			if got != mark {
				continue
			}
		case <-deadline:
			r.t.Fatal("the mark did not come back")
		}
		break
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var mine []string
	for _, text := range r.records {
		if strings.Contains(text, `key="`+key) {
			mine = append(mine, text)
		}
	}
	r.records = nil
	return mine
}

// toucher is a process that touches files, forked after auditing was enabled.
type toucher struct {
	t   testing.TB
	in  io.Writer
	out *bufio.Scanner
}

// startToucher builds and starts one; bits is 64 or 32.
func startToucher(t testing.TB, bits int) *toucher {
	t.Helper()
	program := filepath.Join(t.TempDir(), "toucher")
	build := exec.Command("go", "build", "-o", program, "./testdata/toucher")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod")
	if bits == 32 {
		build.Env = append(build.Env, "GOARCH=386")
	}
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	cmd := exec.Command(program)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		if bits == 32 {
			t.Skipf("this kernel runs no 32-bit programs: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return &toucher{t, in, bufio.NewScanner(out)}
}

// touch does one thing and returns what came of it.
func (h *toucher) touch(op, path, second string) string {
	h.t.Helper()
	if _, err := fmt.Fprintf(h.in, "%s\t%s\t%s\n", op, path, second); err != nil {
		h.t.Fatal(err)
	}
	if !h.out.Scan() {
		h.t.Fatalf("the toucher ended: %v", h.out.Err())
	}
	return h.out.Text()
}

// scene is a small tree whose files are touched.
type scene struct {
	t   testing.TB
	dir string
}

func newScene(t testing.TB) *scene {
	s := &scene{t, t.TempDir()}
	for _, d := range []string{"/w/sub/deep", "/w-x", "/other"} {
		if err := os.MkdirAll(s.dir+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"/w/link": "file", "/wlink": "w", "/out": "/dev/null"} {
		if err := os.Symlink(target, s.dir+link); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", s.dir+"/w/sock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s.reset()
	return s
}

// files of the scene that are there before each operation.
var sceneFiles = []string{"/w/file", "/w/sub/file", "/w/sub/deep/file", "/w-x/file", "/other/file"}

// reset makes the files anew where they were removed; folders stay what they
// were, or the rules on them would go.
func (s *scene) reset() {
	s.t.Helper()
	for _, f := range append(sceneFiles, "/other/spare") {
		if _, err := os.Lstat(s.dir + f); err == nil {
			continue
		}
		if err := os.WriteFile(s.dir+f, []byte("#!/bin/true\n"), 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, f := range []string{"/w/new", "/w/sub/new", "/w-x/new", "/other/new"} {
		os.RemoveAll(s.dir + f)
	}
}

// operation is one kind of access.
type operation struct {
	name string
	perm Perm // 0: connecting
}

var operations = []operation{
	{"write", Write}, {"read", Read}, {"create", Write}, {"truncate", Write}, {"unlink", Write}, {"mkdir", Write},
	{"rename", Write}, {"chmod", Attr}, {"chown", Attr}, {"exec", Exec}, {"connect", 0},
}

// sceneRule makes a rule about the scene.
func (g *generator) sceneRule() string {
	place := g.dir + g.pick("/w", "/w", "/w", "/w/file", "/w/sub", "/w/sub/file", "/other", "/other/file", "/w-x", "/wlink/sub", "/wlink", "/w/link", "/w/sock", "/w/new", "/w/sub/new")
	g.n++
	key := fmt.Sprintf(" -k %s-%d", g.tag, g.n) // plain: the kernel writes others in hexadecimal
	if g.IntN(3) == 0 {
		return "-w " + g.dir + g.pick("/w", "/w", "/other", "/w-x", "/w/sub") + " -p " + g.pick("rwxa", "wa", "rwx") + key
	}
	arch := g.pick("", "", "-F arch=b64 ", "-F arch=b32 ", "-F arch!=b32 ")
	perm := g.pick("", " -F perm="+g.pick("r", "w", "x", "a", "wa", "rwxa"), " -F perm=wa")
	kind := g.pick("dir=", "dir=", "path=")
	narrow := g.pick("", "", "", " -F auid>=0", " -F auid=54321", " -F uid=0", " -F euid!=0", " -F success=1", " -F success=0", " -F exe=/usr/bin/true", " -F filetype=file")
	calls := g.pick("", "", "", "-S openat,open,openat2,creat,truncate,ftruncate ", "-S connect ", "-S unlinkat,unlink,rename,renameat,renameat2 ", "-S execve,execveat ", "-S all ")
	if strings.Contains(arch, "32") {
		calls = strings.ReplaceAll(calls, "-S connect", "-S connect,socketcall")
	}
	switch g.IntN(10) {
	case 0, 1, 2:
		return "-w " + place + " -p " + g.perms() + key
	case 3, 4, 5:
		return "-a always,exit " + arch + calls + "-F " + kind + place + perm + narrow + key
	case 6, 7:
		return "-a never,exit " + arch + calls + "-F " + kind + place + perm + narrow + key
	case 8:
		return "-a always,exit " + arch + "-S openat,connect,unlinkat -F exe=" + g.dir + "/none" + key
	default:
		return "-a " + g.pick("always", "never") + ",exit " + arch + "-F ppid!=1 -F dir=" + place + perm + key
	}
}

// TestCoverageAgainstReality compares what Cover says with what the kernel
// records, for generated rules, paths and operations, by 64-bit and 32-bit
// programs. Covered must be recorded; not covered must not.
func TestCoverageAgainstReality(t *testing.T) {
	r := startRecorder(t)
	s := newScene(t)
	g := &generator{Rand: seeded(t), dir: s.dir, tag: "hgr" + fmt.Sprint(os.Getpid())}
	touchers := []*toucher{startToucher(t, 64)}
	if thisMachine == "x86_64" {
		touchers = append(touchers, startToucher(t, 32))
	}
	counts := map[Answer]int{}
	for range cases(t, 60) {
		s.reset()
		var rules []Rule
		for range 1 + g.IntN(4) {
			text := g.sceneRule()
			line, err := ParseLine(text, Pos{"generated", len(rules) + 1}, thisHost{})
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if _, err := r.request(msgAddRule, line.Rule.Encode()); err != nil {
				if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOENT) {
					continue
				}
				t.Fatalf("%s: %v", text, err)
			}
			rules = append(rules, line.Rule)
		}
		op := operations[g.IntN(len(operations))]
		name := g.pick(sceneFiles...)
		second := ""
		switch op.name {
		case "create", "mkdir":
			name = g.pick("/w/new", "/w/sub/new", "/w-x/new", "/other/new")
		case "connect":
			name = "/w/sock"
		case "rename":
			second = s.dir + "/other/spare"
		}
		want := Want{Path: s.dir + name, Perms: op.perm, Use: op.perm == 0}
		view, err := NewView(rules, mustMachine(t), thisHost{})
		if err != nil {
			t.Fatal(err)
		}
		cover := view.Cover(want)
		counts[cover.Answer]++
		r.drain(g.tag)
		for _, toucher := range touchers {
			s.reset()
			r.drain(g.tag)
			result := toucher.touch(op.name, want.Path, second)
			recorded := len(r.drain(g.tag)) > 0
			// A move is recorded, too, by rules on where it comes from.
			mustNot := cover.Answer == Not && op.name != "rename"
			if cover.Answer == Covered && !recorded || mustNot && recorded {
				var texts []string
				for i := range rules {
					texts = append(texts, rules[i].String())
				}
				t.Errorf("%s of %s (%s): %v %q, but recorded: %v\n%s", op.name, name, result, cover.Answer, cover.Missing, recorded, strings.Join(texts, "\n"))
			}
		}
		for i := range rules {
			r.remove(&rules[i])
		}
	}
	t.Logf("answers: %v", counts)
}

func mustMachine(t testing.TB) Machine {
	m, ok := ThisMachine()
	if !ok {
		t.Skip("the syscalls of this architecture are not known")
	}
	return m
}

// TestMountsInReality shows case 20: what is mounted below a watched folder
// before the rule is recorded, what is mounted later is not. A list of rules
// looks the same both times, and so the answer is unknown.
func TestMountsInReality(t *testing.T) {
	r := startRecorder(t)
	hand := startToucher(t, 64)
	tag := "hgm" + fmt.Sprint(os.Getpid())
	for _, early := range []bool{true, false} {
		dir := t.TempDir()
		if err := os.MkdirAll(dir+"/mounted", 0o755); err != nil {
			t.Fatal(err)
		}
		mount := func() {
			if err := unix.Mount("tmpfs", dir+"/mounted", "tmpfs", 0, ""); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Unmount(dir+"/mounted", unix.MNT_DETACH) })
		}
		if early {
			mount()
		}
		line, err := ParseLine("-w "+dir+" -p wa -k "+tag, Pos{}, thisHost{})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.add(&line.Rule); err != nil {
			t.Fatal(err)
		}
		if !early {
			mount()
		}
		r.drain(tag)
		hand.touch("create", dir+"/mounted/new", "")
		if recorded := len(r.drain(tag)) > 0; recorded != early {
			t.Errorf("20 mounted before the rule: %v, recorded: %v", early, recorded)
		}
		view, err := NewView([]Rule{line.Rule}, mustMachine(t), withMounts{mounts: []Mount{{Point: "/", Early: true}, {Point: dir + "/mounted", Type: "tmpfs", Early: early}}})
		if err != nil {
			t.Fatal(err)
		}
		want := map[bool]Answer{true: Covered, false: Unknown}[early]
		if got := view.Cover(Want{Path: dir + "/mounted/new", Perms: Write}); got.Answer != want {
			t.Errorf("20 known to be early: %v, answer %v", early, got.Answer)
		}
	}
}

// withMounts is this host with other mounts.
type withMounts struct {
	thisHost
	mounts []Mount
}

func (w withMounts) Mounts() ([]Mount, error) { return w.mounts, nil }
