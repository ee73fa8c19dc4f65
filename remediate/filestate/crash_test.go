package filestate

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

// writing are the calls that change something.
var writing = []string{"openat", "write", "fchmod", "fchown", "fchownat", "fsetxattr", "fremovexattr", "utimensat", "fsync", "mkdirat", "symlinkat", "renameat2", "unlinkat"}

// traced runs an order in a process of its own, under strace. It returns what
// the process printed, the trace, and whether it was killed.
func traced(t testing.TB, o order, options ...string) (out, trace string, killed bool) {
	t.Helper()
	text, err := json.Marshal(o)
	must(t, err)
	file := filepath.Join(t.TempDir(), "trace")
	args := append([]string{"-f", "-q", "-o", file}, options...)
	cmd := exec.Command("/usr/bin/strace", append(args, os.Args[0])...)
	cmd.Env = append(os.Environ(), helperVariable+"="+string(text))
	data, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	calls, err := os.ReadFile(file)
	must(t, err)
	killed = exit != nil && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	return string(data), string(calls), killed
}

// injected does something to the nth call of one kind; hit says whether there
// was such a call.
func injected(t testing.TB, o order, call string, n int, what string) (out string, hit bool) {
	t.Helper()
	out, trace, killed := traced(t, o, "-e", "trace="+call, "-e", fmt.Sprintf("inject=%s:%s:when=%d", call, what, n))
	if strings.HasPrefix(what, "signal=") {
		return out, killed
	}
	return out, strings.Contains(trace, "INJECTED")
}

// callsOf counts the calls of each kind that an order makes; those of Go's own
// start are left out where they can be told: what it opens for reading.
func callsOf(t testing.TB, o order) map[string][]int {
	t.Helper()
	out, trace, _ := traced(t, o, "-e", "trace="+strings.Join(writing, ","))
	if !strings.Contains(out, "done") {
		t.Fatalf("%s: %s", o.Do, out)
	}
	calls, seen := map[string][]int{}, map[string]int{}
	for line := range strings.Lines(trace) {
		_, rest, _ := strings.Cut(line, " ")
		call, arguments, ok := strings.Cut(strings.TrimLeft(rest, " "), "(")
		if !ok || !slices.Contains(writing, call) {
			continue
		}
		seen[call]++
		if call == "openat" && !strings.Contains(arguments, "O_CREAT") || call == "write" && strings.HasPrefix(arguments, "1,") {
			continue
		}
		calls[call] = append(calls[call], seen[call])
	}
	return calls
}

// each visits every call of an order that changes something.
func each(t *testing.T, begun func(t testing.TB) order, visit func(t *testing.T, o order, call string, n int)) int {
	t.Helper()
	count := 0
	calls := callsOf(t, begun(t))
	for _, call := range writing {
		for _, n := range calls[call] {
			count++
			visit(t, begun(t), call, n)
		}
	}
	return count
}

// stages are the calls of a transaction that write, each with what comes before
// it.
var stages = []struct {
	do     string
	before []string
	then   string // what recovery calls after it was cut off
}{
	{"move", nil, "back"},
	{"back", []string{"move"}, "back"},
	{"clean", []string{"move"}, "clean"},
}

// Killed before any of its calls that change something, a move leaves the old
// state or the new one under the path's name, and Back leaves the old one and
// nothing else; so does Back that was killed itself. Clean leaves the new one.
func TestKilledAtEveryCall(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Strace)
	for _, s := range scenarios {
		for _, stage := range stages {
			t.Run(s.name+", "+stage.do, func(t *testing.T) {
				t.Parallel()
				begun := func(t testing.TB) order {
					o := s.begun(t)
					for _, what := range stage.before {
						must(t, o.do(what))
					}
					o.Do = stage.do
					return o
				}
				count := each(t, begun, func(t *testing.T, o order, call string, n int) {
					if out, hit := injected(t, o, call, n, "signal=KILL"); !hit {
						t.Errorf("%s %d: not killed: %s", call, n, out)
						return
					}
					oldOrNew(t, s, o, fmt.Sprintf("killed at %s %d", call, n))
					recovered(t, s, o, stage.then, fmt.Sprintf("killed at %s %d", call, n))
				})
				t.Logf("%d kills", count)
			})
		}
	}
}

