// Package xtables decodes the matches and targets of iptables' extensions from
// the structures in which the kernel keeps them (linux/netfilter/xt_*.h), as
// they come from nftables' compatibility expressions and from the legacy tables
// alike. What it does not know comes out as Unknown: it is never left out.
package xtables

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A Match is one condition of a rule: one of the types below.
type Match interface{ String() string }

// A Target is what a rule does: one of the types below.
type Target interface{ String() string }

// Always is a match that holds for every packet, such as a comment.
type Always struct{ Text string }

// Never is a match that holds for no plain TCP or UDP packet: of ICMP, or of
// IPv6's extension headers.
type Never struct{ Text string }

// Rate is a match that depends on how much came before: limit, hashlimit,
// connlimit, recent. Quiet is its answer for the first packet of somebody who
// was never seen, when nothing else comes in.
type Rate struct {
	Text  string
	Quiet bool
}

// Unknown is an extension that this package cannot decode.
type Unknown struct {
	Name     string
	Revision uint32
}

// Ports compares ports with ranges: of match tcp, udp and multiport.
type Ports struct {
	Name     string // tcp, udp, multiport
	Protocol uint8  // 0: any
	Source   *PortSet
	Dest     *PortSet
	Either   *PortSet // source or destination
	FlagMask uint8    // of tcp: the flags looked at
	FlagSet  uint8    // and those of them that must be set
	FlagsNot bool
	Option   uint8 // of tcp: the option that must be there, 0 for none
}

// PortSet is ranges of ports, inverted or not.
type PortSet struct {
	Ranges []PortRange
	Not    bool
}

// PortRange is a range of ports, ends included.
type PortRange struct{ From, To uint16 }

// AddressTypes compares what the routing table says of addresses with bits of
// RTN_* (linux/rtnetlink.h).
type AddressTypes struct {
	Source, Dest       uint16
	NotSource, NotDest bool
	LimitIn, LimitOut  bool // only addresses of the interface of the packet
}

// Conntrack compares what connection tracking knows of the packet.
type Conntrack struct {
	Flags, Not         uint16 // CT*: what is compared, and what of that inverted
	State, Status      uint16
	Protocol           uint16
	Addrs              [4]Masked    // original source and destination, reply source and destination
	OrigPort, ReplPort [2]PortRange // source and destination
}

// Bits of Conntrack.Flags and Conntrack.Not (xt_conntrack.h).
const (
	CTState     = 1 << iota
	CTProtocol  //
	CTOrigSrc   // the next four in the order of Addrs
	CTOrigDst   //
	CTReplSrc   //
	CTReplDst   //
	CTStatus    //
	CTExpires   //
	CTOrigSPort //
	CTOrigDPort //
	CTReplSPort //
	CTReplDPort //
	CTDirection
)

// Bits of Conntrack.State.
const (
	StateInvalid     = 1 << 0
	StateEstablished = 1 << 1
	StateRelated     = 1 << 2
	StateNew         = 1 << 3
	StateSNAT        = 1 << 6
	StateDNAT        = 1 << 7
	StateUntracked   = 1 << 8
)

// Masked is an address with its mask, both as the kernel has them: 4 bytes of
// 16 count for IPv4.
type Masked struct{ Addr, Mask [16]byte }

// Mark compares the packet's or the connection's mark.
type Mark struct {
	Connection  bool
	Value, Mask uint32
	Not         bool
}

// AddrRange compares addresses with ranges.
type AddrRange struct {
	Source, Dest       *[2]netip.Addr // nil: not compared
	NotSource, NotDest bool
}

// ReversePath holds when the way back to the source leads to where the packet
// came from; inverted, when it does not.
type ReversePath struct{ Not bool }

// IPsec holds for packets that came by IPsec when Wants is set, else for others.
type IPsec struct{ Wants bool }

// Verdict ends a chain: standard targets and REJECT.
type Verdict struct{ Text string }

// Continue is a target after which the rules go on as if nothing had happened.
type Continue struct{ Text string }

// Nat translates the destination (DNAT) or the source (SNAT, MASQUERADE).
type Nat struct {
	Name         string
	Source       bool       // the source is translated
	Redirect     bool       // to the address of the interface it came in by
	Min, Max     netip.Addr // not valid: the address stays
	PortMin      uint16     // 0: the port stays
	PortMax      uint16
	Masquerading bool
}

