package unitfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Unit is a unit file and what the links around it make of it.
type Unit struct {
	Name string // as asked for
	ID   string // its own name: another than Name for an alias
	Path string // the file that wins; a mask's own path; empty when not found
	// State is the word of systemctl(1) is-enabled, or "not-found", or "bad"
	// for what systemd refuses to load.
	State string
	Why   string // with "bad": why
}

// errBad marks a unit file or link that systemd refuses.
type errBad struct{ why string }

func (e errBad) Error() string { return e.why }

// maxFollow is how many links systemd follows (UNIT_FILE_FOLLOW_SYMLINK_MAX).
const maxFollow = 64

// Unit returns what the files say of the unit of that name.
func (t *Tree) Unit(name string) (Unit, error) {
	u, found, err := t.locate(name)
	if err == nil && u.State == "" {
		u.State, err = t.linkState(found)
	}
	return u, err
}

// Locate is Unit without reading the unit's file: State is empty where that
// would decide it (enabled, disabled, static, linked, indirect).
func (t *Tree) Locate(name string) (Unit, error) {
	u, _, err := t.locate(name)
	return u, err
}

// location is what locate found, kept for the next who asks.
type location struct {
	unit Unit
	file *file
}

func (t *Tree) locate(name string) (Unit, *file, error) {
	if l, known := t.located.Load(name); known {
		l := l.(location)
		return l.unit, l.file, nil
	}
	u, f, err := t.locateFile(name)
	if err == nil {
		t.located.Store(name, location{u, f})
	}
	return u, f, err
}

func (t *Tree) locateFile(name string) (Unit, *file, error) {
	u := Unit{Name: name, ID: name}
	if !ValidName(name) {
		return u, nil, fmt.Errorf("%q is not the name of a unit", name)
	}
	found, err := t.find(name)
	var bad errBad
	switch {
	case errors.As(err, &bad):
		u.State, u.Why = "bad", bad.why
		return u, nil, nil
	case err != nil:
		return u, nil, err
	case found == nil:
		u.State = "not-found"
		if script, isScript := t.sysv[name]; isScript {
			u.Path, u.State = script.path, script.state()
		}
		return u, nil, nil
	}
	u.ID, u.Path = found.name, found.path
	f := found.folder
	switch {
	case found.masked && f != nil && f.runtimePlace():
		u.State = "masked-runtime"
	case found.masked:
		u.State = "masked"
	case name != path.Base(found.path) && !isInstance(found.name):
		u.State = "alias"
	case f != nil && f.place == generator:
		u.State = "generated"
	case f != nil && f.place == transient:
		u.State = "transient"
	}
	return u, found, nil
}

// Shipped reports whether the unit's file was put there by a package of the
// distribution or by a generator of systemd's, not by an administrator.
func (u Unit) Shipped() bool {
	for _, dir := range []string{"/usr/lib/systemd/system/", "/lib/systemd/system/", "/run/systemd/generator/", "/run/systemd/generator.early/"} {
		if strings.HasPrefix(u.Path, dir) {
			return true
		}
	}
	return false
}

// file is a unit file that was found.
type file struct {
	name   string  // the unit's, links followed
	path   string  // the file's
	folder *folder // of the search path in which the file itself lies; nil: elsewhere
	masked bool
}

// find follows links from name to a unit file; nil when there is none.
func (t *Tree) find(name string) (*file, error) {
	from := ""
	for range maxFollow {
		f, fileName, link := t.first(name)
		if f == nil && from != "" {
			return nil, errBad{fmt.Sprintf("%s leads to %s, which does not exist", from, name)}
		}
		if f == nil {
			return nil, nil
		}
		at := path.Join(f.path, fileName)
		if link == "" {
			null, err := t.nullOrEmpty(at)
			return &file{name: name, path: at, folder: f, masked: null}, err
		}
		target := link
		if !path.IsAbs(target) {
			target = path.Join(f.path, target)
		}
		null, err := t.nullOrEmpty(target)
		if err != nil && !absent(err) {
			return nil, err
		}
		if null && path.Base(target) == "null" {
			return &file{name: name, path: at, folder: f, masked: true}, nil
		}
		base := path.Base(target)
		if why := aliasProblem(name, base); why != "" {
			return nil, errBad{fmt.Sprintf("%s links to %s: %s", at, link, why)}
		}
		if base == name || base == Template(name) { // the file lies elsewhere under the same name
			if absent(err) {
				return nil, errBad{fmt.Sprintf("%s links to %s, which does not exist", at, link)}
			}
			return &file{name: name, path: target, folder: t.folderOf(target), masked: null}, nil
		}
		if IsTemplate(base) && isInstance(name) {
			_, instance, _ := cutInstance(name)
			base = withInstance(base, instance)
		}
		name, from = base, at
	}
	return nil, errBad{"too many links from one name to another"}
}

