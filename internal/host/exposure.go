package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"
	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lazyregexp"
	"github.com/hostguard/hostguard/internal/nftables"
	"github.com/hostguard/hostguard/internal/packetfilter"
)

type exposureFacts struct {
	exposures sync.Map // internal networks, as text → *fact[Exposures]
}

// Exposures is what the host offers to its networks, and who reaches it.
type Exposures struct {
	All []Exposure // by port, protocol and address

	// Docker is why it is not known what docker publishes: its proxies are then
	// sockets like others, and its translations come without a container's name.
	Docker error

	// Beyond are running containers with addresses of their own on a network of
	// the host (macvlan, ipvlan, overlay …), which its packet filter does not see.
	Beyond []Beyond
}

// Beyond is a container that its network takes past the host's packet filter.
type Beyond struct{ Container, Network, Driver string }

// Exposure is a socket that listens, a port that docker publishes, or one that
// the packet filter leads on by itself.
type Exposure struct {
	Proto   string // tcp, udp
	Local   netip.AddrPort
	Device  string
	Socket  *Socket        // the host's own
	Publish *Container     // the container whose port docker publishes
	Inside  uint16         // the container's port
	To      netip.AddrPort // where a translation that nobody else accounts for leads

	By [packetfilter.Classes]packetfilter.Reach
}

// String names the exposure as evidence does: "tcp 0.0.0.0:8090".
func (e Exposure) String() string {
	name := e.Proto + " " + e.Local.String()
	if e.Device != "" {
		name += " on " + e.Device
	}
	return name
}

// Exposures says who reaches what listens or is published on this host: the
// host itself, the internal networks, anywhere else. It follows packets through
// the rules that are loaded. Containers' own network namespaces are not looked
// into: a published port is taken to be served.
func (h *Host) Exposures(ctx context.Context, internal []netip.Prefix) (Exposures, error) {
	if !h.Running() {
		return Exposures{}, ErrNotRunning
	}
	f, _ := h.exposures.LoadOrStore(fmt.Sprint(internal), new(fact[Exposures]))
	return f.(*fact[Exposures]).get(ctx, func(ctx context.Context) (Exposures, error) { return h.findExposures(ctx, internal) })
}

func (h *Host) findExposures(ctx context.Context, internal []netip.Prefix) (Exposures, error) {
	var found Exposures
	var sockets []Socket
	var w *packetfilter.World
	var socketErr, worldErr error
	var containers []Container
	var wg sync.WaitGroup
	wg.Go(func() { sockets, socketErr = h.Sockets(ctx) })
	wg.Go(func() { w, worldErr = h.packetWorld(ctx) })
	wg.Go(func() {
		if containers, found.Docker = h.Containers(ctx); found.Docker == nil {
			found.Beyond, found.Docker = askDocker(ctx, h, dockerAPI.beyond)
		}
		if errors.Is(found.Docker, ErrDockerDown) {
			found.Docker = nil
		}
	})
	wg.Wait()
	if err := errors.Join(socketErr, worldErr); err != nil {
		return Exposures{}, err
	}
	var endpoints []packetfilter.Endpoint
	for _, s := range sockets {
		found.All = append(found.All, Exposure{Proto: s.Proto, Local: s.Local, Device: s.Device, Socket: &s})
		endpoints = append(endpoints, packetfilter.Endpoint{Proto: protocols[s.Proto], Local: s.Local, V6Only: s.V6Only, Device: s.Device})
	}
	for _, c := range containers {
		for _, p := range c.Ports {
			if proto, known := protocols[p.Protocol]; c.State == "running" && p.HostPort != 0 && p.HostIP.IsValid() && known {
				local := netip.AddrPortFrom(p.HostIP, p.HostPort)
				found.All = append(found.All, Exposure{Proto: p.Protocol, Local: local, Publish: &c, Inside: p.ContainerPort})
				endpoints = append(endpoints, packetfilter.Endpoint{Proto: proto, Local: local, Published: true})
			}
		}
	}
	answers, translations, err := w.Answer(endpoints, internal)
	if err != nil {
		return Exposures{}, fmt.Errorf("cannot tell who reaches what: %w", err)
	}
	for i := range found.All {
		found.All[i].By = answers[i]
	}
	for _, t := range translations {
		addr := netip.IPv4Unspecified()
		if t.To.Addr().Is6() {
			addr = netip.IPv6Unspecified()
		}
		found.All = append(found.All, Exposure{Proto: protocolName(t.Proto), Local: netip.AddrPortFrom(addr, t.Port), To: t.To, By: t.By})
	}
	found.All = slices.DeleteFunc(found.All, func(e Exposure) bool { return e.proxyOf(found.All) })
	slices.SortStableFunc(found.All, func(a, b Exposure) int {
		return cmp.Or(cmp.Compare(a.Local.Port(), b.Local.Port()), cmp.Compare(a.Proto, b.Proto), a.Local.Addr().Compare(b.Local.Addr()))
	})
	return found, nil
}

