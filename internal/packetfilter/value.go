package packetfilter

import "bytes"

// A value is one byte of a register or of the packet: bits that are known, and
// bits (sym) that are those of a field, or that nobody knows.
type value struct {
	kind kind
	at   uint8 // of a field: which byte of it
	sym  uint8 // the bits that are not known
	bits uint8 // the known bits; of the others, those that are inverted
}

type kind uint8

const (
	known kind = iota
	unknown
	field // + dim
)

func knownValues(b []byte) []value {
	v := make([]value, len(b))
	for i := range b {
		v[i] = value{bits: b[i]}
	}
	return v
}

func (v value) masked(mask, xor uint8) value {
	v.sym &= mask
	v.bits = v.bits&mask ^ xor
	if v.sym == 0 {
		v.kind, v.at = known, 0
	}
	return v
}

// A condition is when a comparison holds: for packets within all the spans, if
// it is not never; and even then perhaps only, when it is unsure.
type condition struct {
	never  bool
	unsure bool
	spans  [dims]spans
}

// spans is a set of atoms of a field.
type spans struct {
	given bool // else whatever it is
	one   span
	more  []span // further ones
}

func just(s span) spans { return spans{given: true, one: s} }

// listed makes spans of a list; an empty list is no atom at all.
func listed(list []span) spans {
	if len(list) == 0 {
		return spans{given: true}
	}
	return spans{true, list[0], list[1:]}
}

func (s spans) list() []span {
	if s.one.from >= s.one.to {
		return s.more
	}
	return append([]span{s.one}, s.more...)
}

func (c *condition) and(d condition) {
	c.never = c.never || d.never
	c.unsure = c.unsure || d.unsure
	for i := range d.spans {
		if !d.spans[i].given {
			continue
		}
		if !c.spans[i].given {
			c.spans[i] = d.spans[i]
			continue
		}
		c.spans[i] = listed(intersect(c.spans[i].list(), d.spans[i].list()))
	}
}

func intersect(a, b []span) []span {
	both := []span{}
	for _, x := range a {
		for _, y := range b {
			if s := (span{max(x.from, y.from), min(x.to, y.to)}); s.from < s.to {
				both = append(both, s)
			}
		}
	}
	return both
}

var never = condition{never: true}

// between says when lo <= v <= hi, compared as big-endian numbers.
func (e *evaluator) between(v []value, lo, hi []byte) condition {
	if bytes.Equal(lo, hi) {
		return e.equal(v, lo)
	}
	allKnown := true
	for i := range v {
		allKnown = allKnown && v[i].kind == known
	}
	if allKnown {
		var buf [64]byte
		for i := range v {
			buf[i] = v[i].bits
		}
		b := buf[:len(v)]
		return condition{never: bytes.Compare(b, lo) < 0 || bytes.Compare(b, hi) > 0}
	}
	d, ok := e.wholeField(v)
	if !ok {
		return condition{unsure: true}
	}
	width := e.u.width(d)
	var low, high [16]byte
	copy(low[:], lo)
	copy(high[:], hi)
	for i := len(hi); i < width; i++ {
		high[i] = 0xff
	}
	return e.within(d, numberOf(low[:width]), numberOf(high[:width]))
}

// equal says when v is b.
func (e *evaluator) equal(v []value, b []byte) condition {
	same := 0
	for same < len(v) && v[same].kind == known {
		if v[same].bits != b[same] {
			return never
		}
		same++
	}
	if same == len(v) {
		return condition{}
	}
	if d, ok := e.wholeField(v); ok {
		var low, high [16]byte
		width := e.u.width(d)
		copy(low[:], b)
		copy(high[:], b)
		for i := len(v); i < width; i++ {
			high[i] = 0xff
		}
		return e.within(d, numberOf(low[:width]), numberOf(high[:width]))
	}
	var c condition
	var mask, want [dims][16]byte
	var used [dims]bool
	for i, x := range v {
		diff := x.bits ^ b[i]
		if diff&^x.sym != 0 {
			return never
		}
		switch {
		case x.kind == known:
		case x.kind == unknown:
			c.unsure = c.unsure || x.sym != 0
		default:
			d := dim(x.kind - field)
			if m := mask[d][x.at] & x.sym; (want[d][x.at]^diff)&m != 0 {
				return never
			}
			used[d] = true
			mask[d][x.at] |= x.sym
			want[d][x.at] |= diff & x.sym
		}
	}
	for d := range dims {
		if used[d] {
			c.and(e.maskedEqual(d, mask[d], want[d]))
		}
	}
	return c
}

// wholeField reports whether the values are the first bytes of one field, as
// they are.
func (e *evaluator) wholeField(v []value) (dim, bool) {
	if v[0].kind < field {
		return 0, false
	}
	d := dim(v[0].kind - field)
	for i := range v {
		if v[i] != (value{kind: v[0].kind, at: uint8(i), sym: 0xff}) {
			return 0, false
		}
	}
	return d, len(v) <= e.u.width(d)
}

// maskedEqual says when a field is want under a mask.
func (e *evaluator) maskedEqual(d dim, mask, want [16]byte) condition {
	width := e.u.width(d)
	high := want
	open, prefix := false, true
	for i := range width {
		for bit := 7; bit >= 0; bit-- {
			set := mask[i]&(1<<bit) != 0
			if !set {
				open = true
				high[i] |= 1 << bit
			} else if open {
				prefix = false
			}
		}
	}
	if prefix {
		return e.within(d, numberOf(want[:width]), numberOf(high[:width]))
	}
	if d == srcAddr || d == srcPort { // atoms hold more than one value
		return condition{unsure: true}
	}
	var list []span
	for i, low := range e.u.lows[d] {
		b := low.bytes(width)
		matches := true
		for j := range b {
			matches = matches && b[j]&mask[j] == want[j]
		}
		if matches {
			list = append(list, span{i, i + 1})
		}
	}
	c := condition{}
	c.spans[d] = listed(list)
	return c
}

// within says when a field lies between two values, both included.
func (e *evaluator) within(d dim, lo, hi number) condition {
	if e.boundary != nil {
		e.boundary(d, lo, hi)
		return condition{unsure: true}
	}
	s := e.u.span(d, lo, hi)
	if s.from >= s.to {
		return never
	}
	var c condition
	c.spans[d] = just(s)
	return c
}
