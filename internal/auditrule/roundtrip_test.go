package auditrule

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

// cases is how many cases a differential test tries: few in the normal run,
// as many as HOSTGUARD_AUDIT_CASES says in a long one.
func cases(t *testing.T, normal int) int {
	if n, err := strconv.Atoi(os.Getenv("HOSTGUARD_AUDIT_CASES")); err == nil {
		return n
	}
	return normal
}

// seeded returns the source of chance of a test's cases.
func seeded(t *testing.T) *rand.Rand { return rand.New(rand.NewPCG(lab.Seed(t), 0)) }

// newGenerator makes the files that its lines name.
func newGenerator(t *testing.T) *generator {
	dir := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(dir+"/a/b", 0o755), os.WriteFile(dir+"/a/file", nil, 0o644),
		os.Symlink("a/file", dir+"/link"), os.Symlink("a", dir+"/linked"),
		os.Mkdir(dir+"/with space", 0o755), os.WriteFile(dir+`/back\slash`, nil, 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", dir+"/sock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &generator{Rand: seeded(t), dir: dir, tag: "hgt" + strconv.Itoa(os.Getpid())}
}

// TestKernelRoundTrip loads generated rules into the real kernel and lists
// them: what is decoded equals what was parsed, and is printed as auditctl -l
// prints it.
func TestKernelRoundTrip(t *testing.T) {
	k := openKernel(t)
	g := newGenerator(t)
	want := cases(t, 120)
	var loaded []Rule
	for len(loaded) < want {
		text := g.valid()
		line, err := ParseLine(text, Pos{"generated", 1}, thisHost{})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if slices.ContainsFunc(loaded, func(r Rule) bool { return r.identical(&line.Rule) }) {
			continue
		}
		if err := k.add(&line.Rule); err != nil {
			if strings.Contains(text, "linked") || strings.Contains(text, "/new") || strings.Contains(text, "dir=") {
				continue // dir= of something that is no folder
			}
			t.Fatalf("the kernel refuses %s: %v", text, err)
		}
		loaded = append(loaded, line.Rule)
	}
	listed, printed := k.listAndPrint()
	for i := range listed {
		if auditctlMisprints(&listed[i]) {
			continue
		}
		if got := listed[i].String(); got != printed[i] {
			t.Errorf("rule %d\n prints %s\n auditctl %s", i, got, printed[i])
		}
	}
	for _, r := range loaded {
		if !slices.ContainsFunc(listed, func(l Rule) bool { return l.Equal(&r) }) {
			t.Errorf("the kernel does not list %v as it was parsed", &r)
		}
	}
	t.Logf("%d rules", len(loaded))
}

// listAndPrint returns the same rules as the kernel lists and as auditctl
// prints them: others may add and remove theirs in between.
func (k *kernel) listAndPrint() ([]Rule, []string) {
	k.t.Helper()
	for range 10 {
		listed := k.list()
		printed, err := auditctl(k.t, "-l")
		if err != nil {
			k.t.Fatal(err)
		}
		again := k.list()
		if len(printed) == len(listed) && slices.EqualFunc(listed, again, func(a, b Rule) bool { return a.identical(&b) }) {
			return listed, printed
		}
	}
	k.t.Fatal("somebody else changes the audit rules all the time")
	return nil, nil
}

// auditctlMisprints tells the rules that auditctl 3.0.9 prints wrongly: it names
// the syscalls of a rule without arch by the arch of the rule printed before.
func auditctlMisprints(r *Rule) bool {
	return r.List.takesSyscalls() && !r.Mask.all() && !slices.ContainsFunc(r.Fields, func(f Field) bool { return f.Type == fieldArch })
}

// TestAuditctlAgreesOnLines feeds generated lines, right and wrong, to
// auditctl -R and to Load: both take the same ones.
func TestAuditctlAgreesOnLines(t *testing.T) {
	k := openKernel(t)
	g := newGenerator(t)
	file := filepath.Join(t.TempDir(), "x.rules")
	unsure := 0
	for range cases(t, 150) {
		text := g.any()
		if strings.HasPrefix(strings.TrimLeft(text, " "), "-e") {
			continue // never change whether this machine records
		}
		before := k.list()
		if err := os.WriteFile(file, []byte(text+"\n-w "+g.dir+"/a/b -p x -k "+g.tag+"-last\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := auditctl(t, "-R", file)
		after := k.list()
		var added []Rule
		for _, r := range after {
			if !slices.ContainsFunc(before, func(b Rule) bool { return b.identical(&r) }) {
				added = append(added, r)
				k.remove(&r)
			}
		}
		got := Load(Lines(file, []byte(text+"\n-w "+g.dir+"/a/b -p x -k "+g.tag+"-last\n")), thisHost{}, thisHost{}, Now)
		if len(got.Refused) > 0 && got.Refused[0].Unsure {
			unsure++
			continue
		}
		said := fmt.Sprintf("%s\n auditctl: %v %q", text, err, out)
		if len(got.Rules) != len(added) || (got.Stopped != nil) != (err != nil) {
			t.Errorf("%s\n loads %d rules, Load %d: %v", said, len(added), len(got.Rules), got.Stopped)
			continue
		}
		for i := range added {
			if !slices.ContainsFunc(added, func(r Rule) bool { return r.Equal(&got.Rules[i]) }) {
				t.Errorf("%s\n parsed  %v\n kernel  %v", said, &got.Rules[i], &added[i])
			}
		}
	}
	t.Logf("%d lines of which another auditctl may think otherwise", unsure)
}
