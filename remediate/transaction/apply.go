package transaction

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hostguard/hostguard/remediate"
)

// RulesError says for which rules' sake something was tried that failed. A
// Recheck returns one for the rules that do not pass.
type RulesError struct {
	Rules []string
	Err   error
}

func (e *RulesError) Error() string { return e.Err.Error() }
func (e *RulesError) Unwrap() error { return e.Err }

// Cause is one thing that failed, and for which rules' sake it was tried.
type Cause struct {
	Rules []string // none: it was for all
	Why   string
}

// Causes takes an error of Apply apart into what failed, one by one.
func Causes(err error) []Cause { return causes(err, nil) }

func causes(err error, rules []string) []Cause {
	switch e := err.(type) {
	case nil:
		return nil
	case *RulesError:
		return causes(e.Err, e.Rules)
	case *RefusedError:
		return causes(e.Err, rules)
	case *FailedError:
		return causes(e.Err, rules)
	case interface{ Unwrap() []error }:
		if err.Error() == errors.Join(e.Unwrap()...).Error() { // and says no more than they do
			var list []Cause
			for _, err := range e.Unwrap() {
				list = append(list, causes(err, rules)...)
			}
			return list
		}
	}
	var inner *RulesError
	if rules == nil && errors.As(err, &inner) {
		rules = inner.Rules
	}
	return []Cause{{rules, err.Error()}}
}

