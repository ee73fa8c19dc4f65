package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/printable"
)

// steady finds the path for a rule that covers a part and is there at every
// boot: its own, or that of a folder above it, then with a note. A gap with a
// reason says that there is none.
func (m *proposer) steady(p auditrule.Part) (at, note string, gap Gap, err error) {
	needed := p.Path // what must be there when the rule is loaded
	if !p.Tree {
		needed = path.Dir(p.Path)
	}
	if above := m.docker(needed); above != needed {
		return m.above(p, above, fmt.Sprintf("%s is docker's to remove: the folder above it stays", p.Path))
	}
	if strings.HasPrefix(needed, "/snap/") {
		return "", "", Gap{Why: needed + " goes with the next revision of its snap, and a rule on it would end the load"}, nil
	}
	gone, err := m.h.GoneAtBoot(m.ctx, needed)
	if err != nil {
		return "", "", gap, err
	}
	switch made := slices.Contains(m.edits.Made, needed); {
	case gone && !made:
		return "", "", m.vanishing(needed), nil
	case gone && !m.h.Running():
		return p.Path, "", gap, nil // of an image only the boot counts, which makes it
	}
	view, err := m.view(nil)
	if err != nil {
		return "", "", gap, err
	}
	if mount := view.MountOf(needed); !mount.Early {
		return "", "", Gap{
			Why: fmt.Sprintf("the file system on %s is not known to be mounted before the rules are loaded at boot, and a rule on a path that is missing ends the load", mount.Point),
		}, nil
	}
	keeper, absent, err := m.keeper(needed)
	switch {
	case err != nil:
		return "", "", gap, err
	case absent:
		return "", "", Gap{
			Why:   needed + " does not exist yet: a rule on it ends the load",
			First: "install -d -m 0710 " + quoted(needed),
		}, nil
	case keeper != needed:
		return m.above(p, keeper, fmt.Sprintf("%s can be taken away by another user than root: the folder above it stays", needed))
	}
	return p.Path, "", gap, nil
}

// above puts the rule on a folder above the part, unless that would be one
// that half of the system lies in.
func (m *proposer) above(p auditrule.Part, folder, note string) (string, string, Gap, error) {
	if strings.Count(folder, "/") < 2 || p.Use {
		return "", "", Gap{Why: note + ", but a rule on " + folder + " would record too much"}, nil
	}
	if !printable.IsText(note) || strings.Contains(note, "\n") {
		note = printable.String(note)
	}
	at, further, gap, err := m.steady(auditrule.Part{Want: auditrule.Want{Path: folder}, Kind: auditrule.Dir, Tree: true})
	if further != "" {
		note = further
	}
	return at, note, gap, err
}

// docker returns the folder that stays when docker removes what it made there.
func (m *proposer) docker(name string) string {
	for _, dir := range m.dockers {
		if name == dir || strings.HasPrefix(name, dir+"/") {
			return dir
		}
	}
	return name
}

// vanishing says how to have a folder in memory made at boot before the rules
// are loaded; see tmpfiles.d(5).
func (m *proposer) vanishing(dir string) Gap {
	g := Gap{Why: dir + " lies in memory and is not there when the rules are loaded at boot: a rule on it ends the load"}
	if dir == "/run/user" || strings.HasPrefix(dir, "/run/user/") {
		g.Why = dir + " is mounted when its user logs in, and goes with the session: a rule on it would not see what lies there"
		return g
	}
	if quoted(dir) != dir {
		return g
	}
	mode, uid, gid := fs.FileMode(0o711), uint32(0), uint32(0)
	if info, err := m.h.Lstat(dir); err == nil {
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok || !info.IsDir() {
			return g
		}
		mode, uid, gid = info.Mode().Perm(), stat.Uid, stat.Gid
	}
	g.Make = &Made{dir, mode, uid, gid}
	g.First = fmt.Sprintf("echo '%s' > %s", g.Make.Line(), g.Make.File())
	return g
}

// keeper returns the deepest folder on the way to a path, or the path itself,
// that only root can rename or remove. absent: the path does not exist.
func (m *proposer) keeper(name string) (folder string, absent bool, err error) {
	folder = "/"
	parent, err := m.h.Lstat("/")
	if err != nil {
		return "", false, err
	}
	rest := strings.Trim(name, "/")
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		next := path.Join(folder, part)
		info, err := m.h.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) && rest == "" && slices.Contains(m.edits.Folders, next) {
			return next, false, nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			return folder, true, nil
		}
		if err != nil {
			return "", false, err
		}
		if !rootOnly(parent, info) {
			return folder, false, nil
		}
		folder, parent = next, info
	}
	return folder, false, nil
}

// rootOnly reports whether only root can take an entry out of a folder.
func rootOnly(folder, entry fs.FileInfo) bool {
	dir, ok := folder.Sys().(*syscall.Stat_t)
	if !ok || dir.Uid != 0 {
		return false
	}
	if folder.Mode().Perm()&0o022 == 0 {
		return true
	}
	stat, ok := entry.Sys().(*syscall.Stat_t)
	return ok && folder.Mode()&fs.ModeSticky != 0 && stat.Uid == 0
}

// quoted writes a path for a shell.
func quoted(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("/._-+", r) && (r < '0' || r > '9' && r < 'A' || r > 'Z' && r < 'a' || r > 'z')
	}) {
		return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
	}
	return name
}
