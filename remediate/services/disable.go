package services

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/hostguard/hostguard/checks/services"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/unitfile"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/unitstate"
)

// Disable wants units neither to run nor to be started at boot.
type Disable struct {
	Units []string // sorted
	Kind  string   // of server that they are; empty: it is not known
}

// Resolve adds what activates the units, leaves out what must stay, and has the
// rest disabled and stopped.
func (c Disable) Resolve(ctx context.Context, h *host.Host, d *remediate.Draft) error {
	files, err := h.UnitFiles(ctx)
	if err != nil {
		return fmt.Errorf("cannot read unit files: %w", err)
	}
	names := slices.Clone(c.Units)
	var uses *uses
	if d.Running() {
		if names, err = activators(ctx, h, names); err != nil {
			return err
		}
		if uses, err = findUses(ctx, h); err != nil {
			return err
		}
	}
	wants := make(map[string]unitstate.Want)
	stays := make(map[string]string) // unit → why
	for _, name := range names {
		why, err := c.stays(ctx, h, files, uses, name)
		if err != nil {
			return err
		}
		if why != "" {
			stays[name] = why
			continue
		}
		wants[name] = unitstate.Off
	}
	for _, name := range slices.Sorted(maps.Keys(stays)) {
		d.Person("%s is left as it is: %s.", name, stays[name])
	}
	return unitstate.Ensure(ctx, h, d, wants, nil)
}

// activators adds the units that would start the named ones again.
func activators(ctx context.Context, h *host.Host, names []string) ([]string, error) {
	for i := 0; i < len(names); i++ {
		live, err := h.Units(ctx, names[i])
		if err != nil {
			return nil, err
		}
		for _, by := range live[names[i]].TriggeredBy {
			if !slices.Contains(names, by) {
				names = append(names, by)
			}
		}
	}
	return names, nil
}

// stays says why a unit is not stopped; empty: it is.
func (c Disable) stays(ctx context.Context, h *host.Host, files *unitfile.Tree, uses *uses, name string) (string, error) {
	if why := kept(name, c.Kind); why != "" {
		return why, nil
	}
	if why, err := keptByKind(uses, name); err != nil || why != "" {
		return why, err
	}
	if uses != nil {
		listens, err := addresses(ctx, h, name)
		if err != nil {
			return "", err
		}
		if why := uses.of(name, listens); why != "" {
			return why, nil
		}
		if why, err := needed(ctx, h, c.Kind, name); err != nil || why != "" {
			return why, err
		}
	}
	return setsUp(files, name, c.Kind != "")
}

// keptByKind is kept for a unit that another finding than that of its kind
// names, such as for where it listens: its name tells its kind, and so do the
// programs that run in it.
func keptByKind(uses *uses, name string) (string, error) {
	kind, err := services.KindOfUnit(name)
	if err != nil {
		return "", err
	}
	if why := kept(name, kind); why != "" || uses == nil || covers(harmless, name) {
		return why, nil
	}
	for _, p := range uses.processes {
		if p.Unit != name {
			continue
		}
		kind, err := services.KindOfProgram(p.Program())
		if err != nil {
			return "", err
		}
		if why := byKind[kind]; why != "" {
			return fmt.Sprintf("%s runs in it, and %s", p.Program(), why), nil
		}
	}
	return "", nil
}

// addresses are those at which a socket unit listens; none of other units.
func addresses(ctx context.Context, h *host.Host, name string) ([]string, error) {
	live, err := h.Units(ctx, name)
	if err != nil || live[name].Socket == nil {
		return nil, err
	}
	var all []string
	for _, l := range live[name].Socket.Listen {
		all = append(all, l.Address)
	}
	return all, nil
}
