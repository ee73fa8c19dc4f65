package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
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
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", p.Name)
	for _, e := range slices.SortedFunc(slices.Values(p.Rules), func(a, b Entry) int { return strings.Compare(a.ID, b.ID) }) {
		fmt.Fprintf(h, "%q %v ", e.ID, e.Level)
		canonical(h, e.Params)
		if e.RequiredWhen != nil {
			fmt.Fprintf(h, " %q", []string{e.RequiredWhen.Key, e.RequiredWhen.Is})
		}
		if r := s.Rule(e.ID); r != nil {
			fmt.Fprintf(h, " %q %q %q %v %q %q %q %q ", r.Title, r.Rationale, r.Source, r.Severity, r.Tags, r.References, r.Check, r.Remediation.Hint)
			canonical(h, r.Params)
			for _, k := range slices.Sorted(maps.Keys(r.Configured)) {
				fmt.Fprintf(h, " %q", []string{k, r.Configured[k]})
			}
		}
		fmt.Fprintln(h)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// canonical writes a node so that equal content is equal text: keys sorted,
// no places.
func canonical(w io.Writer, n strictyaml.Node) {
	switch n.Kind {
	case strictyaml.List:
		io.WriteString(w, "[")
		for _, item := range n.Items {
			canonical(w, item)
			io.WriteString(w, ",")
		}
		io.WriteString(w, "]")
	case strictyaml.Map:
		keys := make([]string, 0, len(n.Items)/2)
		for i := 0; i+1 < len(n.Items); i += 2 {
			keys = append(keys, n.Items[i].Text)
		}
		slices.Sort(keys)
		io.WriteString(w, "{")
		for _, k := range keys {
			fmt.Fprintf(w, "%q:", k)
			canonical(w, n.Get(k))
			io.WriteString(w, ",")
		}
		io.WriteString(w, "}")
	default:
		fmt.Fprintf(w, "%d%q", n.Kind, n.Text)
	}
}
