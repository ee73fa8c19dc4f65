package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Command is a program to run to its end.
type Command struct {
	Args    []string      // the program, looked up in the system's folders unless it holds a slash, and its arguments
	Env     []string      // whole environment; nil: PATH, HOME and LANG only
	Dir     string        // working folder
	Stdin   io.Reader     // nil: /dev/null
	Timeout time.Duration // 0: one minute
}

// Result is what a command that ran to its end left behind.
type Result struct {
	Stdout, Stderr string // each cut at outputLimit
	Code           int    // exit code; 128+n after signal n
}

// outputLimit bounds what is kept of each of a command's outputs.
const outputLimit = 4 << 20

// cleanEnv is the environment of commands that ask for no other.
var cleanEnv = []string{"PATH=" + searchPath, "HOME=/root", "LANG=C.UTF-8"}

// Run runs the command and returns what it left. A non-zero exit is no error; a
// command that cannot start or exceeds its time is. Its whole process group is
// killed when the time is over.
func (c Command) Run() (Result, error) {
	if len(c.Args) == 0 {
		return Result{}, errors.New("cannot run a command without a name")
	}
	path := c.Args[0]
	if !strings.Contains(path, "/") {
		found, err := program(path)
		if err != nil {
			return Result{}, err
		}
		path = found
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = time.Minute
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()

	cmd := exec.CommandContext(ctx, path, c.Args[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdin = c.Env, c.Dir, c.Stdin
	if cmd.Env == nil {
		cmd.Env = cleanEnv
	}
	var stdout, stderr bounded
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // a daemon it left may hold the pipes

	err := cmd.Run()
	result := Result{Stdout: stdout.String(), Stderr: stderr.String()}
	if ctx.Err() != nil {
		return result, fmt.Errorf("cannot wait for %q: not done after %v; it said %q", c.Args, timeout, result.Stdout+result.Stderr)
	}
	if cmd.ProcessState == nil {
		return result, fmt.Errorf("cannot run %q: %w", c.Args, err)
	}
	result.Code = cmd.ProcessState.ExitCode()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		result.Code = 128 + int(status.Signal())
	}
	return result, nil
}

// must runs the command for its effect: a non-zero exit is an error too.
func (c Command) must() (Result, error) {
	result, err := c.Run()
	if err == nil && result.Code != 0 {
		err = fmt.Errorf("cannot run %q: exit code %d: %s", c.Args, result.Code, lastLines(result.Stdout+result.Stderr, 15))
	}
	return result, err
}

// Exec runs a program of the test machine. It fails the test if the program
// cannot be started or does not end in time; the exit code is the caller's.
func Exec(t testing.TB, args ...string) Result {
	t.Helper()
	result, err := Command{Args: args}.Run()
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// bounded keeps the first outputLimit bytes written to it and counts no others.
type bounded struct{ buf bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if room := outputLimit - b.buf.Len(); room > 0 {
		b.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (b *bounded) String() string { return b.buf.String() }

// lastLines returns the last n lines of a text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
