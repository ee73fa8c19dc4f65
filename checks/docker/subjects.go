package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/composefile"
	"github.com/hostguard/hostguard/internal/host"
)

// deployment is what containers there are and what compose will make: the facts
// of every check that judges containers.
type deployment struct {
	connectors []host.Connector
	containers []host.Container // running or not, sorted by name
	details    map[string]host.ContainerDetail
	engine     host.Engine
	asked      bool  // docker was asked; else there are no containers, because it is down or this is a file tree
	unread     error // why not all of it is known; nil when it is
}

// deployed looks at both. What cannot be seen is told in unread: what is seen
// may fail all the same.
var deployed = host.Derive(func(ctx context.Context, h *host.Host) (deployment, error) {
	var d deployment
	var err error
	if d.connectors, err = h.Connectors(ctx); err == nil && len(d.connectors) == 0 {
		err = host.ErrNoConnector
	}
	d.unread = err
	for _, c := range d.connectors {
		if c.ComposeErr != nil {
			d.unread = errors.Join(d.unread, fmt.Errorf("cannot tell what the connector in %s consists of: %w", c.Dir, c.ComposeErr))
		}
	}
	if !h.Running() {
		return d, nil
	}
	if d.containers, err = h.Containers(ctx); err == nil {
		if d.details, err = h.ContainerDetails(ctx); err == nil {
			d.engine, err = h.Engine(ctx)
		}
	}
	d.asked = err == nil
	if err != nil && !errors.Is(err, host.ErrDockerDown) { // one that is down runs nothing
		d.unread = errors.Join(d.unread, fmt.Errorf("cannot tell what the containers may do: %w", err))
	}
	return d, nil
})

// ours is the connector that a container was made for, nil when it is none's.
func (d deployment) ours(c host.Container) *host.Connector {
	dir := c.ComposeDir()
	if dir == "" {
		return nil
	}
	if i := slices.IndexFunc(d.connectors, func(conn host.Connector) bool { return conn.Dir == dir }); i >= 0 {
		return &d.connectors[i]
	}
	return nil
}

// service is the one of a connector that a container was made of, nil when its
// files have none of that name.
func service(conn *host.Connector, c host.Container) *host.ComposeService {
	i := slices.IndexFunc(conn.Services, func(s host.ComposeService) bool { return s.Name == c.ComposeService() })
	if i < 0 {
		return nil
	}
	return &conn.Services[i]
}

// A subject is a container that there is, or a service as it is written, of
// which one will be made.
type subject struct {
	source, name string
	line         int
	connector    bool // the connector's own
	image        string
	rights       rights
	mounts       []host.ContainerMount
	restart      string
}

// rights are what a container may do on the host.
type rights struct {
	privileged             bool
	capabilities           []string // added, without CAP_
	security               []string // options that take protection away
	devices                []string
	network, pid, ipc, uts string
	unclear                []string // keys whose value only whoever runs compose knows
}

func (s subject) evidence(key, want, got string) checks.Evidence {
	return checks.Evidence{Source: s.source, Line: s.line, Key: key, Want: want, Got: got}
}

// subjects are all containers and all services; those of connectors alone when
// that is asked for. Containers that are allowed by name are left out.
func (d deployment) subjects(onlyConnectors bool, allow []string) []subject {
	var all []subject
	for _, c := range d.containers {
		detail, there := d.details[c.ID]
		conn := d.ours(c)
		if !there || onlyConnectors && conn == nil || slices.Contains(allow, c.Name) {
			continue
		}
		all = append(all, subject{
			source: "container " + c.Name, name: c.Name, connector: conn != nil, image: detail.Image,
			rights: rightsOf(detail), mounts: detail.Mounts, restart: detail.Restart,
		})
	}
	for _, conn := range d.connectors {
		for _, s := range conn.Services {
			if slices.Contains(allow, s.Name) || s.Container != "" && slices.Contains(allow, s.Container) {
				continue
			}
			all = append(all, subject{
				source: s.File, line: s.Line, name: s.Name, connector: true, image: s.Image,
				rights: rightsWritten(s.Rights), mounts: s.Mounts, restart: s.Rights.RestartPolicy(),
			})
		}
	}
	return all
}

func rightsOf(c host.ContainerDetail) rights {
	r := rights{
		privileged: c.Privileged, capabilities: c.CapAdd, devices: slices.Concat(c.Devices, c.DeviceRules),
		network: c.Network, pid: c.PID, ipc: c.IPC, uts: c.UTS, security: unprotected(c.SecurityOpt),
	}
	if c.AppArmor == "unconfined" && len(r.security) == 0 {
		r.security = []string{"apparmor=unconfined"}
	}
	return r
}

func rightsWritten(w composefile.Rights) rights {
	r := rights{devices: slices.Concat(w.Devices, w.DeviceRules), network: w.Network, pid: w.PID, ipc: w.IPC, uts: w.UTS, security: unprotected(w.SecurityOpt)}
	switch strings.ToLower(w.Privileged) {
	case "", "false", "no", "off", "n":
	case "true", "yes", "on", "y":
		r.privileged = true
	default:
		r.unclear = append(r.unclear, "privileged: "+w.Privileged)
	}
	for _, c := range w.CapAdd {
		r.capabilities = append(r.capabilities, strings.TrimPrefix(strings.ToUpper(c), "CAP_"))
	}
	for key, value := range map[string]string{"network_mode": w.Network, "pid": w.PID, "ipc": w.IPC, "uts": w.UTS} {
		if strings.Contains(value, "$") {
			r.unclear = append(r.unclear, key+": "+value)
		}
	}
	for _, o := range slices.Concat(w.SecurityOpt, w.CapAdd, w.Devices, w.DeviceRules) {
		if strings.Contains(o, "$") {
			r.unclear = append(r.unclear, o)
		}
	}
	slices.Sort(r.unclear)
	return r
}

// unprotected are the options that take protection of the kernel away. Docker
// itself adds label=disable where a container shares a namespace.
func unprotected(options []string) []string {
	var bad []string
	for _, o := range options {
		plain := strings.ToLower(strings.Replace(o, ":", "=", 1))
		if plain == "seccomp=unconfined" || plain == "apparmor=unconfined" || plain == "systempaths=unconfined" {
			bad = append(bad, plain)
		}
	}
	return bad
}

// judgeSubjects asks of each subject what is wrong with it. What is wrong fails
// even when something else could not be seen.
func judgeSubjects(d deployment, all []subject, reason string, look func(subject) (bad, seen []checks.Evidence, err error)) (checks.Verdict, error) {
	var bad, seen []checks.Evidence
	unknown := []error{d.unread}
	for _, s := range all {
		wrong, fine, err := look(s)
		bad, seen = append(bad, wrong...), append(seen, fine...)
		unknown = append(unknown, err)
	}
	if len(bad) > 0 {
		return checks.Failed(reason, few(bad)...), nil
	}
	if err := errors.Join(unknown...); err != nil {
		return checks.Verdict{Evidence: few(seen)}, err
	}
	if len(seen) == 0 {
		return checks.Inapplicable("There is no container, and none is written in a compose file."), nil
	}
	return checks.Passed(few(seen)...), nil
}

// maxEvidence is how many places a verdict names: there may be hundreds of
// containers.
const maxEvidence = 50

func few(e []checks.Evidence) []checks.Evidence {
	if len(e) <= maxEvidence {
		return e
	}
	more := checks.Evidence{Source: "docker", Key: "more", Got: fmt.Sprintf("%d more like these", len(e)-maxEvidence)}
	return append(slices.Clone(e[:maxEvidence]), more)
}
