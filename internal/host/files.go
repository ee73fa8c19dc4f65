package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	pathrs "github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
)

// MaxFile is how much of a configuration file is read; a larger one is refused.
const MaxFile = 4 << 20

// maxDirEntries is how many entries of a folder are read; more are refused.
const maxDirEntries = 100_000

// ErrNotRegular marks a FIFO, socket, device or folder in a file's place.
var ErrNotRegular = errors.New("not a regular file")

// ErrTooLarge marks a file or folder over its bound.
var ErrTooLarge = errors.New("too large to read")

// ReadFile returns a regular file's content, links followed, up to MaxFile
// bytes. It never blocks. A file that is absent is fs.ErrNotExist.
func (h *Host) ReadFile(name string) ([]byte, error) {
	f, err := h.open(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, _, err := readRegular(f, MaxFile)
	return data, pathError("read", name, err)
}

// ReadUntrusted reads the file rel below dir, where someone other than root
// may own what lies below dir: no link is followed, nothing is left by "..",
// nothing but a regular file with a single name is read, at most max bytes.
// The returned info is the read file's own.
func (h *Host) ReadUntrusted(dir, rel string, max int64) ([]byte, fs.FileInfo, error) {
	name := path.Join(dir, rel)
	anchor, err := h.open(dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, nil, err
	}
	defer anchor.Close()
	// Only looked at first: to open a device, which the root of a container can
	// make in its volume, may already do something.
	fd, err := unix.Openat2(int(anchor.Fd()), rel, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		if errors.Is(err, unix.ELOOP) {
			err = errors.New("a symbolic link is on the way, and those of users are not followed")
		}
		return nil, nil, pathError("open", name, err)
	}
	handle := os.NewFile(uintptr(fd), name)
	defer handle.Close()
	f, info, err := reopenRegular(handle)
	if err != nil {
		return nil, info, pathError("read", name, err)
	}
	defer f.Close()
	data, info, err := readRegular(f, max)
	if err == nil && info.Sys().(*syscall.Stat_t).Nlink > 1 {
		data, err = nil, errors.New("has more than one name (hard link), so it may be somebody else's file")
	}
	return data, info, pathError("read", name, err)
}

// reopenRegular opens a file for reading that is only looked at so far, when
// it is a regular one.
func reopenRegular(handle *os.File) (*os.File, fs.FileInfo, error) {
	info, err := handle.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w (%v)", ErrNotRegular, info.Mode().Type())
	}
	if err != nil {
		return nil, info, err
	}
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", handle.Fd()), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	return f, info, err
}