// SetMark changes the packet's or the connection's mark: (mark &^ Mask) ^ Value.
type SetMark struct {
	Connection  bool
	Value, Mask uint32
	Copy        bool // from the one mark to the other: what comes out is not followed
}

// NoTrack keeps the packet from connection tracking.
type NoTrack struct{}

// Match decodes a match of address family ip (v6 false) or ip6.
func DecodeMatch(name string, rev uint32, info []byte, v6 bool) Match {
	d := decoder{info: info, v6: v6}
	var m Match
	switch name {
	case "comment":
		m = Always{""}
	case "tcp":
		m = d.tcp()
	case "udp", "udplite":
		m = d.udp(name)
	case "multiport":
		m = d.multiport(rev)
	case "addrtype":
		m = d.addrtype(rev)
	case "conntrack":
		m = d.conntrack(rev)
	case "state":
		m = Conntrack{Flags: CTState, State: d.stateBits()}
	case "limit":
		m = Rate{"limit", true}
	case "hashlimit":
		m = d.hashlimit(rev)
	case "connlimit":
		m = d.connlimit()
	case "recent":
		m = d.recent()
	case "mark", "connmark":
		if rev == 1 {
			m = Mark{name == "connmark", d.u32(0), d.u32(4), d.u8(8) != 0}
		}
	case "iprange":
		m = d.iprange(rev)
	case "icmp", "icmp6", "sctp", "dccp", "esp", "ah",
		"rt", "frag", "hbh", "dst", "mh", "srh": // headers that a plain packet does not have
		m = Never{name}
	case "rpfilter":
		m = ReversePath{d.u8(0)&8 != 0}
	case "policy":
		m = d.policy()
	}
	if m == nil || d.short {
		return Unknown{name, rev}
	}
	return m
}

// DecodeTarget decodes a target.
func DecodeTarget(name string, rev uint32, info []byte, v6 bool) Target {
	d := decoder{info: info, v6: v6}
	var t Target
	switch name {
	case "DNAT", "REDIRECT", "SNAT", "MASQUERADE":
		t = d.nat(name, rev)
	case "REJECT":
		t = Verdict{"REJECT"}
	case "MARK":
		if rev == 2 {
			t = SetMark{Value: d.u32(0), Mask: d.u32(4)}
		}
	case "CONNMARK":
		t = d.connmark()
	case "CT":
		if d.u16(0)&1 != 0 {
			t = NoTrack{}
		} else {
			t = Continue{"CT"}
		}
	case "NOTRACK":
		t = NoTrack{}
	case "LOG", "NFLOG", "ULOG", "AUDIT", "TRACE", "CHECKSUM", "CLASSIFY", "DSCP", "TOS", "TTL", "HL", "TCPMSS", "TCPOPTSTRIP",
		"SECMARK", "CONNSECMARK", "RATEEST", "IDLETIMER", "LED", "TEE", "SET", "ECN":
		t = Continue{name}
	}
	if t == nil || d.short {
		return Unknown{name, rev}
	}
	return t
}

// decoder reads numbers at offsets and remembers when the structure ended
// before.
type decoder struct {
	info  []byte
	v6    bool
	short bool
}

func (d *decoder) bytes(off, n int) []byte {
	if off+n > len(d.info) {
		d.short = true
		return make([]byte, n)
	}
	return d.info[off : off+n]
}

func (d *decoder) u8(off int) uint8    { return d.bytes(off, 1)[0] }
func (d *decoder) u16(off int) uint16  { return binary.NativeEndian.Uint16(d.bytes(off, 2)) }
func (d *decoder) u32(off int) uint32  { return binary.NativeEndian.Uint32(d.bytes(off, 4)) }
func (d *decoder) be16(off int) uint16 { return binary.BigEndian.Uint16(d.bytes(off, 2)) }
func (d *decoder) stateBits() uint16 {
	return uint16(d.u32(0))&^(StateSNAT|StateDNAT) | d.oldUntracked()
}
func (d *decoder) addr(off int) [16]byte { return [16]byte(d.bytes(off, 16)) }

// oldUntracked translates xt_state.h's bit of untracked packets.
func (d *decoder) oldUntracked() uint16 {
	if d.u32(0)&(1<<6) != 0 {
		return StateUntracked
	}
	return 0
}

