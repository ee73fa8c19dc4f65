package auditrule

import (
	"errors"
	"fmt"
	"strings"
)

// Env is what the reading of a rules file depends on besides the file.
type Env interface {
	Machine() (Machine, error)             // for b64, b32 and names of syscalls
	UID(name string) (uint32, bool, error) // whether such a user is known; an error: cannot be told
	GID(name string) (uint32, bool, error) // the same of a group
	IsDir(path string) (bool, error)       // links followed: -w on a folder means it and all below
}

// Kind is what a line of a rules file does.
type Kind uint8

const (
	Blank     Kind = iota // nothing: empty, a comment, or a form that auditctl skips
	Add                   // adds Rule
	Delete                // removes Rule
	DeleteAll             // removes all rules, or with Key those that bear it
	Ignore                // -i: errors no longer stop the load, which ends well
	Continue              // -c: errors no longer stop the load, which ends badly
	Control               // sets something: Settings
)

// Line is one line of a rules file.
type Line struct {
	Pos      Pos
	Text     string
	Kind     Kind
	Rule     Rule      // of Add and Delete
	Key      string    // of DeleteAll
	Settings []Setting // of Control, in order
}

// Setting is one option that is not about rules: "e", "b", "f", "r",
// "backlog_wait_time", "loginuid-immutable" …
type Setting struct{ Name, Value string }

// LineError says why a line cannot be loaded.
type LineError struct {
	Pos    Pos
	Text   string // the line
	Reason string
	Unsure bool // another version of auditctl may take it
}

func (e *LineError) Error() string { return fmt.Sprintf("%v: %s", e.Pos, e.Reason) }

// maxLine is one less than auditctl's buffer; what is longer is cut into two
// lines, which is never what was meant.
const maxLine = 6142

const (
	maxKey  = 256
	pathMax = 4096
	nameMax = 255
)

// ParseLine reads one line as auditctl -R does (auditctl.c of audit 3.0.9).
// The error is a *LineError.
func ParseLine(text string, pos Pos, env Env) (Line, error) {
	var line Line
	err := (&lineReader{env: env}).read(&line, text, pos)
	return line, err
}

// lineReader reads lines and keeps the room that they take for the next.
type lineReader struct {
	env   Env
	words []string
	opts  []option
}

// read is ParseLine.
func (l *lineReader) read(line *Line, text string, pos Pos) error {
	*line = Line{Pos: pos, Text: text}
	if strings.Trim(text, " ") == "" {
		return nil
	}
	l.words = tokens(l.words[:0], text)
	if strings.HasPrefix(l.words[0], "#") {
		return nil
	}
	var err error
	switch {
	case len(text) > maxLine:
		err = unsuref("the line is longer than auditctl's %d bytes, which then reads it as two", maxLine)
	case strings.IndexByte(text, 0) >= 0:
		err = unsuref("the line holds a NUL byte, at which auditctl stops reading it")
	default:
		p := parser{env: l.env, line: line, words: l.words}
		err = p.run(l)
	}
	if err == nil {
		return nil
	}
	var unsure unsureError
	return &LineError{Pos: pos, Text: text, Reason: err.Error(), Unsure: errors.As(err, &unsure)}
}

// unsureError marks a refusal that other versions may not share.
type unsureError struct{ error }

func unsuref(format string, args ...any) error { return unsureError{fmt.Errorf(format, args...)} }

// parser follows auditctl's setopt(): the order of the options matters.
type parser struct {
	env   Env
	line  *Line
	words []string

	listed    bool // -a, -A, -d, -w or -W was given
	syscalls  bool // -S or a watch
	perm      bool // a permission, path or dir
	exe       bool
	fstype    bool
	arch      uint32
	keys      []string
	allCalled bool // "-S all" or a watch
}

// errSkip ends a line that auditctl skips without an error.
var errSkip = errors.New("skipped")

func (p *parser) run(l *lineReader) error {
	opts, bad, stray := options(l.opts[:0], p.words)
	l.opts = opts
	final := false // the option ends the line
	for _, o := range opts {
		done, err := p.option(o)
		if errors.Is(err, errSkip) {
			*p.line = Line{Pos: p.line.Pos, Text: p.line.Text}
			return nil
		}
		if err != nil {
			return err
		}
		if done {
			final = true
			if o.position <= len(p.words) && p.line.Kind != DeleteAll {
				return fmt.Errorf("nothing can follow -%s on its line", strings.TrimPrefix(o.name, "-"))
			}
			break
		}
	}
	switch {
	case final:
		return nil
	case bad != "":
		return unsuref("auditctl does not know the option %s, or it lacks its argument", bad)
	case stray != "":
		return fmt.Errorf("%q is given without an option", stray)
	case len(opts) == 0:
		return errors.New("there is no option")
	}
	return p.finish()
}
