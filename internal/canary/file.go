// Package canary finds out by trying whether the kernel's audit records the use
// of a file: a fresh process opens it for writing, writes nothing and closes
// it, and the event must come.
//
// Opening for writing is the one thing in hostguard that an audit must never
// do; so this is apart from the facade over the host, and no check reaches it.
package canary

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// File is one that can be opened for writing without harm.
type File struct {
	Path   string // links followed
	folder *os.File
	name   string // in folder
	inode  uint64
}

// harmless are the file systems (statfs(2)) on which opening for writing does
// nothing else. On an overlay it copies the file; in /proc and /sys it can do
// anything; on a network it can hang.
var harmless = map[int64]string{
	0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0xf2f52010: "f2fs", 0x01021994: "tmpfs",
	0x858458f6: "ramfs", 0x2fc12fc1: "zfs", 0xca451a4e: "bcachefs",
}

// Inspect looks at a file, which is opened only when the canary flies. The
// error says why it must not be opened. Close it after use.
func Inspect(name string) (*File, error) {
	real, err := filepath.EvalSymlinks(name)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use it: %w", plain(err))
	}
	dir, base := filepath.Split(real)
	// From here on nobody can lead the way elsewhere by a link.
	fd, err := unix.Openat2(unix.AT_FDCWD, dir, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot open its folder: %w", err)
	}
	f := &File{Path: real, folder: os.NewFile(uintptr(fd), dir), name: base}
	if err := f.inspect(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// plain leaves out the path, which is said anyway.
func plain(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

func (f *File) inspect() error {
	folder := int(f.folder.Fd())
	var stat unix.Statx_t
	if err := unix.Statx(folder, f.name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, unix.STATX_BASIC_STATS, &stat); err != nil {
		return fmt.Errorf("cannot look at it: %w", err)
	}
	if why := refusal(&stat); why != "" {
		return errors.New(why)
	}
	file, err := unix.Openat(folder, f.name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot look at it: %w", err)
	}
	defer unix.Close(file)
	var on unix.Statfs_t
	if err := unix.Fstatfs(file, &on); err != nil {
		return fmt.Errorf("cannot tell what file system it is on: %w", err)
	}
	if harmless[int64(on.Type)] == "" {
		return errors.New("on its file system opening a file for writing can do more than that")
	}
	f.inode = stat.Ino
	return nil
}

// refusal says why a file must not be opened for writing; empty: it may be.
func refusal(stat *unix.Statx_t) string {
	switch kind := stat.Mode & unix.S_IFMT; {
	case kind == unix.S_IFDIR:
		return "it is a folder: name a file in it"
	case kind == unix.S_IFIFO:
		return "it is a FIFO: who reads from it would see it end"
	case kind == unix.S_IFSOCK:
		return "it is a socket"
	case kind == unix.S_IFCHR, kind == unix.S_IFBLK:
		return "it is a device: opening it can do anything"
	case kind != unix.S_IFREG:
		return "it is no regular file"
	case stat.Mode&0o111 != 0:
		return "it is executable: while a program is open for writing nobody can start it"
	case stat.Attributes&unix.STATX_ATTR_IMMUTABLE != 0:
		return "it is immutable (chattr +i)"
	}
	return ""
}

// Close ends the use of the file.
func (f *File) Close() error { return f.folder.Close() }
