package springconf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"

	"gopkg.in/yaml.v3"

	"github.com/hostguard/hostguard/internal/properties"
)

// read parses a file by its name; nil is one of another kind.
func read(f File) *layer {
	l := &layer{name: f.Name, error: f.Err, get: func(string) (properties.Property, bool) { return properties.Property{}, false }}
	var list []properties.Property
	switch path.Ext(f.Name) {
	case ".properties":
		if l.error != nil {
			return l
		}
		p, err := properties.Parse(f.Name, f.Data)
		if err != nil {
			l.error = err
			return l
		}
		l.get, list = p.Get, p.All
	case ".yml", ".yaml":
		if l.error != nil {
			return l
		}
		all, err := flatten(f.Data)
		if err != nil {
			l.error = fmt.Errorf("cannot read %s: %w", f.Name, err)
			return l
		}
		last := map[string]properties.Property{}
		for _, p := range all {
			last[p.Key] = p
		}
		list = all
		l.get = func(key string) (properties.Property, bool) {
			p, found := last[key]
			return p, found
		}
	case ".xml":
		if base := path.Base(f.Name); len(base) > 11 && base[:11] == "application" {
			l.error = fmt.Errorf("cannot read %s: properties in XML are not understood by this version of hostguard", f.Name)
			return l
		}
		return nil
	default:
		return nil
	}
	for _, p := range list {
		l.keys = append(l.keys, p.Key)
	}
	return l
}

// maxNodes bounds what a YAML file may say: aliases name the same many times.
const (
	maxNodes = 20_000
	maxDepth = 32
)

var errManyNodes = fmt.Errorf("it says more than %d things, or is nested deeper than %d", maxNodes, maxDepth)

// flatten makes properties of a YAML file as Spring does: a.b[0].c.
func flatten(data []byte) ([]properties.Property, error) {
	var all []properties.Property
	f := flattener{}
	for d := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, errors.New("it is not YAML") // YAML's own message quotes it
		}
		for _, n := range doc.Content {
			if err := f.add("", n, 0, &all); err != nil {
				return nil, err
			}
		}
	}
}

type flattener struct{ nodes int }

func (f *flattener) add(key string, n *yaml.Node, depth int, all *[]properties.Property) error {
	if f.nodes++; f.nodes > maxNodes || depth > maxDepth || len(key) > 4096 {
		return errManyNodes
	}
	switch n.Kind {
	case yaml.AliasNode:
		return f.add(key, n.Alias, depth+1, all)
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := n.Content[i].Value
			if n.Content[i].Tag == "!!merge" {
				return errors.New("its merge keys are not understood by this version of hostguard")
			}
			if key != "" {
				name = key + "." + name
			}
			if err := f.add(name, n.Content[i+1], depth+1, all); err != nil {
				return err
			}
		}
	case yaml.SequenceNode:
		for i, e := range n.Content {
			if err := f.add(key+"["+strconv.Itoa(i)+"]", e, depth+1, all); err != nil {
				return err
			}
		}
	case yaml.ScalarNode:
		value := n.Value
		if n.Tag == "!!null" {
			value = ""
		}
		*all = append(*all, properties.Property{Key: key, Value: value, Line: n.Line})
	}
	return nil
}
