package rules

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/internal/strictyaml"
)

// What is embedded is what the YAML says, and a set that is changed does not
// change the next one.
func TestEmbedded(t *testing.T) {
	t.Parallel()
	first := Embedded()
	if first.Profile("true-connector") == nil || first.Requirement("TC-01") == nil || first.Rule(first.Profiles[0].Rules[0].ID) == nil {
		t.Errorf("the embedded set lacks what it must have: %d rules", len(first.Rules))
	}
	known := len(first.Rules)
	own := strings.Replace(goodRule, "CLK-001", "AAA-001", 1)
	if err := first.Add("own", []byte(own)); err != nil {
		t.Fatal(err)
	}
	second := Embedded()
	if len(second.Rules) != known || second.Rule("AAA-001") != nil || second.Profiles[0].Entry("AAA-001") != nil {
		t.Error("a rule that was added to one set is in the next")
	}
}

const (
	goodRequirements = "- title: T\n  profiles: [p]\n  rows:\n    - {id: TC-01, how: M F, requirement: the clock is right}\n"
	goodProfile      = "name: p\ntitle: P\nrules:\n  - {id: CLK-001, level: required}\n"
	goodRule         = `- id: CLK-001
  title: The clock is right
  rationale: Tokens are judged by it.
  source: [TC-01]
  severity: high
  tags: [time]
  check: clock
  params: {max: 5s}
  remediation: {hint: set it}
`
)

func edited(old, new string) string {
	if !strings.Contains(goodRule, old) {
		panic("the good rule does not contain " + old)
	}
	return strings.Replace(goodRule, old, new, 1)
}