// ReadDir lists a folder, sorted by name.
func (h *Host) ReadDir(name string) ([]fs.DirEntry, error) {
	f, err := h.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(maxDirEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, pathError("list", name, err)
	}
	if len(entries) > maxDirEntries {
		return nil, pathError("list", name, ErrTooLarge)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// Stat describes the file that name leads to, links followed.
func (h *Host) Stat(name string) (fs.FileInfo, error) {
	if h.Running() && path.IsAbs(name) { // the same in one system call for three
		info, err := os.Stat(name)
		return info, pathError("stat", name, err)
	}
	f, err := h.open(name, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	return info, pathError("stat", name, err)
}

// Lstat describes name itself, even when it is a link.
func (h *Host) Lstat(name string) (fs.FileInfo, error) {
	if h.Running() && path.IsAbs(name) {
		info, err := os.Lstat(path.Clean(name)) // "link/" would be what it leads to
		return info, pathError("lstat", name, err)
	}
	f, err := h.openLast(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	return info, pathError("lstat", name, err)
}

// Readlink returns the text of the link that name is.
func (h *Host) Readlink(name string) (string, error) {
	if h.Running() && path.IsAbs(name) {
		text, err := os.Readlink(path.Clean(name))
		return text, pathError("readlink", name, err)
	}
	f, err := h.openLast(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(f.Fd()), "", buf)
	if err != nil {
		return "", pathError("readlink", name, err)
	}
	return string(buf[:n]), nil
}

// Resolve returns the path, without any link, of the file that name leads to.
func (h *Host) Resolve(name string) (string, error) {
	f, err := h.open(name, unix.O_PATH)
	if err != nil {
		return "", err
	}
	defer f.Close()
	real, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return "", pathError("resolve", name, err)
	}
	if h.Running() {
		return real, nil
	}
	root, err := filepath.EvalSymlinks(h.opts.Root)
	if err != nil {
		return "", pathError("resolve", name, err)
	}
	inside, err := filepath.Rel(root, real)
	if err != nil || strings.HasPrefix(inside, "..") {
		return "", pathError("resolve", name, fmt.Errorf("it lies outside the tree, at %s", real))
	}
	return path.Join("/", inside), nil
}

// Exists reports whether name leads to a file; an error means it cannot be told.
func (h *Host) Exists(name string) (bool, error) {
	_, err := h.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return false, nil
	}
	return err == nil, err
}

// Glob returns the existing paths that match an absolute pattern, in lexical
// order. As in glob(3), * does not match a leading dot. A folder that is
// absent yields nothing; one that cannot be read is an error.
func (h *Host) Glob(pattern string) ([]string, error) {
	if !path.IsAbs(pattern) {
		return nil, fmt.Errorf("cannot expand %q: the pattern is not absolute", pattern)
	}
	paths := []string{"/"}
	parts := strings.Split(strings.Trim(path.Clean(pattern), "/"), "/")
	for i, part := range parts {
		if i < len(parts)-1 && isLiteral(part) { // whether it is there, what lies below shows
			for j := range paths {
				paths[j] = path.Join(paths[j], part)
			}
			continue
		}
		var next []string
		for _, dir := range paths {
			found, err := h.globIn(dir, part)
			if err != nil {
				return nil, err
			}
			next = append(next, found...)
		}
		paths = next
	}
	slices.Sort(paths)
	return paths, nil
}

func isLiteral(part string) bool { return !strings.ContainsAny(part, `*?[\`) }

// literally is the pattern for Glob that matches a name and no other: those of
// units hold backslashes, see systemd-escape(1).
func literally(name string) string { return escapePattern.Replace(name) }

var escapePattern = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

func (h *Host) globIn(dir, part string) ([]string, error) {
	if isLiteral(part) {
		name := path.Join(dir, part)
		_, err := h.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			return nil, nil
		}
		return []string{name}, err
	}
	entries, err := h.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(part, ".") {
			continue
		}
		match, err := path.Match(part, e.Name())
		if err != nil {
			return nil, fmt.Errorf("cannot expand %q: %w", part, err)
		}
		if match {
			found = append(found, path.Join(dir, e.Name()))
		}
	}
	return found, nil
}

// open opens name, links followed, inside the root. It neither blocks on a
// FIFO nor takes a terminal.
func (h *Host) open(name string, flags int) (*os.File, error) {
	if !path.IsAbs(name) {
		return nil, pathError("open", name, errors.New("the path is not absolute"))
	}
	flags |= unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	if h.Running() {
		f, err := os.OpenFile(name, flags, 0)
		return f, pathError("open", name, err)
	}
	handle, err := pathrs.OpenInRoot(h.opts.Root, name)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	if flags&unix.O_PATH != 0 && flags&unix.O_DIRECTORY == 0 {
		return handle, nil
	}
	defer handle.Close()
	if flags&(unix.O_PATH|unix.O_DIRECTORY) == 0 { // an image can hold devices, too
		if info, err := handle.Stat(); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
			return nil, pathError("read", name, fmt.Errorf("%w (%v)", ErrNotRegular, info.Mode().Type()))
		}
	}
	f, err := pathrs.Reopen(handle, flags)
	return f, pathError("open", name, err)
}

// openLast opens name itself, even when its last component is a link, for
// looking at only.
func (h *Host) openLast(name string) (*os.File, error) {
	dir, last := path.Split(path.Clean(name))
	if last == "" {
		return h.open(name, unix.O_PATH)
	}
	parent, err := h.open(dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	fd, err := unix.Openat(int(parent.Fd()), last, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// readRegular reads all of an open regular file of at most max bytes. Files of
// /proc say they hold nothing: only what is read counts.
func readRegular(f *os.File, max int64) ([]byte, fs.FileInfo, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, info, fmt.Errorf("%w (%v)", ErrNotRegular, info.Mode().Type())
	}
	// Space for what the file says it holds, and for the read that finds its end.
	data := bytes.NewBuffer(make([]byte, 0, min(info.Size(), max)+bytes.MinRead))
	if _, err := data.ReadFrom(io.LimitReader(f, max+1)); err != nil {
		return nil, info, err
	}
	if int64(data.Len()) > max {
		return nil, info, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, max)
	}
	return data.Bytes(), info, nil
}

// pathError names the path as the host sees it, whatever the root.
func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	var inner *fs.PathError
	for errors.As(err, &inner) {
		err = inner.Err
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// withoutPath is err without the path that the caller names anyway.
func withoutPath(err error) error {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		return inner.Err
	}
	return err
}
