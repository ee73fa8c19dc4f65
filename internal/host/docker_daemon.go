package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/hostguard/hostguard/internal/dockerconf"
)

// DockerDaemon is how the host's docker is told to run: at its next start, and
// now.
type DockerDaemon struct {
	Kind string // as in DockerLayout

	// Configured is what the next start takes: the unit's flags laid over
	// daemon.json. ConfigFile is that file, there or not.
	Configured dockerconf.Options
	ConfigFile string
	Activated  []dockerconf.Stream // what docker.socket listens on for a daemon with "fd://"

	// Socket are the files of docker.socket in the order in which they apply.
	Socket []dockerconf.UnitFile

	Running []DaemonProcess // root's dockerds on the host; empty: none runs, or a file tree
}

// DaemonProcess is a dockerd that runs as root, and no container's.
type DaemonProcess struct {
	PID     int
	Started time.Time
	// Options are its arguments laid over its configuration file as that is now.
	Options    dockerconf.Options
	ConfigFile string
	// Changed is when the configuration file was changed after the start: its
	// options, but for the few that a reload takes, are those of the file before.
	// Zero: it was not.
	Changed time.Time
}

// DockerDaemon returns how docker is told to run. It is an error when its
// configuration cannot be followed.
func (h *Host) DockerDaemon(ctx context.Context) (DockerDaemon, error) {
	return h.dockerDaemon.get(ctx, h.readDockerDaemon)
}

func (h *Host) readDockerDaemon(ctx context.Context) (DockerDaemon, error) {
	c, err := h.dockerConfig(ctx)
	if err == nil {
		err = c.err
	}
	if err != nil {
		return DockerDaemon{}, err
	}
	d := DockerDaemon{Kind: c.kind, Configured: c.options, ConfigFile: c.config.Path, Activated: c.activated, Socket: c.socket}
	if !h.Running() || c.kind == "" || c.kind == "rootless" {
		return d, nil
	}
	processes, err := h.Processes(ctx)
	if err != nil {
		return d, err
	}
	for _, p := range processes {
		if p.UID != 0 || p.Container != "" || p.Program() != "dockerd" || !genuine(p) {
			continue
		}
		argv, err := p.Argv()
		if err != nil {
			return d, err
		}
		if len(argv) == 0 {
			continue // it has ended
		}
		daemon, err := h.readDaemonProcess(p, argv[1:], c.config.Path)
		if err != nil {
			return d, err
		}
		d.Running = append(d.Running, daemon)
	}
	slices.SortFunc(d.Running, func(a, b DaemonProcess) int { return a.PID - b.PID })
	return d, nil
}

// readDaemonProcess reads what a running dockerd was told. The file that its
// arguments name is root's word, since the process is root's.
func (h *Host) readDaemonProcess(p Process, args []string, file string) (DaemonProcess, error) {
	source := fmt.Sprintf("process %d [dockerd]", p.PID)
	d := DaemonProcess{PID: p.PID, ConfigFile: file}
	flags, err := dockerconf.ParseFlags(source, 0, args)
	if err != nil {
		return d, err
	}
	if o, ok := flags["config-file"]; ok && path.IsAbs(o.Last()) {
		d.ConfigFile = path.Clean(o.Last())
	}
	options := dockerconf.Options{}
	data, err := h.ReadFile(d.ConfigFile)
	switch {
	case err == nil:
		if options, err = dockerconf.ParseFile(d.ConfigFile, data); err != nil {
			return d, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return d, err
	}
	d.Options, _ = dockerconf.Merge(options, flags)
	if d.Started, err = p.Started(); err != nil {
		return d, err
	}
	if info, err := h.Stat(d.ConfigFile); err == nil && info.ModTime().After(d.Started.Add(time.Second)) {
		d.Changed = info.ModTime()
	}
	return d, nil
}

// TCPHost reports whether a daemon's -H is a network address, and which.
func TCPHost(host string) (address string, ok bool) {
	scheme, rest, found := strings.Cut(host, "://")
	switch {
	case !found && !path.IsAbs(host):
		return host, true // dockerd takes it for tcp
	case found && scheme != "unix" && scheme != "fd" && scheme != "npipe":
		return rest, true
	}
	return "", false
}
