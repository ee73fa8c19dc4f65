package transaction

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/remediate"
)

// back takes a transaction's steps back, last first, and ends it as rolled back
// or undone. A target that somebody has changed since stays as they made it, and
// what runs may refuse to take up what is as before: conflicts, which trying
// again would not end. With an error the transaction stays interrupted.
func (t *Transactions) back(ctx context.Context, j *journal, end event, why string) ([]Conflict, error) {
	if err := j.write(goingBack, 0, why); err != nil {
		t.tell("%v", err) // what can be taken back is, journal or not
	}
	var conflicts []Conflict
	var errs []error
	for n := len(j.Plan.Steps); n >= 1; n-- {
		if !j.begun(n) {
			continue
		}
		kind, thing, err := t.kind(j.Head, n)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s := j.Plan.Steps[n-1]
		t.tell("back: %s %s", s.Kind, s.Target)
		err = kind.Back(ctx, thing, s.Before, s.After)
		switch {
		case remediate.IsConflict(err):
			conflict := t.conflict(ctx, kind, thing, s, err)
			conflicts = append(conflicts, conflict)
			errs = append(errs, j.write(conflicted, n, conflict.Why))
		case err != nil:
			errs = append(errs, err)
		default:
			errs = append(errs, j.write(movedBack, n, ""))
		}
	}
	for _, failed := range slices.Concat(t.activate(ctx, j.Plan, true), t.activate(ctx, j.Plan, false)) {
		conflicts = append(conflicts, Conflict{Kind: ActionKind, Target: failed.what, Why: failed.err.Error()})
		errs = append(errs, j.write(notDone, 0, failed.what+": "+failed.err.Error()))
	}
	kept, err := t.clean(ctx, j)
	conflicts = append(conflicts, kept...)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return conflicts, err
	}
	return conflicts, j.write(end, 0, "")
}

// conflict shows what somebody made of a step's target.
func (t *Transactions) conflict(ctx context.Context, kind remediate.Kind, thing remediate.Thing, s remediate.Step, err error) Conflict {
	c := Conflict{Kind: s.Kind, Target: s.Target, Why: err.Error()}
	if conflict := (*remediate.ConflictError)(nil); errors.As(err, &conflict) {
		c.Why = conflict.Why
	}
	if now, err := kind.Observe(ctx, thing); err == nil {
		c.Diff = kind.Show(s.Target, s.After, now)
	}
	return c
}

// Recovered is an interrupted transaction that was taken back.
type Recovered struct {
	ID        string
	Conflicts []Conflict
}

// Recover takes back what interrupted runs left, newest first, and clears away
// the folders of transactions that never began. A journal that cannot be used is
// an error where it may be one of those, and else is returned as damaged.
func (t *Transactions) Recover(ctx context.Context) ([]Recovered, []Damaged, error) {
	list, unfinished, err := ids(t.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot list the transactions in %s: %w", Dir, err)
	}
	var errs []error
	for _, name := range unfinished {
		if err := removeFolder(t.dir, name); err != nil {
			errs = append(errs, fmt.Errorf("cannot clear away %s/%s: %w", Dir, name, err))
		}
	}
	var recovered []Recovered
	var damaged []Damaged
	for _, id := range slices.Backward(list) {
		r, err := t.recover(ctx, id)
		var broken *Damaged
		switch {
		case r != nil:
			recovered = append(recovered, *r)
		case errors.As(err, &broken) && broken.State != Open:
			damaged = append(damaged, *broken)
			continue
		}
		errs = append(errs, err)
	}
	return recovered, damaged, errors.Join(errs...)
}

func (t *Transactions) recover(ctx context.Context, id string) (*Recovered, error) {
	j, err := openJournal(t.dir, id, true, t.Now)
	if err != nil {
		return nil, err
	}
	defer j.close()
	state := j.state()
	if state != Open && (state != Committed || j.finished()) {
		return nil, nil
	}
	if err := t.ours(j.Head); err != nil {
		return nil, err
	}
	if state == Committed {
		_, err := t.finish(ctx, j)
		return nil, err
	}
	end := rolledBack
	if j.held() {
		end = undone
	}
	t.tell("take back the interrupted transaction %s", id)
	conflicts, err := t.back(ctx, j, end, "interrupted")
	if err != nil {
		return nil, fmt.Errorf("cannot take back the transaction %s: %w", id, err)
	}
	return &Recovered{ID: id, Conflicts: conflicts}, nil
}

