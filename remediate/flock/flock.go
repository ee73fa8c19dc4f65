// Package flock takes the locks that keep two runs of hostguard apart, and
// names who holds one. A lock ends with its process at the latest.
package flock

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/printable"
)

// LockedError says that another process holds a lock.
type LockedError struct{ Holder string }

func (e *LockedError) Error() string { return "another run holds its lock: " + e.Holder }

// Take takes the exclusive lock (flock(2)) of an open file or folder without
// waiting. Another process that holds it is a *LockedError.
func Take(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return &LockedError{holder(f)}
	}
	if err != nil {
		return fmt.Errorf("cannot lock it: %w", err)
	}
	return nil
}

// holder names the process that holds the lock, see proc_locks(5).
func holder(f *os.File) string {
	const unknown = "a process that cannot be seen from here"
	var st unix.Stat_t
	locks, err := os.ReadFile("/proc/locks")
	if err != nil || unix.Fstat(int(f.Fd()), &st) != nil {
		return unknown
	}
	inode := ":" + strconv.FormatUint(st.Ino, 10)
	here := fmt.Sprintf("%02x:%02x%s", unix.Major(st.Dev), unix.Minor(st.Dev), inode)
	found := unknown
	for text := range strings.Lines(string(locks)) {
		f := strings.Fields(text) // 1: FLOCK ADVISORY WRITE 708 00:1c:22546 0 EOF
		if len(f) < 6 || f[1] != "FLOCK" || !strings.HasSuffix(f[5], inode) {
			continue
		}
		pid, err := strconv.Atoi(f[4])
		if err != nil || pid <= 0 {
			continue
		}
		command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		found = strings.TrimSpace(fmt.Sprintf("process %d %s", pid, printable.Clip(strings.ReplaceAll(string(command), "\x00", " "), 200)))
		if f[5] == here { // elsewhere a file of anybody's may have the number; btrfs gives folders other devices than locks
			break
		}
	}
	return found
}
