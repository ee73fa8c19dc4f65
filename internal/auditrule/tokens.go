package auditrule

import "strings"

// tokens splits a line of a rules file as auditctl does: at spaces only (a tab
// is part of a word), with "\ " for a space and "\\" for a backslash inside a
// word. There are no quotes. The first word is not unescaped. The words are
// appended to those that are given.
func tokens(words []string, line string) []string {
	for rest := strings.TrimLeft(line, " "); rest != ""; rest = strings.TrimLeft(rest, " ") {
		var word string
		word, rest = cutWord(rest, len(words) == 0)
		words = append(words, word)
	}
	return words
}

// cutWord cuts the first word off a line that begins with one.
func cutWord(line string, first bool) (word, rest string) {
	end := strings.IndexAny(line, ` \`)
	if end < 0 {
		return line, ""
	}
	if line[end] == ' ' {
		return line[:end], line[end:]
	}
	var b strings.Builder
	for i := 0; i < len(line); i++ {
		c := line[i]
		if c == ' ' {
			return b.String(), line[i:]
		}
		if c == '\\' && i+1 < len(line) && (line[i+1] == ' ' || line[i+1] == '\\') {
			i++
			if c = line[i]; first {
				// auditctl leaves its own marks in the first word, which
				// makes it no option at all.
				b.WriteByte('\x07')
				c = '\x07'
			}
		}
		b.WriteByte(c)
	}
	return b.String(), ""
}

// option is one option of a line, with its argument.
type option struct {
	name     string // "a", "backlog_wait_time"
	arg      string
	position int // index of the next word, counted like optind: the first word is 1
}

// shortOptions is auditctl's: a colon follows those that take an argument.
const shortOptions = "hicslDvtC:e:f:r:b:a:A:d:S:F:m:R:w:W:k:p:q:"

// longOptions are auditctl's, with whether they take an argument.
var longOptions = map[string]bool{
	"loginuid-immutable": false, "backlog_wait_time": true, "reset-lost": false,
	"reset_backlog_wait_time_actual": false, "signal": true,
}

// options reads words as getopt_long(3) does. It stops at the first word that
// is no option where getopt would set it aside: a line with such a word is
// refused in any case. bad is the word that getopt refuses, empty when none;
// stray is the first word that belongs to no option. The options are appended
// to those that are given.
func options(opts []option, words []string) (_ []option, bad, stray string) {
	i := 0
	next := func() (string, bool) {
		if i < len(words) {
			i++
			return words[i-1], true
		}
		return "", false
	}
	for {
		word, ok := next()
		switch {
		case !ok:
			return opts, "", stray
		case word == "--":
			if rest, ok := next(); ok && stray == "" {
				stray = rest
			}
			return opts, "", stray
		case strings.HasPrefix(word, "--"):
			name, arg, hasArg := strings.Cut(word[2:], "=")
			full, takes := longOption(name)
			if full == "" || hasArg && !takes {
				return opts, word, stray
			}
			if takes && !hasArg {
				if arg, ok = next(); !ok {
					return opts, word, stray
				}
			}
			opts = append(opts, option{full, arg, i + 1})
		case len(word) > 1 && word[0] == '-':
			for j := 1; j < len(word); j++ {
				at := strings.IndexByte(shortOptions, word[j])
				if at < 0 || word[j] == ':' {
					return opts, word, stray
				}
				if at+1 == len(shortOptions) || shortOptions[at+1] != ':' {
					position := i
					if j == len(word)-1 {
						position++
					}
					opts = append(opts, option{name: word[j : j+1], position: position})
					continue
				}
				arg := word[j+1:]
				if arg == "" {
					if arg, ok = next(); !ok {
						return opts, word, stray
					}
				}
				opts = append(opts, option{word[j : j+1], arg, i + 1})
				break
			}
		case stray == "":
			stray = word
		}
	}
}

// longOption completes an abbreviated name; it is empty when none or several
// fit.
func longOption(name string) (full string, takesArg bool) {
	if takes, ok := longOptions[name]; ok {
		return name, takes
	}
	for candidate, takes := range longOptions {
		if strings.HasPrefix(candidate, name) {
			if full != "" {
				return "", false
			}
			full, takesArg = candidate, takes
		}
	}
	return full, takesArg
}
