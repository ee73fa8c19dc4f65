package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/keyledger"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/ledgerfile"
)

// State is what is in the key ledger.
type State struct {
	Keys   []string `json:"keys"`   // "ACCOUNT FINGERPRINT" of those that are in files by its word, sorted
	Events int      `json:"events"` // how many there are
	Files  []string `json:"files"`  // of the ledger, by name, sorted
	Folder bool     `json:"folder"`
}

// Ledger is the kind of step that starts a ledger.
var Ledger = remediate.NewKind("key-ledger", remediate.Files, remediate.Mover[State]{
	Observe: func(_ context.Context, t remediate.Thing) (State, error) { return observe(t.Root) },
	Move:    func(_ context.Context, t remediate.Thing, from, to State) error { return start(t, from, to) },
	Back:    func(_ context.Context, t remediate.Thing, from, to State) error { return takeBack(t, from, to) },
	Show:    show,
})

func started(keys []keyledger.Present) State {
	s := State{Events: len(keys), Files: []string{keyledger.SignersFile, keyledger.CheckpointsFile, keyledger.LedgerFile, keyledger.SigningKeyFile}, Folder: true}
	for _, k := range keys {
		s.Keys = append(s.Keys, k.Account+" "+k.Key)
	}
	slices.Sort(s.Keys)
	slices.Sort(s.Files)
	return s
}

func observe(root string) (State, error) {
	s := State{Keys: []string{}}
	var err error
	if s.Files, s.Folder, err = ledgerfile.Files(root); err != nil {
		return State{}, err
	}
	read, err := host.New(host.Options{Root: root}).ReadKeyLedger(keyledger.Options{})
	if err != nil {
		return State{}, err
	}
	if read.Problem != nil {
		return State{}, fmt.Errorf("cannot go by the key ledger, which was changed: %w", read.Problem)
	}
	if read.Ledger == nil {
		return s, nil
	}
	s.Events = read.Ledger.Sequence
	for _, k := range read.Ledger.State.Keys() {
		if k.Live() {
			s.Keys = append(s.Keys, k.Account+" "+k.Key)
		}
	}
	slices.Sort(s.Keys)
	return s, nil
}

// by is what the ledger names as the writer; the journal says who ran it.
const by = "hostguard fix (hostguard history says who)"

func start(t remediate.Thing, from, to State) error {
	now, err := observe(t.Root)
	if err != nil {
		return err
	}
	if now.Events != from.Events {
		return &remediate.ConflictError{Target: t.Target, Why: "somebody has started the key ledger meanwhile"}
	}
	store, err := ledgerfile.Open(t.Root, true, time.Now())
	if err != nil {
		return err
	}
	defer store.Close()
	if store.Ledger != nil {
		return &remediate.ConflictError{Target: t.Target, Why: "somebody has started the key ledger meanwhile"}
	}
	var present []keyledger.Present
	for _, k := range to.Keys {
		account, key, ok := cutLast(k)
		if !ok {
			return errors.New("cannot read a key of the plan")
		}
		present = append(present, keyledger.Present{Account: account, Key: key})
	}
	events := store.Ledger.Enrol(present, func(string) bool { return false }, keyledger.Persons{}, by, "first enrolment")
	return store.Append(events, time.Now())
}

// cutLast parts an account, which may hold spaces, from a fingerprint.
func cutLast(text string) (account, key string, ok bool) {
	i := strings.LastIndexByte(text, ' ')
	if i < 0 {
		return "", "", false
	}
	return text[:i], text[i+1:], true
}

// takeBack removes a ledger that holds nothing but what start wrote.
func takeBack(t remediate.Thing, from, to State) error {
	now, err := observe(t.Root)
	if err != nil {
		return &remediate.ConflictError{Target: t.Target, Why: err.Error()}
	}
	if now.Events == 0 && now.Folder == from.Folder && slices.Equal(now.Files, from.Files) {
		return nil
	}
	foreign := slices.ContainsFunc(now.Keys, func(k string) bool { return !slices.Contains(to.Keys, k) })
	if now.Events > to.Events || foreign || now.Events == to.Events && !slices.Equal(now.Keys, to.Keys) {
		return &remediate.ConflictError{Target: t.Target, Why: "the key ledger has grown since; what it says is kept"}
	}
	return ledgerfile.Remove(t.Root, from.Files, from.Folder)
}

func show(target string, from, to State) string {
	var b strings.Builder
	if len(to.Keys) == 0 || to.Events < from.Events {
		fmt.Fprintf(&b, "%s: the key ledger is removed\n", target)
		return b.String()
	}
	fmt.Fprintf(&b, "%s: the key ledger begins with\n", target)
	for _, k := range to.Keys {
		if !slices.Contains(from.Keys, k) {
			fmt.Fprintf(&b, "  enrolled %s\n", k)
		}
	}
	return b.String()
}
