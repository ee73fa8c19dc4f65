package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	sshing "github.com/hostguard/hostguard/checks/ssh"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/keyledger"
	"github.com/hostguard/hostguard/internal/notify"
	"github.com/hostguard/hostguard/internal/printable"
	"github.com/hostguard/hostguard/internal/quantity"
)

// remindWithin is how long before its end a key is spoken of, when the profile
// does not say it.
const remindWithin = quantity.Duration(14 * 24 * time.Hour)

// maxReminded bounds what is remembered of keys, and said of them at once.
const maxReminded = 2000

func keysRemindCommand() *cobra.Command {
	var src sources
	var within quantity.Duration
	var quiet bool
	cmd := &cobra.Command{
		Use:   "remind",
		Short: "Tell of the keys that have to be replaced soon, or had to be",
		Long: `Looks for keys in the files of all accounts that have to be replaced within two
weeks, or are older than the profile allows already, by the key ledger, and tells
of them: through syslog always, by mail and by webhook when hostguard.yaml says so
(notify). Of a key whose age nobody knows it tells as well.

A key is spoken of when it comes to its last two weeks and once a week from then
on, when it is too old, and once a day from then on, and when that has ended. What
is remembered lies in /var/lib/hostguard/keys-remind.

Exit codes: 0 who had to be told was told; 1 somebody could not be told, or the
run cannot be remembered; 2 the flags, rules or configuration are wrong; 3 some
keys or the ledger could not be seen, and that was told; 75 another run is at work.`,
		Example: `  sudo hostguard keys remind
  sudo hostguard keys remind --within 30d`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return remindOfKeys(cmd, src, within, quiet) },
	}
	sourceFlags(cmd, &src)
	cmd.Flags().TextVar(&within, "within", quantity.Duration(0), "how long before its end a key is spoken of (default: the profile's, else "+remindWithin.String()+")")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing but errors")
	return cmd
}

func remindOfKeys(cmd *cobra.Command, src sources, within quantity.Duration, quiet bool) error {
	a, err := load(src)
	if err != nil {
		return err
	}
	if within == 0 {
		within = soonOf(a)
	}
	if os.Geteuid() != 0 {
		return exitError{exitIncomplete, host.ErrNotRoot}
	}
	signal.Ignore(syscall.SIGHUP) // a terminal that goes away is no reason not to tell
	now := time.Now()
	told := notify.Told{}
	state, failed, err := recall(cmd, reminderJob, &told)
	if err != nil {
		return err
	}
	if state != nil {
		defer state.Close()
	}
	h := host.New(host.Options{})
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), keysTimeout, fmt.Errorf("no end within %v", keysTimeout))
	items, unseen := keyItems(ctx, h, time.Duration(maxKeyAge(a)), time.Duration(within), now)
	identity, _ := h.Identity(ctx)
	cancel()

	channels, problems := channelsOf(a.Config, identity.Hostname)
	failed = append(failed, problems...)
	about := topic{"keys", func(items []notify.Item) string { return "SSH keys: " + titleOf(items, "needs no reminder any more") },
		notify.Policy{Repeat: remindAgain, Gone: "needs no reminder any more"}}
	outcome, errs := notifyAll(cmd.Context(), about, identity.Hostname, channels, items, told, now)
	failed = append(failed, errs...)
	if state != nil && len(outcome) > 0 {
		if err := state.Save(told); err != nil {
			failed = append(failed, err)
		}
	}
	if !quiet {
		out := cmd.OutOrStdout()
		for _, i := range items {
			fmt.Fprintf(out, "%v: %s\n", i.Level, printable.String(i.Text))
		}
		if len(items) == 0 {
			fmt.Fprintf(out, "no key has to be replaced within %v\n", within)
		}
		sayTold(out, outcome)
	}
	return jobEnd(failed, unseen)
}

