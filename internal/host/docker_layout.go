package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/dockerconf"
)

// What docker and containerd use unless told otherwise, see dockerd(8) and
// containerd-config.toml(5).
const (
	defaultDockerConfig     = "/etc/docker/daemon.json"
	defaultDockerDataRoot   = "/var/lib/docker"
	defaultDockerExecRoot   = "/run/docker"
	defaultDockerSocket     = "/run/docker.sock"
	containerdConfig        = "/etc/containerd/config.toml"
	defaultContainerdSocket = "/run/containerd/containerd.sock"
	defaultContainerdRoot   = "/var/lib/containerd"
	defaultContainerdState  = "/run/containerd"
	snapDockerRoot          = "/snap/docker/current"
	snapDockerConfig        = "/var/snap/docker/current/config/daemon.json"
	snapDockerDataRoot      = "/var/snap/docker/common/var-lib-docker"
)

// Programs that make up docker. Not every version and distribution has all.
var dockerPrograms = []string{
	"dockerd", "docker", "docker-init", "docker-proxy", "containerd", "containerd-shim",
	"containerd-shim-runc-v1", "containerd-shim-runc-v2", "ctr", "runc",
}

// dockerUnits are the units of docker by kind of installation. The first is
// the daemon's own.
var dockerUnits = map[string][]string{
	"package": {"docker.service", "docker.socket", "containerd.service"},
	"snap":    {"snap.docker.dockerd.service"},
}

func (h *Host) findDockerLayout(ctx context.Context) (DockerLayout, error) {
	c, err := h.dockerConfig(ctx)
	if err != nil {
		return DockerLayout{}, err
	}
	l := DockerLayout{Kind: c.kind, Binaries: c.programs, Others: c.others, UnitFiles: c.units, Conflicts: c.conflicts}
	if c.kind == "" || c.kind == "rootless" {
		l.Rootless, err = h.rootlessDockers(ctx)
		switch {
		case len(l.Rootless) > 0:
			l.Kind = "rootless"
		case l.Kind == "rootless":
			l.Unread = err // one is here: what is known of it is said
		case err != nil && !(errors.Is(err, fs.ErrNotExist) && !h.Running()): // a tree of files without accounts has none
			return DockerLayout{}, err
		}
		return l, nil
	}
	configured := c.option("data-root", map[string]string{"package": defaultDockerDataRoot, "snap": snapDockerDataRoot}[c.kind])
	running := ""
	if h.Running() {
		if e, err := h.Engine(ctx); err == nil {
			running = e.DataRoot
			if e.UserNS && strings.Trim(path.Base(running), "0123456789.") == "" {
				running = path.Dir(running) // userns-remap keeps data in a folder named by the ids below it
			}
		}
	}
	if c.err != nil {
		if running == "" {
			return DockerLayout{}, c.err
		}
		l.Conflicts = append(l.Conflicts, Conflict{
			Source: "docker's configuration", Want: "readable as dockerd reads it", Got: c.err.Error(),
			Reason: "The daemon runs, and its configuration cannot be followed: it may not start again.",
		})
		l.Unread = c.err
		configured = Place{Path: running, Source: "the daemon"}
	}
	if l.DataRoot, err = h.place("data root", configured); err != nil {
		return DockerLayout{}, err
	}
	if running != "" && running != l.DataRoot.Path {
		l.Conflicts = append(l.Conflicts, Conflict{
			Source: "the daemon", Key: "data-root",
			Want:   fmt.Sprintf("%s (%s)", l.DataRoot.Path, l.DataRoot.Source),
			Got:    running,
			Reason: "The running daemon keeps its data elsewhere than its configuration says: they change places at its next start.",
		})
	}
	if running != "" {
		l.DataRoot = Place{Name: "data root", Path: running, Exists: true, Source: "the daemon"}
	}
	if err := h.layConfigAndSockets(&l, c); err != nil {
		return DockerLayout{}, err
	}
	return l, nil
}

// layConfigAndSockets adds configuration, sockets and what is containerd's.
func (h *Host) layConfigAndSockets(l *DockerLayout, c dockerConf) error {
	config := []Place{{Name: "docker", Path: path.Dir(defaultDockerConfig), Source: "default"}}
	if c.config.Path != "" {
		config = append(config, c.config)
	}
	config = append(config,
		Place{Name: "defaults", Path: "/etc/default/docker", Source: "default"},
		Place{Name: "containerd", Path: path.Dir(containerdConfig), Source: "default"},
		Place{Name: "config.toml", Path: containerdConfig, Source: "default"})
	var sockets []Place
	for _, s := range c.sockets {
		sockets = append(sockets, Place{Name: "docker.sock", Path: s, Source: c.option("hosts", s).Source})
	}
	ctr, err := h.containerdPlaces(l, c)
	if err != nil {
		return err
	}
	sockets = append(sockets, ctr[0])
	for dst, places := range map[*[]Place][]Place{&l.Config: config, &l.Sockets: sockets, &l.Containerd: ctr[1:]} {
		for _, p := range places {
			placed, err := h.place(p.Name, p)
			if err != nil {
				return err
			}
			*dst = append(*dst, placed)
		}
	}
	return nil
}

