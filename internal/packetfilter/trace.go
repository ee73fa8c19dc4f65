package packetfilter

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hostguard/hostguard/internal/nftables"
)

// A Flow is the packets that are followed together.
type Flow struct {
	Proto uint8      // tcp 6, udp 17
	In    *Interface // that they come by; nil: the host itself sends them
	From  Addrs      // their sources
	To    []netip.Addr
	Plain bool // as if nothing translated them
}

// Addrs is a set of addresses: ranges, both ends included.
type Addrs []AddrRange

// AddrRange is a range of addresses.
type AddrRange struct{ From, To netip.Addr }

// Kind is what becomes of packets.
type Kind uint8

// What becomes of packets.
const (
	Delivered Kind = iota // they reach the host's own sockets
	Forwarded             // they leave for another host or a container
	Dropped
	Lost // nobody can tell
)

// A Fate is what becomes of some of the packets of a flow.
type Fate struct {
	Kind  Kind
	Sure  bool
	By    *Place // what let them through, or dropped them
	Out   *Interface
	SNAT  bool // the source is translated
	u     *universe
	state *state
	why   reason
}

// Why names what could not be told, of a fate that is not sure.
func (f *Fate) Why() string { return f.why.String() }

// Arrives is where packets sent to an address and port arrive. It is not ok
// when they are not among those of this fate.
func (f *Fate) Arrives(addr netip.Addr, port uint16) (at netip.AddrPort, ok bool) {
	a, p := f.u.value(dstAddr, addrNumber(addr)), f.u.value(dstPort, number{0, uint64(port)})
	if a < 0 || p < 0 || !f.state.region[dstAddr].has(a) || !f.state.region[dstPort].has(p) {
		return netip.AddrPort{}, false
	}
	if to := f.state.to; to != nil {
		if to.setsAddr {
			addr = to.addr.addr(f.u.v6)
		}
		if to.setsPort {
			port = to.port
		}
	}
	return netip.AddrPortFrom(addr, port), true
}

// Ports are the ports that packets of this fate are sent to.
func (f *Fate) Ports() []uint16 {
	var ports []uint16
	for i, low := range f.u.lows[dstPort] {
		if f.state.region[dstPort].has(i) {
			ports = append(ports, uint16(low.lo))
		}
	}
	return ports
}

// Translated reports whether their destination is another than they were sent to.
func (f *Fate) Translated() bool { return f.state.to != nil }

// Sources are the sources within a set from which packets fare like this, as a
// set of atoms that Witness and the other methods understand.
func (f *Fate) Sources(within Addrs) Sources {
	b := newBitset(len(f.u.lows[srcAddr]))
	for _, r := range within {
		if r.From.Is6() == f.u.v6 {
			b.add(f.u.span(srcAddr, addrNumber(r.From), addrNumber(r.To)))
		}
	}
	return Sources{f.u, b.and(f.state.region[srcAddr])}
}

// From reports whether packets from an address are among those of this fate.
func (f *Fate) From(a netip.Addr) bool {
	lows := f.u.lows[srcAddr]
	i, exact := slices.BinarySearchFunc(lows, addrNumber(a), compareNumbers)
	if !exact {
		i--
	}
	return a.Is6() == f.u.v6 && i >= 0 && f.state.region[srcAddr].has(i)
}

// Sources is a set of source addresses.
type Sources struct {
	u *universe
	b bitset
}

// Empty reports whether there is none.
func (s Sources) Empty() bool { return s.b.empty() }

// Without returns the sources that are not in t.
func (s Sources) Without(t Sources) Sources { return Sources{s.u, s.b.minus(t.b)} }

// Or returns the sources that are in s or t.
func (s Sources) Or(t Sources) Sources { return Sources{s.u, s.b.or(t.b)} }

// Witness is one of the addresses, and not the first of a network where there
// are others: that one is nobody's.
func (s Sources) Witness() netip.Addr {
	at := s.b.first()
	if at < 0 {
		return netip.Addr{}
	}
	lows := s.u.lows[srcAddr]
	low := lows[at]
	for range 9 {
		if next := low.next(); at+1 == len(lows) || next.less(lows[at+1]) {
			low = next
		}
	}
	return low.addr(s.u.v6)
}

