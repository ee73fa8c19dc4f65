package unitstate

import (
	"cmp"
	"context"
	"maps"
	"path"
	"slices"
	"strings"
)

// startedToo notes the units that are down and that the start of another pulls
// in, so that they are stopped again when it is taken back.
func (p *planner) startedToo(ctx context.Context) error {
	p.pulls = map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(p.after)) {
		if p.systemd == nil || p.before[name].Activity != Down || p.after[name].Activity != Up {
			continue
		}
		queue := p.seen[name].startsToo
		for i := 0; i < len(queue); i++ {
			other := queue[i]
			_, planned := p.after[other]
			if planned || !slices.Contains([]string{".service", ".socket", ".timer", ".path"}, path.Ext(other)) {
				continue
			}
			is, err := p.systemd.look(ctx, other)
			if err != nil {
				return err
			}
			if is.loadState != "loaded" || is.activity() == Up {
				continue
			}
			u := Unit{Name: is.id}
			if err := p.actor.observeLinks(p.tree, &u); err != nil {
				return err
			}
			u.Activity = Down
			p.before[is.id] = u
			u.Activity = Maybe
			p.after[is.id], p.seen[is.id] = u, is
			p.pulls[name] = append(p.pulls[name], is.id)
			queue = append(queue, is.startsToo...)
		}
	}
	return nil
}

// plan groups the units that move together and leaves out what stays.
func (p *planner) plan(ctx context.Context) (Plan, error) {
	var plan Plan
	for _, name := range slices.Sorted(maps.Keys(p.refused)) {
		plan.Refusals = append(plan.Refusals, Refusal{name, p.refused[name]})
	}
	done := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(p.after)) {
		if done[name] {
			continue
		}
		names, err := p.group(ctx, name)
		if err != nil {
			return Plan{}, err
		}
		var before, after State
		for _, n := range names {
			done[n] = true
			if u, planned := p.after[n]; planned {
				before.Units, after.Units = append(before.Units, p.before[n]), append(after.Units, u)
			}
		}
		if !before.Equal(after) {
			plan.Moves = append(plan.Moves, Planned{strings.Join(names, " "), before, after})
		}
	}
	return plan, nil
}

// group returns the units that are connected with one by activating each
// other, wanted or not, so that a target is the same for all who name one of
// them. Activators come first.
func (p *planner) group(ctx context.Context, name string) ([]string, error) {
	names := []string{name}
	for i := 0; i < len(names); i++ {
		is, known := p.seen[names[i]]
		if !known && p.systemd != nil {
			var err error
			if is, err = p.systemd.look(ctx, names[i]); err != nil {
				return nil, err
			}
		}
		for _, other := range slices.Concat(is.triggeredBy, is.triggers) {
			if !slices.Contains(names, other) {
				names = append(names, other)
			}
		}
	}
	pulled := p.pulls[name]
	for _, other := range pulled {
		if !slices.Contains(names, other) {
			names = append(names, other)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(turn(a, pulled), turn(b, pulled)), strings.Compare(a, b))
	})
	return names, nil
}

// turn is when a unit is stopped and started: what activates others first, what
// is merely pulled in by others last.
func turn(name string, pulled []string) int {
	switch {
	case !isService(name):
		return 0
	case slices.Contains(pulled, name):
		return 2
	}
	return 1
}
