package remediate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/config"
	"github.com/hostguard/hostguard/internal/host"
)

// wish is a change, and on whose behalf it is asked for.
type wish struct {
	change  Change
	rules   []string
	risk    Risk
	along   bool            // resolved only where something else is moved
	touched map[string]bool // targets that it set
}

func (w *wish) targets() []string { return slices.Sorted(maps.Keys(w.touched)) }

// Wishes are the changes that findings and configuration ask for.
type Wishes struct {
	list   []wish
	person []Task
}

// Collect asks the remediators about the findings that fail. Failures that
// none repairs are tasks for a person; hint gives the words for a rule. What is
// proposed for one that does not apply yet (see Case) goes along with the rest.
func Collect(findings []checks.Finding, check func(rule string) string, hint func(rule string) string, remediators []Remediator, standing []Standing, cfg *config.Config) *Wishes {
	w := &Wishes{}
	for _, f := range findings {
		along := f.Status == checks.NotApplicable && f.Repair != nil
		if f.Status != checks.Fail && !along {
			continue
		}
		i := slices.IndexFunc(remediators, func(r Remediator) bool { return r.Check == check(f.Rule) })
		if along {
			if i >= 0 {
				for _, c := range remediators[i].Propose(Case{Finding: f, Config: cfg}).Changes {
					w.add(wish{change: c, rules: []string{f.Rule}, risk: remediators[i].Risk, along: true})
				}
			}
			continue
		}
		if i < 0 {
			w.person = append(w.person, Task{[]string{f.Rule}, hint(f.Rule)})
			continue
		}
		proposal := remediators[i].Propose(Case{Finding: f, Config: cfg})
		for _, c := range proposal.Changes {
			w.add(wish{change: c, rules: []string{f.Rule}, risk: remediators[i].Risk})
		}
		for _, text := range proposal.Person {
			w.person = append(w.person, Task{[]string{f.Rule}, text})
		}
		if len(proposal.Changes)+len(proposal.Person) == 0 {
			w.person = append(w.person, Task{[]string{f.Rule}, hint(f.Rule)})
		}
	}
	for _, s := range standing {
		for _, c := range s.Propose(cfg) {
			w.add(wish{change: c, risk: s.Risk})
		}
	}
	return w
}

func (w *Wishes) add(x wish) {
	for i := range w.list {
		if old := &w.list[i]; reflect.DeepEqual(old.change, x.change) {
			old.rules = union(old.rules, x.rules)
			old.along = old.along && x.along
			if grows[x.risk] > grows[old.risk] {
				old.risk = x.risk
			}
			return
		}
	}
	w.list = append(w.list, x)
}

// Placed is a change of what lies at a path. Such changes are resolved in the
// order of their paths: a folder comes before what lies in it. One without a
// place keeps its turn.
type Placed interface{ Place() string }

// inTurn is the order in which wishes are resolved: what only goes along comes last.
func (w *Wishes) inTurn() []wish {
	list := slices.Clone(w.list)
	var turns []int
	var placed []wish
	place := func(x wish) string {
		p, _ := x.change.(Placed)
		if p == nil {
			return ""
		}
		return p.Place()
	}
	for i, x := range list {
		if place(x) != "" {
			turns, placed = append(turns, i), append(placed, x)
		}
	}
	slices.SortStableFunc(placed, func(a, b wish) int { return strings.Compare(place(a), place(b)) })
	for i, turn := range turns {
		list[turn] = placed[i]
	}
	slices.SortStableFunc(list, func(a, b wish) int {
		switch {
		case a.along == b.along:
			return 0
		case b.along:
			return -1
		}
		return 1
	})
	return list
}

// Resolve asks the host what the wishes take, and folds them into a plan. A
// change that cannot be planned leaves no step, and becomes a task that says
// why; the error is for changes that contradict each other.
func Resolve(ctx context.Context, h *host.Host, w *Wishes) (*Plan, error) {
	d := &Draft{root: h.Root()}
	var done []wish
	for _, x := range w.inTurn() {
		if x.along && !slices.ContainsFunc(d.parts.steps, draftStep.moves) {
			continue
		}
		before := d.parts.clone()
		x.touched = map[string]bool{}
		d.asking = x
		if err := x.change.Resolve(ctx, h, d); err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			d.parts = before
			d.Person("cannot plan this: %v", err)
			continue
		}
		done = append(done, x)
	}
	if err := d.agrees(ctx, h, done); err != nil {
		return nil, err
	}
	return d.plan(ctx, h, w.person)
}

// agrees resolves the changes once more, on top of what they all made: one that
// still wants something was undone by another.
func (d *Draft) agrees(ctx context.Context, h *host.Host, done []wish) error {
	again := &Draft{root: d.root, parts: parts{steps: slices.Clone(d.parts.steps)}}
	for _, x := range done {
		x.touched = map[string]bool{}
		again.asking = x
		if err := x.change.Resolve(ctx, h, again); err != nil {
			return fmt.Errorf("cannot plan for %v twice: %w", x.rules, err)
		}
		for i, s := range again.parts.steps {
			if i >= len(d.parts.steps) || !s.kind.Equal(s.After, d.parts.steps[i].After) {
				return fmt.Errorf("cannot plan the %s %s: %v want other things of it than %v; fix them apart with --only", s.Kind, s.Target, x.rules, s.Rules)
			}
		}
	}
	return nil
}

// plan orders what there is to do.
func (d *Draft) plan(ctx context.Context, h *host.Host, person []Task) (*Plan, error) {
	id, err := IDOf(ctx, h)
	if err != nil {
		return nil, err
	}
	p := &Plan{Format: PlanFormat, Host: id, Root: d.root, Steps: []Step{}, Activations: []Activation{}, Pending: d.parts.pending, Person: gathered(slices.Concat(d.parts.person, person))}
	moving := slices.DeleteFunc(slices.Clone(d.parts.steps), func(s draftStep) bool { return !s.moves() })
	slices.SortStableFunc(moving, func(a, b draftStep) int { return int(a.kind.Phase - b.kind.Phase) })
	for _, s := range moving {
		if s.Rules == nil {
			s.Rules = []string{}
		}
		p.Steps = append(p.Steps, s.Step)
	}
	for _, a := range d.parts.activations {
		if d.parts.moved(a.of) && !slices.Contains(p.Activations, a.Activation) {
			p.Activations = append(p.Activations, a.Activation)
		}
	}
	for _, v := range d.parts.validations {
		if d.parts.moved(v.of) {
			p.Validations = append(p.Validations, v.Validation)
		}
	}
	if p.Pending == nil {
		p.Pending = []Pending{}
	}
	return p, nil
}

// gathered makes one task of those that say the same.
func gathered(tasks []Task) []Task {
	list := []Task{}
	for _, t := range tasks {
		if i := slices.IndexFunc(list, func(x Task) bool { return x.Does == t.Does }); i >= 0 {
			list[i].Rules = union(list[i].Rules, t.Rules)
			continue
		}
		list = append(list, t)
	}
	return list
}

// IDOf tells which host, or image of one, this is.
func IDOf(ctx context.Context, h *host.Host) (HostID, error) {
	identity, err := h.Identity(ctx)
	if err != nil {
		return HostID{}, fmt.Errorf("cannot tell which host this is: %w", err)
	}
	if h.Running() && identity.Machine == "" {
		return HostID{}, errors.New("cannot tell which host this is: /etc/machine-id is empty; see systemd-machine-id-setup(1)")
	}
	return HostID{Machine: identity.Machine, Hostname: identity.Hostname}, nil
}
