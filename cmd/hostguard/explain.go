package main

import (
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/checks/all"
	"github.com/hostguard/hostguard/checks/attestation"
	"github.com/hostguard/hostguard/internal/attested"
	"github.com/hostguard/hostguard/internal/printable"
	"github.com/hostguard/hostguard/internal/strictyaml"
	"github.com/hostguard/hostguard/remediate"
	mending "github.com/hostguard/hostguard/remediate/all"
	"github.com/hostguard/hostguard/rules"
)

func explainCommand() *cobra.Command {
	var src sources
	cmd := &cobra.Command{
		Use:   "explain RULE|CHECK|REQUIREMENT",
		Short: "Explain a rule, a check or a requirement",
		Long: `Explains a rule (CLK-001): why it matters, which requirement it answers, what is
looked at and what cannot be seen, the parameters in force and where they come
from, and how to mend what it finds. Also a check (clock-sync) or a requirement
of a source document (TC-01).`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := load(src)
			if err != nil {
				return err
			}
			p := page{w: cmd.OutOrStdout()}
			known := checksByName(all.Families)
			switch name := args[0]; {
			case a.Rules.Rule(name) != nil:
				p.rule(a, a.Rules.Rule(name), known)
			case known[name] != nil:
				p.check(a, known[name])
			case a.Rules.Requirement(name) != nil:
				p.requirement(a, a.Rules.Requirement(name))
			default:
				names := slices.Collect(maps.Keys(known))
				for _, r := range a.Rules.Rules {
					names = append(names, r.ID)
				}
				return fmt.Errorf("there is no rule, check or requirement %q%s", name, strictyaml.Suggest(name, names))
			}
			return p.err
		},
	}
	sourceFlags(cmd, &src)
	return cmd
}

// whatFixDoes says what `hostguard fix` would do about a failing check.
func whatFixDoes(check string) string {
	if r, found := mending.For(check); found {
		return fmt.Sprintf("%s %s %s", r.Does, r.WillNot, riskWords[r.Risk])
	}
	return "Nothing: mend it by hand, as said above."
}

// riskWords say what a repair of a risk can disturb.
var riskWords = map[remediate.Risk]string{
	remediate.Safe:       "Risk: safe, it disturbs nothing that runs.",
	remediate.Disruptive: "Risk: disruptive, it stops or restarts something.",
	remediate.Access:     "Risk: access, it can change who gets in.",
}

const pageWidth = 88

// page writes headings and indented paragraphs, and keeps the first error.
type page struct {
	w   io.Writer
	err error
}

func (p *page) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *page) heading(text string) { p.line("\n%s", text) }

// paragraphs writes text that people wrote, wrapped, line breaks kept.
func (p *page) paragraphs(indent int, text string) {
	for paragraph := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		for _, l := range wrapped(printable.Text(paragraph), pageWidth-indent) {
			p.line("%*s%s", indent, "", l)
		}
	}
}

