package unitstate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
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

// enable adds the links that the unit's file asks for, and those of the units
// that it wants enabled with it.
func (p *planner) enable(name string, after *Unit) error {
	offers, err := p.tree.Offers(name)
	if err != nil {
		p.refuse(name, "%v", err)
		return nil
	}
	for _, offer := range offers {
		unit := after
		if offer.Unit != name {
			if _, wanted := p.wants[offer.Unit]; wanted {
				continue // it has its own want
			}
			also := p.after[offer.Unit]
			if also.Name == "" {
				also.Name = offer.Unit
				if err := p.actor.observeLinks(p.tree, &also); err != nil {
					return err
				}
				before := also
				before.Links, before.Folders = slices.Clone(also.Links), slices.Clone(also.Folders)
				p.before[offer.Unit] = before
			}
			unit = &also
		}
		for _, l := range offer.Links {
			there, err := p.actor.readLink(l.Path)
			if err != nil {
				p.refuse(name, "%v", err)
				return nil
			}
			if there.Path != "" && path.Base(there.Text) != path.Base(l.Text) {
				p.refuse(name, "%s is there already and leads to %s", l.Path, there.Text)
				return nil
			}
			if there.Path != "" {
				continue
			}
			unit.Links = append(unit.Links, Link{Path: l.Path, Text: l.Text})
			if dir := path.Dir(l.Path); !slices.Contains(unit.Folders, dir) {
				unit.Folders = append(unit.Folders, dir)
			}
		}
		slices.SortFunc(unit.Links, func(a, b Link) int { return strings.Compare(a.Path, b.Path) })
		if offer.Unit != name {
			p.after[offer.Unit] = *unit
		}
	}
	return nil
}

// disable takes away what starts the unit or gives it other names. The link to
// its own file, and a mask, stay. An init script's S links become K links.
func (p *planner) disable(after *Unit) {
	links, err := p.tree.Links(after.Name)
	if err != nil {
		p.refuse(after.Name, "%v", err)
		return
	}
	kinds := map[string]unitfile.LinkKind{}
	for _, l := range links {
		kinds[l.Path] = l.Kind
	}
	var keep []Link
	for _, l := range after.Links {
		switch dir, base := path.Split(l.Path); {
		case kinds[l.Path] == unitfile.Definition:
			keep = append(keep, l)
		case kinds[l.Path] == unitfile.Runlevel:
			l.Path = dir + "K" + base[1:]
			if after.link(l.Path).Path == "" || base[0] == 'K' {
				keep = append(keep, l)
			}
		}
	}
	slices.SortFunc(keep, func(a, b Link) int { return strings.Compare(a.Path, b.Path) })
	after.Links = keep
}

// atBoot refuses what the next boot will not make so, links changed or not.
func (p *planner) atBoot() error {
	changed := newOverlay(p.files, nil)
	for name, after := range p.after {
		for _, l := range paths(p.before[name], after) {
			changed.set(l, after.link(l).Text)
		}
		if want := p.wants[name]; want.Enabled != nil && !*want.Enabled {
			changed.forget(name) // its generator will see that it is disabled
		}
	}
	tree, err := unitfile.Open(changed)
	if err != nil {
		return fmt.Errorf("cannot tell what the next boot will start: %w", err)
	}
	for name := range p.after {
		want, by := p.wants[name].Enabled, tree.AtBoot()[name]
		switch {
		case want == nil:
		case !*want && by != "":
			p.refuse(name, "%s starts it at boot: disabling it does not help (systemctl mask --now %s)", by, name)
		case *want && by == "":
			p.refuse(name, "its [Install] section leads to nothing that a boot starts")
		}
	}
	return nil
}

// neighbours refuses to stop what other units need, and what would be started
// again at once.
func (p *planner) neighbours(ctx context.Context) error {
	if p.systemd == nil {
		return nil
	}
	goes := func(name string) bool { return p.after[name].Activity == Down && p.after[name].Name != "" }
	for name, after := range p.after {
		is := p.seen[name]
		if p.before[name].Activity != Up || after.Activity != Down {
			continue
		}
		pulled := owners(p.before[name], after)
		for _, other := range slices.Concat(is.stoppedWith, is.upheldBy, is.triggeredBy) {
			if goes(other) || slices.Contains(pulled, other) {
				continue
			}
			u, err := p.systemd.look(ctx, other)
			if err != nil {
				return err
			}
			switch {
			case u.activity() == Down || goes(u.id):
			case slices.Contains(is.stoppedWith, other):
				p.refuse(name, "%s needs it and would be stopped with it", u.id)
			default:
				p.refuse(name, "%s would start it again", u.id)
			}
		}
	}
	return nil
}

// owners are the units in whose folders a link is that goes: they will no
// longer need the unit.
func owners(before, after Unit) []string {
	var names []string
	for _, l := range before.Links {
		if after.link(l.Path).Path == "" {
			folder := path.Base(path.Dir(l.Path))
			names = append(names, strings.TrimSuffix(folder, path.Ext(folder)))
		}
	}
	return names
}

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
