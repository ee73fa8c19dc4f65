package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/printable"
	"github.com/hostguard/hostguard/remediate"
	mending "github.com/hostguard/hostguard/remediate/all"
	"github.com/hostguard/hostguard/remediate/flock"
	"github.com/hostguard/hostguard/remediate/transaction"
	"github.com/hostguard/hostguard/reports"
	"github.com/hostguard/hostguard/rules"
)

// Exit codes of fix, besides exitOK and exitUsage.
const (
	exitLeft    = 1 // what is left needs a person
	exitFailed  = 3 // it failed, and was rolled back
	exitPending = 4 // applied; a restart or reboot is needed
)

// fixOptions are the flags of plan and fix.
type fixOptions struct {
	checkOptions
	advice  bool
	dryRun  bool
	saved   string // --plan
	planTo  string // plan's -o
	okCodes []int
}

func fixCommand() *cobra.Command {
	var o fixOptions
	cmd := &cobra.Command{
		Use:   "fix",
		Short: "Mend what fails, as one transaction that can be undone",
		Long: `Audits this host, plans what mends the required rules that fail, and does it:
all of it or nothing. The plan is what "hostguard plan" shows. It asks nothing.

Everything it replaces is kept in a journal below /var/lib/hostguard/tx before
the first change; "hostguard undo" brings it back. After the last change the
rules that it served are looked at again: when one does not pass, all is taken
back, unless a reboot or a restart is what it waits for. A run that is killed is
taken back by the next one, or by "hostguard recover". What an administrator
changes meanwhile is never overwritten.

It removes no packages, and it does not touch who may log in.

Exit codes: 0 the rules pass; 1 what is left needs a person; 2 the flags, rules,
configuration or the plan are wrong, and nothing was done; 3 it failed, or could
not begin, and the host is as it was; 4 done, and a reboot or restart is needed
before the rules pass; 75 another run is at work.`,
		Example: `  sudo hostguard fix --dry-run
  sudo hostguard fix --only audit
  sudo hostguard plan -o plan.json && sudo hostguard fix --plan plan.json
  sudo hostguard fix --ok-codes 1,4 -o json=fix.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := fix(cmd, o)
			var exit exitError
			if errors.As(err, &exit) && slices.Contains(o.okCodes, exit.code) {
				return exitError{code: exitOK, err: exit.err}
			}
			return err
		},
	}
	f := cmd.Flags()
	planFlags(cmd, &o)
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would be done, as hostguard plan does")
	f.StringVar(&o.saved, "plan", "", "do what this `file` says, which hostguard plan -o wrote; refused when the host has moved since")
	f.IntSliceVar(&o.okCodes, "ok-codes", nil, "exit `codes` that end with 0 instead, such as 1,4")
	f.StringVar(&o.format, "format", "text", "`format` of the standard output: json or text")
	f.StringArrayVarP(&o.outputs, "output", "o", nil, "write the result to a file: `FORMAT=FILE`, - is the standard output (repeatable; replaces the standard output)")
	cmd.MarkFlagsMutuallyExclusive("dry-run", "plan")
	cmd.MarkFlagsMutuallyExclusive("format", "output")
	return cmd
}

// planFlags are the flags that plan and fix share.
func planFlags(cmd *cobra.Command, o *fixOptions) {
	f := cmd.Flags()
	sourceFlags(cmd, &o.sources)
	f.StringSliceVar(&o.connectors, "connector", nil, "the connector's compose project `folder` (repeatable; default: the configuration's, else discovered from docker)")
	f.StringVar(&o.root, "root", "/", "mend the file tree of a mounted image: its files only, the rest is left to its boot")
	f.StringSliceVar(&o.only, "only", nil, "mend only rules with these `ids or tags`")
	f.StringSliceVar(&o.skip, "skip", nil, "leave out rules with these `ids or tags`")
	f.BoolVar(&o.advice, "advice", false, "mend rules that are advice, too (those that --only names are mended in any case)")
	f.DurationVar(&o.timeout, "timeout", 2*time.Minute, "bound on each look at the host")
}

// mender is what planning and fixing have in common: the host, the rules that
// are looked at, and how transactions are made.
type mender struct {
	fixOptions
	host     *host.Host
	audit    *audit
	selected []selected
	engine   *transaction.Engine
}

// newMender settles everything that can be wrong before the host is looked at.
func newMender(cmd *cobra.Command, o fixOptions) (*mender, error) {
	for flag, words := range map[string][]string{"only": o.only, "skip": o.skip} {
		if cmd.Flags().Changed(flag) && len(words) == 0 { // as of a variable that is not set
			return nil, fmt.Errorf("cannot use --%s: it names no rule and no tag", flag)
		}
	}
	m := &mender{fixOptions: o}
	var err error
	if m.host, m.audit, err = prepare(&m.checkOptions); err != nil {
		return nil, err
	}
	if m.selected, err = choose(m.audit.Bound, o.only, o.skip); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%s needs root: run it with sudo", cmd.CommandPath())
	}
	id, err := remediate.IDOf(cmd.Context(), m.host)
	if err != nil {
		return nil, err
	}
	m.engine = newEngine(cmd, m.host.Root(), id)
	return m, nil
}

func newEngine(cmd *cobra.Command, root string, id remediate.HostID) *transaction.Engine {
	e := &transaction.Engine{
		Root:       root,
		Host:       id,
		Kinds:      mending.Kinds,
		Activators: mending.Activators,
		Version:    version(),
		Now:        time.Now,
	}
	if root != "/" {
		e.Activators = nil // they act on this host, and a tree's journal is its maker's word
	}
	if f, ok := cmd.ErrOrStderr().(*os.File); ok && reports.IsTerminal(f) {
		e.Progress = func(line string) { fmt.Fprintf(f, "hostguard: %s\n", printable.Text(line)) }
	}
	return e
}

// look audits the host for the selected rules, with nothing remembered from before.
func (m *mender) look(ctx context.Context, selected []selected) (*reports.Report, []checks.Finding) {
	m.host = m.host.Anew()
	started := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, m.timeout, fmt.Errorf("no end within %v (--timeout)", m.timeout))
	defer cancel()
	findings := runSelected(ctx, m.host, selected)
	return reportOn(ctx, m.host, m.audit, m.checkOptions, 0, selected, findings, started), findings
}

// plan makes the plan for what the findings say.
func (m *mender) plan(ctx context.Context, findings []checks.Finding) (*remediate.Plan, error) {
	byID := map[string]selected{}
	for _, s := range m.selected {
		byID[s.Rule.ID] = s
	}
	wanted := slices.DeleteFunc(slices.Clone(findings), func(f checks.Finding) bool {
		rule := byID[f.Rule]
		named := slices.ContainsFunc(m.only, func(word string) bool { return word == f.Rule || slices.Contains(rule.Rule.Tags, word) })
		return rule.Level != rules.Required && !m.advice && !named
	})
	standing := mending.Standing
	if len(m.only) > 0 {
		standing = nil // no rule asks for it
	}
	wishes := remediate.Collect(wanted,
		func(rule string) string { return byID[rule].Rule.Check },
		func(rule string) string {
			return fmt.Sprintf("%s: see hostguard explain %s", byID[rule].Rule.Title, rule)
		},
		slices.Concat(mending.Families...), standing, m.audit.Config)
	ctx, cancel := context.WithTimeoutCause(ctx, m.timeout, fmt.Errorf("no end within %v (--timeout)", m.timeout))
	defer cancel()
	return remediate.Resolve(ctx, m.host, wishes)
}

func fix(cmd *cobra.Command, o fixOptions) error {
	if o.dryRun {
		return plan(cmd, o)
	}
	defer undisturbed()()
	m, err := newMender(cmd, o)
	if err != nil {
		return err
	}
	saved, err := readPlan(o.saved)
	if err != nil {
		return err
	}
	outputs, err := openOutputs(cmd, m.checkOptions)
	if err != nil {
		return err
	}
	defer outputs.Abort()

	result, err := m.fix(cmd.Context(), saved)
	if err != nil {
		return err
	}
	if err := outputs.WriteBy(o.render, result.write); err != nil {
		return exitError{code: max(result.ExitCode, exitFindings), err: err}
	}
	return exitError{code: result.ExitCode}
}

// undisturbed keeps a lost terminal, a closed pipe and a second Ctrl-C from
// stopping a transaction half-way; the first INT or TERM ends the context.
func undisturbed() func() {
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	swallowed := make(chan os.Signal, 1)
	signal.Notify(swallowed, os.Interrupt, syscall.SIGTERM)
	return func() { signal.Stop(swallowed) }
}

// fix does the whole of it. With an error nothing was begun.
func (m *mender) fix(ctx context.Context, saved *remediate.Plan) (*fixResult, error) {
	result := &fixResult{SchemaVersion: fixSchemaVersion, Tool: reports.Tool{Name: "hostguard", Version: version()}}
	transactions, err := m.lock(false)
	if err != nil {
		return nil, err
	}
	if transactions != nil {
		defer func() { transactions.Close() }()
		recovered, damaged, err := transactions.Recover(context.WithoutCancel(ctx))
		result.Recovered, result.Damaged = recoveredJSON(recovered), damagedJSON(damaged)
		if err != nil {
			return nil, exitError{exitFailed, fmt.Errorf("cannot begin: %w", err)}
		}
	}
	var findings []checks.Finding
	result.Before, findings = m.look(ctx, m.selected)
	if ctx.Err() != nil {
		return nil, exitError{exitFailed, fmt.Errorf("nothing was changed: %w", context.Cause(ctx))}
	}
	plan, err := m.plan(ctx, findings)
	if err != nil {
		return nil, exitError{exitFailed, fmt.Errorf("nothing was changed: %w", err)}
	}
	if saved != nil {
		if why := plan.Differs(saved); why != "" {
			return nil, fmt.Errorf("cannot use --plan %s: %s; make the plan anew", m.saved, why)
		}
	}
	result.plan = plan
	result.After = result.Before
	if !plan.Empty() {
		if transactions == nil {
			if transactions, err = m.lock(true); err != nil {
				return nil, err
			}
			defer func() { transactions.Close() }()
		}
		done, err := transactions.Apply(ctx, plan, actor(ctx, m.host), m.recheck(plan))
		result.ended(done, err)
		result.After, _ = m.look(context.WithoutCancel(ctx), m.selected)
	}
	result.decide()
	return result, nil
}

// lock takes the lock of the host's transactions; without create it is nil where
// there are none yet.
func (m *mender) lock(create bool) (*transaction.Transactions, error) {
	t, err := m.engine.Lock(create)
	if errors.Is(err, fs.ErrNotExist) && !create {
		return nil, nil
	}
	return t, lockError(err)
}

// lockError gives an error of Lock its exit code.
func lockError(err error) error {
	if err == nil {
		return nil
	}
	if locked := (*flock.LockedError)(nil); errors.As(err, &locked) {
		return exitError{exitLocked, err}
	}
	return exitError{exitFailed, err}
}

// settling is how long a rule may take to pass after what it wants was started.
const settling = 15 * time.Second

// recheck looks at rules again until they pass, but for those that may fail.
func (m *mender) recheck(plan *remediate.Plan) transaction.Recheck {
	return func(ctx context.Context, ids []string) error {
		left := slices.DeleteFunc(slices.Clone(m.selected), func(s selected) bool {
			return !slices.Contains(ids, s.Rule.ID) || plan.Excused(s.Rule.ID)
		})
		deadline := time.Now().Add(settling)
		for wait := 100 * time.Millisecond; len(left) > 0; wait *= 2 {
			_, findings := m.look(ctx, left)
			var how []error
			if left, how = notPassing(left, findings); len(left) == 0 {
				break
			}
			if time.Now().Add(wait).After(deadline) {
				return errors.Join(how...)
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	}
}

// notPassing keeps the rules that do not pass, and says how each stands.
func notPassing(rules []selected, findings []checks.Finding) (left []selected, how []error) {
	for i, f := range findings {
		var err error
		switch f.Status {
		case checks.Pass, checks.NotApplicable, checks.Skipped:
			continue
		case checks.Error:
			err = fmt.Errorf("afterwards it cannot be determined: %w", f.Err)
		default:
			err = fmt.Errorf("it did not help: %s", f.Reason)
		}
		left, how = append(left, rules[i]), append(how, &transaction.RulesError{Rules: []string{f.Rule}, Err: err})
	}
	return left, how
}
