package main

import (
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/spf13/cobra"

	"github.com/hostguard/hostguard/internal/keyledger"
	"github.com/hostguard/hostguard/internal/printable"
)

type logOptions struct {
	root, format, head string
	verify             bool
}

func keysLogCommand() *cobra.Command {
	var o logOptions
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Print the key ledger, or verify it",
		Long: `Prints the events of the ledger. Its chain of hashes and its last signature are
verified always; with --verify every signature is, and only the outcome printed.

A ledger that root wrote anew and signed is whole, and so is an older copy put
back: --expect-head demands that a head noted earlier (in a JSON report, in
syslog) is on the chain still.

Exit codes: 0 the ledger is whole; 1 it was changed, or the expected head is not
on it; 2 the flags are wrong; 3 it could not be read, or there is none.`,
		Example: `  sudo hostguard keys log
  sudo hostguard keys log --verify --expect-head "$(jq -r .ledger.head report.json)"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return logKeys(cmd, o) },
	}
	rootFlag(cmd, &o.root)
	f := cmd.Flags()
	f.BoolVar(&o.verify, "verify", false, "verify every signature, and print the outcome only")
	f.StringVar(&o.head, "expect-head", "", "a `head` that the ledger had: it must be on the chain still")
	f.StringVar(&o.format, "format", "text", "text or json")
	return cmd
}

// shownLedger is keys log in JSON.
type shownLedger struct {
	SchemaVersion string       `json:"schema_version"`
	Path          string       `json:"path"`
	Whole         bool         `json:"whole"`
	Problem       string       `json:"problem,omitempty"`
	Sequence      int          `json:"sequence"`
	Head          string       `json:"head,omitempty"`
	Signed        int          `json:"signed"` // events that signatures cover
	Checkpoints   int          `json:"checkpoints"`
	Signer        string       `json:"signer,omitempty"`
	Expected      string       `json:"expected,omitempty"`      // the head that was asked for
	ExpectedLine  int          `json:"expected_line,omitempty"` // where it stands; absent: nowhere
	Events        []shownEvent `json:"events,omitempty"`
}

type shownEvent struct {
	Sequence int            `json:"seq"`
	Time     time.Time      `json:"time"`
	Kind     keyledger.Kind `json:"event"`
	Account  string         `json:"account"`
	Key      string         `json:"key"`
	Replaces string         `json:"replaces,omitempty"`
	Person   string         `json:"person"`
	By       string         `json:"by"`
	Reason   string         `json:"reason"`
	Unsigned bool           `json:"unsigned,omitempty"`
}

func logKeys(cmd *cobra.Command, o logOptions) error {
	if o.format != "text" && o.format != "json" {
		return fmt.Errorf("there is no format %q: want text or json", o.format)
	}
	var head keyledger.Hash
	if o.head != "" {
		var err error
		if head, err = keyledger.ParseHash(o.head); err != nil {
			return fmt.Errorf("cannot use --expect-head: %w", err)
		}
	}
	h, err := keysHost(cmd.Context(), o.root)
	if err != nil {
		return err
	}
	shown := shownLedger{SchemaVersion: keysSchema, Path: path.Join(keyledger.Dir, keyledger.LedgerFile), Expected: o.head}
	options := keyledger.Options{EverySignature: o.verify}
	if !o.verify {
		options.Visit = func(e *keyledger.Event) {
			shown.Events = append(shown.Events, shownEvent{e.Sequence, e.Time, e.Kind, printable.Text(e.Account), e.Key, e.Replaces,
				printable.Text(e.Person), printable.Text(e.By), printable.Text(e.Reason), false})
		}
	}
	k, err := h.ReadKeyLedger(options)
	if err != nil {
		return exitError{exitIncomplete, err}
	}
	var wrong error
	switch l := k.Ledger; {
	case k.Problem != nil:
		wrong = fmt.Errorf("the key ledger was changed: %s/%w", keyledger.Dir, k.Problem)
		shown.Problem = k.Problem.Error()
	case l == nil && o.head == "":
		return exitError{exitIncomplete, fmt.Errorf("%w: start one with hostguard keys enrol", keyledger.ErrUnstarted)}
	default:
		shown.Whole = l != nil
		if l != nil {
			shown.Sequence, shown.Head, shown.Signed, shown.Checkpoints, shown.Signer = l.Sequence, l.Head.String(), l.Signed, l.Checkpoints, l.Signer
			for i := min(l.Signed, len(shown.Events)); i < len(shown.Events); i++ {
				shown.Events[i].Unsigned = true
			}
			if o.head != "" {
				shown.ExpectedLine = l.Find(head)
			}
		}
		if o.head != "" && shown.ExpectedLine == 0 {
			wrong = fmt.Errorf("the expected head %s is on no line of the key ledger: it was written anew, or an older copy was put in its place", o.head)
		}
	}
	if o.format == "json" {
		err = writeJSON(cmd.OutOrStdout(), shown)
	} else {
		err = shown.writeText(cmd.OutOrStdout(), o.verify)
	}
	if err != nil {
		return exitError{exitFindings, fmt.Errorf("cannot write: %w", err)}
	}
	if wrong != nil {
		return exitError{exitFindings, wrong}
	}
	return nil
}

func (s *shownLedger) writeText(w io.Writer, outcome bool) error {
	var errs []error
	print := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format, args...)
		errs = append(errs, err)
	}
	for _, e := range s.Events {
		print("%d  %s  %v  %s  %s", e.Sequence, e.Time.Format("2006-01-02 15:04:05Z"), e.Kind, oneLine(e.Account), e.Key)
		for _, f := range []struct{ name, text string }{{"replaces", e.Replaces}, {"person", e.Person}, {"by", e.By}, {"reason", e.Reason}} {
			if f.text != "" {
				print("  %s: %s", f.name, oneLine(f.text))
			}
		}
		if e.Unsigned {
			print("  (not signed: of a run that was cut off)")
		}
		print("\n")
	}
	if !s.Whole {
		return errors.Join(errs...)
	}
	if outcome {
		print("whole: %d events, %d checkpoints, each signed by %s\n", s.Sequence, s.Checkpoints, s.Signer)
	}
	if n := s.Sequence - s.Signed; n > 0 {
		print("unsigned: the last %d events, of a run that was cut off: the next hostguard keys enrol signs them\n", n)
	}
	if s.ExpectedLine > 0 {
		print("expected: on line %d\n", s.ExpectedLine)
	}
	print("head: %s\n", s.Head)
	return errors.Join(errs...)
}
