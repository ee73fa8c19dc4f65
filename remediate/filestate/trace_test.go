package filestate

import (
	"regexp"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

// What is durable when: the new thing before it gets a name that counts, the
// names before a move says that it is done, and before what was taken out is
// gone for good. Seen in a trace, for every kind of move and its way back.
func TestWhatIsDurableWhen(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Strace)
	for _, s := range scenarios {
		for _, stage := range stages {
			t.Run(s.name+", "+stage.do, func(t *testing.T) {
				t.Parallel()
				o := s.begun(t)
				for _, what := range stage.before {
					must(t, o.do(what))
				}
				o.Do = stage.do
				// -y says which file a descriptor is.
				out, trace, _ := traced(t, o, "-y", "-s", "4", "-e", "trace="+strings.Join(writing, ","))
				if !strings.HasSuffix(out, "done\n") {
					t.Fatal(out)
				}
				inOrder(t, stage.do, trace)
			})
		}
	}
}

var (
	changed = regexp.MustCompile(`(?:write|fchmod|fchown|fsetxattr|fremovexattr|utimensat)\(\d+<([^>]*)>`)
	synced  = regexp.MustCompile(`fsync\(\d+<([^>]*)>\) += 0`)
	renamed = regexp.MustCompile(`renameat2\(\d+<([^>]*)>, "([^"]*)", \d+<[^>]*>, "([^"]*)", (\w+)\) += 0`)
	listed  = regexp.MustCompile(`(?:unlinkat|mkdirat|symlinkat)\(.*\) += 0`)
)

// inOrder follows a trace: dirty are files and folders with changes that a power
// cut may lose.
func inOrder(t *testing.T, what, trace string) {
	t.Helper()
	dirty := map[string]bool{}
	exchanged := false
	events := 0
	for line := range strings.Lines(trace) {
		if m := changed.FindStringSubmatch(line); m != nil && strings.Contains(m[1], "/etc/") {
			events++
			dirty[m[1]] = true
		}
		if m := synced.FindStringSubmatch(line); m != nil {
			events++
			if strings.HasSuffix(m[1], "/etc") {
				exchanged = false
			}
			delete(dirty, m[1])
		}
		if m := renamed.FindStringSubmatch(line); m != nil {
			events++
			folder, from, to := m[1], m[2], m[3]
			if dirty[folder+"/"+from] {
				t.Errorf("%s is renamed before it is durable:\n%s", from, trace)
			}
			dirty[folder] = true
			exchanged = exchanged || to == "thing" || from == "thing"
		}
		if listed.MatchString(line) {
			events++
			if exchanged && strings.Contains(line, "unlinkat") && !strings.Contains(line, ".part~") {
				t.Errorf("what was taken out is removed before the exchange is durable:\n%s", trace)
			}
			if m := regexp.MustCompile(`at\((?:"[^"]*", )?\d+<([^>]*)>`).FindStringSubmatch(line); m != nil {
				dirty[m[1]] = true
			}
		}
	}
	if events < 2 && what != "clean" { // of what is new, and of metadata, nothing is to be cleaned up
		t.Errorf("the trace shows too little:\n%s", trace)
	}
	for name := range dirty {
		t.Errorf("%s is not durable at the end:\n%s", name, trace)
	}
}
