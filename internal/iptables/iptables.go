// Package iptables reads the tables of legacy iptables from the form in which
// the kernel hands them out (getsockopt IPT_SO_GET_INFO and
// IPT_SO_GET_ENTRIES, linux/netfilter_ipv4/ip_tables.h and ip6_tables.h), as
// chains of package nftables.
package iptables

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/hostguard/hostguard/internal/nftables"
	"github.com/hostguard/hostguard/internal/xtables"
)

// Info is what IPT_SO_GET_INFO says about a table.
type Info struct {
	Valid     uint32 // bits of the hooks
	Entry     [5]uint32
	Underflow [5]uint32
	Size      uint32
}

// InfoSize is the length of struct ipt_getinfo, EntriesHeader of what stands
// before the entries in struct ipt_get_entries; both begin with the table's name.
const (
	InfoSize      = 84
	EntriesHeader = 40
	NameSize      = 32
)

// ParseInfo reads a struct ipt_getinfo.
func ParseInfo(b []byte) (Info, error) {
	if len(b) < InfoSize {
		return Info{}, errMalformed
	}
	u32 := func(i int) uint32 { return binary.NativeEndian.Uint32(b[NameSize+4*i:]) }
	info := Info{Valid: u32(0), Size: u32(12)}
	for i := range 5 {
		info.Entry[i], info.Underflow[i] = u32(1+i), u32(6+i)
	}
	return info, nil
}

var errMalformed = errors.New("the kernel's legacy table is malformed")

// priorities are those of the tables, linux/netfilter_ipv4.h.
var priorities = map[string]int32{"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}

// layout is where things lie in an entry.
type layout struct {
	addr                               int // bytes of an address
	inIface, outIface, inMask, outMask int
	proto, flags, invFlags, gotoFlag   int
	targetOffset, nextOffset, size     int
	protoGiven                         int // the flag that says so, 0 when a protocol is given unless it is zero
	family                             nftables.Family
	saddr, daddr                       int // where they lie in the packet
}

var (
	layout4 = layout{
		addr: 4, inIface: 16, outIface: 32, inMask: 48, outMask: 64, proto: 80, flags: 82, invFlags: 83, gotoFlag: 2,
		targetOffset: 88, nextOffset: 90, size: 112, family: nftables.IPv4, saddr: 12, daddr: 16,
	}
	layout6 = layout{
		addr: 16, inIface: 64, outIface: 80, inMask: 96, outMask: 112, proto: 128, flags: 131, invFlags: 132, gotoFlag: 4,
		targetOffset: 140, nextOffset: 142, size: 168, protoGiven: 1, family: nftables.IPv6, saddr: 8, daddr: 24,
	}
)

// Decode makes chains of a table's entries.
func Decode(table string, v6 bool, info Info, entries []byte) ([]*nftables.Chain, error) {
	l := layout4
	if v6 {
		l = layout6
	}
	priority, ok := priorities[table]
	if !ok {
		return nil, fmt.Errorf("the legacy table %q is not known", table)
	}
	offsets, err := l.offsets(entries)
	if err != nil {
		return nil, err
	}
	names := map[int]string{} // where user chains begin
	for i, at := range offsets {
		if name, data := l.target(entries[at:]); name == "ERROR" && i+1 < len(offsets) {
			names[offsets[i+1]] = cString(data)
		}
	}
	d := decoder{layout: l, entries: entries, names: names}
	var chains []*nftables.Chain
	for hook := range 5 {
		if info.Valid&(1<<hook) == 0 {
			continue
		}
		c := &nftables.Chain{Family: l.family, Table: table, Legacy: true, Name: []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}[hook]}
		c.Base = &nftables.Base{Hook: nftables.Hook(hook), Priority: priority, NAT: table == "nat"}
		last := int(info.Underflow[hook])
		for _, at := range offsets {
			switch {
			case at >= int(info.Entry[hook]) && at < last:
				if err := d.rule(c, at); err != nil {
					return nil, err
				}
			case at == last:
				verdict, ok := l.standard(entries[at:])
				if !ok {
					return nil, errMalformed
				}
				c.Base.Drop = verdict == -1
			}
		}
		chains = append(chains, c)
	}
	for i, at := range offsets {
		name, ok := names[at]
		if !ok {
			continue
		}
		c := &nftables.Chain{Family: l.family, Table: table, Legacy: true, Name: name}
		for _, at := range offsets[i:] {
			if target, _ := l.target(entries[at:]); target == "ERROR" {
				break
			}
			if err := d.rule(c, at); err != nil {
				return nil, err
			}
		}
		chains = append(chains, c)
	}
	return chains, nil
}

// offsets returns where the entries begin.
func (l layout) offsets(entries []byte) ([]int, error) {
	var at []int
	for off := 0; off < len(entries); {
		e := entries[off:]
		if len(e) < l.size {
			return nil, errMalformed
		}
		target, next := int(binary.NativeEndian.Uint16(e[l.targetOffset:])), int(binary.NativeEndian.Uint16(e[l.nextOffset:]))
		if target < l.size || next < target+32 || next > len(e) {
			return nil, errMalformed
		}
		at = append(at, off)
		off += next
	}
	return at, nil
}

