package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Routing is the network as the kernel sees it: devices, addresses, routes.
type Routing struct {
	Interfaces []Interface
	Routes     []Route // of the main table
	Rules      bool    // there are policy routing rules besides the usual ones
}

// Interface is a network device.
type Interface struct {
	Name      string
	Index     uint32
	Type      uint16 // ARPHRD_*
	Kind      string // "bridge", "veth", "macvlan" …; empty: a device of its own
	Up        bool
	Loopback  bool
	Master    uint32 // the bridge, bond or VRF it belongs to, 0: none
	Addrs     []netip.Prefix
	Forward4  bool
	Forward6  bool
	Localhost bool // route_localnet: it takes packets for 127.0.0.0/8
}

// Route is one way out. Without a device, packets are refused or thrown away.
type Route struct {
	To     netip.Prefix
	Device uint32
	Metric uint32
}

type routingFacts struct {
	routing fact[Routing]
}

// Routing returns devices, addresses and routes of the network namespace of
// hostguard.
func (h *Host) Routing(ctx context.Context) (Routing, error) {
	if !h.Running() {
		return Routing{}, ErrNotRunning
	}
	return h.routing.get(ctx, readRouting)
}

// maxRouteBytes bounds what the kernel lists: a router of the Internet's has a
// million routes, which is no host for a connector.
const maxRouteBytes = 16 << 20

func readRouting(context.Context) (Routing, error) {
	n, err := dialNetlink(unix.NETLINK_ROUTE, maxRouteBytes)
	if err != nil {
		return Routing{}, fmt.Errorf("cannot list network devices: %w", err)
	}
	defer n.close()
	var r Routing
	for _, list := range []struct {
		what string
		kind uint16
		size int
		add  func(body []byte, attrs map[uint16][]byte)
	}{
		{"network devices", unix.RTM_GETLINK, unix.SizeofIfInfomsg, r.link},
		{"addresses", unix.RTM_GETADDR, unix.SizeofIfAddrmsg, r.addr},
		{"routes", unix.RTM_GETROUTE, unix.SizeofRtMsg, r.route},
		{"routing rules", unix.RTM_GETRULE, unix.SizeofRtMsg, r.rule},
	} {
		if err := n.list(list.kind, list.size, list.add); err != nil {
			return Routing{}, fmt.Errorf("cannot list %s: %w", list.what, err)
		}
	}
	forward6 := sysctl("ipv6/conf/all/forwarding")
	all := sysctl("ipv4/conf/all/route_localnet")
	for i := range r.Interfaces {
		f := &r.Interfaces[i]
		f.Forward4 = sysctl("ipv4/conf/" + f.Name + "/forwarding")
		f.Forward6 = forward6
		f.Localhost = all || sysctl("ipv4/conf/"+f.Name+"/route_localnet")
	}
	return r, nil
}

// list dumps one list of rtnetlink(7), once more when it changed meanwhile.
func (n *netlinkSocket) list(kind uint16, size int, add func(body []byte, attrs map[uint16][]byte)) error {
	var bodies [][]byte
	for try := 0; ; try++ {
		bodies = nil
		err := n.dump(kind, make([]byte, size), func(_ uint16, body []byte) { bodies = append(bodies, body) })
		if errors.Is(err, unix.EOPNOTSUPP) && kind == unix.RTM_GETRULE { // a kernel without policy routing
			return nil
		}
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) || try == 4 {
			return err
		}
	}
	for _, b := range bodies {
		if len(b) < size {
			return errors.New("the answer is malformed")
		}
		attrs, ok := routeAttrs(b[size:])
		if !ok {
			return errors.New("the answer is malformed")
		}
		add(b, attrs)
	}
	return nil
}

func routeAttrs(b []byte) (map[uint16][]byte, bool) {
	attrs := map[uint16][]byte{}
	for len(b) >= 4 {
		length, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])&0x3fff
		if length < 4 || length > len(b) {
			return nil, false
		}
		if _, twice := attrs[kind]; !twice {
			attrs[kind] = b[4:length]
		}
		b = b[min((length+3)&^3, len(b)):]
	}
	return attrs, true
}

func attrUint32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

func attrText(b []byte) string {
	text, _, _ := bytes.Cut(b, []byte{0})
	return string(text)
}

