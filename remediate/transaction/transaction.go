// Package transaction moves a host from the state before a plan to the state
// after it, or not at all, and back.
//
//	           begin            commit
//	(nothing) ------> moving ----------> committed ----> going back --> undone
//	                    |                  undo
//	                    |  failure, crash
//	                    +--------------> going back --> rolled back
//
// Each transaction has a journal (see Dir) that is durable before the first
// move. One that neither is committed nor went back was interrupted: whoever
// opens the transactions next takes it back, and so does Recover.
package transaction

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lazyregexp"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/flock"
	"github.com/hostguard/hostguard/remediate/statedir"
)

// Engine is what transactions on one host, or file tree, have in common.
type Engine struct {
	Root       string // of the file tree; "/" is this host
	Host       remediate.HostID
	Kinds      []remediate.Kind
	Activators []remediate.Activator // none for a file tree
	Version    string                // of hostguard
	Now        func() time.Time
	Progress   func(line string) // told of what is done; may be nil
}

// Transactions are the locked transactions of a host.
type Transactions struct {
	*Engine
	dir *os.File
}

// ActionKind is the Kind of a Conflict that is no step but an action: what runs
// did not take up what was taken back.
const ActionKind = "action"

// Conflict is what was not taken back: a step whose target somebody has changed
// since, and theirs stays; or an action that failed, after which a person must
// look.
type Conflict struct {
	Kind   string `json:"kind"`   // of the step, or ActionKind
	Target string `json:"target"` // of an action: "reload chrony.service"
	Why    string `json:"why"`
	Diff   string `json:"diff,omitempty"` // from what fix made to what is there
}

// Entry is one transaction of the history.
type Entry struct {
	Head
	State     State
	Ended     time.Time // of its last record; Started when there is none
	Conflicts []Conflict
	Err       error // why its journal cannot be used; the rest is empty then, but for the ID
}

var idForm = lazyregexp.New(`^[0-9]{8}t[0-9]{9}z-[0-9a-f]{6}$`)

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// nextID makes an id that sorts behind all there are, also when the clock was set back:
// the order in which transactions are taken back goes by it.
func (t *Transactions) nextID() (string, error) {
	list, _, err := ids(t.dir)
	if err != nil {
		return "", fmt.Errorf("cannot list the transactions in %s: %w", Dir, err)
	}
	now := t.Now().UTC()
	if len(list) > 0 {
		last, err := time.Parse("20060102t150405.000z", list[len(list)-1][:15]+"."+list[len(list)-1][15:19])
		if err != nil {
			return "", fmt.Errorf("cannot tell when the transaction %s began: move %s/%s away", list[len(list)-1], Dir, list[len(list)-1])
		}
		if next := last.Add(time.Millisecond); now.Before(next) {
			now = next
		}
	}
	return newID(now), nil
}

// newID makes an id that sorts by time.
func newID(now time.Time) string {
	var random [3]byte
	_, _ = rand.Read(random[:]) // never fails
	return strings.Replace(now.UTC().Format("20060102t150405.000z"), ".", "", 1) + "-" + hex.EncodeToString(random[:])
}

// Lock takes the lock of the host's transactions. Without create it is
// fs.ErrNotExist on a host that has none yet. Another process that holds it is
// a *flock.LockedError.
func (e *Engine) Lock(create bool) (*Transactions, error) {
	dir, err := statedir.Open(e.Root, Dir, create)
	if err != nil {
		return nil, fmt.Errorf("cannot open the transactions in %s: %w", Dir, err)
	}
	if err := flock.Take(dir); err != nil {
		dir.Close()
		return nil, fmt.Errorf("cannot work on the transactions in %s: %w", Dir, err)
	}
	return &Transactions{e, dir}, nil
}

// Close gives the lock back.
func (t *Transactions) Close() {
	_ = unix.Flock(int(t.dir.Fd()), unix.LOCK_UN) // see ledgerfile
	t.dir.Close()
}

