package reports

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/rules"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs; go test ./reports -update writes it anew (-want +got):\n%s", path, diff)
	}
}

func render(t *testing.T, w Writer, in Input, o Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := w(&b, New(in), o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// variants are the runs whose rendering is pinned.
var variants = []struct {
	name string
	edit func(*Input)
}{
	{"not-ready", func(*Input) {}},
	{"ready", func(in *Input) { *in = ready() }},
	{"partial", func(in *Input) {
		in.Root, in.Skip = "/mnt/image", []string{"network", "CLK-003"}
		in.Host.Kernel, in.Host.Arch = "", ""
		for i := range in.Outcomes[:2] {
			in.Outcomes[i].Finding = checks.Finding{Verdict: checks.Inapplicable("needs a running system; this is a file tree (--root)")}
		}
		in.Outcomes[6].Finding = checks.Finding{Verdict: checks.Verdict{Status: checks.Skipped, Reason: "--skip network"}}
	}},
	{"fail-on", func(in *Input) { in.FailOn, in.Outcomes = rules.Critical, in.Outcomes[4:6] }},
	{"interrupted", func(in *Input) {
		in.Interrupted = errors.New("SIGINT")
		for i := range in.Outcomes[4:] {
			in.Outcomes[4+i].Finding = checks.Finding{Verdict: checks.Verdict{Status: checks.Error}, Err: fmt.Errorf("cannot finish looking: %w", context.Canceled)}
		}
	}},
	{"nothing", func(in *Input) { *in = Input{EUID: 1000} }},
	{"crowded", func(in *Input) { // more of everything than fits a screen
		*in = many(50)
		for i := range in.Outcomes {
			in.Outcomes[i].Rule.Tags = nil
		}
		var list []checks.Evidence
		for i := range 30 {
			list = append(list, checks.Evidence{Source: fmt.Sprintf("container c%d", i), Key: "memory limit", Want: "set"})
		}
		list[0].Got = strings.Repeat("a very long value ", 40)
		in.Outcomes[0].Finding.Verdict = checks.Failed(strings.Repeat("A long reason. ", 20), list...)
		in.Outcomes[1] = undetermined("BIG-001", rules.Low, "Panics are told in a line", errors.New("the probe panicked: C:\\new\ngoroutine 1 [running]:\nmain.go:12"))
		in.Outcomes[3] = undetermined("BIG-003", rules.Critical, "Errors are ranked too", errors.New(""))
	}},
	{"hostile", func(in *Input) { hostile(in) }},
}

func TestTextGolden(t *testing.T) {
	t.Parallel()
	for _, v := range variants {
		for _, o := range []struct {
			suffix string
			Options
		}{
			{"", Options{}},
			{"-quiet", Options{Quiet: true}},
			{"-verbose-narrow", Options{Verbose: true, Width: 60}},
			{"-color", Options{Color: true}},
		} {
			if o.suffix != "" && v.name != "not-ready" && (v.name != "ready" || o.suffix != "-quiet") {
				continue
			}
			in := fixture()
			v.edit(&in)
			golden(t, v.name+o.suffix+".txt", render(t, WriteText, in, o.Options))
		}
	}
}

var marks = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Colours change nothing but colours; words alone may be longer than a line;
// the verdict is in the last line.
func TestTextLayout(t *testing.T) {
	t.Parallel()
	for _, v := range variants {
		for _, width := range []int{1, 40, 72, 80, 100, 200} {
			for _, o := range []Options{{}, {Quiet: true}, {Verbose: true}} {
				in := fixture()
				v.edit(&in)
				o.Width = width
				plain := render(t, WriteText, in, o)
				o.Color = true
				if colored := marks.ReplaceAll(render(t, WriteText, in, o), nil); !bytes.Equal(plain, colored) {
					t.Errorf("%s, %+v: colours move text:\n%s", v.name, o, cmp.Diff(string(plain), string(colored)))
				}
				lines := strings.Split(strings.TrimSuffix(string(plain), "\n"), "\n")
				for _, line := range lines {
					if columns(line) > max(width, minWidth) && !command(line) && strings.Contains(lastWords(line), " ") {
						t.Errorf("%s, width %d: this line is too long:\n%s", v.name, width, line)
					}
				}
				last := strings.Join(lines[len(lines)-min(len(lines), 8):], "\n")
				if verdict := string(New(in).Verdict); !strings.Contains(last, "\n"+verdict+":") && !strings.HasPrefix(last, verdict+":") {
					t.Errorf("%s: the last line is no verdict:\n%s", v.name, last)
				}
			}
		}
	}
}

// command reports whether a line is one of the fixture's commands, which are
// never wrapped.
func command(line string) bool {
	return strings.Contains(line, "printf") || strings.Contains(line, "systemctl")
}

// lastWords is what follows the indent of a line, its label and its first word.
func lastWords(line string) string {
	line = strings.TrimSpace(line)
	for _, head := range []string{"critical", "high", "medium", "low", "failed", "unknown", "Host", "Profile", "Warning", "Part", "time", "ssh", "audit", "services", "storage", "docker", "big"} {
		line = strings.TrimSpace(strings.TrimPrefix(line, head+" "))
	}
	return line
}

func TestWrap(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in    string
		width, hang int
		want        []string
	}{
		{"empty", "", 10, 0, []string{""}},
		{"fits", "one two", 7, 0, []string{"one two"}},
		{"breaks", "one two", 6, 0, []string{"one", "two"}},
		{"hangs", "one two three", 8, 2, []string{"one two", "  three"}},
		{"a long word stays whole", "see /a/very/long/path now", 8, 2, []string{"see", "  /a/very/long/path", "  now"}},
		{"no line of spaces", "/a/very/long/path /another/long/path", 8, 4, []string{"/a/very/long/path", "    /another/long/path"}},
		{"spaces inside stay", "ID-001  Title here", 40, 0, []string{"ID-001  Title here"}},
		{"letters, not bytes", "äöü ßàé", 7, 0, []string{"äöü ßàé"}},
	} {
		if diff := cmp.Diff(c.want, wrap(c.in, c.width, c.hang)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestFirstLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		``: ``, `a`: `a`, `a\nb`: `a`, `a\\nb\nc`: `a\\nb`, `a\x1b\n`: `a\x1b`, `\`: `\`,
	} {
		if got := firstLine(in); got != want {
			t.Errorf("firstLine(%s) = %s, want %s", in, got, want)
		}
	}
}

// Several causes are told on one line; a newline within one stays what it is.
func TestJoinedErrors(t *testing.T) {
	t.Parallel()
	a, b := errors.New("cannot a"), errors.New("cannot\nb")
	for _, c := range []struct {
		err  error
		want string
	}{
		{a, "cannot a"},
		{errors.Join(a, b), `cannot a; cannot\nb`},
		{errors.Join(a, errors.Join(b, a)), `cannot a; cannot\nb; cannot a`},
		{fmt.Errorf("%w, and so %w", a, a), "cannot a, and so cannot a"},
	} {
		f := newFinding(Outcome{Rule: &rules.Rule{}, Finding: checks.Finding{Err: c.err}})
		if f.Error != c.want {
			t.Errorf("%q: got %s, want %s", c.err, f.Error, c.want)
		}
	}
}
