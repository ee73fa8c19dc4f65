package nftables

import (
	"fmt"

	"github.com/hostguard/hostguard/internal/xtables"
)

// An Expr is one expression of a rule: one of the types below. Registers are
// given as the offset of their first byte in the 64 bytes that there are.
type Expr interface{}

// Payload loads bytes of the packet.
type Payload struct {
	Base        PayloadBase
	Offset, Len int
	To          int
}

// PayloadBase is the header that the offset counts from.
type PayloadBase uint32

// Headers.
const (
	LinkHeader PayloadBase = iota
	NetworkHeader
	TransportHeader
	InnerHeader
)

// PayloadWrite changes bytes of the packet.
type PayloadWrite struct {
	Base        PayloadBase
	Offset, Len int
}

// CmpOp is how Cmp compares.
type CmpOp uint32

// Comparisons, big-endian.
const (
	Equal CmpOp = iota
	NotEqual
	Less
	LessOrEqual
	Greater
	GreaterOrEqual
)

// Cmp compares a register with a constant.
type Cmp struct {
	From int
	Op   CmpOp
	Data []byte
}

// Range compares a register with a range, both ends included.
type Range struct {
	From   int
	Not    bool
	Lo, Hi []byte
}

// Bitwise computes (register & Mask) ^ Xor.
type Bitwise struct {
	From, To, Len int
	Mask, Xor     []byte
	Other         bool // a shift, or an operation of two registers
}

// Byteorder turns the bytes of numbers around.
type Byteorder struct{ From, To, Len, Size int }

// Meta loads a property of the packet, NFT_META_*.
type Meta struct {
	Key uint32
	To  int
}

// MetaSet sets one.
type MetaSet struct {
	Key  uint32
	From int
}

// CT loads a property of the connection, NFT_CT_*.
type CT struct {
	Key   uint32
	Reply bool // of the reply direction
	Dir   bool // a direction is given
	To    int
}

// CTSet sets one.
type CTSet struct {
	Key  uint32
	From int
}

// Header loads from an extension header or option of IP, or (Present) whether
// there is one. A plain packet has none.
type Header struct {
	Present bool
	To      int
}

// Immediate loads a constant.
type Immediate struct {
	To   int
	Data []byte
}

// Verdict says what happens next.
type Verdict struct {
	Code  int32 // NF_ACCEPT …, NFT_JUMP …
	Chain string
}

// Codes of verdicts.
const (
	Drop     = 0
	Accept   = 1
	Stolen   = 2
	Queue    = 3
	Continue = -1
	Break    = -2
	Jump     = -3
	Goto     = -4
	Return   = -5
)

// Lookup asks a set. To is -1 for sets, VerdictRegister for verdict maps.
type Lookup struct {
	Set  *Set
	From int
	To   int
	Not  bool
}

// VerdictRegister is where a verdict goes.
const VerdictRegister = -2

// FIB asks the routing table.
type FIB struct {
	Result uint32 // 1 interface, 2 its name, 3 address type
	Flags  uint32 // 1 source, 2 destination, 4 mark, 8 incoming, 16 outgoing interface, 32 presence only
	To     int
}

// Limit, Connlimit and a Dynset with them hold or not by what came before.
// Quiet is the answer while nothing else comes.
type Limit struct {
	Name  string
	Quiet bool
}

// NAT translates destination or source.
type NAT struct {
	Source           bool
	Family           Family
	AddrMin, AddrMax int // registers, -1: the address stays
	PortMin, PortMax int
	Other            bool // more than that: prefixes
}

// Redirect sends the packet to the host itself.
type Redirect struct{ PortMin, PortMax int }

// Masquerade translates the source.
type Masquerade struct{}

// Reject refuses the packet.
type Reject struct{}

// NoTrack keeps the packet from connection tracking.
type NoTrack struct{}

// Plain changes nothing that matters: counter, log …
type Plain struct{ Name string }

// Match is a match of iptables.
type Match struct{ xtables.Match }

// Target is a target of iptables.
type Target struct{ xtables.Target }

