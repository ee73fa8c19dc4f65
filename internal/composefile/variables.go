package composefile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what variables may grow to: ten lines that each name the one
// before ten times make ten thousand million bytes.
const (
	maxText    = 64 << 10 // of one text
	maxTotal   = 1 << 20  // of all variables
	maxNesting = 16
)

var (
	errGrows  = fmt.Errorf("its variables expand to more than %d bytes, or all together to more than %d", maxText, maxTotal)
	errSyntax = errors.New("a ${…} in it is malformed")
)

// Variables are the variables that compose interpolates with. One that the
// files set to what only the shell of whoever runs compose knows is there,
// and not Known.
type Variables map[string]Variable

// A Variable is the value of a variable, if the files tell it.
type Variable struct {
	Value string
	Known bool
	Place        // where it is set; zero: in no file
	From  string // the variable whose reference is all of the value; empty: there is none
}

// A Place is a line of a file.
type Place struct {
	File string
	Line int
}

// origin follows a value that is nothing but a reference to where it stands, and
// under which name. A reference to itself means another one, which no file shows.
func (vars Variables) origin(at Place, name, from string) (Place, string) {
	for range maxNesting {
		v, set := vars[from]
		if !set || v.File == "" {
			break
		}
		at, name = v.Place, from
		if v.From == from {
			break
		}
		from = v.From
	}
	return at, name
}

// expand replaces $NAME, ${NAME}, ${NAME:-default} and the other forms of the
// Compose Specification's interpolation. It returns the variables whose value
// mattered and is not known; they count as empty.
func (vars Variables) expand(s string) (text string, unknown []string, err error) {
	return scope{own: vars}.expand(s)
}

// scope is where names are looked up: in all of above first.
type scope struct {
	above []Variables
	own   Variables
}

func (s scope) get(name string) (Variable, bool) {
	for _, vars := range s.above {
		if v, set := vars[name]; set {
			return v, true
		}
	}
	v, set := s.own[name]
	return v, set
}

func (s scope) expand(text string) (expanded string, unknown []string, err error) {
	e := expansion{vars: s}
	expanded, err = e.expand(text, 0)
	return expanded, e.unknown, err
}

type expansion struct {
	vars    scope
	unknown []string
	size    int
}

func (e *expansion) expand(s string, depth int) (string, error) {
	if depth > maxNesting {
		return "", errSyntax
	}
	var out strings.Builder
	write := func(text string) error {
		if e.size += len(text); e.size > maxText {
			return errGrows
		}
		out.WriteString(text)
		return nil
	}
	for s != "" {
		before, after, found := strings.Cut(s, "$")
		if err := write(before); err != nil {
			return "", err
		}
		if !found {
			break
		}
		text, rest, err := e.reference(after, depth)
		if err != nil {
			return "", err
		}
		if err := write(text); err != nil {
			return "", err
		}
		s = rest
	}
	return out.String(), nil
}

// reference expands what follows a dollar.
func (e *expansion) reference(s string, depth int) (text, rest string, err error) {
	if strings.HasPrefix(s, "$") {
		return "$", s[1:], nil
	}
	if name := leadingName(s); name != "" {
		return e.value(name), s[len(name):], nil
	}
	if !strings.HasPrefix(s, "{") {
		return "$", s, nil
	}
	end := closingBrace(s)
	if end < 0 {
		return "", "", errSyntax
	}
	inner, rest := s[1:end], s[end+1:]
	name := leadingName(inner)
	if name == "" {
		return "", "", errSyntax
	}
	operator, word := inner[len(name):], ""
	for _, op := range []string{":-", "-", ":?", "?", ":+", "+"} {
		if w, ok := strings.CutPrefix(operator, op); ok {
			operator, word = op, w
			break
		}
	}
	v, set := e.vars.get(name)
	present := set && (v.Value != "" || v.Known && !strings.HasPrefix(operator, ":"))
	if set && !v.Known && operator != "" {
		e.unknown = append(e.unknown, name)
	}
	switch operator {
	case "":
		return e.value(name), rest, nil
	case ":-", "-":
		if present {
			return v.Value, rest, nil
		}
		text, err = e.nested(word, depth)
		return text, rest, err
	case ":+", "+":
		if !present {
			return "", rest, nil
		}
		text, err = e.nested(word, depth)
		return text, rest, err
	case ":?", "?":
		if present {
			return v.Value, rest, nil
		}
		e.unknown = append(e.unknown, name) // compose does not start unless the shell sets it
		return "", rest, nil
	}
	return "", "", errSyntax
}

// nested expands a default. Its size counts when it is written to the outer
// text, so it must not count twice.
func (e *expansion) nested(word string, depth int) (string, error) {
	before := e.size
	text, err := e.expand(word, depth+1)
	e.size = before
	return text, err
}

func (e *expansion) value(name string) string {
	v, set := e.vars.get(name)
	if !set || !v.Known {
		e.unknown = append(e.unknown, name)
	}
	return v.Value
}

func leadingName(s string) string {
	for i := range len(s) {
		c := s[i]
		if !(c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9') {
			return s[:i]
		}
	}
	return s
}

