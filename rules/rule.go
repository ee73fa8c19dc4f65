// Package rules holds the requirements as data: what must hold on a host, why,
// and which check looks at it with which parameters. Profiles list the rules
// of one system. The package knows nothing of how checks look; cmd/hostguard
// binds the two.
package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/lazyregexp"
	"github.com/hostguard/hostguard/internal/strictyaml"
)

// Rule is one requirement.
type Rule struct {
	ID          string            `yaml:"id" required:"true" doc:"Family and number, such as CLK-001; it never changes its meaning."`
	Title       string            `yaml:"title" required:"true" doc:"The requirement stated as a fact, at most 72 characters."`
	Rationale   string            `yaml:"rationale" required:"true" doc:"Why it matters on a host that carries a connector."`
	Source      []string          `yaml:"source" required:"true" doc:"The rows of requirements.yaml that it answers; rules of your own may name a document of your own."`
	Severity    Severity          `yaml:"severity" required:"true" doc:"How bad it is when the rule fails."`
	Tags        []string          `yaml:"tags" required:"true" doc:"Words to select rules by (--only, --skip)."`
	References  []Reference       `yaml:"references" doc:"Where else the requirement is written down."`
	Check       string            `yaml:"check" required:"true" doc:"The name of the check that looks (hostguard list checks)."`
	Params      strictyaml.Node   `yaml:"params" doc:"Parameters of the check; hostguard explain CHECK lists them."`
	Configured  map[string]string `yaml:"configured" doc:"Parameter: the key of hostguard.yaml that overrides it when given."`
	Remediation Remediation       `yaml:"remediation" required:"true" doc:"What to do when the rule fails."`

	// Level is for rules of your own: it says how the rule joins the profile.
	// The level of the embedded rules is the profile's to say.
	Level Level `yaml:"level" doc:"Only in rules.d: required (the default) or advice."`

	Extra bool            // read from rules.d or --rules, not embedded
	node  strictyaml.Node // the rule as written, for errors that come later
}

// Reference is a place in another document.
type Reference struct {
	Framework string `yaml:"framework" required:"true" doc:"The document: CIS Debian 12, man, NIST SP 800-53 …" json:"framework"`
	ID        string `yaml:"id" required:"true" doc:"The place in it: 5.1.4, sshd_config(5) …" json:"id"`
}

// Remediation says how to mend what the rule found.
type Remediation struct {
	Hint string `yaml:"hint" required:"true" doc:"How to mend it by hand: commands or lines, and the pitfall."`
}

// At returns the node of one of the rule's keys, or of the rule where it has
// no such key, for errors that are found after loading.
func (r *Rule) At(path ...string) strictyaml.Node {
	if n := r.node.Get(path...); n.Kind != strictyaml.Absent {
		return n
	}
	return r.node
}

// Severity is how bad a failing rule is. The zero value is invalid.
type Severity uint8

// The severities, in rising order.
const (
	_ Severity = iota
	Low
	Medium
	High
	Critical
)

// SeverityNames are the severities as written, in rising order.
var SeverityNames = []string{"low", "medium", "high", "critical"}

func (s Severity) String() string { return name("Severity", SeverityNames, uint8(s)) }

// MarshalText writes the name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name.
func (s *Severity) UnmarshalText(text []byte) error {
	return parseName((*uint8)(s), SeverityNames, string(text))
}

// Level says whether a rule decides about READY. The zero value is invalid.
type Level uint8

// The levels.
const (
	_ Level = iota
	Advice
	Required
)

// LevelNames are the levels as written.
var LevelNames = []string{"advice", "required"}

func (l Level) String() string { return name("Level", LevelNames, uint8(l)) }

// MarshalText writes the name.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads a name.
func (l *Level) UnmarshalText(text []byte) error {
	return parseName((*uint8)(l), LevelNames, string(text))
}

func name(kind string, names []string, value uint8) string {
	if value == 0 || int(value) > len(names) {
		return fmt.Sprintf("%s(%d)", kind, value)
	}
	return names[value-1]
}

func parseName(into *uint8, names []string, text string) error {
	i := slices.Index(names, text)
	if i < 0 {
		return fmt.Errorf("want %s, got %q", strings.Join(names, ", "), text)
	}
	*into = uint8(i + 1)
	return nil
}

var (
	idForm     = lazyregexp.New(`^[A-Z]{2,4}-[0-9]{3}$`)
	tagForm    = lazyregexp.New(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	sourceForm = lazyregexp.New(`^[A-Z]{2}-[0-9]{2}$`) // a row of requirements.yaml
)

const maxTitle = 72

// validate finds what the types cannot say.
func (r *Rule) validate(rows map[string]*Requirement) strictyaml.Errors {
	var errs strictyaml.Errors
	wrong := func(key, format string, args ...any) { errs = append(errs, r.At(key).Errorf(format, args...)) }

	if r.has("id") && !idForm().MatchString(r.ID) {
		wrong("id", "the id %q has not the form CLK-001: two to four capitals, a dash, three digits", r.ID)
	}
	for key, text := range map[string]string{"title": r.Title, "rationale": r.Rationale, "check": r.Check} {
		if r.has(key) && strings.TrimSpace(text) == "" {
			wrong(key, "%s is empty", key)
		}
	}
	if n := len([]rune(r.Title)); n > maxTitle {
		wrong("title", "the title has %d characters: at most %d fit a report's line", n, maxTitle)
	}
	if strings.ContainsAny(r.Title, "\n\r") {
		wrong("title", "the title must be a single line")
	}
	errs = append(errs, r.validateWords("source", r.Source, func(word string) error { return r.validSource(word, rows) })...)
	errs = append(errs, r.validateWords("tags", r.Tags, func(word string) error {
		if !tagForm().MatchString(word) {
			return fmt.Errorf("the tag %q is not lower-case letters, digits and single dashes", word)
		}
		return nil
	})...)
	if r.Level != 0 && !r.Extra {
		wrong("level", "the level of an embedded rule is said by its profile")
	}
	if r.Remediation.Hint != "" && strings.TrimSpace(r.Remediation.Hint) == "" {
		errs = append(errs, r.At("remediation", "hint").Errorf("hint is empty"))
	}
	return errs
}

func (r *Rule) has(key string) bool { return r.node.Get(key).Kind != strictyaml.Absent }

// validateWords finds an empty list, empty and doubled words, and what valid
// says of each.
func (r *Rule) validateWords(key string, words []string, valid func(string) error) strictyaml.Errors {
	var errs strictyaml.Errors
	if r.node.Get(key).Kind == strictyaml.List && len(words) == 0 {
		errs = append(errs, r.At(key).Errorf("%s is empty", key))
	}
	items := r.node.Get(key).Items
	for i, word := range words {
		err := valid(word)
		if slices.Index(words, word) < i {
			err = fmt.Errorf("%q is given twice", word)
		}
		errs.Add(items[i], err)
	}
	return errs
}

func (r *Rule) validSource(word string, rows map[string]*Requirement) error {
	switch {
	case strings.TrimSpace(word) == "":
		return errors.New("source is empty")
	case rows[word] != nil:
		return nil
	case !r.Extra || sourceForm().MatchString(word):
		return fmt.Errorf("there is no requirement %q (hostguard list requirements)", word)
	}
	return nil
}