// oldOrNew wants the path in one of its two states; metadata, which change in
// place, attribute by attribute, may be between them.
func oldOrNew(t *testing.T, s scenario, o order, when string) {
	t.Helper()
	got, _, err := lookAt(o)
	if s.as == FileMeta || s.as == FolderMeta {
		got, err = ObserveMeta(o.Root, o.Name)
		if err == nil && between(got, o.From, o.To) {
			return
		}
	}
	if err != nil || !got.Equal(o.From) && !got.Equal(o.To) {
		t.Errorf("%s: neither old nor new: %v %+v", when, err, got)
	}
}

func lookAt(o order) (State, identity, error) {
	p, err := openPlace(o.Root, o.Name)
	if err != nil {
		return State{}, identity{}, err
	}
	defer p.close()
	return p.look(p.base)
}

// recovered calls Back, or Clean, and wants the whole old tree, or the new one.
func recovered(t *testing.T, s scenario, o order, then, when string) {
	t.Helper()
	if err := o.do(then); err != nil {
		t.Errorf("%s: %s: %v", when, then, err)
		return
	}
	want := s.begun(t)
	if then == "clean" {
		must(t, want.do("move"), want.do("clean"))
	}
	if got, want := listing(t, o.Root), listing(t, want.Root); got != want {
		t.Errorf("%s: after %s:\n%s\nwant:\n%s", when, then, got, want)
	}
}

// A call that fails is said, and leaves the old state; Back, too, says when it
// fails, and the next one completes it.
func TestFailedAtEveryCall(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Strace)
	failures := []struct {
		what  string
		calls []string
	}{
		{"EIO", []string{"write", "fsync", "renameat2", "unlinkat"}},
		{"ENOSPC", []string{"openat", "write", "mkdirat", "symlinkat", "renameat2", "fsetxattr"}},
		{"EPERM", []string{"openat", "fchmod", "fchown", "fsetxattr", "fremovexattr", "renameat2", "unlinkat", "utimensat"}},
		{"EROFS", []string{"openat", "fchmod", "mkdirat", "symlinkat", "renameat2", "unlinkat"}},
		{"EINVAL", []string{"renameat2"}},
	}
	for _, s := range scenarios {
		for _, stage := range stages {
			t.Run(s.name+", "+stage.do, func(t *testing.T) {
				t.Parallel()
				begun := func(t testing.TB) order {
					o := s.begun(t)
					for _, what := range stage.before {
						must(t, o.do(what))
					}
					o.Do = stage.do
					return o
				}
				count := 0
				each(t, begun, func(t *testing.T, _ order, call string, n int) {
					for _, f := range failures {
						if !slices.Contains(f.calls, call) {
							continue
						}
						count++
						o := begun(t)
						when := fmt.Sprintf("%s at %s %d", f.what, call, n)
						out, hit := injected(t, o, call, n, "error="+f.what)
						if !hit {
							t.Errorf("%s: not reached: %s", when, out)
						} else if strings.Contains(out, "done") {
							t.Errorf("%s: it says that it is done", when)
						}
						if got, _, err := lookAt(o); stage.do == "move" && s.as != FileMeta && s.as != FolderMeta && (err != nil || !got.Equal(o.From)) {
							t.Errorf("%s: %s: not as it was: %v %+v", when, out, err, got)
						}
						oldOrNew(t, s, o, when)
						recovered(t, s, o, stage.then, when)
					}
				})
				t.Logf("%d failures", count)
			})
		}
	}
}
