package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/hostguard/hostguard/internal/dockerconf"
)

// RootlessDocker is a docker that a user runs for himself, see
// dockerd-rootless.sh. Where its parts lie is the user's word: he owns the
// configuration and can change it, and the folders, at any time.
type RootlessDocker struct {
	User string // "operator (uid 1000)"
	DockerLayout
}

// rootlessPrograms are run by a user's docker besides those of every docker.
var rootlessPrograms = []string{"rootlesskit", "dockerd-rootless.sh", "slirp4netns", "vpnkit", "fuse-overlayfs"}

// rootlessDockers finds the dockers of users: by their sockets and processes,
// and in a tree by their units.
func (h *Host) rootlessDockers(ctx context.Context) ([]RootlessDocker, error) {
	accounts, err := h.Accounts(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot tell whose the rootless docker is: %w", err)
	}
	processes, err := h.rootlessProcesses(ctx)
	if err != nil {
		return nil, err
	}
	uids, err := h.rootlessUsers(accounts, processes)
	if err != nil {
		return nil, err
	}
	programs, err := h.findPrograms(slices.Concat(dockerPrograms, rootlessPrograms))
	if err != nil {
		return nil, err
	}
	var list []RootlessDocker
	for _, uid := range uids {
		at := slices.IndexFunc(accounts.Users, func(u User) bool { return u.UID == uid })
		if at < 0 || !path.IsAbs(accounts.Users[at].Home) {
			return nil, fmt.Errorf("cannot tell where the rootless docker of uid %d keeps its files: the uid has no account with a home in /etc/passwd", uid)
		}
		d, err := h.layRootless(accounts.Users[at], processes[uid], programs)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

// rootlessProcesses are those of users' dockers on the host, by user. A name
// shows nothing but what to look into.
func (h *Host) rootlessProcesses(ctx context.Context) (map[uint32][]Process, error) {
	byUser := map[uint32][]Process{}
	if !h.Running() {
		return byUser, nil
	}
	all, err := h.Processes(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot tell whether a user runs docker: %w", err)
	}
	for _, p := range all {
		if name := p.Program(); p.UID != 0 && p.Container == "" && (name == "dockerd" || name == "rootlesskit") {
			byUser[p.UID] = append(byUser[p.UID], p)
		}
	}
	return byUser, nil
}

func (h *Host) rootlessUsers(accounts *Accounts, processes map[uint32][]Process) ([]uint32, error) {
	var uids []uint32
	for uid := range processes {
		uids = append(uids, uid)
	}
	sockets, err := h.Glob("/run/user/*/docker.sock")
	if err != nil {
		return nil, err
	}
	for _, name := range sockets {
		// logind makes the folder, and names it by the user's number.
		if uid, err := strconv.ParseUint(path.Base(path.Dir(name)), 10, 32); err == nil && uid != 0 {
			uids = append(uids, uint32(uid))
		}
	}
	if !h.Running() {
		for _, u := range accounts.Users {
			if u.UID == 0 || !path.IsAbs(u.Home) {
				continue
			}
			if _, err := h.Lstat(path.Join(u.Home, ".config/systemd/user/docker.service")); err == nil {
				uids = append(uids, u.UID)
			} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
				return nil, err
			}
		}
	}
	slices.Sort(uids)
	return slices.Compact(uids), nil
}

// layRootless says where the docker of a user keeps what it has.
func (h *Host) layRootless(u User, processes []Process, programs []Place) (RootlessDocker, error) {
	d := RootlessDocker{User: fmt.Sprintf("%s (uid %d)", u.Name, u.UID)}
	d.Kind = "rootless"
	word := "the word of " + d.User
	config, runtime := path.Join(u.Home, ".config"), fmt.Sprintf("/run/user/%d", u.UID)
	options, err := h.rootlessOptions(u, processes)
	if err != nil {
		return d, err
	}
	said := func(name, otherwise string) (Place, error) {
		o, ok := options[name]
		if !ok || !path.IsAbs(o.Last()) {
			return Place{Path: otherwise, Source: "default of a rootless docker"}, nil
		}
		p := Place{Path: path.Clean(o.Last()), Source: fmt.Sprintf("%s, %s", where(o), word)}
		return p, h.ownedBy(u, p)
	}
	data, err := said("data-root", path.Join(u.Home, ".local/share/docker"))
	if err != nil {
		return d, err
	}
	exec, err := said("exec-root", runtime+"/docker")
	if err != nil {
		return d, err
	}
	sockets := []Place{{Name: "docker.sock", Path: runtime + "/docker.sock", Source: "default of a rootless docker"}}
	for _, s := range dockerSockets(options["hosts"].Values, nil) {
		if s != defaultDockerSocket && s != sockets[0].Path {
			sockets = append(sockets, Place{Name: "docker.sock", Path: path.Clean(s), Source: where(options["hosts"]) + ", " + word})
		}
	}
	sockets = append(sockets, Place{Name: "containerd.sock", Path: exec.Path + "/containerd/containerd.sock", Source: exec.Source})
	binaries := slices.Clone(programs)
	for _, name := range slices.Concat(dockerPrograms, rootlessPrograms) {
		binaries = append(binaries, Place{Name: name, Path: path.Join(u.Home, "bin", name), Source: "found"})
	}
	for _, p := range processes {
		if path.IsAbs(p.Exe) && !strings.HasSuffix(p.Exe, " (deleted)") && !slices.ContainsFunc(binaries, func(b Place) bool { return b.Path == p.Exe }) {
			binaries = append(binaries, Place{Name: p.Program(), Path: p.Exe, Source: fmt.Sprintf("process %d, %s", p.PID, word)})
		}
	}
	for dst, places := range map[*[]Place][]Place{
		&d.Sockets:  sockets,
		&d.Binaries: binaries,
		&d.Config: {
			{Name: "docker", Path: config + "/docker", Source: "default of a rootless docker"},
			{Name: "daemon.json", Path: config + "/docker/daemon.json", Source: "default of a rootless docker"},
		},
		&d.UnitFiles: {
			{Name: "docker.service", Path: config + "/systemd/user/docker.service", Source: "default of a rootless docker"},
			{Name: "units and drop-ins to come", Path: config + "/systemd/user", Source: "default of a rootless docker"},
		},
		&d.Containerd: {
			{Name: "root", Path: data.Path + "/containerd", Source: data.Source},
			{Name: "state", Path: exec.Path + "/containerd", Source: exec.Source},
		},
	} {
		for _, p := range places {
			placed, err := h.place(p.Name, p)
			if err != nil {
				return d, err
			}
			if placed.Exists || dst == &d.Sockets || dst == &d.Config || dst == &d.Containerd {
				*dst = append(*dst, placed)
			}
		}
	}
	d.DataRoot, err = h.place("data root", data)
	return d, err
}

// rootlessOptions are the options of a user's daemon: its command line laid over
// daemon.json, each by its user's word.
func (h *Host) rootlessOptions(u User, processes []Process) (dockerconf.Options, error) {
	const rel = ".config/docker/daemon.json"
	name := path.Join(u.Home, rel)
	file := dockerconf.Options{}
	data, _, err := h.ReadUntrusted(u.Home, rel, MaxFile)
	switch {
	case err == nil:
		file, err = dockerconf.ParseFile(name, data)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot tell how the rootless docker of %s is configured: %w", u.Name, err)
	}
	flags := dockerconf.Options{}
	for _, p := range processes {
		if p.Program() != "dockerd" {
			continue
		}
		argv, err := p.Argv()
		if err == nil && len(argv) == 0 { // it ended, is being started, or its user wiped it
			err = fmt.Errorf("process %d shows no command line", p.PID)
		}
		if err == nil {
			flags, err = dockerconf.ParseFlags(fmt.Sprintf("process %d", p.PID), 0, argv[1:])
		}
		if err != nil {
			return nil, fmt.Errorf("cannot tell how the rootless docker of %s is started: %w", u.Name, err)
		}
	}
	if o, ok := flags["config-file"]; ok && path.Clean(o.Last()) != name {
		return nil, fmt.Errorf("cannot tell how the rootless docker of %s is configured: %s says it reads %s", u.Name, o.Source, o.Last())
	}
	options, _ := dockerconf.Merge(file, flags)
	return options, nil
}

// where is the place of an option that a file or a process sets.
func where(o dockerconf.Option) string {
	if o.Line == 0 {
		return o.Source
	}
	return fmt.Sprintf("%s:%d", o.Source, o.Line)
}

// ownedBy refuses a folder that a user names and that is not his: he could have
// others watch the whole host.
func (h *Host) ownedBy(u User, p Place) error {
	real, err := h.resolveNearest(p.Path)
	if err != nil {
		return fmt.Errorf("cannot tell whether %s belongs to %s: %w", p.Path, u.Name, err)
	}
	home, err := h.Resolve(u.Home)
	if err == nil && home != "/" && (real == home || strings.HasPrefix(real, home+"/")) {
		return nil
	}
	info, err := h.Lstat(real)
	if err != nil {
		return err
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid != u.UID {
		return fmt.Errorf("cannot believe that the rootless docker of %s keeps its data in %s, as %s says: %s belongs to uid %d",
			u.Name, filepath.Clean(p.Path), p.Source, real, uid)
	}
	return nil
}