func (d *decoder) ip(off int) netip.Addr {
	if d.v6 {
		return netip.AddrFrom16([16]byte(d.bytes(off, 16)))
	}
	return netip.AddrFrom4([4]byte(d.bytes(off, 4)))
}

func portSet(from, to uint16, not bool) *PortSet {
	if from == 0 && to == 65535 && !not {
		return nil
	}
	return &PortSet{[]PortRange{{from, to}}, not}
}

// struct xt_tcp, xt_tcpudp.h.
func (d *decoder) tcp() Match {
	inv := d.u8(11)
	return Ports{
		Name: "tcp", Protocol: 6,
		Source: portSet(d.u16(0), d.u16(2), inv&1 != 0), Dest: portSet(d.u16(4), d.u16(6), inv&2 != 0),
		Option: d.u8(8), FlagMask: d.u8(9), FlagSet: d.u8(10), FlagsNot: inv&4 != 0,
	}
}

// struct xt_udp, xt_tcpudp.h.
func (d *decoder) udp(name string) Match {
	if name == "udplite" {
		return Never{name}
	}
	inv := d.u8(8)
	return Ports{
		Name: "udp", Protocol: 17,
		Source: portSet(d.u16(0), d.u16(2), inv&1 != 0), Dest: portSet(d.u16(4), d.u16(6), inv&2 != 0),
	}
}

// struct xt_multiport_v1, xt_multiport.h.
func (d *decoder) multiport(rev uint32) Match {
	count := int(d.u8(1))
	if rev != 1 || count > 15 {
		return nil
	}
	set := &PortSet{Not: d.u8(47) != 0}
	for i := 0; i < count; i++ {
		r := PortRange{d.u16(2 + 2*i), d.u16(2 + 2*i)}
		if d.u8(32+i) != 0 && i+1 < count { // a range's first port
			i++
			r.To = d.u16(2 + 2*i)
		}
		set.Ranges = append(set.Ranges, r)
	}
	switch d.u8(0) {
	case 0:
		return Ports{Name: "multiport", Source: set}
	case 1:
		return Ports{Name: "multiport", Dest: set}
	case 2:
		return Ports{Name: "multiport", Either: set}
	}
	return nil
}

// struct xt_addrtype_info and _v1, xt_addrtype.h.
func (d *decoder) addrtype(rev uint32) Match {
	a := AddressTypes{Source: d.u16(0), Dest: d.u16(2)}
	if rev == 0 {
		a.NotSource, a.NotDest = d.u32(4) != 0, d.u32(8) != 0
		return a
	}
	flags := d.u32(4)
	a.NotSource, a.NotDest, a.LimitIn, a.LimitOut = flags&1 != 0, flags&2 != 0, flags&4 != 0, flags&8 != 0
	return a
}

// struct xt_conntrack_mtinfo1 to 3, xt_conntrack.h.
func (d *decoder) conntrack(rev uint32) Match {
	if rev < 1 || rev > 3 {
		return nil
	}
	var c Conntrack
	for i := range c.Addrs {
		c.Addrs[i] = Masked{d.addr(32 * i), d.addr(32*i + 16)}
	}
	c.Protocol = d.u16(136)
	ports := [4]PortRange{}
	for i := range ports {
		port := d.be16(138 + 2*i)
		if rev == 3 {
			port = d.u16(138 + 2*i)
		}
		ports[i] = PortRange{port, port}
		if rev == 3 {
			ports[i].To = d.u16(154 + 2*i)
		}
	}
	c.OrigPort, c.ReplPort = [2]PortRange(ports[:2]), [2]PortRange(ports[2:])
	c.Flags, c.Not = d.u16(146), d.u16(148)
	if rev == 1 {
		c.State, c.Status = uint16(d.u8(150)), uint16(d.u8(151))
	} else {
		c.State, c.Status = d.u16(150), d.u16(152)
	}
	return c
}

// struct xt_hashlimit_mtinfo1 to 3, xt_hashlimit.h.
func (d *decoder) hashlimit(rev uint32) Match {
	var mode uint32
	switch rev {
	case 1:
		mode = d.u32(16)
	case 2, 3:
		mode = d.u32(256 + 16)
	default:
		return nil
	}
	return Rate{"hashlimit", mode&(1<<4) == 0}
}

