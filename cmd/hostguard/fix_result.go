package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/printable"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/transaction"
	"github.com/hostguard/hostguard/reports"
)

// fixSchemaVersion is the version of fixResult's JSON.
const fixSchemaVersion = "1.0"

// fixResult is what came of a run of fix.
type fixResult struct {
	SchemaVersion string          `json:"schema_version"`
	Tool          reports.Tool    `json:"tool"`
	Outcome       string          `json:"outcome"` // see outcomes
	Transaction   string          `json:"transaction,omitempty"`
	Recovered     []recovered     `json:"recovered"` // interrupted runs that were taken back first
	Damaged       []shownDamaged  `json:"damaged"`   // journals of old transactions that cannot be used
	Steps         []shownStep     `json:"steps"`
	Then          []string        `json:"then"`    // activations
	Pending       []shownPending  `json:"pending"` // before the rules pass
	Person        []shownTask     `json:"person"`  // what a person must do
	Error         string          `json:"error,omitempty"`
	Causes        []shownCause    `json:"causes,omitempty"`     // the same, one by one
	FailedFor     []string        `json:"failed_for,omitempty"` // the rules for whose sake was tried what failed
	Conflicts     []shownConflict `json:"conflicts"`            // what was left as somebody else made it, or could not be taken back
	ExitCode      int             `json:"exit_code"`
	Before        *reports.Report `json:"before"`
	After         *reports.Report `json:"after"`

	plan   *remediate.Plan
	failed error
}

// Outcomes of a run.
const (
	nothingToDo = "nothing to do"
	applied     = "applied"
	refused     = "refused"     // nothing was begun
	rolledBack  = "rolled back" // it failed
	stuck       = "stuck"       // it failed, and not all could be taken back
)

type recovered struct {
	Transaction string          `json:"transaction"`
	Conflicts   []shownConflict `json:"conflicts"`
}

type shownDamaged struct {
	Transaction string            `json:"transaction"`
	State       transaction.State `json:"state"` // by the last line of its log
	Why         string            `json:"why"`   // with what to do
}

type shownStep struct {
	Kind   string         `json:"kind"`
	Target string         `json:"target"`
	Rules  []string       `json:"rules"`
	Risk   remediate.Risk `json:"risk"`
	Change string         `json:"change"` // a unified diff, or a line
}

type shownPending struct {
	Rules []string       `json:"rules"`
	Needs remediate.Need `json:"needs"`
	Why   string         `json:"why"`
}

type shownTask struct {
	Rules []string `json:"rules"`
	Does  string   `json:"does"`
}

type shownCause struct {
	Rules []string `json:"rules"`
	Why   string   `json:"why"`
}

type shownConflict struct {
	Kind   string `json:"kind"` // of the step, or "action": Target is "reload chrony.service"
	Target string `json:"target"`
	Why    string `json:"why"`
	Diff   string `json:"diff,omitempty"` // from what fix made to what is there
}

func recoveredJSON(list []transaction.Recovered) []recovered {
	out := []recovered{}
	for _, r := range list {
		out = append(out, recovered{r.ID, conflictsJSON(r.Conflicts)})
	}
	return out
}

func damagedJSON(list []transaction.Damaged) []shownDamaged {
	out := []shownDamaged{}
	for _, d := range list {
		out = append(out, shownDamaged{d.ID, d.State, printable.Text(d.Error())})
	}
	return out
}

func conflictsJSON(list []transaction.Conflict) []shownConflict {
	out := []shownConflict{}
	for _, c := range list {
		out = append(out, shownConflict{c.Kind, printable.Text(c.Target), printable.Text(c.Why), printableLines(c.Diff)})
	}
	return out
}

// ended takes in how the transaction ended.
func (r *fixResult) ended(done transaction.Done, err error) {
	r.Transaction = done.ID
	r.failed = err
	r.Outcome = applied
	var refusal *transaction.RefusedError
	var failure *transaction.FailedError
	switch {
	case errors.As(err, &refusal):
		r.Outcome = refused
	case errors.As(err, &failure):
		r.Outcome = rolledBack
		r.Conflicts = conflictsJSON(failure.Conflicts)
		if failure.Back != nil {
			r.Outcome = stuck
		}
	default:
		r.Conflicts = conflictsJSON(done.Kept)
	}
}

