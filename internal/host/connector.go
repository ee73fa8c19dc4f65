package host

import (
	"context"

	"github.com/hostguard/hostguard/internal/composefile"
	"github.com/hostguard/hostguard/internal/secret"
)

// Connector is one connector deployment: a folder with compose files.
type Connector struct {
	Dir          string           // the compose project's folder, absolute
	Source       string           // how it was found: "configuration", "label of container ecc-provider"
	Project      string           // compose project name
	ComposeFiles []string         // absolute, in the order in which they are merged
	EnvFiles     []string         // absolute: .env, and what env_file names; those that exist
	BindMounts   []string         // host paths that its containers mount, absolute, sorted
	Files        []string         // of those, the files that are configs or secrets of compose, sorted
	Secrets      []string         // of Files, the secrets, sorted
	Volumes      []VolumeRef      // named volumes that its containers mount, sorted by name
	Services     []ComposeService // as the compose files declare them, sorted by name

	containers []Container           // that compose made for it
	variables  composefile.Variables // of .env

	// ComposeErr is why the compose files could not be understood; then the
	// mounts are those of the containers that there are, and Services is
	// empty. It is nil without containers: then all of it is an error.
	ComposeErr error
}

// VolumeRef is a named docker volume that a connector mounts.
type VolumeRef struct {
	Name     string // as the engine knows it: "trueconnector_ecc_provider_data"
	External bool   // declared external: compose does not create it
	Path     string // where its data lie or, before it is made, will lie; empty when that cannot be told

	MountedBy []string // services, or containers that compose did not make, that mount it; sorted
}

// ComposeService is one service of a compose project with its limits.
type ComposeService struct {
	Name  string
	Image string
	File  string // compose file and line that declare it
	Line  int

	Replicas string   // how many containers; empty: one
	Profiles []string // started only when one of them is asked for; empty: always

	Ports []composefile.Port // that docker publishes when the service runs

	Environment []composefile.EnvVar // what its container is given; the image's own is not in it
	Command     []secret.Text        // the words of entrypoint and command

	CPUs       string // deploy.resources.limits.cpus or cpus; empty: no limit
	Memory     string // deploy.resources.limits.memory or mem_limit; empty: no limit
	LogDriver  string // logging.driver; empty: the daemon's
	LogMaxSize string // logging.options.max-size; empty: no limit

	Container string             // container_name
	Mounts    []ContainerMount   // binds and named volumes, sorted by destination
	Sources   []ContainerMount   // configs and secrets of compose; Source empty: they are in no file of the host
	Rights    composefile.Rights // what it may do on the host besides
}

type connectorFacts struct {
	connectors    fact[[]Connector]
	connectorApps fact[[]ConnectorApps]
	connectorLogs fact[[]LogVolume]
}

// Connectors returns the connector deployments: the folders that the operator
// named, else those that the labels of docker's containers lead to. None found
// is an empty list and no error: a check that needs one answers
// ErrNoConnector. A folder that cannot be read is an error, and so is not
// knowing any while docker cannot be asked.
func (h *Host) Connectors(ctx context.Context) ([]Connector, error) {
	return h.connectors.get(ctx, h.findConnectors)
}
