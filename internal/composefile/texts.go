package composefile

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// A Text is a value in a compose file as it is written.
type Text struct {
	Key   string // of its mapping, or the NAME of NAME=VALUE in a list; may be empty
	Value string // may be a secret
	Line  int
}

// Texts returns the values of a compose file besides those of environment, command
// and entrypoint: labels, health checks, build arguments, what a config holds …
// What aliases repeat is told once. The error names the file and a line.
func Texts(f File) ([]Text, error) {
	documents, err := parse(f)
	if err != nil {
		return nil, err
	}
	var all []Text
	for _, doc := range documents {
		all = texts(all, "", doc)
	}
	return all, nil
}

// texts appends those of a node; key is the mapping's that it stands under.
func texts(all []Text, key string, n *yaml.Node) []Text {
	switch n.Kind {
	case yaml.ScalarNode:
		return append(all, Text{key, n.Value, n.Line})
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			switch k := n.Content[i].Value; k {
			case "environment", "command", "entrypoint":
			default:
				all = texts(all, k, n.Content[i+1])
			}
		}
	case yaml.SequenceNode, yaml.DocumentNode:
		for _, e := range n.Content {
			if name, value, pair := strings.Cut(e.Value, "="); pair && e.Kind == yaml.ScalarNode {
				all = append(all, Text{name, value, e.Line})
				continue
			}
			all = texts(all, "", e) // the key is the list's: secrets: [password] names one
		}
	}
	return all
}
