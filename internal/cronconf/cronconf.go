// Package cronconf reads cron tables as Debian's cron does.
package cronconf

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/hostguard/hostguard/internal/schedule"
)

// maxLines is the length from which cron ignores a table.
const maxLines = 10000

// Table is one cron table, see crontab(5).
type Table struct {
	Entries  []Entry
	Problems []Problem // each makes cron ignore the whole table
}

// Entry is one command with its schedule.
type Entry struct {
	Line     int
	Schedule schedule.Schedule
	Reboot   bool   // @reboot: no schedule
	User     string // empty in a user's own table
	Command  string // as written, % and all
	MailTo   string // who gets its output; empty when MAILTO is not set
	Silent   bool   // MAILTO is set and empty: its output goes nowhere
}

// Problem is a line that cron refuses.
type Problem struct {
	Line int
	Text string
}

// Parse reads a table. One of the system (/etc/crontab, /etc/cron.d) names a
// user in each entry, a user's own does not.
func Parse(data []byte, system bool) *Table {
	t := &Table{}
	var mailTo string
	var silent bool
	number := 0
	for raw := range bytes.Lines(data) {
		number++
		if number > maxLines {
			t.Problems = append(t.Problems, Problem{number, fmt.Sprintf("the table is longer than %d lines", maxLines)})
			return t
		}
		line := strings.TrimLeft(strings.TrimSuffix(string(raw), "\n"), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		if !bytes.HasSuffix(raw, []byte("\n")) {
			t.Problems = append(t.Problems, Problem{number, "the last line has no newline"})
		}
		if name, value, found := setting(line); found {
			if name == "MAILTO" {
				mailTo, silent = value, value == ""
			}
			continue
		}
		e, err := entry(line, system)
		if err != nil {
			t.Problems = append(t.Problems, Problem{number, err.Error()})
			continue
		}
		if e.Command == "" {
			continue // cron accepts it, and runs nothing
		}
		e.Line, e.MailTo, e.Silent = number, mailTo, silent
		t.Entries = append(t.Entries, e)
	}
	return t
}

// setting reads NAME = VALUE, either of them in quotes or not.
func setting(line string) (name, value string, found bool) {
	name, rest, ok := word(line)
	if !ok {
		return "", "", false
	}
	rest = strings.TrimLeft(rest, " \t")
	if !strings.HasPrefix(rest, "=") {
		return "", "", false
	}
	value = strings.Trim(rest[1:], " \t")
	if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		value = value[1 : n-1]
	}
	return name, value, true
}

// word takes a name, quoted or up to a blank or =, off the line.
func word(line string) (name, rest string, ok bool) {
	if quote := line[0]; quote == '"' || quote == '\'' {
		end := strings.IndexByte(line[1:], quote)
		if end < 0 {
			return "", "", false
		}
		return line[1 : 1+end], line[end+2:], true
	}
	end := strings.IndexAny(line, "= \t")
	if end <= 0 {
		return "", "", false
	}
	return line[:end], line[end:], true
}

func entry(line string, system bool) (Entry, error) {
	count := 5
	if line[0] == '@' {
		count = 1
	}
	var fields []string
	for range count {
		field, rest := next(line)
		if field == "" {
			return Entry{}, errors.New("want five time fields, or one that begins with @")
		}
		fields, line = append(fields, field), rest
	}
	e := Entry{}
	var err error
	e.Schedule, err = schedule.Cron(fields)
	if errors.Is(err, schedule.ErrReboot) {
		e.Reboot, err = true, nil
	}
	if err != nil {
		return Entry{}, err
	}
	if system {
		if e.User, line = next(line); e.User == "" {
			return Entry{}, errors.New("want a user before the command")
		}
	}
	e.Command = line
	return e, nil
}

// next takes a field and the blanks after it off the line.
func next(line string) (field, rest string) {
	end := strings.IndexAny(line, " \t")
	if end < 0 {
		return line, ""
	}
	return line[:end], strings.TrimLeft(line[end:], " \t")
}

// ReadsName reports whether cron reads a file of that name in /etc/cron.d:
// letters, digits, underscores and hyphens only, so no dot, see cron(8).
func ReadsName(name string) bool {
	if name == "" {
		return false
	}
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