// History lists the transactions, oldest first. It takes no lock: one that is
// at work shows as interrupted.
func (e *Engine) History() ([]Entry, error) {
	dir, err := statedir.Open(e.Root, Dir, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the transactions in %s: %w", Dir, err)
	}
	defer dir.Close()
	list, _, err := ids(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot list the transactions in %s: %w", Dir, err)
	}
	var entries []Entry
	for _, id := range list {
		j, err := openJournal(dir, id, false, e.Now)
		if err != nil {
			entries = append(entries, Entry{Head: Head{ID: id}, Err: err})
			continue
		}
		entry := Entry{Head: j.Head, State: j.state(), Ended: j.Started, Conflicts: j.conflicts()}
		if n := len(j.records); n > 0 {
			entry.Ended = j.records[n-1].At
		}
		j.close()
		entries = append(entries, entry)
	}
	return entries, nil
}

// ours reports why a journal is not this host's.
func (e *Engine) ours(h Head) error {
	if h.Plan.Root != e.Root {
		return fmt.Errorf("the transaction %s was made for %s: hostguard does not act on it for %s; give that as --root, or move %s/%s away", h.ID, h.Plan.Root, e.Root, Dir, h.ID)
	}
	if err := e.ofTree(h.Plan); err != nil {
		return fmt.Errorf("cannot use the transaction %s: %w", h.ID, err)
	}
	if m := h.Plan.Host.Machine; m != "" && m != e.Host.Machine {
		return fmt.Errorf("the transaction %s belongs to another host, %s: hostguard does not act on it; move %s/%s away", h.ID, h.Plan.Host.Hostname, Dir, h.ID)
	}
	return nil
}

// ofTree refuses what a file tree's plan cannot hold. A journal in a tree is the word
// of whoever made the tree, and must reach nothing outside it.
func (e *Engine) ofTree(p *remediate.Plan) error {
	if e.Root == "/" {
		return nil
	}
	for _, s := range p.Steps {
		if slices.ContainsFunc(e.Kinds, func(k remediate.Kind) bool { return k.Name == s.Kind && k.Running }) {
			return fmt.Errorf("it changes the %s %s of the running host, and lies in a file tree: somebody made it up", s.Kind, s.Target)
		}
	}
	if len(p.Activations) > 0 && len(e.Activators) == 0 {
		return fmt.Errorf("it would %s %s on the running host, and lies in a file tree: somebody made it up", p.Activations[0].Action, p.Activations[0].Unit)
	}
	return nil
}

// kind returns a step's kind, and what the kind calls its thing.
func (e *Engine) kind(j Head, step int) (remediate.Kind, remediate.Thing, error) {
	s := j.Plan.Steps[step-1]
	i := slices.IndexFunc(e.Kinds, func(k remediate.Kind) bool { return k.Name == s.Kind })
	if i < 0 {
		return remediate.Kind{}, remediate.Thing{}, fmt.Errorf("this hostguard does not know how to change the %s %s", s.Kind, s.Target)
	}
	return e.Kinds[i], remediate.Thing{Root: e.Root, Target: s.Target, Mark: fmt.Sprintf("%s-%d", j.ID, step), Began: j.Started}, nil
}

func (e *Engine) tell(format string, args ...any) {
	if e.Progress != nil {
		e.Progress(fmt.Sprintf(format, args...))
	}
}

// reloads is the activation that comes before units are moved: their files were.
const reloads = "daemon-reload"

// actionError says that an action failed that makes what runs take up what moved.
type actionError struct {
	what string // "reload chrony.service"
	err  error
}

func (e *actionError) Error() string { return fmt.Sprintf("cannot %s: %v", e.what, e.err) }
func (e *actionError) Unwrap() error { return e.err }

// activate does the plan's activations that are, or are not, reloads. One that
// fails keeps no other from being done.
func (e *Engine) activate(ctx context.Context, p *remediate.Plan, reload bool) []*actionError {
	var failed []*actionError
	for _, a := range p.Activations {
		if (a.Action == reloads) != reload {
			continue
		}
		what := a.String()
		i := slices.IndexFunc(e.Activators, func(x remediate.Activator) bool { return x.Action == a.Action })
		if i < 0 {
			failed = append(failed, &actionError{what, errors.New("this hostguard does not know how")})
			continue
		}
		e.tell("%s", what)
		if err := e.Activators[i].Do(ctx, a.Unit); err != nil {
			failed = append(failed, &actionError{what, err})
		}
	}
	return failed
}

// joined is all of them as one error; nil: there are none.
func joined(failed []*actionError) error {
	var errs []error
	for _, e := range failed {
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}
