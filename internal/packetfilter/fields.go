package packetfilter

import (
	"encoding/binary"

	"github.com/hostguard/hostguard/internal/nftables"
)

// Keys of meta and ct expressions (linux/netfilter/nf_tables.h).
const (
	metaProtocol = 1
	metaMark     = 3
	metaIif      = 4
	metaOif      = 5
	metaIifname  = 6
	metaOifname  = 7
	metaIiftype  = 8
	metaOiftype  = 9
	metaNfproto  = 15
	metaL4proto  = 16
	metaPkttype  = 19
	metaSecpath  = 25
	metaSdif     = 33
	metaSdifname = 34

	ctState     = 0
	ctDirection = 1
	ctStatus    = 2
	ctMark      = 3
	ctHelper    = 6
	ctL3proto   = 7
	ctSrc       = 8
	ctDst       = 9
	ctProtocol  = 10
	ctProtoSrc  = 11
	ctProtoDst  = 12
	ctZone      = 17
	ctSrcIP     = 19
	ctDstIP     = 20
	ctSrcIP6    = 21
	ctDstIP6    = 22
)

// Bits of ct state and ct status.
const (
	stateInvalid   = 1
	stateNew       = 8
	stateUntracked = 64
	statusDstNAT   = 1 << 5
)

const (
	ethernetIPv4 = 0x0800
	ethernetIPv6 = 0x86dd
	tcp          = 6
	udp          = 17
)

func unknownValues(n int) []value {
	v := make([]value, n)
	for i := range v {
		v[i] = value{kind: unknown, sym: 0xff}
	}
	return v
}

// original is a field as the packet was sent.
func (e *evaluator) original(s *state, d dim) []value {
	width := e.u.width(d)
	if e.boundary == nil {
		if i := s.region[d].single(); i >= 0 && (d == dstAddr || d == dstPort) {
			return knownValues(e.u.lows[d][i].bytes(width))
		}
	}
	return symbolic[d][:width]
}

// symbolic are the fields as nobody knows them; they are only read.
var symbolic = func() (all [dims][16]value) {
	for d := range dims {
		for i := range all[d] {
			all[d][i] = value{kind: field + kind(d), at: uint8(i), sym: 0xff}
		}
	}
	return all
}()

// current is a field after what translated it.
func (e *evaluator) current(s *state, d dim) []value {
	if s.to != nil && (d == dstAddr && s.to.setsAddr || d == dstPort && s.to.setsPort) {
		if s.to.unclear {
			return unknownValues(e.u.width(d))
		}
		if d == dstAddr {
			return knownValues(s.to.addr.bytes(e.u.width(d)))
		}
		return knownValues(binary.BigEndian.AppendUint16(nil, s.to.port))
	}
	return e.original(s, d)
}

// payload loads bytes of the packet. It is not ok when there is no such header.
func (e *evaluator) payload(s *state, x nftables.Payload, v []value) bool {
	for i := range v {
		v[i] = value{kind: unknown, sym: 0xff}
	}
	fixed := func(at int, b value) {
		if j := at - x.Offset; j >= 0 && j < len(v) {
			v[j] = b
		}
	}
	place := func(at int, d dim) {
		if at < x.Offset+len(v) && at+e.u.width(d) > x.Offset {
			for i, b := range e.current(s, d) {
				fixed(at+i, b)
			}
		}
	}
	switch {
	case x.Base == nftables.NetworkHeader && e.v6:
		fixed(0, value{kind: unknown, sym: 0x0f, bits: 0x60})
		fixed(6, value{bits: e.proto})
		place(8, srcAddr)
		place(24, dstAddr)
	case x.Base == nftables.NetworkHeader:
		fixed(0, value{bits: 0x45})
		fixed(6, value{kind: unknown, sym: 0x40}) // not a fragment
		fixed(7, value{})
		fixed(9, value{bits: e.proto})
		place(12, srcAddr)
		place(16, dstAddr)
	case x.Base == nftables.TransportHeader:
		place(0, srcPort)
		place(2, dstPort)
		if e.proto == tcp { // the first packet: SYN, perhaps with bits of congestion notification
			fixed(13, value{kind: unknown, sym: 0xc0, bits: 0x02})
		}
	case x.Base == nftables.LinkHeader:
		if e.in == nil { // what the host sends has none yet
			return false
		}
	}
	return true
}

