package rules

import (
	"slices"

	"github.com/hostguard/hostguard/internal/lazyregexp"
	"github.com/hostguard/hostguard/internal/strictyaml"
)

// Section is the requirements of one source document.
type Section struct {
	Title    string        `yaml:"title" required:"true"`
	Profiles []string      `yaml:"profiles" required:"true"` // the profiles that answer it
	Rows     []Requirement `yaml:"rows" required:"true"`
}

// Requirement is one row: what a source document demands, in our own words.
type Requirement struct {
	ID  string `yaml:"id" required:"true"`
	How string `yaml:"how" required:"true"` // M by machine, A by attestation, F also by fix
	// Text is the demand, a sentence without its capital and full stop.
	Text string `yaml:"requirement" required:"true"`
}

var howForm = lazyregexp.New(`^(M|A|M A)( F(\([a-z]+\))?)?$`)

// Requirement returns a row by its id, nil when there is none.
func (s *Set) Requirement(id string) *Requirement { return s.rows[id] }

func (s *Set) indexRows() {
	s.rows = map[string]*Requirement{}
	for i := range s.Requirements {
		for j := range s.Requirements[i].Rows {
			row := &s.Requirements[i].Rows[j]
			s.rows[row.ID] = row
		}
	}
}

func (s *Set) addRequirements(n strictyaml.Node) strictyaml.Errors {
	var errs strictyaml.Errors
	errs.Add(n, n.Decode(&s.Requirements))
	s.indexRows()
	for i, section := range s.Requirements {
		for j := range section.Rows {
			row, at := &s.Requirements[i].Rows[j], n.Items[i].Get("rows").Items[j]
			switch {
			case !sourceForm().MatchString(row.ID):
				errs = append(errs, at.Errorf("the id %q has not the form TC-01", row.ID))
			case s.rows[row.ID] != row:
				errs = append(errs, at.Errorf("the requirement %s is given twice", row.ID))
			case !howForm().MatchString(row.How):
				errs = append(errs, at.Get("how").Errorf("want M, A or M A, and perhaps F, got %q", row.How))
			}
		}
	}
	return errs
}

// Answering returns the ids of the rules that answer a row, in order.
func (s *Set) Answering(id string) []string {
	answers := []string{}
	for _, r := range s.Rules {
		if slices.Contains(r.Source, id) {
			answers = append(answers, r.ID)
		}
	}
	return answers
}

// Open returns the ids of the rows of a profile's documents that no rule of
// the profile answers: a host can be READY whatever they are like.
func (s *Set) Open(p *Profile) []string {
	open := []string{}
	for _, section := range s.Requirements {
		if !slices.Contains(section.Profiles, p.Name) {
			continue
		}
		for _, row := range section.Rows {
			if !slices.ContainsFunc(s.Answering(row.ID), func(rule string) bool { return p.Entry(rule) != nil }) {
				open = append(open, row.ID)
			}
		}
	}
	return open
}
