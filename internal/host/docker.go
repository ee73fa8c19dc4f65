package host

import (
	"context"
	"net/netip"
	"time"
)

// DockerLayout says where docker's parts lie on this host, running or not.
type DockerLayout struct {
	Kind       string  // "package", "snap", "rootless"; empty: no docker found
	Binaries   []Place // dockerd, docker, containerd, runc …: only those that exist
	Sockets    []Place // docker's and containerd's, links resolved; Exists says whether they are there now
	Config     []Place // /etc/docker ("docker"), "daemon.json", /etc/containerd ("containerd"), "config.toml", /etc/default/docker ("defaults"), with Exists
	UnitFiles  []Place // unit files and drop-ins of docker.service, docker.socket, containerd.service; Name is the unit
	DataRoot   Place   // docker's data, by default /var/lib/docker
	Containerd []Place // containerd's root and state folders; Name is "root" or "state"
	Others     []Place // further dockers: a snap beside the package, a user's rootless one
	Conflicts  []Conflict
	Rootless   []RootlessDocker // of Kind "rootless": one for each user that has one; the layout's own places are empty

	// Unread is why docker's options could not be read though the daemon answers:
	// which sockets it has is then not known, and Sockets lacks them. Of Kind
	// "rootless": why Rootless is empty.
	Unread error
}

// Conflict is a place where docker's configuration contradicts itself or the
// running daemon, or cannot be followed.
type Conflict struct {
	Source    string // file, or "the daemon"
	Line      int
	Key       string // the option: "data-root"
	Want, Got string
	Reason    string // one sentence
}

// Place is one path of a layout and how it is known.
type Place struct {
	Name   string // "dockerd", "docker.sock", "docker.service" …
	Path   string // absolute, as the host sees it, without links where it exists
	Exists bool
	Source string // "default", "/etc/docker/daemon.json:3", "the daemon" …
}

// Engine is what the docker daemon says about itself.
type Engine struct {
	Socket     string // where it was asked
	Version    string
	APIVersion string // the version negotiated
	DataRoot   string

	LoggingDriver string // of containers that name none: "json-file"
	Rootless      bool   // the daemon runs without root's rights
	UserNS        bool   // containers live in a user namespace (userns-remap): the data root is a folder below the configured one

	LiveRestore     bool     // containers go on while the daemon restarts
	NoNewPrivileges bool     // of containers that do not say themselves; docker 20.10 does not say that it is so
	Seccomp         string   // the profile of containers that name none: "builtin", "default", "unconfined"; empty: the kernel has none
	Swarm           bool     // the engine is part of a swarm, whose managers start containers here
	Warnings        []string // the daemon's own, such as of ports without authentication
}

// Volume is one of docker's volumes.
type Volume struct {
	Name   string
	Driver string
	Path   string // as the daemon says: <data root>/volumes/<name>/_data
	Device string // the folder that the local driver binds there; empty: none
}

// Container is one of docker's containers, running or not.
type Container struct {
	ID          string
	Name        string // without the leading slash
	Image       string // as it was named
	ImageID     string
	State       string // "running", "exited" …
	Created     time.Time
	Labels      map[string]string // compose's only when compose gave them, and not the image
	NetworkMode string
	Ports       []ContainerPort
	Mounts      []ContainerMount
}

// ContainerPort is a port of a container; Published ones have a host side.
type ContainerPort struct {
	HostIP        netip.Addr // zero value: not published
	HostPort      uint16
	ContainerPort uint16
	Protocol      string // "tcp", "udp", "sctp"
}

// ContainerMount is one mount of a container.
type ContainerMount struct {
	Type        string // "bind", "volume", "tmpfs" …
	Name        string // of a volume
	Source      string // host path
	Destination string
	ReadWrite   bool
}

type dockerFacts struct {
	dockerLayout     fact[DockerLayout]
	dockerConf       fact[dockerConf]
	dockerConn       fact[dockerAPI]
	dockerEngine     fact[Engine]
	dockerContainers fact[[]Container]
	dockerDetails    fact[map[string]ContainerDetail]
	dockerVolumes    fact[[]Volume]
	dockerNetworks   fact[[]DockerNetwork]
	dockerDaemon     fact[DockerDaemon]
}

// DockerLayout returns where docker's parts lie. A host without docker yields
// a layout of Kind "" and no error.
func (h *Host) DockerLayout(ctx context.Context) (DockerLayout, error) {
	return h.dockerLayout.get(ctx, h.findDockerLayout)
}

// Engine returns what the docker daemon says about itself.
func (h *Host) Engine(ctx context.Context) (Engine, error) {
	return h.dockerEngine.get(ctx, func(ctx context.Context) (Engine, error) {
		return askDocker(ctx, h, dockerAPI.engine)
	})
}

// Containers returns all containers, stopped ones included, sorted by name.
func (h *Host) Containers(ctx context.Context) ([]Container, error) {
	return h.dockerContainers.get(ctx, func(ctx context.Context) ([]Container, error) {
		return askDocker(ctx, h, dockerAPI.list)
	})
}

// Volumes returns all of docker's volumes, sorted by name.
func (h *Host) Volumes(ctx context.Context) ([]Volume, error) {
	return h.dockerVolumes.get(ctx, func(ctx context.Context) ([]Volume, error) {
		return askDocker(ctx, h, dockerAPI.volumes)
	})
}

// dockerAnswers is nil when the docker daemon of the running host answers.
func (h *Host) dockerAnswers(ctx context.Context) error {
	_, err := askDocker(ctx, h, func(dockerAPI, context.Context) (struct{}, error) { return struct{}{}, nil })
	return err
}

// askDocker asks the one connection that a run has.
func askDocker[T any](ctx context.Context, h *Host, ask func(dockerAPI, context.Context) (T, error)) (T, error) {
	var zero T
	api, err := h.dockerConn.get(ctx, h.connectDocker)
	if err != nil {
		return zero, err
	}
	return ask(api, ctx)
}
