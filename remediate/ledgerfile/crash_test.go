package ledgerfile

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hostguard/hostguard/internal/keyledger"
	"github.com/hostguard/hostguard/internal/lab"
)

// injected runs an append in a process of its own, under strace, which does
// something to the nth call of one kind. It returns what the process printed;
// hit says whether there was such a call.
func injected(t *testing.T, root, call string, n int, what string) (out string, hit bool) {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command("/usr/bin/strace", "-f", "-q", "-o", trace, "-e", "trace="+call,
		"-e", fmt.Sprintf("inject=%s:%s:when=%d", call, what, n), os.Args[0])
	cmd.Env = append(os.Environ(), helperVariable+"="+root)
	data, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	calls, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	// An injected error is marked in the trace; of a kill strace itself dies.
	killed := exit != nil && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	return string(data), killed || strings.Contains(string(calls), "INJECTED")
}

// prepared are the states of a host in which an append begins.
var prepared = []struct {
	name    string
	prepare func(t *testing.T, root string) (events int)
}{
	{"no ledger", func(*testing.T, string) int { return 0 }},
	{"a ledger", func(t *testing.T, root string) int {
		if err := appendTwo(root); err != nil {
			t.Fatal(err)
		}
		return 2
	}},
	{"an append cut off before its checkpoint, and a piece of one", func(t *testing.T, root string) int {
		for range 2 {
			if err := appendTwo(root); err != nil {
				t.Fatal(err)
			}
		}
		for name, cut := range map[string]int64{keyledger.CheckpointsFile: 200, keyledger.LedgerFile: 0} {
			name = filepath.Join(root, keyledger.Dir, name)
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			data = data[:int64(len(data))-cut]
			if cut == 0 {
				data = append(data, `{"seq":5,"prev":"`...)
			}
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return 4
	}},
}

// The tests of this file are not parallel: a process that is being started has
// the locks of its parent for a moment.

// Killed before any of its calls that change something, hostguard leaves a
// ledger that check takes and that the next run completes; nothing that was
// signed before is lost, and what was acknowledged is there.
func TestKilledAtEveryCall(t *testing.T) {
	lab.Need(t, lab.Strace)
	everyCall(t, []string{"write", "fsync", "renameat", "fallocate", "ftruncate", "mkdirat", "fchmod"}, "signal=KILL")
}

// A call that fails leaves the same, and the process says that it failed.
func TestFailedAtEveryCall(t *testing.T) {
	lab.Need(t, lab.Strace)
	t.Run("full", func(t *testing.T) {
		everyCall(t, []string{"write", "fallocate", "mkdirat"}, "error=ENOSPC")
	})
	t.Run("broken", func(t *testing.T) {
		everyCall(t, []string{"write", "fsync", "renameat", "ftruncate"}, "error=EIO")
	})
}

func everyCall(t *testing.T, calls []string, what string) {
	for _, p := range prepared {
		runs := 0
		for _, call := range calls {
			for n := 1; ; n++ {
				root := newRoot(t)
				had := p.prepare(t, root)
				signed := 0
				if l, err := seen(t, root); err == nil {
					signed = l.Signed
				}
				out, hit := injected(t, root, call, n, what)
				if !hit {
					if !strings.Contains(out, "done") {
						t.Fatalf("%s: %s %d was not reached: %s", p.name, call, n, out)
					}
					break
				}
				runs++
				describe := fmt.Sprintf("%s: %s %d: %q", p.name, call, n, out)
				if l, err := seen(t, root); err != nil && !errors.Is(err, keyledger.ErrUnstarted) {
					t.Errorf("%s: check sees %v", describe, err)
				} else if l != nil && l.Signed < signed {
					t.Errorf("%s: %d events are signed, %d were", describe, l.Signed, signed)
				} else if strings.Contains(out, "done") && (l == nil || l.Signed != had+2) {
					t.Errorf("%s: acknowledged and not there", describe)
				} else if l != nil && l.Sequence != had && l.Sequence != had+2 && l.Sequence != had+1 {
					t.Errorf("%s: %d events, %d were there", describe, l.Sequence, had)
				}
				s, err := Open(root, true, now)
				if err != nil {
					t.Errorf("%s: the next run: %v", describe, err)
					continue
				}
				count := 0
				if s.Ledger != nil {
					count = s.Ledger.Sequence
				}
				s.Close()
				if count < had {
					t.Errorf("%s: %d events are left of %d", describe, count, had)
				}
				if err := appendTwo(root); err != nil {
					t.Errorf("%s: the next append: %v", describe, err)
					continue
				}
				whole(t, root, count+2)
			}
		}
		t.Logf("%s, %s: %d calls", p.name, what, runs)
		if runs < 5 {
			t.Errorf("%s: only %d calls were met", p.name, runs)
		}
	}
}

// Where a disk is full nothing is recorded, and the ledger stays whole.
func TestAFullDisk(t *testing.T) {
	lab.Need(t, lab.Root)
	root := newRoot(t)
	at := filepath.Join(root, "var/lib")
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", at).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	count := 0
	for {
		if err := appendTwo(root); err != nil {
			if !strings.Contains(err.Error(), "no space left") {
				t.Errorf("a full disk: %v", err)
			}
			break
		}
		if count += 2; count > 1000 {
			t.Fatal("the disk does not fill")
		}
	}
	if count == 0 {
		t.Fatal("nothing fits")
	}
	whole(t, root, count)
}
