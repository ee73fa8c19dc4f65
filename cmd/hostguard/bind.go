package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/checks/all"
	"github.com/hostguard/hostguard/checks/attestation"
	"github.com/hostguard/hostguard/internal/attested"
	"github.com/hostguard/hostguard/internal/config"
	"github.com/hostguard/hostguard/internal/lazyregexp"
	"github.com/hostguard/hostguard/internal/strictyaml"
	"github.com/hostguard/hostguard/internal/trustedfile"
	"github.com/hostguard/hostguard/rules"
)

// rulesFolder holds rules of the operator's own; it may be absent.
const rulesFolder = "/etc/hostguard/rules.d"

// sources say where a run's rules and configuration come from; the zero value
// means the usual places.
type sources struct {
	Config  string // --config
	Rules   string // --rules, besides rulesFolder
	Profile string // --profile, before the configuration's
	Tree    bool   // a file tree is looked at: this host's own configuration does not speak for it
}

// audit is what is settled before a run: which rules decide, with which
// parameters, looked at by which checks.
type audit struct {
	Config  *config.Config
	Rules   *rules.Set
	Profile *rules.Profile
	Bound   []bound // the profile's rules, in its order
}

// bound is one rule with its check and the parameters in force.
type bound struct {
	Rule   *rules.Rule
	Level  rules.Level
	Check  *checks.Check
	Probe  checks.Probe
	Params any     // the check's parameter struct, nil when it takes none
	Layers []layer // what was laid over the check's defaults, in order
}

// layer is one source of parameters.
type layer struct {
	Name string // "the rule", "the profile true-connector", "the configuration's ntp.servers" …
	Node strictyaml.Node
}

// load reads rules and configuration and binds the profile in force. The
// error lists everything that is wrong; nothing must be run then.
func load(src sources) (*audit, error) {
	var errs strictyaml.Errors
	set, err := loadRules(src.Rules)
	errs.Add(strictyaml.Node{}, err)
	cfg := &config.Config{}
	if src.Config != "" || !src.Tree {
		cfg, err = config.Load(src.Config)
		errs.Add(strictyaml.Node{}, err)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	profile, err := chooseProfile(set, cfg, src.Profile)
	if err != nil {
		return nil, err
	}
	a := &audit{Config: cfg, Rules: set, Profile: profile}
	a.Bound, err = bind(set, profile, all.Families, cfg)
	return a, err
}

// loadRules returns the embedded rules with those of rulesFolder and of dir.
func loadRules(dir string) (*rules.Set, error) {
	set := rules.Embedded()
	var errs strictyaml.Errors
	for _, folder := range []string{rulesFolder, dir} {
		if folder == "" {
			continue
		}
		files, err := trustedfile.List(folder, ".yaml")
		if folder == rulesFolder && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			errs.Add(strictyaml.Node{}, fmt.Errorf("cannot use the rules: %w", err))
		}
		for _, file := range files {
			data, err := trustedfile.Read(file, strictyaml.MaxSize)
			if err != nil {
				errs.Add(strictyaml.Node{}, fmt.Errorf("cannot use the rules: %w", err))
				continue
			}
			errs.Add(strictyaml.Node{}, set.Add(file, data))
		}
	}
	return set, errs.OrNil()
}

// chooseProfile takes the named one, else the configuration's, else the usual.
func chooseProfile(set *rules.Set, cfg *config.Config, name string) (*rules.Profile, error) {
	if name != "" {
		return set.FindProfile(name)
	}
	if cfg.Profile != "" {
		p, err := set.FindProfile(cfg.Profile)
		if err != nil {
			err = cfg.Lookup("profile").Errorf("%v", err)
		}
		return p, err
	}
	return set.FindProfile(config.DefaultProfile)
}

// bind joins the profile's rules with their checks and decodes their
// parameters: the check's defaults, the rule's, the profile's, the keys of
// hostguard.yaml that the rule names, and hostguard.yaml's parameters for the
// rule, each over the ones before. The error is strictyaml.Errors.
func bind(set *rules.Set, profile *rules.Profile, families [][]checks.Check, cfg *config.Config) ([]bound, error) {
	var errs strictyaml.Errors
	known := checksByName(families)
	bounds := make([]bound, 0, len(profile.Rules))
	for i, entry := range profile.Rules {
		rule := set.Rule(entry.ID)
		if rule == nil {
			errs = append(errs, profile.At(i, "id").Errorf("there is no rule %q", entry.ID))
			continue
		}
		b, err := bindRule(rule, known, layersOf(rule, &entry, profile.Name, cfg), cfg.Attestation(rule.ID))
		errs.Add(rule.At(), err)
		b.Level = levelOf(&entry, cfg)
		bounds = append(bounds, b)
	}
	errs = append(errs, strayParameters(set, profile, cfg)...)
	errs = append(errs, strayAttestations(set, profile, known, cfg)...)
	return bounds, errs.OrNil()
}

