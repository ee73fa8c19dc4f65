package sshdconf

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const (
	maxIncludeDepth = 16
	// maxLines is how many lines one reading may take, repeated inclusions
	// counted: sshd has no bound, so what is longer is not understood here.
	maxLines = 500_000
)

// ErrTooLong marks a configuration over maxLines.
var ErrTooLong = errors.New("too many lines to follow")

// reader loads each file and expands each Include pattern once.
type reader struct {
	fs       FS
	opts     Options
	algs     *algorithms
	files    map[string][]line
	order    []string
	includes map[string][]string // by pattern: the files of it that were read through
}

func newReader(fsys FS, opts Options) *reader {
	return &reader{
		fs: fsys, opts: opts, algs: algorithmsOf(opts.Version),
		files: map[string][]line{}, includes: map[string][]string{},
	}
}

func (r *reader) file(name string, from Place) ([]line, error) {
	if lines, ok := r.files[name]; ok {
		return lines, nil
	}
	data, err := r.fs.ReadFile(name)
	if err != nil {
		return nil, &ReadError{At: from, File: name, Err: err}
	}
	texts := splitLines(data, r.opts.Version)
	if len(texts) > maxLines {
		return nil, &ReadError{At: from, File: name, Err: ErrTooLong}
	}
	lines := make([]line, 0, len(texts))
	for i, text := range texts {
		if l := lexLine(text, i+1, r.opts.Version); l.name != "" {
			lines = append(lines, l)
		}
	}
	r.files[name] = lines
	r.order = append(r.order, name)
	return lines, nil
}

// pattern is how sshd looks for an Include argument: a relative one is below
// /etc/ssh.
func pattern(arg string) string {
	if strings.HasPrefix(arg, "/") || strings.HasPrefix(arg, "~") {
		return arg
	}
	return path.Dir(DefaultFile) + "/" + arg
}

// glob finds the files of an Include pattern; a tilde has no meaning.
func (r *reader) glob(pattern string, from Place) ([]string, error) {
	if !strings.HasPrefix(pattern, "/") {
		return nil, nil
	}
	names, err := r.fs.Glob(pattern)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &ReadError{At: from, File: pattern, Err: err}
	}
	return names, nil
}

// folders are those that Include patterns are looked up in.
func (r *reader) folders() []string {
	var out []string
	for pattern, found := range r.includes {
		if !strings.ContainsAny(pattern, `*?[`) && len(found) > 0 {
			continue // one file, which changes by itself
		}
		dir := path.Dir(pattern)
		for strings.ContainsAny(dir, `*?[\`) {
			dir = path.Dir(dir)
		}
		if path.IsAbs(dir) && !slices.Contains(out, dir) {
			out = append(out, dir)
		}
	}
	slices.Sort(out)
	return out
}

func (o *Options) home(user string) (string, bool) {
	if o.Home != nil {
		return o.Home(user)
	}
	return "/root", user == "" || user == "root"
}

// expandTilde replaces ~ and ~user at the start of a path.
func (o *Options) expandTilde(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, "~")
	if !ok {
		return name, true
	}
	user, below, _ := strings.Cut(rest, "/")
	dir, ok := o.home(user)
	if !ok {
		return "", false
	}
	if !strings.HasSuffix(dir, "/") {
		dir += "/"
	}
	return dir + strings.TrimLeft(below, "/"), true
}

// absolute makes a path absolute as sshd does, whose folder is the root.
func (o *Options) absolute(name string) (string, bool) {
	if strings.EqualFold(name, "none") {
		return "none", true
	}
	name, ok := o.expandTilde(name)
	if ok && !strings.HasPrefix(name, "/") {
		name = "//" + name
	}
	return name, ok
}

// port reads a port number or the name of a service.
func (o *Options) port(s string) (int, bool) {
	if n, ok := strtonum(s, 0, 65535); ok {
		return int(n), true
	}
	if o.Service != nil {
		return o.Service(s)
	}
	return 0, false
}

func (p *pass) tooLong(at Place) error {
	return &ReadError{File: at.File, Err: fmt.Errorf("%w (more than %d)", ErrTooLong, maxLines)}
}