// RulesOf collects the rules of all causes of an error, sorted.
func RulesOf(err error) []string {
	var rules []string
	for _, c := range Causes(err) {
		rules = append(rules, c.Rules...)
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}

// Recheck looks again at rules, with nothing remembered, and returns why those
// that should pass now do not.
type Recheck func(ctx context.Context, rules []string) error

// RefusedError says that nothing was begun, and why.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return "nothing was changed: " + e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// FailedError says that a transaction failed and where that left the host.
type FailedError struct {
	ID        string
	Err       error      // what failed
	Conflicts []Conflict // what could not be taken back
	Back      error      // why it could not be taken back wholly; it is tried again by the next run, or Recover
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("the transaction %s failed: %v\n%s", e.ID, e.Err, e.Left())
}

// Left says where the failure left the host, a line for each thing.
func (e *FailedError) Left() string {
	switch {
	case e.Back != nil:
		return fmt.Sprintf("not all of it could be taken back:\n%v\nmend that and run hostguard recover", e.Back)
	case len(e.Conflicts) > 0:
		return "all of it was taken back but for what is named below"
	}
	return "all of it was taken back"
}

func (e *FailedError) Unwrap() error { return errors.Join(e.Err, e.Back) }

// Apply does what the plan says. When ctx ends the step in hand is finished and
// all is taken back. A *RefusedError or a *FailedError says that nothing of it
// holds; with another error it holds.
func (t *Transactions) Apply(ctx context.Context, plan *remediate.Plan, who string, recheck Recheck) (Done, error) {
	id, err := t.nextID()
	if err != nil {
		return Done{}, &RefusedError{err}
	}
	head := Head{Format: journalFormat, ID: id, Started: t.Now().UTC(), Who: who, Version: t.Version, Plan: plan}
	if err := t.preflight(ctx, head); err != nil {
		return Done{}, &RefusedError{err}
	}
	j, err := begin(t.dir, head, t.Now)
	if err != nil {
		return Done{}, &RefusedError{err}
	}
	defer func() {
		j.close()
		if err := t.prune(); err != nil {
			t.tell("%v", err) // the next one tries again
		}
	}()
	if err := t.forward(ctx, j, recheck); err != nil {
		failed := &FailedError{ID: j.ID, Err: err}
		failed.Conflicts, failed.Back = t.back(context.WithoutCancel(ctx), j, rolledBack, err.Error())
		return Done{ID: j.ID}, failed
	}
	done := Done{ID: j.ID}
	done.Kept, err = t.finish(context.WithoutCancel(ctx), j)
	return done, err
}

// finish cleans up after a commit. What fails is done by the next run.
func (t *Transactions) finish(ctx context.Context, j *journal) ([]Conflict, error) {
	kept, err := t.clean(ctx, j)
	if err == nil {
		err = j.write(finished, 0, "")
	}
	if err != nil {
		err = fmt.Errorf("the transaction %s holds, but cannot be cleaned up after: %w", j.ID, err)
	}
	return kept, err
}

// Done is a committed transaction.
type Done struct {
	ID   string
	Kept []Conflict // what somebody wrote to files while they were replaced, and where it is
}

// preflight finds what would go wrong before anything is written.
func (t *Transactions) preflight(ctx context.Context, h Head) error {
	if err := t.ours(h); err != nil {
		return err
	}
	var errs []error
	memory := map[string]any{}
	for i, s := range h.Plan.Steps {
		kind, thing, err := t.kind(h, i+1)
		thing.Memory = memory
		if err != nil {
			errs = append(errs, err)
			continue
		}
		now, err := kind.Observe(ctx, thing)
		switch {
		case err != nil:
		case !kind.Equal(now, s.Before):
			err = &remediate.ConflictError{Target: s.Target, Why: "it has changed since it was planned for: plan again"}
		default:
			err = kind.Preflight(ctx, thing, s.Before, s.After)
		}
		if err != nil {
			errs = append(errs, &RulesError{s.Rules, err})
		}
	}
	for _, v := range h.Plan.Validations {
		if err := v.Look(ctx); err != nil {
			errs = append(errs, &RulesError{v.Rules, fmt.Errorf("%s: %w", v.Name, err)})
		}
	}
	return errors.Join(errs...)
}

// forward does everything from the first move to the commit.
func (t *Transactions) forward(ctx context.Context, j *journal, recheck Recheck) error {
	whole := context.WithoutCancel(ctx) // a step is finished
	reloaded := false
	for n := 1; n <= len(j.Plan.Steps); n++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		kind, thing, err := t.kind(j.Head, n)
		if err != nil {
			return err
		}
		if kind.Phase == remediate.Units && !reloaded {
			reloaded = true
			if err := joined(t.activate(whole, j.Plan, true)); err != nil {
				return err
			}
		}
		s := j.Plan.Steps[n-1]
		if err := j.write(moving, n, ""); err != nil {
			return err
		}
		t.tell("%s %s", s.Kind, s.Target)
		if err := kind.Move(whole, thing, s.Before, s.After); err != nil {
			return &RulesError{s.Rules, err}
		}
		if now, err := kind.Observe(whole, thing); err != nil {
			return &RulesError{s.Rules, err}
		} else if !kind.Equal(now, s.After) {
			return &RulesError{s.Rules, fmt.Errorf("somebody else changed the %s %s right after it was changed", s.Kind, s.Target)}
		}
		if err := j.write(moved, n, ""); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := j.write(activating, 0, ""); err != nil {
		return err
	}
	if !reloaded {
		if err := joined(t.activate(whole, j.Plan, true)); err != nil {
			return err
		}
	}
	if err := joined(t.activate(whole, j.Plan, false)); err != nil {
		return err
	}
	if rules := j.Plan.Serves(); recheck != nil && len(rules) > 0 {
		t.tell("look again")
		if err := recheck(ctx, rules); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := t.each(j, func(k remediate.Kind, thing remediate.Thing, s remediate.Step) error {
		return k.Settle(whole, thing, s.Before, s.After)
	}); err != nil {
		return err
	}
	return j.write(committed, 0, "")
}

// each calls f for every step, in order, and joins the errors.
func (t *Transactions) each(j *journal, f func(remediate.Kind, remediate.Thing, remediate.Step) error) error {
	var errs []error
	for n := 1; n <= len(j.Plan.Steps); n++ {
		kind, thing, err := t.kind(j.Head, n)
		if err == nil {
			err = f(kind, thing, j.Plan.Steps[n-1])
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// clean lets go of what the steps' moves kept, and returns what is kept after all.
func (t *Transactions) clean(ctx context.Context, j *journal) ([]Conflict, error) {
	var conflicts []Conflict
	err := t.each(j, func(k remediate.Kind, thing remediate.Thing, s remediate.Step) error {
		err := k.Clean(ctx, thing, s.Before, s.After)
		if remediate.IsConflict(err) {
			conflicts = append(conflicts, t.conflict(ctx, k, thing, s, err))
			return nil
		}
		return err
	})
	return conflicts, err
}
