package composefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	"gopkg.in/yaml.v3"
)

// Bounds: an anchor may contain itself, and a few lines of aliases may name
// thousands of millions of nodes.
const (
	maxAliases = 32
	maxSteps   = 200_000
)

// A walker looks at nodes, and at no more than maxSteps of them.
type walker struct {
	steps int
	size  int // bytes that variables of services expand to
}

func (w *walker) step(n *yaml.Node, count int) error {
	if w.steps += count; w.steps > maxSteps {
		return wrong(n, "the file with its aliases says more than %d things", maxSteps)
	}
	return nil
}

// parse returns the documents of a compose file. YAML's own messages quote
// the file, so only their line is kept.
func parse(f File) ([]*yaml.Node, error) {
	var documents []*yaml.Node
	for d := yaml.NewDecoder(bytes.NewReader(f.Data)); ; {
		var doc yaml.Node
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			line := "1"
			if m := regexp.MustCompile(`line ([0-9]+)`).FindStringSubmatch(err.Error()); m != nil {
				line = m[1]
			}
			return nil, fmt.Errorf("cannot read %s:%s: it is not YAML", f.Name, line)
		}
		if len(doc.Content) == 1 && !isNull(doc.Content[0]) {
			documents = append(documents, doc.Content[0])
		}
	}
}

// A pair is one key of a mapping and its value.
type pair struct {
	key   string
	node  *yaml.Node // the value, aliases followed
	where *yaml.Node // the key's own place
}

// A nodeError is an error at a place of a file.
type nodeError struct {
	node *yaml.Node
	text string
}

func (e nodeError) Error() string { return e.text }

func wrong(n *yaml.Node, format string, args ...any) error {
	return nodeError{n, fmt.Sprintf(format, args...)}
}

// resolve follows aliases. Tags that change how files merge are refused.
func resolve(n *yaml.Node) (*yaml.Node, error) {
	for range maxAliases {
		if n.Tag == "!reset" || n.Tag == "!override" {
			return nil, wrong(n, "%s is not understood by this version of hostguard", n.Tag)
		}
		if n.Kind != yaml.AliasNode {
			return n, nil
		}
		n = n.Alias
	}
	return nil, wrong(n, "its aliases lead in a circle")
}

// entries returns a mapping's pairs in their order, those of merge keys last;
// null is an empty mapping.
func (w *walker) entries(n *yaml.Node) ([]pair, error) { return w.entriesAt(n, 0) }

func (w *walker) entriesAt(n *yaml.Node, depth int) ([]pair, error) {
	if depth > maxAliases {
		return nil, wrong(n, "its aliases lead in a circle")
	}
	n, err := resolve(n)
	if err != nil {
		return nil, err
	}
	if isNull(n) {
		return nil, nil
	}
	if n.Kind != yaml.MappingNode {
		return nil, wrong(n, "a mapping is wanted here")
	}
	if err := w.step(n, len(n.Content)); err != nil {
		return nil, err
	}
	var pairs, merged []pair
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" {
			more, err := w.mergedEntries(value, depth)
			if err != nil {
				return nil, err
			}
			merged = append(merged, more...)
			continue
		}
		k, err := resolve(key)
		if err != nil {
			return nil, err
		}
		if k.Kind != yaml.ScalarNode {
			return nil, wrong(key, "a key must be a text")
		}
		if seen[k.Value] {
			return nil, wrong(key, "a key is set twice")
		}
		seen[k.Value] = true
		if value, err = resolve(value); err != nil {
			return nil, err
		}
		pairs = append(pairs, pair{k.Value, value, key})
	}
	for _, p := range merged { // the first of several merged mappings wins
		if !seen[p.key] {
			seen[p.key] = true
			pairs = append(pairs, p)
		}
	}
	return pairs, nil
}

// mergedEntries returns the pairs of a merge key's value: a mapping, or a
// list of them.
func (w *walker) mergedEntries(n *yaml.Node, depth int) ([]pair, error) {
	n, err := resolve(n)
	if err != nil {
		return nil, err
	}
	if n.Kind != yaml.SequenceNode {
		return w.entriesAt(n, depth+1)
	}
	var all []pair
	for _, e := range n.Content {
		more, err := w.entriesAt(e, depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// items returns a list's elements, aliases followed; null is an empty list.
func (w *walker) items(n *yaml.Node) ([]*yaml.Node, error) {
	if isNull(n) {
		return nil, nil
	}
	if n.Kind != yaml.SequenceNode {
		return nil, wrong(n, "a list is wanted here")
	}
	if err := w.step(n, len(n.Content)); err != nil {
		return nil, err
	}
	var all []*yaml.Node
	for _, e := range n.Content {
		e, err := resolve(e)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