var protocols = map[string]uint8{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP}

func protocolName(n uint8) string {
	if n == unix.IPPROTO_UDP {
		return "udp"
	}
	return "tcp"
}

// proxyOf reports whether the socket is docker's own for a port that it
// publishes: the port stands for both.
func (e Exposure) proxyOf(all []Exposure) bool {
	if e.Socket == nil || !e.Socket.Genuine {
		return false
	}
	if program := path.Base(strings.TrimSuffix(e.Socket.Exe, " (deleted)")); program != "docker-proxy" && program != "dockerd" {
		return false
	}
	return slices.ContainsFunc(all, func(p Exposure) bool { return p.Publish != nil && p.Proto == e.Proto && p.Local == e.Local })
}

// beyond asks for containers on networks other than bridges and the host's own.
func (d dockerAPI) beyond(ctx context.Context) ([]Beyond, error) {
	ctx, cancel := withDockerTimeout(ctx)
	defer cancel()
	networks, err := d.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return nil, dockerError(d.socket, err)
	}
	var found []Beyond
	for _, n := range networks {
		if n.Driver == "bridge" || n.Driver == "host" || n.Driver == "null" {
			continue
		}
		full, err := d.NetworkInspect(ctx, n.ID, network.InspectOptions{})
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, dockerError(d.socket, err)
		}
		for _, c := range full.Containers {
			found = append(found, Beyond{c.Name, n.Name, n.Driver})
		}
	}
	slices.SortFunc(found, func(a, b Beyond) int { return cmp.Compare(a.Container, b.Container) })
	return found, nil
}

// packetWorld gathers what decides about packets.
func (h *Host) packetWorld(ctx context.Context) (*packetfilter.World, error) {
	rules, err := h.PacketFilter(ctx)
	if err != nil {
		return nil, err
	}
	routing, err := h.Routing(ctx)
	if err != nil {
		return nil, err
	}
	return routing.world(rules), nil
}

// world joins devices, addresses and routes with the packet filter's rules.
func (r Routing) world(rules *nftables.Ruleset) *packetfilter.World {
	w := &packetfilter.World{Rules: rules, Policy: r.Rules}
	devices := map[uint32]*packetfilter.Interface{}
	for _, i := range r.Interfaces {
		device := &packetfilter.Interface{
			Name: i.Name, Index: i.Index, Type: i.Type, Loopback: i.Loopback, Addrs: i.Addrs, Forward4: i.Forward4, Forward6: i.Forward6,
			RouteLocalhost: i.Localhost, Bridge: i.Kind == "bridge", Entrance: r.entrance(i),
		}
		if i.Kind == "vrf" {
			w.Unclear = "the host has the VRF " + i.Name + ", whose routes are not followed"
		}
		devices[i.Index] = device
		w.Interfaces = append(w.Interfaces, device)
	}
	for _, route := range r.Routes {
		w.Routes = append(w.Routes, packetfilter.Route{To: route.To, Metric: route.Metric, Via: devices[route.Device]})
	}
	return w
}

// dockerBridge is what docker calls its bridges.
var dockerBridge = lazyregexp.New(`^(docker0|docker_gwbridge|br-[0-9a-f]{12})$`)

// entrance reports whether packets come by a device from elsewhere than from the
// host and its containers: all devices that are up and have addresses, but for
// docker's bridges that no device but containers' is part of.
func (r Routing) entrance(i Interface) bool {
	if !i.Up || i.Loopback || len(i.Addrs) == 0 {
		return false
	}
	if i.Kind != "bridge" || !dockerBridge().MatchString(i.Name) {
		return true
	}
	return slices.ContainsFunc(r.Interfaces, func(port Interface) bool { return port.Master == i.Index && port.Kind != "veth" })
}