// soonOf is the time before a key's end that a rule of the profile names.
func soonOf(a *audit) quantity.Duration {
	for _, b := range a.Bound {
		if p, ok := b.Params.(sshing.KeyAgeParams); ok && p.Within > 0 {
			return p.Within
		}
	}
	return remindWithin
}

// remindAgain leaves an hour for a daily job that starts a little late or early.
func remindAgain(l notify.Level) time.Duration {
	if l == notify.Critical {
		return 23 * time.Hour
	}
	return 7*24*time.Hour - time.Hour
}

// keyItems are the keys to speak of, and what could not be seen, of which is
// spoken as well.
func keyItems(ctx context.Context, h *host.Host, maxAge, within time.Duration, now time.Time) (items []notify.Item, unseen []error) {
	cannot := func(id string, err error) {
		items = append(items, notify.Item{ID: id, Level: notify.Unknown, Text: err.Error()})
		unseen = append(unseen, err)
	}
	ledger, err := h.KeyLedger(ctx)
	if err != nil {
		cannot("the key ledger", err)
		return items, unseen
	}
	if ledger.Problem != nil {
		cannot("the key ledger", fmt.Errorf("the key ledger was changed, so that nobody knows how old a key is: %s", path.Join(keyledger.Dir, ledger.Problem.Error())))
		return items, unseen
	}
	files, err := h.AuthorizedKeys(ctx)
	if err != nil {
		cannot("the files of keys", err)
		return items, unseen
	}
	keys, hidden := files.InFiles()
	for _, u := range hidden {
		cannot("the keys of "+strings.ToValidUTF8(u.Account, "\ufffd"), u.Err)
	}
	if ledger.Ledger == nil && len(keys) > 0 {
		cannot("the key ledger", fmt.Errorf("there is no key ledger, so that nobody knows how old the %d keys in files are: hostguard keys enrol", len(keys)))
		return items, unseen
	}
	met := map[keyledger.Present]bool{}
	for i := range keys {
		in := &keys[i]
		at := keyledger.Present{Account: in.Account, Key: in.Key}
		if met[at] || len(items) >= maxReminded {
			continue
		}
		met[at] = true
		var known *keyledger.Key
		if ledger.Ledger != nil {
			known = ledger.Ledger.State.Find(in.Account, in.Key)
		}
		if item, speak := keyItem(in, known, maxAge, within, now); speak {
			items = append(items, item)
		}
	}
	return items, unseen
}

// keyItem is what is to be said of a key in a file; known is its entry in the
// ledger, nil when there is none.
func keyItem(in *host.KeyInFile, known *keyledger.Key, maxAge, within time.Duration, now time.Time) (notify.Item, bool) {
	item := notify.Item{ID: strings.ToValidUTF8(in.Account, "\ufffd") + " " + in.Key}
	if known == nil || !known.Live() {
		item.Level = notify.Unknown
		item.Text = fmt.Sprintf("the key %s of %s (%s:%d) is not in the key ledger, so that nobody knows how old it is: hostguard keys enrol", in.Key, in.Account, in.File, in.Line)
		return item, true
	}
	of := in.Account
	if known.Person != "" {
		of += " (" + known.Person + ")"
	}
	due := known.Since.Add(maxAge)
	left := due.Sub(now)
	day := due.UTC().Format(time.DateOnly)
	switch {
	case known.Since.After(now.Add(time.Hour)):
		item.Level = notify.Unknown
		item.Text = fmt.Sprintf("the key %s of %s came into the key ledger at a time that has not come yet", in.Key, of)
	case left < 0:
		item.Level = notify.Critical
		item.Text = fmt.Sprintf("the key %s of %s had to be replaced by %s, %d days ago", in.Key, of, day, int(-left/(24*time.Hour)))
	case left < within:
		item.Level = notify.Warning
		item.Text = fmt.Sprintf("the key %s of %s has to be replaced by %s, in %d days", in.Key, of, day, int(left/(24*time.Hour)))
	default:
		return item, false
	}
	return item, true
}
