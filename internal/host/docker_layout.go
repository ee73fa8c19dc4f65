package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
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

var programDirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// dockerUnits are the units of docker by kind of installation. The first is
// the daemon's own.
var dockerUnits = map[string][]string{
	"package": {"docker.service", "docker.socket", "containerd.service"},
	"snap":    {"snap.docker.dockerd.service"},
}

// dockerConf is docker as the files of the host describe it.
type dockerConf struct {
	kind      string
	programs  []Place
	others    []Place
	units     []Place
	config    Place // daemon.json
	options   dockerconf.Options
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
			data, err := h.ReadFile(p.Path)
			switch {
			case errors.Is(err, ErrNotRegular): // masked: a link to /dev/null
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
	c.sockets = dockerSockets(c.options["hosts"].Values, dockerconf.ListenStreams(files["docker.socket"]))
	return nil
}

// dockerSockets returns the unix sockets that the daemon listens on by its
// option hosts. "fd://" stands for those of docker.socket.
func dockerSockets(hosts, activated []string) []string {
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
				if path.IsAbs(a) {
					sockets = append(sockets, a)
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

// DockerHost is the DOCKER_HOST of hostguard's own environment. The docker
// command follows it; hostguard does not, since it need not be this host's.
func (h *Host) DockerHost() string { return os.Getenv("DOCKER_HOST") }

// connectDocker connects to the daemon where the host's configuration says
// that it listens; DOCKER_HOST is for the docker command, and is not followed.
func (h *Host) connectDocker(ctx context.Context) (dockerAPI, error) {
	if !h.Running() {
		return dockerAPI{}, ErrNotRunning
	}
	c, err := h.dockerConfig(ctx)
	switch {
	case err != nil:
		return dockerAPI{}, err
	case c.kind == "":
		return dockerAPI{}, fmt.Errorf("cannot ask docker: %w", errDockerDown{errors.New("no dockerd is installed")})
	case c.kind == "rootless":
		return dockerAPI{}, errors.New("cannot ask docker: only a rootless one is here, which answers to its user")
	case c.err != nil:
		return h.dialDocker(ctx, defaultDockerSocket)
	case len(c.sockets) == 0:
		return dockerAPI{}, errors.New("cannot ask docker: it listens on no unix socket, and networks are not asked")
	}
	return h.dialDocker(ctx, c.sockets[0])
}

func (h *Host) findDockerLayout(ctx context.Context) (DockerLayout, error) {
	c, err := h.dockerConfig(ctx)
	if err != nil {
		return DockerLayout{}, err
	}
	l := DockerLayout{Kind: c.kind, Binaries: c.programs, Others: c.others, UnitFiles: c.units, Conflicts: c.conflicts}
	if c.kind == "" || c.kind == "rootless" {
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

// findPrograms looks programs up in the folders of the usual PATH. Folders
// that are links to one another count once.
func (h *Host) findPrograms(names []string) ([]Place, error) {
	var dirs []string
	for _, dir := range programDirs {
		real, err := h.Resolve(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !slices.Contains(dirs, real) {
			dirs = append(dirs, real)
		}
	}
	var found []Place
	for _, name := range names {
		for _, dir := range dirs {
			real, err := h.Resolve(path.Join(dir, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(found, func(p Place) bool { return p.Path == real }) {
				found = append(found, Place{Name: name, Path: real, Exists: true, Source: "found"})
			}
		}
	}
	return found, nil
}

// unitDirs are the folders of unit files, the first wins, see systemd.unit(5).
var unitDirs = []string{
	"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
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
