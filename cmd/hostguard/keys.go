package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/syslog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/keyledger"
	"github.com/hostguard/hostguard/internal/printable"
	"github.com/hostguard/hostguard/remediate/flock"
	"github.com/hostguard/hostguard/remediate/ledgerfile"
)

// exitLocked is the code of EX_TEMPFAIL: another run writes the ledger.
const exitLocked = 75

// keysTimeout bounds what a keys verb looks at.
const keysTimeout = 30 * time.Second

// keysSchema is the version of the JSON forms; a change that a reader could
// stumble over raises the first number.
const keysSchema = "1.0"

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "The SSH key ledger: who was given which key, and what became of it",
		Long: `Keeps a ledger of the keys in authorized_keys files: /var/lib/hostguard/keys/
ledger.jsonl, one event a line, each with the hash of the line before; each append
is signed. docs/keyledger.md describes the files, and how to verify them with
sha256sum and ssh-keygen alone.`,
	}
	cmd.AddCommand(keysListCommand(), keysEnrolCommand(), keysNoteCommand(), keysLogCommand(), keysRemindCommand())
	return cmd
}

// keysHost is the host whose ledger is meant.
func keysHost(ctx context.Context, root string) (*host.Host, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("cannot use --root: %w", err)
	}
	if info, err := os.Stat(root); err != nil {
		return nil, fmt.Errorf("cannot use --root: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("cannot use --root: %s is not a folder", root)
	}
	h := host.New(host.Options{Root: root})
	if os.Geteuid() != 0 {
		return nil, exitError{exitIncomplete, host.ErrNotRoot}
	}
	return h, h.Lacks(ctx, host.Root)
}

func rootFlag(cmd *cobra.Command, root *string) {
	cmd.Flags().StringVar(root, "root", "/", "the file tree of a mounted image or container instead of this host")
}

type enrolOptions struct {
	root, reason       string
	persons, personFor []string
}

