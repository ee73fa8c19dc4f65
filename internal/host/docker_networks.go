package host

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/network"
)

// DockerNetwork is one of docker's networks.
type DockerNetwork struct {
	Name     string // "bridge" is the one of containers that name none
	Driver   string // "bridge", "host", "null", "macvlan" …
	Internal bool   // nothing leads out of it
	// ICC reports whether containers on a bridge reach each other on every port,
	// published or not.
	ICC bool
}

// DockerNetworks returns docker's networks, sorted by name.
func (h *Host) DockerNetworks(ctx context.Context) ([]DockerNetwork, error) {
	return h.dockerNetworks.get(ctx, func(ctx context.Context) ([]DockerNetwork, error) {
		return askDocker(ctx, h, dockerAPI.networks)
	})
}

func (d dockerAPI) networks(ctx context.Context) ([]DockerNetwork, error) {
	ctx, cancel := withDockerTimeout(ctx)
	defer cancel()
	answer, err := d.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return nil, dockerError(d.socket, err)
	}
	var networks []DockerNetwork
	for _, n := range answer {
		if n.Name == "" {
			return nil, dockerError(d.socket, errors.New("it lists a network that has no name"))
		}
		networks = append(networks, DockerNetwork{
			Name: n.Name, Driver: n.Driver, Internal: n.Internal,
			ICC: n.Options["com.docker.network.bridge.enable_icc"] != "false",
		})
	}
	slices.SortFunc(networks, func(a, b DockerNetwork) int { return strings.Compare(a.Name, b.Name) })
	return networks, nil
}
