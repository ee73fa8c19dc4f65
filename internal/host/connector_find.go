package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/composefile"
)

// Bounds of what is read of a connector's folder. YAML takes a hundred times
// its size when it is read; the published compose file has 12 KiB.
const (
	maxComposeFile  = 128 << 10 // bytes of .env, and of all compose files together
	maxComposeFiles = 20
	maxConnectors   = 50
)

// Labels that docker compose gives its containers.
const (
	labelProject = "com.docker.compose.project"
	labelDir     = "com.docker.compose.project.working_dir"
	labelFiles   = "com.docker.compose.project.config_files"
	labelService = "com.docker.compose.service"
)

// Containers are taken to be of a connector by the image, wherever it was
// pulled from, or by the service's name in the published compose file.
var (
	connectorImages   = []string{"ids_execution_core_container", "ids_be_data_app", "ids_uc_data_app_platoon", "ids_uc_data_app_platoon_pip"}
	connectorServices = []string{"ecc", "be-dataapp", "uc-dataapp", "uc-dataapp-pip"} // -provider, -consumer
)

// ErrNoConnector is what a check answers that needs a connector's folder when
// none is known.
var ErrNoConnector = errors.New("no connector folder is known: name it with --connector or connector.dir in the configuration")

// LooksLikeConnector reports whether a container or service with this image
// and service name is part of TRUE Connector.
func LooksLikeConnector(image, service string) bool {
	name, _, _ := strings.Cut(path.Base(image), ":")
	name, _, _ = strings.Cut(name, "@")
	service = strings.TrimSuffix(strings.TrimSuffix(service, "-provider"), "-consumer")
	return slices.Contains(connectorImages, name) || slices.Contains(connectorServices, service)
}

// foundProject is a compose project before its files are read.
type foundProject struct {
	dir, source, project string
	files                []string // as the labels name them; empty: as compose looks for them
	containers           []Container
}

func (h *Host) findConnectors(ctx context.Context) ([]Connector, error) {
	var containers []Container
	var askErr error = ErrNotRunning
	if h.Running() {
		containers, askErr = h.Containers(ctx)
	}
	projects, err := h.foundProjects(containers, askErr)
	if err != nil {
		return nil, err
	}
	if len(projects) > maxConnectors {
		return nil, fmt.Errorf("cannot look at %d connector folders: %d are the most", len(projects), maxConnectors)
	}
	if h.Running() && len(projects) > 0 {
		go h.Volumes(ctx) // what is asked for next, and waits for docker
	}
	var connectors []Connector
	for _, p := range projects {
		c, err := h.readConnector(ctx, p)
		if err != nil {
			return nil, err
		}
		connectors = append(connectors, c)
	}
	return connectors, nil
}

// foundProjects returns the projects that the operator named, else those of
// containers that look like a connector's.
func (h *Host) foundProjects(containers []Container, askErr error) ([]foundProject, error) {
	byDir := map[string]*foundProject{}
	var ours []string
	for _, c := range containers {
		dir := c.ComposeDir()
		if dir == "" {
			if len(h.opts.ConnectorDirs) == 0 && LooksLikeConnector(c.Image, c.Labels[labelService]) {
				return nil, fmt.Errorf("cannot tell the folder of container %.64q, which is a connector's but was not started by compose: name it with --connector or connector.dir", c.Name)
			}
			continue
		}
		p := byDir[dir]
		if p == nil {
			p = &foundProject{dir: dir, project: c.Labels[labelProject]}
			for file := range strings.SplitSeq(c.Labels[labelFiles], ",") {
				if path.IsAbs(file) {
					p.files = append(p.files, path.Clean(file))
				}
			}
			byDir[dir] = p
		}
		p.containers = append(p.containers, c)
		if LooksLikeConnector(c.Image, c.Labels[labelService]) && p.source == "" {
			p.source = "label of container " + c.Name
			ours = append(ours, dir)
		}
	}
	var projects []foundProject
	if len(h.opts.ConnectorDirs) > 0 {
		for _, dir := range h.opts.ConnectorDirs {
			if !path.IsAbs(dir) {
				return nil, fmt.Errorf("cannot use %q as a connector's folder: the path is not absolute", dir)
			}
			p := foundProject{dir: path.Clean(dir)}
			if running := byDir[p.dir]; running != nil {
				p = *running
			}
			p.source = "configuration"
			projects = append(projects, p)
		}
		return projects, nil
	}
	if askErr != nil && !errors.Is(askErr, ErrNotRunning) {
		return nil, fmt.Errorf("%w (docker cannot be asked for one: %w)", ErrNoConnector, askErr)
	}
	for _, dir := range slices.Sorted(slices.Values(ours)) {
		projects = append(projects, *byDir[dir])
	}
	return projects, nil
}

