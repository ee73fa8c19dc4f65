// Package statedir opens hostguard's own folders below /var/lib/hostguard:
// the key ledger, transactions, samples. Their parents up to /var/lib are the
// host's; what follows is ours, and is neither a link nor anybody else's.
package statedir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	pathrs "github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
)

// Path is the folder that holds the others.
const Path = "/var/lib/hostguard"

// Open opens a folder, such as Path+"/tx", of the host whose files are at root
// ("/": this one). With create, missing folders from Path on are made, 0700;
// else a missing one is fs.ErrNotExist.
func Open(root, name string, create bool) (*os.File, error) {
	parent, own := path.Split(Path)
	handle, err := pathrs.OpenInRoot(root, parent)
	if err != nil {
		return nil, err
	}
	below, inside := strings.CutPrefix(name, Path)
	if !inside {
		handle.Close()
		return nil, fmt.Errorf("%s is not in %s", name, Path)
	}
	for _, part := range strings.FieldsFunc(own+below, func(r rune) bool { return r == '/' }) {
		next, err := openBelow(handle, part, create)
		handle.Close()
		if err != nil {
			return nil, err
		}
		handle = next
	}
	return handle, nil
}

func openBelow(parent *os.File, name string, create bool) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(int(parent.Fd()), name, flags, 0)
	if errors.Is(err, unix.ENOENT) && create {
		if err := unix.Mkdirat(int(parent.Fd()), name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("cannot make the folder %s: %w", name, err)
		}
		if err := Sync(parent); err != nil {
			return nil, fmt.Errorf("cannot make the folder %s: %w", name, err)
		}
		fd, err = unix.Openat(int(parent.Fd()), name, flags, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the folder %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		f.Close()
		return nil, err
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		f.Close()
		return nil, fmt.Errorf("the folder %s belongs to uid %d with mode %04o: others than root could write into it", name, st.Uid, st.Mode&0o7777)
	}
	return f, nil
}

// Sync makes new names in a folder durable, which may be open for looking at only.
func Sync(dir *os.File) error {
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// OpenFile opens a file in one of our folders with flags of open(2), a new one
// 0600; one that is no regular file of ours is refused.
func OpenFile(dir *os.File, name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && int(st.Uid) == os.Geteuid() && st.Mode&0o022 == 0 {
		return os.NewFile(uintptr(fd), name), nil
	}
	unix.Close(fd)
	return nil, fmt.Errorf("%s is no regular file that root alone may write", name)
}

// ReadFile reads a file in one of our folders that has at most max bytes.
func ReadFile(dir *os.File, name string, max int64) ([]byte, error) {
	f, err := OpenFile(dir, name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, bare(err))
	}
	if int64(len(data)) > max {
		return nil, fmt.Errorf("%s is too large: more than %d bytes", name, max)
	}
	return data, nil
}

// Reserve makes sure that a file has room for n more bytes at an offset, where
// the file system can. The file's size stays.
func Reserve(f *os.File, at, n int64) error {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, at, n)
	if err == nil || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return fmt.Errorf("cannot reserve room in %s: %w", f.Name(), err)
}

// WriteDurably writes and syncs.
func WriteDurably(f *os.File, data []byte) error {
	if _, err := f.Write(data); err != nil { // writes on after a short write
		return fmt.Errorf("cannot write %s: %w", f.Name(), bare(err))
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("cannot make %s durable: %w", f.Name(), bare(err))
	}
	return nil
}

// bare takes the path out of an error whose text names it already.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