func TestStrictRules(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ rule, want string }{
		"good":                 {goodRule, ""},
		"no rule file's list":  {"id: CLK-001\n", "rules/f/r.yaml:1:1: want a list of rules\nrules/profiles/p.yaml:4:10: there is no rule \"CLK-001\": none is known here"},
		"misspelt severity":    {edited("severity: high", "sevrity: high"), "rules/f/r.yaml:5:3: unknown key \"sevrity\": did you mean \"severity\"?\nrules/f/r.yaml:1:3: missing key \"severity\""},
		"unknown severity":     {edited("high", "huge"), `rules/f/r.yaml:5:13: want low, medium, high, critical, got "huge"`},
		"without a rationale":  {edited("  rationale: Tokens are judged by it.\n", ""), `rules/f/r.yaml:1:3: missing key "rationale"`},
		"blank rationale":      {edited("Tokens are judged by it.", `" "`), `rules/f/r.yaml:3:14: rationale is empty`},
		"without a source":     {edited("[TC-01]", "[]"), `rules/f/r.yaml:4:11: source is empty`},
		"source of no row":     {edited("TC-01", "TC-99"), `rules/f/r.yaml:4:12: there is no requirement "TC-99" (hostguard list requirements)`},
		"source given twice":   {edited("TC-01", "TC-01, TC-01"), `rules/f/r.yaml:4:19: "TC-01" is given twice`},
		"bad tag":              {edited("[time]", "[time, Über]"), `rules/f/r.yaml:6:16: the tag "Über" is not lower-case letters, digits and single dashes`},
		"long title":           {edited("The clock is right", strings.Repeat("x", 73)), `rules/f/r.yaml:2:10: the title has 73 characters: at most 72 fit a report's line`},
		"level when embedded":  {edited("severity: high", "severity: high\n  level: advice"), `rules/f/r.yaml:6:10: the level of an embedded rule is said by its profile`},
		"without a hint":       {edited("{hint: set it}", "{}"), `rules/f/r.yaml:9:16: missing key "hint"`},
		"doubled rule":         {goodRule + goodRule, `rules/f/r.yaml:10:7: the rule CLK-001 is given twice: first at rules/f/r.yaml:1:7`},
		"wrong type of source": {edited("[TC-01]", "TC-01"), `rules/f/r.yaml:4:11: want a list, got "TC-01"`},
		"half a reference":     {edited("tags:", "references: [{id: x}]\n  tags:"), `rules/f/r.yaml:6:16: missing key "framework"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			compare(t, c.want, loadFiles(c.rule, goodProfile))
		})
	}
}

func TestStrictProfiles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ profile, want string }{
		"unknown rule":   {"name: p\ntitle: P\nrules: [{id: CLK-010, level: required}]\n", `rules/profiles/p.yaml:3:14: there is no rule "CLK-010": did you mean "CLK-001"?`},
		"listed twice":   {goodProfile + "  - {id: CLK-001, level: advice}\n", `rules/profiles/p.yaml:5:10: the rule CLK-001 is listed twice`},
		"no level":       {"name: p\ntitle: P\nrules: [{id: CLK-001}]\n", `rules/profiles/p.yaml:3:9: missing key "level"`},
		"idle condition": {"name: p\ntitle: P\nrules: [{id: CLK-001, level: required, required_when: {key: a, is: b}}]\n", `rules/profiles/p.yaml:3:55: CLK-001 is required anyway: the condition has no effect`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			compare(t, c.want, loadFiles(goodRule, c.profile))
		})
	}
}

func loadFiles(rule, profile string) error {
	_, err := Load(fstest.MapFS{
		"requirements.yaml": {Data: []byte(goodRequirements)},
		"f/r.yaml":          {Data: []byte(rule)},
		"profiles/p.yaml":   {Data: []byte(profile)},
	})
	return err
}

func compare(t *testing.T, want string, err error) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

func goodSet(t *testing.T, rule string) *Set {
	t.Helper()
	s, err := Load(fstest.MapFS{
		"requirements.yaml": {Data: []byte(goodRequirements)},
		"f/r.yaml":          {Data: []byte(rule)},
		"profiles/p.yaml":   {Data: []byte(goodProfile)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestExtraRules(t *testing.T) {
	t.Parallel()
	own := strings.NewReplacer("CLK-001", "ACME-001", "[TC-01]", "[ACME handbook 7]").Replace(goodRule)
	s := goodSet(t, goodRule)
	if err := s.Add("rules.d/a.yaml", []byte(own)); err != nil {
		t.Fatal(err)
	}
	if err := s.Add("rules.d/b.yaml", []byte(strings.Replace(own, "ACME-001", "ACME-002\n  level: advice", 1))); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range s.Profile("p").Rules {
		got = append(got, e.ID+" "+e.Level.String())
	}
	if diff := cmp.Diff([]string{"CLK-001 required", "ACME-001 required", "ACME-002 advice"}, got); diff != "" {
		t.Errorf("profile (-want +got):\n%s", diff)
	}
	compare(t, "rules.d/c.yaml:1:7: the rule CLK-001 is given twice: first at rules/f/r.yaml:1:7", s.Add("rules.d/c.yaml", []byte(goodRule)))
	compare(t, `rules.d/d.yaml:4:12: there is no requirement "TC-99" (hostguard list requirements)`,
		s.Add("rules.d/d.yaml", []byte(strings.NewReplacer("CLK-001", "ACME-003", "TC-01", "TC-99").Replace(goodRule))))
	compare(t, "", s.Add("rules.d/empty.yaml", []byte("# none yet\n")))
}

// A file of the source tree can be read again as it is now.
func TestForget(t *testing.T) {
	t.Parallel()
	s := goodSet(t, goodRule)
	s.Forget("other/r.yaml")
	if s.Rule("CLK-001") == nil {
		t.Fatal("another file took the rule along")
	}
	s.Forget("/src/hostguard/rules/f/r.yaml")
	if s.Rule("CLK-001") != nil {
		t.Fatal("the rule is still there")
	}
	compare(t, "", s.Add("rules/f/r.yaml", []byte(edited("high", "low"))))
	if r := s.Rule("CLK-001"); r == nil || r.Severity != Low || len(s.Profile("p").Rules) != 1 {
		t.Errorf("the rule was not read again: %+v", r)
	}
}

// Equal digests mean equal requirements: order, layout and comments do not
// count, everything that is required does.
func TestDigest(t *testing.T) {
	t.Parallel()
	digest := func(rule string) string {
		s := goodSet(t, rule)
		return s.Digest(s.Profile("p"))
	}
	first := digest(goodRule)
	if !strings.HasPrefix(first, "sha256:") || len(first) != 71 {
		t.Errorf("digest = %q", first)
	}
	same := strings.Replace("# a comment\n"+goodRule, "params: {max: 5s}", "params:\n      max: \"5s\"", 1)
	if got := digest(same); got != first {
		t.Errorf("another layout changed the digest")
	}
	for _, change := range []string{edited("5s", "6s"), edited("high", "low"), edited("max", "min"), edited("set it", "leave it"), edited("{max: 5s}", "{max: [5s]}")} {
		if digest(change) == first {
			t.Errorf("the digest did not notice:\n%s", change)
		}
	}
	s := goodSet(t, goodRule)
	s.Profile("p").Rules[0].Level = Advice
	if s.Digest(s.Profile("p")) == first {
		t.Error("the digest did not notice the level")
	}
}

// Whatever an extra rule file holds, Add ends without a panic, and its errors
// name the file.
func FuzzAdd(f *testing.F) {
	f.Add([]byte(goodRule))
	f.Add([]byte(strings.Replace(goodRule, "CLK-001", "ACME-001", 1)))
	f.Add([]byte("- {}\n- {id: A}\n- []\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Load(fstest.MapFS{"requirements.yaml": {Data: []byte(goodRequirements)}, "profiles/p.yaml": {Data: []byte("name: p\ntitle: P\nrules: []\n")}})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Add("f", data)
		if err == nil {
			s.Digest(s.Profile("p"))
			return
		}
		for _, e := range err.(strictyaml.Errors) {
			if e.File != "f" {
				t.Errorf("the error %q has file %q", e.Msg, e.File)
			}
		}
	})
}
