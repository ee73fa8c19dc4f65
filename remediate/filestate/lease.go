package filestate

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a move waits for others to close a file that they have
// open for writing: an editor that saves does so for a moment.
const patience = time.Second

var errBusy = errors.New("another process has it open for writing")

// quiet makes sure that nobody has an open file open for writing, and keeps
// others from opening it so until the file is closed: their open(2) waits. That
// is a read lease, see fcntl(2). Where the file system has none, quiet is
// satisfied: what is compared later is the content. The error is errBusy.
func quiet(f *os.File) error {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
		if !errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if time.Now().After(end) {
			return errBusy
		}
	}
}

// letIn lets those in who wait to open a file for writing.
func letIn(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK) // there may be no lease
		}
	}
}
