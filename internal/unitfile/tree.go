// Package unitfile reads systemd's unit files from disk: which file wins,
// what links make of it, and what the next boot starts. It answers as
// `systemctl --root=DIR is-enabled` does, from files alone; generators, which
// make units while booting, it can only see where they have run.
package unitfile

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// FS is the part of a host's file system that is read. Paths are absolute as
// the host sees them; links are followed except by Readlink.
type FS interface {
	ReadDir(name string) ([]fs.DirEntry, error)
	ReadFile(name string) ([]byte, error)
	Readlink(name string) (string, error)
	Stat(name string) (fs.FileInfo, error)
	Resolve(name string) (string, error)
}

// place is what kind of folder a unit file lies in; it decides about words
// such as "enabled-runtime".
type place uint8

const (
	vendor place = iota
	config
	runtime
	generator
	transient
	control
)

// searchPath is systemd's, highest precedence first (systemd.unit(5),
// `systemd-analyze unit-paths`).
var searchPath = []struct {
	path string
	place
}{
	{"/etc/systemd/system.control", control},
	{"/run/systemd/system.control", control},
	{"/run/systemd/transient", transient},
	{"/run/systemd/generator.early", generator},
	{"/etc/systemd/system", config},
	{"/etc/systemd/system.attached", control},
	{"/run/systemd/system", runtime},
	{"/run/systemd/system.attached", control},
	{"/run/systemd/generator", generator},
	{"/usr/local/lib/systemd/system", vendor},
	{"/lib/systemd/system", vendor},
	{"/usr/lib/systemd/system", vendor},
	{"/run/systemd/generator.late", generator},
}

// folder is one folder of the search path.
type folder struct {
	path    string
	place   place
	units   map[string]string            // file name → text of the link it is, "" when it is no link
	links   map[string]map[string]string // "multi-user.target.wants" → name → text of the link
	dropIns map[string]bool              // folders such as ssh.service.d
}

// runtimePlace reports whether what lies there is gone after a boot, as
// systemd counts it.
func (f *folder) runtimePlace() bool {
	return strings.HasPrefix(f.path, "/run/")
}

// Tree is all unit files of a host. It is safe for concurrent use.
type Tree struct {
	fs      FS
	folders []*folder
	sysv    map[string]sysvScript // by unit name
	aliases map[string][]string   // unit name → other names that links give it
	atBoot  map[string]string     // see AtBoot
	read    map[string][]Entry    // by unit name, of those that the next boot starts
	located sync.Map              // name → location: many checks ask for the same units
}

// Open lists the folders of unit files and the links in them, and follows the
// links from default.target. Unit files other than those started at boot are
// read when asked for. A host without unit files is an error.
func Open(fsys FS) (*Tree, error) {
	t := &Tree{fs: fsys, aliases: make(map[string][]string), read: make(map[string][]Entry)}
	seen := make(map[string]bool)
	for _, dir := range searchPath {
		real, err := fsys.Resolve(dir.path)
		if absent(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if seen[real] { // /lib is often a link to /usr/lib
			continue
		}
		seen[real] = true
		f, err := t.readFolder(dir.path, dir.place)
		if err != nil {
			return nil, err
		}
		t.folders = append(t.folders, f)
	}
	if len(t.folders) == 0 {
		return nil, errors.New("there are no systemd unit files")
	}
	var err error
	if t.sysv, err = t.readSysV(); err != nil {
		return nil, err
	}
	t.collectAliases()
	if t.atBoot, err = t.lasting().walkBoot(); err != nil {
		return nil, err
	}
	return t, nil
}

// lasting is the tree without what a reboot clears from /run. What generators
// wrote stays in: they write it again.
func (t *Tree) lasting() *Tree {
	l := &Tree{fs: t.fs, sysv: t.sysv, aliases: make(map[string][]string), read: t.read}
	for _, f := range t.folders {
		if !f.runtimePlace() || f.place == generator {
			l.folders = append(l.folders, f)
		}
	}
	l.collectAliases()
	return l
}

func (t *Tree) readFolder(dir string, p place) (*folder, error) {
	f := &folder{
		path: dir, place: p,
		units: make(map[string]string), links: make(map[string]map[string]string), dropIns: make(map[string]bool),
	}
	entries, err := t.fs.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := e.Name()
		full := path.Join(dir, name)
		isDir, isLink := e.IsDir(), e.Type()&fs.ModeSymlink != 0
		switch {
		case strings.HasSuffix(name, ".d"):
			f.dropIns[name] = true
		case slices.Contains([]string{".wants", ".requires", ".upholds"}, path.Ext(name)) && (isDir || isLink):
			if f.links[name], err = t.readLinks(full); err != nil {
				return nil, err
			}
		case !ValidName(name) || isDir:
		case isLink:
			if f.units[name], err = t.fs.Readlink(full); err != nil {
				return nil, err
			}
		default:
			f.units[name] = ""
		}
	}
	return f, nil
}

// readLinks returns the links of a .wants folder by name.
func (t *Tree) readLinks(dir string) (map[string]string, error) {
	entries, err := t.fs.ReadDir(dir)
	if absent(err) { // a link that leads nowhere
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	links := make(map[string]string, len(entries))
	for _, e := range entries {
		if !ValidName(e.Name()) || e.Type()&fs.ModeSymlink == 0 {
			continue
		}
		if links[e.Name()], err = t.fs.Readlink(path.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return links, nil
}

// Names returns the names of all unit files, masks and aliases included,
// sorted. Instances are among them only where a file or link has their name.
func (t *Tree) Names() []string {
	all := make(map[string]bool)
	for _, f := range t.folders {
		for name := range f.units {
			all[name] = true
		}
	}
	for name := range t.sysv {
		all[name] = true
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// collectAliases notes which other names links give a unit.
func (t *Tree) collectAliases() {
	done := make(map[string]bool)
	for _, f := range t.folders {
		for name, link := range f.units {
			if done[name] {
				continue // shadowed by a folder of higher precedence
			}
			done[name] = true
			if base := path.Base(link); link != "" && base != name && ValidName(base) {
				t.aliases[base] = append(t.aliases[base], name)
			}
		}
	}
	for _, names := range t.aliases {
		slices.Sort(names)
	}
}

func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
