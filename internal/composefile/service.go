package composefile

import (
	"maps"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/hostguard/hostguard/internal/secret"
)

// service is a service while files are merged onto it.
type service struct {
	Service
	mounts   []mount
	envFiles []EnvFile
	uses     []use // configs and secrets
	env      map[string]assignment
	command  map[string][]secret.Text // of entrypoint and command
}

func (l *loader) readService(file string, pairs []pair) (service, error) {
	var s service
	var limits struct{ cpus, memory string } // the older keys
	var err error
	for _, p := range pairs {
		if err := l.readRights(&s.Rights, p.key, p.node); err != nil {
			return s, err
		}
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
		case "environment":
			s.env, err = l.readEnvironment(file, p.node)
		case "entrypoint", "command":
			if s.command == nil {
				s.command = map[string][]secret.Text{}
			}
			s.command[p.key], err = l.words(p.node)
		case "ports":
			s.Ports, err = l.readPorts(file, p.node)
		case "volumes":
			s.mounts, err = l.readMounts(p.node)
		case "volumes_from":
			if !isNull(p.node) {
				err = wrong(p.where, "volumes_from is not understood by this version of hostguard")
			}
		case "configs", "secrets":
			var uses []use
			uses, err = l.readUses(p.key, p.node)
			s.uses = append(s.uses, uses...)
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
				case "format":
					f.Raw = p.node.Value != ""
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
	m.Rights = mergeRights(base.Rights, over.Rights)
	m.Ports = append(slices.Clone(base.Ports), over.Ports...)
	m.mounts = addMounts(base.mounts, over.mounts)
	m.envFiles = append(slices.Clone(base.envFiles), over.envFiles...)
	m.uses = append(slices.Clone(base.uses), over.uses...)
	m.env = mergeMaps(base.env, over.env)
	m.command = mergeMaps(base.command, over.command)
	return m
}

func mergeMaps[V any](base, over map[string]V) map[string]V {
	m := maps.Clone(base)
	if m == nil {
		return over
	}
	maps.Copy(m, over)
	return m
}
