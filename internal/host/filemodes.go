package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/posixacl"
)

// FileMode is what the file system says of who may do what with a file.
type FileMode struct {
	Path     string
	Type     uint32 // S_IFREG, S_IFDIR, S_IFLNK …
	Perm     uint32 // the twelve bits of chmod(1)
	UID, GID uint32
	ACL      posixacl.List // nil when there is none
	Default  posixacl.List // of a folder, for what is made in it
}

// IsDir reports whether it is a folder.
func (m FileMode) IsDir() bool { return m.Type == unix.S_IFDIR }

// IsLink reports whether it is a symbolic link.
func (m FileMode) IsLink() bool { return m.Type == unix.S_IFLNK }

// ErrTooMany marks a tree with more files than are looked at.
var ErrTooMany = errors.New("too many files")

// maxTreeDepth is how many folders inside each other are walked.
const maxTreeDepth = 64

// FileMode describes name itself, even when it is a link. Nothing is opened
// but for looking at.
func (h *Host) FileMode(name string) (FileMode, error) {
	f, err := h.openLast(name)
	if err != nil {
		return FileMode{}, err
	}
	defer f.Close()
	m, err := modeOf(f, name)
	return m, pathError("look at", name, err)
}

// TargetMode describes the file that name leads to, links followed.
func (h *Host) TargetMode(name string) (FileMode, error) {
	f, err := h.open(name, unix.O_PATH)
	if err != nil {
		return FileMode{}, err
	}
	defer f.Close()
	m, err := modeOf(f, name)
	return m, pathError("look at", name, err)
}

func modeOf(f *os.File, name string) (FileMode, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return FileMode{}, err
	}
	m := newFileMode(name, &st)
	err := m.addLists(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.Getxattr)
	return m, err
}

func newFileMode(name string, st *unix.Stat_t) FileMode {
	return FileMode{Path: name, Type: st.Mode & unix.S_IFMT, Perm: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid}
}

// FilesBelow describes everything below a folder, sorted by path. The folder
// itself may be reached over links; links below are described and not
// followed. Other file systems mounted there belong to it. After max files
// the error is ErrTooMany; what was seen comes with it.
func (h *Host) FilesBelow(ctx context.Context, dir string, max int) ([]FileMode, error) {
	f, err := h.open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	w := modeWalk{ctx: ctx, max: max}
	err = w.below(f, dir, 0)
	slices.SortFunc(w.found, func(a, b FileMode) int { return strings.Compare(a.Path, b.Path) })
	return w.found, err
}

type modeWalk struct {
	ctx   context.Context
	max   int
	found []FileMode
}

func (w *modeWalk) below(dir *os.File, name string, depth int) error {
	if depth > maxTreeDepth {
		return pathError("look below", name, fmt.Errorf("there are more than %d folders inside each other", maxTreeDepth))
	}
	for {
		if err := w.ctx.Err(); err != nil {
			return pathError("look below", name, context.Cause(w.ctx))
		}
		names, err := dir.Readdirnames(256)
		if errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist) { // the latter of a folder removed meanwhile
			return nil
		}
		if err != nil {
			return pathError("list", name, err)
		}
		for _, n := range names {
			if err := w.entry(dir, path.Join(name, n), n, depth); err != nil {
				return err
			}
		}
	}
}

// entry looks at one entry of an open folder. One that is gone meanwhile, as a
// log that was rotated, is none.
func (w *modeWalk) entry(dir *os.File, name, base string, depth int) error {
	var st unix.Stat_t
	at := int(dir.Fd())
	if err := unix.Fstatat(at, base, &st, unix.AT_SYMLINK_NOFOLLOW); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return pathError("look at", name, err)
	}
	if len(w.found) >= w.max {
		return pathError("look at all files below", path.Dir(name), fmt.Errorf("%w: more than %d", ErrTooMany, w.max))
	}
	m := newFileMode(name, &st)
	err := m.addLists(fmt.Sprintf("/proc/self/fd/%d/%s", at, base), unix.Lgetxattr)
	if errors.Is(err, fs.ErrNotExist) && unix.Fstatat(at, base, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return nil
	}
	if err != nil {
		return pathError("look at", name, err)
	}
	w.found = append(w.found, m)
	if !m.IsDir() {
		return nil
	}
	fd, err := unix.Openat2(at, base, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return pathError("list", name, err)
	}
	sub := os.NewFile(uintptr(fd), name)
	defer sub.Close()
	return w.below(sub, name, depth+1)
}

// addLists reads the access lists. A link has none, and neither has a file
// system that does not know them.
func (m *FileMode) addLists(at string, get func(string, string, []byte) (int, error)) (err error) {
	if m.IsLink() {
		return nil
	}
	if m.ACL, err = readList(at, posixacl.Access, get); err == nil && m.IsDir() {
		m.Default, err = readList(at, posixacl.Default, get)
	}
	return err
}

func readList(at, attribute string, get func(string, string, []byte) (int, error)) (posixacl.List, error) {
	var buf [1 << 10]byte
	value := buf[:]
	n, err := get(at, attribute, value)
	if errors.Is(err, unix.ERANGE) {
		value = make([]byte, 64<<10) // XATTR_SIZE_MAX
		n, err = get(at, attribute, value)
	}
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read its access list: %w", err)
	}
	return posixacl.Parse(value[:n])
}
