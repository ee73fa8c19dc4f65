package unitstate

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/unitfile"
)

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
