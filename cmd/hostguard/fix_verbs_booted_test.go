package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/internal/lab"
)

// slowServer is a stray server that takes seconds to stop, and says that it is
// being stopped.
const slowServer = `[Service]
ExecStop=/bin/sh -c "touch /run/stopping; while [ -e /run/slow ]; do sleep 0.05; done"
TimeoutStopSec=30
`

// withSlowServer starts nginx, whose stop waits as long as /run/slow is there.
func withSlowServer(t *testing.T, h *lab.Host) {
	t.Helper()
	h.WriteFile("/etc/systemd/system/nginx.service.d/slow.conf", slowServer)
	h.Must("systemctl", "daemon-reload")
	h.Must("systemctl", "enable", "--now", "--quiet", "nginx.service")
	h.Must("rm", "-f", "/run/stopping")
	h.WriteFile("/run/slow", "")
}

// stopping ends when the slow server is being stopped.
func stopping(t *testing.T, h *lab.Host) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); h.Run("test", "-e", "/run/stopping").Code != 0; {
		if time.Now().After(deadline) {
			t.Fatal("fix does not stop the server")
		}
	}
}

// savedResult reads the result file of fix and removes it.
func savedResult(t *testing.T, h *lab.Host) *fixResult {
	t.Helper()
	var r fixResult
	if err := json.Unmarshal([]byte(h.ReadFile("/root/fix.json")), &r); err != nil {
		t.Fatalf("the result file is not whole: %v", err)
	}
	h.Must("rm", "/root/fix.json")
	return &r
}