// containerdPlaces returns containerd's socket, root and state. Without
// --containerd, dockerd uses the system's containerd when its socket is there,
// else one of its own below its data and exec roots.
func (h *Host) containerdPlaces(l *DockerLayout, c dockerConf) ([3]Place, error) {
	system, err := h.Exists(defaultContainerdSocket)
	if err != nil {
		return [3]Place{}, err
	}
	address, named := c.options["containerd"]
	own := c.kind == "snap" || !named && !system && h.Running() && l.DataRoot.Source == "the daemon"
	if own {
		exec := path.Join(c.option("exec-root", defaultDockerExecRoot).Path, "containerd")
		return [3]Place{
			{Name: "containerd.sock", Path: path.Join(exec, "containerd.sock"), Source: "dockerd's own containerd"},
			{Name: "root", Path: path.Join(l.DataRoot.Path, "containerd"), Source: "dockerd's own containerd"},
			{Name: "state", Path: exec, Source: "dockerd's own containerd"},
		}, nil
	}
	places := [3]Place{
		{Name: "containerd.sock", Path: defaultContainerdSocket, Source: "default"},
		{Name: "root", Path: defaultContainerdRoot, Source: "default"},
		{Name: "state", Path: defaultContainerdState, Source: "default"},
	}
	if named {
		places[0] = Place{Name: "containerd.sock", Path: strings.TrimPrefix(address.Last(), "unix://"), Source: fmt.Sprintf("%s:%d", address.Source, address.Line)}
	}
	data, err := h.ReadFile(containerdConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return places, nil
	}
	if err != nil {
		return places, err
	}
	for i, key := range []string{"root", "state"} {
		if value, line := dockerconf.TopLevelTOML(data, key); value != "" {
			places[i+1].Path, places[i+1].Source = path.Clean(value), fmt.Sprintf("%s:%d", containerdConfig, line)
		}
	}
	if _, line := dockerconf.TopLevelTOML(data, "imports"); line > 0 {
		l.Conflicts = append(l.Conflicts, Conflict{
			Source: containerdConfig, Line: line, Key: "imports",
			Want:   "all of containerd's configuration in one file",
			Got:    "further files",
			Reason: "containerd imports configuration that is not read: its root and state may lie elsewhere.",
		})
	}
	return places, nil
}

// place fills in whether a path exists, and resolves links on it: what
// matters is where things really lie.
func (h *Host) place(name string, p Place) (Place, error) {
	p.Name = name
	real, err := h.Resolve(p.Path)
	switch {
	case err == nil:
		p.Exists = true
	case errors.Is(err, fs.ErrNotExist):
		// /var/run is a link although docker.sock is not there yet.
		dir, dirErr := h.Resolve(path.Dir(p.Path))
		if dirErr != nil {
			return p, nil
		}
		real = path.Join(dir, path.Base(p.Path))
	default:
		return p, err
	}
	if real != p.Path {
		p.Source = fmt.Sprintf("%s, which says %s", p.Source, p.Path)
		p.Path = real
	}
	return p, nil
}

// unitPlaces returns a unit's file and drop-ins in the order in which they
// apply: as the service manager says when it answers, else by its search path.
func (h *Host) unitPlaces(ctx context.Context, kind, name string) ([]Place, error) {
	if h.Running() && h.systemdAnswers(ctx) == nil {
		units, err := h.loadedUnits(ctx, dockerUnits[kind]...)
		if u, ok := units[name]; err == nil && ok {
			var places []Place
			for _, p := range append([]string{u.FragmentPath}, u.DropInPaths...) {
				if p != "" {
					places = append(places, Place{Name: name, Path: p, Exists: true, Source: "systemd"})
				}
			}
			return places, nil
		}
	}
	var places []Place
	dropIns := map[string]string{}
	for _, dir := range unitDirs {
		file := path.Join(dir, name)
		if len(places) == 0 {
			_, err := h.Lstat(file)
			if err == nil {
				places = append(places, Place{Name: name, Path: file, Exists: true, Source: "search path"})
			} else if !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
		found, err := h.Glob(file + ".d/*.conf")
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			if _, hidden := dropIns[path.Base(f)]; !hidden {
				dropIns[path.Base(f)] = f
			}
		}
	}
	for _, base := range slices.Sorted(maps.Keys(dropIns)) {
		places = append(places, Place{Name: name, Path: dropIns[base], Exists: true, Source: "search path"})
	}
	return places, nil
}
