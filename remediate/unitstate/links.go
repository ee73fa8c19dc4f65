package unitstate

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/unitfile"
)

// observeLinks adds to a unit its links, with their owners, and their folders.
func (a *Actor) observeLinks(tree *unitfile.Tree, u *Unit) error {
	links, err := tree.Links(u.Name)
	if err != nil {
		return err
	}
	for _, l := range links {
		found, err := a.readLink(l.Path)
		if err != nil {
			return err
		}
		if found.Path != "" {
			u.Links = append(u.Links, found)
		}
		if dir := path.Dir(l.Path); !slices.Contains(u.Folders, dir) {
			u.Folders = append(u.Folders, dir)
		}
	}
	return nil
}

// openFolder opens a folder of the host. Links on the way are followed inside
// the root.
func (a *Actor) openFolder(dir string) (fd int, err error) {
	root, err := unix.Open(a.root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot open %s: %w", a.root, err)
	}
	defer unix.Close(root)
	fd, err = unix.Openat2(root, "."+dir, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return -1, fmt.Errorf("cannot open the folder %s: %w", dir, err)
	}
	return fd, nil
}

// readLink returns the link at a path; the zero Link when there is nothing.
// Something else there is a conflict.
func (a *Actor) readLink(name string) (Link, error) {
	fd, err := a.openFolder(path.Dir(name))
	if errors.Is(err, unix.ENOENT) {
		return Link{}, nil
	}
	if err != nil {
		return Link{}, err
	}
	defer unix.Close(fd)
	return readLinkAt(fd, name)
}

func readLinkAt(fd int, name string) (Link, error) {
	var stat unix.Stat_t
	err := unix.Fstatat(fd, path.Base(name), &stat, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return Link{}, nil
	}
	if err != nil {
		return Link{}, fmt.Errorf("cannot look at %s: %w", name, err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFLNK {
		return Link{}, conflict(name, "it is not a link")
	}
	text := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, path.Base(name), text)
	if err != nil {
		return Link{}, fmt.Errorf("cannot read the link %s: %w", name, err)
	}
	return Link{Path: name, Text: string(text[:n]), UID: stat.Uid, GID: stat.Gid}, nil
}

// moveLinks makes the links of one unit those of to. Each of them must be as
// in one of both states; done reports whether anything was changed.
func (a *Actor) moveLinks(from, to Unit) (done bool, err error) {
	for _, name := range paths(from, to) {
		changed, err := a.moveLink(name, from.link(name), to.link(name))
		done = done || changed
		if err != nil {
			return done, err
		}
	}
	for _, dir := range from.Folders {
		if !slices.Contains(to.Folders, dir) {
			if err := a.removeFolder(dir); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

func (a *Actor) moveLink(name string, from, to Link) (done bool, err error) {
	dir := path.Dir(name)
	if to.Path != "" {
		if err := a.makeFolder(dir); err != nil {
			return false, err
		}
	}
	fd, err := a.openFolder(dir)
	if errors.Is(err, unix.ENOENT) && to.Path == "" {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	now, err := readLinkAt(fd, name)
	if err != nil {
		return false, err
	}
	switch now {
	case to:
		return false, nil
	case from:
	default:
		// A link of ours whose owner could not be set any more.
		if to.Path == "" || now.Text != to.Text || from.Path != "" {
			return false, conflict(name, "somebody else has changed it: it leads to %q", now.Text)
		}
	}
	base := path.Base(name)
	if now.Path != "" && now.Text != to.Text {
		if err := unix.Unlinkat(fd, base, 0); err != nil {
			return false, fmt.Errorf("cannot remove the link %s: %w", name, err)
		}
		now = Link{}
	}
	if to.Path != "" && now.Path == "" {
		if err := unix.Symlinkat(to.Text, fd, base); err != nil {
			return true, fmt.Errorf("cannot make the link %s: %w", name, err)
		}
	}
	if to.Path != "" {
		if err := unix.Fchownat(fd, base, int(to.UID), int(to.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return true, fmt.Errorf("cannot set the owner of the link %s: %w", name, err)
		}
	}
	return true, syncFolder(fd, dir)
}

func syncFolder(fd int, dir string) error {
	if err := unix.Fsync(fd); err != nil {
		return fmt.Errorf("cannot write the folder %s to disk: %w", dir, err)
	}
	return nil
}

// makeFolder makes a .wants folder, as systemd would.
func (a *Actor) makeFolder(dir string) error {
	parent, err := a.openFolder(path.Dir(dir))
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	err = unix.Mkdirat(parent, path.Base(dir), 0o755)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot make the folder %s: %w", dir, err)
	}
	fd, err := a.openFolder(dir)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Fchmod(fd, 0o755); err != nil { // whatever the umask
		return fmt.Errorf("cannot set the mode of %s: %w", dir, err)
	}
	return syncFolder(parent, path.Dir(dir))
}

// removeFolder removes a .wants folder that a move in the other direction has
// made, unless somebody has put something into it since.
func (a *Actor) removeFolder(dir string) error {
	parent, err := a.openFolder(path.Dir(dir))
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	err = unix.Unlinkat(parent, path.Base(dir), unix.AT_REMOVEDIR)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot remove the folder %s: %w", dir, err)
	}
	return syncFolder(parent, path.Dir(dir))
}
