package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/notify"
	"github.com/hostguard/hostguard/remediate/statedir"
	"github.com/hostguard/hostguard/reports"
	"github.com/hostguard/hostguard/rules"
)

const (
	auditJob      = "watch-audit"
	reportsFolder = statedir.Path + "/reports"
	keptReports   = 30
	reportName    = "2006-01-02T150405Z.json"
)

func watchAuditCommand() *cobra.Command {
	var src sources
	var quiet bool
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Audit the host, keep the report, and tell of what has changed",
		Long: `Audits the host as "hostguard check" does, writes the report as JSON into
/var/lib/hostguard/reports, where the last 30 are kept, and tells of required rules
that fail or cannot be determined: through syslog always, by mail and by webhook when
hostguard.yaml says so (notify). A rule is spoken of when that begins, once a week
while it lasts, and when it has ended.

Exit codes: 0 the report is kept and who had to be told was told, whatever the
verdict; 1 somebody could not be told, or the report cannot be kept; 2 the flags,
rules or configuration are wrong; 75 another run is at work.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return watchAudit(cmd, src, quiet) },
	}
	sourceFlags(cmd, &src)
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing but errors")
	return cmd
}

func watchAudit(cmd *cobra.Command, src sources, quiet bool) error {
	debug.SetGCPercent(collectAfter)
	o := checkOptions{sources: src, root: "/", timeout: 2 * time.Minute}
	h, a, err := prepare(&o)
	if err != nil {
		return err
	}
	chosen, err := choose(a.Bound, nil, nil)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return exitError{exitIncomplete, host.ErrNotRoot}
	}
	signal.Ignore(syscall.SIGHUP)
	now := time.Now()
	told := notify.Told{}
	state, failed, err := recall(cmd, auditJob, &told)
	if err != nil {
		return err
	}
	if state != nil {
		defer state.Close()
	}
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), o.timeout, fmt.Errorf("no end within %v", o.timeout))
	report := reportOn(ctx, h, a, o, 0, chosen, runSelected(ctx, h, chosen), now)
	cancel()
	name, err := keepReport(report, now)
	if err != nil {
		failed = append(failed, fmt.Errorf("cannot keep the report: %w", err))
	}

	channels, problems := channelsOf(a.Config, report.Host.Hostname)
	failed = append(failed, problems...)
	about := topic{"audit", func(items []notify.Item) string { return "audit " + titleOf(items, "passes again") },
		notify.Policy{Repeat: func(notify.Level) time.Duration { return 7*24*time.Hour - time.Hour }, Gone: "is not required any more"}}
	outcome, errs := notifyAll(cmd.Context(), about, report.Host.Hostname, channels, auditItems(report), told, now)
	failed = append(failed, errs...)
	if state != nil && len(outcome) > 0 {
		if err := state.Save(told); err != nil {
			failed = append(failed, err)
		}
	}
	if !quiet {
		out := cmd.OutOrStdout()
		fmt.Fprintf(out, "%s: %s\n", report.Verdict, report.Why)
		if name != "" {
			fmt.Fprintf(out, "report: %s\n", name)
		}
		sayTold(out, outcome)
	}
	return jobEnd(failed, nil)
}

// auditItems are the required rules of a report: how each stands.
func auditItems(r *reports.Report) []notify.Item {
	var items []notify.Item
	for _, f := range r.Findings {
		if f.Level != rules.Required {
			continue
		}
		i := notify.Item{ID: f.Rule, Level: notify.OK, Text: fmt.Sprintf("%s passes again: %s", f.Rule, f.Title)}
		switch f.Status {
		case checks.Fail:
			i.Level, i.Text = notify.Critical, fmt.Sprintf("%s fails: %s: %s", f.Rule, f.Title, f.Reason)
		case checks.Error:
			i.Level, i.Text = notify.Unknown, fmt.Sprintf("%s cannot be determined: %s: %s", f.Rule, f.Title, f.Error)
		}
		items = append(items, i)
	}
	return items
}

// keepReport writes a report into hostguard's own folder, from which the oldest go.
func keepReport(r *reports.Report, now time.Time) (name string, err error) {
	dir, err := statedir.Open("/", reportsFolder, true)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	name = filepath.Join(reportsFolder, now.UTC().Format(reportName))
	outputs, err := reports.OpenOutputs([]reports.Output{{Format: "json", File: name}}, nil)
	if err != nil {
		return "", err
	}
	defer outputs.Abort()
	if err := outputs.Write(r, reports.Options{}); err != nil {
		return "", err
	}
	return name, pruneReports(dir)
}

// pruneReports removes all but the latest reports, and the halves that killed
// runs left. Whatever else lies there stays.
func pruneReports(dir *os.File) error {
	entries, err := os.ReadDir(reportsFolder)
	if err != nil {
		return err
	}
	var kept []string
	var errs []error
	for _, e := range entries {
		_, err := time.Parse(reportName, e.Name())
		half := strings.HasPrefix(e.Name(), ".hostguard-") && strings.HasSuffix(e.Name(), ".tmp")
		switch {
		case err == nil && e.Type().IsRegular():
			kept = append(kept, e.Name())
		case half && e.Type().IsRegular():
			errs = append(errs, unix.Unlinkat(int(dir.Fd()), e.Name(), 0))
		}
	}
	slices.Sort(kept)
	for _, old := range kept[:max(0, len(kept)-keptReports)] {
		errs = append(errs, unix.Unlinkat(int(dir.Fd()), old, 0))
	}
	return errors.Join(errs...)
}
