package remediate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
)

// Draft is a plan while changes are resolved into it. It folds by target: two
// changes that edit one file give one step.
type Draft struct {
	root  string
	parts parts

	asking wish // the change that is being resolved, and on whose behalf
}

// parts is what changes add to a draft.
type parts struct {
	steps       []draftStep
	activations []draftActivation
	validations []draftValidation
	pending     []Pending
	person      []Task
}

type draftStep struct {
	Step
	kind Kind
}

func (s draftStep) moves() bool { return !s.kind.Equal(s.Before, s.After) }

type draftActivation struct {
	Activation
	of []string // the targets whose move calls for it
}

type draftValidation struct {
	Validation
	of []string
}

// Root is the root of the file tree that is planned for; "/" is this host.
func (d *Draft) Root() string { return d.root }

// Running reports whether the plan is for this host, and not for a file tree.
func (d *Draft) Running() bool { return d.root == "/" }

// Set folds into the draft what a target should become. Want gets the state
// that it has now, with what earlier changes made of it, and returns the wanted
// one, which may be the same. Reports whether the target is moved.
func Set[S any](ctx context.Context, d *Draft, kind Kind, target string, want func(now S) (S, error)) (moved bool, err error) {
	step, err := d.step(ctx, kind, target)
	if err != nil {
		return false, err
	}
	now, err := Decode[S](step.After)
	if err != nil {
		return false, err
	}
	wanted, err := want(now)
	if err != nil {
		return false, err
	}
	if step.After, err = Encode(wanted); err != nil {
		return false, err
	}
	step.Rules = union(step.Rules, d.asking.rules)
	if grows[d.asking.risk] > grows[step.Risk] {
		step.Risk = d.asking.risk
	}
	d.asking.touched[target] = true
	return !kind.Equal(step.Before, step.After), nil
}

// Has reports whether a step of that kind and target is in the draft.
func (d *Draft) Has(kind Kind, target string) bool {
	return slices.ContainsFunc(d.parts.steps, func(s draftStep) bool { return s.Kind == kind.Name && s.Target == target })
}

// step returns the target's step, which at first changes nothing.
func (d *Draft) step(ctx context.Context, kind Kind, target string) (*Step, error) {
	for i := range d.parts.steps {
		if s := &d.parts.steps[i]; s.Kind == kind.Name && s.Target == target {
			return &s.Step, nil
		}
	}
	if kind.Running && !d.Running() {
		return nil, fmt.Errorf("cannot change the %s %s in a file tree: it needs the running host", kind.Name, target)
	}
	state, err := kind.Observe(ctx, Thing{Root: d.root, Target: target})
	if err != nil {
		return nil, err
	}
	d.parts.steps = append(d.parts.steps, draftStep{Step{Kind: kind.Name, Target: target, Before: state, After: state, Risk: Safe}, kind})
	return &d.parts.steps[len(d.parts.steps)-1].Step, nil
}

// Activate asks for an action of [Activator] that name, such as the reload of a
// unit, once the targets that this change sets are moved, in either direction.
// Where none of them moves nothing is done.
func (d *Draft) Activate(action, unit string) {
	if d.Running() {
		d.parts.activations = append(d.parts.activations, draftActivation{Activation{action, unit}, d.asking.targets()})
	}
}

// Validate asks for a look at the whole that is planned, before any of it is
// live. It is left out where nothing that this change sets is moved.
func (d *Draft) Validate(name string, look func(context.Context) error) {
	d.parts.validations = append(d.parts.validations, draftValidation{Validation{name, look, slices.Clone(d.asking.rules)}, d.asking.targets()})
}

// Person tells what a person must do so that the rules pass for whose sake this
// change is resolved. They may go on failing.
func (d *Draft) Person(format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ") // of joined errors
	d.parts.person = append(d.parts.person, Task{slices.Clone(d.asking.rules), text})
}

// Pending tells what must happen before what is planned has its effect; the
// rules may go on failing until then.
func (d *Draft) Pending(needs Need, format string, args ...any) {
	d.parts.pending = append(d.parts.pending, Pending{slices.Clone(d.asking.rules), needs, fmt.Sprintf(format, args...)})
}

// moved reports whether any of the targets is.
func (p *parts) moved(targets []string) bool {
	return slices.ContainsFunc(p.steps, func(s draftStep) bool {
		return slices.Contains(targets, s.Target) && s.moves()
	})
}

// clone copies what a change that fails half-way must not leave its marks on.
func (p *parts) clone() parts {
	return parts{
		steps:       slices.Clone(p.steps),
		activations: slices.Clone(p.activations),
		validations: slices.Clone(p.validations),
		pending:     slices.Clone(p.pending),
		person:      slices.Clone(p.person),
	}
}

// union adds what is lacking, and never writes into the first list.
func union[T cmp.Ordered](list, more []T) []T {
	all := slices.Concat(list, more)
	slices.Sort(all)
	return slices.Compact(all)
}