// first returns the folder that has the unit's file, or its template's, with
// the file's name there and the text of the link that it is.
func (t *Tree) first(name string) (f *folder, fileName, link string) {
	for _, fileName := range []string{name, Template(name)} {
		if fileName == "" {
			continue
		}
		for _, f := range t.folders {
			if link, there := f.units[fileName]; there {
				return f, fileName, link
			}
		}
	}
	return nil, "", ""
}

func (t *Tree) folderOf(file string) *folder {
	dir := path.Dir(file)
	for _, f := range t.folders {
		if f.path == dir {
			return f
		}
	}
	real, err := t.fs.Resolve(dir)
	if err != nil {
		return nil
	}
	for _, f := range t.folders {
		if known, err := t.fs.Resolve(f.path); err == nil && known == real {
			return f
		}
	}
	return nil
}

// nullOrEmpty is systemd's test for a mask: no content, or a device.
func (t *Tree) nullOrEmpty(name string) (bool, error) {
	info, err := t.fs.Stat(name)
	if errors.Is(err, syscall.ELOOP) {
		return false, errBad{fmt.Sprintf("%s is a link that leads to itself", name)}
	}
	if err != nil {
		return name == "/dev/null", err // a tree's /dev may be empty
	}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return info.Size() == 0, nil
	case mode&fs.ModeDevice != 0:
		return true, nil
	}
	return false, errBad{fmt.Sprintf("%s is no regular file", name)}
}

// aliasProblem says why systemd refuses an alias, "" when it does not.
func aliasProblem(name, target string) string {
	switch {
	case !ValidName(target):
		return "that is not the name of a unit"
	case suffix(name) != suffix(target):
		return "that is another kind of unit"
	case isPlain(name) && !isPlain(target), IsTemplate(name) && !IsTemplate(target), isInstance(name) && isPlain(target):
		return "a template, its instances and plain units cannot stand for one another"
	}
	return ""
}

// linkState tells enabled from disabled, as systemd's install.c does: by the
// links that exist, else by what the file's [Install] section offers.
func (t *Tree) linkState(u *file) (string, error) {
	install, err := t.install(u)
	if err != nil {
		return "", err
	}
	var persistent, inRuntime, anywhere, otherwise, sameNameConfig, sameNameRuntime, below bool
	for _, f := range t.folders {
		links := f.linksTo(u.name, install, below)
		switch {
		case links.offered && f.place == config:
			persistent = true
		case links.offered && f.runtimePlace():
			inRuntime = true
		case links.offered:
			anywhere = true
		case links.sameName && f.place == config:
			sameNameConfig = true
		case links.sameName && f.runtimePlace():
			sameNameRuntime = true
		}
		otherwise = otherwise || links.other && (f.place == config || f.runtimePlace() || isInstance(u.name))
		below = below || u.folder == f // a link with the unit's own name is shadowed from here on
	}
	switch {
	case persistent:
		return "enabled", nil
	case inRuntime:
		return "enabled-runtime", nil
	case anywhere && isInstance(u.name):
		return "static", nil
	case sameNameConfig:
		return "linked", nil
	case sameNameRuntime:
		return "linked-runtime", nil
	case otherwise:
		return "indirect", nil
	case install.wanted || len(install.aliases) > 0:
		return "disabled", nil
	case install.also:
		return "indirect", nil
	}
	return "static", nil
}

// links says which links to a unit a folder has.
type links struct {
	offered  bool // pulled in under its name, or an alias that its [Install] section offers
	sameName bool // a mere link to the file itself
	other    bool // under a name, or as an instance, that it does not offer
}

