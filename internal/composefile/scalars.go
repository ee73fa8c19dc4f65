package composefile

import (
	"path"

	"gopkg.in/yaml.v3"
)

// text is a scalar with its variables replaced; it stays as it is when a
// variable is set in no file.
func (l *loader) text(n *yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode {
		return "", wrong(n, "a text is wanted here")
	}
	if isNull(n) {
		return "", nil
	}
	s, unknown, err := l.vars.expand(n.Value)
	if err != nil {
		return "", wrong(n, "%v", err)
	}
	if len(unknown) > 0 {
		return n.Value, nil
	}
	return s, nil
}

// known is a scalar with its variables replaced, all of which must be set.
func (l *loader) known(n *yaml.Node) (string, error) {
	s, err := l.text(n)
	if err != nil {
		return "", err
	}
	if _, unknown, _ := l.vars.expand(n.Value); len(unknown) > 0 {
		return "", wrong(n, "the variable %.64q is set in no file: whoever runs compose may set it, so what stands here cannot be told", unknown[0])
	}
	return s, nil
}

// texts is a list of scalars.
func (l *loader) texts(n *yaml.Node) ([]string, error) {
	list, err := l.items(n)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range list {
		s, err := l.text(e)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// mapping is a mapping of scalars; other values in it are left out.
func (l *loader) mapping(n *yaml.Node) (map[string]string, error) {
	pairs, err := l.entries(n)
	if err != nil {
		return nil, err
	}
	m := map[string]string{}
	for _, p := range pairs {
		if p.node.Kind != yaml.ScalarNode {
			continue
		}
		if m[p.key], err = l.text(p.node); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// hostPath is a scalar that names a file of the host.
func (l *loader) hostPath(n *yaml.Node) (string, error) {
	s, err := l.known(n)
	if err != nil {
		return "", err
	}
	return l.absolute(n, s)
}

func (l *loader) absolute(n *yaml.Node, s string) (string, error) {
	switch {
	case s == "":
		return "", wrong(n, "a path is empty")
	case s[0] == '~':
		return "", wrong(n, "~ is the home of whoever runs compose: what stands here cannot be told")
	case path.IsAbs(s):
		return path.Clean(s), nil
	}
	return path.Join(l.dir, s), nil
}