// target returns the name and data of an entry's target.
func (l layout) target(e []byte) (string, []byte) {
	t := e[binary.NativeEndian.Uint16(e[l.targetOffset:]):binary.NativeEndian.Uint16(e[l.nextOffset:])]
	return cString(t[2:31]), t[32:]
}

// standard returns the verdict of a standard target.
func (l layout) standard(e []byte) (int32, bool) {
	name, data := l.target(e)
	if name != "" || len(data) < 4 {
		return 0, false
	}
	return int32(binary.NativeEndian.Uint32(data)), true
}

func cString(b []byte) string {
	before, _, _ := bytes.Cut(b, []byte{0})
	return string(before)
}

type decoder struct {
	layout
	entries []byte
	names   map[int]string
}

// Registers that rules use: one for addresses, one for the rest.
const (
	registerA = 0
	registerB = 16
)

func (d *decoder) rule(c *nftables.Chain, at int) error {
	e := d.entries[at:]
	e = e[:binary.NativeEndian.Uint16(e[d.nextOffset:])]
	r := &nftables.Rule{Chain: c, Number: len(c.Rules) + 1}
	add := func(x ...nftables.Expr) { r.Exprs = append(r.Exprs, x...) }
	inv := e[d.invFlags]
	op := func(bit byte) nftables.CmpOp {
		if inv&bit != 0 {
			return nftables.NotEqual
		}
		return nftables.Equal
	}
	n := d.addr
	for i, a := range []struct {
		offset int
		bit    byte
	}{{d.saddr, 0x08}, {d.daddr, 0x10}} {
		addr, mask := e[i*n:(i+1)*n], e[(i+2)*n:(i+3)*n]
		if isZero(mask) && inv&a.bit == 0 {
			continue
		}
		add(nftables.Payload{Base: nftables.NetworkHeader, Offset: a.offset, Len: n, To: registerA},
			nftables.Bitwise{From: registerA, To: registerA, Len: n, Mask: mask, Xor: make([]byte, n)},
			nftables.Cmp{From: registerA, Op: op(a.bit), Data: addr})
	}
	for _, i := range []struct {
		name, mask int
		key        uint32
		bit        byte
	}{{d.inIface, d.inMask, 6, 1}, {d.outIface, d.outMask, 7, 2}} {
		name, mask := e[i.name:i.name+16], e[i.mask:i.mask+16]
		length := bytes.LastIndexByte(mask, 0xff) + 1
		if length == 0 {
			continue
		}
		add(nftables.Meta{Key: i.key, To: registerB}, nftables.Cmp{From: registerB, Op: op(i.bit), Data: name[:length]})
	}
	if proto := binary.NativeEndian.Uint16(e[d.proto:]); proto != 0 && (d.protoGiven == 0 || e[d.flags]&byte(d.protoGiven) != 0) {
		add(nftables.Meta{Key: 16, To: registerB}, nftables.Cmp{From: registerB, Op: op(0x40), Data: []byte{byte(proto)}})
	}
	if d.family == nftables.IPv4 && e[d.flags]&1 != 0 { // fragments but the first
		add(nftables.Payload{Base: nftables.NetworkHeader, Offset: 6, Len: 2, To: registerB},
			nftables.Bitwise{From: registerB, To: registerB, Len: 2, Mask: []byte{0x1f, 0xff}, Xor: []byte{0, 0}},
			nftables.Cmp{From: registerB, Op: map[bool]nftables.CmpOp{false: nftables.NotEqual, true: nftables.Equal}[inv&0x20 != 0], Data: []byte{0, 0}})
	}
	target := int(binary.NativeEndian.Uint16(e[d.targetOffset:]))
	for m := e[d.size:target]; len(m) > 0; {
		if len(m) < 32 {
			return errMalformed
		}
		size := int(binary.NativeEndian.Uint16(m))
		if size < 32 || size > len(m) {
			return errMalformed
		}
		add(nftables.Match{Match: xtables.DecodeMatch(cString(m[2:31]), uint32(m[31]), m[32:size], d.family == nftables.IPv6)})
		m = m[size:]
	}
	if err := d.verdict(r, e, at, target); err != nil {
		return err
	}
	c.Rules = append(c.Rules, r)
	return nil
}

func (d *decoder) verdict(r *nftables.Rule, e []byte, at, target int) error {
	name, data := d.target(e)
	if name != "" {
		r.Exprs = append(r.Exprs, nftables.Target{Target: xtables.DecodeTarget(name, uint32(e[target+31]), data, d.family == nftables.IPv6)})
		return nil
	}
	if len(data) < 4 {
		return errMalformed
	}
	verdict := int32(binary.NativeEndian.Uint32(data))
	v := nftables.Verdict{}
	switch {
	case verdict == -1:
		v.Code = nftables.Drop
	case verdict == -2:
		v.Code = nftables.Accept
	case verdict == -4:
		v.Code = nftables.Queue
	case verdict == -5:
		v.Code = nftables.Return
	case verdict < 0:
		return errMalformed
	case int(verdict) == at+len(e): // goes on with the next
		return nil
	default:
		chain, ok := d.names[int(verdict)]
		if !ok {
			return errMalformed
		}
		v.Code, v.Chain = nftables.Jump, chain
		if e[d.flags]&byte(d.gotoFlag) != 0 {
			v.Code = nftables.Goto
		}
	}
	r.Exprs = append(r.Exprs, v)
	return nil
}

func isZero(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) }