// struct xt_connlimit_info, xt_connlimit.h. The connection itself counts.
func (d *decoder) connlimit() Match {
	above := d.u32(16) < 1
	if d.u32(20)&1 != 0 {
		above = !above
	}
	return Rate{"connlimit", above}
}

// struct xt_recent_mtinfo and _v1, xt_recent.h.
func (d *decoder) recent() Match {
	check, invert := d.u8(8), d.u8(9) != 0
	if check&2 != 0 { // --set always holds
		if invert {
			return Never{"recent"}
		}
		return Always{"recent"}
	}
	return Rate{"recent", invert}
}

// struct xt_iprange_mtinfo, xt_iprange.h.
func (d *decoder) iprange(rev uint32) Match {
	if rev != 1 {
		return nil
	}
	flags := d.u8(64)
	r := AddrRange{NotSource: flags&16 != 0, NotDest: flags&32 != 0}
	if flags&1 != 0 {
		r.Source = &[2]netip.Addr{d.ip(0), d.ip(16)}
	}
	if flags&2 != 0 {
		r.Dest = &[2]netip.Addr{d.ip(32), d.ip(48)}
	}
	return r
}

// struct xt_policy_info, xt_policy.h.
func (d *decoder) policy() Match {
	if len(d.info) < 308 {
		return nil
	}
	flags := d.u16(304)
	if flags&1 == 0 { // about what goes out
		return nil
	}
	return IPsec{flags&4 == 0}
}

// Flags of nf_nat.h.
const (
	natAddress = 1
	natPort    = 2
)

// struct nf_nat_ipv4_multi_range_compat, nf_nat_range and nf_nat_range2, nf_nat.h.
func (d *decoder) nat(name string, rev uint32) Target {
	n := Nat{Name: name, Source: name == "SNAT" || name == "MASQUERADE", Redirect: name == "REDIRECT", Masquerading: name == "MASQUERADE"}
	var flags uint32
	if rev == 0 && !d.v6 {
		if d.u32(0) != 1 {
			return nil
		}
		flags = d.u32(4)
		n.Min, n.Max = netip.AddrFrom4([4]byte(d.bytes(8, 4))), netip.AddrFrom4([4]byte(d.bytes(12, 4)))
		n.PortMin, n.PortMax = d.be16(16), d.be16(18)
	} else {
		flags = d.u32(0)
		n.Min, n.Max = d.ip(4), d.ip(20)
		n.PortMin, n.PortMax = d.be16(36), d.be16(38)
	}
	if flags&natAddress == 0 {
		n.Min, n.Max = netip.Addr{}, netip.Addr{}
	}
	if flags&natPort == 0 {
		n.PortMin, n.PortMax = 0, 0
	}
	if flags&^uint32(natAddress|natPort|4|8|16) != 0 { // more than addresses, ports and how to choose them
		return nil
	}
	return n
}

// struct xt_connmark_tginfo1 and 2, xt_connmark.h: set, save, restore.
func (d *decoder) connmark() Target {
	switch d.u8(12) {
	case 0:
		return SetMark{Connection: true, Value: d.u32(0), Mask: d.u32(4)}
	case 1:
		return SetMark{Connection: true, Copy: true}
	case 2:
		return SetMark{Copy: true}
	}
	return nil
}

func (m Always) String() string  { return m.Text }
func (m Never) String() string   { return m.Text }
func (m Rate) String() string    { return m.Text }
func (m Unknown) String() string { return fmt.Sprintf("%s (revision %d)", m.Name, m.Revision) }

func (p PortSet) String() string {
	var parts []string
	for _, r := range p.Ranges {
		if r.From == r.To {
			parts = append(parts, fmt.Sprint(r.From))
		} else {
			parts = append(parts, fmt.Sprintf("%d:%d", r.From, r.To))
		}
	}
	return strings.Join(parts, ",")
}

