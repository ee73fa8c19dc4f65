package unitfile

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Command cuts the value of an ExecStart= into the program and its arguments, see
// "Command lines" in systemd.service(5). The prefixes that say how it is run are
// dropped; variables stay, see [Expand]. It is an error when systemd would not
// take the line, or when a specifier other than %% stands in it, which only the
// service manager can replace.
func Command(value string) ([]string, error) {
	words, err := Words(strings.TrimLeft(value, "-@:+!| \t"))
	if err != nil {
		return nil, err
	}
	for i, w := range words {
		if i > 0 && w == ";" {
			return words[:i], nil // a second command follows
		}
		if words[i], err = unspecify(w); err != nil {
			return nil, err
		}
	}
	return words, nil
}

// Expand replaces variables in the arguments of a command: $X, where it is all of
// a word, by the words of its value, ${X} anywhere by its value, $$ by a dollar.
// One that is not set is empty.
func Expand(args []string, env map[string]string) []string {
	var out []string
	for _, w := range args {
		if name, isWord := strings.CutPrefix(w, "$"); isWord && isVariable(name) {
			more, err := Words(env[name])
			if err != nil {
				more = strings.Fields(env[name])
			}
			out = append(out, more...)
			continue
		}
		out = append(out, expandBraces(w, env))
	}
	return out
}

// Words cuts a value into words at blanks, with the quotes and escapes of
// "Quoting" in systemd.syntax(7).
func Words(s string) ([]string, error) {
	var words []string
	for i := 0; ; {
		for i < len(s) && strings.IndexByte(" \t\r\n", s[i]) >= 0 {
			i++
		}
		if i == len(s) {
			return words, nil
		}
		word, next, err := quotedWord(s, i)
		if err != nil {
			return nil, err
		}
		words, i = append(words, word), next
	}
}

func quotedWord(s string, i int) (word string, next int, err error) {
	var b strings.Builder
	var open byte
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			n, err := escape(&b, s[i+1:])
			if err != nil {
				return "", 0, err
			}
			i += n
		case open == 0 && strings.IndexByte(" \t\r\n", c) >= 0:
			return b.String(), i, nil
		case open == 0 && (c == '"' || c == '\''):
			open = c
		case c == open && open != 0:
			open = 0
		default:
			b.WriteByte(c)
		}
	}
	if open != 0 {
		return "", 0, fmt.Errorf("a quote is not closed in %q", s)
	}
	return b.String(), i, nil
}

// escape writes what a backslash and the text after it stand for, and returns how
// much of the text that is.
func escape(b *strings.Builder, s string) (int, error) {
	const letters, stands = `abfnrtvs\"'`, "\a\b\f\n\r\t\v \\\"'"
	if s == "" {
		return 0, fmt.Errorf("a backslash ends the line")
	}
	if at := strings.IndexByte(letters, s[0]); at >= 0 {
		b.WriteByte(stands[at])
		return 1, nil
	}
	for _, form := range []struct {
		start  string
		digits int
		base   int
	}{{"x", 2, 16}, {"u", 4, 16}, {"U", 8, 16}, {"", 3, 8}} {
		rest, ok := strings.CutPrefix(s, form.start)
		if !ok || len(rest) < form.digits {
			continue
		}
		n, err := strconv.ParseUint(rest[:form.digits], form.base, 32)
		if err != nil || n == 0 {
			continue
		}
		if form.digits < 4 && n < 256 {
			b.WriteByte(byte(n))
		} else if r := rune(n); form.digits >= 4 && utf8.ValidRune(r) {
			b.WriteRune(r)
		} else {
			continue
		}
		return len(form.start) + form.digits, nil
	}
	b.WriteByte('\\') // kept as it is
	return 0, nil
}

// unspecify replaces %%.
func unspecify(w string) (string, error) {
	for rest := w; ; {
		i := strings.IndexByte(rest, '%')
		if i < 0 {
			return strings.ReplaceAll(w, "%%", "%"), nil
		}
		if i+1 == len(rest) || rest[i+1] != '%' {
			return "", fmt.Errorf("only the service manager can replace %q", w)
		}
		rest = rest[i+2:]
	}
}

// expandBraces replaces ${X}, wherever it stands, and $$.
func expandBraces(w string, env map[string]string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(w, '$')
		if i < 0 {
			return b.String() + w
		}
		b.WriteString(w[:i])
		w = w[i:]
		name, rest, closed := strings.Cut(strings.TrimPrefix(w, "${"), "}")
		switch {
		case strings.HasPrefix(w, "$$"):
			b.WriteByte('$')
			w = w[2:]
		case strings.HasPrefix(w, "${") && closed && isVariable(name):
			b.WriteString(env[name])
			w = rest
		default:
			b.WriteByte('$')
			w = w[1:]
		}
	}
}

func isVariable(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '_' && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// Assignments adds what an Environment= sets, see systemd.exec(5); an empty
// value forgets all.
func Assignments(value string, env map[string]string) {
	if value == "" {
		clear(env)
		return
	}
	words, err := Words(value)
	if err != nil {
		return // systemd ignores the line
	}
	for _, w := range words {
		if name, value, ok := strings.Cut(w, "="); ok && isVariable(name) {
			env[name] = value
		}
	}
}

// EnvironmentFile adds what the content of an EnvironmentFile= sets, see
// systemd.exec(5).
func EnvironmentFile(data []byte, env map[string]string) {
	s := string(data)
	for s != "" {
		s = strings.TrimLeft(s, " \t\r\n")
		if s == "" {
			return
		}
		if s[0] == '#' || s[0] == ';' {
			_, s, _ = cutLine(s)
			continue
		}
		eq := strings.IndexAny(s, "=\n")
		if eq < 0 {
			return
		}
		if s[eq] == '\n' {
			s = s[eq+1:]
			continue
		}
		name := strings.TrimSpace(s[:eq])
		var value string
		value, s = environmentValue(strings.TrimLeft(s[eq+1:], " \t\r"))
		if isVariable(name) {
			env[name] = value
		}
	}
}

func cutLine(s string) (line, rest string, ok bool) { return strings.Cut(s, "\n") }

// environmentValue reads a value up to the end of its line, which quotes and
// backslashes can move.
func environmentValue(s string) (value, rest string) {
	var b strings.Builder
	keep := 0 // up to here blanks at the end belong to the value
	var open byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case open == '\'' && c != '\'', open == '"' && c != '"' && c != '\\':
			b.WriteByte(c)
		case open != 0 && c == open:
			open = 0
			keep = b.Len()
		case c == '\\' && i+1 < len(s):
			i++
			switch {
			case s[i] == '\n':
			case open == '"' && strings.IndexByte("\"\\`$", s[i]) < 0:
				b.WriteString(s[i-1 : i+1])
			default:
				b.WriteByte(s[i])
			}
			keep = b.Len()
		case c == '\n':
			return trimBlanks(b.String(), keep), s[i+1:]
		case (c == '"' || c == '\'') && b.Len() == keep && keep == 0:
			open = c
		default:
			b.WriteByte(c)
		}
	}
	return trimBlanks(b.String(), keep), ""
}

func trimBlanks(s string, keep int) string {
	return s[:keep] + strings.TrimRight(s[keep:], " \t\r")
}
