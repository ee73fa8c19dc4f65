package filestate

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/posixacl"
)

// make makes what a state describes under the name part, which must be free,
// and returns it opened for reading; nil for a link. What it leaves when it
// fails is for discardPart.
func (p *place) make(part string, s State) (*os.File, error) {
	switch s.Type {
	case Link:
		if err := unix.Symlinkat(s.Target, p.fd(), part); err != nil {
			return nil, fmt.Errorf("cannot make a symbolic link beside it: %w", err)
		}
		if err := unix.Fchownat(p.fd(), part, int(s.UID), int(s.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil, fmt.Errorf("cannot give a symbolic link its owner: %w", err)
		}
		return nil, nil
	case Folder:
		if err := unix.Mkdirat(p.fd(), part, 0o700); err != nil {
			return nil, fmt.Errorf("cannot make a folder beside it: %w", err)
		}
		fd, err := unix.Openat(p.fd(), part, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		f := os.NewFile(uintptr(fd), part)
		if err := setMeta(fd, s); err != nil {
			f.Close()
			return nil, err
		}
		if err := sync(f); err != nil {
			f.Close()
			return nil, err
		}
		return f, nil
	}
	if err := p.makeFile(part, s); err != nil {
		return nil, err
	}
	return p.openRegular(part)
}

func (p *place) makeFile(part string, s State) error {
	fd, err := unix.Openat(p.fd(), part, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("cannot make a file beside it: %w", err)
	}
	f := os.NewFile(uintptr(fd), part)
	defer f.Close()
	if _, err := f.Write(s.Content); err != nil {
		return fmt.Errorf("cannot write the new file: %w", bare(err))
	}
	if err := setMeta(fd, s); err != nil {
		return err
	}
	if !s.ModTime.IsZero() {
		if err := setTime(fd, s.ModTime); err != nil {
			return err
		}
	}
	return sync(f)
}

func sync(f *os.File) error {
	if err := f.Sync(); err != nil {
		return fmt.Errorf("cannot make it durable: %w", bare(err))
	}
	return nil
}

// setTime sets the time of the last change; that of the last access stays.
func setTime(fd int, t time.Time) error {
	spec := unix.NsecToTimespec(t.UnixNano())
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, spec}
	if err := unix.UtimesNanoAt(fd, "", times, unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("cannot give it its time: %w", err)
	}
	return nil
}

// setMeta gives an open file or folder its owner, mode and extended attributes.
// At no moment in between may anybody do more than before and after: first what
// both modes have is left, last comes what only the new one has. A change of
// owner takes set-user-ID and capabilities off (chown(2)), so it comes before
// them.
func setMeta(fd int, want State) error {
	got, err := readMeta(fd)
	if err != nil {
		return err
	}
	if both := got.Mode & want.Mode & 0o777; got.Mode != both {
		if err := unix.Fchmod(fd, both); err != nil {
			return fmt.Errorf("cannot change its mode: %w", err)
		}
	}
	if got.UID != want.UID || got.GID != want.GID {
		if err := unix.Fchown(fd, int(want.UID), int(want.GID)); err != nil {
			return fmt.Errorf("cannot change its owner: %w", err)
		}
	}
	if err := setXattrs(fd, want); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, want.Mode); err != nil {
		return fmt.Errorf("cannot change its mode: %w", err)
	}
	got, err = readMeta(fd)
	if err != nil {
		return err
	}
	if got.Mode != want.Mode || got.UID != want.UID || got.GID != want.GID || !equalXattrs(got.Xattrs, want.Xattrs, want.NewLabels) {
		return errors.New("its owner, mode or attributes are not as they were just set: the file system does not keep them")
	}
	return nil
}

// setXattrs makes the extended attributes those of the state, and no others.
func setXattrs(fd int, want State) error {
	got, err := readXattrs(fd)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want.Xattrs[name]; ok || want.NewLabels && isLabel(name) {
			continue
		}
		if err := unix.Fremovexattr(fd, name); err != nil && !errors.Is(err, unix.ENODATA) {
			return fmt.Errorf("cannot remove its extended attribute %s: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want.Xattrs)) {
		value := want.Xattrs[name]
		if old, ok := got[name]; ok && string(old) == string(value) && name != posixacl.Access {
			continue
		}
		if err := unix.Fsetxattr(fd, name, value, 0); err != nil {
			return fmt.Errorf("cannot set its extended attribute %s: %w", name, err)
		}
	}
	return nil
}
