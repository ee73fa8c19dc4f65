package logcopy

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

// injected copies in a process of its own, under strace, which does something to
// the nth call of one kind. Hit says whether there was such a call.
func injected(t *testing.T, p place, call string, n int, what string) (out string, hit bool) {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command("/usr/bin/strace", "-f", "-q", "-o", trace, "-e", "trace="+call,
		"-e", fmt.Sprintf("inject=%s:%s:when=%d", call, what, n), os.Args[0])
	cmd.Env = append(os.Environ(), helperVariable+"="+p.base)
	data, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	calls, err := os.ReadFile(trace)
	must(t, err)
	killed := exit != nil && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	return string(data), killed || strings.Contains(string(calls), "INJECTED")
}

// Killed before, or failed at, any call that writes: every copy with a name is
// whole, and the next run completes, with nothing left over.
func TestNothingIsHalfCopied(t *testing.T) {
	lab.Need(t, lab.Strace, lab.Root)
	large := strings.Repeat("y", 600<<10) // three pieces
	whole := map[string]bool{
		"ecc+a-2026-02-01.gz 0440 4 small": true, "ecc+b-2026-02-01.gz 0440 4 614400 of y": true,
	}
	for _, c := range []struct {
		what  string
		calls []string
	}{
		{"signal=KILL", []string{"write", "fsync", "renameat2", "mkdirat", "fchmod", "fchown", "utimensat", "fremovexattr", "unlinkat", "openat"}},
		{"error=ENOSPC", []string{"write", "mkdirat"}},
		{"error=EIO", []string{"write", "fsync", "renameat2", "utimensat"}},
		{"error=EPERM", []string{"fchmod", "fchown", "renameat2"}},
	} {
		runs := 0
		for _, call := range c.calls {
			for n := 1; n < 400; n++ {
				p := newPlace(t)
				p.log(t, "a-2026-02-01.gz", "small")
				p.log(t, "b-2026-02-01.gz", large)
				out, hit := injected(t, p, call, n, c.what)
				if !hit {
					break
				}
				runs++
				at := fmt.Sprintf("%s at %s %d: %q", c.what, call, n, out)
				left := 0
				for _, line := range p.seen(t) {
					if isTemp(strings.Fields(line)[0]) {
						left++
						if strings.Fields(line)[1] != "0600" && !strings.HasPrefix(strings.Fields(line)[1], "04") {
							t.Errorf("%s: %s", at, line)
						}
					} else if !whole[line] {
						t.Errorf("%s: half a copy: %s", at, line)
					}
				}
				if strings.Contains(out, "done true") && len(p.seen(t)) != 2 {
					t.Errorf("%s: says that it is done: %q", at, p.seen(t))
				}
				r, err := Run(t.Context(), p.options(), p.sources())
				if err != nil || r.Cleaned != left || len(r.Copied)+r.Present != 2 {
					t.Errorf("%s: the next run: %+v, %v", at, r, err)
				}
				for _, line := range p.seen(t) {
					if !whole[line] {
						t.Errorf("%s: after the next run: %s", at, line)
					}
				}
			}
		}
		t.Logf("%s: %d calls", c.what, runs)
		if runs < 3 {
			t.Errorf("%s: only %d calls were met", c.what, runs)
		}
	}
}
