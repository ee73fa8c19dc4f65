package composefile

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// mount is an entry of volumes:. The last of several at one target counts.
type mount struct {
	target string
	bind   string // absolute host path
	volume string // key of a named volume
	text   string // the entry as it was written, variables replaced
	short  bool   // in the form SOURCE:TARGET

	readOnly bool
}

func (l *loader) readMounts(n *yaml.Node) ([]mount, error) {
	list, err := l.items(n)
	if err != nil {
		return nil, err
	}
	var mounts []mount
	for _, e := range list {
		var m mount
		if e.Kind == yaml.MappingNode {
			m, err = l.longMount(e)
		} else {
			m, err = l.shortMount(e)
		}
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// addMounts appends the entries of a later file, or of what extends a service.
// As in compose, one that is there word by word keeps its older place.
func addMounts(base, over []mount) []mount {
	if len(base) == 0 {
		return over
	}
	mounts := slices.Clone(base)
	for _, m := range over {
		if !slices.ContainsFunc(mounts, func(b mount) bool { return b.text != "" && b.text == m.text }) {
			mounts = append(mounts, m)
		}
	}
	return mounts
}

// shortMount reads SOURCE:TARGET[:OPTIONS], or TARGET alone.
func (l *loader) shortMount(n *yaml.Node) (mount, error) {
	spec, err := l.known(n)
	if err != nil {
		return mount{}, err
	}
	parts := strings.Split(spec, ":")
	if slices.Contains(parts, "") || len(parts) > 3 {
		return mount{}, wrong(n, "it is not in the form SOURCE:TARGET:OPTIONS")
	}
	if len(parts) == 1 {
		return mount{target: path.Clean(parts[0]), text: spec, short: true}, nil
	}
	m := mount{target: path.Clean(parts[1]), text: spec, short: true}
	m.readOnly = len(parts) == 3 && slices.Contains(strings.Split(parts[2], ","), "ro")
	if strings.ContainsAny(parts[0][:1], "./~") {
		m.bind, err = l.absolute(n, parts[0])
	} else {
		m.volume = parts[0]
	}
	return m, err
}

func (l *loader) longMount(n *yaml.Node) (mount, error) {
	pairs, err := l.entries(n)
	if err != nil {
		return mount{}, err
	}
	var kind, target string
	var source *yaml.Node
	for _, p := range pairs {
		switch p.key {
		case "type":
			kind, err = l.known(p.node)
		case "target":
			target, err = l.known(p.node)
		case "source":
			source = p.node
		}
		if err != nil {
			return mount{}, err
		}
	}
	if target == "" {
		return mount{}, wrong(n, "a mount lacks its target")
	}
	all, err := l.mapping(n)
	if err != nil {
		return mount{}, err
	}
	m := mount{target: path.Clean(target), text: fmt.Sprint(all), readOnly: all["read_only"] == "true"}
	if source == nil {
		return m, nil
	}
	switch kind {
	case "bind":
		m.bind, err = l.hostPath(source)
	case "volume":
		m.volume, err = l.known(source)
	case "tmpfs", "image", "npipe", "cluster":
	default:
		err = wrong(n, "a mount is of no known type")
	}
	return m, err
}

// lastByTarget keeps the last of the mounts at each target, in the place of
// the first. Compose then has them in their long form, so that those of the
// short form are no longer there word by word.
func lastByTarget(mounts []mount) []mount {
	at := map[string]int{}
	var kept []mount
	for _, m := range mounts {
		if m.short {
			m.text = ""
		}
		if i, ok := at[m.target]; ok {
			kept[i] = m
			continue
		}
		at[m.target] = len(kept)
		kept = append(kept, m)
	}
	return kept
}
