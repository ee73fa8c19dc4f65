package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	sshing "github.com/hostguard/hostguard/checks/ssh"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/keyledger"
	"github.com/hostguard/hostguard/internal/printable"
	"github.com/hostguard/hostguard/internal/quantity"
)

func keysListCommand() *cobra.Command {
	var src sources
	var root, format string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys in the files, with their person, age and last login",
		Long: `Lists every key in the files of all accounts beside what the key ledger says of
it: whose it is, since when, when it must be replaced, and when sshd last accepted
it (from the journal, else from auth.log).

  known    in a file and in the ledger
  overdue  so, and older than the profile allows
  unknown  in a file, and not in the ledger or gone by its word
  gone     in the ledger, and in no file
  unseen   in the ledger, and its file could not be read

A key's age counts from its first day in the ledger, which may be long after the
file was written: the file's time is shown as a hint, since any edit changes it.

Exit codes: 0 listed; 1 the ledger was changed by somebody; 2 the flags, rules or
configuration are wrong; 3 something could not be seen.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return listKeys(cmd, src, root, format) },
	}
	sourceFlags(cmd, &src)
	rootFlag(cmd, &root)
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

// shownKeys is keys list in JSON.
type shownKeys struct {
	SchemaVersion string     `json:"schema_version"`
	Ledger        *ledgerNow `json:"ledger"` // null: there is none that counts
	MaxAge        string     `json:"max_age"`
	Logins        string     `json:"logins,omitempty"` // where the last logins were looked up
	Keys          []shownKey `json:"keys"`
	Elsewhere     []string   `json:"elsewhere"` // settings by which keys come from elsewhere: not listed
	Unseen        []string   `json:"unseen"`
}

// ledgerNow is where the ledger stands.
type ledgerNow struct {
	Path     string `json:"path"`
	Sequence int    `json:"sequence"`
	Head     string `json:"head"`
	Signed   bool   `json:"signed"`
}

type shownKey struct {
	Account     string     `json:"account"`
	Key         string     `json:"key"`
	Kind        string     `json:"kind,omitempty"` // absent when it is in no file
	Comment     string     `json:"comment,omitempty"`
	File        string     `json:"file,omitempty"`
	Line        int        `json:"line,omitempty"`
	FileChanged *time.Time `json:"file_changed,omitempty"`
	State       string     `json:"state"`
	Person      string     `json:"person,omitempty"`
	Since       *time.Time `json:"since,omitempty"`
	AgeDays     *int       `json:"age_days,omitempty"`
	Due         *time.Time `json:"due,omitempty"`
	Gone        string     `json:"gone,omitempty"` // the event that says so; absent for a key that went since the last enrolment
	GoneAt      *time.Time `json:"gone_at,omitempty"`
	Informed    *time.Time `json:"informed,omitempty"`
	Tested      *time.Time `json:"tested,omitempty"`
	LastLogin   *lastLogin `json:"last_login"` // null: none was seen
}

type lastLogin struct {
	Time time.Time `json:"time"`
	From string    `json:"from"`
}

// States of a key.
const (
	keyKnown   = "known"
	keyOverdue = "overdue"
	keyUnknown = "unknown"
	keyGone    = "gone"
	keyUnseen  = "unseen"
)

func listKeys(cmd *cobra.Command, src sources, root, format string) error {
	if format != "text" && format != "json" {
		return fmt.Errorf("there is no format %q: want text or json", format)
	}
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), keysTimeout, fmt.Errorf("no end within %v", keysTimeout))
	defer cancel()
	h, err := keysHost(ctx, root)
	if err != nil {
		return err
	}
	src.Tree = !h.Running()
	a, err := load(src)
	if err != nil {
		return err
	}
	ledger, err := h.KeyLedger(ctx)
	if err != nil {
		return exitError{exitIncomplete, err}
	}
	if ledger.Problem != nil {
		return exitError{exitFindings, fmt.Errorf("the key ledger was changed: %s/%w", keyledger.Dir, ledger.Problem)}
	}
	files, err := h.AuthorizedKeys(ctx)
	if err != nil {
		return exitError{exitIncomplete, err}
	}
	keys, unseen := files.InFiles()
	shown := shownKeys{SchemaVersion: keysSchema, MaxAge: maxKeyAge(a).String(), Ledger: whereLedgerStands(ledger), Keys: []shownKey{}, Elsewhere: keysElsewhere(files), Unseen: []string{}}
	var errs []error
	for _, u := range unseen {
		shown.Unseen = append(shown.Unseen, printable.String(u.Err.Error()))
		errs = append(errs, u.Err)
	}
	logins, err := h.AcceptedLogins(ctx)
	if err != nil {
		errs = append(errs, err)
		logins = &host.KeyLogins{}
	} else {
		shown.Logins = logins.String()
	}
	shown.Keys = compare(keys, unseen, ledger.Ledger, logins, time.Duration(maxKeyAge(a)), time.Now())
	if format == "json" {
		err = writeJSON(cmd.OutOrStdout(), shown)
	} else {
		err = shown.writeText(cmd.OutOrStdout())
	}
	if err != nil {
		return exitError{exitFindings, fmt.Errorf("cannot write: %w", err)}
	}
	if len(errs) > 0 {
		return exitError{exitIncomplete, errors.Join(errs...)}
	}
	return nil
}

// keysElsewhere are the settings that let keys in which stand in no file of keys.
func keysElsewhere(files *host.AuthorizedKeys) []string {
	list := []string{}
	for _, s := range files.Servers {
		for _, setting := range s.Others {
			if setting.Keyword == "revokedkeys" {
				continue
			}
			for _, v := range setting.Values {
				text := printable.String(fmt.Sprintf("%s %s (%v)", setting.Keyword, v.Text, v.At))
				if !slices.Contains(list, text) {
					list = append(list, text)
				}
			}
		}
	}
	return list
}

// maxKeyAge is what the profile in force allows.
func maxKeyAge(a *audit) quantity.Duration {
	for _, b := range a.Bound {
		if p, ok := b.Params.(sshing.KeyAgeParams); ok && p.Within == 0 {
			return p.MaxAge
		}
	}
	return quantity.Duration(90 * 24 * time.Hour)
}

func whereLedgerStands(k *host.KeyLedger) *ledgerNow {
	l := k.Ledger
	if l == nil || l.Sequence == 0 {
		return nil
	}
	return &ledgerNow{path.Join(keyledger.Dir, keyledger.LedgerFile), l.Sequence, l.Head.String(), l.Unsigned() == 0}
}

// compare puts the keys in files beside those of the ledger, which is nil when
// there is none.
func compare(keys []host.KeyInFile, unseen []host.UnseenKeys, ledger *keyledger.Ledger, logins *host.KeyLogins, maxAge time.Duration, now time.Time) []shownKey {
	list := []shownKey{}
	at := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = t.UTC().Truncate(time.Second)
		return &t
	}
	fromLedger := func(s *shownKey, k *keyledger.Key) {
		due, days := k.Since.Add(maxAge), int(now.Sub(k.Since)/(24*time.Hour))
		s.Person, s.Since, s.Due, s.AgeDays = printable.Text(k.Person), at(k.Since), at(due), &days
		s.Informed, s.Tested, s.GoneAt = at(k.Informed), at(k.Tested), at(k.GoneAt)
		if !k.Live() {
			s.Gone = k.Gone.String()
		}
	}
	met := map[keyledger.Present]bool{}
	for _, in := range keys {
		s := shownKey{Account: printable.String(in.Account), Key: in.Key, Kind: in.Kind, Comment: printable.Clip(in.Comment, 200),
			File: printable.String(in.File), Line: in.Line, FileChanged: at(in.Modified), State: keyUnknown}
		met[keyledger.Present{Account: in.Account, Key: in.Key}] = true
		if ledger != nil {
			if k := ledger.State.Find(in.Account, in.Key); k != nil {
				fromLedger(&s, k)
				switch {
				case !k.Live():
				case now.After(*s.Due):
					s.State = keyOverdue
				default:
					s.State = keyKnown
				}
			}
		}
		if l, ok := logins.Last[host.LoginKey{Account: in.Account, Key: in.Key}]; ok {
			s.LastLogin = &lastLogin{*at(l.Time), printable.String(l.From)}
		}
		list = append(list, s)
	}
	if ledger == nil {
		return list
	}
	for _, k := range ledger.State.Keys() {
		if met[keyledger.Present{Account: k.Account, Key: k.Key}] {
			continue
		}
		s := shownKey{Account: printable.String(k.Account), Key: k.Key, State: keyGone}
		fromLedger(&s, k)
		if k.Live() && isUnseen(unseen, k.Account) {
			s.State = keyUnseen
		} else {
			s.Due = nil
		}
		if l, ok := logins.Last[host.LoginKey{Account: k.Account, Key: k.Key}]; ok {
			s.LastLogin = &lastLogin{*at(l.Time), printable.String(l.From)}
		}
		list = append(list, s)
	}
	return list
}

func (s *shownKeys) writeText(w io.Writer) error {
	var errs []error
	print := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format, args...)
		errs = append(errs, err)
	}
	day := func(t *time.Time) string { return t.Format(time.DateOnly) }
	for _, k := range s.Keys {
		print("%-8s %s  %s  %s\n", k.State, k.Account, k.Key, k.Kind)
		var words []string
		switch {
		case k.Person != "":
			words = append(words, "person "+oneLine(k.Person))
		case k.Since != nil:
			words = append(words, "person not named")
		}
		if k.Since != nil {
			words = append(words, fmt.Sprintf("since %s (%d days)", day(k.Since), *k.AgeDays))
		}
		switch {
		case k.Due != nil && k.State != keyUnknown:
			words = append(words, "due "+day(k.Due))
		case k.State == keyGone && k.Gone == "":
			words = append(words, "not in its file any more: hostguard keys enrol notes it")
		case k.Gone != "":
			words = append(words, fmt.Sprintf("%s %s", k.Gone, day(k.GoneAt)))
		}
		if k.Informed != nil {
			words = append(words, "informed "+day(k.Informed))
		}
		if k.Tested != nil {
			words = append(words, "tested "+day(k.Tested))
		}
		if k.LastLogin != nil {
			words = append(words, fmt.Sprintf("last login %s from %s", k.LastLogin.Time.Format("2006-01-02 15:04Z"), k.LastLogin.From))
		} else {
			words = append(words, "no login seen")
		}
		print("         %s\n", strings.Join(words, ", "))
		if k.File != "" {
			print("         %s:%d", k.File, k.Line)
			if k.FileChanged != nil {
				print(", file changed %s", day(k.FileChanged))
			}
			if k.Comment != "" {
				print(", comment \"%s\"", k.Comment)
			}
			print("\n")
		}
	}
	if len(s.Keys) == 0 {
		print("no account has a key in a file\n")
	}
	for _, e := range s.Elsewhere {
		print("not listed: keys that come by %s\n", e)
	}
	if s.Logins != "" {
		print("logins: from %s\n", s.Logins)
	}
	if l := s.Ledger; l != nil {
		print("ledger: %d events, head %s%s\n", l.Sequence, l.Head, map[bool]string{false: ", the last of them not signed"}[l.Signed])
	} else {
		print("ledger: none: hostguard keys enrol --person ACCOUNT=NAME starts one\n")
	}
	return errors.Join(errs...)
}