func checksByName(families [][]checks.Check) map[string]*checks.Check {
	known := map[string]*checks.Check{}
	for _, family := range families {
		for i := range family {
			known[family[i].Name] = &family[i]
		}
	}
	return known
}

func levelOf(entry *rules.Entry, cfg *config.Config) rules.Level {
	if when := entry.RequiredWhen; when != nil && cfg.Lookup(when.Key).Text == when.Is {
		return rules.Required
	}
	return entry.Level
}

func layersOf(rule *rules.Rule, entry *rules.Entry, profile string, cfg *config.Config) []layer {
	var layers []layer
	add := func(name string, n strictyaml.Node) {
		if n.Kind != strictyaml.Absent {
			layers = append(layers, layer{name, n})
		}
	}
	add("the rule", rule.Params)
	if entry != nil {
		add("the profile "+profile, entry.Params)
	}
	for _, param := range slices.Sorted(maps.Keys(rule.Configured)) {
		key := rule.Configured[param]
		if n := cfg.Lookup(key); n.Kind != strictyaml.Absent {
			add("the configuration's "+key, n.Under(param))
		}
	}
	add("the configuration's parameters", cfg.ParametersOf(rule.ID))
	return layers
}

// bindRule decodes the layers over the check's defaults, and hands a person's
// word to the check that asks for it. What the check's own validation finds is
// placed at the layer that brought it about.
func bindRule(rule *rules.Rule, known map[string]*checks.Check, layers []layer, given *attested.Attestation) (bound, error) {
	b := bound{Rule: rule, Layers: layers, Check: known[rule.Check]}
	if b.Check == nil {
		names := slices.Sorted(maps.Keys(known))
		return b, rule.At("check").Errorf("there is no check %q%s", rule.Check, strictyaml.Suggest(rule.Check, names))
	}
	if b.Check.Bind == nil {
		return b, rule.At("check").Errorf("check %s cannot be bound", rule.Check)
	}
	var err error
	b.Probe, err = b.Check.Bind(func(into any) error {
		if err := decodeLayers(layers, into); err != nil {
			return err
		}
		if p, ok := into.(*attestation.Params); ok {
			p.Attested(rule.ID, given)
		}
		if b.Check.Defaults != nil {
			b.Params = reflect.ValueOf(into).Elem().Interface()
		}
		return nil
	})
	if placed := (strictyaml.Errors{}); err == nil || errors.As(err, &placed) {
		return b, err
	}
	at := rule.At("check")
	for i, l := range layers {
		if _, err := b.Check.Bind(func(into any) error { return decodeLayers(layers[:i], into) }); err == nil {
			at = l.Node // right without this layer and those after it
		}
	}
	return b, at.Errorf("check %s: %v", rule.Check, err)
}

func decodeLayers(layers []layer, into any) error {
	var errs strictyaml.Errors
	for _, l := range layers {
		errs.Add(l.Node, l.Node.Decode(into))
	}
	return errs.OrNil()
}

// strayParameters finds parameters in hostguard.yaml for rules that are not
// checked: they would have no effect, and their author believes they have.
func strayParameters(set *rules.Set, profile *rules.Profile, cfg *config.Config) strictyaml.Errors {
	var errs strictyaml.Errors
	for id := range cfg.Parameters {
		if profile.Entry(id) != nil {
			continue
		}
		at := cfg.ParametersKey(id)
		if _, err := set.FindRule(id); err != nil {
			errs.Add(at, err)
		} else {
			errs = append(errs, at.Errorf("the rule %s is not in the profile %s: its parameters would have no effect", id, profile.Name))
		}
	}
	slices.SortFunc(errs, func(a, b strictyaml.Error) int { return a.Line - b.Line })
	return errs
}

// strayAttestations finds attestations that would have no effect: of rules that
// there are not, that are not checked, or that hostguard judges by itself.
func strayAttestations(set *rules.Set, profile *rules.Profile, known map[string]*checks.Check, cfg *config.Config) strictyaml.Errors {
	var errs strictyaml.Errors
	for _, a := range cfg.Attestations {
		at := a.At("rule")
		rule, err := set.FindRule(a.Rule)
		switch {
		case err != nil:
			errs.Add(at, err)
		case profile.Entry(a.Rule) == nil:
			errs = append(errs, at.Errorf("the rule %s is not in the profile %s: its attestation would have no effect", a.Rule, profile.Name))
		case known[rule.Check] != nil && !asksAPerson(known[rule.Check]):
			errs = append(errs, at.Errorf("hostguard looks itself at what %s wants, and nobody can vouch for it: take the attestation out, and mend what is found as \"hostguard explain %s\" says", a.Rule, a.Rule))
		}
	}
	return errs
}

// asksAPerson reports whether a check takes a person's word.
func asksAPerson(c *checks.Check) bool {
	_, asks := c.Defaults.(attestation.Params)
	return asks
}

// validate finds everything that is wrong with the checks, the rules, the
// profiles and how they fit together. Lint and the tests both call it.
func validate(set *rules.Set, families [][]checks.Check) strictyaml.Errors {
	errs := validateChecks(families)
	known, used := checksByName(families), map[string]bool{}
	for i := range set.Rules {
		rule := &set.Rules[i]
		used[rule.Check] = true
		_, err := bindRule(rule, known, layersOf(rule, nil, "", &config.Config{}), nil)
		errs.Add(rule.At(), err)
		errs = append(errs, validateConfigured(rule, known[rule.Check])...)
		if !slices.ContainsFunc(set.Profiles, func(p rules.Profile) bool { return p.Entry(rule.ID) != nil }) {
			errs = append(errs, rule.At("id").Errorf("the rule %s is in no profile", rule.ID))
		}
	}
	for i := range set.Profiles {
		errs = append(errs, validateEntries(set, &set.Profiles[i], known)...)
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if !used[name] && !known[name].Primitive {
			errs = append(errs, strictyaml.Error{Msg: fmt.Sprintf("check %s: no rule uses it", name)})
		}
	}
	return errs
}

var checkName = lazyregexp.New(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func validateChecks(families [][]checks.Check) strictyaml.Errors {
	var errs strictyaml.Errors
	seen := map[string]bool{}
	for _, family := range families {
		for _, c := range family {
			wrong := func(format string, args ...any) {
				errs = append(errs, strictyaml.Error{Msg: fmt.Sprintf("check %s: ", c.Name) + fmt.Sprintf(format, args...)})
			}
			if !checkName().MatchString(c.Name) {
				wrong("the name is not lower-case words joined by dashes")
			}
			if seen[c.Name] {
				wrong("the name is taken by another check")
			}
			seen[c.Name] = true
			if strings.TrimSpace(c.Looks) == "" || strings.TrimSpace(c.Blind) == "" {
				wrong("Looks or Blind is empty: say what is looked at and what cannot be seen")
			}
			if c.Bind == nil {
				wrong("Bind is nil: use checks.Params or checks.NoParams")
			}
			for _, f := range paramsOf(&c) {
				if f.Doc == "" {
					wrong("the parameter %s has no doc tag", f.Name)
				}
			}
		}
	}
	return errs
}

// paramsOf lists the parameters of a check.
func paramsOf(c *checks.Check) []strictyaml.Field {
	if c.Defaults == nil {
		return nil
	}
	return strictyaml.FieldsOf(reflect.TypeOf(c.Defaults))
}

// validateConfigured finds keys that hostguard.yaml does not have, and
// parameters that the check does not have.
func validateConfigured(rule *rules.Rule, check *checks.Check) strictyaml.Errors {
	var errs strictyaml.Errors
	for _, param := range slices.Sorted(maps.Keys(rule.Configured)) {
		if key := rule.Configured[param]; !slices.Contains(config.Keys(), key) {
			errs = append(errs, rule.At("configured", param).Errorf("hostguard.yaml has no key %q%s", key, strictyaml.Suggest(key, config.Keys())))
		}
		if check == nil {
			continue
		}
		var names []string
		for _, f := range paramsOf(check) {
			names = append(names, f.Name)
		}
		if !slices.Contains(names, param) {
			errs = append(errs, rule.At("configured", param).Errorf("check %s has no parameter %q%s", check.Name, param, strictyaml.Suggest(param, names)))
		}
	}
	return errs
}

func validateEntries(set *rules.Set, profile *rules.Profile, known map[string]*checks.Check) strictyaml.Errors {
	var errs strictyaml.Errors
	for i, entry := range profile.Rules {
		if when := entry.RequiredWhen; when != nil && !slices.Contains(config.Keys(), when.Key) {
			errs = append(errs, profile.At(i, "required_when", "key").Errorf("hostguard.yaml has no key %q%s", when.Key, strictyaml.Suggest(when.Key, config.Keys())))
		}
		rule := set.Rule(entry.ID)
		if rule == nil {
			errs = append(errs, profile.At(i, "id").Errorf("the profile %s names the rule %q, which there is not", profile.Name, entry.ID))
			continue
		}
		if entry.Params.Kind == strictyaml.Absent || known[rule.Check] == nil {
			continue // nothing to add to what was said of the rule itself
		}
		_, err := bindRule(rule, known, layersOf(rule, &entry, profile.Name, &config.Config{}), nil)
		errs.Add(profile.At(i), err)
	}
	return errs
}
