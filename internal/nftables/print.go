package nftables

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Place names a rule: "ip filter INPUT handle 7", as nft -a lists it.
func (r *Rule) Place() string {
	if r.Handle == 0 {
		return fmt.Sprintf("%v rule %d", r.Chain, r.Number)
	}
	return fmt.Sprintf("%v handle %d", r.Chain, r.Handle)
}

// String is the rule's place and about what nft(8) would print of it.
func (r *Rule) String() string { return r.Place() + ": " + r.Text() }

// maxText bounds a printed rule.
const maxText = 300

// Text is about what nft(8) would print of a rule. Comments are left out.
func (r *Rule) Text() string {
	var p printer
	for i, x := range r.Exprs {
		p.expr(r.Exprs, i, x)
	}
	text := strings.Join(p.words, " ")
	if text == "" {
		text = "(every packet)"
	}
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}

// Describe names one expression of a rule.
func (r *Rule) Describe(at int) string {
	if at < 0 || at >= len(r.Exprs) {
		return "an expression"
	}
	var p printer
	for i, x := range r.Exprs[:at+1] {
		if i == at {
			p.words = nil
		}
		p.expr(r.Exprs, i, x)
	}
	if text := strings.Join(p.words, " "); text != "" {
		return text
	}
	return fmt.Sprintf("%T", r.Exprs[at])
}

// printer remembers what each register holds.
type printer struct {
	words []string
	regs  [64]label
	proto string
}

// label is what a register holds: its name, how its bytes read, its length.
type label struct {
	name   string
	format byte // a address, p port, s text, n number in the host's order, x other
	length int
	mask   []byte
}

func (p *printer) say(format string, args ...any) {
	p.words = append(p.words, fmt.Sprintf(format, args...))
}

func (p *printer) set(at int, l label) {
	if at >= 0 && at < len(p.regs) {
		p.regs[at] = l
	}
}

var metaNames = map[uint32]label{
	0: {name: "meta length", format: 'n'}, 1: {name: "meta protocol"}, 3: {name: "meta mark", format: 'n'}, 4: {name: "iif", format: 'n'}, 5: {name: "oif", format: 'n'},
	6: {name: "iifname", format: 's'}, 7: {name: "oifname", format: 's'}, 8: {name: "iiftype", format: 'n'}, 9: {name: "oiftype", format: 'n'},
	10: {name: "meta skuid", format: 'n'}, 11: {name: "meta skgid", format: 'n'}, 15: {name: "meta nfproto"}, 16: {name: "meta l4proto"},
	19: {name: "meta pkttype"}, 20: {name: "meta cpu", format: 'n'}, 21: {name: "iifgroup", format: 'n'}, 22: {name: "oifgroup", format: 'n'},
	23: {name: "meta cgroup", format: 'n'}, 24: {name: "meta random", format: 'n'}, 25: {name: "meta ipsec"}, 26: {name: "iifkind", format: 's'},
	30: {name: "meta time"}, 31: {name: "meta day"}, 32: {name: "meta hour"}, 33: {name: "meta sdif", format: 'n'}, 34: {name: "meta sdifname", format: 's'},
}

var ctNames = map[uint32]label{
	0: {name: "ct state", format: 'n'}, 1: {name: "ct direction"}, 2: {name: "ct status", format: 'n'}, 3: {name: "ct mark", format: 'n'},
	6: {name: "ct helper", format: 's'}, 8: {name: "ct saddr", format: 'a'}, 9: {name: "ct daddr", format: 'a'}, 10: {name: "ct protocol"},
	11: {name: "ct proto-src", format: 'p'}, 12: {name: "ct proto-dst", format: 'p'}, 17: {name: "ct zone", format: 'n'},
	19: {name: "ct ip saddr", format: 'a'}, 20: {name: "ct ip daddr", format: 'a'}, 21: {name: "ct ip6 saddr", format: 'a'}, 22: {name: "ct ip6 daddr", format: 'a'},
}

