package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
)

// A discoverer finds paths of one kind on the host. none says in a sentence
// why there cannot be any, which makes the requirement not applicable.
type discoverer func(context.Context, *host.Host) (found []place, none string, err error)

// place is a path as a discoverer found it.
type place struct {
	what   string
	path   string
	folder bool // it is a folder once it exists
	later  bool // it is watched although it does not exist yet
}

var discoverers = map[string]discoverer{
	"docker-binaries":      docker(changeable),
	"docker-programs":      docker(func(l host.DockerLayout) []host.Place { return l.Binaries }),
	"docker-sockets":       dockerSockets,
	"docker-configuration": docker(func(l host.DockerLayout) []host.Place { return l.Config }),
	"docker-units":         docker(units),
	"docker-data":          docker(func(l host.DockerLayout) []host.Place { return []host.Place{l.DataRoot} }),
	"containerd":           docker(func(l host.DockerLayout) []host.Place { return l.Containerd }),
	"connector":            connectorFolders,
	"connector-files":      connectorFiles,
	"connector-mounts":     connectorMounts,
	"volumes":              volumes,
	"ssh-configuration":    sshConfiguration,
	"time-configuration":   timeConfiguration,
}

// snapImages holds the images of snaps, see snap(8). The programs of a snap lie
// on a file system that cannot be written and goes with the next revision: who
// changes them changes the image.
const snapImages = "/var/lib/snapd/snaps"

// changeable is where docker's programs can be changed.
func changeable(l host.DockerLayout) []host.Place {
	if l.Kind == "snap" {
		return []host.Place{{Name: "images of snaps", Path: snapImages}}
	}
	return l.Binaries
}

// unitsToCome is where an administrator's units and drop-ins lie, which come
// before those of packages, see systemd.unit(5): whoever adds one there changes
// what runs without a touch on the files that are there now.
const unitsToCome = "/etc/systemd/system"

// units are docker's units and where others can take their place.
func units(l host.DockerLayout) []host.Place {
	if l.Kind == "rootless" {
		return l.UnitFiles // its user's folder is among them
	}
	return append(slices.Clone(l.UnitFiles), host.Place{Name: "units and drop-ins to come", Path: unitsToCome})
}

// docker takes a part of docker's layout.
func docker(part func(host.DockerLayout) []host.Place) discoverer {
	return func(ctx context.Context, h *host.Host) ([]place, string, error) {
		l, err := h.DockerLayout(ctx)
		if err != nil {
			return nil, "", err
		}
		return partOf(l, part)
	}
}

func partOf(l host.DockerLayout, part func(host.DockerLayout) []host.Place) ([]place, string, error) {
	switch l.Kind {
	case "":
		return nil, "Docker is not installed.", nil
	case "rootless":
		return rootlessParts(l, part)
	}
	var found []place
	for _, p := range part(l) {
		if p.Path != "" {
			found = append(found, place{what: p.Name, path: p.Path})
		}
	}
	return found, "", nil
}

// rootlessParts takes the part of each user's docker. Which folders it is about
// is that user's word, which is said.
func rootlessParts(l host.DockerLayout, part func(host.DockerLayout) []host.Place) ([]place, string, error) {
	if len(l.Rootless) == 0 {
		return nil, "", fmt.Errorf("cannot tell what to watch of a rootless docker: %w", l.Unread)
	}
	var found []place
	for _, d := range l.Rootless {
		for _, p := range part(d.DockerLayout) {
			found = append(found, place{what: fmt.Sprintf("%s of %s", p.Name, d.User), path: p.Path})
		}
	}
	return found, "", nil
}

func dockerSockets(ctx context.Context, h *host.Host) ([]place, string, error) {
	l, err := h.DockerLayout(ctx)
	if err != nil {
		return nil, "", err
	}
	return socketsOf(l)
}

// socketsOf are docker's and containerd's sockets. Without docker's options it
// is not known which ones there are.
func socketsOf(l host.DockerLayout) ([]place, string, error) {
	if l.Unread != nil && l.Kind != "rootless" {
		return nil, "", fmt.Errorf("cannot tell on which sockets docker listens: %w", l.Unread)
	}
	return partOf(l, func(l host.DockerLayout) []host.Place { return l.Sockets })
}

// eachConnector collects from every connector; none known is an error.
func eachConnector(ctx context.Context, h *host.Host, collect func(host.Connector) []place) ([]place, string, error) {
	connectors, err := h.Connectors(ctx)
	if err != nil {
		return nil, "", err
	}
	if len(connectors) == 0 {
		return nil, "", host.ErrNoConnector
	}
	var found []place
	for _, c := range connectors {
		found = append(found, collect(c)...)
	}
	return found, "", nil
}

func connectorFolders(ctx context.Context, h *host.Host) ([]place, string, error) {
	return eachConnector(ctx, h, func(c host.Connector) []place {
		return []place{{what: "connector", path: c.Dir, folder: true}}
	})
}