// linksTo looks for links to the unit of that name. With below, a file of
// higher precedence shadows links that have the unit's own name.
func (f *folder) linksTo(name string, install installSection, below bool) links {
	var found links
	note := func(linkName string) {
		if linkName == name || install.offers(name, linkName) {
			found.offered = true
		} else {
			found.other = true
		}
	}
	for _, pulled := range f.links {
		for linkName := range pulled { // where these lead does not count, only their name
			if linkName == name || Template(linkName) == name {
				note(linkName)
			}
		}
	}
	for linkName, text := range f.units {
		if text == "" {
			continue
		}
		byName, byTarget := !below && linkName == name, path.Base(text) == name
		if byName && byTarget {
			found.sameName = true
		} else if byName || byTarget {
			note(linkName)
		}
	}
	return found
}

// installSection is what a unit's [Install] offers.
type installSection struct {
	aliases         []string
	wanted, also    bool
	defaultInstance string
}

func (t *Tree) install(u *file) (installSection, error) {
	var s installSection
	entries, err := t.entries(u)
	for _, e := range entries {
		if e.Section != "Install" {
			continue
		}
		switch e.Key {
		case "Alias":
			if s.aliases = append(s.aliases, words(e.Value)...); e.Value == "" {
				s.aliases = nil
			}
		case "WantedBy", "RequiredBy", "UpheldBy":
			s.wanted = s.wanted || e.Value != ""
		case "Also":
			s.also = s.also || e.Value != ""
		case "DefaultInstance":
			s.defaultInstance = e.Value
		}
	}
	return s, err
}

// offers reports whether a link of that name is one that enabling the unit
// would make: an alias, or the default instance of a template. Like systemd,
// it does not expand specifiers here.
func (s installSection) offers(name, link string) bool {
	if IsTemplate(name) && s.defaultInstance != "" && withInstance(name, s.defaultInstance) == link {
		return true
	}
	return slices.Contains(s.aliases, link)
}

// entries reads a unit's file and its drop-ins, in the order they apply.
func (t *Tree) entries(u *file) ([]Entry, error) {
	data, err := t.fs.ReadFile(u.path)
	if err != nil {
		return nil, err
	}
	entries := Parse(data)
	for _, name := range t.dropIns(u.name) {
		data, err := t.fs.ReadFile(name)
		if absent(err) || err != nil && t.isNull(name) {
			continue
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, Parse(data)...)
	}
	return entries, nil
}

func (t *Tree) isNull(name string) bool {
	null, err := t.nullOrEmpty(name)
	return err == nil && null
}

// dropIns returns the paths of the drop-ins of a unit: of files with the same
// name, the folder of highest precedence has it (systemd.unit(5)).
func (t *Tree) dropIns(name string) []string {
	byName := make(map[string]string)
	for _, dirName := range dropInFolders(name) {
		for _, f := range t.folders {
			if !f.dropIns[dirName] {
				continue
			}
			entries, err := t.fs.ReadDir(path.Join(f.path, dirName))
			if err != nil {
				continue // a link that leads nowhere, or a file: systemd ignores it too
			}
			for _, e := range entries {
				if _, have := byName[e.Name()]; !have && strings.HasSuffix(e.Name(), ".conf") {
					byName[e.Name()] = path.Join(f.path, dirName, e.Name())
				}
			}
		}
	}
	var paths []string
	for _, p := range byName {
		paths = append(paths, p)
	}
	slices.SortFunc(paths, func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) })
	return paths
}

// dropInFolders names the folders of drop-ins for "a-b@c.service", the most
// specific first: its own, its template's, those of its dash prefixes, and
// service.d.
func dropInFolders(name string) []string {
	names := []string{name + ".d"}
	if tmpl := Template(name); tmpl != "" {
		names = append(names, tmpl+".d")
	}
	prefix, _, _ := cutInstance(name)
	at := ""
	if !isPlain(name) {
		at = "@"
	}
	for {
		dash := strings.LastIndexByte(strings.TrimSuffix(prefix, "-"), '-')
		if dash < 1 {
			break
		}
		prefix = prefix[:dash+1]
		names = append(names, prefix+at+suffix(name)+".d")
	}
	return append(names, strings.TrimPrefix(suffix(name), ".")+".d")
}
