package auditrule

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
)

// Kind of file, as far as it matters here. The name FileKind keeps it apart
// from the kinds of lines.
type FileKind uint8

const (
	Absent FileKind = iota
	File            // a regular file or a device
	Dir
	Link
	Socket
)

// Mount is one mounted file system.
type Mount struct {
	Point string // without links
	Type  string // "ext4", "tmpfs" …
	Early bool   // it is known to have been there before the rules were loaded
	Apart bool   // what lies on it is asked for by its own path, not as a part of what is above
}

// Paths is what must be known of a host's files to tell what a rule covers.
type Paths interface {
	// Lstat tells what a path is, a final link not followed. The path's
	// parents hold no links.
	Lstat(path string) (FileKind, error)
	Readlink(path string) (string, error)
	Mounts() ([]Mount, error)
	// Vanishes reports whether a path, which holds no links, lies in memory and
	// nothing makes it anew at boot before the rules are loaded.
	Vanishes(path string) (bool, error)
}

// maxLinks is how many links the kernel follows on one path.
const maxLinks = 40

// Remember returns paths that answers each question once: what several loads
// and views of one host share. It is safe for concurrent use if paths is.
func Remember(paths Paths) Paths { return newResolver(paths) }

// IsDir reports whether a path leads to a folder, links followed.
func IsDir(paths Paths, name string) (bool, error) {
	_, kind, err := newResolver(paths).resolve(name, true)
	if errors.Is(err, errTooManyLinks) {
		return false, nil
	}
	return kind == Dir, err
}

// resolver finds the real places of paths and remembers what it saw. It is
// safe for concurrent use.
type resolver struct {
	paths  Paths
	mu     sync.Mutex // of the maps
	kinds  map[string]FileKind
	memo   map[resolveKey]resolution
	vanish map[string]vanishing
}

type resolveKey struct {
	path   string
	follow bool
}

type resolution struct {
	real string
	kind FileKind
	err  error
}

type vanishing struct {
	yes bool
	err error
}

var _ Paths = (*resolver)(nil)

func newResolver(p Paths) *resolver {
	if r, ok := p.(*resolver); ok {
		return r
	}
	return &resolver{paths: p, kinds: map[string]FileKind{}, memo: map[resolveKey]resolution{}, vanish: map[string]vanishing{}}
}

// Lstat implements Paths.
func (r *resolver) Lstat(name string) (FileKind, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lstat(name)
}

// Readlink implements Paths.
func (r *resolver) Readlink(name string) (string, error) { return r.paths.Readlink(name) }

// Mounts implements Paths.
func (r *resolver) Mounts() ([]Mount, error) { return r.paths.Mounts() }

// Vanishes implements Paths, of any path.
func (r *resolver) Vanishes(name string) (bool, error) {
	real, _, err := r.resolve(name, true)
	if err != nil {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.vanish[real]
	if !ok {
		known.yes, known.err = r.paths.Vanishes(real)
		r.vanish[real] = known
	}
	return known.yes, known.err
}

// resolve returns the path without links of its parents, and with follow of
// its last component too. What does not exist is Absent and keeps its name.
func (r *resolver) resolve(name string, follow bool) (real string, kind FileKind, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	real, kind, err = r.place(name)
	if err != nil || real == "/" {
		return real, kind, err
	}
	if kind == Dir { // the parent is one
		if kind, err = r.lstat(real); err != nil {
			return "", Absent, err
		}
	}
	if kind == Link && follow {
		known := r.remembered(name, true)
		return known.real, known.kind, known.err
	}
	return real, kind, nil
}

// realPlace returns the path without links of its parents, without a look at
// what lies there. The kernel resolves the place of a rule so.
func (r *resolver) realPlace(name string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	real, _, err := r.place(name)
	return real, err
}

// place returns a path without links of its parents, and Dir when it can
// exist: when its parent is a folder. Most paths share theirs with others.
func (r *resolver) place(name string) (real string, kind FileKind, err error) {
	dir, base, plain := cutLast(name)
	if !plain {
		known := r.remembered(name, false)
		return known.real, known.kind, known.err
	}
	parent := r.remembered(dir, true)
	if parent.err != nil {
		return "", Absent, parent.err
	}
	if real = name; parent.real != dir {
		real = path.Join(parent.real, base)
	}
	if parent.kind != Dir {
		return real, Absent, nil
	}
	return real, Dir, nil
}

// cutLast cuts a path that can be taken as it is into its folder and its name
// there.
func cutLast(name string) (dir, base string, plain bool) {
	if len(name) < 2 || name[0] != '/' {
		return "", "", false
	}
	at := strings.LastIndexByte(name, '/')
	dir, base = name[:max(at, 1)], name[at+1:]
	return dir, base, base != "" && base != "." && base != ".." && (at == 0 || name[at-1] != '/')
}

func (r *resolver) remembered(name string, follow bool) resolution {
	key := resolveKey{name, follow}
	known, ok := r.memo[key]
	if !ok {
		known = r.walk(name, follow)
		r.memo[key] = known
	}
	return known
}

func (r *resolver) walk(name string, follow bool) resolution {
	if !path.IsAbs(name) {
		return resolution{err: fmt.Errorf("cannot resolve %q: the path is not absolute", name)}
	}
	at := resolution{real: "/", kind: Dir}
	rest := strings.Trim(name, "/")
	for links := 0; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		switch part {
		case "", ".":
			continue
		case "..":
			at.real = path.Dir(at.real) // of what is absent, it stays absent
			continue
		}
		next := path.Join(at.real, part)
		if at.kind != Dir {
			at.real, at.kind = next, Absent // below what is absent or no folder
			continue
		}
		var err error
		if at.kind, err = r.lstat(next); err != nil {
			return resolution{err: err}
		}
		if at.kind != Link || rest == "" && !follow {
			at.real = next
			continue
		}
		if links++; links > maxLinks {
			return resolution{err: fmt.Errorf("cannot resolve %q: %w", name, errTooManyLinks)}
		}
		target, err := r.paths.Readlink(next)
		if err != nil {
			return resolution{err: err}
		}
		if path.IsAbs(target) {
			at.real = "/"
		}
		at.kind = Dir
		rest = strings.TrimRight(target, "/") + "/" + rest
		rest = strings.Trim(rest, "/")
	}
	return at
}

var errTooManyLinks = errors.New("too many links")

func (r *resolver) lstat(name string) (FileKind, error) {
	if kind, ok := r.kinds[name]; ok {
		return kind, nil
	}
	kind, err := r.paths.Lstat(name)
	if err == nil {
		r.kinds[name] = kind
	}
	return kind, err
}

// below reports whether a clean path is dir or lies below it.
func below(name, dir string) bool {
	if dir == "/" || name == dir {
		return true
	}
	return len(name) > len(dir) && name[len(dir)] == '/' && name[:len(dir)] == dir
}
