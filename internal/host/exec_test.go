package host

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestExec(t *testing.T) {
	t.Parallel()
	h := New(Options{})
	out, err := h.Exec(t.Context(), "/usr/bin/env")
	if err != nil || strings.Contains(string(out.Stdout), "GOPATH") || !strings.Contains(string(out.Stdout), "LC_ALL=C\n") {
		t.Errorf("the environment is not ours alone: %q, %v", out.Stdout, err)
	}
	if out, err := h.Exec(t.Context(), "/bin/cat"); err != nil || len(out.Stdout) != 0 {
		t.Errorf("standard input was not empty: %q, %v", out.Stdout, err)
	}
	if out, err := h.Exec(t.Context(), "/bin/sh", "-c", "echo no >&2; exit 3"); err != nil || out.ExitCode != 3 || string(out.Stderr) != "no\n" {
		t.Errorf("exit 3: %+v, %v", out, err)
	}
	for name, c := range map[string]struct {
		path string
		args []string
		want string
	}{
		"absent":          {"/nonexistent/program", nil, "no such file"},
		"relative":        {"sh", nil, "not absolute"},
		"endless output":  {"/usr/bin/yes", nil, "no end within"},
		"too much output": {"/usr/bin/head", []string{"-c", "8388608", "/dev/zero"}, "printed more than"},
		"hangs":           {"/bin/sleep", []string{"1000"}, "no end within"},
		"leaves a child":  {"/bin/sh", []string{"-c", "sleep 1000 & wait"}, "no end within"},
		"killed":          {"/bin/sh", []string{"-c", "kill -9 $$"}, "killed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second/5, errTest)
			defer cancel()
			start := time.Now()
			_, err := h.Exec(ctx, c.path, c.args...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error that says %q", err, c.want)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
	theirs := filepath.Join(t.TempDir(), "sshd")
	must(t, os.WriteFile(theirs, []byte("#!/bin/sh\necho run\n"), 0o777))
	must(t, os.Chmod(theirs, 0o777))
	if out, err := h.Exec(t.Context(), theirs); err == nil || !strings.Contains(err.Error(), "writable by group or others") || len(out.Stdout) > 0 {
		t.Errorf("a program that others can write was run: %q, %v", out.Stdout, err)
	}
	if _, err := New(Options{Root: t.TempDir()}).Exec(t.Context(), "/bin/true"); err != ErrNotRunning {
		t.Errorf("a mounted tree's program was run: %v", err)
	}
}

type testError string

func (e testError) Error() string { return string(e) }

const errTest = testError("no end within the time given")
