package unitfile

import (
	"errors"
	"fmt"
	"path"
	"slices"
)

// AtBoot returns the units that a boot starts, by their own names, each with
// the link or unit file that pulls it in. They are found by following .wants,
// .requires and .upholds links and the dependencies in unit files from
// default.target. What sockets, timers, paths, devices or the bus start later
// is not among them, nor are conditions (ConditionPathExists=…) looked at.
func (t *Tree) AtBoot() map[string]string { return t.atBoot }

// Entries returns what the file of a unit, or of a template, and its drop-ins
// say, in the order in which they apply; none when there is no such unit.
func (t *Tree) Entries(name string) ([]Entry, error) {
	u, err := t.find(name)
	if err != nil || u == nil || u.masked {
		return nil, err
	}
	if have, ok := t.read[u.name]; ok {
		return have, nil
	}
	return t.entries(u)
}

// walkBoot follows the dependencies breadth first.
func (t *Tree) walkBoot() (map[string]string, error) {
	started := make(map[string]string)
	type pull struct{ name, by string }
	queue := []pull{{"default.target", "default.target"}}
	for _, name := range sortedKeys(t.sysv) {
		if s := t.sysv[name]; s.link != "" {
			started[name] = s.link
		}
	}
	for first := true; len(queue) > 0; first = false {
		next := queue[0]
		queue = queue[1:]
		if IsTemplate(next.name) || !ValidName(next.name) {
			continue
		}
		u, err := t.find(next.name)
		var bad errBad
		if err != nil && !errors.As(err, &bad) {
			return nil, err
		}
		if first && (err != nil || u == nil || u.masked) {
			return nil, fmt.Errorf("cannot tell what starts at boot: default.target leads to no unit file")
		}
		if err != nil || u == nil || u.masked {
			continue
		}
		if _, done := started[u.name]; done {
			continue
		}
		started[u.name] = next.by
		for _, name := range slices.Concat([]string{u.name}, t.aliases[u.name], templates(u.name)) {
			links := t.pulledBy(name)
			for _, dep := range sortedKeys(links) {
				queue = append(queue, pull{dep, links[dep]})
			}
		}
		entries, err := t.entries(u)
		if err != nil {
			return nil, err
		}
		t.read[u.name] = entries
		for _, e := range entries {
			if !startsOthers(e) {
				continue
			}
			for _, word := range words(e.Value) {
				if dep, ok := expand(word, u.name); ok {
					queue = append(queue, pull{dep, fmt.Sprintf("%s (%s=)", u.path, e.Key)})
				}
			}
		}
	}
	return started, nil
}

// startsOthers reports whether a dependency makes systemd start what it names.
func startsOthers(e Entry) bool {
	switch e.Section {
	case "Unit":
		return slices.Contains([]string{"Wants", "Requires", "BindsTo", "Upholds"}, e.Key)
	case "Service":
		return e.Key == "Sockets"
	}
	return false
}

// pulledBy returns the units that the .wants, .requires and .upholds folders
// of owner name, each with the link. A link in a folder of higher precedence
// hides one of the same name; one to /dev/null takes the dependency away.
func (t *Tree) pulledBy(owner string) map[string]string {
	pulled := make(map[string]string)
	for _, kind := range []string{".wants", ".requires", ".upholds"} {
		hidden := make(map[string]bool)
		for _, f := range t.folders {
			for name, text := range f.links[owner+kind] {
				if hidden[name] {
					continue
				}
				hidden[name] = true
				if text != "/dev/null" {
					pulled[name] = path.Join(f.path, owner+kind, name)
				}
			}
		}
	}
	return pulled
}

func templates(name string) []string {
	if tmpl := Template(name); tmpl != "" {
		return []string{tmpl}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
