package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hostguard/hostguard/internal/atomicfile"
	"github.com/hostguard/hostguard/internal/printable"
	"github.com/hostguard/hostguard/internal/trustedfile"
	"github.com/hostguard/hostguard/remediate"
	mending "github.com/hostguard/hostguard/remediate/all"
)

func planCommand() *cobra.Command {
	var o fixOptions
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show, as a diff, what fix would do",
		Long: `Audits this host and shows what "hostguard fix" would do about the required
rules that fail: a unified diff for each file, a line for each other thing, the
rules that each serves and what it disturbs, and what is left to a person. It
writes nothing but the file that -o names.

A saved plan is an approval: "hostguard fix --plan FILE" plans anew, and goes on
only when that gives the very same steps. It holds the content of the files that
would change.

Exit codes: 0 there is nothing to do; 1 there is; 2 the flags, rules or
configuration are wrong; 3 it cannot be planned.`,
		Example: `  sudo hostguard plan
  sudo hostguard plan --only audit -o plan.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return plan(cmd, o) },
	}
	planFlags(cmd, &o)
	cmd.Flags().StringVarP(&o.planTo, "output", "o", "", "save the plan to this `file`, for fix --plan")
	return cmd
}

func plan(cmd *cobra.Command, o fixOptions) error {
	m, err := newMender(cmd, o)
	if err != nil {
		return err
	}
	_, findings := m.look(cmd.Context(), m.selected)
	if cmd.Context().Err() != nil {
		return exitError{exitIncomplete, context.Cause(cmd.Context())}
	}
	made, err := m.plan(cmd.Context(), findings)
	if err != nil {
		return exitError{exitIncomplete, err}
	}
	if o.planTo != "" {
		if err := savePlan(o.planTo, made); err != nil {
			return exitError{exitIncomplete, err}
		}
	}
	p := &page{w: cmd.OutOrStdout()}
	p.plan(made)
	if p.err != nil {
		return exitError{exitIncomplete, p.err}
	}
	if made.Empty() && len(made.Pending)+len(made.Person) == 0 {
		return nil
	}
	return exitError{code: exitFindings}
}

func savePlan(name string, made *remediate.Plan) error {
	f, err := atomicfile.Create(name, 0o600)
	if err != nil {
		return err
	}
	defer f.Abort()
	if err := made.Write(f); err != nil {
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	return f.Commit()
}

// readPlan reads a saved plan; nil without a name. Root acts on it, so nobody
// else may have written it.
func readPlan(name string) (*remediate.Plan, error) {
	if name == "" {
		return nil, nil
	}
	data, err := trustedfile.Read(name, remediate.MaxPlan)
	if err != nil {
		return nil, fmt.Errorf("cannot use --plan: %w", err)
	}
	p, err := remediate.ReadPlan(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("cannot use --plan %s: %w", name, err)
	}
	return p, nil
}

// shownPlan makes a plan ready to be shown.
func shownPlan(p *remediate.Plan) (steps []shownStep, then []string, pending []shownPending, person []shownTask) {
	steps, then, pending, person = []shownStep{}, []string{}, []shownPending{}, []shownTask{}
	for _, s := range p.Steps {
		steps = append(steps, shownStep{s.Kind, printable.Text(s.Target), s.Rules, s.Risk, printableLines(show(s))})
	}
	for _, a := range p.Activations {
		then = append(then, printable.Text(a.String()))
	}
	for _, x := range p.Pending {
		pending = append(pending, shownPending{ruleList(x.Rules), x.Needs, printable.Text(x.Why)})
	}
	for _, x := range p.Person {
		person = append(person, shownTask{ruleList(x.Rules), printable.Text(x.Does)})
	}
	return steps, then, pending, person
}

func ruleList(rules []string) []string {
	if rules == nil {
		return []string{}
	}
	return rules
}

// show tells of a step as its kind does.
func show(s remediate.Step) string {
	for _, k := range mending.Kinds {
		if k.Name == s.Kind {
			return k.Show(s.Target, s.Before, s.After)
		}
	}
	return s.Kind + " " + s.Target
}

func (p *page) plan(made *remediate.Plan) {
	steps, then, pending, person := shownPlan(made)
	where := "this host"
	if made.Root != "/" {
		where = "the file tree " + printable.Text(made.Root) + ", whose units and kernel are left to its boot"
	}
	if made.Empty() {
		p.line("Nothing to change on %s.", where)
	} else {
		p.line("%s on %s, %s.", countOf(len(steps), "step"), where, made.Risk())
	}
	for _, s := range steps {
		p.line("")
		p.line("# %s  [%s]", strings.Join(s.Rules, " "), s.Risk)
		for line := range strings.Lines(s.Change) {
			p.line("%s", strings.TrimSuffix(line, "\n"))
		}
	}
	if len(then) > 0 {
		p.line("")
		p.line("Then: %s", strings.Join(then, ", "))
	}
	if len(pending) > 0 {
		p.line("")
	}
	p.left(pending, person)
}
