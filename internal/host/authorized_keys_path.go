package host

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A step is a file or folder on the way to a file, as it is while it is held
// open.
type step struct {
	path string
	st   unix.Stat_t
}

// onlyRoot reports whether nobody but root may change it.
func (s step) onlyRoot() bool { return s.st.Uid == 0 && s.st.Mode&0o022 == 0 }

// A trail is the way to a file, from / to the file itself, links resolved.
type trail struct {
	steps []step
	file  *os.File // only looked at; not open for reading
}

func (t *trail) path() string { return t.steps[len(t.steps)-1].path }

const maxLinks = 40

// errRiskyLink: who may change the link could lead root's eyes anywhere.
var errRiskyLink = errors.New("a symbolic link is on the way that others than root could change, and those are not followed with root's rights")

// errIntoProc: such a link leads a process to what belongs to it alone.
var errIntoProc = errors.New("a symbolic link leads into /proc, where each process finds something else")

// follow walks to a file one name at a time, below the root of the tree, and
// holds each folder open while it looks for the next name in it: nobody can
// swap one in between. It follows links. With trusted set, the rights it has
// are root's, and every link must be one that only root can change. The file
// is not opened for reading. An absent file is fs.ErrNotExist.
func (h *Host) follow(name string, trusted bool) (*trail, error) {
	fd, err := unix.Open(h.opts.Root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, pathError("open", "/", err)
	}
	w := &walker{trusted: trusted}
	defer w.close()
	if err := w.push(fd, "/"); err != nil {
		return nil, err
	}
	todo := names(name)
	links := 0
	for len(todo) > 0 {
		if len(todo)+len(w.fds) > unix.PathMax/2 {
			return nil, pathError("open", name, unix.ENAMETOOLONG)
		}
		next := todo[0]
		todo = todo[1:]
		if next == ".." {
			w.pop()
			continue
		}
		link, err := w.enter(next, len(todo) > 0)
		if err != nil {
			return nil, pathError("open", name, err)
		}
		if link == "" {
			continue
		}
		if links++; links > maxLinks {
			return nil, pathError("open", name, unix.ELOOP)
		}
		if strings.HasPrefix(link, "/") {
			w.reset()
		}
		todo = append(names(link), todo...)
	}
	t := &trail{steps: slices.Clone(w.steps), file: os.NewFile(uintptr(w.fds[len(w.fds)-1]), name)}
	w.fds = w.fds[:len(w.fds)-1]
	return t, nil
}

// names are the parts of a path that lead on.
func names(p string) []string {
	return slices.DeleteFunc(strings.Split(p, "/"), func(s string) bool { return s == "" || s == "." })
}

type walker struct {
	trusted bool
	fds     []int
	steps   []step
}

func (w *walker) push(fd int, name string) error {
	s := step{path: name}
	if err := unix.Fstat(fd, &s.st); err != nil {
		unix.Close(fd)
		return err
	}
	w.fds = append(w.fds, fd)
	w.steps = append(w.steps, s)
	return nil
}

func (w *walker) pop() {
	if n := len(w.fds) - 1; n > 0 {
		unix.Close(w.fds[n])
		w.fds, w.steps = w.fds[:n], w.steps[:n]
	}
}

func (w *walker) reset() {
	for len(w.fds) > 1 {
		w.pop()
	}
}

func (w *walker) close() {
	for _, fd := range w.fds {
		unix.Close(fd)
	}
}

// enter goes to a name in the present folder, or returns the text of the link
// that it is.
func (w *walker) enter(name string, folder bool) (link string, err error) {
	here := len(w.fds) - 1
	at := path.Join(w.steps[here].path, name)
	if folder { // asked for as a folder, what an automounter mounts is there
		fd, err := unix.Openat(w.fds[here], name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == nil {
			return "", w.push(fd, at)
		}
		if !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
			return "", err
		}
	}
	fd, err := unix.Openat(w.fds[here], name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	if err := w.push(fd, at); err != nil {
		return "", err
	}
	s := w.steps[len(w.steps)-1]
	if s.st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if folder {
			return "", unix.ENOTDIR
		}
		return "", nil
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	inProc := ofProc(fd)
	w.pop()
	switch {
	case err != nil:
		return "", err
	case n == 0:
		return "", unix.ENOENT
	case w.trusted && !(s.st.Uid == 0 && !slices.ContainsFunc(w.steps, func(s step) bool { return !s.onlyRoot() })):
		return "", errRiskyLink
	case strings.HasPrefix(at, "/proc/") || strings.HasPrefix(path.Join("/", string(buf[:n])), "/proc/") || inProc:
		return "", errIntoProc
	}
	return string(buf[:n]), nil
}

// ofProc reports whether an open file is of a proc file system, wherever that is
// mounted.
func ofProc(fd int) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(fd, &fs) == nil && fs.Type == unix.PROC_SUPER_MAGIC
}

// owner describes who owns a file and what others may do with it.
func (s step) owner() string {
	return fmt.Sprintf("owner uid %d, group gid %d, mode %04o", s.st.Uid, s.st.Gid, s.st.Mode&0o7777)
}
