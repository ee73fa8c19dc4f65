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
	{
		Name:    "docker-tcp",
		Looks:   "Reads where docker is told to listen: the options hosts and tlsverify of daemon.json and of the flags in docker's unit, the arguments of the dockerds that run, and ListenStream= of docker.socket. Asks the running daemon for its warnings, and the kernel which TCP sockets dockerd has that no container publishes.",
		Blind:   "Which certificate authority signs the clients' certificates, and who has one. Another program that passes docker's socket on. In a file tree: what runs.",
		Needs:   host.Root,
		Binding: checks.Params(tcpParams{Verified: true}, tcp),
	},
	{
		Name:    "docker-socket-access",
		Looks:   "Looks at owner, group, mode and access list (acl(5)) of docker's and containerd's sockets, and at what makes them at the next start: SocketMode=, SocketUser= and SocketGroup= of docker.socket, and the daemon's option group.",
		Blind:   "Containers that have the socket, and programs that pass it on. In a file tree: the sockets as they are.",
		Needs:   host.Root,
		Binding: checks.Params(accessParams{Group: "docker"}, socketAccess),
	},
	{
		Name:    "docker-file-access",
		Looks:   "Looks at owner, group, mode and access list (acl(5)) of daemon.json and of all that lies in /etc/docker, of docker's units with their drop-ins, its programs, its data root, the keys and certificates of its network sockets, and of the folders above each.",
		Blind:   "Programs that docker starts by other paths. Access lists that are not POSIX ones (NFSv4).",
		Needs:   host.Root,
		Binding: checks.NoParams(fileAccess),
	},
	{
		Name:    "docker-group",
		Looks:   "Lists the members, by primary group too, of the group that may use docker: the one named, and those that docker.socket and the daemon's option group name.",
		Blind:   "Members that a directory service adds: with one in nsswitch.conf the answer is an error. Who gets the group's rights by sudo or newgrp with a password.",
		Needs:   host.Root,
		Binding: checks.Params(groupParams{Group: "docker"}, group),
	},
	{
		Name:    "docker-option",
		Looks:   "Reads an option of the daemon from daemon.json and the flags in docker's unit. Of live-restore, no-new-privileges and icc it asks the running daemon too; of others it reads the arguments of the dockerd that runs, and whether daemon.json has changed since it started.",
		Blind:   "Whether the option does what it says. In a file tree: what runs.",
		Needs:   host.Root,
		Binding: checks.Params(optionParams{}, option),
	},
	{
		Name:    "container-rights",
		Looks:   "Asks docker of every container, running or not, and reads of every service in the connector's compose files, whether it is privileged, which capabilities and devices it has besides docker's own, and whether seccomp or AppArmor are switched off for it.",
		Blind:   "Faults of the kernel by which a container without rights gets out. In a file tree, and while docker is down: the containers.",
		Needs:   host.Root,
		Binding: checks.Params(rightsParams{Capabilities: dockerCapabilities}, containerRights),
	},
	{
		Name:    "container-namespaces",
		Looks:   "Asks docker of every container, running or not, and reads of every service in the connector's compose files, whether it shares the host's network, processes, shared memory or name.",
		Blind:   "In a file tree, and while docker is down: the containers.",
		Needs:   host.Root,
		Binding: checks.Params(namespacesParams{Namespaces: []string{"network", "pid", "ipc", "uts"}}, containerNamespaces),
	},
	{
		Name:  "container-mounts",
		Looks: "Asks docker of every container, running or not, and reads of every service in the connector's compose files, which folders of the host it has, volumes that lead to one included, links resolved. None may be, or contain, docker's and containerd's sockets and data, or one of the folders named.",
		Blind: "What others lay into a mounted folder, such as a hard link to the socket. In a file tree, and while docker is down: the containers.",
		Needs: host.Root,
		Binding: checks.Params(mountsParams{
			Folders:  []string{"/boot", "/dev", "/etc", "/home", "/proc", "/root", "/run", "/sys", "/usr", "/var/lib/hostguard", "/var/log"},
			ReadOnly: []string{"/boot", "/etc", "/usr", "/var/log"},
		}, containerMounts),
	},
	{
		Name:    "container-restart",
		Looks:   "Reads the restart policy of every service in the connector's compose files, and asks docker for that of the containers made of them.",
		Blind:   "Units of systemd that start the connector by themselves.",
		Needs:   host.Root,
		Binding: checks.Params(restartParams{Policies: []string{"always", "unless-stopped"}}, containerRestart),
	},
	{
		Name:    "container-images",
		Looks:   "Reads the name of the image of every service in the connector's compose files, and asks docker for that of the containers made of them: it must name a version, and be one of those expected where they are given.",
		Blind:   "What the images hold, and whether a registry has put another image under a tag.",
		Needs:   host.Root,
		Binding: checks.Params(imagesParams{}, containerImages),
	},
	{
		Name:    "docker-others",
		Looks:   "Asks docker for its containers, and whether it is part of a swarm. The connector's own are those that compose made in its folder; others must be allowed by name, or neither run nor be started again.",
		Blind:   "Containers of containerd, Podman or LXC that docker does not know. Whoever may use docker can give a container the labels by which the connector's are told.",
		Needs:   host.Running | host.Root,
		Binding: checks.Params(othersParams{}, otherContainers),
	},
	{
		Name:    "compose-drift",
		Looks:   "Compares each container of the connector with its service in the compose files as they are now: image, mounts, ports, limits, log, user, capabilities, namespaces and restart policy. With older, compares the times at which they were made and changed instead.",
		Blind:   "Whether a tag now means another image than when the container was made. Values that only the shell of whoever ran compose had. The environment, which connector-drift compares.",
		Needs:   host.Running | host.Root,
		Binding: checks.Params(driftParams{}, composeDrift),
	},
}