// closingBrace returns where the brace that s starts with is closed, -1 when
// it is not closed on its line.
func closingBrace(s string) int {
	open := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			open++
		case '}':
			if open--; open == 0 {
				return i
			}
		case '\n':
			return -1
		}
	}
	return -1
}

// ReadEnvironment adds the variables of an environment file (.env) to vars,
// as docker compose reads it. Errors name file and line.
func ReadEnvironment(name string, data []byte, vars Variables) error {
	return scope{own: vars}.read(name, data)
}

// read adds the variables of an environment file to own.
func (s scope) read(name string, data []byte) error {
	text := strings.TrimPrefix(string(data), "\ufeff")
	total := 0
	for rest := text; ; {
		rest = strings.TrimLeftFunc(rest, unicode.IsSpace)
		if rest == "" {
			return nil
		}
		if rest[0] == '#' {
			_, rest, _ = strings.Cut(rest, "\n")
			continue
		}
		line := 1 + strings.Count(text[:len(text)-len(rest)], "\n")
		key, after, err := s.readAssignment(rest)
		v := s.own[key]
		if v.File == "" {
			v.Place = Place{name, line}
			s.own[key] = v
		}
		if total += len(v.Value); err == nil && total > maxTotal {
			err = errGrows
		}
		if err != nil {
			return fmt.Errorf("cannot read %s:%d: %w", name, line, err)
		}
		rest = after
	}
}

func isBlank(r rune) bool {
	return r != '\n' && unicode.IsSpace(r)
}

// readAssignment reads one assignment at the start of s and returns the
// variable's name and what follows.
func (in scope) readAssignment(s string) (key, rest string, err error) {
	if after, ok := strings.CutPrefix(s, "export"); ok && strings.TrimLeftFunc(after, unicode.IsSpace) != after {
		s = strings.TrimLeftFunc(after, isBlank)
	}
	end := strings.IndexAny(s, "=:\n")
	if end < 0 {
		end = len(s)
	}
	key = strings.TrimRightFunc(s[:end], unicode.IsSpace)
	for _, r := range key {
		blank := r != ' ' && isBlank(r) // compose lets tabs be part of a name
		if !strings.ContainsRune("_.-[]", r) && !unicode.IsLetter(r) && !unicode.IsNumber(r) && !blank {
			return "", "", errors.New("a variable's name holds a character that it may not")
		}
	}
	if end == len(s) || s[end] == '\n' { // a name alone passes on what the shell has
		if v, set := in.get(key); set {
			in.own[key] = v
		} else {
			in.own[key] = Variable{}
		}
		return key, s[end:], nil
	}
	s = strings.TrimLeftFunc(s[end+1:], isBlank)
	if s != "" && (s[0] == '"' || s[0] == '\'') {
		value, rest, err := readQuoted(s)
		if err == nil && s[0] == '"' {
			return key, rest, in.set(key, unescape(value))
		}
		in.own[key] = Variable{Value: value, Known: true}
		return key, rest, err
	}
	value, rest, _ := strings.Cut(s, "\n")
	value, _, _ = strings.Cut(value, " #")
	return key, rest, in.set(key, strings.TrimRightFunc(value, unicode.IsSpace))
}

// set expands a value and stores it.
func (in scope) set(key, value string) error {
	text, unknown, err := in.expand(value)
	in.own[key] = Variable{Value: text, Known: len(unknown) == 0, From: soleName(value)}
	return err
}

// soleName is the variable of a text that is one reference and nothing else.
func soleName(text string) string {
	after, found := strings.CutPrefix(text, "$")
	name := leadingName(after)
	switch {
	case !found || after == "":
		return ""
	case name != "" && name == after:
		return name
	case after[0] == '{' && closingBrace(after) == len(after)-1:
		return leadingName(after[1:])
	}
	return ""
}

// readQuoted reads a quoted text; a backslash takes the quote's meaning away.
func readQuoted(s string) (value, rest string, err error) {
	var out strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			if s[i] != s[0] {
				out.WriteByte('\\')
			}
			out.WriteByte(s[i])
		case s[i] == s[0]:
			return out.String(), s[i+1:], nil
		default:
			out.WriteByte(s[i])
		}
	}
	return "", "", errors.New("a quote is not closed")
}

// unescape replaces the escapes of a double-quoted text; unknown ones stay.
// \$ becomes $$, which expands to a dollar.
func unescape(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out.WriteByte(s[i])
			continue
		}
		i++
		switch c := s[i]; c {
		case 'a', 'b', 'c', 'f', 'n', 'r', 't', 'v', '\\':
			if r, _, _, err := strconv.UnquoteChar(`\`+string(c), '"'); err == nil {
				out.WriteRune(r)
			} else {
				out.WriteString(`\` + string(c)) // \c
			}
		case '$':
			out.WriteString("$$")
		case '0':
			digits := 0
			for digits < 3 && i+1+digits < len(s) && s[i+1+digits] >= '0' && s[i+1+digits] <= '7' {
				digits++
			}
			n, err := strconv.ParseUint(s[i+1:i+1+digits], 8, 8)
			if err != nil || digits < 3 {
				out.WriteString(`\0`)
				continue
			}
			out.WriteString(string(utf8.AppendRune(nil, rune(n))))
			i += digits
		default:
			out.WriteByte('\\')
			out.WriteByte(c)
		}
	}
	return out.String()
}
