// Package atomicfile writes whole files so that a reader sees either the old
// content or the new one, also after a crash.
//
// It is meant for a root process that writes where others may write too (/tmp,
// a user's folder): the last component of a path is never followed when it is
// a link, and content goes to a file that nobody else has opened or can read
// until it is complete.
package atomicfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// File is a file in the making. It becomes visible under its name by Commit,
// and leaves nothing behind by Abort.
type File struct {
	path string   // as the caller gave it, for errors
	dir  *os.File // the folder, held open: its path may change meanwhile
	base string
	temp *os.File
	name string // of temp, in dir
}

// Create prepares a file to be written to path, which shows whether it can be:
// a temporary file is made in the same folder. An existing regular file that is
// ours alone keeps its mode and group; every other gets mode. What is no
// regular file (a link, a folder, a device, a mount point) is refused.
func Create(path string, mode fs.FileMode) (*File, error) {
	f, err := create(path, mode)
	if err != nil {
		return nil, fmt.Errorf("cannot write %s: %w", path, err)
	}
	return f, nil
}

func create(path string, mode fs.FileMode) (*File, error) {
	parent, base := filepath.Split(path)
	if base == "" || base == "." || base == ".." {
		return nil, errors.New("it is a folder")
	}
	if parent == "" {
		parent = "."
	}
	dir, err := os.OpenFile(parent, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, bare(err)
	}
	f := &File{path: path, dir: dir, base: base}
	group, err := f.replaces(&mode)
	if err == nil {
		err = f.openTemp(mode, group)
	}
	if err != nil {
		f.Abort()
		return nil, err
	}
	return f, nil
}

// replaces looks at what path is now. It returns the group that the new file
// shall have, -1 for ours, and sets mode when the old one is to be kept.
func (f *File) replaces(mode *fs.FileMode) (group int, err error) {
	fd := int(f.dir.Fd())
	var old unix.Stat_t
	err = unix.Fstatat(fd, f.base, &old, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	switch old.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFLNK:
		return -1, errors.New("it is a symbolic link: name the file that it leads to")
	case unix.S_IFDIR:
		return -1, errors.New("it is a folder")
	default:
		return -1, errors.New("it is not a regular file")
	}
	var more unix.Statx_t
	if err := unix.Statx(fd, f.base, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &more); err == nil && more.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return -1, errors.New("it is a mount point, which cannot be replaced: name a file in a folder")
	}
	// Opening shows what the mode does not: immutable, append-only, read-only.
	probe, err := unix.Openat(fd, f.base, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(probe)
	if err := unix.Fstat(probe, &old); err != nil {
		return -1, err
	}
	if old.Mode&unix.S_IFMT == unix.S_IFREG && int(old.Uid) == os.Geteuid() && old.Nlink == 1 {
		*mode = fs.FileMode(old.Mode & 0o777)
		return int(old.Gid), nil
	}
	return -1, nil
}

func (f *File) openTemp(mode fs.FileMode, group int) error {
	f.name = ".hostguard-" + strings.ToLower(rand.Text()) + ".tmp"
	fd, err := unix.Openat(int(f.dir.Fd()), f.name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		f.name = ""
		return err
	}
	f.temp = os.NewFile(uintptr(fd), f.name)
	if group >= 0 {
		if err := f.temp.Chown(-1, group); err != nil {
			return bare(err)
		}
	}
	return bare(f.temp.Chmod(mode))
}

// Write writes to the file in the making.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.temp.Write(p)
	if err != nil {
		return n, fmt.Errorf("cannot write %s: %w", f.path, bare(err))
	}
	return n, nil
}

// Commit makes the file durable and gives it its name. When it fails, what was
// there under that name still is.
func (f *File) Commit() error {
	err := f.temp.Sync()
	if err == nil {
		fd := int(f.dir.Fd())
		err = unix.Renameat(fd, f.name, fd, f.base)
	}
	if err == nil {
		f.name = "" // it is no longer ours to remove
		err = f.dir.Sync()
	}
	f.Abort()
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", f.path, bare(err))
	}
	return nil
}

// Abort removes what Create and Write made, unless it was committed. It may be
// called at any time and more than once.
func (f *File) Abort() {
	if f.temp != nil {
		f.temp.Close()
	}
	if f.name != "" {
		unix.Unlinkat(int(f.dir.Fd()), f.name, 0)
		f.name = ""
	}
	f.dir.Close()
}

// bare takes the operation and the path off an error: ours says both.
func bare(err error) error {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		return inner.Err
	}
	return err
}
