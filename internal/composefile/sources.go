package composefile

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// use is a config or secret that a service is given.
type use struct{ name, target string } // name: with its kind, "configs/NAME"

// addSources notes the files that configs and secrets are; kind is which.
func (l *loader) addSources(kind string, n *yaml.Node) error {
	pairs, err := l.entries(n)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		settings, err := l.entries(p.node)
		if err != nil {
			return err
		}
		for _, s := range settings {
			if s.key != "file" {
				continue
			}
			if l.sources[kind+"/"+p.key], err = l.hostPath(s.node); err != nil {
				return err
			}
		}
	}
	return nil
}

// sourceFiles are the files of all configs and secrets, and of the secrets.
func (l *loader) sourceFiles() (all, secrets []string) {
	for name, file := range l.sources {
		all = append(all, file)
		if strings.HasPrefix(name, "secrets/") {
			secrets = append(secrets, file)
		}
	}
	slices.Sort(all)
	slices.Sort(secrets)
	return slices.Compact(all), slices.Compact(secrets)
}

// readUses reads configs: or secrets: of a service: names, or mappings with
// source and target.
func (l *loader) readUses(kind string, n *yaml.Node) ([]use, error) {
	list, err := l.items(n)
	if err != nil {
		return nil, err
	}
	folder := map[string]string{"configs": "/", "secrets": "/run/secrets"}[kind]
	var uses []use
	for _, e := range list {
		var name, target string
		if e.Kind == yaml.MappingNode {
			var m map[string]string
			m, err = l.mapping(e)
			name, target = m["source"], m["target"]
		} else {
			name, err = l.text(e)
		}
		if err != nil {
			return nil, err
		}
		if target = cmp.Or(target, name); !path.IsAbs(target) {
			target = path.Join(folder, target)
		}
		uses = append(uses, use{kind + "/" + name, path.Clean(target)})
	}
	return uses, nil
}

// sourcesOf are the configs and secrets of a service, the last of several at one
// target, sorted by target.
func (l *loader) sourcesOf(uses []use) []Mount {
	at := map[string]Mount{}
	for _, u := range uses {
		at[u.target] = Mount{Target: u.target, Bind: l.sources[u.name], ReadOnly: true}
	}
	var mounts []Mount
	for _, target := range slices.Sorted(maps.Keys(at)) {
		mounts = append(mounts, at[target])
	}
	return mounts
}
