package host

import (
	"context"
	"net/netip"
	"time"
)

// DockerLayout says where docker's parts lie on this host, running or not.
type DockerLayout struct {
	Kind       string   // "package", "snap", "rootless"; empty: no docker found
	Binaries   []Place  // dockerd, docker, containerd, runc …: only those that exist
	Sockets    []Place  // docker's and containerd's, links resolved; Exists says whether they are there now
	Config     []Place  // /etc/docker, daemon.json, /etc/containerd …, with Exists
	UnitFiles  []Place  // unit files and drop-ins of docker.service, docker.socket, containerd.service; Name is the unit
	DataRoot   Place    // docker's data, by default /var/lib/docker
	Containerd []Place  // containerd's root and state folders; Name is "root" or "state"
	Conflicts  []string // sentences: daemon.json, flags and the running daemon disagree
}

// Place is one path of a layout and how it is known.
type Place struct {
	Name   string // "dockerd", "docker.sock", "docker.service" …
	Path   string // absolute, as the host sees it
	Exists bool
	Source string // "default", "/etc/docker/daemon.json", "the daemon" …
}

// Engine is what the docker daemon says about itself.
type Engine struct {
	Socket     string // where it was asked
	Version    string
	APIVersion string // the version negotiated
	DataRoot   string
	Rootless   bool
}

// Container is one of docker's containers, running or not.
type Container struct {
	ID          string
	Name        string // without the leading slash
	Image       string
	State       string // "running", "exited" …
	Created     time.Time
	Labels      map[string]string
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
	dockerEngine     fact[Engine]
	dockerContainers fact[[]Container]
}

// DockerLayout returns where docker's parts lie. A host without docker yields
// a layout of Kind "" and no error.
func (h *Host) DockerLayout(ctx context.Context) (DockerLayout, error) {
	return h.dockerLayout.get(ctx, h.findDockerLayout)
}

// Engine returns what the docker daemon says about itself.
func (h *Host) Engine(ctx context.Context) (Engine, error) {
	return h.dockerEngine.get(ctx, h.askEngine)
}

// Containers returns all containers, stopped ones included, sorted by name.
func (h *Host) Containers(ctx context.Context) ([]Container, error) {
	return h.dockerContainers.get(ctx, h.listContainers)
}

func (h *Host) dockerAnswers(ctx context.Context) error {
	_, err := h.Engine(ctx)
	return err
}
