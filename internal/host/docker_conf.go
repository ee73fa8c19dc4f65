package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/dockerconf"
)

// dockerConf is docker as the files of the host describe it.
type dockerConf struct {
	kind      string
	programs  []Place
	others    []Place
	units     []Place
	config    Place // daemon.json
	options   dockerconf.Options
	activated []dockerconf.Stream // what docker.socket listens on for the daemon
	socket    []dockerconf.UnitFile
	sockets   []string // unix sockets that the daemon listens on, the first is asked
	conflicts []Conflict
	err       error // why options and sockets cannot be told
}

// option returns a path that the configuration sets, else its default.
func (c dockerConf) option(name, otherwise string) Place {
	if o, ok := c.options[name]; ok && path.IsAbs(o.Last()) {
		return Place{Path: path.Clean(o.Last()), Source: fmt.Sprintf("%s:%d", o.Source, o.Line)}
	}
	return Place{Path: otherwise, Source: "default"}
}

// addDaemon adds the dockerd that the unit starts, wherever it lies.
func (c *dockerConf) addDaemon(name, source string) {
	if !slices.ContainsFunc(c.programs, func(p Place) bool { return path.Base(p.Path) == path.Base(name) }) {
		c.programs = append([]Place{{Name: "dockerd", Path: name, Exists: true, Source: source}}, c.programs...)
	}
}

func (h *Host) readDockerConf(ctx context.Context) (dockerConf, error) {
	var c dockerConf
	var err error
	if c.programs, err = h.findPrograms(dockerPrograms); err != nil {
		return c, err
	}
	service, err := h.unitPlaces(ctx, "package", "docker.service")
	if err != nil {
		return c, err
	}
	if err := h.recogniseDocker(&c, len(service) > 0); err != nil {
		return c, err
	}
	if c.kind == "" || c.kind == "rootless" {
		return c, nil
	}
	files := map[string][]dockerconf.UnitFile{}
	for _, name := range dockerUnits[c.kind] {
		places, err := h.unitPlaces(ctx, c.kind, name)
		if err != nil {
			return c, err
		}
		c.units = append(c.units, places...)
		for _, p := range places {
			data, masked, err := h.readUnit(p.Path)
			switch {
			case masked:
			case err != nil:
				c.err = errors.Join(c.err, fmt.Errorf("cannot tell how docker is configured: %w", err))
			default:
				files[name] = append(files[name], dockerconf.UnitFile{Name: p.Path, Data: data})
			}
		}
	}
	if err := h.readDockerOptions(&c, files); err != nil {
		c.err = errors.Join(c.err, err)
	}
	return c, nil
}

// recogniseDocker says which kind of docker the host has, and which others
// beside it.
func (h *Host) recogniseDocker(c *dockerConf, hasUnit bool) error {
	snap, err := h.Exists(snapDockerRoot)
	if err != nil {
		return err
	}
	packaged := hasUnit || slices.ContainsFunc(c.programs, func(p Place) bool { return p.Name == "dockerd" })
	snapPlace := Place{Name: "snap", Path: snapDockerRoot, Exists: true, Source: "found"}
	switch {
	case packaged:
		c.kind = "package"
		if snap {
			c.others = append(c.others, snapPlace)
		}
	case snap:
		c.kind = "snap"
	}
	// Looking into homes could wait on a file server: a running rootless
	// docker shows in /run.
	pattern := "/run/user/*/docker.sock"
	if !h.Running() {
		pattern = "/home/*/.config/systemd/user/docker.service"
	}
	found, err := h.Glob(pattern)
	if err != nil {
		return err
	}
	for _, name := range found {
		c.others = append(c.others, Place{Name: "rootless", Path: name, Exists: true, Source: "found"})
	}
	if c.kind == "" && len(found) > 0 {
		c.kind = "rootless"
	}
	if c.kind == "snap" {
		for _, p := range dockerPrograms {
			name := path.Join(snapDockerRoot, "bin", p)
			if ok, err := h.Exists(name); err != nil {
				return err
			} else if ok {
				c.programs = append(c.programs, Place{Name: p, Path: name, Exists: true, Source: "snap"})
			}
		}
	}
	return nil
}

