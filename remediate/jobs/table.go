package jobs

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hostguard/hostguard/internal/cronconf"
)

// table is hostguard's own in /etc/cron.d: a name without a dot, or cron would
// not read it.
const table = "/etc/cron.d/hostguard"

const heading = `# Jobs of hostguard. "hostguard fix" keeps the entries; their times are those
# of schedule in hostguard.yaml. A job that fails prints why: cron mails that.
SHELL=/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
MAILTO=root
`

// withEntry puts the job's entry into a table, in the place of the one that it
// has; what else stands there stays. Nothing becomes a whole table.
func withEntry(old []byte, name Name, entry string) ([]byte, error) {
	text := string(old)
	if strings.TrimSpace(text) == "" {
		text = heading
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n" // without, cron refuses the last line
	}
	var b strings.Builder
	done := false
	for line := range strings.Lines(text) {
		if entryOf(line, name) {
			if done {
				continue // one is enough
			}
			done = true
			line = entry + "\n"
		}
		b.WriteString(line)
	}
	if !done {
		b.WriteString(entry + "\n")
	}
	if problems := cronconf.Parse([]byte(b.String()), true).Problems; len(problems) > 0 {
		return nil, fmt.Errorf("line %d of %s is one that cron refuses, and with it the whole table: %s", problems[0].Line, table, problems[0].Text)
	}
	return []byte(b.String()), nil
}

// withoutEntry takes the job's entry out. A table that has no other entry left
// goes, unless something was written into it besides the heading.
func withoutEntry(old []byte, name Name) []byte {
	if old == nil {
		return nil
	}
	var b strings.Builder
	for line := range strings.Lines(string(old)) {
		if !entryOf(line, name) {
			b.WriteString(line)
		}
	}
	if b.String() == heading {
		return nil
	}
	return []byte(b.String())
}

// entryOf reports whether a line is an entry that runs the job.
func entryOf(line string, name Name) bool {
	entries := cronconf.Parse([]byte(strings.TrimSuffix(line, "\n")+"\n"), true).Entries
	return len(entries) == 1 && name.is(entries[0].Command)
}

// entry is the job's line.
func (j Job) entry(program string) (string, error) {
	if err := checkPlain(program, j.Config); err != nil {
		return "", err
	}
	line := j.Times + " root " + strings.Join(j.command(program), " ")
	t := cronconf.Parse([]byte(line+"\n"), true)
	if len(t.Problems) > 0 || len(t.Entries) != 1 {
		return "", fmt.Errorf("cron would refuse %q", line)
	}
	if !t.Entries[0].Schedule.Fires() {
		return "", fmt.Errorf("%q never comes", j.Times)
	}
	if strings.Contains(line, "%") {
		return "", errors.New("a % ends the command to cron")
	}
	return line, nil
}
