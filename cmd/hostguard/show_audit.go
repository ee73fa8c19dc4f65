package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	auditing "github.com/hostguard/hostguard/checks/audit"
	"github.com/hostguard/hostguard/internal/host"
)

// showAuditOptions are the flags of show audit.
type showAuditOptions struct {
	checkOptions
	loaded, coverage, nextBoot, missing bool
}

func showAuditCommand() *cobra.Command {
	var o showAuditOptions
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "The audit rules: on disk, in the kernel, and what they record",
		Long: `Shows where each audit rule is: in /etc/audit/rules.d, in the audit.rules that
augenrules makes of it, and in the kernel; which are not loaded, not persisted,
stale (the two files differ), or shadowed (an earlier rule decides).

  --loaded     the kernel's rules, as auditctl -l prints them
  --next-boot  what the kernel will hold after a reboot, and what will not load
  --coverage   what must be recorded by the profile: each path and kind of
               access, the rule that records it and where that is persisted
  --missing    the rules that close the gaps, for the end of a file in rules.d

Exit codes: 0 shown; 2 the flags, rules or configuration are wrong; 3 something
could not be seen, which is said on the standard error.`,
		Example: `  sudo hostguard show audit
  sudo hostguard show audit --coverage --connector /opt/trueconnector
  sudo hostguard show audit --missing | sudo tee -a /etc/audit/rules.d/50-hostguard.rules
  sudo hostguard show audit --next-boot --root /mnt/image`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return showAudit(cmd, o) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.loaded, "loaded", false, "print the kernel's rules as auditctl -l does")
	f.BoolVar(&o.nextBoot, "next-boot", false, "print what the kernel will hold after a reboot")
	f.BoolVar(&o.coverage, "coverage", false, "print what records each path of the profile")
	f.BoolVar(&o.missing, "missing", false, "print the rules that close the gaps")
	cmd.MarkFlagsMutuallyExclusive("loaded", "next-boot", "coverage", "missing")
	sourceFlags(cmd, &o.sources)
	f.StringSliceVar(&o.connectors, "connector", nil, "the connector's compose project `folder` (repeatable; default: the configuration's, else discovered from docker)")
	f.StringVar(&o.root, "root", "/", "look at the file tree of a mounted image or container instead of this host")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "bound on the whole run")
	f.StringVar(&o.format, "format", "text", "text or json")
	return cmd
}

func showAudit(cmd *cobra.Command, o showAuditOptions) error {
	if o.format != "text" && o.format != "json" {
		return fmt.Errorf("there is no format %q: want text or json", o.format)
	}
	h, a, err := prepare(&o.checkOptions)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), o.timeout, fmt.Errorf("no end within %v (--timeout)", o.timeout))
	defer cancel()
	if h.Running() && os.Geteuid() != 0 {
		return exitError{exitIncomplete, host.ErrNotRoot}
	}
	look := lookAtPicture
	switch {
	case o.loaded:
		look = lookAtLoaded
	case o.nextBoot:
		look = lookAtNextBoot
	case o.coverage:
		look = lookAtCoverage
	case o.missing:
		look = lookAtMissing
	}
	seen, err := look(ctx, h, auditWatches(a))
	if err != nil {
		return exitError{exitIncomplete, err}
	}
	if o.format == "json" {
		err = writeJSON(cmd.OutOrStdout(), seen)
	} else {
		err = seen.writeText(cmd.OutOrStdout())
	}
	if err != nil {
		return exitError{exitFindings, fmt.Errorf("cannot write: %w", err)}
	}
	if err := seen.unseen(); err != nil {
		return exitError{exitIncomplete, err}
	}
	return nil
}

// shown is one thing to show: it marshals to JSON and writes itself as text.
type shown interface {
	writeText(io.Writer) error
	unseen() error // what could not be found out
}

// auditWatches are the profile's rules about what must be recorded.
func auditWatches(a *audit) []auditing.Watch {
	var watches []auditing.Watch
	for _, b := range a.Bound {
		if p, ok := b.Params.(auditing.WatchParams); ok {
			watches = append(watches, auditing.Watch{Rule: b.Rule.ID, Params: p})
		}
	}
	return watches
}

func itoa(n int) string { return strconv.Itoa(n) }
