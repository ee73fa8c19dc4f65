package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/reports"
)

// startPrivately starts a program in a mount namespace of its own, which
// prepare may mount in. What is mounted goes with the program.
func startPrivately(t *testing.T, cmd *exec.Cmd, prepare func() error) {
	t.Helper()
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // and the thread, with its namespace, ends with this goroutine
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = prepare()
		}
		if err == nil {
			err = cmd.Start()
		}
		started <- err
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
}

// needed ends a test that lacks a device, as lab.Need does.
func needed(t *testing.T, err error) {
	t.Helper()
	if err != nil && os.Getenv(lab.RequireVariable) != "" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip(err)
	}
}

// silentDocker is a folder to be /run, where docker takes connections and never
// answers. The channel says when one has come.
func silentDocker(t *testing.T) (run string, asked <-chan struct{}) {
	t.Helper()
	run = t.TempDir()
	listener, err := net.Listen("unix", filepath.Join(run, "docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	came := make(chan struct{}, 16)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			came <- struct{}{}
		}
	}()
	return run, came
}

// A run that is stopped by a signal still reports what it saw, and says that it
// is not all. One that is killed leaves the old report as it was.
func TestSignals(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Docker)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			run, asked := silentDocker(t)
			file := filepath.Join(t.TempDir(), "report.json")
			if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("hostguard", "check", "--only", "DOCK-003", "-o", "json="+file, "-o", "text=-")
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			startPrivately(t, cmd, func() error { return unix.Mount(run, "/run", "", unix.MS_BIND, "") })
			<-asked
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			stopped := time.Now()
			err := cmd.Wait()
			if d := time.Since(stopped); d > 10*time.Second {
				t.Errorf("ended %v after the signal", d)
			}
			data, readErr := os.ReadFile(file)
			if readErr != nil {
				t.Fatal(readErr)
			}
			if signal == syscall.SIGKILL {
				if string(data) != "old" {
					t.Errorf("the old report is now %q", data)
				}
				return
			}
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != exitIncomplete {
				t.Errorf("ended with %v, want exit code %d", err, exitIncomplete)
			}
			report := readReport(t, data)
			if want := "stopped by signal: " + signal.String(); report.Run.Interrupted != want || report.Verdict != reports.Partial {
				t.Errorf("interrupted = %q, %s, want %q", report.Run.Interrupted, report.Verdict, want)
			}
			if !strings.Contains(stdout.String(), "interrupted") || !strings.Contains(stdout.String(), signal.String()) {
				t.Errorf("the text report does not say it:\n%s", &stdout)
			}
			if stderr.Len() > 0 {
				t.Errorf("standard error: %s", &stderr)
			}
		})
	}
}

// Case 33: a file system that never answers, as one of a server that is gone,
// is an error that names it, and keeps nothing else from being told.
func TestFileSystemThatHangs(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	fuse, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	needed(t, err)
	defer unix.Close(fuse) // only now does who waits for it get an answer
	dir := t.TempDir()
	place := filepath.Join(dir, "hung")
	config := filepath.Join(dir, "hostguard.yaml")
	file := filepath.Join(dir, "report.json")
	if err := errors.Join(os.Mkdir(place, 0o755),
		os.WriteFile(config, fmt.Appendf(nil, "parameters: {STO-001: {paths: [/, %s], docker: false}}\n", place), 0o600)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("hostguard", "check", "--config", config, "--only", "STO-001,CLK-003", "--timeout", "3s", "-o", "json="+file)
	startPrivately(t, cmd, func() error {
		return unix.Mount("hung", place, "fuse", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fuse))
	})
	start := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		_ = cmd.Process.Kill()
		t.Fatalf("no end after %v", time.Since(start))
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	report := readReport(t, data)
	for _, f := range report.Findings {
		hung := strings.Contains(f.Error, place)
		if f.Rule == "STO-001" && !hung || f.Rule == "CLK-003" && f.Error != "" {
			t.Errorf("%s %v: %s", f.Rule, f.Status, f.Error)
		}
	}
}

// On a terminal the text is coloured, unless NO_COLOR is set.
func TestColoursOnATerminal(t *testing.T) {
	t.Parallel()
	p := plant(t, "ssh-01-first-value")
	for name, c := range map[string]struct {
		env  string
		want bool
	}{"coloured": {"X=", true}, "NO_COLOR": {"NO_COLOR=1", false}, "dumb": {"TERM=dumb", false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
			needed(t, err)
			defer master.Close()
			number, err := unix.IoctlGetUint32(int(master.Fd()), unix.TIOCGPTN)
			if err == nil {
				err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
			}
			if err != nil {
				t.Fatal(err)
			}
			terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("hostguard", append([]string{"check", "--root", p.root, "--quiet"}, p.args...)...)
			cmd.Dir = p.dir
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TERM=xterm", c.env}
			cmd.Stdout = terminal
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			terminal.Close()
			var text []byte
			buf := make([]byte, 4<<10)
			for {
				n, err := master.Read(buf)
				text = append(text, buf[:n]...)
				if err != nil {
					break // EIO: the other end is closed
				}
			}
			_ = cmd.Wait()
			if got := bytes.Contains(text, []byte("\x1b[")); got != c.want || !bytes.Contains(text, []byte("SSH-001")) {
				t.Errorf("coloured = %v, want %v:\n%q", got, c.want, text)
			}
		})
	}
}
