// Package rotatedlogs finds and opens rotated logs below a folder that an
// attacker may control: the volume of a container that was broken into. It
// writes nothing. No link is followed, no other file system entered, nothing
// but a regular file with a single name opened, and everything is bounded.
//
// TRUE Connector's logback and log4j2 configurations rotate to names that hold
// the day and end in .gz: dataapp-2026-01-31.0.gz.
package rotatedlogs

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
	"time"

	"golang.org/x/sys/unix"
)

// Limits bound what is looked at and taken.
type Limits struct {
	Entries int   // files and folders below one root
	Depth   int   // folders inside each other
	Logs    int   // logs below one root
	Size    int64 // bytes of one log
}

// Usual are the limits in use. The published configurations keep some 30 logs
// of 10 MB, before they are compressed, in each volume.
var Usual = Limits{Entries: 100_000, Depth: 16, Logs: 10_000, Size: 256 << 20}

// Log is one rotated log.
type Log struct {
	Path    string // below the root
	Day     string // that it is of, from its name: "2026-01-31"
	Size    int64
	ModTime time.Time
}

// Refused is something in the place of a log that is not taken for one.
type Refused struct {
	Path string // below the root; raw: it may hold anything
	Why  string
}

// ErrTooMany marks a tree with more than the limits allow.
var ErrTooMany = errors.New("there is more below it than is looked at")

// maxName is how long the path of a log may be: with its owner's name it
// becomes the name of one file.
const maxName = 160

// Find lists the logs below root, which is an open folder, sorted by path. What
// has the name of a log and is none comes as refused. An error means that not
// all could be seen.
func Find(ctx context.Context, root *os.File, limits Limits) ([]Log, []Refused, error) {
	w := walk{ctx: ctx, limits: limits, root: root}
	top, err := openBelow(root, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err == nil {
		err = w.folder(top, "", 0)
	}
	slices.SortFunc(w.logs, func(a, b Log) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(w.refused, func(a, b Refused) int { return strings.Compare(a.Path, b.Path) })
	return w.logs, w.refused, err
}

type walk struct {
	ctx     context.Context
	limits  Limits
	root    *os.File
	entries int
	logs    []Log
	refused []Refused
}

func (w *walk) refuse(name, format string, args ...any) {
	if len(w.refused) < w.limits.Logs {
		w.refused = append(w.refused, Refused{name, fmt.Sprintf(format, args...)})
	}
}

// folder looks at what an open folder holds, and closes it.
func (w *walk) folder(dir *os.File, name string, depth int) error {
	defer dir.Close()
	for {
		if w.ctx.Err() != nil {
			return context.Cause(w.ctx)
		}
		entries, err := dir.ReadDir(256)
		if errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist) { // the latter of a folder removed meanwhile
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot list %q: %w", name, bare(err))
		}
		for _, e := range entries {
			if w.entries++; w.entries > w.limits.Entries {
				return fmt.Errorf("%w: %d entries are the most", ErrTooMany, w.limits.Entries)
			}
			if err := w.entry(path.Join(name, e.Name()), e, depth); err != nil {
				return err
			}
		}
	}
}

func (w *walk) entry(name string, e fs.DirEntry, depth int) error {
	if !e.IsDir() {
		if day, ok := Day(e.Name()); ok {
			return w.log(name, day)
		}
		return nil
	}
	if depth+1 >= w.limits.Depth {
		w.refuse(name, "it lies in more than %d folders", w.limits.Depth)
		return nil
	}
	sub, err := openBelow(w.root, name, unix.O_RDONLY|unix.O_DIRECTORY)
	switch {
	case err == nil:
		return w.folder(sub, name, depth+1)
	case gone(err):
		return nil
	case errors.Is(err, unix.EXDEV):
		w.refuse(name, "another file system is mounted there")
		return nil
	}
	return fmt.Errorf("cannot list %q: %w", name, bare(err))
}

func (w *walk) log(name, day string) error {
	if len(w.logs) >= w.limits.Logs {
		return fmt.Errorf("%w: %d logs are the most", ErrTooMany, w.limits.Logs)
	}
	handle, err := openBelow(w.root, name, unix.O_PATH|unix.O_NOFOLLOW)
	if gone(err) && !errors.Is(err, unix.ELOOP) {
		return nil
	}
	if err != nil {
		w.refuse(name, "%v", reason(err))
		return nil
	}
	defer handle.Close()
	info, err := handle.Stat()
	if err != nil {
		return err
	}
	if why := Unfit(name, info, w.limits); why != "" {
		w.refuse(name, "%s", why)
		return nil
	}
	w.logs = append(w.logs, Log{Path: name, Day: day, Size: info.Size(), ModTime: info.ModTime()})
	return nil
}

// Unfit says why a file of a log's name is not taken, empty when it is.
func Unfit(name string, info fs.FileInfo, limits Limits) string {
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return "it is a symbolic link, and none is followed in a volume"
	case !info.Mode().IsRegular():
		return fmt.Sprintf("it is not a regular file (%v)", info.Mode().Type())
	case hardLinks(info) != 1:
		return "it has more than one name (hard link), so it may be somebody else's file"
	case info.Size() > limits.Size:
		return fmt.Sprintf("it has %d bytes, and %d are the most", info.Size(), limits.Size)
	case !plain(name):
		return "its path holds other characters than letters, digits, dot, hyphen and underscore"
	case len(name) > maxName:
		return fmt.Sprintf("its path is longer than %d bytes", maxName)
	}
	return ""
}

// Open opens the log for reading, whatever took its place since Find: it is a
// regular file with one name below root and within the limits, or an error.
func Open(root *os.File, name string, limits Limits) (*os.File, fs.FileInfo, error) {
	// Only looked at first: to open a device, which the root of a container can
	// make in its volume, may already do something.
	handle, err := openBelow(root, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return nil, nil, reason(err)
	}
	defer handle.Close()
	info, err := handle.Stat()
	if err != nil {
		return nil, nil, bare(err)
	}
	if why := Unfit(name, info, limits); why != "" {
		return nil, nil, errors.New(why)
	}
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", handle.Fd()), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, bare(err)
	}
	return f, info, nil
}

// openBelow opens a path below an open folder: over no link, into no other file
// system.
func openBelow(root *os.File, name string, flags uint64) (*os.File, error) {
	fd, err := unix.Openat2(int(root.Fd()), name, &unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC, // folders and O_PATH only: neither blocks
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	})
	if err != nil {
		return nil, err
	}
	// By this name ReadDir asks for the kind of an entry where the folder does not
	// tell it: of this folder, whatever has its path by then.
	return os.NewFile(uintptr(fd), fmt.Sprintf("/proc/self/fd/%d", fd)), nil
}

// gone: removed meanwhile, or something else took its place.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

func reason(err error) error {
	switch {
	case errors.Is(err, unix.ELOOP):
		return errors.New("a symbolic link is on the way, and none is followed in a volume")
	case errors.Is(err, unix.EXDEV):
		return errors.New("it lies on another file system")
	}
	return bare(err)
}

// bare takes the operation and the path off an error: ours says both.
func bare(err error) error {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		return inner.Err
	}
	return err
}
