package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	auditing "github.com/hostguard/hostguard/checks/audit"
	"github.com/hostguard/hostguard/internal/canary"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/printable"
)

// canaryOptions are the flags of canary.
type canaryOptions struct {
	checkOptions
	wait time.Duration
}

func canaryCommand() *cobra.Command {
	var o canaryOptions
	cmd := &cobra.Command{
		Use:   "canary [PATH…]",
		Short: "Try whether an event on a watched file is really recorded",
		Long: `Opens each PATH for writing in a fresh process, writes nothing, closes it, and
waits for the kernel's audit event with the key of the rule that watches it.
Without PATHs it takes configuration files of docker and of the connector.

It changes no file. What it would disturb it refuses: folders, devices, FIFOs,
sockets, programs, immutable files, and file systems on which opening for
writing can do more than that. A program that acts on every close after an open
for writing (a systemd path unit with PathChanged=, inotify) does so.

It speaks for processes that start now: one that is older than auditing is not
recorded whatever the rules say (hostguard explain AUD-007).

Exit codes: 0 all recorded; 1 one was not recorded, or its record was lost;
2 the flags, rules or configuration are wrong; 3 it could not be told.`,
		Example: `  sudo hostguard canary
  sudo hostguard canary /etc/docker/daemon.json /opt/trueconnector/.env`,
		RunE: func(cmd *cobra.Command, paths []string) error { return fly(cmd, o, paths) },
	}
	f := cmd.Flags()
	sourceFlags(cmd, &o.sources)
	f.StringSliceVar(&o.connectors, "connector", nil, "the connector's compose project `folder` (repeatable; default: the configuration's, else discovered from docker)")
	f.DurationVar(&o.wait, "wait", 2*time.Second, "how long to wait for each event")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "bound on the whole run")
	f.StringVar(&o.format, "format", "text", "text or json")
	return cmd
}

// flight is what came of one path.
type flight struct {
	Path   string   `json:"path"`
	Result string   `json:"result"` // recorded, not recorded, lost, cannot tell
	Event  string   `json:"event,omitempty"`
	Keys   []string `json:"keys"`           // of the event
	Rule   string   `json:"rule,omitempty"` // the kernel's rule that should record it
	Why    string   `json:"why,omitempty"`
}

const (
	recorded    = "recorded"
	notRecorded = "not recorded"
	lost        = "lost"
	cannotTell  = "cannot tell"
)

func fly(cmd *cobra.Command, o canaryOptions, paths []string) error {
	if o.format != "text" && o.format != "json" {
		return fmt.Errorf("there is no format %q: want text or json", o.format)
	}
	if o.wait <= 0 {
		return fmt.Errorf("cannot use --wait %v: want more than nothing", o.wait)
	}
	o.root = "/"
	h, a, err := prepare(&o.checkOptions)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), o.timeout, fmt.Errorf("no end within %v (--timeout)", o.timeout))
	defer cancel()
	if err := h.Lacks(ctx, host.Root|host.AuditNetlink); err != nil {
		return exitError{exitIncomplete, err}
	}
	for i, path := range paths {
		if paths[i], err = filepath.Abs(path); err != nil {
			return fmt.Errorf("cannot use %s: %w", path, err)
		}
	}
	if len(paths) == 0 {
		if paths, err = canaryPaths(ctx, h, a, cmd); err != nil {
			return exitError{exitIncomplete, err}
		}
	}
	source, err := listen(ctx, h)
	if err != nil {
		return exitError{exitIncomplete, err}
	}
	defer source.Close()
	flights := make([]flight, 0, len(paths))
	for _, path := range paths {
		flights = append(flights, flyOver(ctx, h, source, path, o.wait))
	}
	return tell(cmd, o.format, flights)
}

// mostPaths is how many files are tried when none is named.
const mostPaths = 32

// canaryPaths are the files that are tried when none is named: watched files
// themselves, and one in each watched folder.
func canaryPaths(ctx context.Context, h *host.Host, a *audit, cmd *cobra.Command) ([]string, error) {
	watched, unknown := auditing.Triable(ctx, h, auditWatches(a))
	for _, u := range unknown {
		fmt.Fprintf(cmd.ErrOrStderr(), "hostguard: not tried for %s: %s\n", u.Rule, oneLine(u.Err.Error()))
	}
	var paths []string
	try := func(path string) bool {
		f, err := canary.Inspect(path)
		if err != nil {
			return false
		}
		f.Close()
		if !slices.Contains(paths, path) && len(paths) < mostPaths {
			paths = append(paths, path)
		}
		return true
	}
	var folders []string
	for _, path := range watched {
		if info, err := h.Stat(path); err == nil && info.IsDir() {
			folders = append(folders, path)
		} else {
			try(path)
		}
	}
	for _, path := range folders {
		if slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p, path+"/") }) {
			continue
		}
		entries, err := h.ReadDir(path)
		if err != nil {
			continue
		}
		for _, e := range entries[:min(len(entries), mostPaths)] {
			if e.Type().IsRegular() && try(path+"/"+e.Name()) {
				break
			}
		}
	}
	if len(paths) == 0 {
		return nil, errors.New("there is no watched file here that can be opened without harm: name one")
	}
	return paths, nil
}