func native(n uint32) []value { return knownValues(binary.NativeEndian.AppendUint32(nil, n)) }

func name16(name string) []value {
	var b [16]byte
	copy(b[:], name)
	return knownValues(b[:])
}

// named is name16 of an interface, made once.
func (e *evaluator) named(i *Interface) []value {
	if e.names == nil {
		e.names = map[*Interface][]value{}
	}
	if e.names[i] == nil {
		e.names[i] = name16(i.Name)
	}
	return e.names[i]
}

var noName = name16("")

func (e *evaluator) protoValue() []value {
	if e.protoIs == nil {
		e.protoIs = knownValues([]byte{e.proto})
	}
	return e.protoIs
}

func (e *evaluator) meta(s *state, key uint32) []value {
	device := func(i *Interface, of func(*Interface) []value, none []value) []value {
		switch {
		case e.boundary != nil || i == unclearInterface:
			return unknownValues(len(none))
		case i == nil:
			return none
		}
		return of(i)
	}
	switch key {
	case metaProtocol:
		if e.v6 {
			return knownValues(binary.BigEndian.AppendUint16(nil, ethernetIPv6))
		}
		return knownValues(binary.BigEndian.AppendUint16(nil, ethernetIPv4))
	case metaMark:
		if s.mark.unknown || e.boundary != nil {
			return unknownValues(4)
		}
		return native(s.mark.value)
	case metaIif:
		return device(e.in, func(i *Interface) []value { return native(i.Index) }, native(0))
	case metaOif:
		return device(e.out, func(i *Interface) []value { return native(i.Index) }, native(0))
	case metaIifname:
		return device(e.in, e.named, noName)
	case metaOifname:
		return device(e.out, e.named, noName)
	case metaIiftype, metaOiftype:
		i := e.in
		if key == metaOiftype {
			i = e.out
		}
		return device(i, func(i *Interface) []value { return knownValues(binary.NativeEndian.AppendUint16(nil, i.Type)) }, unknownValues(2))
	case metaNfproto:
		if e.v6 {
			return knownValues([]byte{byte(nftables.IPv6)})
		}
		return knownValues([]byte{byte(nftables.IPv4)})
	case metaL4proto:
		return e.protoValue()
	case metaPkttype:
		if e.in != nil && !e.in.Loopback { // to this host
			return knownValues([]byte{0})
		}
		return unknownValues(1)
	case metaSecpath: // it did not come by IPsec
		return knownValues([]byte{0})
	case metaSdif:
		return native(0)
	case metaSdifname:
		return name16("")
	}
	return unknownValues(16)
}