// A transaction that is at work is told by INT and TERM to finish the step in
// hand and go back; a lost terminal is no reason to stop; a second run waits for
// nobody.
func TestSignalsWhileFixIsAtWork(t *testing.T) {
	h := bootGood(t)
	for name, c := range map[string]struct {
		signal string
		code   int
		active string
	}{
		"TERM":            {"TERM", exitFailed, "active"},
		"INT":             {"INT", exitFailed, "active"},
		"HUP is ignored":  {"HUP", exitOK, "inactive"},
		"PIPE is ignored": {"PIPE", exitOK, "inactive"},
	} {
		t.Run(name, func(t *testing.T) {
			h := h.For(t)
			withSlowServer(t, h)
			ended := make(chan lab.Result, 1)
			go func() {
				ended <- h.Run("hostguard", "fix", "--only", "SVC-001", "-o", "text=-", "-o", "json=/root/fix.json")
			}()
			stopping(t, h)
			pid := strings.TrimSpace(h.Must("pgrep", "-x", "hostguard"))
			second := h.Run("hostguard", "fix", "--only", "SVC-001")
			if second.Code != exitLocked || !strings.Contains(second.Stderr, "process "+pid+" ") {
				t.Errorf("a second fix: exit code %d: %s", second.Code, second.Stderr)
			}
			if r := h.Run("hostguard", "undo"); r.Code != exitLocked {
				t.Errorf("undo meanwhile: exit code %d: %s", r.Code, r.Stderr)
			}
			h.Must("kill", "-"+c.signal, pid)
			h.Must("kill", "-"+c.signal, pid) // a second one must not end it half-way
			h.Must("rm", "/run/slow", "/run/stopping")
			r := <-ended
			if r.Code != c.code {
				t.Errorf("exit code %d, want %d: %s%s", r.Code, c.code, r.Stdout, r.Stderr)
			}
			outcome := map[int]string{exitOK: applied, exitFailed: rolledBack}[c.code]
			if result := savedResult(t, h); result.Outcome != outcome || result.ExitCode != c.code || result.After == nil {
				t.Errorf("the result file says %s with exit code %d, want %s", result.Outcome, result.ExitCode, outcome)
			}
			if got := strings.TrimSpace(h.Run("systemctl", "is-active", "nginx.service").Stdout); got != c.active {
				t.Errorf("nginx is %s, want %s", got, c.active)
			}
			if c.code == exitOK {
				h.Must("hostguard", "undo")
			}
			if r := h.Run("hostguard", "recover"); r.Code != exitOK || !strings.Contains(r.Stdout, "Nothing was interrupted") {
				t.Errorf("recover: exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
			}
		})
	}
	t.Run("a closed pipe is ignored", func(t *testing.T) {
		h := h.For(t)
		h.Must("systemctl", "enable", "--now", "--quiet", "nginx.service")
		first := h.Must("bash", "-c", "set -o pipefail; hostguard fix --only SVC-001 -o text=- -o json=/root/fix.json 2>&1 | head -1")
		if result := savedResult(t, h); result.Outcome != applied || result.ExitCode != exitOK || !strings.Contains(first, result.Transaction) {
			t.Errorf("the result file: %+v, and before the pipe was closed: %q", result, first)
		}
		if got := strings.TrimSpace(h.Run("systemctl", "is-active", "nginx.service").Stdout); got != "inactive" {
			t.Errorf("nginx is %s", got)
		}
		h.Must("hostguard", "undo")
	})
	t.Run("killed, and taken back by the next run", func(t *testing.T) {
		h := h.For(t)
		withSlowServer(t, h)
		before := observe(t, h)
		ended := make(chan lab.Result, 1)
		go func() { ended <- h.Run("hostguard", "fix", "--only", "SVC-001") }()
		stopping(t, h)
		h.Must("pkill", "-KILL", "-x", "hostguard")
		<-ended
		h.Must("rm", "/run/slow", "/run/stopping")
		if r := h.Run("hostguard", "history"); !strings.Contains(r.Stdout, "interrupted") {
			t.Errorf("history: %s", r.Stdout)
		}
		if r := h.Run("hostguard", "recover"); r.Code != exitOK || !strings.Contains(r.Stdout, "Taken back") {
			t.Errorf("recover: exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
		}
		if diff := cmp.Diff(before, observe(t, h)); diff != "" {
			t.Errorf("after recovery (-before +after):\n%s", diff)
		}
	})
}

// A saved plan approves exactly its steps, on its host, as it is.
func TestSavedPlansOnAHost(t *testing.T) {
	h := bootGood(t)
	h.Must("systemctl", "enable", "--now", "--quiet", "nginx.service")
	if r := h.Run("hostguard", "plan", "--only", "SVC-001", "-o", "/root/plan.json"); r.Code != exitFindings {
		t.Fatalf("plan: exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	apply := func() lab.Result { return h.Run("hostguard", "fix", "--only", "SVC-001", "--plan", "/root/plan.json") }
	refused := func(name, says string) {
		t.Helper()
		if r := apply(); r.Code != exitUsage || !strings.Contains(r.Stderr, says) {
			t.Errorf("%s: exit code %d: %s%s, want %q", name, r.Code, r.Stdout, r.Stderr, says)
		}
	}
	h.Must("systemctl", "disable", "--quiet", "nginx.service")
	refused("the host has moved", "is not as it was; make the plan anew")
	h.Must("systemctl", "enable", "--quiet", "nginx.service")

	plan := h.ReadFile("/root/plan.json")
	h.WriteFile("/root/plan.json", strings.Replace(plan, "nginx", "ssh", -1))
	refused("somebody has edited the plan", "is no longer to be done")
	h.WriteFile("/root/plan.json", plan)
	h.Must("chmod", "666", "/root/plan.json")
	refused("anybody could have written the plan", "cannot use --plan")
	h.Must("chmod", "600", "/root/plan.json")

	if r := apply(); r.Code != exitOK {
		t.Errorf("the very plan: exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	refused("done already", "is no longer to be done")
}

// An image is mended as far as files go, keeps its own journal, and is brought
// back byte for byte.
func TestFixInAnImage(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	root := lab.Tree(t)
	bin := lab.Binary(t)
	run := func(args ...string) lab.Result { return lab.Exec(t, append([]string{bin}, args...)...) }
	listing := func() string {
		r := lab.Exec(t, "find", root, "-xdev", "-not", "-path", root+"/var/lib/hostguard*", "-not", "-path", root+"/var/lib", "-printf", "%P %y %m %U:%G %l %s\n")
		if r.Code != 0 {
			t.Fatal(r.Stderr)
		}
		return r.Stdout
	}
	before := listing()
	r := run("fix", "--root", root, "--format", "text")
	if r.Code != exitLeft || !strings.Contains(r.Stdout, "Done: ") || !strings.Contains(r.Stdout, "PARTIAL") {
		t.Fatalf("fix: exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if cmp.Equal(before, listing()) {
		t.Error("fix changed nothing")
	}
	after := listing()
	if r := run("fix", "--root", root); !strings.Contains(r.Stdout, "Nothing to change.") {
		t.Errorf("a second fix: exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if diff := cmp.Diff(strings.Split(after, "\n"), strings.Split(listing(), "\n")); diff != "" {
		t.Errorf("a second fix changed:\n%s", diff)
	}
	if r := run("undo", "--root", root); r.Code != exitOK {
		t.Errorf("undo: exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(listing(), "\n")); diff != "" {
		t.Errorf("after undo (-before +after):\n%s", diff)
	}
}
