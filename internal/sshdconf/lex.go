package sshdconf

import (
	"bytes"
	"strings"
)

const (
	whitespace = " \t\r\n"
	quote      = '"'
)

// splitLines cuts a file into the lines that sshd sees: leading blanks are
// dropped, a NUL byte ends a line without starting a new one, and releases
// before 8.7 drop everything from a # on.
func splitLines(data []byte, v Version) []string {
	oldComments := !v.AtLeast(V8_7)
	if !oldComments && bytes.IndexByte(data, 0) < 0 {
		lines := strings.Split(string(data), "\n")
		for i, l := range lines {
			lines[i] = strings.TrimLeft(l, " \t\r")
		}
		return lines
	}
	var text strings.Builder
	for piece := range bytes.SplitAfterSeq(data, []byte("\n")) {
		if i := bytes.IndexByte(piece, 0); i >= 0 {
			piece = piece[:i]
		}
		if i := bytes.IndexByte(piece, '#'); i >= 0 && oldComments {
			piece = append(piece[:i:i], '\n')
		}
		text.Write(bytes.TrimLeft(piece, " \t\r"))
	}
	return strings.Split(text.String(), "\n")
}

// A line is one line of a file, cut into keyword and arguments.
type line struct {
	number  int
	name    string // as written; empty for a blank line or a comment
	keyword int    // its place in the table, or unknown
	alias   alias
	rest    string   // what follows the keyword and its separator
	words   []string // rest, cut as releases from 8.7 on do
	badText bool     // a quote is not closed
	match   *criteria
}

func lexLine(text string, number int, v Version) line {
	l := line{number: number}
	// A form feed is allowed at the end only; the first character stays.
	if text != "" {
		text = text[:1] + strings.TrimRight(text[1:], whitespace+"\f")
	}
	name, rest, _, ok := cut(text, true)
	if ok && name == "" {
		name, rest, _, ok = cut(rest, true)
	}
	if !ok || name == "" || name[0] == '#' {
		return l
	}
	l.name, l.rest = name, rest
	l.keyword, l.alias = lookup(strings.ToLower(name), v)
	if v.AtLeast(V8_7) {
		words, ok := splitWords(rest)
		l.words, l.badText = words, !ok
	}
	return l
}

// cut takes the first token off s: up to a blank, an opening quote or (with
// equals) one equals sign; or what stands between quotes. It returns what
// follows with blanks skipped, whether anything can follow at all, and false
// when there is no token or its quote is not closed.
func cut(s string, equals bool) (token, rest string, more, ok bool) {
	stops := whitespace + string(quote)
	if equals {
		stops += "="
	}
	i := strings.IndexAny(s, stops)
	if i < 0 {
		return s, "", false, true
	}
	if s[i] == quote {
		end := strings.IndexByte(s[i+1:], quote)
		if end < 0 {
			return "", "", false, false
		}
		end += i + 1
		return s[:i] + s[i+1:end], strings.TrimLeft(s[end+1:], whitespace), true, true
	}
	rest = strings.TrimLeft(s[i+1:], whitespace)
	if equals && s[i] != '=' && strings.HasPrefix(rest, "=") {
		rest = strings.TrimLeft(rest[1:], whitespace)
	}
	return s[:i], rest, true, true
}

// splitWords cuts s into words at blanks; quotes of either kind group,
// a backslash keeps quotes, itself and (outside quotes) a space; a word that
// starts with # ends the list. It returns false when a quote is not closed.
func splitWords(s string) ([]string, bool) {
	var words []string
	for i := 0; i < len(s); i++ {
		if s[i] == ' ' || s[i] == '\t' {
			continue
		}
		if s[i] == '#' {
			break
		}
		word, next, ok := splitWord(s, i)
		if !ok {
			return nil, false
		}
		words = append(words, word)
		i = next
	}
	return words, true
}

func splitWord(s string, i int) (word string, next int, ok bool) {
	var b strings.Builder
	var open byte
	for ; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\':
			if i+1 < len(s) && (s[i+1] == '\'' || s[i+1] == '"' || s[i+1] == '\\' || open == 0 && s[i+1] == ' ') {
				i++
			}
			b.WriteByte(s[i])
		case open == 0 && (c == ' ' || c == '\t'):
			return b.String(), i, true
		case open == 0 && (c == '"' || c == '\''):
			open = c
		case open != 0 && c == open:
			open = 0
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), i, open == 0
}

// arguments hands out the arguments of a line one by one, in the way of the
// release: from a list of words, or (before 8.7) by cutting as it goes.
type arguments struct {
	byWord bool
	words  []string
	rest   string
	more   bool
}

func (l *line) arguments(v Version) *arguments {
	return &arguments{byWord: v.AtLeast(V8_7), words: l.words, rest: l.rest, more: true}
}

// next returns the next argument, and false when there is none.
func (a *arguments) next() (string, bool) { return a.take(true) }

func (a *arguments) take(equals bool) (string, bool) {
	if a.byWord {
		if len(a.words) == 0 {
			return "", false
		}
		w := a.words[0]
		a.words = a.words[1:]
		return w, true
	}
	if !a.more {
		return "", false
	}
	token, rest, more, ok := cut(a.rest, equals)
	a.rest, a.more = rest, more && ok
	return token, ok
}

// all returns the arguments that are left. Before 8.7 an empty one ends them.
func (a *arguments) all() []string { return a.drain(true) }

// allPlain is all, but an equals sign does not separate.
func (a *arguments) allPlain() []string { return a.drain(false) }

func (a *arguments) drain(equals bool) []string {
	if a.byWord {
		w := a.words
		a.words = nil
		return w
	}
	var out []string
	for {
		w, ok := a.take(equals)
		if !ok || w == "" {
			return out
		}
		out = append(out, w)
	}
}

// left reports whether anything is left that may not be there.
func (a *arguments) left() bool {
	if a.byWord {
		return len(a.words) > 0
	}
	w, ok := a.take(true)
	return ok && w != ""
}

// peek returns the next argument without taking it.
func (a *arguments) peek() (string, bool) {
	saved := *a
	defer func() { *a = saved }()
	return a.next()
}

// drop ends the list.
func (a *arguments) drop() { *a = arguments{byWord: a.byWord} }
