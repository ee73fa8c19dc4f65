package composefile

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/hostguard/hostguard/internal/secret"
)

// An EnvVar is one variable of a service's environment. Its value may be a
// secret.
type EnvVar struct {
	Name  string
	Value secret.Text // what the files tell of it; the rest counts as empty
	Known bool        // whether the files tell all of it
	Place             // where the service is given it

	// Origin is where the value stands: the line of .env when all of it is a
	// reference to a variable there, else Place.
	Origin     Place
	OriginName string // of the variable there
	Missing    string // the first variable that is set in no file, when it is not Known
}

// assignment is an entry of environment: before its value is looked up.
type assignment struct {
	variable Variable
	missing  string
	inherits bool // a name alone: the value is that of the project's variable
}

// readEnvironment reads environment:, a mapping or a list of NAME=VALUE.
func (l *loader) readEnvironment(file string, n *yaml.Node) (map[string]assignment, error) {
	env := map[string]assignment{}
	if n.Kind != yaml.SequenceNode {
		pairs, err := l.entries(n)
		if err != nil {
			return nil, err
		}
		for _, p := range pairs {
			if p.node.Kind != yaml.ScalarNode {
				return nil, wrong(p.node, "a text is wanted here")
			}
			at := Place{file, p.where.Line}
			if isNull(p.node) {
				env[p.key] = assignment{Variable{Place: at}, "", true}
				continue
			}
			if env[p.key], err = l.assign(at, p.node, scalarText(p.node)); err != nil {
				return nil, err
			}
		}
		return env, nil
	}
	list, err := l.items(n)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if e.Kind != yaml.ScalarNode {
			return nil, wrong(e, "a text is wanted here")
		}
		at := Place{file, e.Line}
		// The name is expanded with the rest, and may be what a variable says.
		name, value, given := strings.Cut(e.Value, "=")
		if strings.Contains(name, "$") {
			text, unknown, err := l.vars.expand(e.Value)
			if err != nil || len(unknown) > 0 {
				return nil, wrong(e, "the name of a variable cannot be told")
			}
			name, value, given = strings.Cut(text, "=")
			value = strings.ReplaceAll(value, "$", "$$")
		}
		if name == "" || strings.TrimSpace(name) != name {
			return nil, wrong(e, "the name of a variable is empty or has blanks around it")
		}
		if !given {
			env[name] = assignment{Variable{Place: at}, "", true}
			continue
		}
		if env[name], err = l.assign(at, e, value); err != nil {
			return nil, err
		}
	}
	return env, nil
}

func (l *loader) assign(at Place, n *yaml.Node, value string) (assignment, error) {
	text, unknown, err := l.vars.expand(value)
	if err != nil {
		return assignment{}, wrong(n, "%v", err)
	}
	if l.size += len(text); l.size > maxTotal {
		return assignment{}, wrong(n, "%v", errGrows)
	}
	a := assignment{variable: Variable{Value: text, Known: len(unknown) == 0, Place: at, From: soleName(value)}}
	if len(unknown) > 0 {
		a.missing = unknown[0]
	}
	return a, nil
}

// scalarText is what compose makes of a scalar: numbers lose the form in which
// they are written.
func scalarText(n *yaml.Node) string {
	switch n.Tag {
	case "!!int", "!!float", "!!bool":
		var v any
		if n.Decode(&v) == nil {
			return fmt.Sprint(v)
		}
	}
	return n.Value
}

// environment resolves the entries of environment:.
func (l *loader) environment(entries map[string]assignment) []EnvVar {
	var env []EnvVar
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		a := entries[name]
		v := EnvVar{
			Name: name, Value: secret.New(a.variable.Value), Known: a.variable.Known, Place: a.variable.Place,
			Missing: a.missing,
		}
		v.Origin, v.OriginName = l.vars.origin(v.Place, name, a.variable.From)
		if a.inherits {
			from, set := l.vars[name]
			v.Value, v.Known = secret.New(from.Value), set && from.Known
			v.Origin, v.OriginName = l.vars.origin(v.Place, name, name)
			if !v.Known {
				v.Missing = name
			}
		}
		env = append(env, v)
	}
	return env
}

// distinctEnvFiles drops what is named before.
func distinctEnvFiles(files []EnvFile) []EnvFile {
	var distinct []EnvFile
	for _, f := range files {
		if i := slices.IndexFunc(distinct, func(d EnvFile) bool { return d.Path == f.Path }); i >= 0 {
			distinct[i] = f
			continue
		}
		distinct = append(distinct, f)
	}
	return distinct
}

// EnvironmentOf is all that a service's container is given: the variables of its
// env_file files, later ones over earlier, and over them those of environment:.
// What the image sets itself is not in it. read returns a file's content; a file
// that is not there and is optional may be nil.
func (p Project) EnvironmentOf(s Service, read func(EnvFile) ([]byte, error)) ([]EnvVar, error) {
	own := Variables{} // what environment: gives, then what the files add
	byName := map[string]EnvVar{}
	for _, v := range s.Environment {
		byName[v.Name] = v
		if v.Known {
			own[v.Name] = Variable{Value: v.Value.Reveal(), Known: true, Place: v.Place}
		}
	}
	given := maps.Clone(own)
	for _, f := range s.EnvFiles {
		data, err := read(f)
		if err != nil {
			return nil, err
		}
		if data == nil {
			continue
		}
		if f.Raw {
			return nil, fmt.Errorf("cannot read %s: %w", f.Path, errors.New("the format of env_file is not understood by this version of hostguard"))
		}
		if err := (scope{above: []Variables{p.vars, given}, own: own}).read(f.Path, data); err != nil {
			return nil, err
		}
	}
	for name, v := range own {
		if _, there := byName[name]; there {
			continue
		}
		e := EnvVar{Name: name, Value: secret.New(v.Value), Known: v.Known, Place: v.Place}
		e.Origin, e.OriginName = p.vars.origin(v.Place, name, v.From)
		if !v.Known {
			e.Missing = cmp.Or(v.From, name)
		}
		byName[name] = e
	}
	env := slices.Collect(maps.Values(byName))
	slices.SortFunc(env, func(a, b EnvVar) int { return strings.Compare(a.Name, b.Name) })
	return env, nil
}

// words are those of a command, a text or a list of them.
func (l *loader) words(n *yaml.Node) ([]secret.Text, error) {
	var words []secret.Text
	if isNull(n) {
		return nil, nil
	}
	if n.Kind == yaml.ScalarNode {
		text, err := l.text(n)
		for word := range strings.FieldsSeq(text) {
			words = append(words, secret.New(word))
		}
		return words, err
	}
	texts, err := l.texts(n)
	for _, word := range texts {
		words = append(words, secret.New(word))
	}
	return words, err
}
