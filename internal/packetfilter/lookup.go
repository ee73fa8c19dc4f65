package packetfilter

import (
	"github.com/hostguard/hostguard/internal/nftables"
)

// lookup asks a set, a map or a verdict map.
func (e *evaluator) lookup(rule *nftables.Rule, x nftables.Lookup, w work, todo *[]work, r *result) *state {
	set := x.Set
	key := w.regs[x.From : x.From+set.KeyLen]
	why := reason{rule, w.at - 1}
	if e.boundary != nil {
		for i := range set.Elements {
			e.covers(set, &set.Elements[i], key)
		}
		if x.To >= 0 { // what a map gives may be anything
			for i := x.To; i < min(x.To+16, len(w.regs)); i++ {
				w.regs[i] = value{kind: unknown, sym: 0xff}
			}
		}
		return w.s
	}
	type part struct {
		s *state
		e *nftables.Element
	}
	rest := []*state{w.s}
	var found []part
	var all *nftables.Element
	plain := x.To == -1
	if c, ok := e.anyOf(set, key, plain); ok {
		in, out := e.split(w.s, c, why)
		for _, s := range in {
			found = append(found, part{s, &nftables.Element{}})
		}
		rest = out
	} else {
		for i := range set.Elements {
			el := &set.Elements[i]
			if el.All {
				all = el
				continue
			}
			c := e.covers(set, el, key)
			if c.never {
				continue
			}
			var left []*state
			for _, s := range rest {
				in, out := e.split(s, c, why)
				for _, m := range in {
					found = append(found, part{m, el})
				}
				left = append(left, out...)
			}
			if rest = left; len(rest) == 0 {
				break
			}
			if len(rest)+len(found) > maxStates {
				e.err = ErrIntricate
				return nil
			}
		}
	}
	if all != nil {
		for _, s := range rest {
			found = append(found, part{s, all})
		}
		rest = nil
	}
	if set.Dynamic || set.Expires { // elements come and go
		n := len(found)
		for _, s := range rest {
			if plain && set.Dynamic {
				found = append(found, part{s.doubt(why), &nftables.Element{}})
			} else if set.Dynamic {
				e.lose(s, why)
			}
		}
		for _, p := range found[:n] {
			rest = append(rest, p.s.doubt(why))
		}
	}
	if x.Not {
		r.on = append(r.on, states(found, func(p part) *state { return p.s })...)
		found = found[:0]
		for _, s := range rest {
			found = append(found, part{s, &nftables.Element{}})
		}
	} else {
		r.on = append(r.on, rest...)
	}
	var first *state
	for _, p := range found {
		s := p.s
		if effectiveElement(p.e) {
			s = s.doubt(why)
			r.on = append(r.on, s)
		}
		if x.To == nftables.VerdictRegister {
			if p.e.Verdict == nil {
				e.lose(s, why)
				continue
			}
			if s = e.verdict(why, *p.e.Verdict, s, r); s == nil {
				continue
			}
		}
		regs := w.regs
		if first != nil {
			copied := *w.regs
			regs = &copied
		}
		if x.To >= 0 {
			put(regs, x.To, knownValues(p.e.Data), 4)
		}
		if first == nil {
			first = s
		} else {
			*todo = append(*todo, work{s, regs, w.at})
		}
	}
	return first
}

func states[T any](list []T, of func(T) *state) []*state {
	var s []*state
	for _, x := range list {
		s = append(s, of(x))
	}
	return s
}

// effectiveElement reports whether an element holds more than a counter.
func effectiveElement(el *nftables.Element) bool {
	for _, x := range el.Exprs {
		if _, plain := x.(nftables.Plain); !plain {
			return true
		}
	}
	return false
}

// anyOf joins the elements of a set into one condition, when the key is one
// field and it does not matter which element covers it.
func (e *evaluator) anyOf(set *nftables.Set, key []value, plain bool) (condition, bool) {
	if !plain || len(set.Elements) < 2 || len(set.Fields) > 1 || key[0].kind < field {
		return condition{}, false
	}
	d := dim(key[0].kind - field)
	var list []span
	for i := range set.Elements {
		el := &set.Elements[i]
		if el.All || effectiveElement(el) {
			return condition{}, false
		}
		c := e.covers(set, el, key)
		if c.never {
			continue
		}
		for other := range dims {
			if other != d && c.spans[other].given {
				return condition{}, false
			}
		}
		if c.unsure || !c.spans[d].given {
			return condition{}, false
		}
		list = append(list, c.spans[d].list()...)
	}
	if len(list) == 0 {
		return never, true
	}
	var c condition
	c.spans[d] = listed(list)
	return c, true
}

// covers says when an element covers a key.
func (e *evaluator) covers(set *nftables.Set, el *nftables.Element, key []value) condition {
	if el.All {
		return condition{}
	}
	if len(el.From) != len(el.To) {
		return condition{unsure: true}
	}
	n := min(len(el.From), len(key))
	if len(set.Fields) < 2 {
		return e.between(key[:n], el.From[:n], el.To[:n])
	}
	var c condition
	for at, i := 0, 0; i < len(set.Fields) && !c.never; i++ {
		length := set.Fields[i]
		if length <= 0 || at+length > n {
			return condition{unsure: true}
		}
		c.and(e.between(key[at:at+length], el.From[at:at+length], el.To[at:at+length]))
		at += (length + 3) &^ 3
	}
	return c
}