func (m Ports) String() string {
	var b strings.Builder
	for _, p := range []struct {
		set  *PortSet
		name string
	}{{m.Source, "sport"}, {m.Dest, "dport"}, {m.Either, "port"}} {
		if p.set == nil {
			continue
		}
		not := ""
		if p.set.Not {
			not = "! "
		}
		name := p.name
		if m.Name == "multiport" {
			name = strings.TrimSuffix(name+"s", "ss")
		}
		fmt.Fprintf(&b, "%s--%s %v ", not, name, p.set)
	}
	if m.FlagMask != 0 {
		fmt.Fprintf(&b, "--tcp-flags %#x/%#x ", m.FlagSet, m.FlagMask)
	}
	return strings.TrimSpace(m.Name + " " + b.String())
}

// routeTypes are RTN_* by their bits.
var routeTypes = []string{"UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT"}

func bitNames(bits uint16, names []string) string {
	var set []string
	for i, n := range names {
		if bits&(1<<i) != 0 {
			set = append(set, n)
		}
	}
	return strings.Join(set, ",")
}

func (m AddressTypes) String() string {
	var parts []string
	add := func(not bool, option string, bits uint16) {
		if bits == 0 {
			return
		}
		if not {
			option = "! " + option
		}
		parts = append(parts, option+" "+bitNames(bits, routeTypes))
	}
	add(m.NotSource, "--src-type", m.Source)
	add(m.NotDest, "--dst-type", m.Dest)
	return "addrtype " + strings.Join(parts, " ")
}

func (m Conntrack) String() string {
	states := []string{"INVALID", "ESTABLISHED", "RELATED", "NEW", "", "", "SNAT", "DNAT", "UNTRACKED"}
	parts := []string{"conntrack"}
	add := func(bit uint16, text string) {
		if m.Flags&bit == 0 {
			return
		}
		if m.Not&bit != 0 {
			text = "! " + text
		}
		parts = append(parts, text)
	}
	add(CTState, "--ctstate "+bitNames(m.State, states))
	for i, name := range []string{"--ctorigsrc", "--ctorigdst", "--ctreplsrc", "--ctrepldst"} {
		add(CTOrigSrc<<i, name)
	}
	add(CTStatus, "--ctstatus")
	for i, r := range slices.Concat(m.OrigPort[:], m.ReplPort[:]) {
		name := []string{"--ctorigsrcport", "--ctorigdstport", "--ctreplsrcport", "--ctrepldstport"}[i]
		add(CTOrigSPort<<i, name+" "+PortSet{Ranges: []PortRange{r}}.String())
	}
	add(CTDirection, "--ctdir ORIGINAL")
	return strings.Join(parts, " ")
}

func (m Mark) String() string {
	name := "mark"
	if m.Connection {
		name = "connmark"
	}
	if m.Not {
		name += " !"
	}
	return fmt.Sprintf("%s --mark %#x/%#x", name, m.Value, m.Mask)
}

func (m AddrRange) String() string {
	s := "iprange"
	for _, r := range []struct {
		r    *[2]netip.Addr
		not  bool
		name string
	}{{m.Source, m.NotSource, "--src-range"}, {m.Dest, m.NotDest, "--dst-range"}} {
		if r.r != nil {
			if r.not {
				s += " !"
			}
			s += fmt.Sprintf(" %s %v-%v", r.name, r.r[0], r.r[1])
		}
	}
	return s
}

func (m ReversePath) String() string { return "rpfilter" }
func (m IPsec) String() string       { return "policy" }
func (t Verdict) String() string     { return t.Text }
func (t Continue) String() string    { return t.Text }
func (t NoTrack) String() string     { return "CT --notrack" }

func (t SetMark) String() string {
	if t.Connection {
		return fmt.Sprintf("CONNMARK %#x/%#x", t.Value, t.Mask)
	}
	return fmt.Sprintf("MARK %#x/%#x", t.Value, t.Mask)
}

func (t Nat) String() string {
	if t.Masquerading {
		return t.Name
	}
	port := ""
	if t.PortMin != 0 {
		port = ":" + strings.Replace(PortSet{Ranges: []PortRange{{t.PortMin, t.PortMax}}}.String(), ":", "-", 1)
	}
	if t.Redirect {
		return "REDIRECT --to " + strings.TrimPrefix(port, ":")
	}
	if !t.Min.IsValid() {
		return t.Name + " --to " + port
	}
	to := t.Min.String()
	if t.Min.Is6() && port != "" {
		to = "[" + to + "]"
	}
	if t.Max != t.Min {
		to += "-" + t.Max.String()
	}
	return t.Name + " --to " + to + port
}
