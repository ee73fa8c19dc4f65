package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/reports"
)

// outsideMark stands in files beside a tree, and must stand in no report.
const outsideMark = "OUTSIDE-OF-THE-TREE"

// treeTimeout bounds the check of one tree, whatever it holds.
const treeTimeout = 10 * time.Second

// Each host of testdata/hosts is a small file tree; the real main audits it.
// A host that is a change of another must differ from it in the wanted rules
// and in no others.
func TestHosts(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root) // whose the files of a tree are matters to some rules
	files, err := filepath.Glob(filepath.Join(hostsDir, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no hosts in %s: %v", hostsDir, err)
	}
	bases := map[string]*reports.Report{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		if base := readHost(t, name).from; base != "" && bases[base] == nil {
			bases[base] = auditTree(t, plant(t, base))
		}
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := readHost(t, name)
			p := plant(t, name)
			opened := watchFolder(t, p.outside)
			report := auditTree(t, p)
			if names := opened(); len(names) > 0 {
				t.Errorf("read outside of the tree: %q", names)
			}
			got := describe(report, bases[h.from])
			if *update {
				h.save(t, got)
				return
			}
			if diff := cmp.Diff(h.wants, got); diff != "" {
				t.Errorf("findings (-want +got; -update accepts them):\n%s", diff)
				for _, f := range report.Findings {
					if strings.Contains(diff, f.Rule) {
						t.Logf("%s %v: %s%s %+v", f.Rule, f.Status, f.Reason, f.Error, f.Evidence)
					}
				}
			}
		})
	}
}

// auditTree runs check on a tree and returns the report, which it proves to be
// printable and as the schema wants it.
func auditTree(t testing.TB, p planted) *reports.Report {
	t.Helper()
	jsonFile := filepath.Join(t.TempDir(), "report.json")
	ctx, cancel := context.WithTimeout(t.Context(), treeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "hostguard", append([]string{"check", "--root", p.root, "-o", "text=-", "-o", "json=" + jsonFile}, p.args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Dir = p.dir
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("no end within %v", treeTimeout)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	data, err := os.ReadFile(jsonFile)
	if err != nil {
		t.Fatalf("no report: %v\n%s", err, stderr.Bytes())
	}
	report := readReport(t, data)
	if code := cmd.ProcessState.ExitCode(); code != report.ExitCode {
		t.Errorf("exit code %d, and the report says %d", code, report.ExitCode)
	}
	if stderr.Len() > 0 {
		t.Errorf("standard error: %s", stderr.Bytes())
	}
	for format, text := range map[string][]byte{"text": stdout.Bytes(), "json": data} {
		if i := bytes.IndexFunc(text, func(r rune) bool { return unprintable(r) }); i >= 0 {
			t.Errorf("the %s report holds %q", format, text[i:min(len(text), i+8)])
		}
		if bytes.Contains(text, []byte(outsideMark)) {
			t.Errorf("the %s report holds what stands outside of the tree", format)
		}
	}
	return report
}

// unprintable are controls, what changes the direction of writing, and what
// takes the place of invalid UTF-8.
func unprintable(r rune) bool {
	return r != '\n' && r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r == '\ufffd' ||
		r == '\u200e' || r == '\u200f' || r == '\u061c' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// readReport reads a JSON report and holds it against the published schema.
func readReport(t testing.TB, data []byte) *reports.Report {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err == nil {
		var schema *jsonschema.Schema
		if schema, err = reportSchema(); err == nil {
			err = schema.Validate(value)
		}
	}
	if err != nil {
		t.Fatalf("the report does not fit its schema: %v\n%.2000s", err, data)
	}
	var report reports.Report
	if err := json.Unmarshal(data, &report); err != nil {
		t.Fatal(err)
	}
	return &report
}

var reportSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	return jsonschema.NewCompiler().Compile("../../reports/report.schema.json")
})

// describe writes a report as a host's wants: exit code and verdict, warnings,
// and a line for each rule that does not hold, with its status and, when it
// failed or could not be told, the places that it names. With a base only those
// whose status differs from there, whatever it is.
func describe(r, base *reports.Report) string {
	before := map[string]checks.Status{}
	known := []string{}
	if base != nil {
		known = base.Warnings
		for _, f := range base.Findings {
			before[f.Rule] = f.Status
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s\n", r.ExitCode, r.Verdict)
	for _, w := range r.Warnings {
		if !slices.Contains(known, w) {
			fmt.Fprintf(&b, "warning %s\n", w)
		}
	}
	for _, f := range r.Findings {
		if before[f.Rule] == f.Status || base == nil && f.Status == checks.Pass {
			continue
		}
		b.WriteString(strings.Join(append([]string{f.Rule, f.Status.String()}, placesOf(f)...), " ") + "\n")
	}
	return b.String()
}

// hostPath finds the paths, with their lines, in the text of an error.
var hostPath = regexp.MustCompile(`/(?:etc|usr|var|run|opt|lib|home|root|srv|tmp)(?:/[\w.@+%\\-]+)+(?::\d+)?`)

// placesOf lists the places at fault: where something else was wanted, or what
// an error names.
func placesOf(f reports.Finding) []string {
	var places []string
	add := func(place string) {
		if strings.ContainsAny(place, " \"") {
			place = strconv.Quote(place)
		}
		if !slices.Contains(places, place) {
			places = append(places, place)
		}
	}
	switch f.Status {
	case checks.Fail:
		for _, e := range f.Evidence {
			switch {
			case e.Want == "":
			case e.Line > 0:
				add(fmt.Sprintf("%s:%d", e.Source, e.Line))
			default:
				add(e.Source)
			}
		}
	case checks.Error:
		for _, place := range hostPath.FindAllString(f.Error, -1) {
			add(place)
		}
	}
	return places
}

// watchFolder returns a function that says which files directly in a folder
// were opened or read meanwhile.
func watchFolder(t testing.TB, dir string) func() []string {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_OPEN|unix.IN_ACCESS); err != nil {
		t.Fatal(err)
	}
	return func() []string {
		var names []string
		buf := make([]byte, 16<<10)
		for {
			n, err := unix.Read(fd, buf)
			if err != nil || n <= 0 {
				return names
			}
			for event := buf[:n]; len(event) >= unix.SizeofInotifyEvent; {
				size := int(event[12]) | int(event[13])<<8
				name := string(bytes.TrimRight(event[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+size], "\x00"))
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
				event = event[unix.SizeofInotifyEvent+size:]
			}
		}
	}
}

// The watch that proves that nothing outside is read sees reading.
func TestWatchFolderSees(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	opened := watchFolder(t, dir)
	if names := opened(); len(names) > 0 {
		t.Errorf("opened before: %q", names)
	}
	if _, err := os.ReadFile(file); err != nil {
		t.Fatal(err)
	}
	if names := opened(); !slices.Equal(names, []string{"f"}) {
		t.Errorf("opened = %q, want f", names)
	}
}
