package composefile

import (
	"errors"
	"fmt"
	"maps"
	"path"
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
		services: map[string]service{}, volumes: map[string]Volume{}, sources: map[string]bool{},
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
	sources  map[string]bool
}

// service is a service while files are merged onto it.
type service struct {
	Service
	mounts   []mount
	envFiles []EnvFile
}

// mount is an entry of volumes:. The last of several at one target counts.
type mount struct {
	target string
	bind   string // absolute host path
	volume string // key of a named volume
	text   string // the entry as it was written, variables replaced
	short  bool   // in the form SOURCE:TARGET
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
	l.vars["COMPOSE_PROJECT_NAME"] = Variable{l.name, true}
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
			err = l.addSources(p.node)
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
	own, err := l.readService(pairs)
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

func (l *loader) readService(pairs []pair) (service, error) {
	var s service
	var limits struct{ cpus, memory string } // the older keys
	var err error
	for _, p := range pairs {
		switch p.key {
		case "image":
			s.Image, err = l.text(p.node)
		case "container_name":
			s.Container, err = l.text(p.node)
		case "cpus":
			limits.cpus, err = l.text(p.node)
		case "mem_limit":
			limits.memory, err = l.text(p.node)
		case "scale":
			s.Replicas, err = l.text(p.node)
		case "profiles":
			s.Profiles, err = l.texts(p.node)
		case "deploy":
			err = l.readDeploy(&s, p.node)
		case "logging":
			err = l.readLogging(&s, p.node)
		case "env_file":
			s.envFiles, err = l.readEnvFiles(p.node)
		case "volumes":
			s.mounts, err = l.readMounts(p.node)
		}
		if err != nil {
			return s, err
		}
	}
	if s.CPUs == "" {
		s.CPUs = limits.cpus
	}
	if s.Memory == "" {
		s.Memory = limits.memory
	}
	return s, nil
}

// readDeploy reads deploy.replicas and deploy.resources.limits.
func (l *loader) readDeploy(s *service, n *yaml.Node) error {
	deploy, err := l.entries(n)
	if err != nil {
		return err
	}
	for _, d := range deploy {
		switch d.key {
		case "replicas":
			if s.Replicas, err = l.text(d.node); err != nil {
				return err
			}
		case "resources":
			resources, err := l.entries(d.node)
			if err != nil {
				return err
			}
			for _, r := range resources {
				if r.key != "limits" {
					continue
				}
				limits, err := l.mapping(r.node)
				if err != nil {
					return err
				}
				s.CPUs, s.Memory = limits["cpus"], limits["memory"]
			}
		}
	}
	return nil
}

func (l *loader) readLogging(s *service, n *yaml.Node) error {
	pairs, err := l.entries(n)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		switch p.key {
		case "driver":
			s.LogDriver, err = l.text(p.node)
		case "options":
			var options map[string]string
			options, err = l.mapping(p.node)
			s.LogSize = options["max-size"]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) readEnvFiles(n *yaml.Node) ([]EnvFile, error) {
	list := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		var err error
		if list, err = l.items(n); err != nil {
			return nil, err
		}
	}
	var files []EnvFile
	for _, e := range list {
		if isNull(e) {
			continue
		}
		var f EnvFile
		var err error
		where := e
		if e.Kind == yaml.MappingNode {
			pairs, err := l.entries(e)
			if err != nil {
				return nil, err
			}
			for _, p := range pairs {
				switch p.key {
				case "path":
					where = p.node
				case "required":
					f.Optional = p.node.Value == "false"
				}
			}
		}
		if f.Path, err = l.hostPath(where); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
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
	m := mount{target: path.Clean(target), text: fmt.Sprint(all)}
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

func (l *loader) addVolumes(n *yaml.Node) error {
	pairs, err := l.entries(n)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		v := l.volumes[p.key]
		v.Key = p.key
		settings, err := l.entries(p.node)
		if err != nil {
			return err
		}
		for _, s := range settings {
			switch s.key {
			case "name":
				v.Name, err = l.known(s.node)
			case "external":
				v.External = s.node.Value == "true"
				if s.node.Kind == yaml.MappingNode { // the older form
					v.External = true
					var m map[string]string
					m, err = l.mapping(s.node)
					v.Name = m["name"]
				}
			case "driver_opts":
				var o map[string]string
				if o, err = l.mapping(s.node); err == nil {
					v.Device, err = boundDevice(s.node, o)
				}
			}
			if err != nil {
				return err
			}
		}
		l.volumes[p.key] = v
	}
	return nil
}

// boundDevice returns the folder that docker's local driver binds.
func boundDevice(n *yaml.Node, options map[string]string) (string, error) {
	for o := range strings.SplitSeq(options["o"], ",") {
		if o != "bind" && o != "rbind" {
			continue
		}
		if device := options["device"]; path.IsAbs(device) {
			return path.Clean(device), nil
		}
		return "", wrong(n, "the folder that the volume binds is not an absolute path that the files tell")
	}
	return "", nil
}

// addSources notes the files that configs and secrets are.
func (l *loader) addSources(n *yaml.Node) error {
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
			name, err := l.hostPath(s.node)
			if err != nil {
				return err
			}
			l.sources[name] = true
		}
	}
	return nil
}

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

// merge lays over onto base, as compose merges services.
func merge(base, over service) service {
	m := over
	for _, s := range []struct{ to, from *string }{
		{&m.Image, &base.Image}, {&m.Container, &base.Container}, {&m.Replicas, &base.Replicas},
		{&m.CPUs, &base.CPUs}, {&m.Memory, &base.Memory},
	} {
		if *s.to == "" {
			*s.to = *s.from
		}
	}
	// The options of another log driver do not carry over.
	if over.LogDriver == "" || base.LogDriver == "" || over.LogDriver == base.LogDriver {
		if m.LogDriver == "" {
			m.LogDriver = base.LogDriver
		}
		if m.LogSize == "" {
			m.LogSize = base.LogSize
		}
	}
	m.Profiles = append(slices.Clone(base.Profiles), over.Profiles...)
	m.mounts = addMounts(base.mounts, over.mounts)
	m.envFiles = append(slices.Clone(base.envFiles), over.envFiles...)
	return m
}

// project is what all documents together say.
func (l *loader) project() (Project, error) {
	p := Project{Name: l.name, Files: slices.Sorted(maps.Keys(l.sources))}
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
		s.Binds, s.Volumes = slices.Sorted(maps.Keys(binds)), slices.Sorted(maps.Keys(volumes))
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
