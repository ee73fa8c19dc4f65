package canary

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// childVariable holds the name of the file to open, for the fresh process.
const childVariable = "HOSTGUARD_CANARY"

// folderFD is where the fresh process finds the file's folder.
const folderFD = 3

// Child does its work and ends the program when it was started by Fly, and does
// nothing else. Call it first in main.
func Child() {
	name, ours := os.LookupEnv(childVariable)
	if !ours {
		return
	}
	if err := open(name); err != nil {
		fmt.Print(err)
	}
	os.Exit(0)
}

// open opens and closes, as an editor would and without a write. The folder is
// the working directory, so that the event names the file as a whole.
func open(name string) error {
	if strings.Contains(name, "/") {
		return fmt.Errorf("cannot open %q: not the name of a file", name)
	}
	if err := unix.Fchdir(folderFD); err != nil {
		return err
	}
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err // an event, too
	}
	return unix.Close(fd)
}

// Result is what came of a canary.
type Result struct {
	Event *Event // nil: none came
	PID   int    // of the process that opened the file
	Error string // why the file could not be opened; that must be recorded, too
}

// Fly opens the file in a fresh process and waits for its event. The error is
// that it cannot be told whether the event came.
func (f *File) Fly(ctx context.Context, s Source, wait time.Duration) (Result, error) {
	program, err := os.Executable()
	if err != nil {
		return Result{}, fmt.Errorf("cannot start a fresh process: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = []string{childVariable + "=" + f.name}
	cmd.ExtraFiles = []*os.File{f.folder}
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		return Result{}, fmt.Errorf("cannot run a fresh process: %w", err)
	}
	r := Result{PID: cmd.Process.Pid, Error: out.String()}
	r.Event, err = s.wait(ctx, r.PID, f.inode)
	return r, err
}
