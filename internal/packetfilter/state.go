package packetfilter

import (
	"slices"

	"github.com/hostguard/hostguard/internal/nftables"
)

// A state is a set of packets that have fared alike so far.
type state struct {
	region
	to        *target // after a translation of the destination
	mark      mark
	ctmark    mark
	untracked bool
	natDone   bool // the destination is decided: translated, or not
	snat      bool // the source is translated
	unsure    bool // whether packets get here depends on what could not be told
	why       reason
	by        *Place // what let it through so far
}

// mark is a packet's or a connection's mark.
type mark struct {
	value   uint32
	unknown bool
}

// target is where a translation sends packets; what is not set stays.
type target struct {
	addr     number
	port     uint16
	setsAddr bool
	setsPort bool
	unclear  bool // one of several
	by       *nftables.Rule
}

// A reason is why something could not be told: an expression of a rule.
type reason struct {
	rule *nftables.Rule
	at   int
}

func (r reason) String() string {
	if r.rule == nil {
		return "the kernel's own decision"
	}
	return r.rule.Describe(r.at) + " in " + r.rule.Place()
}

// A Place is what decided: a rule, a chain's policy, or the kernel.
type Place struct {
	Chain *nftables.Chain
	Rule  *nftables.Rule // nil: the chain's policy
	Text  string         // without a chain: what the kernel does by itself
}

// String names the place: `ip filter INPUT rule 7: tcp dport 22 accept`.
func (p *Place) String() string {
	switch {
	case p == nil:
		return "no rule"
	case p.Chain == nil:
		return p.Text
	case p.Rule == nil && p.Chain.Base != nil && p.Chain.Base.Drop:
		return p.Chain.String() + " policy drop"
	case p.Rule == nil:
		return p.Chain.String() + " policy accept"
	}
	return p.Rule.String()
}

func (s *state) with(r region) *state {
	t := *s
	t.region = r
	return &t
}

func (s *state) doubt(why reason) *state {
	t := *s
	t.unsure = true
	if t.why == (reason{}) {
		t.why = why
	}
	return &t
}

// misses reports whether a condition holds for none of a state's packets.
func (s *state) misses(c *condition) bool {
	if c.never {
		return true
	}
	for d := range dims {
		if of := &c.spans[d]; of.given && len(of.more) == 0 && !s.region[d].within(of.one) {
			return true
		}
	}
	return false
}

// split divides a state by a condition. The unsure parts come as well among
// the one as among the other.
func (e *evaluator) split(s *state, c condition, why reason) (in, out []*state) {
	if c.never {
		return nil, []*state{s}
	}
	inside := s.region
	divided := false
	for d := range dims {
		if !c.spans[d].given {
			continue
		}
		list := c.spans[d].list()
		some, others := inside[d].cover(list)
		if !some {
			return nil, []*state{s}
		}
		if !others {
			continue
		}
		var rest bitset
		divided = true
		before := inside
		inside[d], rest = inside[d].split(list)
		before[d] = rest
		out = append(out, s.with(before))
	}
	matched := s
	if divided {
		matched = s.with(inside)
	}
	if c.unsure {
		m := matched.doubt(why)
		return []*state{m}, append(out, m)
	}
	return []*state{matched}, out
}

// merge joins states that differ in one field only.
func merge(states []*state) []*state {
	for i := 0; i < len(states); i++ {
		for j := i + 1; j < len(states); {
			d, ok := mergeable(states[i], states[j])
			if !ok {
				j++
				continue
			}
			if d != dims {
				r := states[i].region
				r[d] = r[d].or(states[j].region[d])
				states[i] = states[i].with(r)
			}
			states = slices.Delete(states, j, j+1)
			j = i + 1
		}
	}
	return states
}

func mergeable(a, b *state) (dim, bool) {
	if a.to != b.to && (a.to == nil || b.to == nil || *a.to != *b.to) {
		return 0, false
	}
	if a.mark != b.mark || a.ctmark != b.ctmark || a.untracked != b.untracked || a.natDone != b.natDone || a.snat != b.snat ||
		a.unsure != b.unsure || a.why != b.why || a.by != b.by {
		return 0, false
	}
	return a.equalBut(b.region)
}
