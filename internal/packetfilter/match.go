package packetfilter

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/hostguard/hostguard/internal/nftables"
	"github.com/hostguard/hostguard/internal/xtables"
)

var always = condition{}

// match says when a match of iptables holds: when one of the conditions does.
// One that depends on what came before is returned as its rate.
func (e *evaluator) match(s *state, x nftables.Match) (when []condition, rate *xtables.Rate) {
	if m, ok := x.Match.(xtables.Ports); ok && m.Either != nil && !m.Either.Not {
		for _, d := range []dim{srcPort, dstPort} {
			c := e.ports(s, m)
			c.and(e.portSet(e.current(s, d), m.Either))
			when = append(when, c)
		}
		return when, nil
	}
	if m, ok := x.Match.(xtables.Rate); ok {
		return nil, &m
	}
	return []condition{e.matchOne(s, x)}, nil
}

// matchOne says when a match holds that is one condition.
func (e *evaluator) matchOne(s *state, x nftables.Match) condition {
	switch m := x.Match.(type) {
	case xtables.Always:
		return always
	case xtables.Never:
		return never
	case xtables.Ports:
		return e.ports(s, m)
	case xtables.AddressTypes:
		return e.addressTypes(s, m)
	case xtables.Conntrack:
		return e.conntrack(s, m)
	case xtables.Mark:
		of := s.mark
		if m.Connection {
			of = s.ctmark
			if !e.tracked || s.untracked {
				return never
			}
		}
		if of.unknown || e.boundary != nil {
			return condition{unsure: true}
		}
		return condition{never: (of.value&m.Mask == m.Value) == m.Not}
	case xtables.AddrRange:
		return e.addrRange(s, m)
	case xtables.ReversePath:
		return condition{never: m.Not}
	case xtables.IPsec:
		return condition{never: m.Wants}
	}
	return condition{unsure: true}
}

// complement is the condition that holds when c does not; c is about one field.
func (e *evaluator) complement(c condition) condition {
	switch {
	case c.never:
		return always
	case c.unsure:
		return c
	}
	result, some := condition{}, false
	for d := range dims {
		if !c.spans[d].given {
			continue
		}
		if some { // about two fields: that is no condition of this kind
			return condition{unsure: true}
		}
		some = true
		outside, from := []span{}, 0
		for _, s := range sorted(c.spans[d].list()) {
			if from < s.from {
				outside = append(outside, span{from, s.from})
			}
			from = max(from, s.to)
		}
		if from < len(e.u.lows[d]) {
			outside = append(outside, span{from, len(e.u.lows[d])})
		}
		result.spans[d] = listed(outside)
	}
	if !some {
		return never
	}
	return result
}

// either is the condition that one or the other holds; both about one field.
func either(a, b condition) condition {
	switch {
	case a.never:
		return b
	case b.never:
		return a
	}
	var only = dims
	for d := range dims {
		if !a.spans[d].given && !b.spans[d].given {
			continue
		}
		if only != dims || !a.spans[d].given || !b.spans[d].given {
			return condition{unsure: true}
		}
		only = d
	}
	if a.unsure || b.unsure {
		return condition{unsure: true}
	}
	if only == dims {
		return always
	}
	a.spans[only] = listed(append(a.spans[only].list(), b.spans[only].list()...))
	return a
}

func be16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

func (e *evaluator) portSet(v []value, set *xtables.PortSet) condition {
	c := never
	for _, r := range set.Ranges {
		c = either(c, e.between(v, be16(r.From), be16(r.To)))
	}
	if set.Not {
		return e.complement(c)
	}
	return c
}

func (e *evaluator) ports(s *state, m xtables.Ports) condition {
	if m.Protocol != 0 && m.Protocol != e.proto && e.boundary == nil {
		return never
	}
	var c condition
	if m.Source != nil {
		c.and(e.portSet(e.current(s, srcPort), m.Source))
	}
	if m.Dest != nil {
		c.and(e.portSet(e.current(s, dstPort), m.Dest))
	}
	if m.Either != nil && m.Either.Not { // neither is among them
		c.and(e.portSet(e.current(s, srcPort), m.Either))
		c.and(e.portSet(e.current(s, dstPort), m.Either))
	}
	if m.FlagMask != 0 {
		syn := e.equal([]value{(value{kind: unknown, sym: 0xc0, bits: 0x02}).masked(m.FlagMask, 0)}, []byte{m.FlagSet})
		if m.FlagsNot {
			syn = e.complement(syn)
		}
		c.and(syn)
	}
	if m.Option != 0 {
		c.unsure = true
	}
	return c
}

