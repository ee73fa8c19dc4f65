package reports

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/rules"
)

func TestVerdictAndExitCode(t *testing.T) {
	t.Parallel()
	type r struct {
		level    rules.Level
		severity rules.Severity
		status   checks.Status
	}
	const (
		req, adv              = rules.Required, rules.Advice
		low, med, high, crit  = rules.Low, rules.Medium, rules.High, rules.Critical
		pass, fail, na, unkno = checks.Pass, checks.Fail, checks.NotApplicable, checks.Error
		skipped               = checks.Skipped
	)
	ok := r{req, high, pass}
	for _, c := range []struct {
		name    string
		rules   []r
		edit    func(*Input)
		verdict Verdict
		exit    int
		against int
	}{
		{"all pass", []r{ok, {adv, low, pass}}, nil, Ready, 0, 0},
		{"required fails", []r{ok, {req, low, fail}}, nil, NotReady, 1, 1},
		{"required unknown", []r{ok, {req, low, unkno}}, nil, NotReady, 3, 1},
		{"1 wins over 3", []r{{req, low, fail}, {req, crit, unkno}}, nil, NotReady, 1, 2},
		{"advice fails", []r{ok, {adv, crit, fail}}, nil, Ready, 0, 0},
		{"advice unknown", []r{ok, {adv, crit, unkno}}, nil, Ready, 0, 0},
		{"advice fails, required unknown", []r{ok, {adv, crit, fail}, {req, low, unkno}}, nil, NotReady, 3, 1},
		{"required does not apply", []r{ok, {req, high, na}}, nil, Ready, 0, 0},

		{"no findings at all", nil, nil, NotReady, 3, 0},
		{"only advice", []r{{adv, high, pass}}, nil, NotReady, 3, 0},
		{"nothing applies", []r{{req, high, na}, {req, high, na}}, nil, NotReady, 3, 0},
		{"no status at all", []r{ok, {req, high, 0}}, nil, NotReady, 3, 1},
		{"a status there is not", []r{ok, {req, high, 77}}, nil, NotReady, 3, 1},
		{"no level counts as required", []r{ok, {0, high, fail}}, nil, NotReady, 1, 1},
		{"passed with an error", []r{ok, ok}, func(in *Input) { in.Outcomes[1].Finding.Err = errors.New("x") }, NotReady, 3, 1},
		{"failed with an error", []r{ok, {req, high, fail}}, func(in *Input) { in.Outcomes[1].Finding.Err = errors.New("x") }, NotReady, 3, 1},

		{"--fail-on critical lets high pass, but not the verdict", []r{ok, {req, high, fail}}, failOn(crit), NotReady, 0, 1},
		{"--fail-on high takes high", []r{ok, {req, high, fail}}, failOn(high), NotReady, 1, 1},
		{"--fail-on high takes critical", []r{ok, {req, crit, fail}}, failOn(high), NotReady, 1, 1},
		{"--fail-on medium takes advice too, the verdict does not", []r{ok, {adv, med, fail}}, failOn(med), Ready, 1, 0},
		{"--fail-on medium lets low advice pass", []r{ok, {adv, low, fail}}, failOn(med), Ready, 0, 0},
		{"--fail-on critical, required unknown", []r{ok, {req, low, unkno}}, failOn(crit), NotReady, 3, 1},
		{"--fail-on critical, required high fails, another is unknown", []r{{req, high, fail}, {req, low, unkno}}, failOn(crit), NotReady, 3, 2},
		{"--fail-on low, advice unknown", []r{ok, {adv, crit, unkno}}, failOn(low), Ready, 0, 0},

		{"--root, nothing against it", []r{ok, {req, high, na}}, func(in *Input) { in.Root = "/mnt" }, Partial, 0, 0},
		{"--root, required fails", []r{ok, {req, low, fail}}, func(in *Input) { in.Root = "/mnt" }, Partial, 1, 1},
		{"--root, required unknown", []r{ok, {req, low, unkno}}, func(in *Input) { in.Root = "/mnt" }, Partial, 3, 1},
		{"--root /", []r{ok}, func(in *Input) { in.Root = "/" }, Ready, 0, 0},
		{"--root, nothing applies", []r{{req, high, na}}, func(in *Input) { in.Root = "/mnt" }, Partial, 0, 0},
		{"--only", []r{ok}, func(in *Input) { in.Only = []string{"ssh"} }, Partial, 0, 0},
		{"--only advice", []r{{adv, low, pass}}, func(in *Input) { in.Only = []string{"ssh"} }, Partial, 0, 0},
		{"--skip", []r{ok}, func(in *Input) { in.Skip = []string{"ssh"} }, Partial, 0, 0},
		{"skipped, whoever asked", []r{ok, {req, high, skipped}}, nil, Partial, 0, 0},
		{"skipped advice", []r{ok, {adv, high, skipped}}, nil, Partial, 0, 0},

		{"interrupted after the last required rule", []r{ok, {adv, low, unkno}}, interrupted, NotReady, 3, 0},
		{"interrupted, required fails", []r{ok, {req, low, fail}, {req, low, unkno}}, interrupted, NotReady, 1, 2},
		{"interrupted under --only", []r{ok}, func(in *Input) { interrupted(in); in.Only = []string{"ssh"} }, Partial, 3, 0},
	} {
		in := Input{}
		for i, r := range c.rules {
			o := outcome(fmt.Sprintf("TST-%03d", i), r.severity, r.level, "Something holds", checks.Verdict{Status: r.status})
			if r.status == unkno {
				o.Finding.Err = errors.New("cannot look: no light")
			}
			in.Outcomes = append(in.Outcomes, o)
		}
		if c.edit != nil {
			c.edit(&in)
		}
		got := New(in)
		if got.Verdict != c.verdict || got.ExitCode != c.exit || len(got.Against) != c.against {
			t.Errorf("%s: %s, exit %d, against %v; want %s, exit %d, %d against", c.name, got.Verdict, got.ExitCode, got.Against, c.verdict, c.exit, c.against)
		}
		if got.Why == "" {
			t.Errorf("%s: no reason for the verdict", c.name)
		}
		for _, f := range got.Findings {
			if (f.Status == checks.Error) != (f.Error != "") {
				t.Errorf("%s: status %v with error %q", c.name, f.Status, f.Error)
			}
		}
		s := got.Summary
		if n := s.Required.total() + s.Advice.total(); n != len(c.rules) || s.Rules != n {
			t.Errorf("%s: the summary counts %d of %d findings", c.name, n, len(c.rules))
		}
	}
}

