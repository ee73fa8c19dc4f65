// Package packetfilter follows the first packet of a connection through a
// host: through the rules of its packet filter (nftables, iptables), their
// translations and the routing decision, to a socket of the host or to a
// container, or to the rule that drops it.
//
// Packets are followed as sets: all source addresses and ports at once, and all
// destinations that are asked about. What can be told only in part (a limit, an
// extension that is not known) goes both ways and makes the outcome unsure. A
// limit is taken to be quiet: one packet after a long silence.
package packetfilter

import (
	"net/netip"
	"slices"

	"github.com/hostguard/hostguard/internal/nftables"
)

// A World is what decides about packets on a host.
type World struct {
	Rules      *nftables.Ruleset
	Interfaces []*Interface
	Routes     []Route // of the main table
	Policy     bool    // there are routing rules besides the usual three
	Unclear    string  // why an answer of "no" would be rash; empty: it is not
}

// An Interface is a network device of the host.
type Interface struct {
	Name           string
	Index          uint32
	Type           uint16 // ARPHRD_*
	Loopback       bool
	Addrs          []netip.Prefix // address and length of the network, in the kernel's order
	Forward4       bool           // packets that come by it are forwarded
	Forward6       bool
	RouteLocalhost bool // packets for 127.0.0.0/8 are taken (route_localnet)
	Entrance       bool // packets of others than the host and its containers come by it
	Bridge         bool
}

// A Route leads packets for a network to an interface.
type Route struct {
	To     netip.Prefix
	Metric uint32
	Via    *Interface // nil: they are refused or thrown away
}

// unclearInterface stands for one that cannot be told.
var unclearInterface = &Interface{Name: "?"}

// first is the address that is the interface's own in the first place.
func (i *Interface) first(v6 bool) netip.Addr {
	for _, p := range i.Addrs {
		if p.Addr().Is6() == v6 && !(v6 && p.Addr().IsLinkLocalUnicast()) {
			return p.Addr()
		}
	}
	for _, p := range i.Addrs {
		if p.Addr().Is6() == v6 {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// owner is the interface that has an address, nil when the host has it not.
func (w *World) owner(a netip.Addr) *Interface {
	for _, i := range w.Interfaces {
		if slices.ContainsFunc(i.Addrs, func(p netip.Prefix) bool { return p.Addr() == a }) {
			return i
		}
		if i.Loopback && a.Is4() && a.IsLoopback() {
			return i
		}
	}
	return nil
}

// Route is the interface that packets for an address leave by, nil when they
// cannot leave.
func (w *World) Route(a netip.Addr) *Interface {
	var best *Route
	for i := range w.Routes {
		r := &w.Routes[i]
		if !r.To.Contains(a) {
			continue
		}
		if best == nil || r.To.Bits() > best.To.Bits() || r.To.Bits() == best.To.Bits() && r.Metric < best.Metric {
			best = r
		}
	}
	if best == nil {
		return nil
	}
	return best.Via
}
