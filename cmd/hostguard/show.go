package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/printable"
)

func showCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show facts of this host as hostguard sees them",
	}
	cmd.AddCommand(showAuditCommand(), showConnectorCommand(), showExposureCommand(), showSSHDCommand())
	return cmd
}

// oneLine makes text of the host safe to print within a line that people and
// programs copy: letters of all scripts and backslashes stay.
func oneLine(s string) string { return strings.ReplaceAll(printable.Text(s), "\n", `\n`) }

// lookAround does what a verb of show does before and around its look: options
// are wrong or right, and whoever is not root sees nothing of a running host.
func lookAround(cmd *cobra.Command, o checkOptions, look func(context.Context, *host.Host, *audit) error) error {
	if o.format != "text" && o.format != "json" {
		return fmt.Errorf("there is no format %q: want text or json", o.format)
	}
	h, a, err := prepare(&o)
	if err != nil {
		return err
	}
	if h.Running() && os.Geteuid() != 0 {
		return exitError{exitIncomplete, host.ErrNotRoot}
	}
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), o.timeout, fmt.Errorf("no end within %v (--timeout)", o.timeout))
	defer cancel()
	return look(ctx, h, a)
}
