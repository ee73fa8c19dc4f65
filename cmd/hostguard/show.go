package main

import (
	"strings"

	"github.com/spf13/cobra"

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
