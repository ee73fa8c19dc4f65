package filestate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/posixacl"
)

// maxLinks is how many symbolic links may lead to a file: as in the kernel, see
// path_resolution(7).
const maxLinks = 40

// place is a path with its folder held open: the folder's own path may change
// meanwhile.
type place struct {
	path string // in the host, as the caller gave it
	base string // its last component
	dir  *os.File

	// foreign says why others than root could put something else in the path's
	// place; empty: nobody can.
	foreign string

	kept string // where a version of somebody else's is kept; empty: none
}

func (p *place) fd() int { return int(p.dir.Fd()) }

func (p *place) close() { p.dir.Close() }

func (p *place) conflict(why string) *Conflict {
	return &Conflict{Path: p.path, Why: why, Kept: p.kept}
}

func (p *place) errorf(format string, args ...any) error {
	return fmt.Errorf("cannot change %s: %w", p.path, fmt.Errorf(format, args...))
}

// openPlace opens the folder of an absolute path in the tree at root. Links of
// the host on the way are followed within root, the last component never is.
// Below a folder of somebody else no link is followed at all. A folder that is
// missing is fs.ErrNotExist.
func openPlace(root, name string) (*place, error) {
	if !path.IsAbs(name) || path.Clean(name) != name || name == "/" || strings.Contains(name, "\x00") {
		return nil, fmt.Errorf("cannot change %q: it is no clean, absolute path", name)
	}
	w := walk{}
	defer w.close()
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open the tree %s: %w", root, err)
	}
	w.push(fd, "/")
	err = w.check()
	if err == nil {
		err = w.to(path.Dir(name))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot change %s: %w", name, err)
	}
	top := w.top()
	if fd, err = unix.Openat(top.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("cannot change %s: cannot open its folder: %w", name, err)
	}
	p := &place{path: name, base: path.Base(name), dir: os.NewFile(uintptr(fd), top.path), foreign: w.foreign}
	if p.foreign == "" {
		p.foreign = top.shared
	}
	return p, nil
}

// walk goes from folder to folder as path_resolution(7) says, and looks at who
// may change each.
type walk struct {
	stack   []step // from the root
	foreign string // the first folder that is somebody else's, and why
	links   int
}

type step struct {
	fd     int
	path   string
	shared string // why others may make new entries in this folder, but not replace root's
}

func (w *walk) push(fd int, path string) { w.stack = append(w.stack, step{fd: fd, path: path}) }
func (w *walk) top() *step               { return &w.stack[len(w.stack)-1] }

func (w *walk) cut(n int) {
	for _, s := range w.stack[n:] {
		unix.Close(s.fd)
	}
	w.stack = w.stack[:n]
}

func (w *walk) close() { w.cut(0) }

func (w *walk) to(folder string) error {
	todo := strings.Split(folder, "/")
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			w.cut(max(1, len(w.stack)-1))
			continue
		}
		at := path.Join(w.top().path, name)
		fd, err := unix.Openat(w.top().fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("the folder %s is missing: %w", at, fs.ErrNotExist)
		}
		if err != nil {
			return fmt.Errorf("cannot open the folder %s: %w", at, err)
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			unix.Close(fd)
			return err
		}
		if w.top().shared != "" && !trusted(st.Uid) && w.foreign == "" {
			w.foreign = w.top().shared
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			w.push(fd, at)
			if err := w.check(); err != nil {
				return err
			}
		case unix.S_IFLNK:
			target, err := readLink(fd)
			unix.Close(fd)
			if err != nil {
				return err
			}
			if w.foreign != "" {
				return fmt.Errorf("%s is a symbolic link, and %s", at, w.foreign)
			}
			if w.links++; w.links > maxLinks {
				return fmt.Errorf("%s: %w", at, unix.ELOOP)
			}
			if path.IsAbs(target) {
				w.cut(1)
			}
			todo = append(strings.Split(target, "/"), todo...)
		default:
			unix.Close(fd)
			return fmt.Errorf("%s is not a folder", at)
		}
	}
	return nil
}

// check looks at who may change the folder on top.
func (w *walk) check() error {
	var st unix.Stat_t
	top := w.top()
	if err := unix.Fstat(top.fd, &st); err != nil {
		return err
	}
	why := ""
	switch {
	case !trusted(st.Uid):
		why = fmt.Sprintf("the folder %s belongs to uid %d, who could put something else in its place", top.path, st.Uid)
	case st.Mode&0o002 != 0 && st.Mode&unix.S_ISVTX != 0:
		top.shared = fmt.Sprintf("everybody can make files in the folder %s", top.path)
	case st.Mode&0o002 != 0:
		why = fmt.Sprintf("everybody can write to the folder %s", top.path)
	case st.Mode&0o020 != 0 && hasAccessList(top.fd):
		why = fmt.Sprintf("others can write to the folder %s: its access list lets them", top.path)
	case st.Mode&0o020 != 0 && st.Gid != 0:
		why = fmt.Sprintf("the group %d can write to the folder %s", st.Gid, top.path)
	}
	if w.foreign == "" {
		w.foreign = why
	}
	return nil
}

// trusted reports whether a user is root, or who runs this: under --root the
// tree may be an ordinary user's own.
func trusted(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// hasAccessList is true, too, when it cannot be told.
func hasAccessList(folder int) bool {
	fd, err := unix.Openat(folder, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	_, err = unix.Fgetxattr(fd, posixacl.Access, nil)
	return !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.EOPNOTSUPP)
}

// readLink reads the link that a descriptor (O_PATH) stands for.
func readLink(fd int) (string, error) {
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buffer)
	if err != nil {
		return "", err
	}
	return string(buffer[:n]), nil
}

// beside is the path of another entry of the same folder.
func (p *place) beside(name string) string { return path.Join(path.Dir(p.path), name) }
