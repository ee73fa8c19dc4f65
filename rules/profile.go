package rules

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/strictyaml"
)

// Profile lists the rules that one system needs.
type Profile struct {
	Name  string  `yaml:"name" required:"true" doc:"What --profile and hostguard.yaml call it."`
	Title string  `yaml:"title" required:"true" doc:"What it is for."`
	Rules []Entry `yaml:"rules" required:"true" doc:"The rules, flat: a profile includes no other."`

	node strictyaml.Node
}

// Entry is one rule in a profile.
type Entry struct {
	ID     string          `yaml:"id" required:"true" doc:"The rule's id."`
	Level  Level           `yaml:"level" required:"true" doc:"required: decides about READY. advice: is only reported."`
	Params strictyaml.Node `yaml:"params" doc:"Parameters for this profile, over the rule's own."`
	// RequiredWhen turns advice into a requirement when the operator says so.
	RequiredWhen *Condition `yaml:"required_when" doc:"Makes advice required when a key of hostguard.yaml has a value."`
}

// Condition compares a key of hostguard.yaml.
type Condition struct {
	Key string `yaml:"key" required:"true" doc:"The key, such as ssh.use_pam."`
	Is  string `yaml:"is" required:"true" doc:"The value."`
}

// At returns the node of entry i, or of its key, for errors found after
// loading. Entries of rules that joined from rules.d have none.
func (p *Profile) At(i int, path ...string) strictyaml.Node {
	items := p.node.Get("rules").Items
	if i >= len(items) {
		return p.node
	}
	if n := items[i].Get(path...); n.Kind != strictyaml.Absent {
		return n
	}
	return items[i]
}

// Entry returns the profile's entry for a rule, nil when it has none.
func (p *Profile) Entry(id string) *Entry {
	if i := slices.IndexFunc(p.Rules, func(e Entry) bool { return e.ID == id }); i >= 0 {
		return &p.Rules[i]
	}
	return nil
}

// Digest names the content of a profile with all its rules: equal digests
// mean that the same was required, wherever and in whatever order and layout
// it was written. hostguard.yaml does not enter.
func (s *Set) Digest(p *Profile) string {
	sum := sha256.New()
	c := make(canonical, 0, 4<<10)
	c.words(p.Name)
	for _, e := range slices.SortedFunc(slices.Values(p.Rules), func(a, b Entry) int { return strings.Compare(a.ID, b.ID) }) {
		c.words(e.ID, e.Level.String())
		c.node(e.Params)
		var when []string
		if e.RequiredWhen != nil {
			when = []string{e.RequiredWhen.Key, e.RequiredWhen.Is}
		}
		c.words(when...)
		if r := s.Rule(e.ID); r != nil {
			c.rule(r)
		}
		sum.Write(c)
		c = c[:0]
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// canonical is text that is equal for equal content and for nothing else: every
// word and list is preceded by its length, keys are sorted, places left out.
type canonical []byte

func (c *canonical) words(words ...string) {
	*c = binary.AppendUvarint(*c, uint64(len(words)))
	for _, w := range words {
		*c = binary.AppendUvarint(*c, uint64(len(w)))
		*c = append(*c, w...)
	}
}

func (c *canonical) rule(r *Rule) {
	c.words(r.Title, r.Rationale, r.Severity.String(), r.Check, r.Remediation.Hint)
	c.words(r.Source...)
	c.words(r.Tags...)
	var refs, configured []string
	for _, ref := range r.References {
		refs = append(refs, ref.Framework, ref.ID)
	}
	for _, param := range slices.Sorted(maps.Keys(r.Configured)) {
		configured = append(configured, param, r.Configured[param])
	}
	c.words(refs...)
	c.words(configured...)
	c.node(r.Params)
}

func (c *canonical) node(n strictyaml.Node) {
	*c = append(*c, byte(n.Kind))
	*c = binary.AppendUvarint(*c, uint64(len(n.Items)))
	switch n.Kind {
	case strictyaml.List:
		for _, item := range n.Items {
			c.node(item)
		}
	case strictyaml.Map:
		keys := make([]string, 0, len(n.Items)/2)
		for i := 0; i+1 < len(n.Items); i += 2 {
			keys = append(keys, n.Items[i].Text)
		}
		slices.Sort(keys)
		for _, k := range keys {
			c.words(k)
			c.node(n.Get(k))
		}
	default:
		c.words(n.Text)
	}
}
