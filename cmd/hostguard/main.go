// Hostguard answers one question for one Linux host: may the connector be
// deployed here?
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/hostguard/hostguard/internal/printable"
)

// Exit codes of every verb but fix. Those of check are in the README.
const (
	exitOK         = 0
	exitFindings   = 1
	exitUsage      = 2 // bad flags, rules or configuration: nothing was run
	exitIncomplete = 3
)

// exitError ends the program with a code, after printing err unless it is nil.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string { return fmt.Sprint(e.err) }
func (e exitError) Unwrap() error { return e.err }

func main() {
	flyChild()
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	signal.Ignore(syscall.SIGPIPE) // who reads half a report still gets the exit code and the report files
	ctx, stop := untilSignal(context.Background())
	defer stop()
	root := rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitUsage
	var exit exitError
	if errors.As(err, &exit) {
		code, err = exit.code, exit.err
	}
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(os.Stderr, "hostguard: %s\n", printable.Text(strings.TrimSuffix(line, "\n")))
		}
	}
	return code
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "hostguard",
		Short: "May the connector be deployed on this host?",
		Long: `hostguard audits a Linux host against the prerequisites of a data-space
connector and says READY or NOT READY, and exactly why.`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{
			HiddenDefaultCmd: true,
		},
	}
	root.AddCommand(checkCommand(), explainCommand(), listCommand(), lintCommand(), initCommand(), showCommand(), canaryCommand(), keysCommand(), watchCommand(), planCommand(), fixCommand(), undoCommand(), recoverCommand(), historyCommand())
	root.AddCommand(logsCommand())
	return root
}

// untilSignal ends the context at the first INT or TERM, with the signal as
// its cause; a second one ends the program, as it would without us.
func untilSignal(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			cancel(fmt.Errorf("stopped by signal: %v", s))
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// release is set by the linker for published builds.
var release string

// version is the release, else what the toolchain recorded of the commit.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
