package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/strictyaml"
	mending "github.com/hostguard/hostguard/remediate/all"
	"github.com/hostguard/hostguard/reports"
	"github.com/hostguard/hostguard/rules"
)

// checkOptions are the flags of check.
type checkOptions struct {
	sources    sources
	root       string
	connectors []string
	only, skip []string
	failOn     string
	expectHead string
	timeout    time.Duration
	format     string
	outputs    []string
	render     reports.Options
}

func checkCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Audit this host: READY or NOT READY, and exactly why",
		Long: `Audits this host, or the file tree named by --root, against a profile. It
writes nothing but the reports asked for. Run it as root: what needs root is an
error otherwise, and an error is never READY.

Exit codes: 0 READY, or PARTIAL with nothing against it; 1 a required rule
failed (or any rule at or above --fail-on); 2 the flags, rules or configuration
are wrong, and nothing was run; 3 a required rule could not be determined.`,
		Example: `  sudo hostguard check
  sudo hostguard check --connector /opt/trueconnector -o text=- -o json=report.json
  sudo hostguard check --only ssh,AUD-001 --verbose
  sudo hostguard check --root /mnt/image`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return check(cmd, o) },
	}
	f := cmd.Flags()
	sourceFlags(cmd, &o.sources)
	f.StringSliceVar(&o.connectors, "connector", nil, "the connector's compose project `folder` (repeatable; default: the configuration's, else discovered from docker)")
	f.StringVar(&o.root, "root", "/", "look at the file tree of a mounted image or container instead of this host (the verdict is PARTIAL)")
	f.StringSliceVar(&o.only, "only", nil, "look only at rules with these `ids or tags` (the verdict is PARTIAL)")
	f.StringSliceVar(&o.skip, "skip", nil, "leave out rules with these `ids or tags` (the verdict is PARTIAL)")
	f.StringVar(&o.failOn, "fail-on", "", "`severity` from which a failing rule, required or advice, gives exit code 1: low, medium, high or critical (default: any failing required rule)")
	f.StringVar(&o.expectHead, "expect-head", "", "a `head` that the key ledger had, from an earlier report: it must be on its chain still")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "bound on the whole run")
	f.StringVar(&o.format, "format", "text", "`format` of the standard output: "+strings.Join(reports.Formats(), " or "))
	f.StringArrayVarP(&o.outputs, "output", "o", nil, "write a report to a file: `FORMAT=FILE`, - is the standard output (repeatable; replaces the standard output)")
	f.BoolVarP(&o.render.Quiet, "quiet", "q", false, "text: only what failed or could not be determined, and the verdict")
	f.BoolVarP(&o.render.Verbose, "verbose", "v", false, "text: show the evidence of passing rules too")
	cmd.MarkFlagsMutuallyExclusive("quiet", "verbose")
	cmd.MarkFlagsMutuallyExclusive("format", "output")
	return cmd
}

// collectAfter is the growth of the heap, in percent, between collections; the
// first comes at a heap of 4 MiB times that. So the audit of a usual host ends
// before it, which saves a tenth of its CPU time, and that of a large one
// collects as ever.
const collectAfter = 250

func check(cmd *cobra.Command, o checkOptions) error {
	debug.SetGCPercent(collectAfter)
	h, a, err := prepare(&o)
	if err != nil {
		return err
	}
	var failOn rules.Severity
	if o.failOn != "" {
		if err := failOn.UnmarshalText([]byte(o.failOn)); err != nil {
			return fmt.Errorf("cannot use --fail-on: %w", err)
		}
	}
	for flag, words := range map[string][]string{"only": o.only, "skip": o.skip} {
		if cmd.Flags().Changed(flag) && len(words) == 0 { // as of a variable that is not set
			return fmt.Errorf("cannot use --%s: it names no rule and no tag", flag)
		}
	}
	if cmd.Flags().Changed("expect-head") {
		if err := expectHead(a, o.expectHead); err != nil {
			return err
		}
	}
	selected, err := choose(a.Bound, o.only, o.skip)
	if err != nil {
		return err
	}
	if o.expectHead != "" {
		if err := looksAtLedger(selected); err != nil {
			return err
		}
	}
	outputs, err := openOutputs(cmd, o)
	if err != nil {
		return err
	}
	defer outputs.Abort()

	started := time.Now()
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), o.timeout, fmt.Errorf("no end within %v (--timeout)", o.timeout))
	defer cancel()
	report := reportOn(ctx, h, a, o, failOn, selected, runSelected(ctx, h, selected), started)
	if err := outputs.Write(report, o.render); err != nil {
		return exitError{code: max(report.ExitCode, exitFindings), err: err}
	}
	return exitError{code: report.ExitCode}
}

