package composefile

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxExtends bounds how many services extend one another.
const maxExtends = 32

// Load merges compose files in their order. Relative paths are below dir; vars
// has the variables. A name that is given (by the operator, or by docker's
// labels) wins over COMPOSE_PROJECT_NAME, the files' name: and the folder's.
func Load(dir, name string, files []File, vars Variables) (Project, error) {
	l := loader{
		dir: dir, vars: maps.Clone(vars),
		services: map[string]service{}, volumes: map[string]Volume{}, sources: map[string]string{},
	}
	if l.vars == nil {
		l.vars = Variables{}
	}
	var documents []document
	for _, f := range files {
		docs, err := parse(f)
		if err != nil {
			return Project{}, err
		}
		for _, doc := range docs {
			documents = append(documents, document{f.Name, doc})
		}
	}
	if err := l.nameProject(name, documents); err != nil {
		return Project{}, err
	}
	for _, doc := range documents {
		if err := l.add(doc); err != nil {
			return Project{}, doc.at(err)
		}
	}
	return l.project()
}

// document is one YAML document and the file it is in.
type document struct {
	file string
	node *yaml.Node
}

// at names the file and line of an error that names a node.
func (d document) at(err error) error {
	var n nodeError
	if errors.As(err, &n) {
		return fmt.Errorf("cannot read %s:%d: %w", d.file, n.node.Line, err)
	}
	return fmt.Errorf("cannot read %s: %w", d.file, err)
}

type loader struct {
	walker
	dir      string
	name     string
	vars     Variables
	services map[string]service
	volumes  map[string]Volume
	sources  map[string]string // file of a config or secret, by "configs/NAME" and "secrets/NAME"
}

func (l *loader) nameProject(name string, documents []document) error {
	l.name = name
	if v := l.vars["COMPOSE_PROJECT_NAME"]; l.name == "" && v.Known {
		l.name = v.Value
	}
	for _, doc := range documents {
		if name != "" || l.name != "" && l.vars["COMPOSE_PROJECT_NAME"].Value == l.name {
			break
		}
		pairs, err := l.entries(doc.node)
		if err != nil {
			return doc.at(err)
		}
		for _, p := range pairs {
			if p.key == "name" {
				if l.name, err = l.known(p.node); err != nil {
					return doc.at(err)
				}
			}
		}
	}
	if l.name == "" {
		l.name = ProjectName(l.dir)
	}
	l.vars["COMPOSE_PROJECT_NAME"] = Variable{Value: l.name, Known: true}
	return nil
}

// add merges one document onto those before it.
func (l *loader) add(doc document) error {
	pairs, err := l.entries(doc.node)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		switch p.key {
		case "include":
			return wrong(p.where, "include is not understood by this version of hostguard")
		case "services":
			err = l.addServices(doc, p.node)
		case "volumes":
			err = l.addVolumes(p.node)
		case "configs", "secrets":
			err = l.addSources(p.key, p.node)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) addServices(doc document, n *yaml.Node) error {
	pairs, err := l.entries(n)
	if err != nil {
		return err
	}
	byName := map[string]pair{}
	for _, p := range pairs {
		byName[p.key] = p
	}
	for _, p := range pairs {
		s, err := l.extended(doc, byName, p, 0)
		if err != nil {
			return err
		}
		s.File, s.Line = doc.file, p.where.Line
		if before, ok := l.services[p.key]; ok {
			s = merge(before, s)
		}
		s.mounts = lastByTarget(s.mounts)
		s.Name = p.key
		l.services[p.key] = s
	}
	return nil
}

// extended reads a service with what it extends.
func (l *loader) extended(doc document, byName map[string]pair, p pair, depth int) (service, error) {
	if depth > maxExtends {
		return service{}, wrong(p.where, "services extend one another in a circle")
	}
	pairs, err := l.entries(p.node)
	if err != nil {
		return service{}, err
	}
	own, err := l.readService(doc.file, pairs)
	if err != nil {
		return service{}, err
	}
	for _, e := range pairs {
		if e.key != "extends" || isNull(e.node) {
			continue
		}
		name := e.node.Value
		if e.node.Kind == yaml.MappingNode {
			keys, err := l.entries(e.node)
			if err != nil {
				return service{}, err
			}
			for _, k := range keys {
				switch k.key {
				case "file":
					return service{}, wrong(k.where, "extends from another file is not understood by this version of hostguard")
				case "service":
					name = k.node.Value
				}
			}
		}
		base, ok := byName[name]
		if !ok {
			return service{}, wrong(e.where, "it extends a service that is not in the file")
		}
		s, err := l.extended(doc, byName, base, depth+1)
		if err != nil {
			return service{}, err
		}
		own = merge(s, own)
	}
	return own, nil
}

// project is what all documents together say.
func (l *loader) project() (Project, error) {
	p := Project{Name: l.name, vars: l.vars}
	p.Files, p.Secrets = l.sourceFiles()
	used := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(l.services)) {
		s := l.services[name]
		binds, volumes := map[string]bool{}, map[string]bool{}
		for _, m := range s.mounts {
			if m.bind != "" {
				binds[m.bind] = true
			}
			if m.volume == "" {
				continue
			}
			if _, ok := l.volumes[m.volume]; !ok {
				return Project{}, fmt.Errorf("cannot read %s:%d: the service mounts a volume that the files do not declare", s.File, s.Line)
			}
			volumes[m.volume], used[m.volume] = true, true
		}
		for _, m := range s.mounts {
			s.Mounts = append(s.Mounts, Mount{Target: m.target, Bind: m.bind, Volume: m.volume, ReadOnly: m.readOnly})
		}
		s.Binds, s.Volumes = slices.Sorted(maps.Keys(binds)), slices.Sorted(maps.Keys(volumes))
		s.EnvFiles = distinctEnvFiles(s.envFiles)
		s.Sources = l.sourcesOf(s.uses)
		s.Environment = l.environment(s.env)
		s.Command = append(slices.Clone(s.command["entrypoint"]), s.command["command"]...)
		p.Services = append(p.Services, s.Service)
		p.EnvFiles = append(p.EnvFiles, s.envFiles...)
	}
	for _, key := range slices.Sorted(maps.Keys(used)) {
		v := l.volumes[key]
		switch {
		case v.Name != "":
		case v.External:
			v.Name = key
		default:
			v.Name = l.name + "_" + key
		}
		p.Volumes = append(p.Volumes, v)
	}
	slices.SortFunc(p.Volumes, func(a, b Volume) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(p.EnvFiles, func(a, b EnvFile) int { return strings.Compare(a.Path, b.Path) })
	p.EnvFiles = slices.CompactFunc(p.EnvFiles, func(a, b EnvFile) bool { return a.Path == b.Path })
	return p, nil
}
