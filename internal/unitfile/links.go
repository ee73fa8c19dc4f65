package unitfile

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Where an administrator's links to units lie.
const configDir = "/etc/systemd/system"

// LinkKind is what a link does to a unit.
type LinkKind uint8

// The kinds of links.
const (
	Pull       LinkKind = iota // in a .wants, .requires or .upholds folder: whoever owns that starts the unit
	Alias                      // gives the unit another name
	Definition                 // has the unit's own name and leads to its file, or to /dev/null (a mask)
	Runlevel                   // /etc/rc2.d/S01x or K01x of an init script
)

// Link is a symbolic link that enables, names or masks a unit.
type Link struct {
	Path string
	Text string // where it leads, as it is written
	Kind LinkKind
}

// Links returns what lies in /etc/systemd/system, and for an init script in
// /etc/rc2.d to rc5.d, of the unit of that name: the links that `systemctl
// disable` knows, sorted by path. A name that is an alias is looked up as the
// unit it stands for.
func (t *Tree) Links(name string) ([]Link, error) {
	u, err := t.Locate(name)
	if err != nil {
		return nil, err
	}
	names := t.namesOf(u.ID)
	var found []Link
	if f := t.configFolder(); f != nil {
		for _, link := range sortedKeys(f.units) {
			text := f.units[link]
			switch {
			case text == "":
			case link == u.ID:
				found = append(found, Link{path.Join(f.path, link), text, Definition})
			case slices.Contains(names, link):
				found = append(found, Link{path.Join(f.path, link), text, Alias})
			}
		}
		for _, folder := range sortedKeys(f.links) {
			for _, link := range sortedKeys(f.links[folder]) {
				if slices.Contains(names, link) {
					found = append(found, Link{path.Join(f.path, folder, link), f.links[folder][link], Pull})
				}
			}
		}
	}
	levels, err := t.runlevels(u)
	found = append(found, levels...)
	slices.SortFunc(found, func(a, b Link) int { return strings.Compare(a.Path, b.Path) })
	return found, err
}

func (t *Tree) configFolder() *folder {
	for _, f := range t.folders {
		if f.path == configDir {
			return f
		}
	}
	return nil
}

// namesOf is a unit's own name and, links of links followed, its aliases.
func (t *Tree) namesOf(id string) []string {
	names := []string{id}
	for i := 0; i < len(names) && i < maxFollow; i++ {
		for _, alias := range t.aliases[names[i]] {
			if !slices.Contains(names, alias) {
				names = append(names, alias)
			}
		}
	}
	return names
}

// Script returns the init script of which a boot makes this unit; "" when the
// unit has a file of its own.
func (t *Tree) Script(name string) (string, error) {
	u, err := t.Locate(name)
	if err != nil {
		return "", err
	}
	stem, isService := strings.CutSuffix(u.ID, ".service")
	if !isService || u.Path != "" && !strings.HasPrefix(u.Path, "/run/systemd/generator.late/") && !strings.HasPrefix(u.Path, "/etc/init.d/") {
		return "", nil
	}
	for _, script := range []string{"/etc/init.d/" + stem, "/etc/init.d/" + stem + ".sh"} {
		info, err := t.fs.Stat(script)
		if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return script, nil
		}
		if err != nil && !absent(err) {
			return "", err
		}
	}
	return "", nil
}

// runlevels returns the links of runlevels 2 to 5 to a unit's init script.
func (t *Tree) runlevels(u Unit) ([]Link, error) {
	script, err := t.Script(u.ID)
	if err != nil || script == "" {
		return nil, err
	}
	var found []Link
	for _, level := range []string{"2", "3", "4", "5"} {
		dir := "/etc/rc" + level + ".d"
		entries, err := t.fs.ReadDir(dir)
		if absent(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			name := e.Name()
			if len(name) < 4 || name[0] != 'S' && name[0] != 'K' || name[3:] != path.Base(script) {
				continue
			}
			full := path.Join(dir, name)
			text, err := t.fs.Readlink(full)
			if err != nil {
				continue // no link: update-rc.d makes none of these, and does not know them
			}
			found = append(found, Link{full, text, Runlevel})
		}
	}
	return found, nil
}

// Offer is what enabling one unit makes.
type Offer struct {
	Unit  string // its primary name
	Links []Link
}

