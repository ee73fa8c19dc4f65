package unitfile

import "strings"

// Entry is one assignment of a unit file or drop-in.
type Entry struct {
	Section, Key, Value string
	Line                int // 1-based, of the first line of the assignment
}

// Parse reads the syntax of systemd.syntax(7): sections, assignments,
// comments, lines continued by a backslash. Lines systemd ignores with a
// warning (an assignment outside a section, one without "=") are left out.
func Parse(data []byte) []Entry {
	var entries []Entry
	var section, pending string
	start := 0
	lineNo := 0
	for raw := range strings.SplitSeq(string(data), "\n") {
		lineNo++
		line := strings.TrimSpace(strings.TrimPrefix(raw, "\uFEFF"))
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue // inside a continued assignment too
		}
		if pending == "" {
			start = lineNo
		}
		if before, continued := strings.CutSuffix(line, `\`); continued {
			pending += before + " "
			continue
		}
		line, pending = strings.TrimSpace(pending+line), ""
		if strings.HasPrefix(line, "[") {
			section = strings.TrimSuffix(line[1:], "]")
			continue
		}
		key, value, isAssignment := strings.Cut(line, "=")
		if section == "" || !isAssignment {
			continue
		}
		entries = append(entries, Entry{
			Section: section, Key: strings.TrimSpace(key), Value: strings.TrimSpace(value), Line: start,
		})
	}
	return entries
}

// words splits a list value; quotes around single words are dropped.
func words(value string) []string {
	fields := strings.Fields(value)
	for i, f := range fields {
		if n := len(f); n >= 2 && (f[0] == '"' || f[0] == '\'') && f[n-1] == f[0] {
			fields[i] = f[1 : n-1]
		}
	}
	return fields
}