func (p *printer) expr(all []Expr, i int, x Expr) {
	switch x := x.(type) {
	case Payload:
		p.set(x.To, p.payload(x))
	case Meta:
		l, ok := metaNames[x.Key]
		if !ok {
			l = label{name: fmt.Sprintf("meta key %d", x.Key)}
		}
		p.set(x.To, l)
	case CT:
		l, ok := ctNames[x.Key]
		if !ok {
			l = label{name: fmt.Sprintf("ct key %d", x.Key)}
		}
		if x.Dir {
			l.name = strings.Replace(l.name, "ct ", map[bool]string{false: "ct original ", true: "ct reply "}[x.Reply], 1)
		}
		p.set(x.To, l)
	case FIB:
		what := "oif"
		if x.Result == 3 {
			what = "type"
		}
		of := "daddr"
		if x.Flags&1 != 0 {
			of = "saddr"
		}
		p.set(x.To, label{name: "fib " + of + " " + what, format: 'n'})
	case Header:
		p.set(x.To, label{name: "exthdr"})
	case Bitwise:
		l := p.regs[x.From]
		l.mask = slices.Clone(x.Mask)
		if l.length == 0 {
			l.length = x.Len
		}
		p.set(x.To, l)
	case Byteorder:
		l := p.regs[x.From]
		l.format = 'x'
		p.set(x.To, l)
	case Immediate:
		p.set(x.To, label{name: "0x" + hex.EncodeToString(x.Data), format: 'i', mask: x.Data})
	case Cmp:
		p.compare(x)
	case Range:
		l := p.regs[x.From]
		not := ""
		if x.Not {
			not = "!= "
		}
		p.say("%s %s%s-%s", l.name, not, l.value(x.Lo), l.value(x.Hi))
	case Lookup:
		p.lookup(x)
	case Limit:
		p.say("%s", x.Name)
	case Match:
		if text := x.Match.String(); text != "" {
			p.say("-m %s", text)
		}
	case Target:
		p.say("-j %s", x.Target)
	case Verdict:
		p.say("%s", x)
	case NAT:
		p.nat(x)
	case Redirect:
		p.say("redirect")
		if x.PortMin >= 0 {
			p.say("to :%s", p.immediate(x.PortMin, 'p'))
		}
	case Masquerade:
		p.say("masquerade")
	case Reject:
		p.say("reject")
	case NoTrack:
		p.say("notrack")
	case MetaSet:
		p.say("meta set %s", p.regs[x.From].name)
	case CTSet:
		p.say("ct set %s", p.regs[x.From].name)
	case PayloadWrite:
		p.say("payload set")
	case Plain:
		if x.Name == "log" {
			p.say("log")
		}
	case Unknown:
		p.say("[%s]", x.Name)
	}
}

// payload names a field of a header.
func (p *printer) payload(x Payload) label {
	proto := p.proto
	if proto == "" {
		proto = "th"
	}
	known := map[Payload]label{
		{Base: NetworkHeader, Offset: 9, Len: 1}:    {name: "ip protocol"},
		{Base: NetworkHeader, Offset: 12, Len: 4}:   {name: "ip saddr", format: 'a'},
		{Base: NetworkHeader, Offset: 16, Len: 4}:   {name: "ip daddr", format: 'a'},
		{Base: NetworkHeader, Offset: 6, Len: 1}:    {name: "ip6 nexthdr"},
		{Base: NetworkHeader, Offset: 8, Len: 16}:   {name: "ip6 saddr", format: 'a'},
		{Base: NetworkHeader, Offset: 24, Len: 16}:  {name: "ip6 daddr", format: 'a'},
		{Base: TransportHeader, Offset: 0, Len: 2}:  {name: proto + " sport", format: 'p'},
		{Base: TransportHeader, Offset: 2, Len: 2}:  {name: proto + " dport", format: 'p'},
		{Base: TransportHeader, Offset: 13, Len: 1}: {name: proto + " flags"},
	}
	if l, ok := known[Payload{Base: x.Base, Offset: x.Offset, Len: x.Len}]; ok {
		l.length = x.Len
		return l
	}
	l := label{length: x.Len, name: fmt.Sprintf("@%s,%d,%d", []string{"ll", "nh", "th", "ih"}[x.Base&3], x.Offset*8, x.Len*8)}
	if x.Base != NetworkHeader {
		return l
	}
	for _, f := range []struct {
		name         string
		offset, size int
	}{{"ip saddr", 12, 4}, {"ip daddr", 16, 4}} { // the first bytes of an address: a network
		if x.Offset == f.offset && x.Len < f.size {
			return label{name: f.name, format: 'a', length: f.size}
		}
	}
	return l
}

func (p *printer) compare(x Cmp) {
	l := p.regs[x.From]
	op := map[CmpOp]string{Equal: "", NotEqual: "!= ", Less: "< ", LessOrEqual: "<= ", Greater: "> ", GreaterOrEqual: ">= "}[x.Op]
	if l.name == "meta l4proto" || l.name == "ip protocol" || l.name == "ip6 nexthdr" {
		if len(x.Data) > 0 {
			name := map[byte]string{1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}[x.Data[0]]
			if x.Op == Equal && (name == "tcp" || name == "udp") {
				p.proto = name
			}
			if name != "" {
				p.say("%s %s%s", l.name, op, name)
				return
			}
		}
	}
	if l.name == "ct state" && l.mask != nil && x.Op == NotEqual && isZero(x.Data) {
		p.say("ct state %s", stateNames(l.mask))
		return
	}
	if l.mask != nil && l.format != 'a' {
		p.say("%s & 0x%s %s0x%s", l.name, hex.EncodeToString(l.mask), strings.Replace(op, "", "", 1), hex.EncodeToString(x.Data))
		return
	}
	value := l.value(x.Data)
	if l.format == 'a' {
		bits := len(x.Data) * 8
		if l.mask != nil {
			bits = leadingOnes(l.mask)
		}
		if bits < l.length*8 {
			value += fmt.Sprintf("/%d", bits)
		}
	}
	p.say("%s %s%s", l.name, op, value)
}