func (h *Host) readConnector(ctx context.Context, p foundProject) (Connector, error) {
	c := Connector{Dir: p.dir, Source: p.source, Project: p.project, containers: p.containers}
	info, err := h.Stat(p.dir)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: p.dir, Err: errors.New("it is not a folder")}
	}
	if err != nil {
		return c, fmt.Errorf("cannot read the connector's folder (%s): %w", p.source, err)
	}
	compose, err := h.readCompose(p)
	c.ComposeFiles, c.EnvFiles, c.variables = compose.files, compose.envFiles, compose.variables
	if err != nil && len(p.containers) == 0 {
		return c, fmt.Errorf("cannot read the connector in %s: %w", p.dir, err)
	}
	c.ComposeErr = err
	binds := map[string]bool{}
	volumes := map[string]VolumeRef{}
	if err == nil {
		c.Project = compose.project.Name
		services(&c, compose, binds)
		for _, v := range compose.project.Volumes {
			ref := VolumeRef{Name: v.Name, External: v.External, Path: v.Device}
			for _, s := range compose.project.Services {
				if slices.Contains(s.Volumes, v.Key) {
					ref.MountedBy = append(ref.MountedBy, s.Name)
				}
			}
			volumes[v.Name] = ref
		}
	}
	for _, container := range p.containers {
		for _, m := range container.Mounts {
			switch {
			case m.Type == "bind" && path.IsAbs(m.Source):
				binds[path.Clean(m.Source)] = true
			case m.Type == "volume" && m.Name != "" && m.Name == path.Base(m.Name):
				ref, ok := volumes[m.Name]
				if !ok {
					ref = VolumeRef{Name: m.Name, External: !strings.HasPrefix(m.Name, p.project+"_")}
				}
				if by := cmp.Or(container.ComposeService(), container.Name); !slices.Contains(ref.MountedBy, by) {
					ref.MountedBy = append(ref.MountedBy, by)
				}
				volumes[m.Name] = ref
			}
		}
	}
	c.BindMounts = slices.Sorted(maps.Keys(binds))
	if err := h.locateVolumes(ctx, volumes); err != nil {
		return c, err
	}
	for _, name := range slices.Sorted(maps.Keys(volumes)) {
		slices.Sort(volumes[name].MountedBy)
		c.Volumes = append(c.Volumes, volumes[name])
	}
	return c, nil
}

func services(c *Connector, compose composeProject, binds map[string]bool) {
	project := compose.project
	for _, s := range project.Services {
		c.Services = append(c.Services, ComposeService{
			Name: s.Name, Image: s.Image, File: s.File, Line: s.Line, Replicas: s.Replicas, Profiles: s.Profiles, Ports: s.Ports,
			CPUs: s.CPUs, Memory: s.Memory, LogDriver: s.LogDriver, LogMaxSize: s.LogSize,
			Environment: compose.environments[s.Name], Command: s.Command,
			Container: s.Container, Mounts: mountsOf(s, project), Sources: sourcesOf(s), Rights: s.Rights,
		})
		for _, b := range s.Binds {
			binds[b] = true
		}
	}
	for _, f := range project.Files { // configs and secrets are mounted too
		binds[f] = true
	}
	c.Files, c.Secrets = project.Files, project.Secrets
}

// sourcesOf are the configs and secrets of a service.
func sourcesOf(s composefile.Service) []ContainerMount {
	var sources []ContainerMount
	for _, m := range s.Sources {
		sources = append(sources, ContainerMount{Type: "bind", Source: m.Bind, Destination: m.Target})
	}
	return sources
}

// mountsOf are the binds and named volumes of a service, as docker will name
// them.
func mountsOf(s composefile.Service, project composefile.Project) []ContainerMount {
	var mounts []ContainerMount
	for _, m := range s.Mounts {
		switch {
		case m.Bind != "":
			mounts = append(mounts, ContainerMount{Type: "bind", Source: m.Bind, Destination: m.Target, ReadWrite: !m.ReadOnly})
		case m.Volume != "":
			i := slices.IndexFunc(project.Volumes, func(v composefile.Volume) bool { return v.Key == m.Volume })
			if i >= 0 {
				mounts = append(mounts, ContainerMount{Type: "volume", Name: project.Volumes[i].Name, Destination: m.Target, ReadWrite: !m.ReadOnly})
			}
		}
	}
	slices.SortFunc(mounts, func(a, b ContainerMount) int { return strings.Compare(a.Destination, b.Destination) })
	return mounts
}

// locateVolumes fills in where the data of volumes lie: as the daemon says,
// else where it will put them.
func (h *Host) locateVolumes(ctx context.Context, refs map[string]VolumeRef) error {
	if len(refs) == 0 {
		return nil
	}
	layout, err := h.DockerLayout(ctx)
	if err != nil {
		return fmt.Errorf("cannot tell where docker keeps volumes: %w", err)
	}
	known := map[string]Volume{}
	if h.Running() {
		volumes, err := h.Volumes(ctx)
		if err != nil && !errors.Is(err, ErrDockerDown) {
			return err
		}
		for _, v := range volumes {
			known[v.Name] = v
		}
	}
	for name, ref := range refs {
		v, made := known[name]
		if !made && ref.Path == "" && layout.DataRoot.Path != "" {
			v.Path = path.Join(layout.DataRoot.Path, "volumes", name, "_data")
			if v.Device, err = h.savedDevice(path.Dir(v.Path)); err != nil {
				return err
			}
		}
		switch {
		case v.Device != "":
			ref.Path = v.Device
		case v.Path != "":
			ref.Path = v.Path
		}
		refs[name] = ref
	}
	return nil
}

// savedDevice returns the folder that docker's local driver binds into a
// volume, as it is written beside the volume while no daemon runs.
func (h *Host) savedDevice(dir string) (string, error) {
	data, err := h.ReadFile(path.Join(dir, "opts.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var saved struct{ MountOpts, MountDevice string }
	if err == nil {
		err = json.Unmarshal(data, &saved)
	}
	if err != nil {
		return "", fmt.Errorf("cannot tell where the volume's data lie: %w", err)
	}
	return boundDevice("local", map[string]string{"o": saved.MountOpts, "device": saved.MountDevice}), nil
}
