package timeconf

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

const (
	chronyMaxInclude = 10   // levels of include and confdir
	chronyMaxDirs    = 10   // folders in one confdir or sourcedir
	chronyMaxLine    = 2046 // bytes, without the newline: chronyd reads lines into 2048
)

// Chrony reads a chrony.conf with everything that it includes, as chronyd of
// chrony 4 does, see chrony.conf(5). The error says that a file could not be
// read; what chronyd would refuse is in Problems.
func Chrony(files Files, name string) (*Config, error) {
	r := chronyReader{files: files, config: &Config{}}
	err := r.file(name, 0)
	return r.config, err
}

// ChronyDirectives reads directives given on chronyd's command line, one per
// argument. They stand in place of the configuration file, see chronyd(8).
func ChronyDirectives(files Files, args []string) (*Config, error) {
	r := chronyReader{files: files, config: &Config{}}
	for i, arg := range args {
		if err := r.line("chronyd's command line", i+1, arg, 0); err != nil {
			return r.config, err
		}
	}
	return r.config, nil
}

type chronyReader struct {
	files  Files
	config *Config
	lines  []string // every directive in effect, as `chronyd -p` prints it
}

func (r *chronyReader) file(name string, depth int) error {
	data, err := r.config.read(r.files, name)
	if err != nil {
		return err
	}
	number := 0
	for line := range bytes.Lines(data) {
		number++
		line = bytes.TrimSuffix(line, []byte("\n"))
		if len(line) > chronyMaxLine {
			r.config.problem(name, number, "the line is longer than the %d bytes that chronyd reads", chronyMaxLine)
			continue
		}
		if err := r.line(name, number, string(line), depth); err != nil {
			return err
		}
	}
	return nil
}

func (r *chronyReader) line(file string, number int, text string, depth int) error {
	words := chronyWords(text)
	if len(words) == 0 {
		return nil
	}
	directive, args := strings.ToLower(words[0]), words[1:]
	switch directive {
	case "include":
		return r.include(file, number, args, depth)
	case "confdir":
		names, err := r.dirFiles(file, number, args, ".conf")
		if err != nil {
			return err
		}
		return r.nested(file, number, names, depth)
	}
	r.lines = append(r.lines, strings.Join(words, " "))
	if directive == "sourcedir" {
		return r.sourceDir(file, number, args)
	}
	refuses, known := chronyDirectives[directive]
	if !known {
		r.config.problem(file, number, "chronyd knows no directive %q", words[0])
		return nil
	}
	if why := refuses(args); why != "" {
		r.config.problem(file, number, "%s: %s", directive, why)
		return nil
	}
	switch directive {
	case "server", "pool", "peer":
		r.source(file, number, Kind(directive), args)
	case "refclock":
		r.config.add(Source{
			Kind: RefClock, Name: args[0] + " " + args[1],
			NoSelect: hasWord(args[2:], "noselect"), File: file, Line: number,
		})
	}
	return nil
}

// include reads the files that match a pattern. chronyd refuses a plain name
// that does not exist, and goes on when a wildcard matches nothing.
func (r *chronyReader) include(file string, number int, args []string, depth int) error {
	if len(args) != 1 {
		r.config.problem(file, number, "include wants one pattern")
		return nil
	}
	pattern := args[0]
	if !path.IsAbs(pattern) {
		pattern = "/" + pattern // chronyd runs in the root folder
	}
	names, err := r.files.Glob(pattern)
	if err != nil {
		return err
	}
	if len(names) == 0 && !strings.ContainsAny(pattern, "*?[") {
		r.config.problem(file, number, "%s does not exist", args[0])
		return nil
	}
	return r.nested(file, number, names, depth)
}

func (r *chronyReader) nested(file string, number int, names []string, depth int) error {
	if len(names) > 0 && depth+1 > chronyMaxInclude {
		r.config.problem(file, number, "includes are nested more than %d levels deep", chronyMaxInclude)
		return nil
	}
	for _, name := range names {
		if err := r.file(name, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// dirFiles lists the files with a suffix in several folders, in the order of
// their base names. Of equal names only that in the first folder counts.
func (r *chronyReader) dirFiles(file string, number int, dirs []string, suffix string) ([]string, error) {
	if len(dirs) == 0 || len(dirs) > chronyMaxDirs {
		r.config.problem(file, number, "want 1 to %d folders", chronyMaxDirs)
		return nil, nil
	}
	byBase := map[string]string{}
	for _, dir := range dirs {
		entries, err := r.files.ReadDir(path.Join("/", dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			base := e.Name()
			if !strings.HasSuffix(base, suffix) || strings.HasPrefix(base, ".") {
				continue
			}
			if _, taken := byBase[base]; !taken {
				byBase[base] = path.Join("/", dir, base)
			}
		}
	}
	var names []string
	for _, name := range byBase {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) })
	return names, nil
}

// sourceDir reads files that may hold nothing but sources. chronyd skips what
// else it finds there, and all after a line without a newline.
func (r *chronyReader) sourceDir(file string, number int, dirs []string) error {
	names, err := r.dirFiles(file, number, dirs, ".sources")
	if err != nil {
		return err
	}
	for _, name := range names {
		data, err := r.config.read(r.files, name)
		if err != nil {
			return err
		}
		n := 0
		for line := range bytes.Lines(data) {
			n++
			if !bytes.HasSuffix(line, []byte("\n")) || len(line) > chronyMaxLine+1 {
				break
			}
			words := chronyWords(string(line))
			if len(words) < 2 {
				continue
			}
			switch kind := Kind(strings.ToLower(words[0])); kind {
			case Server, Pool, Peer:
				if sourceArgs(words[1:]) == "" { // chronyd leaves the others out
					r.source(name, n, kind, words[1:])
				}
			}
		}
	}
	return nil
}

// source keeps a source whose words chronyd takes.
func (r *chronyReader) source(file string, number int, kind Kind, args []string) {
	s := Source{Kind: kind, Name: args[0], File: file, Line: number}
	options := args[1:]
	s.Offline = hasWord(options, "offline")
	s.NoSelect = hasWord(options, "noselect")
	for i, option := range options {
		if strings.EqualFold(option, "port") {
			s.Port, _ = strconv.Atoi(options[i+1])
		}
	}
	r.config.add(s)
}

// chronyWords splits a line. Comments are whole lines: a # after a word is
// part of the directive, and chronyd refuses it.
func chronyWords(line string) []string {
	if end := strings.IndexByte(line, 0); end >= 0 {
		line = line[:end] // chronyd sees C strings
	}
	words := strings.FieldsFunc(line, isSpace)
	if len(words) > 0 && strings.ContainsRune("!;#%", rune(words[0][0])) {
		return nil
	}
	return words
}

// isSpace is C's isspace.
func isSpace(r rune) bool { return r == ' ' || '\t' <= r && r <= '\r' }

func hasWord(words []string, word string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, word) })
}
