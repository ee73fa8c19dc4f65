package unitstate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/unitfile"
)

// Want is what is to become of one unit; nil: it stays as it is.
type Want struct{ Enabled, Active *bool }

// Wants of the usual kinds.
var (
	On  = Want{Enabled: new(true), Active: new(true)}
	Off = Want{Enabled: new(false), Active: new(false)}
)

// Planned is one move. Its target names all units that activate each other;
// the states are those of the ones that something is wanted of.
type Planned struct {
	Target        string
	Before, After State
}

// Refusal is a unit that cannot be brought into the wanted state, and why. The
// units that would have moved with it are left alone, too.
type Refusal struct{ Unit, Why string }

// A Plan is what brings units into the wanted states.
type Plan struct {
	Moves    []Planned // none for units that are as wanted
	Refusals []Refusal
}

// Make plans all wants together: what one unit's links mean may depend on
// another's. Names may be aliases; two names of one unit must want the same.
// Files are unit files, by path, that are about to be written.
func Make(ctx context.Context, h *host.Host, wants map[string]Want, files map[string][]byte) (Plan, error) {
	if len(wants) == 0 {
		return Plan{}, nil
	}
	if err := answerable(h.Running(), runs(), wants); err != nil {
		return Plan{}, err
	}
	p := planner{actor: New(h.Root()), files: newOverlay(h, files), wants: map[string]Want{}, refused: map[string]string{}, seen: map[string]unit{}}
	var err error
	if p.tree, err = unitfile.Open(p.files); err != nil {
		return Plan{}, fmt.Errorf("cannot read unit files: %w", err)
	}
	if p.actor.live() {
		if p.systemd, err = connect(ctx); err != nil {
			return Plan{}, err
		}
		defer p.systemd.close()
	}
	if err := p.collect(ctx, wants); err != nil {
		return Plan{}, err
	}
	if err := p.resolve(ctx); err != nil {
		return Plan{}, err
	}
	if err := p.startedToo(ctx); err != nil {
		return Plan{}, err
	}
	return p.plan(ctx)
}

// answerable refuses to plan what nobody would do: without systemd a running
// host's units are neither started nor stopped.
func answerable(running, systemd bool, wants map[string]Want) error {
	for _, name := range slices.Sorted(maps.Keys(wants)) {
		if running && !systemd && wants[name].Active != nil {
			return fmt.Errorf("cannot start or stop %s: systemd is not the running service manager", name)
		}
	}
	return nil
}

type planner struct {
	actor   *Actor
	files   *overlay // of the host, with what is about to be written
	tree    *unitfile.Tree
	systemd *systemd // nil: nobody can be asked

	wants   map[string]Want // by primary name
	seen    map[string]unit // what systemd says of them
	before  map[string]Unit
	after   map[string]Unit
	refused map[string]string
	pulls   map[string][]string // unit that is started → units that may be started with it
}

// collect puts the wants under the units' own names.
func (p *planner) collect(ctx context.Context, wants map[string]Want) error {
	for _, name := range slices.Sorted(maps.Keys(wants)) {
		want := wants[name]
		u, err := p.tree.Locate(name)
		if err != nil {
			return err
		}
		id := u.ID
		if p.systemd != nil && !unitfile.IsTemplate(id) {
			is, err := p.systemd.look(ctx, id)
			if err != nil {
				return err
			}
			id = is.id
			p.seen[id] = is
		}
		old := p.wants[id]
		enabled, err := merged(old.Enabled, want.Enabled)
		if err == nil {
			want.Active, err = merged(old.Active, want.Active)
		}
		if err != nil {
			return fmt.Errorf("cannot plan for %s: %w", id, err)
		}
		p.wants[id] = Want{enabled, want.Active}
	}
	return nil
}

func merged(a, b *bool) (*bool, error) {
	switch {
	case a == nil:
		return b, nil
	case b == nil || *a == *b:
		return a, nil
	}
	return nil, errors.New("it is to be both on and off")
}

// resolve finds the state before and after of each unit. A refusal changes what
// is possible for the others, so it is done again without them.
func (p *planner) resolve(ctx context.Context) error {
	for {
		known := len(p.refused)
		p.before, p.after = map[string]Unit{}, map[string]Unit{}
		for _, name := range slices.Sorted(maps.Keys(p.wants)) {
			if p.refused[name] != "" {
				continue
			}
			if err := p.one(name); err != nil {
				return err
			}
		}
		if len(p.refused) == known {
			if err := p.atBoot(); err != nil {
				return err
			}
			if err := p.neighbours(ctx); err != nil {
				return err
			}
		}
		if len(p.refused) == known {
			return nil
		}
	}
}

func (p *planner) refuse(name, format string, args ...any) {
	if p.refused[name] == "" {
		p.refused[name] = fmt.Sprintf(format, args...)
	}
}

// one plans one unit by itself.
func (p *planner) one(name string) error {
	want := p.wants[name]
	file, err := p.tree.Unit(name)
	if err != nil {
		return err
	}
	is, asked := p.seen[name]
	before := Unit{Name: name}
	if err := p.actor.observeLinks(p.tree, &before); err != nil {
		return err
	}
	if asked {
		before.Activity = is.activity()
	}
	after := before
	after.Links, after.Folders = slices.Clone(before.Links), slices.Clone(before.Folders)
	p.before[name] = before

	on := want.Enabled != nil && *want.Enabled || want.Active != nil && *want.Active
	off := want.Active != nil && !*want.Active
	switch {
	case unitfile.IsTemplate(name):
		p.refuse(name, "it is a template: only its instances can be changed")
	case on && strings.HasPrefix(file.State, "masked"):
		p.refuse(name, "%s masks it: somebody wanted it never to run (systemctl unmask %s)", file.Path, name)
	case on && (file.State == "not-found" || file.State == "bad"):
		p.refuse(name, "there is no unit file that systemd could use (%s)", file.State)
	case off && strings.HasPrefix(file.Path, "/run/systemd/transient/"):
		p.refuse(name, "it is transient: once stopped it is gone and could not be started again (systemctl stop %s)", name)
	case off && before.Activity == Up && is.loadState != "loaded":
		p.refuse(name, "it runs while its unit file is %s: once stopped it could not be started again (systemctl stop %s)", is.loadState, name)
	}
	if p.refused[name] != "" {
		return nil
	}
	if want.Enabled != nil && *want.Enabled && p.tree.AtBoot()[name] == "" {
		if err := p.enable(name, &after); err != nil {
			return err
		}
	}
	if want.Enabled != nil && !*want.Enabled {
		p.disable(&after)
	}
	if want.Active != nil {
		switch {
		case !asked: // the next boot starts what is enabled
		case *want.Active:
			after.Activity = Up
		default:
			after.Activity = Down
		}
	}
	p.after[name] = after
	return nil
}
