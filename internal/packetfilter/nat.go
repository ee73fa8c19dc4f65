package packetfilter

import (
	"encoding/binary"
	"slices"

	"github.com/hostguard/hostguard/internal/nftables"
	"github.com/hostguard/hostguard/internal/xtables"
)

// harmless reports whether a target never changes what becomes of a packet.
func harmless(t nftables.Target) bool {
	_, ok := t.Target.(xtables.Continue)
	return ok
}

// target does what a target of iptables does.
func (e *evaluator) target(why reason, x nftables.Target, s *state, r *result) *state {
	switch t := x.Target.(type) {
	case xtables.Continue:
		return s
	case xtables.Verdict:
		e.drop(s, why.rule)
		return nil
	case xtables.NoTrack:
		changed := *s
		changed.untracked = true
		return &changed
	case xtables.SetMark:
		changed := *s
		m := &changed.mark
		if t.Connection {
			m = &changed.ctmark
		}
		switch {
		case t.Copy && s.mark == s.ctmark:
		case t.Copy:
			m.unknown = true
		default:
			m.value = m.value&^t.Mask ^ t.Value
		}
		return &changed
	case xtables.Nat:
		switch {
		case t.Source:
			e.translated(s, r)
		case t.Redirect:
			e.redirect(why.rule, s, portRange{t.PortMin, t.PortMax, t.PortMin != 0, false}, r)
		default:
			to := target{by: why.rule, setsAddr: t.Min.IsValid(), setsPort: t.PortMin != 0, port: t.PortMin}
			to.unclear = t.Min != t.Max || t.PortMin != t.PortMax
			if to.setsAddr {
				to.addr = addrNumber(t.Min)
			}
			e.send(s, to, r)
		}
		return nil
	}
	// It may end the chain or not, or send the packet elsewhere.
	u := s.doubt(why)
	*e.lost = append(*e.lost, u)
	return u
}

// translated ends a chain with a source translation.
func (e *evaluator) translated(s *state, r *result) {
	t := *s
	t.snat = true
	r.accepted = append(r.accepted, &t)
}

// send ends a chain with a destination translation.
func (e *evaluator) send(s *state, to target, r *result) {
	t := *s
	if !s.untracked && (to.setsAddr || to.setsPort) {
		t.to = &to
	}
	t.natDone = true
	r.accepted = append(r.accepted, &t)
}

// portRange is the ports that a translation chooses from.
type portRange struct {
	min, max uint16
	set      bool
	unclear  bool
}

func portOf(regs *registers, min, max int) portRange {
	if min < 0 {
		return portRange{}
	}
	lo, ok := bytesOf(regs, min, 2)
	hi, ok2 := lo, ok
	if max >= 0 && max != min {
		hi, ok2 = bytesOf(regs, max, 2)
	}
	return portRange{binary.BigEndian.Uint16(lo), binary.BigEndian.Uint16(hi), true, !ok || !ok2}
}

func bytesOf(regs *registers, at, n int) ([]byte, bool) {
	b := make([]byte, n)
	if at+n > len(regs) {
		return b, false
	}
	for i := range b {
		if regs[at+i].kind != known {
			return b, false
		}
		b[i] = regs[at+i].bits
	}
	return b, true
}

// redirect sends packets to the host: to the first address of the interface
// they came by, or to the loopback address when the host sent them.
func (e *evaluator) redirect(rule *nftables.Rule, s *state, ports portRange, r *result) {
	to := target{by: rule, setsAddr: true, setsPort: ports.set, port: ports.min, unclear: ports.unclear || ports.min != ports.max}
	switch {
	case e.in == nil && e.v6:
		to.addr = number{0, 1}
	case e.in == nil:
		to.addr = number{0, 127<<24 | 1}
	default:
		addr := e.in.first(e.v6)
		if !addr.IsValid() {
			e.drop(s, rule)
			return
		}
		to.addr = addrNumber(addr)
	}
	e.send(s, to, r)
}

// translate does what the nat expression does.
func (e *evaluator) translate(why reason, x nftables.NAT, w work, r *result) *state {
	switch {
	case x.Family != nftables.Inet && (x.Family == nftables.IPv6) != e.v6:
		return w.s // of the other family in a table of both
	case x.Source:
		e.translated(w.s, r)
		return nil
	case x.Other:
		e.lose(w.s, why)
		return nil
	}
	to := target{by: why.rule}
	if x.AddrMin >= 0 {
		n := e.u.width(dstAddr)
		lo, ok := bytesOf(w.regs, x.AddrMin, n)
		hi, ok2 := lo, ok
		if x.AddrMax >= 0 {
			hi, ok2 = bytesOf(w.regs, x.AddrMax, n)
		}
		to.setsAddr, to.addr = true, numberOf(lo)
		to.unclear = !ok || !ok2 || !slices.Equal(lo, hi)
	}
	ports := portOf(w.regs, x.PortMin, x.PortMax)
	to.setsPort, to.port = ports.set, ports.min
	to.unclear = to.unclear || ports.unclear || ports.min != ports.max
	e.send(w.s, to, r)
	return nil
}