// Offers returns the links that `systemctl enable` makes for a unit and for
// those that it names in Also=, whether they are there already or not. It is
// an error when there is nothing to enable: no unit file, a mask, no [Install]
// section, a template without an instance, an init script, a specifier that is
// not known here.
func (t *Tree) Offers(name string) ([]Offer, error) {
	var offers []Offer
	queue := []string{name}
	for i := 0; i < len(queue) && i < maxFollow; i++ {
		offer, also, err := t.offer(queue[i])
		if err != nil {
			return nil, fmt.Errorf("cannot enable %s: %w", queue[i], err)
		}
		if len(offer.Links) == 0 && i == 0 && len(also) == 0 {
			return nil, fmt.Errorf("cannot enable %s: its unit file has no [Install] section that says when it is to be started", name)
		}
		offers = append(offers, offer)
		for _, other := range also {
			if !slices.Contains(queue, other) {
				queue = append(queue, other)
			}
		}
	}
	return offers, nil
}

func (t *Tree) offer(name string) (Offer, []string, error) {
	u, found, err := t.locate(name)
	switch {
	case err != nil:
		return Offer{}, nil, err
	case found == nil && u.State == "not-found", found == nil && u.State == "bad":
		return Offer{}, nil, fmt.Errorf("there is no usable unit file (%s)", u.State)
	case found == nil:
		return Offer{}, nil, fmt.Errorf("%s is an init script", u.Path)
	case found.masked:
		return Offer{}, nil, fmt.Errorf("%s masks it", u.Path)
	case u.State == "generated" || u.State == "transient":
		return Offer{}, nil, fmt.Errorf("%s is made anew at each boot", u.Path)
	}
	entries, err := t.entries(found)
	if err != nil {
		return Offer{}, nil, err
	}
	var aliases, also []string
	pulls := map[string][]string{}
	instance := ""
	for _, e := range entries {
		if e.Section != "Install" {
			continue
		}
		switch e.Key {
		case "Alias":
			aliases = appendWords(aliases, e.Value)
		case "Also":
			also = appendWords(also, e.Value)
		case "WantedBy", "RequiredBy", "UpheldBy":
			pulls[e.Key] = appendWords(pulls[e.Key], e.Value)
		case "DefaultInstance":
			instance = e.Value
		}
	}
	o := Offer{Unit: u.ID}
	pulled := u.ID
	if IsTemplate(u.ID) && (len(pulls) > 0) {
		if instance == "" {
			return Offer{}, nil, fmt.Errorf("it is a template: an instance is to be named")
		}
		if pulled, err = expandAll(withInstance(u.ID, instance), u.ID); err != nil {
			return Offer{}, nil, err
		}
	}
	for _, alias := range aliases {
		if alias, err = expandAll(alias, u.ID); err != nil {
			return Offer{}, nil, err
		}
		if _, instance, ok := cutInstance(u.ID); ok && instance != "" && IsTemplate(alias) {
			alias = withInstance(alias, instance)
		}
		if alias != u.ID {
			o.Links = append(o.Links, Link{path.Join(configDir, alias), found.path, Alias})
		}
	}
	for key, folder := range map[string]string{"WantedBy": ".wants", "RequiredBy": ".requires", "UpheldBy": ".upholds"} {
		for _, owner := range pulls[key] {
			if owner, err = expandAll(owner, u.ID); err != nil {
				return Offer{}, nil, err
			}
			o.Links = append(o.Links, Link{path.Join(configDir, owner+folder, pulled), found.path, Pull})
		}
	}
	slices.SortFunc(o.Links, func(a, b Link) int { return strings.Compare(a.Path, b.Path) })
	o.Links = slices.CompactFunc(o.Links, func(a, b Link) bool { return a.Path == b.Path })
	for i, other := range also {
		if also[i], err = expandAll(other, u.ID); err != nil {
			return Offer{}, nil, err
		}
	}
	return o, also, nil
}

// appendWords adds a list's words; an empty value empties the list.
func appendWords(list []string, value string) []string {
	if value == "" {
		return nil
	}
	return append(list, words(value)...)
}

func expandAll(text, unit string) (string, error) {
	expanded, ok := expand(text, unit)
	if !ok {
		return "", fmt.Errorf("%q holds a specifier that is not known here", text)
	}
	if !ValidName(expanded) {
		return "", fmt.Errorf("%q is not the name of a unit", expanded)
	}
	return expanded, nil
}
