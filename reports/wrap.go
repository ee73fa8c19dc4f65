package reports

import (
	"strings"
	"unicode/utf8"

	"github.com/hostguard/hostguard/rules"
)

// wrap breaks text at its spaces into lines of at most width columns, if its
// words allow it; lines after the first begin with hang spaces. Runs of spaces
// inside a line stay. It returns at least one line.
func wrap(text string, width, hang int) []string {
	var lines []string
	var line strings.Builder
	used, gap, words := 0, 0, 0 // columns of line, spaces before the next word, words in line
	for word := range strings.SplitSeq(text, " ") {
		n := columns(word)
		if n == 0 {
			gap++
			continue
		}
		if words > 0 && used+gap+n > width {
			lines = append(lines, line.String())
			line.Reset()
			line.WriteString(pad("", hang))
			used, gap, words = hang, 0, 0
		}
		line.WriteString(pad("", gap) + word)
		used += gap + n
		gap = 1
		words++
	}
	return append(lines, line.String())
}

// columns is the width of printable text; wide characters, which only rules in
// other languages have, count as one.
func columns(s string) int { return utf8.RuneCountInString(s) }

// pad fills s up with spaces to n columns.
func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-columns(s)))
}

// style is how text is marked on a terminal; styles are combined by |.
type style uint8

const (
	bold style = 1 << iota
	dim
	red
	green
	yellow
	magenta
	cyan
	plain style = 0
)

// sgr are the parameters of ECMA-48's SELECT GRAPHIC RENDITION, in the order of
// the styles.
var sgr = [...]string{"1", "2", "31", "32", "33", "35", "36"}

// paint marks s when colours are wanted. Lay s out first: marks have no width.
func (s style) paint(t *textWriter, text string) string {
	if !t.Color || s == plain || text == "" {
		return text
	}
	var codes []string
	for i, code := range sgr {
		if s&(1<<i) != 0 {
			codes = append(codes, code)
		}
	}
	return "\x1b[" + strings.Join(codes, ";") + "m" + text + "\x1b[0m"
}

func severityStyle(s rules.Severity) style {
	switch s {
	case rules.Critical:
		return bold | red
	case rules.High:
		return red
	case rules.Medium:
		return yellow
	}
	return plain
}
