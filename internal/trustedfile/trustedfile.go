// Package trustedfile vouches for files that steer what hostguard does as root:
// its configuration, rules of the operator's own, programs that it runs. It
// refuses one that somebody other than root could have written or put in the
// place of another.
package trustedfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	maxLinks   = 16
	maxEntries = 1000 // files in a folder
)

// Read returns the content of a regular file of at most max bytes. The file,
// every folder on the way to it and every symbolic link in between must be
// owned by root, and neither file nor folders be writable by group or others;
// a folder above may be, when it is sticky (/tmp). When hostguard does not run
// as root, files of its own user count like root's. It never blocks. An absent
// file is fs.ErrNotExist.
func Read(name string, max int64) ([]byte, error) {
	real, err := walk(name)
	if err != nil {
		return nil, err
	}
	if err := trustedFolder(name, filepath.Dir(real)); err != nil {
		return nil, err
	}
	// Nobody but root can change what walk saw; the flags are for root's own slips.
	f, err := os.OpenFile(real, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, refused("read", name, "it is not a regular file")
	}
	if err := ownedByRoot(name, real, info, false); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > max {
		return nil, refused("read", name, fmt.Sprintf("it is larger than %d bytes", max))
	}
	return data, nil
}

// Check is nil when nobody but root could have written a regular file, or put
// another in its place: what Read wants of one, for a program to be run.
func Check(name string) error {
	real, err := walk(name)
	if err != nil {
		return err
	}
	if err := trustedFolder(name, filepath.Dir(real)); err != nil {
		return err
	}
	info, err := os.Lstat(real)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return refused("trust", name, "it is not a regular file")
	}
	return ownedByRoot(name, real, info, false)
}

// List returns the sorted paths of the entries of a folder that end in suffix
// and do not begin with a dot. The folder and those above it must be as Read
// wants them. An absent folder is fs.ErrNotExist.
func List(dir, suffix string) ([]string, error) {
	real, err := walk(dir)
	if err != nil {
		return nil, err
	}
	if err := trustedFolder(dir, real); err != nil {
		return nil, err
	}
	d, err := os.OpenFile(real, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(maxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(names) > maxEntries {
		return nil, refused("list", dir, fmt.Sprintf("it holds more than %d entries", maxEntries))
	}
	var found []string
	for _, n := range names {
		if strings.HasSuffix(n, suffix) && !strings.HasPrefix(n, ".") {
			found = append(found, filepath.Join(dir, n))
		}
	}
	slices.Sort(found)
	return found, nil
}

// walk goes from / to name, looks at every folder and link on the way, and
// returns the path without links.
func walk(name string) (string, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	real, rest, links := "/", split(abs), 0
	for len(rest) > 0 {
		dir, err := os.Lstat(real)
		if err != nil {
			return "", err
		}
		if err := ownedByRoot(name, real, dir, true); err != nil {
			return "", err
		}
		next := filepath.Join(real, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(next)
		switch {
		case errors.Is(err, fs.ErrNotExist) && len(rest) == 0:
			return next, nil
		case err != nil:
			return "", err
		case info.Mode()&fs.ModeSymlink == 0:
			real = next
			continue
		}
		if links++; links > maxLinks {
			return "", refused("read", name, "there are too many symbolic links on the way")
		}
		target, err := os.Readlink(next)
		if err != nil {
			return "", err
		}
		if owner(info) != 0 && owner(info) != os.Geteuid() {
			return "", refused("trust", name, fmt.Sprintf("the link %s is owned by uid %d", next, owner(info)))
		}
		if filepath.IsAbs(target) {
			real = "/"
		}
		rest = append(split(target), rest...)
	}
	return real, nil
}

// trustedFolder refuses a folder in which others could make or change files.
func trustedFolder(name, dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	return ownedByRoot(name, dir, info, false)
}

func split(name string) []string {
	return slices.DeleteFunc(strings.Split(name, "/"), func(part string) bool { return part == "" || part == "." })
}

// ownedByRoot refuses what others own or may write. Of a sticky folder only
// the owner of an entry can rename it, so one above may be open to all.
func ownedByRoot(name, at string, info fs.FileInfo, stickyIsEnough bool) error {
	if uid := owner(info); uid != 0 && uid != os.Geteuid() {
		return refused("trust", name, fmt.Sprintf("%s is owned by uid %d, not by root (chown root: %s)", at, uid, at))
	}
	if info.Mode().Perm()&0o022 != 0 && !(stickyIsEnough && info.Mode()&fs.ModeSticky != 0) {
		return refused("trust", name, fmt.Sprintf("%s is writable by group or others (chmod go-w %s)", at, at))
	}
	return nil
}

func refused(op, name, why string) error {
	return &fs.PathError{Op: op, Path: name, Err: errors.New(why)}
}

func owner(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }
