package rules

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/strictyaml"
)

// Set is all rules and profiles that are known to a run.
type Set struct {
	Rules        []Rule // by id
	Profiles     []Profile
	Requirements []Section

	rows map[string]*Requirement
}

// Rule returns a rule by its id, nil when there is none.
func (s *Set) Rule(id string) *Rule {
	i, found := slices.BinarySearchFunc(s.Rules, id, func(r Rule, id string) int { return strings.Compare(r.ID, id) })
	if !found {
		return nil
	}
	return &s.Rules[i]
}

// Profile returns a profile by its name, nil when there is none.
func (s *Set) Profile(name string) *Profile {
	if i := slices.IndexFunc(s.Profiles, func(p Profile) bool { return p.Name == name }); i >= 0 {
		return &s.Profiles[i]
	}
	return nil
}

// Embedded returns the rules and profiles that hostguard is built with:
// generated.go, which is made from the YAML in this folder, because reading
// that at every start would take several milliseconds. File names in the set
// are paths of the source tree.
func Embedded() *Set {
	s := &Set{Rules: slices.Clone(embeddedRules), Profiles: slices.Clone(embeddedProfiles), Requirements: embeddedRequirements}
	s.indexRows()
	return s
}

// Load reads a tree of rules: requirements.yaml, profiles/*.yaml and rules in
// every other folder. The error is strictyaml.Errors.
func Load(files fs.FS) (*Set, error) {
	s := &Set{}
	var errs strictyaml.Errors
	read := func(name string) strictyaml.Node {
		data, err := fs.ReadFile(files, name)
		n := strictyaml.Node{File: path.Join("rules", name)}
		if err == nil {
			n, err = strictyaml.Parse(n.File, data)
		}
		errs.Add(n, err)
		return n
	}
	errs = append(errs, s.addRequirements(read("requirements.yaml"))...)
	names, err := fs.Glob(files, "*/*.yaml")
	errs.Add(strictyaml.Node{}, err)
	for _, name := range names {
		n := read(name)
		if path.Dir(name) == "profiles" {
			errs = append(errs, s.addProfile(n)...)
		} else {
			errs = append(errs, s.addRules(n, false)...)
		}
	}
	for i := range s.Profiles {
		errs = append(errs, s.validateProfile(&s.Profiles[i])...)
	}
	return s, errs.OrNil()
}

// Add takes in a file of rules of the operator's own. They join every profile,
// as required unless they say `level: advice`. An id that exists already is
// an error: an embedded rule is changed through hostguard.yaml's parameters.
// The error is strictyaml.Errors.
func (s *Set) Add(file string, data []byte) error {
	n, err := strictyaml.Parse(file, data)
	if err != nil {
		return err
	}
	known := len(s.Rules)
	errs := s.addRules(n, true)
	if len(s.Rules) > known {
		for i := range s.Rules {
			r := &s.Rules[i]
			if !r.Extra {
				continue
			}
			if r.Level == 0 {
				r.Level = Required
			}
			for j := range s.Profiles {
				if p := &s.Profiles[j]; p.Entry(r.ID) == nil {
					p.Rules = append(p.Rules, Entry{ID: r.ID, Level: r.Level})
				}
			}
		}
	}
	return errs.OrNil()
}

// Forget drops the embedded rules that were made from a file of the source
// tree, so that Add can take in the file as it is now. Other files are none.
func (s *Set) Forget(file string) {
	s.Rules = slices.DeleteFunc(s.Rules, func(r Rule) bool {
		return !r.Extra && (file == r.node.File || strings.HasSuffix(file, "/"+r.node.File))
	})
}

func (s *Set) addRules(n strictyaml.Node, extra bool) strictyaml.Errors {
	var errs strictyaml.Errors
	if n.Kind != strictyaml.List {
		if n.Kind != strictyaml.Absent || !extra {
			errs = append(errs, n.Errorf("want a list of rules"))
		}
		return errs
	}
	for _, item := range n.Items {
		r := Rule{Extra: extra, node: item}
		errs.Add(item, item.Decode(&r))
		errs = append(errs, r.validate(s.rows)...)
		if r.ID == "" {
			continue
		}
		if first := s.Rule(r.ID); first != nil {
			errs = append(errs, r.At("id").Errorf("the rule %s is given twice: first at %s", r.ID, first.At("id").Place()))
			continue
		}
		at, _ := slices.BinarySearchFunc(s.Rules, r.ID, func(r Rule, id string) int { return strings.Compare(r.ID, id) })
		s.Rules = slices.Insert(s.Rules, at, r)
	}
	return errs
}

func (s *Set) addProfile(n strictyaml.Node) strictyaml.Errors {
	var errs strictyaml.Errors
	p := Profile{node: n}
	errs.Add(n, n.Decode(&p))
	if s.Profile(p.Name) != nil {
		errs = append(errs, n.Get("name").Errorf("the profile %s is given twice", p.Name))
		return errs
	}
	s.Profiles = append(s.Profiles, p)
	return errs
}

// validateProfile finds entries that name no rule, the same rule twice, or a
// condition without effect.
func (s *Set) validateProfile(p *Profile) strictyaml.Errors {
	var errs strictyaml.Errors
	for i, e := range p.Rules {
		switch {
		case s.Rule(e.ID) == nil:
			errs = append(errs, p.At(i, "id").Errorf("there is no rule %q%s", e.ID, strictyaml.Suggest(e.ID, s.ids())))
		case p.Entry(e.ID) != &p.Rules[i]:
			errs = append(errs, p.At(i, "id").Errorf("the rule %s is listed twice", e.ID))
		case e.RequiredWhen != nil && e.Level == Required:
			errs = append(errs, p.At(i, "required_when").Errorf("%s is required anyway: the condition has no effect", e.ID))
		}
	}
	return errs
}

func (s *Set) ids() []string {
	ids := make([]string, len(s.Rules))
	for i, r := range s.Rules {
		ids[i] = r.ID
	}
	return ids
}

// FindProfile is Profile with an error that says which there are.
func (s *Set) FindProfile(name string) (*Profile, error) {
	if p := s.Profile(name); p != nil {
		return p, nil
	}
	names := make([]string, len(s.Profiles))
	for i, p := range s.Profiles {
		names[i] = p.Name
	}
	return nil, fmt.Errorf("there is no profile %q%s", name, strictyaml.Suggest(name, names))
}

// FindRule is Rule with an error that says what was meant.
func (s *Set) FindRule(id string) (*Rule, error) {
	if r := s.Rule(id); r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("there is no rule %q%s", id, strictyaml.Suggest(id, s.ids()))
}