func keysEnrolCommand() *cobra.Command {
	var o enrolOptions
	cmd := &cobra.Command{
		Use:   "enrol",
		Short: "Take the keys that are in the files today down in the ledger",
		Long: `Records every key that stands in a file of keys and not in the ledger as enrolled,
and every key of the ledger that stands in its file no more as removed-outside.
The first run starts the ledger and makes the key that signs it. A run that finds
nothing new appends nothing. A key's age counts from the day it was first enrolled.

Look at what is enrolled: a key's being in a file is no proof that it belongs there.

Exit codes: 0 the ledger is up to date; 1 the ledger was changed by somebody, or
cannot be written; 2 the flags are wrong; 3 a file of keys could not be read;
75 another run writes the ledger.`,
		Example: `  sudo hostguard keys enrol --person operator="Olivia Operator" --reason "first enrolment"
  sudo hostguard keys enrol --person-for SHA256:ryaW2gUuYVqaJmRePW4sg8BnpxlJj5r8ZsHv0/0Qwrs="Ed Editor"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return enrolKeys(cmd, o) },
	}
	rootFlag(cmd, &o.root)
	f := cmd.Flags()
	f.StringArrayVar(&o.persons, "person", nil, "`ACCOUNT=NAME`: the person of the account's keys that have none yet (repeatable)")
	f.StringArrayVar(&o.personFor, "person-for", nil, "`FINGERPRINT=NAME`: the person of one key, also when another is named already (repeatable)")
	f.StringVar(&o.reason, "reason", "", "why, for the ledger")
	return cmd
}

// assignments reads flags of the form KEY=NAME.
func assignments(flag string, list []string) (map[string]string, error) {
	names := map[string]string{}
	for _, s := range list {
		key, name, ok := strings.Cut(s, "=")
		switch {
		case !ok || key == "" || strings.TrimSpace(name) == "":
			return nil, fmt.Errorf("cannot use --%s %q: want two words with = between them", flag, s)
		case !printable.IsText(name) || strings.Contains(name, "\n"):
			return nil, fmt.Errorf("cannot use --%s %q: the name holds characters that cannot be seen", flag, s)
		case names[key] != "" && names[key] != name:
			return nil, fmt.Errorf("cannot use --%s %q: %s is given to %s as well", flag, s, key, names[key])
		}
		names[key] = name
	}
	return names, nil
}

func enrolKeys(cmd *cobra.Command, o enrolOptions) error {
	var persons keyledger.Persons
	var err1, err2 error
	persons.ByAccount, err1 = assignments("person", o.persons)
	persons.ByKey, err2 = assignments("person-for", o.personFor)
	if err := errors.Join(err1, err2, textFlag("reason", o.reason)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), keysTimeout, fmt.Errorf("no end within %v", keysTimeout))
	defer cancel()
	h, err := keysHost(ctx, o.root)
	if err != nil {
		return err
	}
	files, err := h.AuthorizedKeys(ctx)
	if err != nil {
		return exitError{exitIncomplete, err}
	}
	keys, unseen := files.InFiles()
	present := make([]keyledger.Present, len(keys))
	for i, k := range keys {
		present[i] = keyledger.Present{Account: k.Account, Key: k.Key}
	}
	if names := persons.Unmatched(present); len(names) > 0 {
		return fmt.Errorf("cannot use --person: there is no key of %s in the files (hostguard keys list)", strings.Join(names, ", "))
	}
	store, err := openLedger(cmd, h, len(keys) > 0)
	if errors.Is(err, ledgerfile.ErrUnstarted) && len(keys) == 0 && len(unseen) == 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "no account has a key in a file: there is nothing to enrol")
		return nil
	}
	if err != nil {
		return err
	}
	defer store.Close()
	events := store.Ledger.Enrol(present, func(account string) bool { return isUnseen(unseen, account) }, persons, actor(ctx, h), o.reason)
	if err := record(cmd, h, store, events); err != nil {
		return err
	}
	for _, k := range store.Ledger.State.Keys() {
		if k.Live() && k.Person == "" {
			fmt.Fprintf(cmd.ErrOrStderr(), "hostguard: %s of %s has no person: hostguard keys enrol --person-for %s=NAME\n", k.Key, printable.String(k.Account), k.Key)
		}
	}
	var errs []error
	for _, u := range unseen {
		errs = append(errs, u.Err)
	}
	if len(errs) > 0 {
		return exitError{exitIncomplete, errors.Join(errs...)}
	}
	return nil
}

// isUnseen reports whether some keys of an account could not be seen.
func isUnseen(unseen []host.UnseenKeys, account string) bool {
	return slices.ContainsFunc(unseen, func(u host.UnseenKeys) bool { return u.Account == "" || u.Account == account })
}

func textFlag(flag, text string) error {
	if !printable.IsText(text) || strings.Contains(text, "\n") {
		return fmt.Errorf("cannot use --%s %q: it holds characters that cannot be seen", flag, text)
	}
	return nil
}

type noteOptions struct{ root, key, account, person, reason string }

func keysNoteCommand() *cobra.Command {
	var o noteOptions
	cmd := &cobra.Command{
		Use:   "note informed|tested",
		Short: "Note in the ledger that a key's person was told, or that the key was tried",
		Long: `Appends an event for each key that is meant: "informed" when its person was told
of it, "tested" when a login with it was tried and worked.

Exit codes: 0 noted; 1 the ledger was changed by somebody, or cannot be written;
2 the flags are wrong, or the ledger has no such key; 75 another run writes it.`,
		Example: `  sudo hostguard keys note informed --account operator --reason "mail of 2026-03-01"
  sudo hostguard keys note tested --key SHA256:ryaW2gUuYVqaJmRePW4sg8BnpxlJj5r8ZsHv0/0Qwrs`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{keyledger.Informed.String(), keyledger.Tested.String()},
		RunE:      func(cmd *cobra.Command, args []string) error { return noteKeys(cmd, o, args[0]) },
	}
	rootFlag(cmd, &o.root)
	f := cmd.Flags()
	f.StringVar(&o.key, "key", "", "the key's `fingerprint`: SHA256:…")
	f.StringVar(&o.account, "account", "", "the keys of this `account`")
	f.StringVar(&o.person, "person", "", "who was told, or who tried (default: the key's person)")
	f.StringVar(&o.reason, "reason", "", "how, for the ledger")
	cmd.MarkFlagsOneRequired("key", "account")
	return cmd
}

func noteKeys(cmd *cobra.Command, o noteOptions, what string) error {
	if o.key != "" && !keyledger.IsFingerprint(o.key) {
		return fmt.Errorf("cannot use --key %q: want a fingerprint such as SHA256:ryaW2gUuYVqaJmRePW4sg8BnpxlJj5r8ZsHv0/0Qwrs", o.key)
	}
	if err := errors.Join(textFlag("person", o.person), textFlag("reason", o.reason)); err != nil {
		return err
	}
	kind := keyledger.Informed
	if what == keyledger.Tested.String() {
		kind = keyledger.Tested
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), keysTimeout)
	defer cancel()
	h, err := keysHost(ctx, o.root)
	if err != nil {
		return err
	}
	store, err := openLedger(cmd, h, false)
	if err != nil {
		return err
	}
	defer store.Close()
	events, err := store.Ledger.Note(kind, o.account, o.key, o.person, actor(ctx, h), o.reason)
	if err != nil {
		return err
	}
	return record(cmd, h, store, events)
}

// openLedger opens the ledger to write it, and says what was completed of an
// earlier run.
func openLedger(cmd *cobra.Command, h *host.Host, create bool) (*ledgerfile.Store, error) {
	signal.Ignore(syscall.SIGHUP) // a terminal that goes away must not cut off what is written
	store, err := ledgerfile.Open(h.Root(), create, time.Now())
	var locked *flock.LockedError
	switch {
	case errors.As(err, &locked):
		return nil, exitError{exitLocked, err}
	case err != nil:
		return nil, exitError{exitFindings, err}
	}
	for _, text := range store.Recovered {
		fmt.Fprintf(cmd.ErrOrStderr(), "hostguard: key ledger: %s\n", text)
	}
	if len(store.Recovered) > 0 && store.Ledger != nil {
		announce(cmd, h, store.Ledger, 0)
	}
	return store, nil
}

// record appends events and says what was recorded.
func record(cmd *cobra.Command, h *host.Host, store *ledgerfile.Store, events []keyledger.Event) error {
	out := cmd.OutOrStdout()
	if len(events) > 0 {
		if err := store.Append(events, time.Now()); err != nil {
			return exitError{exitFindings, err}
		}
		announce(cmd, h, store.Ledger, len(events))
	} else {
		fmt.Fprintln(out, "nothing to record")
	}
	for _, e := range events {
		fmt.Fprintf(out, "%v: %s %s%s\n", e.Kind, printable.String(e.Account), e.Key, inBrackets(e.Person))
	}
	fmt.Fprintf(out, "ledger: %d events, head %v\n", store.Ledger.Sequence, store.Ledger.Head)
	return nil
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + printable.Text(s) + ")"
}

// announce sends the new head to where root of this host alone cannot change
// it afterwards, when its log is sent elsewhere.
func announce(cmd *cobra.Command, h *host.Host, l *keyledger.Ledger, events int) {
	if !h.Running() {
		return
	}
	log, err := syslog.New(syslog.LOG_NOTICE|syslog.LOG_AUTHPRIV, "hostguard")
	if err == nil {
		err = log.Notice(fmt.Sprintf("key ledger: %d appended, %d events, head %v", events, l.Sequence, l.Head))
		log.Close()
	}
	if err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "hostguard: cannot send the new head to syslog: %s\n", printable.String(err.Error()))
	}
}

// actor says who runs this, and what each word rests on. A session's uid is the
// kernel's; SUDO_USER is what sudo put into the environment, or somebody else.
func actor(ctx context.Context, h *host.Host) string {
	words := []string{fmt.Sprintf("uid %d", os.Getuid())}
	data, err := os.ReadFile("/proc/self/loginuid")
	if uid := strings.TrimSpace(string(data)); err == nil && uid != "4294967295" && uid != "" {
		word := "loginuid " + uid
		if h.Running() {
			if a, err := h.Accounts(ctx); err == nil {
				for i := range a.Users {
					if fmt.Sprint(a.Users[i].UID) == uid {
						word += " (" + a.Users[i].Name + ")"
						break
					}
				}
			}
		}
		words = append(words, word)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		words = append(words, "loginuid unknown")
	}
	if user := os.Getenv("SUDO_USER"); user != "" {
		words = append(words, "SUDO_USER "+user)
	}
	return printable.Clip(strings.Join(words, ", "), 200)
}