func (e *evaluator) addressTypes(s *state, m xtables.AddressTypes) condition {
	if e.boundary != nil {
		return condition{unsure: true}
	}
	has := func(types uint16, kind int) condition { return condition{never: types&(1<<kind) == 0} }
	var c condition
	if m.Source != 0 {
		kind := routeUnicast
		if e.in == nil || e.in.Loopback {
			kind = routeLocal
		}
		is := has(m.Source, kind)
		if m.LimitIn || m.LimitOut {
			is = condition{unsure: true}
		}
		if m.NotSource {
			is = e.complement(is)
		}
		c.and(is)
	}
	if m.Dest != 0 {
		var on *Interface
		switch {
		case m.LimitIn:
			on = e.in
		case m.LimitOut:
			on = e.out
		}
		local, ok := e.localDest(s, on)
		is := condition{unsure: true}
		switch asLocal, asOther := m.Dest&(1<<routeLocal) != 0, m.Dest&(1<<routeUnicast) != 0; {
		case asLocal && asOther:
			is = always
		case !asLocal && !asOther:
			is = never
		case !ok:
		case asLocal:
			is = local
		default:
			is = e.complement(local)
		}
		if m.NotDest {
			is = e.complement(is)
		}
		c.and(is)
	}
	return c
}

// conntrack follows conntrack_mt of the kernel's xt_conntrack.c.
func (e *evaluator) conntrack(s *state, m xtables.Conntrack) condition {
	if e.boundary == nil && m.Flags&xtables.CTState != 0 {
		bits := uint16(xtables.StateNew)
		switch {
		case s.untracked:
			bits = xtables.StateUntracked
		case !e.tracked:
			bits = xtables.StateInvalid
		case s.to != nil:
			bits |= xtables.StateDNAT
		}
		if s.snat {
			bits |= xtables.StateSNAT
		}
		if (m.State&bits != 0) == (m.Not&xtables.CTState != 0) {
			return never
		}
	}
	if e.boundary == nil && (!e.tracked || s.untracked) {
		return condition{never: m.Flags&xtables.CTState == 0}
	}
	c := condition{unsure: e.boundary != nil}
	and := func(bit uint16, is condition) {
		if m.Flags&bit == 0 {
			return
		}
		if m.Not&bit != 0 {
			is = e.complement(is)
		}
		c.and(is)
	}
	and(xtables.CTDirection, always)
	tuple := [4][]value{e.original(s, srcAddr), e.original(s, dstAddr), e.current(s, dstAddr), e.current(s, srcAddr)}
	for i, v := range tuple {
		masked := make([]value, len(v))
		for j := range v {
			masked[j] = v[j].masked(m.Addrs[i].Mask[j], 0)
		}
		and(xtables.CTOrigSrc<<i, e.equal(masked, m.Addrs[i].Addr[:len(v)]))
	}
	and(xtables.CTProtocol, condition{never: uint16(e.proto) != m.Protocol})
	ports := [4][]value{e.original(s, srcPort), e.original(s, dstPort), e.current(s, dstPort), e.current(s, srcPort)}
	for i, v := range ports {
		r := m.OrigPort[i%2]
		if i >= 2 {
			r = m.ReplPort[i%2]
		}
		and(xtables.CTOrigSPort<<i, e.between(v, be16(r.From), be16(r.To)))
	}
	if m.Flags&xtables.CTStatus != 0 {
		status, _ := e.ct(s, nftables.CT{Key: ctStatus})
		is := condition{unsure: true}
		// NONE asks for no bit at all, which the kernel's own bits decide.
		if m.Status != 0 && m.Status&^0x3f == 0 && len(status) == 4 {
			is = condition{never: uint16(status[0].bits&0x3f)&m.Status == 0}
		}
		and(xtables.CTStatus, is)
	}
	if m.Flags&xtables.CTExpires != 0 {
		c.unsure = true
	}
	return c
}

func (e *evaluator) addrRange(s *state, m xtables.AddrRange) condition {
	var c condition
	and := func(r *[2]netip.Addr, d dim, not bool) {
		if r == nil {
			return
		}
		is := e.between(e.current(s, d), r[0].AsSlice(), r[1].AsSlice())
		if not {
			is = e.complement(is)
		}
		c.and(is)
	}
	and(m.Source, srcAddr, m.NotSource)
	and(m.Dest, dstAddr, m.NotDest)
	return c
}

func sorted(list []span) []span {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b span) int { return a.from - b.from })
	return list
}
