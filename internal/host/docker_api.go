package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/swarm"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/volume"
)

// engine asks what the daemon is. It costs the daemon a few milliseconds.
func (d dockerAPI) engine(ctx context.Context) (Engine, error) {
	ctx, cancel := withDockerTimeout(ctx)
	defer cancel()
	var info system.Info
	info, err := d.Info(ctx)
	if err != nil {
		return Engine{}, dockerError(d.socket, err)
	}
	if info.ServerVersion == "" || !path.IsAbs(info.DockerRootDir) {
		return Engine{}, dockerError(d.socket, errors.New("it says neither its version nor where its data lie"))
	}
	e := Engine{
		Socket:        d.socket,
		Version:       info.ServerVersion,
		APIVersion:    d.ClientVersion(),
		DataRoot:      path.Clean(info.DockerRootDir),
		LoggingDriver: info.LoggingDriver,
		Rootless:      slices.ContainsFunc(info.SecurityOptions, func(o string) bool { return strings.HasPrefix(o, "name=rootless") }),
		UserNS:        slices.ContainsFunc(info.SecurityOptions, func(o string) bool { return strings.HasPrefix(o, "name=userns") }),
		LiveRestore:   info.LiveRestoreEnabled,
		Swarm:         info.Swarm.LocalNodeState != "" && info.Swarm.LocalNodeState != swarm.LocalNodeStateInactive,
		Warnings:      info.Warnings,
	}
	for _, o := range info.SecurityOptions {
		e.NoNewPrivileges = e.NoNewPrivileges || o == "name=no-new-privileges"
		if profile, ok := strings.CutPrefix(o, "name=seccomp,profile="); ok {
			e.Seccomp = profile
		}
	}
	return e, nil
}

// list asks for all containers, stopped ones included, sorted by name.
func (d dockerAPI) list(ctx context.Context) ([]Container, error) {
	ctx, cancel := withDockerTimeout(ctx)
	defer cancel()
	summaries, err := d.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return nil, dockerError(d.socket, err)
	}
	containers := make([]Container, len(summaries))
	for i, s := range summaries {
		if containers[i], err = containerFrom(s); err != nil {
			return nil, dockerError(d.socket, err)
		}
	}
	d.dropLabelsOfImages(ctx, containers)
	slices.SortStableFunc(containers, func(a, b Container) int { return strings.Compare(a.Name, b.Name) })
	return containers, nil
}

func containerFrom(s container.Summary) (Container, error) {
	if s.ID == "" {
		return Container{}, errors.New("it lists a container that has no id")
	}
	c := Container{
		ID:          s.ID,
		Name:        s.ID,
		Image:       s.Image,
		State:       s.State,
		Created:     time.Unix(s.Created, 0),
		Labels:      s.Labels,
		ImageID:     s.ImageID,
		NetworkMode: s.HostConfig.NetworkMode,
	}
	for _, name := range s.Names {
		// Old links add names with a second slash: /other/alias.
		if name = strings.TrimPrefix(name, "/"); !strings.Contains(name, "/") {
			c.Name = name
			break
		}
	}
	for _, p := range s.Ports {
		port := ContainerPort{HostPort: p.PublicPort, ContainerPort: p.PrivatePort, Protocol: p.Type}
		if p.PublicPort != 0 {
			ip, err := netip.ParseAddr(p.IP)
			if err != nil && p.IP != "" {
				return Container{}, fmt.Errorf("it publishes a port of container %.64q on %.64q, which is no address", c.Name, p.IP)
			}
			if p.IP == "" {
				ip = netip.IPv4Unspecified()
			}
			port.HostIP = ip
		}
		c.Ports = append(c.Ports, port)
	}
	for _, m := range s.Mounts {
		c.Mounts = append(c.Mounts, ContainerMount{
			Type: string(m.Type), Name: m.Name, Source: m.Source, Destination: m.Destination, ReadWrite: m.RW,
		})
	}
	return c, nil
}

// volumes asks for all volumes, sorted by name.
func (d dockerAPI) volumes(ctx context.Context) ([]Volume, error) {
	ctx, cancel := withDockerTimeout(ctx)
	defer cancel()
	answer, err := d.VolumeList(ctx, volume.ListOptions{})
	if err != nil {
		return nil, dockerError(d.socket, err)
	}
	var volumes []Volume
	for _, v := range answer.Volumes {
		if v == nil || v.Name == "" {
			return nil, dockerError(d.socket, errors.New("it lists a volume that has no name"))
		}
		volumes = append(volumes, Volume{Name: v.Name, Driver: v.Driver, Path: v.Mountpoint, Device: boundDevice(v.Driver, v.Options)})
	}
	slices.SortFunc(volumes, func(a, b Volume) int { return strings.Compare(a.Name, b.Name) })
	return volumes, nil
}

// boundDevice returns the folder that docker's local driver binds into a
// volume (options type=none, o=bind, device=FOLDER), else "".
func boundDevice(driver string, options map[string]string) string {
	if driver != "" && driver != "local" {
		return ""
	}
	for o := range strings.SplitSeq(options["o"], ",") {
		if (o == "bind" || o == "rbind") && path.IsAbs(options["device"]) {
			return path.Clean(options["device"])
		}
	}
	return ""
}