func failOn(s rules.Severity) func(*Input) { return func(in *Input) { in.FailOn = s } }

func interrupted(in *Input) { in.Interrupted = errors.New("SIGTERM") }

func (t Tally) total() int { return t.Pass + t.Fail + t.NotApplicable + t.Skipped + t.Error }

func TestAgainstIsRanked(t *testing.T) {
	t.Parallel()
	got := New(fixture()).Against
	if want := []string{"SSH-001", "SVC-001", "AUD-004", "CLK-003"}; !slices.Equal(got, want) {
		t.Errorf("against %v, want %v: failed before unknown, severe before the rest", got, want)
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	type e = checks.Evidence
	base := []e{
		{Source: "tcp 0.0.0.0:80", Key: "process", Want: "none", Got: "nginx, pid 812"},
		{Source: "process 812 (nginx)", Line: 4, Key: "/proc/812/exe", Want: "none", Got: "x"},
		{Source: "observed", Key: "free", Got: "12345 bytes"},
	}
	fp := func(edit func([]e) []e) string {
		return fingerprint("SVC-001", checks.Fail, edit(slices.Clone(base)))
	}
	want := fp(func(l []e) []e { return l })
	for _, c := range []struct {
		name string
		same bool
		edit func([]e) []e
	}{
		{"another order", true, func(l []e) []e { slices.Reverse(l); return l }},
		{"another value", true, func(l []e) []e { l[0].Got, l[0].Want = "apache", "nobody"; return l }},
		{"another line", true, func(l []e) []e { l[1].Line = 99; return l }},
		{"another pid", true, func(l []e) []e { l[1].Source, l[1].Key = "process 99 (nginx)", "/proc/99/exe"; return l }},
		{"another observation", true, func(l []e) []e { l[2].Source = "elsewhere"; return l }},
		{"seen twice", true, func(l []e) []e { return append(l, l[0]) }},
		{"another place", false, func(l []e) []e { l[0].Source = "tcp 0.0.0.0:81"; return l }},
		{"another key", false, func(l []e) []e { l[0].Key = "unit"; return l }},
		{"one place mended", false, func(l []e) []e { return l[1:] }},
		{"source and key do not run together", false, func(l []e) []e { l[0].Source, l[0].Key = `tcp 0.0.0.0:80" "p`, "rocess"; return l }},
	} {
		if got := fp(c.edit); (got == want) != c.same {
			t.Errorf("%s: %s, base %s; want equal: %v", c.name, got, want, c.same)
		}
	}
	id := func(c string) []e {
		return []e{{Source: "/var/lib/docker/containers/" + c + "/config.v2.json", Key: "x", Want: "y"}}
	}
	if fingerprint("A-1", checks.Fail, id(fmt.Sprintf("%064x", 1))) != fingerprint("A-1", checks.Fail, id(fmt.Sprintf("%064x", 2))) {
		t.Error("a container's id changes the fingerprint")
	}
	if fingerprint("A-1", checks.Fail, nil) == fingerprint("A-1", checks.Error, nil) || fingerprint("A-1", checks.Fail, nil) == fingerprint("A-2", checks.Fail, nil) {
		t.Error("rule and status do not enter the fingerprint")
	}

	here, there := fixture(), fixture()
	there.Host.Hostname, there.Host.Machine, there.Version = "other", "", "9"
	a, b := New(here), New(there)
	for i := range a.Findings {
		if a.Findings[i].Fingerprint != b.Findings[i].Fingerprint {
			t.Errorf("%s: the fingerprint depends on the host", a.Findings[i].Rule)
		}
	}
}
