package host

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/sshdconf"
)

// expandKeyPath is what sshd makes of a pattern of AuthorizedKeysFile; ok is
// false when there is a token in it that sshd does not know.
func expandKeyPath(pattern string, u *User) (file string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' {
			b.WriteByte(pattern[i])
			continue
		}
		i++
		switch {
		case i < len(pattern) && pattern[i] == '%':
			b.WriteByte('%')
		case i < len(pattern) && pattern[i] == 'h':
			b.WriteString(u.Home)
		case i < len(pattern) && pattern[i] == 'u':
			b.WriteString(u.Name)
		case i < len(pattern) && pattern[i] == 'U':
			b.WriteString(strconv.FormatUint(uint64(u.UID), 10))
		default:
			return pattern, false
		}
	}
	file = b.String()
	if !strings.HasPrefix(file, "/") {
		file = u.Home + "/" + file
	}
	if !strings.HasPrefix(file, "/") { // a home that is no absolute path is below sshd's working folder
		file = "/" + file
	}
	return file, true
}

// globbed reports whether sshd takes a path for a pattern of glob(3): since 10.0.
func (r *keyReader) globbed(name string) bool {
	return r.as.Version.AtLeast(sshdconf.V10_0) && strings.ContainsAny(name, `*?[\`)
}

// maxMatches is how many files of one pattern are read for an account.
const maxMatches = 256

// matches are the files that a path stands for. Those of a pattern are looked
// for with the user's rights, as sshd does.
func (r *keyReader) matches(name string, u *User) (found []string, err error) {
	if !r.globbed(name) {
		return []string{name}, nil
	}
	look := func() {
		if err = r.ledIntoProc(name); err == nil {
			found, err = sshdFS{r.h}.Glob(name)
		}
	}
	if !r.h.Running() {
		look()
	} else if failed := asUser(u.UID, u.GID, r.groups(u), look); failed != nil {
		err = failed
	}
	if err == nil && len(found) > maxMatches {
		err = fmt.Errorf("%w: more than %d files match", ErrTooLarge, maxMatches)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot expand the pattern: %w", err)
	}
	return found, nil
}

// ledIntoProc is an error when a folder of a pattern is a link into /proc, where
// sshd finds other files than we.
func (r *keyReader) ledIntoProc(pattern string) error {
	for i := 1; i < len(pattern); i++ {
		if pattern[i] != '/' {
			continue
		}
		folders, err := sshdFS{r.h}.Glob(pattern[:i])
		if err != nil {
			return err
		}
		for _, folder := range folders {
			t, err := r.h.follow(folder, false)
			switch {
			case err == nil:
				t.file.Close()
			case errors.Is(err, errIntoProc):
				return err
			}
		}
	}
	return nil
}

// groups are the numbers of a user's groups.
func (r *keyReader) groups(u *User) (gids []uint32) {
	for _, name := range r.accounts.GroupsOf(u.Name) {
		gids = append(gids, r.accounts.Group(name).GID)
	}
	return gids
}

// read reads a file of keys as sshd would, which takes the user's rights to do
// it. It returns false when there is no such file.
func (r *keyReader) read(f *KeyFile, u *User) (exists bool) {
	if r.absent[f.Path] {
		return false
	}
	if r.h.Running() {
		// What a link on the way leads to may be another file for sshd, as below
		// /proc/self/cwd, or for the user: such a file is not missing yet.
		fd, err := unix.Openat2(unix.AT_FDCWD, f.Path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
		switch err {
		case nil:
			unix.Close(fd)
		case unix.ENOENT, unix.ENOTDIR:
			r.noteAbsent(f.Path)
			return false // of most accounts
		}
	}
	var err error
	look := func() { err = r.readAs(f, u) }
	if !r.h.Running() {
		look()
	} else if failed := asUser(u.UID, u.GID, r.groups(u), look); failed != nil {
		err = failed
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		if !r.h.Running() { // else it is what this account saw
			r.noteAbsent(f.Path)
		}
		return false
	case errors.Is(err, errDenied), errors.Is(err, unix.EACCES) && r.h.Running() && unix.Geteuid() == 0 && u.UID != 0 && len(r.accounts.Elsewhere) == 0:
		f.Refused = fmt.Sprintf("%s may not read it, and sshd reads it with that account's rights", u.Name)
	case errors.Is(err, unix.ELOOP):
		f.Refused = "it leads through too many symbolic links"
	case errors.Is(err, ErrNotRegular):
		f.Refused = "it is no regular file"
	default:
		f.Err = err
	}
	return true
}

// noteAbsent keeps a few paths: those that accounts share come early.
func (r *keyReader) noteAbsent(name string) {
	const most = 64
	if len(r.absent) < most {
		r.absent[name] = true
	}
}

// readAs runs with the rights of the user.
func (r *keyReader) readAs(f *KeyFile, u *User) error {
	t, err := r.h.follow(f.Path, r.h.Running() && (u.UID == 0 || unix.Geteuid() != 0))
	if err != nil {
		return err
	}
	defer t.file.Close()
	f.Real = t.path()
	last := t.steps[len(t.steps)-1]
	f.Modified = time.Unix(last.st.Mtim.Unix())
	home := ""
	if t, err := r.h.follow(u.Home, false); err == nil && u.Home != "" {
		home = t.path()
		t.file.Close()
	}
	f.UnsafeAt, f.Unsafe = r.unsafe(t.steps, home, u)
	if !r.h.Running() && r.denied(t.steps, u) {
		return pathError("read", f.Path, errDenied)
	}
	if last.st.Mode&unix.S_IFMT == unix.S_IFREG && u.UID == 0 && last.st.Nlink > 1 && f.Unsafe != "" {
		return pathError("read", f.Path, errors.New("has more than one name (hard link), and others than root may have made one"))
	}
	if kept := r.shared[f.Path]; kept != nil && kept.dev == last.st.Dev && kept.ino == last.st.Ino && kept.ctim == last.st.Ctim {
		if err := mayRead(t); err != nil {
			return err
		}
		f.Entries, f.Problems = kept.entries, kept.problems
		return nil
	}
	file, _, err := reopenRegular(t.file)
	if err != nil {
		return pathError("read", f.Path, err)
	}
	defer file.Close()
	data, _, err := readRegular(file, maxKeyFile)
	if err != nil {
		return pathError("read", f.Path, err)
	}
	if r.left -= int64(len(data)); r.left < 0 {
		return pathError("read", f.Path, fmt.Errorf("%w: all files of keys hold more than %d bytes", ErrTooLarge, maxAllKeyFiles))
	}
	f.Entries, f.Problems = r.as.Parse(f.Path, data)
	if !strings.HasPrefix(f.Path, u.Home) || u.Home == "" || u.Home == "/" {
		r.shared[f.Path] = &parsedKeys{last.st.Dev, last.st.Ino, last.st.Ctim, f.Entries, f.Problems}
	}
	return nil
}

// errDenied marks a file that an account has no right to read by its modes.
var errDenied = errors.New("its modes do not let the account read it")