func isZero(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) }

func leadingOnes(mask []byte) int {
	n := 0
	for _, m := range mask {
		for bit := 7; bit >= 0; bit-- {
			if m&(1<<bit) == 0 {
				return n
			}
			n++
		}
	}
	return n
}

func stateNames(mask []byte) string {
	if len(mask) < 4 {
		return "?"
	}
	bits := binary.NativeEndian.Uint32(mask)
	var names []string
	for _, s := range []struct {
		bit  uint32
		name string
	}{{1, "invalid"}, {2, "established"}, {4, "related"}, {8, "new"}, {64, "untracked"}} {
		if bits&s.bit != 0 {
			names = append(names, s.name)
		}
	}
	return strings.Join(names, ",")
}

// value reads the bytes that a register is compared with.
func (l label) value(b []byte) string {
	switch l.format {
	case 'a':
		full := slices.Clone(b)
		for len(full) < l.length {
			full = append(full, 0)
		}
		if a, ok := netip.AddrFromSlice(full); ok {
			return a.String()
		}
	case 'p':
		if len(b) == 2 {
			return fmt.Sprint(binary.BigEndian.Uint16(b))
		}
	case 's':
		s, _, ended := strings.Cut(string(b), "\x00")
		if !ended && len(b) < 16 {
			s += "*"
		}
		return fmt.Sprintf("%q", s)
	case 'n':
		switch len(b) {
		case 4:
			return fmt.Sprint(binary.NativeEndian.Uint32(b))
		case 2:
			return fmt.Sprint(binary.NativeEndian.Uint16(b))
		}
	}
	if len(b) == 1 {
		return fmt.Sprint(b[0])
	}
	return "0x" + hex.EncodeToString(b)
}

// maxListed is how many elements of a set are printed.
const maxListed = 8

func (p *printer) lookup(x Lookup) {
	var key []string
	for at := x.From; at < x.From+max(x.Set.KeyLen, 1); {
		l := p.regs[at]
		if l.name == "" {
			break
		}
		key = append(key, l.name)
		at += 4
		for at < len(p.regs) && at < x.From+x.Set.KeyLen && p.regs[at].name == "" {
			at += 4
		}
	}
	not, vmap := "", ""
	if x.Not {
		not = "!= "
	}
	if x.To == VerdictRegister {
		vmap = "vmap "
	} else if x.To >= 0 {
		vmap = "map "
		p.set(x.To, label{name: strings.Join(key, " . ") + " map @" + x.Set.Name, format: 'm'})
		return
	}
	if !strings.HasPrefix(x.Set.Name, "__") {
		p.say("%s %s%s@%s", strings.Join(key, " . "), not, vmap, x.Set.Name)
		return
	}
	l := p.regs[x.From]
	var list []string
	for i, el := range x.Set.Elements {
		if i == maxListed {
			list = append(list, "…")
			break
		}
		item := "*"
		if !el.All {
			item = l.element(el, len(key) > 1)
		}
		if el.Verdict != nil {
			item += " : " + el.Verdict.String()
		}
		list = append(list, item)
	}
	p.say("%s %s%s{ %s }", strings.Join(key, " . "), not, vmap, strings.Join(list, ", "))
}

func (l label) element(el Element, several bool) string {
	if several {
		return "0x" + hex.EncodeToString(el.From)
	}
	item := l.value(el.From)
	if !slices.Equal(el.From, el.To) {
		item += "-" + l.value(el.To)
	}
	return item
}

// String is the verdict as nft prints it.
func (v Verdict) String() string {
	switch v.Code {
	case Continue:
		return "continue"
	case Break:
		return "break"
	case Jump:
		return "jump " + v.Chain
	case Goto:
		return "goto " + v.Chain
	case Return:
		return "return"
	}
	switch v.Code & 0xff {
	case Drop:
		return "drop"
	case Accept:
		return "accept"
	case Queue:
		return "queue"
	}
	return fmt.Sprintf("verdict %d", v.Code)
}

func (p *printer) immediate(at int, format byte) string {
	l := p.regs[at]
	if l.format != 'i' {
		return l.name
	}
	return label{format: format, length: len(l.mask)}.value(l.mask)
}

func (p *printer) nat(x NAT) {
	kind := "dnat"
	if x.Source {
		kind = "snat"
	}
	to := ""
	if x.AddrMin >= 0 {
		to = p.immediate(x.AddrMin, 'a')
	}
	if x.PortMin >= 0 {
		to += ":" + p.immediate(x.PortMin, 'p')
	}
	p.say("%s to %s", kind, to)
}
