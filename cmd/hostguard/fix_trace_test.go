package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/remediate/transaction"
)

var (
	journalSaid = regexp.MustCompile(`write\(\d+<[^>]*/log>, "\{.*\\"event\\":\\"(\w[\w ]*)\\"(?:,\\"step\\":(\d+))?`)
	journalSync = regexp.MustCompile(`fsync\(\d+<([^>]*)>\) += 0`)
	ourMark     = regexp.MustCompile(`z-[0-9a-f]{6}-(\d+)(?:\.part)?~`)
	renamedTo   = regexp.MustCompile(`rename(?:at|at2)\(`)
)

// The journal is ahead of what it tells of: what a transaction will do is durable
// before the first move, that a move begins before it does, and that all of it
// holds before what was taken out is deleted. Seen in a trace.
func TestTheJournalIsAhead(t *testing.T) {
	t.Parallel()
	c := newCrashTree(t).copy(t)
	file := filepath.Join(t.TempDir(), "trace")
	c.run(t, append([]string{"/usr/bin/strace", "-f", "-q", "-y", "-s", "300", "-e", "signal=none", "-o", file, "-e", "trace=" + strings.Join(pointCalls, ",")}, c.command("fix")...))
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(changes(c.after, c.tree(t))) > 0 {
		t.Fatal("it is not mended")
	}
	durable, written := map[string]bool{}, []string{} // records of the log
	headDurable, begun, moves := false, false, 0
	for line := range strings.Lines(string(data)) {
		if m := journalSaid.FindStringSubmatch(line); m != nil {
			written = append(written, m[1]+m[2])
		}
		if m := journalSync.FindStringSubmatch(line); m != nil {
			switch {
			case strings.HasSuffix(m[1], "/log"):
				for _, said := range written {
					durable[said] = true
				}
			case strings.HasSuffix(m[1], "/transaction.json"):
				headDurable = true
			case strings.HasSuffix(m[1], transaction.Dir):
				begun = headDurable
			}
		}
		m := ourMark.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		step, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		moves++
		if !begun || !durable["moving"+strconv.Itoa(step)] {
			t.Errorf("the journal does not know yet of step %d:\n%s", step, line)
		}
		if renamedTo.MatchString(line) && step > 1 && !durable["moved"+strconv.Itoa(step-1)] {
			t.Errorf("the journal does not know yet that step %d is done:\n%s", step-1, line)
		}
		if strings.Contains(line, "unlinkat(") && strings.HasSuffix(strings.TrimSpace(line), "= 0") && !durable["committed"] {
			t.Errorf("something is deleted before the commit:\n%s", line)
		}
	}
	if moves < 5 || !durable["finished"] {
		t.Errorf("the trace shows %d moves, and these records: %q", moves, written)
	}
}
