package filestate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Observe returns what a path in the tree at root ("/": this host) is: absent
// or a regular file. A link, a folder, a device, a file with several names or
// with more than MaxContent bytes is an error that says so.
func Observe(root, name string) (State, error) { return observe(root, name, File) }

// ObserveLink is Observe for a symbolic link.
func ObserveLink(root, name string) (State, error) { return observe(root, name, Link) }

// ObserveFolder is Observe for a folder, of which the state does not say what
// it holds.
func ObserveFolder(root, name string) (State, error) { return observe(root, name, Folder) }

// ObserveMeta returns the metadata of a regular file or of a folder, which must
// be there; the content, which may be of any size, is not read.
func ObserveMeta(root, name string) (State, error) {
	p, err := openPlace(root, name)
	if err != nil {
		return State{}, observing(name, err)
	}
	defer p.close()
	f, s, err := p.openMeta()
	if err != nil {
		return State{}, observing(name, err)
	}
	f.Close()
	return s, nil
}

func observing(name string, err error) error {
	text := strings.TrimPrefix(err.Error(), "cannot change "+name+": ")
	return fmt.Errorf("cannot look at %s: %w", name, &worded{text, err})
}

// worded is an error in other words.
type worded struct {
	text string
	err  error
}

func (w *worded) Error() string { return w.text }
func (w *worded) Unwrap() error { return w.err }

func observe(root, name string, want Type) (State, error) {
	p, err := openPlace(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return State{Type: Absent}, nil
	}
	if err != nil {
		return State{}, observing(name, err)
	}
	defer p.close()
	s, _, err := p.look(p.base)
	if err == nil && s.Type != want && s.Type != Absent {
		err = fmt.Errorf("it is a %s", describeType(s.Type))
	}
	if err != nil {
		return State{}, observing(name, err)
	}
	return s, nil
}

func describeType(t Type) string {
	switch t {
	case Link:
		return "symbolic link"
	case File:
		return "regular file"
	}
	return string(t)
}

// identity tells a file from every other that exists at the same time.
type identity struct{ dev, ino uint64 }

// look returns what an entry of the folder is.
func (p *place) look(name string) (State, identity, error) {
	for range 100 {
		s, id, err := p.lookOnce(name)
		if !errors.Is(err, unix.ENOENT) { // taken away after it was found
			return s, id, err
		}
	}
	return State{}, identity{}, errors.New("somebody else replaces it without end")
}

func (p *place) lookOnce(name string) (State, identity, error) {
	var st unix.Stat_t
	err := unix.Fstatat(p.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return State{Type: Absent}, identity{}, nil
	}
	if err != nil {
		return State{}, identity{}, err
	}
	id := identity{st.Dev, st.Ino}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		f, err := p.openRegular(name)
		if err != nil {
			return State{}, id, err
		}
		defer f.Close()
		s, err := readState(f)
		return s, id, err
	case unix.S_IFLNK:
		fd, err := unix.Openat(p.fd(), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return State{}, id, err
		}
		defer unix.Close(fd)
		target, err := readLink(fd)
		return State{Type: Link, UID: st.Uid, GID: st.Gid, Target: target}, id, err
	case unix.S_IFDIR:
		fd, err := unix.Openat(p.fd(), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return State{}, id, err
		}
		defer unix.Close(fd)
		s, err := readMeta(fd)
		s.Type = Folder
		return s, id, err
	}
	return State{}, id, oddity(fmt.Sprintf("it is %s", describeMode(st.Mode)))
}

// oddity says why something is no thing that a state describes.
type oddity string

func (o oddity) Error() string { return string(o) }

// odd is the type of a state that equals no other; its target says why.
const odd Type = "odd"

// lookAtAny is look, which takes an oddity for a state of its own: what somebody
// else puts under a name may be anything.
func (p *place) lookAtAny(name string) (State, identity, error) {
	s, id, err := p.look(name)
	var o oddity
	if errors.As(err, &o) {
		return State{Type: odd, Target: string(o)}, id, nil
	}
	return s, id, err
}

func describeMode(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return "a FIFO"
	case unix.S_IFSOCK:
		return "a socket"
	}
	return "a device"
}

// openRegular opens a regular file of the folder for reading. It neither
// follows a link nor waits for a FIFO.
func (p *place) openRegular(name string) (*os.File, error) {
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Openat(p.fd(), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		return err
	})
	if errors.Is(err, unix.ELOOP) {
		return nil, oddity("it is a symbolic link")
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = oddity("it is not a regular file")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// readState reads all of an open regular file.
func readState(f *os.File) (State, error) {
	fd := int(f.Fd())
	s, err := readMeta(fd)
	if err != nil {
		return State{}, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return State{}, err
	}
	if st.Nlink > 1 {
		return State{}, oddity(fmt.Sprintf("it has %d names (hard links), of which only one would change", st.Nlink))
	}
	content, err := io.ReadAll(io.NewSectionReader(f, 0, MaxContent+1))
	if err != nil {
		return State{}, bare(err)
	}
	if len(content) > MaxContent {
		return State{}, oddity(fmt.Sprintf("it is larger than %d MiB", MaxContent>>20))
	}
	s.Type, s.Content, s.ModTime = File, content, time.Unix(st.Mtim.Unix()).UTC()
	return s, nil
}

// readMeta reads the metadata of an open file or folder; its type is FileMeta
// or FolderMeta.
func readMeta(fd int) (State, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return State{}, err
	}
	xattrs, err := readXattrs(fd)
	if err != nil {
		return State{}, err
	}
	s := State{Type: FileMeta, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid, Xattrs: xattrs}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		s.Type = FolderMeta
	}
	return s, nil
}

// readXattrs reads all extended attributes but the kernel's own; none: nil.
func readXattrs(fd int) (map[string][]byte, error) {
	list, err := grown(func(b []byte) (int, error) { return unix.Flistxattr(fd, b) })
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list its extended attributes: %w", err)
	}
	var xattrs map[string][]byte
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		if name == "" || isKernels(name) {
			continue
		}
		value, err := grown(func(b []byte) (int, error) { return unix.Fgetxattr(fd, name, b) })
		if errors.Is(err, unix.ENODATA) { // removed meanwhile
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read its extended attribute %s: %w", name, err)
		}
		if xattrs == nil {
			xattrs = map[string][]byte{}
		}
		xattrs[name] = value
	}
	return xattrs, nil
}

// grown calls read with a buffer that is large enough, see listxattr(2).
func grown(read func([]byte) (int, error)) ([]byte, error) {
	for {
		size, err := read(nil)
		if err != nil || size == 0 {
			return []byte{}, err
		}
		buffer := make([]byte, size)
		n, err := read(buffer)
		if errors.Is(err, unix.ERANGE) { // it grew meanwhile
			continue
		}
		return buffer[:max(n, 0)], err
	}
}
