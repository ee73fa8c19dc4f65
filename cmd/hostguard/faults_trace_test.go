package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

// TestNoLookGoesAstray: what a library recovers (fmt a method of a nil pointer) is
// seen by the kernel alone, which sent the signal.
func TestNoLookGoesAstray(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root, lab.Strace)
	for _, host := range []string{"debian12", "connector-stock", "ssh-05-match-first"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			p := plant(t, host)
			self, err := exec.LookPath("hostguard")
			if err != nil {
				t.Fatal(err)
			}
			trace := filepath.Join(t.TempDir(), "trace")
			cmd := exec.Command("/usr/bin/strace", append([]string{"-f", "-qq", "-e", "trace=none", "-e", "signal=SEGV,BUS,FPE,ILL", "-o", trace, self, "fix", "--root", p.root}, p.args...)...)
			cmd.Dir = p.dir
			out, err := cmd.CombinedOutput()
			if err != nil && cmd.ProcessState.ExitCode() != exitLeft {
				t.Fatalf("fix: %v: %s", err, out)
			}
			signals, err := os.ReadFile(trace)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(signals), "--- SIG"); n > 0 {
				t.Errorf("%d signals (strace -k tells where):\n%s", n, signals)
			}
		})
	}
}
