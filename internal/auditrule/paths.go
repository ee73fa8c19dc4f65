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
	// Vanishes reports whether a path lies in memory and nothing makes it
	// anew at boot before the rules are loaded.
	Vanishes(path string) (bool, error)
}

// maxLinks is how many links the kernel follows on one path.
const maxLinks = 40

// resolver finds the real places of paths and remembers what it saw. It is
// safe for concurrent use.
type resolver struct {
	paths Paths
	mu    sync.Mutex // of the maps
	kinds map[string]FileKind
	memo  map[resolveKey]resolution
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

func newResolver(p Paths) *resolver {
	return &resolver{paths: p, kinds: map[string]FileKind{}, memo: map[resolveKey]resolution{}}
}

// resolve returns the path without links of its parents, and with follow of
// its last component too. What does not exist is Absent and keeps its name.
func (r *resolver) resolve(name string, follow bool) (real string, kind FileKind, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := resolveKey{name, follow}
	if known, ok := r.memo[key]; ok {
		return known.real, known.kind, known.err
	}
	real, kind, err = r.walk(name, follow)
	r.memo[key] = resolution{real, kind, err}
	return real, kind, err
}

func (r *resolver) walk(name string, follow bool) (string, FileKind, error) {
	if !path.IsAbs(name) {
		return "", Absent, fmt.Errorf("cannot resolve %q: the path is not absolute", name)
	}
	real, kind := "/", Dir
	rest := strings.Trim(name, "/")
	for links := 0; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		switch part {
		case "", ".":
			continue
		case "..":
			real = path.Dir(real) // of what is absent, it stays absent
			continue
		}
		next := path.Join(real, part)
		if kind != Dir {
			real, kind = next, Absent // below what is absent or no folder
			continue
		}
		var err error
		if kind, err = r.lstat(next); err != nil {
			return "", Absent, err
		}
		if kind != Link || rest == "" && !follow {
			real = next
			continue
		}
		if links++; links > maxLinks {
			return "", Absent, fmt.Errorf("cannot resolve %q: %w", name, errTooManyLinks)
		}
		target, err := r.paths.Readlink(next)
		if err != nil {
			return "", Absent, err
		}
		if path.IsAbs(target) {
			real = "/"
		}
		kind = Dir
		rest = strings.TrimRight(target, "/") + "/" + rest
		rest = strings.Trim(rest, "/")
	}
	return real, kind, nil
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
