package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/checks/all"
	"github.com/hostguard/hostguard/internal/config"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/quantity"
	"github.com/hostguard/hostguard/rules"
)

// Every check, rule and profile that hostguard is built with is valid and they
// fit together.
func TestEverythingIsValid(t *testing.T) {
	t.Parallel()
	for _, err := range validate(rules.Embedded(), all.Families) {
		t.Error(err)
	}
}

type clockParams struct {
	Max     quantity.Duration `yaml:"max" doc:"The largest error."`
	Servers []string          `yaml:"servers" doc:"Who is asked."`
	Least   int               `yaml:"least" doc:"How many must answer."`
}

func (p clockParams) Validate() error {
	if p.Least > len(p.Servers) {
		return errors.New("least is more than there are servers")
	}
	return nil
}

var testFamilies = [][]checks.Check{{
	{
		Name: "clock", Looks: "At the clock.", Blind: "The past.",
		Binding: checks.Params(clockParams{Max: quantity.Duration(time.Second), Servers: []string{"default"}},
			func(_ context.Context, _ *host.Host, p clockParams) (checks.Verdict, error) {
				return checks.Passed(checks.Evidence{Got: strings.Join(p.Servers, " ")}), nil
			}),
	},
	{
		Name: "plain", Looks: "At it.", Blind: "The rest.",
		Binding: checks.NoParams(func(context.Context, *host.Host) (checks.Verdict, error) { return checks.Passed(), nil }),
	},
}}

const testRules = `- id: CLK-001
  title: The clock is right
  rationale: Tokens are judged by it.
  source: [TC-01]
  severity: high
  tags: [time]
  check: clock
  params: {max: 5s, least: 1}
  configured: {servers: ntp.servers}
  remediation: {hint: set it}
- id: PLN-001
  title: It is plain
  rationale: Because.
  source: [TC-01]
  severity: low
  tags: [plain]
  check: plain
  remediation: {hint: do it}
`

const testProfile = `name: true-connector
title: P
rules:
  - {id: CLK-001, level: required, params: {max: 4s}}
  - {id: PLN-001, level: advice, required_when: {key: ssh.use_pam, is: "no"}}
`

func testSet(t *testing.T, ruleFile, profile string) *rules.Set {
	t.Helper()
	set, err := rules.Load(fstest.MapFS{
		"requirements.yaml": {Data: []byte("- {title: T, profiles: [p], rows: [{id: TC-01, how: M, requirement: it is right}]}\n")},
		"f/r.yaml":          {Data: []byte(ruleFile)},
		"profiles/p.yaml":   {Data: []byte(profile)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Each source of parameters is laid over the ones before it.
func TestBindLayers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config string
		want   clockParams
		layers []string
		level  rules.Level // of PLN-001
	}{
		"no configuration": {
			"", clockParams{quantity.Duration(4 * time.Second), []string{"default"}, 1},
			[]string{"the rule", "the profile true-connector"}, rules.Advice,
		},
		"a configured key": {
			"ntp: {servers: [a, b]}\nssh: {use_pam: yes}\n", clockParams{quantity.Duration(4 * time.Second), []string{"a", "b"}, 1},
			[]string{"the rule", "the profile true-connector", "the configuration's ntp.servers"}, rules.Advice,
		},
		"parameters of the rule have the last word": {
			"ntp: {servers: [a, b]}\nparameters: {CLK-001: {max: 1ms, servers: [c]}}\nssh: {use_pam: no}\n", clockParams{quantity.Duration(time.Millisecond), []string{"c"}, 1},
			[]string{"the rule", "the profile true-connector", "the configuration's ntp.servers", "the configuration's parameters"}, rules.Required,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := testSet(t, testRules, testProfile)
			cfg, err := config.Parse("hostguard.yaml", []byte(c.config))
			if err != nil {
				t.Fatal(err)
			}
			bounds, err := bind(set, set.Profile("true-connector"), testFamilies, cfg)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, bounds[0].Params); diff != "" {
				t.Errorf("parameters (-want +got):\n%s", diff)
			}
			var layers []string
			for _, l := range bounds[0].Layers {
				layers = append(layers, l.Name)
			}
			if !slices.Equal(layers, c.layers) {
				t.Errorf("layers = %q, want %q", layers, c.layers)
			}
			if bounds[0].Level != rules.Required || bounds[1].Level != c.level {
				t.Errorf("levels = %v, %v, want required, %v", bounds[0].Level, bounds[1].Level, c.level)
			}
			v, err := bounds[0].Probe(t.Context(), host.New(host.Options{}))
			if want := strings.Join(c.want.Servers, " "); err != nil || v.Evidence[0].Got != want {
				t.Errorf("the probe saw %+v, %v, want %s", v, err, want)
			}
		})
	}
}

func TestBindErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rules, profile, config string // "" for the good ones
		want                   string
	}{
		"good":                             {},
		"unknown check":                    {rules: strings.Replace(testRules, "check: clock", "check: clokc", 1), want: `rules/f/r.yaml:7:10: there is no check "clokc": did you mean "clock"?`},
		"unknown parameter in the rule":    {rules: strings.Replace(testRules, "max: 5s", "maxx: 5s", 1), want: `rules/f/r.yaml:8:12: unknown key "maxx": did you mean "max"?`},
		"wrong type in the rule":           {rules: strings.Replace(testRules, "max: 5s", "max: 5", 1), want: `rules/f/r.yaml:8:17: cannot read "5" as a duration: want a number with a unit, such as 500ms, 30s, 12h, 60d or 2w`},
		"parameters that do not fit":       {rules: strings.Replace(testRules, "least: 1", "least: 2", 1), want: `rules/f/r.yaml:8:11: check clock: least is more than there are servers`},
		"parameters of a check without":    {rules: testRules + "  params: {x: 1}\n", want: `rules/f/r.yaml:19:12: unknown key "x": none is known here`},
		"wrong in the profile":             {profile: strings.Replace(testProfile, "4s", "four", 1), want: `rules/profiles/p.yaml:4:50: cannot read "four" as a duration: want a number with a unit, such as 500ms, 30s, 12h, 60d or 2w`},
		"wrong in the configuration":       {config: "parameters: {CLK-001: {max: 1x}}\n", want: `hostguard.yaml:1:29: cannot read "1x" as a duration: want a number with a unit, such as 500ms, 30s, 12h, 60d or 2w`},
		"a configured key that is too few": {config: "ntp: {servers: []}\n", want: `hostguard.yaml:1:16: check clock: least is more than there are servers`},
		"configuration of no rule":         {config: "parameters: {CLK-002: {max: 1s}}\n", want: `hostguard.yaml:1:14: there is no rule "CLK-002": did you mean "CLK-001"?`},
		"configuration without effect":     {profile: "name: true-connector\ntitle: P\nrules: [{id: PLN-001, level: advice}]\n", config: "parameters: {CLK-001: {max: 1s}}\n", want: `hostguard.yaml:1:14: the rule CLK-001 is not in the profile true-connector: its parameters would have no effect`},
		"every error of several": {
			rules:  strings.NewReplacer("max: 5s", "mx: 5s", "check: plain", "check: pain").Replace(testRules),
			config: "parameters: {X: {}}\n",
			want: `rules/f/r.yaml:8:12: unknown key "mx": did you mean "max"?
rules/f/r.yaml:17:10: there is no check "pain": did you mean "plain"?
hostguard.yaml:1:14: there is no rule "X": known are CLK-001, PLN-001`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.rules == "" {
				c.rules = testRules
			}
			if c.profile == "" {
				c.profile = testProfile
			}
			set := testSet(t, c.rules, c.profile)
			cfg, err := config.Parse("hostguard.yaml", []byte(c.config))
			if err != nil {
				t.Fatal(err)
			}
			_, err = bind(set, set.Profile("true-connector"), testFamilies, cfg)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	bad := func(change func(*checks.Check)) [][]checks.Check {
		c := testFamilies[0][1]
		change(&c)
		return [][]checks.Check{{testFamilies[0][0], c}}
	}
	type undocumented struct {
		X int `yaml:"x"`
	}
	for name, c := range map[string]struct {
		rules, profile string
		families       [][]checks.Check
		want           string
	}{
		"good":                        {},
		"configured key unknown":      {rules: strings.Replace(testRules, "ntp.servers", "ntp.server", 1), want: `rules/f/r.yaml:9:25: hostguard.yaml has no key "ntp.server": did you mean "ntp.servers"?`},
		"configured parameter absent": {rules: strings.Replace(testRules, "{servers:", "{server:", 1), want: `rules/f/r.yaml:9:24: check clock has no parameter "server": did you mean "servers"?`},
		"condition on no key":         {profile: strings.Replace(testProfile, "ssh.use_pam", "ssh.usepam", 1), want: `rules/profiles/p.yaml:5:55: hostguard.yaml has no key "ssh.usepam": did you mean "ssh.use_pam"?`},
		"rule in no profile":          {profile: "name: p\ntitle: P\nrules: [{id: CLK-001, level: required}]\n", want: `rules/f/r.yaml:11:7: the rule PLN-001 is in no profile`},
		"check without a rule":        {families: append(slices.Clone(testFamilies), []checks.Check{{Name: "idle", Looks: "L", Blind: "B", Binding: testFamilies[0][1].Binding}}), want: `check idle: no rule uses it`},
		"two checks of one name":      {families: append(slices.Clone(testFamilies), testFamilies[0][:1]), want: `check clock: the name is taken by another check`},
		"check that is blind to nothing": {
			families: bad(func(c *checks.Check) { c.Blind = " " }),
			want:     `check plain: Looks or Blind is empty: say what is looked at and what cannot be seen`,
		},
		"check with a bad name": {
			families: append(bad(func(c *checks.Check) { c.Name = "Plain check" }), testFamilies[0][1:]),
			want:     "check Plain check: the name is not lower-case words joined by dashes\ncheck Plain check: no rule uses it",
		},
		"check that cannot be bound": {
			families: bad(func(c *checks.Check) { c.Binding = checks.Binding{} }),
			want:     "check plain: Bind is nil: use checks.Params or checks.NoParams\nrules/f/r.yaml:17:10: check plain cannot be bound",
		},
		"parameter without a doc": {
			families: bad(func(c *checks.Check) {
				c.Binding = checks.Params(undocumented{}, func(context.Context, *host.Host, undocumented) (checks.Verdict, error) { return checks.Passed(), nil })
			}),
			want: `check plain: the parameter x has no doc tag`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.rules == "" {
				c.rules = testRules
			}
			if c.profile == "" {
				c.profile = testProfile
			}
			if c.families == nil {
				c.families = testFamilies
			}
			got := validate(testSet(t, c.rules, c.profile), c.families).Error()
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}
