package packetfilter

import "github.com/hostguard/hostguard/internal/nftables"

// A guard is what must be so of a packet for a rule to hold, as far as the
// rule's first comparisons tell: most rules are passed over by it.
type guard struct {
	idle  bool // the rule changes nothing
	never bool // it holds for no packet of the family and protocol
	given bool // the field d lies in from..to-1
	d     dim
	from  int32
	to    int32
}

// excludes reports whether a rule cannot hold for any packet of a state.
func (g *guard) excludes(s *state) bool {
	return g.never || g.given && (g.d < dstAddr || s.to == nil) && !s.region[g.d].within(span{int(g.from), int(g.to)})
}

type guardsOf struct {
	chain *nftables.Chain
	proto uint8
}

// guards are those of a chain's rules. They are the same for all flows of a
// protocol, and made once.
func (e *evaluator) guards(c *nftables.Chain) []guard {
	if e.known == nil {
		return e.makeGuards(c)
	}
	if made, ok := e.known.Load(guardsOf{c, e.proto}); ok {
		return made.([]guard)
	}
	made, _ := e.known.LoadOrStore(guardsOf{c, e.proto}, e.makeGuards(c))
	return made.([]guard)
}

func (e *evaluator) makeGuards(c *nftables.Chain) []guard {
	all := make([]guard, len(c.Rules))
	for i, r := range c.Rules {
		all[i] = e.guard(r)
	}
	return all
}

// guard looks at the comparisons that a rule begins with. What it loads in
// between has no effect; what depends on where the packet is counts as unknown.
func (e *evaluator) guard(r *nftables.Rule) guard {
	if !effective(r) {
		return guard{idle: true}
	}
	var regs registers
	untranslated := &state{}
	forget := func(at, n int) {
		for i := max(at, 0); i < min(at+n, len(regs)); i++ {
			regs[i] = value{kind: unknown, sym: 0xff}
		}
	}
	for _, x := range r.Exprs {
		switch x := x.(type) {
		case nftables.Plain:
		case nftables.Payload:
			forget(x.To, (x.Len+3)/4*4)
			if x.Base == nftables.NetworkHeader || x.Base == nftables.TransportHeader {
				e.payload(untranslated, x, regs[x.To:x.To+x.Len])
			}
		case nftables.Meta:
			forget(x.To, 16)
			if x.Key == metaNfproto || x.Key == metaL4proto {
				put(&regs, x.To, e.meta(untranslated, x.Key), 4)
			}
		case nftables.CT:
			forget(x.To, 16)
		case nftables.Cmp:
			if x.Op != nftables.Equal {
				continue
			}
			loaded := regs[x.From : x.From+len(x.Data)]
			c := e.equal(loaded, x.Data)
			if c.never {
				// A destination that nobody sends to may be translated to.
				for _, v := range loaded {
					if v.kind >= field && dim(v.kind-field) >= dstAddr {
						return guard{given: true, d: dim(v.kind - field)}
					}
				}
				return guard{never: true}
			}
			if c.unsure {
				continue
			}
			for d := range dims {
				if of := &c.spans[d]; of.given && len(of.more) == 0 {
					return guard{given: true, d: d, from: int32(of.one.from), to: int32(of.one.to)}
				}
			}
		default:
			return guard{}
		}
	}
	return guard{}
}