// Undo takes back a committed transaction; id is empty for the newest. What
// somebody has changed since stays, and is returned.
func (t *Transactions) Undo(ctx context.Context, id string) (Recovered, error) {
	if id == "" {
		var err error
		if id, err = t.newest(); err != nil {
			return Recovered{}, err
		}
	}
	if list, _, err := ids(t.dir); err == nil && !slices.Contains(list, id) {
		return Recovered{}, fmt.Errorf("cannot undo: there is no transaction %s (hostguard history)", id)
	}
	j, err := openJournal(t.dir, id, true, t.Now)
	if err != nil {
		return Recovered{}, err
	}
	defer j.close()
	if state := j.state(); state != Committed {
		return Recovered{}, fmt.Errorf("cannot undo the transaction %s: it is %s", id, state)
	}
	if err := t.ours(j.Head); err != nil {
		return Recovered{}, err
	}
	if err := t.covered(j); err != nil {
		return Recovered{}, err
	}
	var errs []error
	memory := map[string]any{}
	for n, s := range j.Plan.Steps {
		kind, thing, err := t.kind(j.Head, n+1)
		thing.Memory = memory
		if err == nil {
			err = kind.Preflight(ctx, thing, s.After, s.Before)
		}
		if !remediate.IsConflict(err) && !errors.Is(err, fs.ErrNotExist) { // nor what was removed with its folder
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Recovered{}, &RefusedError{fmt.Errorf("cannot undo the transaction %s: %w", id, err)}
	}
	conflicts, err := t.back(context.WithoutCancel(ctx), j, undone, "undo")
	if err != nil {
		err = fmt.Errorf("cannot undo the transaction %s wholly: %w", id, err)
	}
	return Recovered{ID: id, Conflicts: conflicts}, err
}

// newest finds the transaction that undo means when none is named.
func (t *Transactions) newest() (string, error) {
	list, _, err := ids(t.dir)
	if err != nil {
		return "", fmt.Errorf("cannot list the transactions in %s: %w", Dir, err)
	}
	for _, id := range slices.Backward(list) {
		j, err := openJournal(t.dir, id, false, t.Now)
		var broken *Damaged
		switch {
		case errors.As(err, &broken) && broken.over():
			continue
		case errors.As(err, &broken):
			return "", fmt.Errorf("cannot tell what to undo: %w (or name another transaction: hostguard history)", err)
		case err != nil:
			return "", err
		}
		state := j.state()
		j.close()
		if state == Committed {
			return id, nil
		}
	}
	return "", errNothing
}

var errNothing = errors.New("there is nothing to undo: no transaction is committed (hostguard history)")

// covered reports a newer transaction that moved on what this one moved: that
// must be undone first.
func (t *Transactions) covered(j *journal) error {
	list, _, err := ids(t.dir)
	if err != nil {
		return fmt.Errorf("cannot list the transactions in %s: %w", Dir, err)
	}
	for _, id := range slices.Backward(list) {
		if id <= j.ID {
			break
		}
		newer, err := openJournal(t.dir, id, false, t.Now)
		var broken *Damaged
		switch {
		case errors.As(err, &broken) && broken.over():
			continue
		case err != nil:
			return fmt.Errorf("cannot undo the transaction %s: a newer one may lie on it: %w", j.ID, err)
		}
		state, steps := newer.state(), newer.Plan.Steps
		newer.close()
		if state != Committed {
			continue
		}
		for _, s := range steps {
			if slices.ContainsFunc(j.Plan.Steps, func(x remediate.Step) bool { return liesOn(s, x) }) {
				return fmt.Errorf("cannot undo the transaction %s: %s moved the %s %s after it; undo that first", j.ID, id, s.Kind, s.Target)
			}
		}
	}
	return nil
}

// liesOn reports whether a newer step is in the way of taking an older one back:
// it moved the same path, in whatever way, something in a folder that the older
// made, or a unit that the older moved, too.
func liesOn(newer, older remediate.Step) bool {
	switch {
	case newer.Target == older.Target:
		return true
	case older.Kind == "folder":
		return strings.HasPrefix(newer.Target, older.Target+"/")
	case newer.Kind == "unit" && older.Kind == "unit":
		names := strings.Fields(older.Target)
		return slices.ContainsFunc(strings.Fields(newer.Target), func(name string) bool { return slices.Contains(names, name) })
	}
	return false
}
