package unitstate

import (
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/hostguard/hostguard/internal/unitfile"
)

// overlay is a host's files as they will be when links have been made and
// removed: what the next boot will start can be asked before anything is done.
type overlay struct {
	unitfile.FS
	links map[string]string // path → text; "": there is no such link
	gone  map[string]bool   // units whose generated links are no more
	files map[string][]byte // new content of files
}

func newOverlay(below unitfile.FS, files map[string][]byte) *overlay {
	return &overlay{FS: below, links: map[string]string{}, gone: map[string]bool{}, files: files}
}

func (o *overlay) set(link, text string) { o.links[link] = text }

// forget hides the links that systemd-sysv-generator made for a unit: it makes
// none for a script without S links.
func (o *overlay) forget(unit string) { o.gone[unit] = true }

func (o *overlay) hidden(name string) bool {
	text, changed := o.links[name]
	return changed && text == "" || strings.HasPrefix(name, "/run/systemd/generator.late/") && o.gone[path.Base(name)] && strings.Contains(name, ".wants/")
}

func (o *overlay) ReadDir(dir string) ([]fs.DirEntry, error) {
	below, err := o.FS.ReadDir(dir)
	var entries []fs.DirEntry
	known := map[string]bool{}
	for _, e := range below {
		if known[e.Name()] = true; !o.hidden(path.Join(dir, e.Name())) {
			entries = append(entries, e)
		}
	}
	for name, text := range o.links {
		switch {
		case text == "":
		case path.Dir(name) == dir && !known[path.Base(name)]:
			known[path.Base(name)] = true
			entries = append(entries, entry{name: path.Base(name), mode: fs.ModeSymlink})
		case path.Dir(path.Dir(name)) == dir && !known[path.Base(path.Dir(name))]:
			known[path.Base(path.Dir(name))] = true
			entries = append(entries, entry{name: path.Base(path.Dir(name)), mode: fs.ModeDir})
		}
	}
	for name, content := range o.files {
		if path.Dir(name) == dir && !known[path.Base(name)] {
			entries = append(entries, entry{path.Base(name), 0o644, int64(len(content))})
		}
	}
	if len(entries) > 0 {
		err = nil // a folder that is there only now
	}
	return entries, err
}

func (o *overlay) Readlink(name string) (string, error) {
	if text, changed := o.links[name]; changed && text != "" {
		return text, nil
	}
	if o.hidden(name) {
		return "", fs.ErrNotExist
	}
	return o.FS.Readlink(name)
}

func (o *overlay) ReadFile(name string) ([]byte, error) {
	if content, changed := o.files[name]; changed {
		return content, nil
	}
	return o.FS.ReadFile(name)
}

func (o *overlay) Stat(name string) (fs.FileInfo, error) {
	if content, changed := o.files[name]; changed {
		return entry{path.Base(name), 0o644, int64(len(content))}, nil
	}
	return o.FS.Stat(name)
}

// entry is a folder's entry that is not there yet.
type entry struct {
	name string
	mode fs.FileMode
	size int64
}

func (e entry) Name() string               { return e.name }
func (e entry) IsDir() bool                { return e.mode.IsDir() }
func (e entry) Type() fs.FileMode          { return e.mode }
func (e entry) Info() (fs.FileInfo, error) { return e, nil }
func (e entry) Size() int64                { return e.size }
func (e entry) Mode() fs.FileMode          { return e.mode }
func (e entry) ModTime() time.Time         { return time.Time{} }
func (e entry) Sys() any                   { return nil }