// Unknown is an expression that is not understood.
type Unknown struct{ Name string }

// attributes are those of one expression, by their number.
type attributes struct {
	of  [16][]byte // nil: not there
	bad bool       // a register or a value in them is none
}

func (r *Ruleset) expr(of *Chain, attrs []byte) (Expr, error) {
	var name string
	var data []byte
	err := each(attrs, func(kind uint16, d []byte) error {
		switch kind {
		case 1:
			name = text(d)
		case 2:
			data = d
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var a attributes
	err = each(data, func(kind uint16, d []byte) error {
		if int(kind) < len(a.of) {
			a.of[kind] = d
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	x, err := r.decodeExpr(of, name, &a)
	if err != nil {
		return nil, err
	}
	if x == nil || a.bad {
		return Unknown{name}, nil
	}
	return x, nil
}

// register is a register's offset; -1 when the attribute is not there.
func (a *attributes) register(kind uint16) int {
	data := a.of[kind]
	if data == nil {
		return -1
	}
	switch n := be32(data); {
	case n == 0:
		return VerdictRegister
	case n <= 4:
		return int(n-1) * 16
	case n >= 8 && n < 24:
		return int(n-8) * 4
	}
	a.bad = true
	return -1
}

func (a *attributes) value(kind uint16) []byte {
	data, _, err := decodeData(a.of[kind])
	if err != nil {
		a.bad = true
	}
	return data
}

func (a *attributes) n(kind uint16) int { return int(be32(a.of[kind])) }

func decodeData(attrs []byte) (value []byte, verdict *Verdict, err error) {
	err = each(attrs, func(kind uint16, data []byte) error {
		switch kind {
		case 1:
			value = data
		case 2:
			verdict = &Verdict{}
			return each(data, func(kind uint16, data []byte) error {
				switch kind {
				case 1:
					verdict.Code = int32(be32(data))
				case 2:
					verdict.Chain = text(data)
				}
				return nil
			})
		}
		return nil
	})
	return value, verdict, err
}

func (r *Ruleset) decodeExpr(of *Chain, name string, a *attributes) (Expr, error) {
	switch name {
	case "payload":
		base, off, length := PayloadBase(a.n(2)), a.n(3), a.n(4)
		if length <= 0 || length > 64 || off < 0 || off > 1<<16 {
			return nil, nil
		}
		if a.of[5] != nil {
			return PayloadWrite{base, off, length}, nil
		}
		return fits(Payload{base, off, length, a.register(1)}, a.register(1), length), nil
	case "cmp":
		c := Cmp{a.register(1), CmpOp(a.n(2)), a.value(3)}
		return fits(c, c.From, len(c.Data)), nil
	case "range":
		x := Range{a.register(1), a.n(2) == 1, a.value(3), a.value(4)}
		if len(x.Lo) != len(x.Hi) {
			return nil, nil
		}
		return fits(x, x.From, len(x.Lo)), nil
	case "bitwise":
		b := Bitwise{From: a.register(1), To: a.register(2), Len: a.n(3), Mask: a.value(4), Xor: a.value(5), Other: a.n(6) != 0}
		if !b.Other && (len(b.Mask) != b.Len || len(b.Xor) != b.Len) || fits(b, b.To, b.Len) == nil {
			return nil, nil
		}
		return fits(b, b.From, b.Len), nil
	case "byteorder":
		b := Byteorder{a.register(1), a.register(2), a.n(4), a.n(5)}
		if b.Size < 2 || b.Size > 8 || fits(b, b.To, b.Len) == nil {
			return nil, nil
		}
		return fits(b, b.From, b.Len), nil
	case "meta":
		if a.of[3] != nil {
			return fits(MetaSet{uint32(a.n(2)), a.register(3)}, a.register(3), 4), nil
		}
		return fits(Meta{uint32(a.n(2)), a.register(1)}, a.register(1), 4), nil
	case "ct":
		if a.of[4] != nil {
			return fits(CTSet{uint32(a.n(2)), a.register(4)}, a.register(4), 4), nil
		}
		dir := a.of[3]
		return fits(CT{uint32(a.n(2)), len(dir) > 0 && dir[0] == 1, dir != nil, a.register(1)}, a.register(1), 4), nil
	case "exthdr":
		switch op := a.n(6); {
		case a.of[7] != nil || a.of[1] == nil: // changes an option, such as the segment size, or takes it out
			return Plain{name}, nil
		case op == 0 || op == 2:
			return fits(Header{a.n(5)&1 != 0, a.register(1)}, a.register(1), 4), nil
		}
		return nil, nil
	case "immediate":
		value, verdict, err := decodeData(a.of[2])
		if verdict != nil {
			return *verdict, err
		}
		return fits(Immediate{a.register(1), value}, a.register(1), len(value)), err
	case "lookup":
		set := r.sets[chainKey{of.Family, of.Table, text(a.of[1])}]
		if set == nil {
			return Unknown{"lookup in the set " + text(a.of[1])}, nil
		}
		l := Lookup{Set: set, From: a.register(2), To: a.register(3), Not: a.n(5)&1 != 0}
		return fits(l, l.From, set.KeyLen), nil
	case "dynset":
		return r.dynset(of, a)
	case "fib":
		return fits(FIB{uint32(a.n(2)), uint32(a.n(3)), a.register(1)}, a.register(1), 4), nil
	case "limit":
		return Limit{"limit", a.n(5)&1 == 0}, nil
	case "connlimit": // holds up to the count, inverted above it
		return Limit{"ct count", (a.n(2)&1 == 0) == (a.n(1) >= 1)}, nil
	case "quota":
		return nil, nil
	case "nat":
		return NAT{
			Source: a.n(1) == 0, Family: Family(a.n(2)), AddrMin: a.register(3), AddrMax: a.register(4), PortMin: a.register(5), PortMax: a.register(6),
			Other: a.n(7)&^(1|2|4|8|16) != 0,
		}, nil
	case "redir":
		return Redirect{a.register(1), a.register(2)}, nil
	case "masq":
		return Masquerade{}, nil
	case "reject":
		return Reject{}, nil
	case "notrack":
		return NoTrack{}, nil
	case "match":
		return Match{xtables.DecodeMatch(text(a.of[1]), be32(a.of[2]), a.of[3], of.Family == IPv6)}, nil
	case "target":
		return Target{xtables.DecodeTarget(text(a.of[1]), be32(a.of[2]), a.of[3], of.Family == IPv6)}, nil
	case "objref":
		if kind := a.n(1); kind == 1 || kind == 3 || kind == 7 || kind == 8 || kind == 9 { // counter, helper, timeout, secmark, expectation
			return Plain{"object"}, nil
		}
		return Unknown{fmt.Sprintf("object of type %d", a.n(1))}, nil
	case "counter", "log", "last", "dup", "flow_offload", "secmark":
		return Plain{name}, nil
	}
	return nil, nil
}

// dynset adds the packet to a set; a limit in it decides whether the rule goes on.
func (r *Ruleset) dynset(of *Chain, a *attributes) (Expr, error) {
	var inner []Expr
	add := func(data []byte) error {
		x, err := r.expr(of, data)
		inner = append(inner, x)
		return err
	}
	if data := a.of[7]; data != nil {
		if err := add(data); err != nil {
			return nil, err
		}
	}
	if data := a.of[11]; data != nil {
		if err := each(data, func(_ uint16, data []byte) error { return add(data) }); err != nil {
			return nil, err
		}
	}
	for _, x := range inner {
		switch x := x.(type) {
		case Plain:
		case Limit:
			return x, nil
		default:
			return Unknown{"dynset"}, nil
		}
	}
	if a.n(9)&1 != 0 { // inverted
		return Unknown{"dynset"}, nil
	}
	return Plain{"dynset"}, nil
}

// fits returns x when n bytes from a register on are registers, else nil.
func fits(x Expr, register, n int) Expr {
	if register < 0 || register+n > 64 {
		return nil
	}
	return x
}