// readDockerOptions lays the daemon's command line over daemon.json.
func (h *Host) readDockerOptions(c *dockerConf, files map[string][]dockerconf.UnitFile) error {
	flags := dockerconf.Options{}
	if service := files[dockerUnits[c.kind][0]]; c.kind == "package" && len(service) > 0 {
		command, err := dockerconf.CommandLine(service, h.ReadFile)
		if err == nil {
			c.addDaemon(command.Args[0], fmt.Sprintf("%s:%d", command.File, command.Line))
			flags, err = dockerconf.ParseFlags(command.File, command.Line, command.Args[1:])
		}
		if err != nil {
			return fmt.Errorf("cannot tell how docker is started: %w", err)
		}
	}
	name, otherwise := defaultDockerConfig, "default"
	if c.kind == "snap" {
		name, otherwise = snapDockerConfig, "snap"
	}
	c.config = Place{Name: "daemon.json", Path: name, Source: otherwise}
	if o, ok := flags["config-file"]; ok {
		c.config = Place{Name: "daemon.json", Path: o.Last(), Source: fmt.Sprintf("%s:%d", o.Source, o.Line)}
	}
	data, err := h.ReadFile(c.config.Path)
	c.config.Exists = err == nil || !errors.Is(err, fs.ErrNotExist)
	file := dockerconf.Options{}
	if c.config.Exists {
		if err == nil {
			file, err = dockerconf.ParseFile(c.config.Path, data)
		}
		if err != nil {
			return err
		}
	}
	var both []string
	c.options, both = dockerconf.Merge(file, flags)
	for _, name := range both {
		c.conflicts = append(c.conflicts, Conflict{
			Source: file[name].Source, Line: file[name].Line, Key: name,
			Want:   "set in one place",
			Got:    fmt.Sprintf("set here and by a flag at %s:%d", flags[name].Source, flags[name].Line),
			Reason: "An option is set both in daemon.json and by a flag: dockerd does not start with both.",
		})
	}
	c.socket = files["docker.socket"]
	c.activated = dockerconf.ListenStreams(c.socket)
	c.sockets = dockerSockets(c.options["hosts"].Values, c.activated)
	return nil
}

// dockerSockets returns the unix sockets that the daemon listens on by its
// option hosts. "fd://" stands for those of docker.socket.
func dockerSockets(hosts []string, activated []dockerconf.Stream) []string {
	if len(hosts) == 0 {
		return []string{defaultDockerSocket}
	}
	var sockets []string
	for _, host := range hosts {
		scheme, rest, found := strings.Cut(host, "://")
		switch {
		case !found && path.IsAbs(host):
			sockets = append(sockets, host)
		case scheme == "unix" && rest == "":
			sockets = append(sockets, defaultDockerSocket)
		case scheme == "unix":
			sockets = append(sockets, rest)
		case scheme == "fd" && len(activated) == 0:
			sockets = append(sockets, defaultDockerSocket)
		case scheme == "fd":
			for _, a := range activated {
				if path.IsAbs(a.Address) {
					sockets = append(sockets, a.Address)
				}
			}
		}
	}
	return sockets
}

// dockerConfig is the fact behind both the layout and the connection.
func (h *Host) dockerConfig(ctx context.Context) (dockerConf, error) {
	return h.dockerConf.get(ctx, h.readDockerConf)
}

// DockerLogs is what the daemon does with the logs of containers that do not
// say themselves.
type DockerLogs struct {
	Driver  string // "json-file" unless configured
	MaxSize string // of log-opts; empty: no limit
	Source  string // where MaxSize is set
}

// DockerLogs returns the daemon's configured default for logs.
func (h *Host) DockerLogs(ctx context.Context) (DockerLogs, error) {
	c, err := h.dockerConfig(ctx)
	if err == nil {
		err = c.err
	}
	if err != nil {
		return DockerLogs{}, err
	}
	logs := DockerLogs{Driver: "json-file"}
	if o, ok := c.options["log-driver"]; ok {
		logs.Driver = o.Last()
	}
	opts := c.options["log-opts"]
	for _, o := range opts.Values {
		if size, ok := strings.CutPrefix(o, "max-size="); ok {
			logs.MaxSize, logs.Source = size, fmt.Sprintf("%s:%d", opts.Source, opts.Line)
		}
	}
	return logs, nil
}