// SourcePort is a port that they come from, 0 when any unprivileged one will do.
func (f *Fate) SourcePort() uint16 {
	lows, b := f.u.lows[srcPort], f.state.region[srcPort]
	for i := range lows {
		if b.has(i) && (i+1 == len(lows) || lows[i+1].lo > 32768) {
			return 0
		}
	}
	for i := range lows {
		if b.has(i) && lows[i].lo != 0 {
			return uint16(lows[i].lo)
		}
	}
	return 1
}

func (u *universe) value(d dim, n number) int {
	i, ok := slices.BinarySearchFunc(u.lows[d], n, compareNumbers)
	if !ok {
		return -1
	}
	return i
}

// A Tracer follows flows of one address family.
type Tracer struct {
	w      *World
	u      *universe
	budget atomic.Int64
	guards sync.Map // guardsOf → []guard
}

// NewTracer prepares for flows of IPv4 or IPv6: sources are cut where any of
// cuts begins or ends and where a rule does, destinations are the addresses and
// ports given, and the ports that rules name which translate.
func NewTracer(w *World, v6 bool, cuts []Addrs, to []netip.Addr, ports []uint16) *Tracer {
	u := &universe{v6: v6}
	add := func(d dim, lo, hi number) {
		u.lows[d] = append(u.lows[d], lo)
		if next := hi.next(); next != (number{}) {
			u.lows[d] = append(u.lows[d], next)
		}
	}
	for _, d := range []dim{srcAddr, srcPort} {
		u.lows[d] = append(u.lows[d], number{})
	}
	for _, set := range cuts {
		for _, r := range set {
			if r.From.Is6() == v6 {
				add(srcAddr, addrNumber(r.From), addrNumber(r.To))
			}
		}
	}
	for _, a := range to {
		if a.Is6() == v6 {
			u.lows[dstAddr] = append(u.lows[dstAddr], addrNumber(a))
		}
	}
	for _, p := range ports {
		u.lows[dstPort] = append(u.lows[dstPort], number{0, uint64(p)})
	}
	top := number{0, 1<<32 - 1}
	if v6 {
		top = number{^uint64(0), ^uint64(0)}
	}
	translates := false
	e := &evaluator{w: w, u: u, v6: v6, proto: tcp, tracked: true, in: unclearInterface, out: unclearInterface}
	e.boundary = func(d dim, lo, hi number) {
		switch {
		case d == srcAddr || d == srcPort:
			add(d, lo, hi)
		case d == dstPort && translates:
			add(d, lo, hi)
		}
	}
	var none []*state
	var nothing []drop
	e.lost, e.dropped = &none, &nothing
	blank := &state{}
	for _, c := range w.Rules.Chains {
		if !concerns(c, v6) {
			continue
		}
		for _, r := range c.Rules {
			if !effective(r) {
				continue
			}
			translates = translating(c, r)
			e.try(r, blank)
			none, nothing = none[:0], nothing[:0]
		}
	}
	for d := range dims {
		limit := number{0, 65535}
		if d == srcAddr || d == dstAddr {
			limit = top
		}
		u.lows[d] = slices.DeleteFunc(u.lows[d], func(n number) bool { return limit.less(n) })
		slices.SortFunc(u.lows[d], compareNumbers)
		u.lows[d] = slices.Compact(u.lows[d])
	}
	t := &Tracer{w: w, u: u}
	t.budget.Store(maxSteps)
	return t
}

// translating reports whether a rule may lead to a translation of ports: one of
// a chain of type nat, or of one that is only jumped to.
func translating(c *nftables.Chain, r *nftables.Rule) bool {
	if c.Base != nil {
		return c.Base.NAT
	}
	if c.Legacy {
		return c.Table == "nat"
	}
	return slices.ContainsFunc(r.Exprs, func(x nftables.Expr) bool {
		switch x := x.(type) {
		case nftables.NAT, nftables.Redirect:
			return true
		case nftables.Target:
			return !harmless(x)
		case nftables.Verdict:
			return x.Code == nftables.Jump || x.Code == nftables.Goto
		case nftables.Lookup:
			return x.To == nftables.VerdictRegister
		}
		return false
	})
}

func concerns(c *nftables.Chain, v6 bool) bool {
	switch c.Family {
	case nftables.Inet, nftables.Netdev:
		return true
	case nftables.IPv4:
		return !v6
	case nftables.IPv6:
		return v6
	}
	return false
}

