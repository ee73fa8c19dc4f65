package packetfilter

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"sort"
)

// A number is an address or a port, big-endian: an IPv4 address is the low 32
// bits.
type number struct{ hi, lo uint64 }

func (n number) less(m number) bool { return n.hi < m.hi || n.hi == m.hi && n.lo < m.lo }

func (n number) next() number {
	n.lo++
	if n.lo == 0 {
		n.hi++
	}
	return n
}

func compareNumbers(a, b number) int {
	switch {
	case a.less(b):
		return -1
	case b.less(a):
		return 1
	}
	return 0
}

// numberOf reads up to 16 big-endian bytes.
func numberOf(b []byte) number {
	switch len(b) {
	case 2:
		return number{0, uint64(binary.BigEndian.Uint16(b))}
	case 4:
		return number{0, uint64(binary.BigEndian.Uint32(b))}
	}
	var buf [16]byte
	copy(buf[16-len(b):], b)
	return number{binary.BigEndian.Uint64(buf[:8]), binary.BigEndian.Uint64(buf[8:])}
}

func (n number) bytes(length int) []byte {
	var buf [16]byte
	binary.BigEndian.PutUint64(buf[:8], n.hi)
	binary.BigEndian.PutUint64(buf[8:], n.lo)
	return buf[16-length:]
}

func addrNumber(a netip.Addr) number {
	if a.Is4() {
		b := a.As4()
		return numberOf(b[:])
	}
	b := a.As16()
	return numberOf(b[:])
}

func (n number) addr(v6 bool) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte(n.bytes(16)))
	}
	return netip.AddrFrom4([4]byte(n.bytes(4)))
}

// A dim is a field of the packet that is followed as a set of values.
type dim uint8

const (
	srcAddr dim = iota
	srcPort
	dstAddr // as it was sent, before any translation
	dstPort
	dims
)

// A universe cuts each field into atoms: values that no rule tells apart, or
// single values that are asked about. An atom is known by its lowest value.
type universe struct {
	v6   bool
	lows [dims][]number
}

func (u *universe) width(d dim) int {
	switch {
	case d == srcPort || d == dstPort:
		return 2
	case u.v6:
		return 16
	}
	return 4
}

// A span is atoms from..to-1 of a field.
type span struct{ from, to int }

// span returns the atoms that lie between two values, both included.
func (u *universe) span(d dim, lo, hi number) span {
	lows := u.lows[d]
	from := sort.Search(len(lows), func(i int) bool { return !lows[i].less(lo) })
	to := from + sort.Search(len(lows)-from, func(i int) bool { return hi.less(lows[from+i]) })
	return span{from, to}
}

func prefixLow(p netip.Prefix) number { return addrNumber(p.Masked().Addr()) }

func prefixHigh(p netip.Prefix) number {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return numberOf(b)
}

// bitset is a set of atoms of one field. It is not changed once it is shared.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (b bitset) add(s span) {
	for i := s.from; i < s.to; {
		if i%64 == 0 && s.to-i >= 64 {
			b[i/64] = ^uint64(0)
			i += 64
			continue
		}
		b[i/64] |= 1 << (i % 64)
		i++
	}
}

func (b bitset) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }

func (b bitset) empty() bool {
	for _, w := range b {
		if w != 0 {
			return false
		}
	}
	return true
}

func (b bitset) first() int {
	for i, w := range b {
		if w != 0 {
			return i*64 + bits.TrailingZeros64(w)
		}
	}
	return -1
}

// single returns the only atom, -1 when there are none or more.
func (b bitset) single() int {
	at := -1
	for i, w := range b {
		if w == 0 {
			continue
		}
		if at >= 0 || w&(w-1) != 0 {
			return -1
		}
		at = i*64 + bits.TrailingZeros64(w)
	}
	return at
}

func (b bitset) and(c bitset) bitset {
	r := make(bitset, len(b))
	for i := range b {
		r[i] = b[i] & c[i]
	}
	return r
}

func (b bitset) minus(c bitset) bitset {
	r := make(bitset, len(b))
	for i := range b {
		r[i] = b[i] &^ c[i]
	}
	return r
}

func (b bitset) or(c bitset) bitset {
	r := make(bitset, len(b))
	for i := range b {
		r[i] = b[i] | c[i]
	}
	return r
}

func (b bitset) meets(c bitset) bool {
	for i := range b {
		if b[i]&c[i] != 0 {
			return true
		}
	}
	return false
}

// wordMask is the bits of word w that lie in a span.
func (s span) wordMask(w int) uint64 {
	from, to := s.from-w*64, s.to-w*64
	if to <= 0 || from >= 64 {
		return 0
	}
	m := ^uint64(0)
	if from > 0 {
		m <<= from
	}
	if to < 64 {
		m &= 1<<to - 1
	}
	return m
}

// cover says whether a set has members within spans, and others outside.
func (b bitset) cover(spans []span) (inside, outside bool) {
	if len(spans) == 1 {
		s := spans[0]
		for w := range b {
			m := s.wordMask(w)
			inside = inside || b[w]&m != 0
			outside = outside || b[w]&^m != 0
			if inside && outside {
				return true, true
			}
		}
		return inside, outside
	}
	c := newBitset(len(b) * 64)
	for _, s := range spans {
		c.add(s)
	}
	return b.meets(c), !b.minus(c).empty()
}

// within reports whether the set has a member in a span.
func (b bitset) within(s span) bool {
	if s.from >= s.to {
		return false
	}
	for w := s.from / 64; w <= (s.to-1)/64 && w < len(b); w++ {
		if b[w]&s.wordMask(w) != 0 {
			return true
		}
	}
	return false
}

// split returns the members within spans, and the others.
func (b bitset) split(spans []span) (in, out bitset) {
	c := newBitset(len(b) * 64)
	for _, s := range spans {
		c.add(s)
	}
	return b.and(c), b.minus(c)
}

// A region is a set of packets: all combinations of the fields' values.
type region [dims]bitset

func (r region) equalBut(s region) (differs dim, ok bool) {
	differs = dims
	for d := range dims {
		if !slices.Equal(r[d], s[d]) {
			if differs != dims {
				return 0, false
			}
			differs = d
		}
	}
	return differs, true
}