// wrapped breaks text at spaces into lines of at most width letters, where its
// words are no longer than that. Leading spaces stay.
func wrapped(text string, width int) []string {
	var lines []string
	body := strings.TrimLeft(text, " ")
	line := text[:len(text)-len(body)]
	for i, word := range strings.Fields(body) {
		switch {
		case i == 0:
			line += word
		case len([]rune(line))+1+len([]rune(word)) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

func (p *page) rule(a *audit, r *rules.Rule, known map[string]*checks.Check) {
	i := slices.IndexFunc(a.Bound, func(b bound) bool { return b.Rule.ID == r.ID })
	level, b := "not in", bound{Rule: r, Check: known[r.Check]}
	if i >= 0 {
		b = a.Bound[i]
		level = b.Level.String() + " in"
	}
	p.line("%s  %s", r.ID, printable.Text(r.Title))
	p.line("%s the profile %s, severity %s, tags %s", level, printable.Text(a.Profile.Name), r.Severity, printable.Text(strings.Join(r.Tags, ", ")))
	if when := a.Profile.Entry(r.ID); when != nil && when.RequiredWhen != nil {
		p.line("required when %s in hostguard.yaml is %q", when.RequiredWhen.Key, when.RequiredWhen.Is)
	}

	p.heading("Why it matters")
	p.paragraphs(2, r.Rationale)
	p.heading("The requirement")
	for _, id := range r.Source {
		p.source(a.Rules, id)
	}
	p.looks(b.Check)
	if i >= 0 && b.Params != nil {
		p.heading("Parameters in force")
		p.params(b)
	}
	if asked, ok := b.Params.(attestation.Params); ok {
		p.heading("Who vouches for it")
		p.vouches(asked.Given())
	}
	p.heading("How to mend it by hand")
	p.paragraphs(2, r.Remediation.Hint)
	p.heading("What hostguard fix would do")
	p.paragraphs(2, whatFixDoes(r.Check))
	if len(r.References) > 0 {
		p.heading("References")
		for _, ref := range r.References {
			p.paragraphs(2, ref.Framework+": "+ref.ID)
		}
	}
	p.heading("Defined at")
	p.paragraphs(2, r.At().Place())
}

// vouches writes the attestation that the configuration gives.
func (p *page) vouches(a *attested.Attestation) {
	if a == nil {
		p.paragraphs(2, "Nobody: the configuration has no attestation for it.")
		return
	}
	p.paragraphs(2, fmt.Sprintf("%s, on %v, until the end of %v (%s):", a.Owner, a.Date, a.Expires, a.At("rule").Place()))
	p.paragraphs(4, a.Note)
}

func (p *page) source(set *rules.Set, id string) {
	if row := set.Requirement(id); row != nil {
		p.paragraphs(2, id+": "+sentence(row.Text))
		return
	}
	p.paragraphs(2, id)
}

// sentence gives a row's text its capital and full stop.
func sentence(text string) string {
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}

func (p *page) looks(c *checks.Check) {
	p.heading("What is looked at (check " + c.Name + ")")
	p.paragraphs(2, c.Looks)
	p.heading("What cannot be seen")
	p.paragraphs(2, c.Blind)
	if c.Needs != 0 {
		p.heading("What it needs")
		p.paragraphs(2, sentence(c.Needs.String()))
	}
}

// params writes each parameter with its value, what it means, and where the
// value comes from.
func (p *page) params(b bound) {
	values := reflect.ValueOf(b.Params)
	for _, f := range paramsOf(b.Check) {
		from := "the check's default"
		for _, l := range b.Layers {
			if n := l.Node.Get(f.Name); n.Kind != strictyaml.Absent {
				from = l.Name + ", " + n.Place()
			}
		}
		p.paragraphs(2, f.Name+": "+formatValue(values.FieldByIndex(f.Index)))
		p.paragraphs(6, f.Doc)
		p.paragraphs(6, "From "+from+".")
		if key := b.Rule.Configured[f.Name]; key != "" {
			p.paragraphs(6, "The key "+key+" of hostguard.yaml sets it.")
		}
	}
}

// formatValue writes a parameter as it would be written in YAML, on one line.
func formatValue(v reflect.Value) string { return flow(strictyaml.Plain(v.Interface())) }

func flow(plain any) string {
	switch v := plain.(type) {
	case nil:
		return "none"
	case string:
		return yamlWord(v)
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = flow(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case map[string]any:
		var items []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			items = append(items, yamlWord(k)+": "+flow(v[k]))
		}
		return "{" + strings.Join(items, ", ") + "}"
	}
	return fmt.Sprint(plain)
}

func (p *page) check(a *audit, c *checks.Check) {
	p.line("%s  (a check: one way of looking)", c.Name)
	p.looks(c)
	if c.Defaults != nil {
		p.heading("Parameters, with their defaults")
		p.params(bound{Rule: &rules.Rule{}, Check: c, Params: c.Defaults})
	}
	p.heading("Rules that use it")
	for _, r := range a.Rules.Rules {
		if r.Check == c.Name {
			p.paragraphs(2, r.ID+"  "+r.Title)
		}
	}
}

func (p *page) requirement(a *audit, row *rules.Requirement) {
	p.line("%s  (a requirement)", row.ID)
	p.heading("What it demands")
	p.paragraphs(2, sentence(row.Text))
	p.heading("How it is answered")
	p.paragraphs(2, sentence(howWords(row.How)))
	p.heading("Rules that answer it")
	answers := a.Rules.Answering(row.ID)
	for _, id := range answers {
		p.paragraphs(2, id+"  "+a.Rules.Rule(id).Title)
	}
	if len(answers) == 0 {
		p.paragraphs(2, "None yet: the requirement is open.")
	}
}

// howWords spells out a requirement's how: M, A and F.
func howWords(how string) string {
	var words []string
	for _, code := range strings.Fields(how) {
		kind, limit, limited := strings.Cut(strings.TrimSuffix(code, ")"), "(")
		word := map[string]string{"M": "by machine", "A": "by attestation", "F": "can be mended by fix"}[kind]
		if limited {
			word += " (" + limit + ")"
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}
