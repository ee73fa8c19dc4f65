package filestate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/posixacl"
)

// openMeta opens the file or folder that a path is, to change it in place: the
// descriptor stays with it, whatever its name leads to later.
func (p *place) openMeta() (*os.File, State, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(p.fd(), p.base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, State{}, err
	}
	var f *os.File
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		f, err = p.openRegular(p.base)
	case unix.S_IFDIR:
		var fd int
		fd, err = unix.Openat(p.fd(), p.base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == nil {
			f = os.NewFile(uintptr(fd), p.base)
		}
	case unix.S_IFLNK:
		err = errors.New("it is a symbolic link")
	default:
		err = fmt.Errorf("it is %s", describeMode(st.Mode))
	}
	if err != nil {
		return nil, State{}, err
	}
	s, err := readMeta(int(f.Fd()))
	if err == nil {
		err = unix.Fstat(int(f.Fd()), &st)
		s.Inode = st.Ino
	}
	if err == nil && s.Type == FileMeta {
		if st.Nlink > 1 {
			err = fmt.Errorf("it has %d names (hard links), and may be somebody else's file", st.Nlink)
		}
	}
	if err != nil {
		f.Close()
		return nil, State{}, err
	}
	return f, s, nil
}

// moveMeta changes owner, mode and attributes in place: containers that mount
// the file hold on to its inode.
func (p *place) moveMeta(from, to State) error {
	f, now, err := p.openMeta()
	if errors.Is(err, fs.ErrNotExist) {
		return p.conflict("somebody else removed it meanwhile")
	}
	if err != nil {
		return p.errorf("%w", err)
	}
	defer f.Close()
	switch gives := from.UID != to.UID || from.GID != to.GID; {
	case !now.Equal(from):
		return p.conflict(differs(now, from))
	case gives && from.Inode != 0 && now.Inode != from.Inode:
		return p.conflict("somebody else put another file there meanwhile")
	}
	if err := p.setDurably(f, to); err != nil {
		return errors.Join(err, p.backMeta(from, to))
	}
	return nil
}

func (p *place) setDurably(f *os.File, s State) error {
	if err := setMeta(int(f.Fd()), s); err != nil {
		return p.errorf("%w", err)
	}
	if err := sync(f); err != nil {
		return p.errorf("%w", err)
	}
	return nil
}

// backMeta gives metadata back, also where a move was cut off between one
// attribute and the next.
func (p *place) backMeta(from, to State) error {
	f, now, err := p.openMeta()
	if errors.Is(err, fs.ErrNotExist) {
		return p.conflict("somebody else removed it meanwhile")
	}
	if err != nil {
		return p.errorf("%w", err)
	}
	defer f.Close()
	switch {
	case now.Equal(from):
		return nil
	case !between(now, from, to):
		return p.conflict(differs(now, to))
	case p.foreign != "" && from.Inode != 0 && now.Inode != from.Inode:
		// Whoever owns the folder may have put a file of root's there, to be let in.
		return p.conflict("another file lies there now, and " + p.foreign)
	}
	return p.setDurably(f, from)
}

// between reports whether setMeta, on its way from one state to the other or
// back, can have left the metadata so.
func between(now, from, to State) bool {
	perm, special := now.Mode&0o777, now.Mode&^0o777
	if now.Type != from.Type || now.UID != from.UID && now.UID != to.UID || now.GID != from.GID && now.GID != to.GID {
		return false
	}
	if !slices.Contains([]uint32{from.Mode & 0o777, to.Mode & 0o777, from.Mode & to.Mode & 0o777}, perm) || special&^(from.Mode|to.Mode) != 0 {
		return false
	}
	for _, s := range []State{now, from, to} {
		for name := range s.Xattrs {
			value, ok := now.Xattrs[name]
			a, inFrom := from.Xattrs[name]
			b, inTo := to.Xattrs[name]
			same := func(x []byte) bool {
				if name == posixacl.Access {
					return bytes.Equal(maskedBy(x, 0), maskedBy(value, 0))
				}
				return bytes.Equal(x, value)
			}
			switch {
			case !ok && (!inFrom || !inTo), ok && inFrom && same(a), ok && inTo && same(b):
			case !ok && name == "security.capability": // a change of owner removes it
			case isLabel(name) && (from.NewLabels || to.NewLabels):
			default:
				return false
			}
		}
	}
	return true
}
