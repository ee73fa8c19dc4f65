package packetfilter

import (
	"net/netip"
	"runtime"
	"slices"
	"sync"

	"github.com/hostguard/hostguard/internal/nftables"
	"github.com/hostguard/hostguard/internal/xtables"
)

// passage is a flow that was traced.
type passage struct {
	class   Class
	proto   uint8
	in      *Interface
	from    Addrs
	to      []netip.Addr
	fates   []Fate
	let     []*Fate // those that get somewhere, or whose end cannot be told
	dropped []*Fate
	again   func() ([]Fate, error) // as if nothing were translated
}

// byProto are the passages of each transport protocol.
type byProto map[uint8][]passage

func (w *World) passages(endpoints []Endpoint, inside Addrs, v6 bool) (byProto, error) {
	var flows []passage
	var all []netip.Addr // all addresses that others than neighbours send to
	for _, i := range w.Interfaces {
		for _, p := range i.Addrs {
			if a := p.Addr(); a.Is6() == v6 && !a.IsLoopback() && !linkLocal.Contains(a) && (i.Entrance || i.Loopback) {
				all = append(all, a)
			}
		}
	}
	var ofLinks []netip.Addr
	for _, in := range w.Interfaces {
		if !in.Entrance {
			continue
		}
		sources := w.sources(in, v6)
		if within := sources.within(inside); len(within) > 0 {
			flows = append(flows, passage{class: Internal, in: in, from: within, to: all})
		}
		var onLink []netip.Addr
		for _, p := range in.Addrs {
			if p.Addr().Is6() == v6 && linkLocal.Contains(p.Addr()) {
				onLink = append(onLink, p.Addr())
			}
		}
		if neighbours := sources.within(linkLocal); len(neighbours) > 0 && len(onLink) > 0 {
			flows = append(flows, passage{class: Internal, in: in, from: neighbours, to: onLink})
			ofLinks = append(ofLinks, onLink...)
		}
		var facing []netip.Addr
		for _, a := range all {
			if w.owner(a) == in || !inside.Contains(a) {
				facing = append(facing, a)
			}
		}
		if beyond := sources.without(inside); len(beyond) > 0 && len(facing) > 0 {
			flows = append(flows, passage{class: Anywhere, in: in, from: beyond, to: facing})
		}
	}
	itself := w.itself(endpoints, v6)
	for _, a := range itself {
		flows = append(flows, passage{class: Loopback, from: Addrs{{a, a}}, to: []netip.Addr{a}})
	}

	var ports []uint16
	protos := map[uint8]bool{}
	for _, e := range endpoints {
		ports = append(ports, e.Local.Port())
		protos[e.Proto] = true
	}
	if w.translates() { // then there may be ports that nobody listens on
		protos[tcp], protos[udp] = true, true
	}
	var cuts []Addrs
	for _, f := range flows {
		cuts = append(cuts, f.from)
	}
	t := NewTracer(w, v6, cuts, slices.Concat(all, ofLinks, itself), ports)
	passages := byProto{}
	var work []*passage
	for proto := range protos {
		passages[proto] = slices.Clone(flows)
		for i := range passages[proto] {
			f := &passages[proto][i]
			f.again = sync.OnceValues(func() ([]Fate, error) {
				return t.Trace(Flow{Proto: proto, In: f.in, From: f.from, To: f.to, Plain: true})
			})
			f.proto = proto
			work = append(work, f)
		}
	}
	// Each is followed by itself.
	errs := make([]error, len(work))
	next := make(chan int, len(work))
	for i := range work {
		next <- i
	}
	close(next)
	var wg sync.WaitGroup
	for range min(len(work), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := range next {
				errs[i] = work[i].follow(t)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil { // the same for all
			return nil, err
		}
	}
	return passages, nil
}

// follow traces the flow.
func (p *passage) follow(t *Tracer) (err error) {
	p.fates, err = t.Trace(Flow{Proto: p.proto, In: p.in, From: p.from, To: p.to})
	for i := range p.fates {
		if f := &p.fates[i]; f.Kind == Dropped {
			p.dropped = append(p.dropped, f)
		} else {
			p.let = append(p.let, f)
		}
	}
	return err
}

// translates reports whether some rule translates destinations, or may.
func (w *World) translates() bool {
	return slices.ContainsFunc(w.Rules.Chains, func(c *nftables.Chain) bool {
		return slices.ContainsFunc(c.Rules, func(r *nftables.Rule) bool {
			return slices.ContainsFunc(r.Exprs, func(x nftables.Expr) bool {
				switch x := x.(type) {
				case nftables.NAT:
					return !x.Source
				case nftables.Redirect, nftables.Unknown, nftables.PayloadWrite:
					return true
				case nftables.Target:
					nat, ok := x.Target.(xtables.Nat)
					return !harmless(x) && (!ok || !nat.Source)
				}
				return false
			})
		})
	})
}

// itself are the host's own addresses by which it asks itself.
func (w *World) itself(endpoints []Endpoint, v6 bool) []netip.Addr {
	a := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	if v6 {
		a = []netip.Addr{netip.IPv6Loopback()}
	}
	if w.owner(a[0]) == nil {
		a = nil
	}
	add := func(addr netip.Addr) {
		if addr.Is6() == v6 && !slices.Contains(a, addr) {
			a = append(a, addr)
		}
	}
	for _, i := range w.Interfaces {
		if addr := i.first(v6); i.Entrance && addr.IsValid() {
			add(addr)
		}
	}
	for _, e := range endpoints {
		if addr := e.Local.Addr().Unmap().WithZone(""); !addr.IsUnspecified() && w.owner(addr) != nil {
			add(addr)
		}
	}
	return a
}