// Trace says what becomes of the packets of a flow. They are of the ports and
// to those of the addresses that the tracer was made for.
func (t *Tracer) Trace(f Flow) ([]Fate, error) {
	var lost []*state
	var dropped []drop
	e := &evaluator{w: t.w, u: t.u, v6: t.u.v6, proto: f.Proto, plain: f.Plain, budget: &t.budget, known: &t.guards, lost: &lost, dropped: &dropped}
	start := &state{}
	for d := range dims {
		start.region[d] = newBitset(len(t.u.lows[d]))
	}
	for _, r := range f.From {
		if r.From.Is6() == t.u.v6 {
			start.region[srcAddr].add(t.u.span(srcAddr, addrNumber(r.From), addrNumber(r.To)))
		}
	}
	start.region[srcPort].add(span{0, len(t.u.lows[srcPort])})
	start.region[dstPort].add(span{0, len(t.u.lows[dstPort])})
	for _, a := range f.To {
		if i := t.u.value(dstAddr, addrNumber(a)); a.Is6() == t.u.v6 && i >= 0 {
			start.region[dstAddr].add(span{i, i + 1})
		}
	}
	for d := range dims {
		if start.region[d].empty() {
			return nil, nil
		}
	}
	var fates []Fate
	if f.In == nil {
		fates = e.sent(start)
	} else {
		fates = e.received(start, f.In)
	}
	for _, d := range dropped {
		fates = append(fates, Fate{Kind: Dropped, Sure: !d.unsure, By: d.place, u: t.u, state: d.state, why: d.why})
	}
	for _, s := range lost {
		fates = append(fates, Fate{Kind: Lost, u: t.u, state: s, why: s.why})
	}
	return fates, e.err
}

// received follows packets that come by an interface.
func (e *evaluator) received(start *state, in *Interface) []Fate {
	e.in = in
	states := e.at(nftables.Ingress, []*state{start})
	states = e.at(nftables.Prerouting, states)
	var fates []Fate
	local, forward := e.route(states)
	fates = append(fates, e.deliver(e.at(nftables.Input, local))...)
	for out, states := range forward {
		if !in.forwards(e.v6) {
			e.refuse(states, "packets for others are not forwarded (ip_forward)")
			continue
		}
		e.in, e.out = in, out
		fates = append(fates, e.leave(e.at(nftables.Forward, states), out)...)
	}
	return fates
}

// sent follows packets of the host itself to its own addresses.
func (e *evaluator) sent(start *state) []Fate {
	lo := e.w.loopback()
	e.out = lo
	states := e.at(nftables.Output, []*state{start})
	for i, s := range states {
		t := *s
		t.natDone = true
		states[i] = &t
	}
	var fates []Fate
	local, forward := e.route(states)
	e.out = lo
	local = e.at(nftables.Postrouting, local)
	e.in, e.out = lo, nil
	local = e.at(nftables.Prerouting, local)
	fates = append(fates, e.deliver(e.at(nftables.Input, local))...)
	for out, states := range forward {
		e.in, e.out = nil, out
		fates = append(fates, e.leave(states, out)...)
	}
	return fates
}

func (i *Interface) forwards(v6 bool) bool {
	if v6 {
		return i.Forward6
	}
	return i.Forward4
}

func (w *World) loopback() *Interface {
	for _, i := range w.Interfaces {
		if i.Loopback {
			return i
		}
	}
	return unclearInterface
}

func (e *evaluator) refuse(states []*state, why string) {
	for _, s := range states {
		*e.dropped = append(*e.dropped, drop{s, &Place{Text: why}})
	}
}

func (e *evaluator) deliver(states []*state) []Fate {
	var fates []Fate
	for _, s := range states {
		fates = append(fates, Fate{Kind: Delivered, Sure: !s.unsure, By: s.by, SNAT: s.snat, u: e.u, state: s, why: s.why})
	}
	return fates
}