// reportOn makes the report of a run that has its findings.
func reportOn(ctx context.Context, h *host.Host, a *audit, o checkOptions, failOn rules.Severity, selected []selected, findings []checks.Finding, started time.Time) *reports.Report {
	identity, _ := h.Identity(context.WithoutCancel(ctx)) // a heading without a name is better than no report
	input := reports.Input{
		Version:     version(),
		Host:        identity,
		Root:        h.Root(),
		EUID:        os.Geteuid(),
		Started:     started,
		Duration:    time.Since(started),
		Only:        o.only,
		Skip:        o.skip,
		FailOn:      failOn,
		Interrupted: context.Cause(ctx),
		Overrides:   overrides(a),
		Ledger:      ledgerOf(context.WithoutCancel(ctx), h),
		Profile:     reports.Profile{Name: a.Profile.Name, Title: a.Profile.Title, Digest: a.Rules.Digest(a.Profile), Open: a.Rules.Open(a.Profile)},
	}
	for i, s := range selected {
		fix, _ := mending.For(s.Rule.Check)
		input.Outcomes = append(input.Outcomes, reports.Outcome{Rule: s.Rule, Level: s.Level, Risk: string(fix.Risk), Finding: findings[i]})
	}
	return reports.New(input)
}

// prepare settles everything that can be wrong before the host is looked at.
func prepare(o *checkOptions) (*host.Host, *audit, error) {
	root, err := rootFolder(o.root, o.timeout)
	if err != nil {
		return nil, nil, err
	}
	o.sources.Tree = root != "/"
	a, err := load(o.sources)
	if err != nil {
		return nil, nil, err
	}
	dirs := a.Config.Connector.Dir
	if len(o.connectors) > 0 {
		dirs = nil
		for _, dir := range o.connectors {
			if dir, err = filepath.Abs(dir); err != nil {
				return nil, nil, fmt.Errorf("cannot use --connector: %w", err)
			}
			dirs = append(dirs, dir)
		}
	}
	return host.New(host.Options{Root: root, ConnectorDirs: dirs}), a, nil
}

// rootFolder is the folder that --root names; --timeout is looked at, too.
func rootFolder(name string, timeout time.Duration) (string, error) {
	if timeout <= 0 {
		return "", fmt.Errorf("cannot use --timeout %v: want more than nothing", timeout)
	}
	root, err := filepath.Abs(name)
	if err != nil {
		return "", fmt.Errorf("cannot use --root: %w", err)
	}
	if info, err := os.Stat(root); err != nil {
		return "", fmt.Errorf("cannot use --root: %w", err)
	} else if !info.IsDir() {
		return "", fmt.Errorf("cannot use --root: %s is not a folder", root)
	}
	return root, nil
}

// overrides says which rules are judged by parameters of the operator's own, so
// that a report read elsewhere shows what its READY means.
func overrides(a *audit) []string {
	var list []string
	for _, b := range a.Bound {
		if n := a.Config.ParametersOf(b.Rule.ID); n.Kind != strictyaml.Absent {
			list = append(list, fmt.Sprintf("%s is judged with parameters of this host's configuration (%s)", b.Rule.ID, n.Place()))
		}
	}
	return list
}

func openOutputs(cmd *cobra.Command, o checkOptions) (*reports.Outputs, error) {
	outputs := []reports.Output{{Format: o.format, File: "-"}}
	if len(o.outputs) > 0 {
		outputs = nil
	}
	var errs []error
	for _, s := range o.outputs {
		output, err := reports.ParseOutput(s)
		errs = append(errs, err)
		outputs = append(outputs, output)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return reports.OpenOutputs(outputs, cmd.OutOrStdout())
}

// selected is a rule of the run; one that the user skipped is not looked at.
type selected struct {
	bound
	skipped bool
}

// choose applies --only and --skip. A word that selects nothing is an error:
// whoever misspells a rule believes that it was checked.
func choose(bounds []bound, only, skip []string) ([]selected, error) {
	matches := func(b bound, words []string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return word == b.Rule.ID || slices.Contains(b.Rule.Tags, word) })
	}
	for flag, words := range map[string][]string{"--only": only, "--skip": skip} {
		for _, word := range words {
			if !slices.ContainsFunc(bounds, func(b bound) bool { return matches(b, []string{word}) }) {
				return nil, fmt.Errorf("cannot use %s: the profile has no rule with the id or tag %q (hostguard list rules)", flag, word)
			}
		}
	}
	var chosen []selected
	for _, b := range bounds {
		if len(only) == 0 || matches(b, only) {
			chosen = append(chosen, selected{b, matches(b, skip)})
		}
	}
	return chosen, nil
}

// runSelected returns a finding for each selected rule, in their order. A rule
// may take half of the time that is left, and a fact a third, so that a longer
// --timeout helps on a slow host.
func runSelected(ctx context.Context, h *host.Host, rules []selected) []checks.Finding {
	findings := make([]checks.Finding, len(rules))
	var tasks []checks.Task
	var places []int
	for i, s := range rules {
		if s.skipped {
			findings[i] = checks.Finding{Rule: s.Rule.ID, Verdict: checks.Verdict{Status: checks.Skipped, Reason: "left out by --skip"}}
			continue
		}
		tasks = append(tasks, checks.Task{Rule: s.Rule.ID, Needs: s.Check.Needs, Long: s.Check.Long, Probe: s.Probe})
		places = append(places, i)
	}
	within := checks.DefaultProbeTimeout
	if deadline, ok := ctx.Deadline(); ok {
		within = max(within, time.Until(deadline).Round(time.Second)/2)
	}
	for i, f := range checks.Run(host.Patiently(ctx, within*2/3), h, tasks, within) {
		findings[places[i]] = f
	}
	return findings
}