// ct loads a property of the connection. It is not ok when the packet has none.
func (e *evaluator) ct(s *state, x nftables.CT) ([]value, bool) {
	tracked := e.tracked && !s.untracked || e.boundary != nil
	if x.Key == ctState {
		switch {
		case e.boundary != nil:
			return unknownValues(4), true
		case s.untracked:
			return native(stateUntracked), true
		case !e.tracked:
			return native(stateInvalid), true
		}
		return native(stateNew), true
	}
	if !tracked {
		return nil, false
	}
	// The reply's tuple is the other way around, and as translated.
	src, dst, sport, dport := srcAddr, dstAddr, srcPort, dstPort
	of := e.original
	if x.Reply {
		src, dst, sport, dport = dstAddr, srcAddr, dstPort, srcPort
		of = e.current
	}
	switch x.Key {
	case ctDirection:
		return knownValues([]byte{0}), true
	case ctStatus:
		v := native(0)
		if s.to != nil {
			v = native(statusDstNAT)
		}
		// What else is set by now does not matter to anybody: the kernel's own bits.
		low := 0
		if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
			low = 3
		}
		v[low] = value{kind: unknown, sym: 0x80, bits: v[low].bits}
		v[1], v[2] = value{kind: unknown, sym: 0xff}, value{kind: unknown, sym: 0xff}
		return v, true
	case ctMark:
		if s.ctmark.unknown || e.boundary != nil {
			return unknownValues(4), true
		}
		return native(s.ctmark.value), true
	case ctHelper:
		return unknownValues(16), true
	case ctL3proto:
		return e.meta(s, metaNfproto), true
	case ctProtocol:
		return knownValues([]byte{e.proto}), true
	case ctSrc, ctSrcIP, ctSrcIP6:
		if x.Key == ctSrcIP && e.v6 || x.Key == ctSrcIP6 && !e.v6 {
			return nil, false
		}
		return of(s, src), true
	case ctDst, ctDstIP, ctDstIP6:
		if x.Key == ctDstIP && e.v6 || x.Key == ctDstIP6 && !e.v6 {
			return nil, false
		}
		return of(s, dst), true
	case ctProtoSrc:
		return of(s, sport), true
	case ctProtoDst:
		return of(s, dport), true
	case ctZone:
		return knownValues([]byte{0, 0}), true
	}
	return unknownValues(16), true
}

// Bits of a fib expression's flags, and RTN_*.
const (
	fibSource  = 1
	fibDest    = 2
	fibIif     = 8
	fibOif     = 16
	fibPresent = 32

	routeUnicast = 1
	routeLocal   = 2
)

// fib asks the routing table. A source has a way back to the interface it came
// by: others are not followed.
func (e *evaluator) fib(s *state, x nftables.FIB, w work, todo *[]work) *state {
	if e.boundary != nil {
		put(w.regs, x.To, unknownValues(16), 4)
		return s
	}
	v := unknownValues(16)
	switch {
	case x.Result == 3 && x.Flags&fibSource != 0:
		v = native(routeUnicast)
		if e.in == nil || e.in.Loopback {
			v = native(routeLocal)
		}
	case x.Result == 3 && x.Flags&fibDest != 0:
		on := e.in
		if x.Flags&fibOif != 0 {
			on = e.out
		}
		if x.Flags&(fibIif|fibOif) == 0 {
			on = nil
		}
		c, ok := e.localDest(s, on)
		if !ok {
			break
		}
		in, out := e.split(s, c, reason{})
		for _, other := range out {
			copied := *w.regs
			put(&copied, x.To, native(routeUnicast), 4)
			*todo = append(*todo, work{other, &copied, w.at})
		}
		if len(in) == 0 {
			return nil
		}
		s, v = in[0], native(routeLocal)
	case x.Flags&fibSource != 0 && e.in != nil && e.in != unclearInterface:
		switch {
		case x.Flags&fibPresent != 0:
			v = knownValues([]byte{1})
		case x.Result == 1:
			v = native(e.in.Index)
		case x.Result == 2:
			v = name16(e.in.Name)
		}
	}
	put(w.regs, x.To, v, 4)
	return s
}

// localDest says when the destination is the host's own address, on an
// interface when one is given. It is not ok when that cannot be told.
func (e *evaluator) localDest(s *state, on *Interface) (condition, bool) {
	if s.to != nil && s.to.setsAddr {
		if s.to.unclear {
			return condition{}, false
		}
		owner := e.w.owner(s.to.addr.addr(e.v6))
		return condition{never: owner == nil || on != nil && on != owner}, true
	}
	if on == nil { // only the host's own addresses are followed
		return condition{}, true
	}
	var list []span
	for i, low := range e.u.lows[dstAddr] {
		if e.w.owner(low.addr(e.v6)) == on {
			list = append(list, span{i, i + 1})
		}
	}
	if len(list) == 0 {
		return never, true
	}
	var c condition
	c.spans[dstAddr] = listed(list)
	return c, true
}
