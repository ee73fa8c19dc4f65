package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/remediate/transaction"
)

const oneThreadVariable = "HOSTGUARD_TEST_ONE_THREAD"

func init() {
	if os.Getenv(oneThreadVariable) != "" {
		runtime.LockOSThread() // strace counts calls by thread, and transactions are main's own work
	}
}

// crashTree is a file tree of which a whole transaction mends something: a new
// file, a file that is replaced, and a link that enables a unit.
type crashTree struct {
	planted
	mount         string            // where hostguard sees the tree: a journal names it
	before, after map[string]string // of all of the tree but the transactions
}

var crashArgs = []string{"--only", "AUD-001,AUD-010"}

func newCrashTree(t *testing.T) crashTree {
	t.Helper()
	lab.Need(t, lab.Root, lab.Strace)
	c := crashTree{planted: plant(t, "debian12")}
	rules, err := filepath.Glob(filepath.Join(c.root, "etc/audit/rules.d/*"))
	if err != nil || len(rules) == 0 {
		t.Fatalf("no rules: %v", err)
	}
	for _, name := range append(rules, filepath.Join(c.root, "etc/systemd/system/multi-user.target.wants/auditd.service")) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	c.mount = t.TempDir()
	c.before = c.tree(t)
	done := c.copy(t)
	if out, code := done.hostguard(t, "fix"); code != exitOK && code != exitLeft {
		t.Fatalf("fix: %d %s", code, out)
	}
	c.after = done.tree(t)
	if len(changes(c.before, c.after)) < 3 {
		t.Fatalf("fix changes %q only", changes(c.before, c.after))
	}
	return c
}

func (c crashTree) copy(t *testing.T) crashTree {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "host")
	if out, err := exec.Command("cp", "-a", c.dir, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c.dir, c.root = dir, filepath.Join(dir, "root")
	return c
}

// command is hostguard on the tree; fix mends its audit.
func (c crashTree) command(verb string) []string {
	args := []string{"hostguard", verb, "--root", c.mount}
	if verb == "fix" {
		args = append(args, crashArgs...)
	}
	return args
}

func (c crashTree) hostguard(t *testing.T, verb string) (out string, code int) {
	t.Helper()
	return c.run(t, c.command(verb))
}

// run runs a program that sees the tree at c.mount: a copy of a tree is the same
// tree to hostguard when it is in the same place.
func (c crashTree) run(t *testing.T, args []string) (out string, code int) {
	t.Helper()
	return c.runAt(t, append([]string{"/usr/bin/unshare", "--mount", "/bin/sh", "-c", `mount --bind "$0" "$1" && shift && exec "$@"`, c.root, c.mount}, args...))
}

func (c crashTree) runAt(t *testing.T, args []string) (out string, code int) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), oneThreadVariable+"=1")
	data, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil && exit.Sys().(syscall.WaitStatus).Signaled() {
		return string(data), -int(exit.Sys().(syscall.WaitStatus).Signal())
	}
	return string(data), cmd.ProcessState.ExitCode()
}

