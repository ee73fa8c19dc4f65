package packetfilter

import (
	"net/netip"
	"slices"
)

// Prefixes makes a set of networks.
func Prefixes(prefixes ...netip.Prefix) Addrs {
	var a Addrs
	for _, p := range prefixes {
		v6 := p.Addr().Is6()
		a = a.plus(AddrRange{prefixLow(p).addr(v6), prefixHigh(p).addr(v6)})
	}
	return a
}

// plus adds a range.
func (a Addrs) plus(r AddrRange) Addrs { return append(a.minus(r), r) }

// minus takes a range out.
func (a Addrs) minus(r AddrRange) Addrs {
	var left Addrs
	for _, x := range a {
		if x.From.Is6() != r.From.Is6() || r.To.Less(x.From) || x.To.Less(r.From) {
			left = append(left, x)
			continue
		}
		if x.From.Less(r.From) {
			left = append(left, AddrRange{x.From, r.From.Prev()})
		}
		if r.To.Less(x.To) {
			left = append(left, AddrRange{r.To.Next(), x.To})
		}
	}
	return left
}

// without takes a set out.
func (a Addrs) without(b Addrs) Addrs {
	for _, r := range b {
		a = a.minus(r)
	}
	return a
}

// within returns what is in both.
func (a Addrs) within(b Addrs) Addrs { return a.without(a.without(b)) }

// Contains reports whether an address is in the set.
func (a Addrs) Contains(addr netip.Addr) bool {
	return slices.ContainsFunc(a, func(r AddrRange) bool {
		return r.From.Is6() == addr.Is6() && !addr.Less(r.From) && !r.To.Less(addr)
	})
}

// nobody are addresses that no packet of a network comes from.
var nobody = Prefixes(
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("::/8"), netip.MustParsePrefix("ff00::/8"),
)

// linkLocal are addresses that do not leave a link.
var linkLocal = Prefixes(netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"))

// sources are the addresses from which packets come by an interface: those to
// which the host would answer by it. With policy routing that can be any.
func (w *World) sources(in *Interface, v6 bool) Addrs {
	everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if v6 {
		everything = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	var a Addrs
	if w.Policy {
		a = Prefixes(everything)
	} else {
		routes := slices.Clone(w.Routes)
		slices.SortStableFunc(routes, func(a, b Route) int { // the longer ones decide; of the same, those by in
			if a.To.Bits() != b.To.Bits() {
				return a.To.Bits() - b.To.Bits()
			}
			return boolInt(a.Via == in) - boolInt(b.Via == in)
		})
		for _, r := range routes {
			if r.To.Addr().Is6() != v6 {
				continue
			}
			of := Prefixes(r.To)[0]
			if a = a.minus(of); r.Via == in {
				a = append(a, of)
			}
		}
	}
	a = a.without(nobody)
	for _, i := range w.Interfaces {
		for _, p := range i.Addrs {
			if p.Addr().Is6() == v6 {
				a = a.minus(AddrRange{p.Addr(), p.Addr()})
				if network := Prefixes(p.Masked())[0]; !v6 && p.Bits() < 31 { // the first and the last mean all
					a = a.minus(AddrRange{network.From, network.From}).minus(AddrRange{network.To, network.To})
				}
			}
		}
	}
	return a
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// PrivateNetworks are those of RFC 1918 and RFC 4193: internal, unless told
// otherwise.
var PrivateNetworks = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7"),
}