func connectorFiles(ctx context.Context, h *host.Host) ([]place, string, error) {
	return eachConnector(ctx, h, func(c host.Connector) []place {
		found := []place{{what: "connector", path: c.Dir, folder: true}}
		for _, f := range c.ComposeFiles {
			found = append(found, place{what: "compose file", path: f})
		}
		for _, f := range c.EnvFiles {
			found = append(found, place{what: "environment file", path: f})
		}
		return found
	})
}

func connectorMounts(ctx context.Context, h *host.Host) ([]place, string, error) {
	found, none, err := eachConnector(ctx, h, func(c host.Connector) []place {
		var found []place
		for _, f := range c.BindMounts {
			found = append(found, place{what: "bind mount", path: f})
		}
		return found
	})
	if err == nil && len(found) == 0 {
		none = "The connector's containers mount no folder of the host."
	}
	return found, none, err
}

// volumes are docker's folder of volumes, which takes in those to come, and
// the connector's volumes that lie elsewhere. Which ones lie elsewhere is not
// known before the first deploy.
func volumes(ctx context.Context, h *host.Host) ([]place, string, error) {
	l, err := h.DockerLayout(ctx)
	if err != nil {
		return nil, "", err
	}
	if l.Kind == "" {
		return nil, "Docker is not installed.", nil
	}
	roots, _, err := partOf(l, func(l host.DockerLayout) []host.Place { return []host.Place{l.DataRoot} })
	if err != nil {
		return nil, "", err
	}
	if len(roots) == 0 {
		return nil, "", errors.New("cannot tell where docker keeps volumes: its data root is not known")
	}
	var found []place
	for _, r := range roots {
		what := strings.Replace(r.what, "data root", "volumes", 1)
		found = append(found, place{what: what, path: path.Join(r.path, "volumes"), folder: true, later: true})
	}
	among := func(name string) bool {
		return slices.ContainsFunc(found, func(f place) bool { return strings.HasPrefix(name, f.path+"/") })
	}
	connectors, err := h.Connectors(ctx)
	if err != nil && !errors.Is(err, host.ErrNoConnector) {
		return nil, "", err
	}
	mounted, err := mountPoints(ctx, h)
	if err != nil {
		return nil, "", err
	}
	for _, c := range connectors {
		for _, v := range c.Volumes {
			name := path.Clean(v.Path)
			if v.Path != "" && (!among(name) || mounted[name]) {
				found = append(found, place{what: "volume " + v.Name, path: v.Path, folder: true})
			}
		}
	}
	return found, "", nil
}

// mountPoints are where file systems are mounted now: a volume that docker
// mounts is no part of the folder of all volumes. A tree has none.
func mountPoints(ctx context.Context, h *host.Host) (map[string]bool, error) {
	points := map[string]bool{}
	mounts, err := h.Mounts(ctx)
	if errors.Is(err, host.ErrNotRunning) {
		return points, nil
	}
	for _, m := range mounts {
		points[m.Point] = true
	}
	return points, err
}

// findTargets settles which paths must be covered. absent is evidence of those
// that do not exist. A verdict with a status ends the look.
func findTargets(ctx context.Context, h *host.Host, p WatchParams) (targets []target, absent []checks.Evidence, v checks.Verdict, err error) {
	var places []place
	var none string
	for _, d := range p.Discover {
		found, why, err := discoverers[d](ctx, h)
		if err != nil {
			return nil, nil, v, err
		}
		if why != "" {
			none = why
		}
		places = append(places, found...)
	}
	for _, pattern := range p.Paths {
		expanded := []string{pattern}
		if strings.ContainsAny(pattern, `*?[`) {
			if expanded, err = h.Glob(pattern); err != nil {
				return nil, nil, v, err
			}
		}
		for _, name := range expanded {
			places = append(places, place{path: name, later: p.Missing == "fail"})
		}
	}
	for _, found := range places {
		t, there, err := toTarget(h, found, p)
		if err != nil {
			return nil, nil, v, err
		}
		switch {
		case slices.ContainsFunc(targets, func(o target) bool { return o.Want == t.Want }):
		case there || found.later:
			targets = append(targets, t)
		default:
			absent = append(absent, checks.Evidence{Source: found.path, Key: found.what, Got: "does not exist here: nothing to cover"})
		}
	}
	if len(targets) == 0 {
		if none == "" {
			none = "None of the paths exists on this host."
		}
		v = checks.Inapplicable(none, absent...)
	}
	return targets, absent, v, nil
}

// toTarget finds what a place is: a socket among files is covered by its use.
func toTarget(h *host.Host, p place, params WatchParams) (t target, there bool, err error) {
	t = target{what: p.what, Want: auditrule.Want{
		Path: path.Clean(p.path), Perms: auditrule.Perm(params.Perms), Use: params.Use, Folder: p.folder,
	}}
	if t.Use {
		t.Perms = 0
	}
	info, err := h.Stat(t.Path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return t, params.Use, nil // a socket is there when its daemon runs
	}
	if err != nil {
		return t, false, err
	}
	if info.Mode()&fs.ModeSocket != 0 {
		t.Use, t.Perms = true, 0
	}
	return t, true, nil
}