// tree is what every path is, with content and attributes, but for the transactions.
func (c crashTree) tree(t *testing.T) map[string]string {
	t.Helper()
	seen := map[string]string{}
	err := filepath.WalkDir(c.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, c.root)
		if name == transaction.Dir {
			return filepath.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		seen[name], err = described(t, path, info, func(data []byte) string { return string(data) })
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

func changes(a, b map[string]string) []string {
	var names []string
	for name := range a {
		if a[name] != b[name] {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// points are calls of the transaction's own thread that change something.
var pointCalls = []string{"write", "fsync", "fallocate", "ftruncate", "mkdirat", "fchmod", "fchown", "fchownat", "fsetxattr", "symlinkat", "renameat", "renameat2", "unlinkat"}

type point struct {
	call string
	n    int
	site string // what is done to what: the same for calls of one place in the program
}

var (
	tracedCall = regexp.MustCompile(`^(\d+) +(\w+)\((.*)`)
	changing   = regexp.MustCompile(`[0-9]{8}t[0-9]{9}z-[0-9a-f]{6}(-\d+)?|^\d+|, \d+\) = .*|"\{.*"\.\.\., \d+`)
)

// pointsOf runs a verb in a trace and lists its calls that change something.
func (c crashTree) pointsOf(t *testing.T, verb string) []point {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trace")
	out, code := c.run(t, append([]string{"/usr/bin/strace", "-f", "-q", "-y", "-e", "signal=none", "-s", "1", "-o", file, "-e", "trace=" + strings.Join(pointCalls, ",")}, c.command(verb)...))
	if code != exitOK && code != exitLeft {
		t.Fatalf("%s: %d %s", verb, code, out)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var points []point
	seen := map[string]int{}
	main := "none"
	if m := regexp.MustCompile(`(?m)^(\d+) +fsync\(`).FindSubmatch(data); m != nil {
		main = string(m[1])
	}
	for line := range strings.Lines(string(data)) {
		m := tracedCall.FindStringSubmatch(line)
		if m == nil || m[1] != main || !slices.Contains(pointCalls, m[2]) {
			continue
		}
		seen[m[2]]++
		if strings.HasPrefix(m[3], "1<") || strings.HasPrefix(m[3], "2<") {
			continue // messages
		}
		points = append(points, point{m[2], seen[m[2]], m[2] + " " + changing.ReplaceAllString(strings.ReplaceAll(m[3], c.mount, ""), "")})
	}
	return points
}

// inject runs a verb and does something at a point. Reports whether it was reached.
func (c crashTree) inject(t *testing.T, verb string, p point, what string) (out string, code int, hit bool) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trace")
	out, code = c.run(t, append([]string{"/usr/bin/strace", "-f", "-q", "-e", "signal=none", "-o", file, "-e", "trace=" + p.call, "-e", fmt.Sprintf("inject=%s:%s:when=%d", p.call, what, p.n)}, c.command(verb)...))
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if what == kill {
		return out, code, code == -int(syscall.SIGKILL)
	}
	return out, code, strings.Contains(string(data), "INJECTED")
}

const kill = "signal=KILL"

// stages of a transaction that is cut off: the verb, and what brings a tree to
// where it is called.
var crashStages = []struct {
	verb    string
	prepare func(t *testing.T, c crashTree, at point)
}{
	{"fix", func(*testing.T, crashTree, point) {}},
	{"undo", func(t *testing.T, c crashTree, _ point) { c.hostguard(t, "fix") }},
	{"recover", func(t *testing.T, c crashTree, at point) {
		if out, _, hit := c.inject(t, "fix", at, kill); !hit {
			t.Fatalf("fix was not killed: %s", out)
		}
	}},
}

// inTheLastStep is where fix is killed before recover is.
var inTheLastStep = point{call: "symlinkat", n: 1}

// holds wants the tree before or after, as the history says, and nothing else.
func (c crashTree) holds(t *testing.T, when string) (committed bool) {
	t.Helper()
	history, err := (&transaction.Engine{Root: c.root, Now: time.Now}).History()
	if err != nil {
		t.Errorf("%s: %v", when, err)
		return false
	}
	want, states := c.before, []transaction.State{}
	for _, e := range history {
		if e.Err != nil {
			t.Errorf("%s: %v", when, e.Err)
		}
		states = append(states, e.State)
		switch e.State {
		case transaction.Committed:
			want, committed = c.after, true
		case transaction.RolledBack, transaction.Undone:
		default:
			t.Errorf("%s: a transaction is %s", when, e.State)
		}
	}
	if diff := cmp.Diff(want, c.tree(t)); diff != "" {
		t.Errorf("%s: history: %v: the tree (-want +got):\n%s", when, states, diff)
	}
	entries, err := os.ReadDir(filepath.Join(c.root, transaction.Dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "new-") {
			t.Errorf("%s: %s is left", when, e.Name())
		}
	}
	return committed
}

// untorn wants every file of the tree old or new, before anything is recovered;
// files of our own names may be there.
func (c crashTree) untorn(t *testing.T, when string) {
	t.Helper()
	for name, word := range c.tree(t) {
		if word != c.before[name] && word != c.after[name] && !strings.Contains(filepath.Base(name), ".hostguard-") {
			t.Errorf("%s: %s is neither old nor new: %q", when, name, word)
		}
	}
}

// one keeps the first point of each site.
func one(points []point) []point {
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(points), func(p point) bool {
		was := seen[p.site]
		seen[p.site] = true
		return was
	})
}

// crashes is how many kills a sweep makes; 0: one at each place in the program.
func crashes(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi("0" + os.Getenv("HOSTGUARD_CRASHES"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Killed at any call that changes something, the real hostguard leaves files old
// or new; recover leaves the whole tree old or new, as history says, and nothing
// of its own. The same where undo is killed, and recover itself.
func TestFixKilledAtEveryCall(t *testing.T) {
	t.Parallel()
	c := newCrashTree(t)
	sweep := crashes(t) // 2,000 for make prove
	var lock sync.Mutex
	kills, planned := 0, 0
	t.Cleanup(func() { t.Logf("%d kills", kills) })
	all := c.copy(t).pointsOf(t, "fix")
	for round := 0; round == 0 || planned < sweep; round++ {
		for _, s := range crashStages {
			if round > 0 && s.verb != "recover" {
				continue
			}
			first := inTheLastStep
			if round > 0 { // recover after a kill at every point of fix, one after the other
				first = all[(round-1)%len(all)]
			}
			t.Run(fmt.Sprintf("%s, round %d", s.verb, round), func(t *testing.T) {
				at := c.copy(t)
				s.prepare(t, at, first)
				points := at.copy(t).pointsOf(t, s.verb)
				if round == 0 && len(points) < 10 {
					t.Fatalf("%s has only %d points", s.verb, len(points))
				}
				if sweep == 0 {
					points = one(points)
				}
				planned += len(points)
				for _, p := range points {
					t.Run(fmt.Sprintf("%s %d", p.call, p.n), func(t *testing.T) {
						t.Parallel()
						c := at.copy(t)
						when := fmt.Sprintf("%s killed at %s", s.verb, p.site)
						if out, _, hit := c.inject(t, s.verb, p, kill); !hit {
							t.Fatalf("%s: not killed: %s", when, out)
						}
						lock.Lock()
						kills++
						lock.Unlock()
						c.untorn(t, when)
						if out, code := c.hostguard(t, "recover"); code != exitOK {
							t.Errorf("%s: recover: %d %s", when, code, out)
						}
						c.holds(t, when)
					})
				}
			})
		}
	}
}

// Where a call fails fix says so and takes all back, or it is done; what could
// not be taken back, recover does.
func TestFixFailedAtEveryCall(t *testing.T) {
	t.Parallel()
	c := newCrashTree(t)
	failures := map[string][]string{ // of each call
		"write": {"EIO", "ENOSPC"}, "fsync": {"EIO"}, "fallocate": {"ENOSPC"}, "ftruncate": {"EIO"},
		"mkdirat": {"ENOSPC", "EROFS"}, "symlinkat": {"ENOSPC", "EPERM", "EROFS"}, "fsetxattr": {"ENOSPC"},
		"fchmod": {"EPERM"}, "fchown": {"EPERM"}, "fchownat": {"EPERM"},
		"renameat": {"EIO", "EROFS"}, "renameat2": {"EIO", "ENOSPC", "EPERM", "EROFS"}, "unlinkat": {"EIO", "EPERM", "EROFS"},
	}
	for _, s := range crashStages {
		at := c.copy(t)
		s.prepare(t, at, inTheLastStep)
		points := at.copy(t).pointsOf(t, s.verb)
		if crashes(t) == 0 {
			points = one(points)
		}
		for i, p := range points {
			kinds := failures[p.call]
			if crashes(t) == 0 { // each kind at some point
				kinds = kinds[i%len(kinds):][:1]
			}
			for _, what := range kinds {
				t.Run(fmt.Sprintf("%s %s at %s %d", s.verb, what, p.call, p.n), func(t *testing.T) {
					t.Parallel()
					c := at.copy(t)
					when := fmt.Sprintf("%s, %s at %s", s.verb, what, p.site)
					out, code, hit := c.inject(t, s.verb, p, "error="+what)
					if !hit {
						t.Fatalf("%s: not reached: %s", when, out)
					}
					c.untorn(t, when)
					if out, code := c.hostguard(t, "recover"); code != exitOK {
						t.Errorf("%s: recover: %d %s", when, code, out)
					}
					if committed := c.holds(t, when); s.verb == "fix" && (code == exitOK || code == exitLeft) != committed {
						t.Errorf("%s: fix ended with %d, and yet committed is %v: %s", when, code, committed, out)
					}
				})
			}
		}
	}
}

// Of two fixes at once one works, and the other says who does.
func TestTwoFixesAtOnce(t *testing.T) {
	t.Parallel()
	c := newCrashTree(t)
	trace := filepath.Join(t.TempDir(), "trace")
	type ending struct {
		out  string
		code int
	}
	first := make(chan ending, 1)
	go func() { // it stops at its first move
		out, code := c.run(t, append([]string{"/usr/bin/strace", "-f", "-q", "-o", trace, "-e", "trace=renameat2", "-e", "inject=renameat2:signal=STOP:when=1"}, c.command("fix")...))
		first <- ending{out, code}
	}()
	stopped := regexp.MustCompile(`(?m)^(\d+) +--- stopped by SIGSTOP`)
	var pid int
	for pid == 0 {
		select {
		case e := <-first:
			t.Fatalf("it does not stop: %d %s", e.code, e.out)
		case <-time.After(10 * time.Millisecond):
		}
		data, _ := os.ReadFile(trace)
		if m := stopped.FindSubmatch(data); m != nil {
			pid, _ = strconv.Atoi(string(m[1]))
		}
	}
	for _, verb := range []string{"fix", "undo", "recover"} {
		out, code := c.hostguard(t, verb)
		if code != exitLocked || !strings.Contains(out, fmt.Sprintf("process %d hostguard fix", pid)) {
			t.Errorf("%s meanwhile: %d %s", verb, code, out)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if e := <-first; e.code != exitOK && e.code != exitLeft {
		t.Errorf("the first: %d %s", e.code, e.out)
	}
	if !c.holds(t, "two at once") {
		t.Error("the first fix is not committed")
	}
}