// link reads a struct ifinfomsg.
func (r *Routing) link(body []byte, attrs map[uint16][]byte) {
	flags := binary.NativeEndian.Uint32(body[8:])
	i := Interface{
		Name: attrText(attrs[unix.IFLA_IFNAME]), Index: binary.NativeEndian.Uint32(body[4:]), Type: binary.NativeEndian.Uint16(body[2:]),
		Up: flags&unix.IFF_UP != 0, Loopback: flags&unix.IFF_LOOPBACK != 0, Master: attrUint32(attrs[unix.IFLA_MASTER]),
	}
	if info, ok := routeAttrs(attrs[unix.IFLA_LINKINFO]); ok {
		i.Kind = attrText(info[unix.IFLA_INFO_KIND])
	}
	r.Interfaces = append(r.Interfaces, i)
}

// addr reads a struct ifaddrmsg.
func (r *Routing) addr(body []byte, attrs map[uint16][]byte) {
	of := binary.NativeEndian.Uint32(body[4:])
	local, ok := netip.AddrFromSlice(attrs[unix.IFA_LOCAL])
	if !ok {
		local, ok = netip.AddrFromSlice(attrs[unix.IFA_ADDRESS])
	}
	at := slices.IndexFunc(r.Interfaces, func(i Interface) bool { return i.Index == of })
	if !ok || at < 0 {
		return
	}
	r.Interfaces[at].Addrs = append(r.Interfaces[at].Addrs, netip.PrefixFrom(local, int(body[1])))
}

// route reads a struct rtmsg of the main table.
func (r *Routing) route(body []byte, attrs map[uint16][]byte) {
	family, length, table, kind := body[0], int(body[1]), uint32(body[4]), body[7]
	if t, ok := attrs[unix.RTA_TABLE]; ok {
		table = attrUint32(t)
	}
	if table != unix.RT_TABLE_MAIN || kind != unix.RTN_UNICAST && kind != unix.RTN_BLACKHOLE && kind != unix.RTN_UNREACHABLE && kind != unix.RTN_PROHIBIT {
		return
	}
	addr, ok := netip.AddrFromSlice(attrs[unix.RTA_DST])
	switch {
	case ok:
	case family == unix.AF_INET && length == 0:
		addr = netip.IPv4Unspecified()
	case family == unix.AF_INET6 && length == 0:
		addr = netip.IPv6Unspecified()
	default:
		return
	}
	to, err := addr.Prefix(length)
	if err != nil {
		return
	}
	route := Route{To: to, Device: attrUint32(attrs[unix.RTA_OIF]), Metric: attrUint32(attrs[unix.RTA_PRIORITY])}
	if kind != unix.RTN_UNICAST {
		route.Device = 0
	}
	hops := attrs[unix.RTA_MULTIPATH]
	if len(hops) < unix.SizeofRtNexthop {
		r.Routes = append(r.Routes, route)
	}
	for len(hops) >= unix.SizeofRtNexthop { // struct rtnexthop
		size := int(binary.NativeEndian.Uint16(hops))
		route.Device = binary.NativeEndian.Uint32(hops[4:])
		r.Routes = append(r.Routes, route)
		if size < unix.SizeofRtNexthop || size > len(hops) {
			break
		}
		hops = hops[min((size+3)&^3, len(hops)):]
	}
}

// rule reads a struct fib_rule_hdr: the usual ones ask the tables local, main
// and default for every packet.
func (r *Routing) rule(body []byte, attrs map[uint16][]byte) {
	if body[0] != unix.AF_INET && body[0] != unix.AF_INET6 { // of multicast routing
		return
	}
	const fraSrc, fraDst, fraIif, fraPriority, fraMark, fraTable = 2, 1, 3, 6, 10, 15
	table := uint32(body[4])
	if t, ok := attrs[fraTable]; ok {
		table = attrUint32(t)
	}
	plain := body[1] == 0 && body[2] == 0 && body[7] == 1 && attrs[fraSrc] == nil && attrs[fraDst] == nil && attrs[fraIif] == nil && attrs[fraMark] == nil
	usual := map[uint32]uint32{unix.RT_TABLE_LOCAL: 0, unix.RT_TABLE_MAIN: 32766, unix.RT_TABLE_DEFAULT: 32767}
	if priority, ok := usual[table]; !ok || !plain || priority != attrUint32(attrs[fraPriority]) {
		r.Rules = true
	}
}

// sysctl reads a switch of /proc/sys/net; one that is not there is off.
func sysctl(name string) bool {
	data, err := os.ReadFile("/proc/sys/net/" + name)
	text := strings.TrimSpace(string(data))
	return err == nil && text != "0" && text != ""
}