// listen hears the kernel itself, else reads what auditd writes.
func listen(ctx context.Context, h *host.Host) (canary.Source, error) {
	source, err := canary.Listen()
	if err == nil {
		return source, nil
	}
	conf, err2 := h.AuditdConf(ctx)
	if err2 == nil {
		source, err2 = canary.Follow(conf.Get("log_file").Value)
	}
	if err2 != nil {
		return nil, errors.Join(err, err2)
	}
	return source, nil
}

// flyOver tries one path.
func flyOver(ctx context.Context, h *host.Host, source canary.Source, path string, wait time.Duration) flight {
	f := flight{Path: printable.String(path), Keys: []string{}, Result: cannotTell}
	file, err := canary.Inspect(path)
	if err != nil {
		f.Why = oneLine(err.Error())
		return f
	}
	defer file.Close()
	rule, err := auditing.Record(ctx, h, path)
	if err != nil {
		f.Why = oneLine(err.Error())
		return f
	}
	if rule.Rule != nil {
		f.Rule = oneLine(rule.Rule.String())
	}
	before, err := host.New(host.Options{}).AuditStatus(ctx)
	if err != nil {
		f.Why = oneLine(err.Error())
		return f
	}
	result, err := file.Fly(ctx, source, wait)
	if err == nil {
		err = context.Cause(ctx)
	}
	after, err2 := host.New(host.Options{}).AuditStatus(context.WithoutCancel(ctx))
	if err = errors.Join(err, err2); err != nil && result.Event == nil {
		f.Why = oneLine(err.Error())
		return f
	}
	judgeFlight(&f, rule, result, before, after, wait)
	return f
}

// judgeFlight compares what came with what should.
func judgeFlight(f *flight, rule auditing.Recorder, r canary.Result, before, after host.AuditStatus, wait time.Duration) {
	if r.Event != nil {
		f.Event, f.Keys = oneLine(r.Event.ID), printableAll(r.Event.Keys)
	}
	if f.Keys == nil {
		f.Keys = []string{}
	}
	switch {
	case r.Event != nil && (len(rule.Keys) == 0 || slices.ContainsFunc(r.Event.Keys, func(k string) bool { return slices.Contains(rule.Keys, k) })):
		f.Result = recorded
	case r.Event != nil:
		f.Result = notRecorded
		f.Why = "an event came, and not with the key " + oneLine(strings.Join(rule.Keys, ", "))
	case after.Lost != before.Lost:
		f.Result = lost
		f.Why = fmt.Sprintf("the kernel lost %d records meanwhile", after.Lost-before.Lost)
	default:
		f.Result = notRecorded
		switch {
		case after.Enabled == 0:
			f.Why = "auditing is off"
		case rule.Why != "":
			f.Why = "no rule in the kernel records it: " + oneLine(rule.Why)
		default:
			f.Why = fmt.Sprintf("no event came within %v, although a rule should record it", wait)
		}
	}
	if r.Error != "" {
		f.Why = strings.TrimPrefix(f.Why+"; the open failed, which must be recorded too: "+oneLine(r.Error), "; ")
	}
}

// tell prints what came of the paths and chooses the exit code.
func tell(cmd *cobra.Command, format string, flights []flight) error {
	code := exitOK
	for _, f := range flights {
		switch f.Result {
		case notRecorded, lost:
			code = exitFindings
		case cannotTell:
			if code == exitOK {
				code = exitIncomplete
			}
		}
	}
	var err error
	if format == "json" {
		err = writeJSON(cmd.OutOrStdout(), flights)
	} else {
		rows := [][]string{}
		for _, f := range flights {
			what := f.Why
			if f.Result == recorded {
				what = strings.TrimSuffix(fmt.Sprintf("key %s, event %s; %s", orDash(strings.Join(f.Keys, " ")), f.Event, f.Why), "; ")
			}
			rows = append(rows, []string{f.Result, f.Path, what})
		}
		err = writeTable(cmd.OutOrStdout(), rows)
		fmt.Fprintln(cmd.ErrOrStderr(), "This holds for processes that start now; of older ones hostguard check tells (AUD-007).")
	}
	if err != nil {
		return exitError{max(code, exitFindings), fmt.Errorf("cannot write: %w", err)}
	}
	return exitError{code: code}
}

// flyChild is the fresh process of a canary; it returns in every other one.
func flyChild() {
	if len(os.Args) == 1 {
		canary.Child()
	}
}
