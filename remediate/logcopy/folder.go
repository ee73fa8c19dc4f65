package logcopy

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/posixacl"
)

// maxCopies is how many files the folder may hold.
const maxCopies = 200_000

// openFolder opens the folder for copies and makes it when it is missing; with
// DryRun it is nil then. It and every folder above must be root's, writable by
// nobody else and reached over no link: copies go where the operator says and
// nowhere else.
func openFolder(o *Options, r *Result) (*os.File, error) {
	if !path.IsAbs(o.Dir) || path.Clean(o.Dir) == "/" {
		return nil, errors.New("it is not the absolute path of a folder below /")
	}
	name := path.Clean(o.Dir)
	for _, other := range o.Apart {
		if within(name, other) || within(other, name) {
			return nil, fmt.Errorf("it must be apart from %s, which containers can write", other)
		}
	}
	at, err := os.OpenFile(o.Root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, bare(err)
	}
	parts := strings.Split(name[1:], "/")
	for i, part := range parts {
		here := "/" + strings.Join(parts[:i+1], "/")
		next, err := openPart(at, part)
		if errors.Is(err, unix.ENOENT) && i == len(parts)-1 {
			r.Made = true
			if o.DryRun {
				at.Close()
				return nil, nil
			}
			next, err = o.makeFolder(at, part)
		}
		at.Close()
		if err == nil {
			err = trusted(next)
		}
		if err != nil {
			if next != nil {
				next.Close()
			}
			return nil, fmt.Errorf("%s: %w", here, err)
		}
		at = next
	}
	if err := o.complete(at); err != nil {
		at.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return at, nil
}

func within(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

func openPart(at *os.File, part string) (*os.File, error) {
	fd, err := unix.Openat(int(at.Fd()), part, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		return nil, errors.New("it is not a folder; links are not followed: name what it leads to")
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), part), nil
}

// trusted wants a folder in which nobody but root can change what is there. With
// an access list the mode's group bits are its mask: no entry allows more.
func trusted(dir *os.File) error {
	var st unix.Stat_t
	switch err := unix.Fstat(int(dir.Fd()), &st); {
	case err != nil:
		return err
	case st.Uid != 0:
		return fmt.Errorf("it belongs to uid %d and not to root, who could lead the copies elsewhere", st.Uid)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("others than root can write there (mode %04o): they could lead the copies elsewhere", st.Mode&0o7777)
	}
	return nil
}

// makeFolder makes the folder, for root alone at first.
func (o *Options) makeFolder(at *os.File, part string) (*os.File, error) {
	if err := unix.Mkdirat(int(at.Fd()), part, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make it: %w", err)
	}
	if err := at.Sync(); err != nil {
		return nil, bare(err)
	}
	return openPart(at, part)
}

// complete gives a folder that was just made its group and mode. A run that was
// cut off in between left it to root alone.
func (o *Options) complete(dir *os.File) error {
	var st unix.Stat_t
	fd := int(dir.Fd())
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if o.DryRun || st.Mode&0o7777 != 0o700 {
		return nil
	}
	for _, list := range []string{posixacl.Access, posixacl.Default} { // from the default list of the folder above
		if err := unix.Fremovexattr(fd, list); err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.EOPNOTSUPP) {
			return fmt.Errorf("cannot take off its access list: %w", err)
		}
	}
	if err := unix.Fchown(fd, 0, int(o.GID)); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, 0o750); err != nil {
		return err
	}
	return bare(dir.Sync())
}

// list returns what the folder holds, and removes what runs left that were cut off.
func (o *Options) list(dir *os.File, r *Result) (map[string]unix.Stat_t, error) {
	names, err := dir.Readdirnames(maxCopies + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, bare(err)
	}
	if len(names) > maxCopies {
		return nil, fmt.Errorf("it holds more than %d files: let it keep fewer days (logs.keep)", maxCopies)
	}
	present := make(map[string]unix.Stat_t, len(names))
	for _, name := range names {
		var st unix.Stat_t
		err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot look at %q: %w", name, err)
		}
		if !isTemp(name) {
			present[name] = st
			continue
		}
		if o.DryRun || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		if err := unix.Unlinkat(int(dir.Fd()), name, 0); err != nil {
			return nil, fmt.Errorf("cannot remove what a run left that was cut off: %w", err)
		}
		r.Cleaned++
	}
	return present, nil
}
