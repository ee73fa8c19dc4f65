package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/printable"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/transaction"
)

func undoCommand() *cobra.Command {
	var root string
	cmd := &cobra.Command{
		Use:   "undo [TRANSACTION]",
		Short: "Take back what fix did",
		Long: `Brings back everything that a transaction of "hostguard fix" moved: content,
owner, mode, access lists and attributes of files, the state of units, the
kernel's audit rules. Without a name it is the newest one that holds; "hostguard
history" lists them. One that was cut off is taken back first, and without a name
nothing else is. What somebody has changed since is left as it is, and shown.

Exit codes: 0 all is as it was before; 1 something was left as somebody made it;
2 there is no such transaction, or a newer one lies on it; 3 it failed, and is
tried again by "hostguard recover"; 75 another run is at work.`,
		Example: `  sudo hostguard undo
  sudo hostguard undo 20260201t101500000z-1a2b3c`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := ""
			if len(args) > 0 {
				id = args[0]
			}
			return undo(cmd, root, id)
		},
	}
	cmd.Flags().StringVar(&root, "root", "/", "the file tree whose transaction it is")
	return cmd
}

func recoverCommand() *cobra.Command {
	var root string
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Take back what an interrupted fix left",
		Long: `Takes back every transaction that was interrupted: by a crash, a kill or a power
cut. The next "hostguard fix" does the same before anything else.

Exit codes: 0 nothing is left interrupted; 1 something was left as somebody made
it; 3 it failed; 75 another run is at work.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return recoverAll(cmd, root) },
	}
	cmd.Flags().StringVar(&root, "root", "/", "the file tree whose transactions they are")
	return cmd
}

func historyCommand() *cobra.Command {
	var root, format string
	cmd := &cobra.Command{
		Use:   "history",
		Short: "List the transactions of fix",
		Long:  `Lists what "hostguard fix" did on this host: who, when, what, and whether it holds.`,
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return history(cmd, root, format) },
	}
	cmd.Flags().StringVar(&root, "root", "/", "the file tree whose transactions they are")
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

// engineAt is the engine of this host, or of a file tree.
func engineAt(cmd *cobra.Command, root string) (*transaction.Engine, error) {
	root, err := rootFolder(root, time.Minute)
	if err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%s needs root: run it with sudo", cmd.CommandPath())
	}
	id, err := remediate.IDOf(cmd.Context(), host.New(host.Options{Root: root}))
	if err != nil {
		return nil, err
	}
	return newEngine(cmd, root, id), nil
}

func undo(cmd *cobra.Command, root, id string) error {
	defer undisturbed()()
	engine, err := engineAt(cmd, root)
	if err != nil {
		return err
	}
	transactions, err := engine.Lock(false)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("there is nothing to undo: hostguard has changed nothing here")
	}
	if err != nil {
		return lockError(err)
	}
	defer transactions.Close()
	p := &page{w: cmd.OutOrStdout()}
	recovered, damaged, err := transactions.Recover(context.WithoutCancel(cmd.Context()))
	left := p.recovered(recovered)
	p.damaged(damagedJSON(damaged))
	if err != nil {
		return exitError{exitFailed, err}
	}
	asked := slices.ContainsFunc(recovered, func(r transaction.Recovered) bool { return id == "" || id == r.ID })
	switch {
	case asked && left: // what was cut off is what was to be taken back: one before it was not asked for
		return exitError{code: exitLeft}
	case asked:
		return p.err
	}
	back, err := transactions.Undo(cmd.Context(), id)
	if back.ID != "" && err == nil {
		p.line("Taken back: %s", back.ID)
	}
	p.conflicts(conflictsJSON(back.Conflicts))
	switch {
	case err != nil && back.ID == "" && !isRefused(err):
		return err
	case err != nil:
		return exitError{exitFailed, err}
	case len(back.Conflicts) > 0 || left:
		return exitError{code: exitLeft}
	}
	return p.err
}

// recovered tells of interrupted transactions that were taken back, and reports
// whether anything was left as somebody made it.
func (p *page) recovered(list []transaction.Recovered) (left bool) {
	for _, r := range list {
		p.line("Taken back: %s", r.ID)
		p.conflicts(conflictsJSON(r.Conflicts))
		left = left || len(r.Conflicts) > 0
	}
	return left
}

func isRefused(err error) bool {
	var refusal *transaction.RefusedError
	return errors.As(err, &refusal)
}

func recoverAll(cmd *cobra.Command, root string) error {
	defer undisturbed()()
	engine, err := engineAt(cmd, root)
	if err != nil {
		return err
	}
	p := &page{w: cmd.OutOrStdout()}
	transactions, err := engine.Lock(false)
	if errors.Is(err, fs.ErrNotExist) {
		p.line("Nothing was interrupted.")
		return p.err
	}
	if err != nil {
		return lockError(err)
	}
	defer transactions.Close()
	list, damaged, err := transactions.Recover(context.WithoutCancel(cmd.Context()))
	left := p.recovered(list)
	p.damaged(damagedJSON(damaged))
	switch {
	case err != nil:
		return exitError{exitFailed, err}
	case left:
		return exitError{code: exitLeft}
	case len(list) == 0:
		p.line("Nothing was interrupted.")
	}
	return p.err
}

// shownTransaction is one transaction of history's JSON.
type shownTransaction struct {
	ID        string            `json:"id"`
	State     transaction.State `json:"state,omitempty"`
	Started   *time.Time        `json:"started,omitempty"`
	Ended     *time.Time        `json:"ended,omitempty"`
	Who       string            `json:"who,omitempty"`
	Version   string            `json:"version,omitempty"`
	Steps     []shownStep       `json:"steps"`
	Conflicts []shownConflict   `json:"conflicts"`
	Error     string            `json:"error,omitempty"` // why its journal cannot be used
}

func history(cmd *cobra.Command, root, format string) error {
	if format != "text" && format != "json" {
		return fmt.Errorf("there is no format %q: want text or json", format)
	}
	engine, err := engineAt(cmd, root)
	if err != nil {
		return err
	}
	entries, err := engine.History()
	if err != nil {
		return exitError{exitIncomplete, err}
	}
	shown := struct {
		SchemaVersion string             `json:"schema_version"`
		Transactions  []shownTransaction `json:"transactions"`
	}{"1.0", []shownTransaction{}}
	for _, e := range entries {
		x := shownTransaction{ID: e.ID, State: e.State, Steps: []shownStep{}, Conflicts: conflictsJSON(e.Conflicts)}
		if e.Err != nil {
			x.Error = printable.Text(e.Err.Error())
		} else {
			x.Started, x.Ended, x.Who, x.Version = &e.Started, &e.Ended, printable.Text(e.Who), printable.Text(e.Version)
			x.Steps, _, _, _ = shownPlan(e.Plan)
		}
		shown.Transactions = append(shown.Transactions, x)
	}
	if format == "json" {
		return writeJSON(cmd.OutOrStdout(), shown)
	}
	p := &page{w: cmd.OutOrStdout()}
	for _, x := range shown.Transactions {
		if x.Error != "" {
			p.line("%s  %s", x.ID, x.Error)
			continue
		}
		p.line("%s  %s  %s  by %s", x.ID, x.Started.Format("2006-01-02 15:04:05Z"), x.State, x.Who)
		for _, s := range x.Steps {
			p.line("    %s %s", s.Kind, s.Target)
		}
		p.conflicts(x.Conflicts)
	}
	if len(entries) == 0 {
		p.line("hostguard has changed nothing here.")
	}
	return p.err
}
