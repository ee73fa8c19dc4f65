// Package docker looks at the container engine: what is installed, how it is
// configured, whether it answers, and what the connector's compose files ask
// of it.
package docker

import (
	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

// Checks are the mechanisms of this family.
var Checks = []checks.Check{
	{
		Name:    "docker-installation",
		Looks:   "Looks for dockerd in the usual folders and in docker's unit, for docker's snap, and for rootless dockers that run.",
		Blind:   "Programs in other folders that no unit starts, engines inside containers, and other engines such as Podman.",
		Needs:   host.Root,
		Binding: checks.Params(installationParams{Kinds: []string{"package"}}, installation),
	},
	{
		Name:    "docker-configuration",
		Looks:   "Reads daemon.json, the flags in docker's unit with its drop-ins and environment files, and containerd's configuration, and compares the data root with the running daemon's word.",
		Blind:   "Flags of a dockerd that was started by hand, and options that dockerd itself would refuse. In a file tree: the running daemon.",
		Needs:   host.Root,
		Binding: checks.NoParams(configuration),
	},
	{
		Name:    "docker-answers",
		Looks:   "Connects to the unix socket that docker's configuration names, which must belong to root and be served by a process of root, and asks for version and containers. DOCKER_HOST is not followed.",
		Blind:   "Whether the daemon can start containers.",
		Needs:   host.Running | host.Root,
		Binding: checks.NoParams(answers),
	},
	{
		Name:    "docker-compose",
		Looks:   "Looks for compose among the docker command's plugins and in the usual folders, and reads from the program's file what it was built from. Nothing is executed.",
		Blind:   "Plugins in the home folder of a user.",
		Needs:   host.Root,
		Binding: checks.NoParams(compose),
	},
	{
		Name:    "compose-limits",
		Looks:   "Reads the connector's compose files with overrides and .env, and of each service the limits of processor, memory and log size; log sizes that daemon.json sets for all count. Asks docker for the limits of the containers that there are.",
		Blind:   "Variables that only the shell of whoever runs compose sets. In a file tree, and while docker is down: the limits of containers that exist.",
		Needs:   host.Root,
		Binding: checks.Params(limitsParams{CPUs: true, Memory: true, LogSize: true}, limits),
	},
}
