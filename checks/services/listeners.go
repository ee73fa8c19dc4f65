package services

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/quantity"
)

var strayListeners = checks.Check{
	Name: "stray-listeners",
	Looks: "At the TCP sockets that listen and the UDP sockets that are bound, asked of the kernel, with the processes that hold " +
		"them and their units; and at the ports that docker publishes, asked of its daemon. A listener belongs to the host when its " +
		"program, unit and port are on the list, when it is a port of the connector's containers, or when its port is allowed.",
	Blind: "Whether a firewall shields a listener, whether a program of an allowed path is what its name says, network namespaces other " +
		"than the host's (those of containers), and SCTP, raw and packet sockets.",
	Needs:   host.Running | host.Root,
	Binding: checks.Params(listenerParams{}, probeListeners),
}

type listenerParams struct {
	Allow    []listener           `yaml:"allow" doc:"Listeners that belong to the host."`
	Ports    []quantity.PortRange `yaml:"ports" doc:"Ports at which anything may listen, such as 9100/tcp."`
	Loopback bool                 `yaml:"loopback" doc:"Listeners that only the host itself can reach must be on the list too."`
}

// listener is one entry of the list.
type listener struct {
	Why      string               `yaml:"why" doc:"What it is for."`
	Programs words                `yaml:"programs" doc:"Paths of its program, or patterns."`
	Units    words                `yaml:"units" doc:"Units it runs in, or patterns; empty: any. Not looked at where systemd does not run."`
	Ports    []quantity.PortRange `yaml:"ports" doc:"Ports it may listen on, such as 68/udp or 1024-65535/udp; empty: any."`
}

// Validate refuses entries that would cover everything, and bad patterns.
func (p listenerParams) Validate() error {
	for i, l := range p.Allow {
		if len(l.Programs) == 0 || l.Why == "" {
			return fmt.Errorf("entry %d of allow: programs and why are needed", i+1)
		}
		if err := validPatterns(slices.Concat(l.Programs, l.Units)); err != nil {
			return fmt.Errorf("entry %d of allow: %w", i+1, err)
		}
	}
	return nil
}

// listening is everything the judgement goes by.
type listening struct {
	sockets    []host.Socket
	systemd    bool // systemd runs: units are known
	connectors []host.Connector
	containers []host.Container
	docker     error // why docker's containers are not known
}

