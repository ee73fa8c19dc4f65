package host

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// asUser calls do with the rights that a user has on files, on this thread
// alone, as sshd takes them before it opens a user's file. do must not start
// anything. With root's own uid, and when the process is not root, the rights
// stay what they are.
func asUser(uid, gid uint32, groups []uint32, do func()) error {
	if uid == 0 || unix.Geteuid() != 0 {
		do()
		return nil
	}
	before, err := unix.Getgroups()
	if err != nil {
		return fmt.Errorf("cannot tell the groups of this process: %w", err)
	}
	runtime.LockOSThread()
	restored := false
	defer func() {
		if restored { // else the thread ends with its goroutine
			runtime.UnlockOSThread()
		}
	}()
	back := make([]uint32, len(before))
	for i, g := range before {
		back[i] = uint32(g)
	}
	defer func() {
		setFSUID(0)
		setFSGID(uint32(unix.Getegid()))
		restored = setThreadGroups(back) == nil && setFSUID(^uint32(0)) == 0
	}()
	if err := setThreadGroups(groups); err != nil {
		return fmt.Errorf("cannot take the user's groups: %w", err)
	}
	setFSGID(gid)
	setFSUID(uid)
	if setFSUID(^uint32(0)) != uid || setFSGID(^uint32(0)) != gid { // neither says whether it did
		return errors.New("cannot take the user's rights on files")
	}
	do()
	return nil
}

// The system calls below are about one thread; those of package syscall are
// about all.

func setFSUID(uid uint32) uint32 {
	old, _, _ := unix.RawSyscall(unix.SYS_SETFSUID, uintptr(uid), 0, 0)
	return uint32(old)
}

func setFSGID(gid uint32) uint32 {
	old, _, _ := unix.RawSyscall(unix.SYS_SETFSGID, uintptr(gid), 0, 0)
	return uint32(old)
}

func setThreadGroups(groups []uint32) error {
	first := unsafe.Pointer(nil)
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0])
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0); errno != 0 {
		return errno
	}
	return nil
}
