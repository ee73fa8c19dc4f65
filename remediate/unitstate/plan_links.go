package unitstate

import (
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/unitfile"
)

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
