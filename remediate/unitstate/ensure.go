package unitstate

import (
	"context"
	"slices"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/remediate"
)

// Ensure folds into a draft what brings units into the wanted states; names
// may be aliases. It is the body of a Change's Resolve. Files holds the content
// of unit files, by path, that the draft only is about to write. What cannot be
// done, or not safely, becomes a person's task.
//
// In a file tree units are enabled and disabled; the next boot starts them.
func Ensure(ctx context.Context, h *host.Host, d *remediate.Draft, wants map[string]Want, files map[string][]byte) error {
	plan, err := Make(ctx, h, wants, files)
	if err != nil {
		return err
	}
	for _, r := range plan.Refusals {
		d.Person("%s is left as it is: %s.", r.Unit, r.Why)
	}
	for _, m := range plan.Moves {
		_, err := remediate.Set(ctx, d, Kind, m.Target, func(now State) (State, error) { return m.apply(now), nil })
		if err != nil {
			return err
		}
	}
	return nil
}

// Wish is Ensure for one unit whose file is there.
func Wish(ctx context.Context, h *host.Host, d *remediate.Draft, name string, want Want) error {
	return Ensure(ctx, h, d, map[string]Want{name: want}, nil)
}

// apply makes of a state what the move wants of it. What the move does not
// change stays as it is, for others may want something of it.
func (m Planned) apply(now State) State {
	next := State{Units: slices.Clone(now.Units)}
	for i, u := range next.Units {
		before, _ := m.Before.unit(u.Name)
		after, _ := m.After.unit(u.Name)
		if !slices.Equal(before.Links, after.Links) {
			next.Units[i].Links, next.Units[i].Folders = after.Links, after.Folders
		}
		if before.Activity != after.Activity {
			next.Units[i].Activity = after.Activity
		}
	}
	return next
}