func (e *evaluator) leave(states []*state, out *Interface) []Fate {
	in := e.in
	states = e.at(nftables.Postrouting, states)
	var fates []Fate
	for _, s := range states {
		bridged := out.Bridge && slices.ContainsFunc(e.w.Rules.Chains, func(c *nftables.Chain) bool {
			return c.Family == nftables.Bridge && c.Base != nil && (c.Base.Drop || len(c.Rules) > 0)
		})
		sure := !s.unsure && out != unclearInterface && !bridged
		fates = append(fates, Fate{Kind: Forwarded, Sure: sure, By: s.by, Out: out, SNAT: s.snat, u: e.u, state: s, why: s.why})
	}
	e.in = in
	return fates
}

// route divides packets into those for the host and those for others, by the
// interface that they leave by.
func (e *evaluator) route(states []*state) (local []*state, forward map[*Interface][]*state) {
	forward = map[*Interface][]*state{}
	for _, s := range states {
		if s.to != nil && s.to.unclear {
			*e.lost = append(*e.lost, s.doubt(s.why))
			continue
		}
		if s.to == nil || !s.to.setsAddr {
			local = append(local, s)
			continue
		}
		addr := s.to.addr.addr(e.v6)
		if owner := e.w.owner(addr); owner != nil {
			if addr.IsLoopback() && e.in != nil && !e.in.Loopback && (e.v6 || !e.in.RouteLocalhost) {
				e.refuse([]*state{s}, "packets from outside for a loopback address are dropped (route_localnet)")
				continue
			}
			local = append(local, s)
			continue
		}
		out := e.w.Route(addr)
		if e.w.Policy {
			out = unclearInterface
		}
		if out == nil {
			e.refuse([]*state{s}, "no route leads to "+addr.String())
			continue
		}
		forward[out] = append(forward[out], s)
	}
	return local, forward
}

// Priorities at which the kernel itself acts (linux/netfilter_ipv4.h).
const (
	priorityConntrack = -200
	priorityDNAT      = -100
	prioritySNAT      = 100
)

// at sends states through all base chains of a hook. Those that are left are
// returned.
func (e *evaluator) at(hook nftables.Hook, states []*state) []*state {
	if len(states) == 0 {
		return nil
	}
	e.hook = hook
	if hook == nftables.Ingress || hook == nftables.Prerouting || hook == nftables.Input {
		e.out = nil
	}
	type step struct {
		chain    *nftables.Chain
		priority int32
	}
	var steps []step
	for _, c := range e.w.Rules.Chains {
		if c.Base == nil || c.Base.Hook != hook || !concerns(c, e.v6) || hook != nftables.Ingress && c.Family == nftables.Netdev {
			continue
		}
		if hook == nftables.Ingress && !slices.Contains(c.Base.Devices, e.in.Name) {
			continue
		}
		p := c.Base.Priority
		if c.Base.NAT { // all at the same place, one after the other
			p = priorityDNAT
			if hook == nftables.Input || hook == nftables.Postrouting {
				p = prioritySNAT
			}
		}
		steps = append(steps, step{c, p})
	}
	slices.SortStableFunc(steps, func(a, b step) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.chain.Base.Priority, b.chain.Base.Priority))
	})
	dnat := hook == nftables.Prerouting || hook == nftables.Output
	arrived := hook == nftables.Input || hook == nftables.Forward || hook == nftables.Postrouting || e.in != nil && e.in.Loopback
	for _, st := range steps {
		if len(states) == 0 || e.err != nil {
			break
		}
		c := st.chain
		e.tracked = hook != nftables.Ingress && (arrived || st.priority > priorityConntrack)
		e.nat = c.Base.NAT
		through, past := states, []*state(nil)
		if c.Base.NAT && e.plain {
			continue
		}
		if c.Base.NAT {
			through = nil
			for _, s := range states {
				if s.untracked || dnat && s.natDone || !dnat && s.snat {
					past = append(past, s)
				} else {
					through = append(through, s)
				}
			}
		}
		ended, accepted := e.walk(c, through, 0)
		policy := &Place{Chain: c}
		for _, s := range ended {
			if c.Base.Drop {
				*e.dropped = append(*e.dropped, drop{s, policy})
				continue
			}
			if s.by == nil && !c.Base.NAT && len(c.Rules) > 0 {
				t := *s
				t.by = policy
				s = &t
			}
			accepted = append(accepted, s)
		}
		states = append(accepted, past...)
		if len(states) <= 64 {
			states = merge(states)
		}
	}
	if e.err != nil {
		return nil
	}
	return states
}