func probeListeners(ctx context.Context, h *host.Host, p listenerParams) (checks.Verdict, error) {
	k, err := known()
	if err != nil {
		return checks.Verdict{}, err
	}
	var seen listening
	if seen.sockets, err = h.Sockets(ctx); err != nil {
		return checks.Verdict{}, err
	}
	seen.systemd = h.Lacks(ctx, host.Systemd) == nil
	processes, err := h.Processes(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	if dockerRuns(processes) {
		if seen.containers, seen.docker = h.Containers(ctx); seen.docker == nil {
			seen.connectors, seen.docker = h.Connectors(ctx)
		}
	}
	return judgeListeners(k, seen, p)
}

// dockerRuns reports whether there is a docker daemon or a container: only
// then docker must answer.
func dockerRuns(processes map[int]host.Process) bool {
	for _, p := range processes {
		if p.Container != "" || p.Program() == "dockerd" {
			return true
		}
	}
	return false
}

// opinion is what is thought of one listener.
type opinion uint8

const (
	stray opinion = iota
	belongs
	unknown // it cannot be told
)

// judgeListeners fails when a listener is surely stray, whatever could not be
// seen besides; it passes only when all were told apart.
func judgeListeners(k *knownServers, seen listening, p listenerParams) (checks.Verdict, error) {
	var wrong, fine []checks.Evidence
	var unclear []error
	var names []string
	var repair Repair
	for _, s := range seen.sockets {
		op, why := seen.judge(s, p)
		e := checks.Evidence{Source: s.String(), Key: "listener", Got: describe(k, s)}
		if why != "" {
			e.Got += "; " + why
		}
		switch op {
		case belongs:
			fine = append(fine, e)
		case unknown:
			unclear = append(unclear, fmt.Errorf("cannot tell whether %v belongs to this host: %s", s, why))
		case stray:
			e.Want = "on the list of listeners"
			wrong = append(wrong, e)
			names = append(names, s.String())
			repair.socket(s)
		}
	}
	published, strayPorts := seen.published(p)
	fine, wrong = append(fine, published...), append(wrong, strayPorts...)
	for _, e := range strayPorts {
		names = append(names, e.Source)
		repair.other("%s: %s", e.Source, e.Got)
	}
	if seen.docker != nil {
		unclear = append(unclear, fmt.Errorf("cannot see what docker publishes: %w", seen.docker))
	}
	if len(wrong) > 0 {
		v := checks.Failed(fmt.Sprintf("%s on the list of what may listen on this host: %s.",
			count(len(names), "listener is not", "listeners are not"), strings.Join(names, ", ")), wrong...)
		v.Repair = repair
		return v, nil
	}
	if len(unclear) > 0 {
		return checks.Verdict{Evidence: fine}, errors.Join(unclear...)
	}
	if len(fine) == 0 {
		fine = append(fine, checks.Evidence{Source: "sock_diag", Key: "listeners", Got: "none"})
	}
	return checks.Passed(fine...), nil
}

// judge tells what a socket is, and why.
func (seen listening) judge(s host.Socket, p listenerParams) (opinion, string) {
	port := s.Local.Port()
	if covered(p.Ports, s.Proto, port) {
		return belongs, "allowed by configuration"
	}
	if s.Loopback() && !p.Loopback {
		return belongs, "reached from the host itself only"
	}
	if s.Own {
		return belongs, "hostguard asks something itself"
	}
	if s.Container != "" {
		return seen.judgeContainer(func(c host.Container) bool { return c.ID == s.Container }, "container "+s.Container[:12])
	}
	switch program := path.Base(strings.TrimSuffix(s.Exe, " (deleted)")); {
	case !s.Genuine:
	case program == "docker-proxy" && s.PID != 0:
		return seen.judgeContainer(func(c host.Container) bool { return publishes(c, s) }, "a port docker publishes")
	case program == "dockerd" && slices.ContainsFunc(seen.containers, func(c host.Container) bool { return publishes(c, s) }):
		return seen.judgeContainer(func(c host.Container) bool { return publishes(c, s) }, "a port docker publishes")
	}
	for _, l := range p.Allow {
		if l.covers(s, seen.systemd) {
			return belongs, l.Why
		}
	}
	if s.Hidden != "" {
		return unknown, "its holder cannot be seen: " + s.Hidden
	}
	return stray, ""
}

// judgeContainer finds the container a listener belongs to and says whether it
// is one of a connector's.
func (seen listening) judgeContainer(is func(host.Container) bool, what string) (opinion, string) {
	if seen.docker != nil {
		return unknown, fmt.Sprintf("it is of %s, and docker does not say more: %v", what, seen.docker)
	}
	i := slices.IndexFunc(seen.containers, is)
	if i < 0 {
		return stray, what + ", of no container that docker knows"
	}
	c := seen.containers[i]
	if seen.isConnectors(c) {
		return belongs, "container " + c.Name + " of the connector"
	}
	return stray, "container " + c.Name + ", which is not part of the connector"
}

// isConnectors reports whether compose made the container for a connector.
func (seen listening) isConnectors(c host.Container) bool {
	dir := c.ComposeDir()
	return dir != "" && slices.ContainsFunc(seen.connectors, func(conn host.Connector) bool { return conn.Dir == dir })
}

// publishes reports whether the socket is the host side of a container's port.
func publishes(c host.Container, s host.Socket) bool {
	return c.State == "running" && slices.ContainsFunc(c.Ports, func(p host.ContainerPort) bool {
		if p.HostPort != s.Local.Port() || p.Protocol != s.Proto || !p.HostIP.IsValid() {
			return false
		}
		local := s.Local.Addr()
		return p.HostIP == local || p.HostIP.IsUnspecified() || local.IsUnspecified()
	})
}

// published returns the ports that docker publishes without a socket, by
// address translation alone (userland-proxy: false), as evidence.
func (seen listening) published(p listenerParams) (fine, wrong []checks.Evidence) {
	for _, c := range seen.containers {
		for _, port := range c.Ports {
			if c.State != "running" || !port.HostIP.IsValid() || port.HostPort == 0 {
				continue
			}
			hasSocket := slices.ContainsFunc(seen.sockets, func(s host.Socket) bool {
				return s.Proto == port.Protocol && s.Local.Port() == port.HostPort && s.Local.Addr() == port.HostIP
			})
			if hasSocket || port.HostIP.IsLoopback() && !p.Loopback {
				continue
			}
			e := checks.Evidence{
				Source: fmt.Sprintf("%s %s", port.Protocol, joinPort(port)), Key: "published port",
				Got: fmt.Sprintf("docker leads it to port %d of container %s", port.ContainerPort, c.Name),
			}
			if seen.isConnectors(c) || covered(p.Ports, port.Protocol, port.HostPort) {
				fine = append(fine, e)
				continue
			}
			e.Want = "on the list of listeners"
			e.Got += ", which is not part of the connector"
			wrong = append(wrong, e)
		}
	}
	return fine, wrong
}

func joinPort(p host.ContainerPort) string {
	if p.HostIP.Is6() {
		return fmt.Sprintf("[%v]:%d", p.HostIP, p.HostPort)
	}
	return fmt.Sprintf("%v:%d", p.HostIP, p.HostPort)
}

// covers reports whether the entry names this listener. A program that was
// replaced on disk since it started still counts as that program; one that only
// shows its path does not.
func (l listener) covers(s host.Socket, systemd bool) bool {
	if s.PID == 0 || !s.Genuine || len(l.Ports) > 0 && !covered(l.Ports, s.Proto, s.Local.Port()) {
		return false
	}
	if systemd && len(l.Units) > 0 && !allows(l.Units, s.Unit) {
		return false
	}
	return allows(l.Programs, strings.TrimSuffix(s.Exe, " (deleted)"))
}

func covered(ports []quantity.PortRange, proto string, port uint16) bool {
	return slices.ContainsFunc(ports, func(p quantity.PortRange) bool { return p.Covers(proto, port) })
}

// describe says who holds a socket and who can reach it.
func describe(k *knownServers, s host.Socket) string {
	var holder string
	switch {
	case s.Hidden != "":
		holder = "holder unseen"
	case s.Unheld:
		holder = "no process has it open: a service of the kernel's own (NFS, WireGuard, VXLAN …) or of io_uring"
	default:
		holder = fmt.Sprintf("%s (process %d", s.Exe, s.PID)
		if s.Unit != "" {
			holder += ", " + s.Unit
		}
		holder += ")"
	}
	if !s.Genuine && s.PID != 0 && s.Container == "" {
		holder += ", which is not the host's program of that path"
	}
	if kind := k.program(s.Exe); s.Container == "" && kind != "" {
		holder += ", a " + k.kinds[kind].Title
	}
	if !s.Local.Addr().IsUnspecified() {
		return holder
	}
	switch s.Families() {
	case "4 and 6":
		return holder + ", reached over IPv4 and IPv6"
	case "6":
		return holder + ", reached over IPv6"
	}
	return holder + ", reached over IPv4"
}