// decide fills in what is shown, and the exit code.
func (r *fixResult) decide() {
	if r.Outcome == "" {
		r.Outcome = nothingToDo
	}
	if r.failed != nil {
		r.Error = printableLines(r.failed.Error())
		r.FailedFor = transaction.RulesOf(r.failed)
		for _, c := range transaction.Causes(r.failed) {
			r.Causes = append(r.Causes, shownCause{ruleList(c.Rules), printable.Text(strings.ReplaceAll(c.Why, "\n", "; "))})
		}
	}
	if r.Conflicts == nil {
		r.Conflicts = []shownConflict{}
	}
	if r.Recovered == nil {
		r.Recovered, r.Damaged = []recovered{}, []shownDamaged{}
	}
	r.Steps, r.Then, r.Pending, r.Person = shownPlan(r.plan)
	if r.Outcome == applied {
		r.Person = slices.DeleteFunc(r.Person, r.passes)
	}
	switch {
	case r.Outcome == refused, r.Outcome == rolledBack, r.Outcome == stuck:
		r.ExitCode = exitFailed
	case len(r.Pending) > 0:
		r.ExitCode = exitPending
	case r.After.ExitCode != exitOK || len(r.Conflicts) > 0 || slices.ContainsFunc(r.Recovered, func(x recovered) bool { return len(x.Conflicts) > 0 }):
		r.ExitCode = exitLeft
	}
}

// passes reports whether all rules of a task pass after all: what was done for
// others has mended them, too.
func (r *fixResult) passes(task shownTask) bool {
	return len(task.Rules) > 0 && !slices.ContainsFunc(task.Rules, func(rule string) bool {
		return !slices.ContainsFunc(r.After.Findings, func(f reports.Finding) bool { return f.Rule == rule && f.Status == checks.Pass })
	})
}

// write renders the result in a format of reports.
func (r *fixResult) write(w io.Writer, format string, options reports.Options) error {
	switch format {
	case "json":
		return writeJSON(w, r)
	case "text":
		return r.text(w)
	}
	return fmt.Errorf("fix has no format %q: want text or json", format)
}

func (r *fixResult) text(w io.Writer) error {
	p := &page{w: w}
	for _, x := range r.Recovered {
		p.line("An interrupted run was taken back first: %s", x.Transaction)
		p.conflicts(x.Conflicts)
	}
	p.damaged(r.Damaged)
	switch r.Outcome {
	case nothingToDo:
		p.line("Nothing to change.")
	case applied:
		p.line("Done: %s, as transaction %s (hostguard undo takes it back).", countOf(len(r.Steps), "step"), r.Transaction)
		for _, s := range r.Steps {
			p.line("  %s %s%s", s.Kind, s.Target, forRules(s.Rules))
		}
		if r.Error != "" {
			p.line("%s", r.Error)
		}
	default:
		p.failed(r)
	}
	p.conflicts(r.Conflicts)
	p.left(r.Pending, r.Person)
	p.line("")
	p.line("%s: %s", r.After.Verdict, r.After.Why)
	return p.err
}

func (p *page) damaged(list []shownDamaged) {
	for _, d := range list {
		p.line("Damaged: %s", d.Why)
	}
}

// failed says what failed, a line for each thing, then what became of the rest,
// then what to do.
func (p *page) failed(r *fixResult) {
	if r.Outcome == refused {
		p.line("REFUSED: nothing was changed.")
	} else {
		p.line("FAILED: transaction %s.", r.Transaction)
	}
	for _, c := range r.Causes {
		p.line("  %s", strings.TrimSpace(strings.Join(c.Rules, " ")+"  "+c.Why))
	}
	var failure *transaction.FailedError
	if errors.As(r.failed, &failure) {
		left := printableLines(failure.Left())
		p.line("%s.", strings.ToUpper(left[:1])+left[1:])
	}
	if len(r.FailedFor) > 0 {
		rules := strings.Join(r.FailedFor, ",")
		p.line("To see what is planned for it: hostguard plan --only %s", rules)
		if slices.ContainsFunc(r.Steps, func(s shownStep) bool {
			return slices.ContainsFunc(s.Rules, func(rule string) bool { return !slices.Contains(r.FailedFor, rule) })
		}) {
			p.line("To do the rest without it, add to the command: --skip %s", rules)
		}
	}
}

func (p *page) conflicts(list []shownConflict) {
	for _, c := range list {
		if c.Kind == transaction.ActionKind {
			p.line("Not done, mend it and do it by hand: %s: %s", c.Target, c.Why)
			continue
		}
		p.line("Left as it is: %s: %s", c.Target, c.Why)
		for line := range strings.Lines(c.Diff) {
			p.line("    %s", strings.TrimSuffix(line, "\n"))
		}
	}
}

// left tells what is not done by fix.
func (p *page) left(pending []shownPending, person []shownTask) {
	for _, x := range pending {
		p.line("Needs a %s: %s%s", x.Needs, x.Why, forRules(x.Rules))
	}
	if len(person) > 0 {
		p.line("")
		p.line("For a person:")
	}
	for _, x := range person {
		p.line("  %s", strings.TrimSpace(strings.Join(x.Rules, " ")+"  "+x.Does))
	}
}

// forRules names the rules at the end of a line.
func forRules(rules []string) string {
	if len(rules) == 0 {
		return ""
	}
	return "  [" + strings.Join(rules, " ") + "]"
}

func countOf(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// printableLines is printable.Text line by line.
func printableLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		plain, ended := strings.CutSuffix(line, "\n")
		b.WriteString(printable.Text(plain))
		if ended {
			b.WriteByte('\n')
		}
	}
	return b.String()
}
