package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hostguard/hostguard/internal/trustedfile"
)

// Output is what a program printed and how it ended.
type Output struct {
	Stdout, Stderr []byte
	ExitCode       int
}

const maxOutput = 4 << 20

// execEnv is the whole environment of executed programs: nothing is inherited.
var execEnv = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/"}

// Exec runs a program of the running host by absolute path: no shell, no
// standard input, a fixed environment, bounded output, killed with its process
// group when ctx ends. A non-zero exit is not an error. A program that others
// than root could have written or put there is not run: paths come from what
// runs on the host, and the host's users run what they like.
func (h *Host) Exec(ctx context.Context, path string, args ...string) (Output, error) {
	if !h.Running() {
		return Output{}, ErrNotRunning
	}
	if !filepath.IsAbs(path) {
		return Output{}, fmt.Errorf("cannot run %s: the path is not absolute", path)
	}
	if err := trustedfile.Check(path); err != nil {
		return Output{}, fmt.Errorf("cannot run %s: %w", path, withoutPath(err))
	}
	var stdout, stderr boundedBuffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = execEnv
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // a grandchild that keeps the pipe open
	err := cmd.Run()
	out := Output{Stdout: stdout.kept.Bytes(), Stderr: stderr.kept.Bytes()}
	if cmd.ProcessState != nil {
		out.ExitCode = cmd.ProcessState.ExitCode()
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return out, fmt.Errorf("cannot run %s: %w", path, context.Cause(ctx))
	case stdout.over || stderr.over:
		return out, fmt.Errorf("cannot run %s: it printed more than %d bytes", path, maxOutput)
	case errors.As(err, &exit) && exit.Exited():
		return out, nil
	case err != nil:
		return out, fmt.Errorf("cannot run %s: %w", path, err)
	}
	return out, nil
}

// boundedBuffer keeps the first maxOutput bytes and notes that there was more.
// The buffer is not embedded: its ReadFrom would pass by the bound.
type boundedBuffer struct {
	kept bytes.Buffer
	over bool
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	n := len(p)
	if room := maxOutput - b.kept.Len(); n > room {
		b.over = true
		p = p[:room]
	}
	b.kept.Write(p)
	return n, nil
}
