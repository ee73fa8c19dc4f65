// Package nftables reads the kernel's nf_tables ruleset from the netlink
// messages in which the kernel lists it (linux/netfilter/nf_tables.h), and
// prints rules about as nft(8) does. What it does not know comes out as
// Unknown: it is never left out, as the verdict of a rule may depend on it.
package nftables

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Family is the address family of a table, NFPROTO_*.
type Family uint8

// The families of tables.
const (
	Inet   Family = 1
	IPv4   Family = 2
	ARP    Family = 3
	Netdev Family = 5
	Bridge Family = 7
	IPv6   Family = 10
)

func (f Family) String() string {
	switch f {
	case Inet:
		return "inet"
	case IPv4:
		return "ip"
	case ARP:
		return "arp"
	case Netdev:
		return "netdev"
	case Bridge:
		return "bridge"
	case IPv6:
		return "ip6"
	}
	return fmt.Sprintf("family %d", uint8(f))
}

// A Ruleset is all tables of one network namespace.
type Ruleset struct {
	Chains []*Chain // of tables that are not dormant
	chains map[chainKey]*Chain
	sets   map[chainKey]*Set
}

type chainKey struct {
	family      Family
	table, name string
}

// A Chain is a list of rules; one with a Base is entered by packets themselves.
type Chain struct {
	Family Family
	Table  string
	Name   string
	Legacy bool // of the legacy tables (iptables-legacy)
	Base   *Base
	Rules  []*Rule
}

// String names the chain as nft does: "ip filter INPUT".
func (c *Chain) String() string {
	if c.Legacy {
		return fmt.Sprintf("%stables-legacy %s %s", c.Family, c.Table, c.Name)
	}
	return fmt.Sprintf("%v %s %s", c.Family, c.Table, c.Name)
}

// Base is what ties a chain to the path of packets.
type Base struct {
	Hook     Hook
	Priority int32
	NAT      bool // of type nat: asked for the first packet of a connection only
	Drop     bool // the policy
	Devices  []string
}

// A Hook is a place in the path of packets, NF_INET_*; Ingress is that of
// network devices.
type Hook uint8

// The hooks of families ip, ip6 and inet.
const (
	Prerouting Hook = iota
	Input
	Forward
	Output
	Postrouting
	Ingress
)

func (h Hook) String() string {
	names := []string{"prerouting", "input", "forward", "output", "postrouting", "ingress"}
	if int(h) < len(names) {
		return names[h]
	}
	return fmt.Sprintf("hook %d", uint8(h))
}

// A Rule is a list of expressions; the first that does not hold ends it.
type Rule struct {
	Chain  *Chain
	Handle uint64 // 0 in legacy tables, where Number counts
	Number int    // place in the chain, from 1
	Exprs  []Expr
}

// A Set is a set, a map or a verdict map. Its elements are not overlapping.
type Set struct {
	Name     string
	Map      bool
	Interval bool
	Objects  bool  // a map to named objects
	Dynamic  bool  // packets add elements
	Expires  bool  // elements have an end
	Fields   []int // of concatenations: the bytes of each field, without what fills it up to four
	KeyLen   int
	Elements []Element
	unsorted []rawElement
}

// An Element covers From to To, both included, field by field in a
// concatenation.
type Element struct {
	From, To []byte
	All      bool // "*": what no other element covers
	Data     []byte
	Verdict  *Verdict
	Exprs    []Expr // a limit, a counter …: asked after the key
}

type rawElement struct {
	Element
	end bool
}

// A Message is one netlink message of a dump, without its netlink header.
type Message struct {
	Type uint16 // without the subsystem: MsgNewTable …
	Body []byte // with its nfgenmsg
}

// Messages that a dump may hold.
const (
	MsgNewTable   = 0
	MsgGetTable   = 1
	MsgNewChain   = 3
	MsgGetChain   = 4
	MsgNewRule    = 6
	MsgGetRule    = 7
	MsgNewSet     = 9
	MsgGetSet     = 10
	MsgNewSetElem = 12
	MsgGetSetElem = 13
	MsgNewGen     = 15
	MsgGetGen     = 16
)

// SetName names one set for asking after its elements.
type SetName struct {
	Family      Family
	Table, Name string
}

// Sets returns the names of the sets in messages.
func Sets(messages []Message) ([]SetName, error) {
	var names []SetName
	for _, m := range messages {
		if m.Type != MsgNewSet || len(m.Body) < 4 {
			continue
		}
		n := SetName{Family: Family(m.Body[0])}
		err := each(m.Body[4:], func(kind uint16, data []byte) error {
			switch kind {
			case 1:
				n.Table = text(data)
			case 2:
				n.Name = text(data)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		names = append(names, n)
	}
	return names, nil
}

// GetSetElem is the body of a question after the elements of a set.
func GetSetElem(n SetName) []byte {
	body := []byte{byte(n.Family), 0, 0, 0}
	body = appendText(body, 1, n.Table)
	return appendText(body, 2, n.Name)
}

func appendText(body []byte, kind uint16, s string) []byte {
	body = binary.NativeEndian.AppendUint16(body, uint16(4+len(s)+1))
	body = binary.NativeEndian.AppendUint16(body, kind)
	body = append(append(body, s...), 0)
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	return body
}

// Decode makes a ruleset of the messages of one generation of it.
func Decode(messages []Message) (*Ruleset, error) {
	r := &Ruleset{chains: map[chainKey]*Chain{}, sets: map[chainKey]*Set{}}
	dormant := map[chainKey]bool{}
	// Rules name chains and sets, whatever the order of the dumps.
	for _, pass := range []uint16{MsgNewTable, MsgNewChain, MsgNewSet, MsgNewSetElem, MsgNewRule} {
		for _, m := range messages {
			if m.Type != pass {
				continue
			}
			if len(m.Body) < 4 {
				return nil, errShort
			}
			family, attrs := Family(m.Body[0]), m.Body[4:]
			var err error
			switch m.Type {
			case MsgNewTable:
				err = r.table(family, attrs, dormant)
			case MsgNewChain:
				err = r.chain(family, attrs, dormant)
			case MsgNewSet:
				err = r.set(family, attrs)
			case MsgNewSetElem:
				err = r.elements(family, attrs)
			case MsgNewRule:
				err = r.rule(family, attrs)
			}
			if err != nil {
				return nil, err
			}
		}
		if pass == MsgNewSetElem {
			for _, s := range r.sets {
				s.close()
			}
		}
	}
	return r, nil
}

// Add adds a chain that came from elsewhere: the legacy tables.
func (r *Ruleset) Add(c *Chain) {
	if r.chains == nil {
		r.chains = map[chainKey]*Chain{}
	}
	table := c.Table
	if c.Legacy {
		table = "legacy " + table
	}
	r.chains[chainKey{c.Family, table, c.Name}] = c
	r.Chains = append(r.Chains, c)
}

// Jump finds the chain that a verdict of a rule names, nil when there is none.
func (r *Ruleset) Jump(from *Chain, name string) *Chain {
	table := from.Table
	if from.Legacy {
		table = "legacy " + table
	}
	return r.chains[chainKey{from.Family, table, name}]
}

func (r *Ruleset) table(family Family, attrs []byte, dormant map[chainKey]bool) error {
	var name string
	var flags uint32
	err := each(attrs, func(kind uint16, data []byte) error {
		switch kind {
		case 1:
			name = text(data)
		case 2:
			flags = be32(data)
		}
		return nil
	})
	if flags&1 != 0 {
		dormant[chainKey{family, name, ""}] = true
	}
	return err
}

func (r *Ruleset) chain(family Family, attrs []byte, dormant map[chainKey]bool) error {
	c := &Chain{Family: family}
	var hook []byte
	var kindOf string
	policy := uint32(1)
	err := each(attrs, func(kind uint16, data []byte) error {
		switch kind {
		case 1:
			c.Table = text(data)
		case 3:
			c.Name = text(data)
		case 4:
			hook = data
		case 5:
			policy = be32(data)
		case 7:
			kindOf = text(data)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if hook != nil {
		c.Base = &Base{NAT: kindOf == "nat", Drop: policy == 0}
		err = each(hook, func(kind uint16, data []byte) error {
			switch kind {
			case 1:
				c.Base.Hook = Hook(be32(data))
			case 2:
				c.Base.Priority = int32(be32(data))
			case 3:
				c.Base.Devices = append(c.Base.Devices, text(data))
			case 4:
				return each(data, func(_ uint16, data []byte) error {
					c.Base.Devices = append(c.Base.Devices, text(data))
					return nil
				})
			}
			return nil
		})
		if family == Netdev { // its hooks are numbered on their own: ingress 0, egress 1
			if c.Base.Hook == 0 {
				c.Base.Hook = Ingress
			} else {
				c.Base.Hook += Ingress
			}
		}
	}
	if !dormant[chainKey{family, c.Table, ""}] {
		r.Chains = append(r.Chains, c)
	}
	r.chains[chainKey{family, c.Table, c.Name}] = c
	return err
}

// Flags of sets and elements.
const (
	setInterval = 0x4
	setMap      = 0x8
	setTimeout  = 0x10
	setEval     = 0x20
	setObject   = 0x40
	setConcat   = 0x80

	elemEnd = 1
	elemAll = 2
)

func (r *Ruleset) set(family Family, attrs []byte) error {
	s := &Set{}
	var table string
	err := each(attrs, func(kind uint16, data []byte) error {
		switch kind {
		case 1:
			table = text(data)
		case 2:
			s.Name = text(data)
		case 3:
			flags := be32(data)
			s.Interval, s.Map, s.Objects = flags&setInterval != 0, flags&setMap != 0, flags&setObject != 0
			s.Expires, s.Dynamic = flags&setTimeout != 0, flags&setEval != 0
		case 5:
			s.KeyLen = int(be32(data))
		case 9:
			return each(data, func(kind uint16, data []byte) error {
				if kind != 2 {
					return nil
				}
				return each(data, func(_ uint16, data []byte) error { // a field
					return each(data, func(_ uint16, data []byte) error {
						s.Fields = append(s.Fields, int(be32(data)))
						return nil
					})
				})
			})
		}
		return nil
	})
	r.sets[chainKey{family, table, s.Name}] = s
	return err
}

func (r *Ruleset) elements(family Family, attrs []byte) error {
	var table, name string
	var list []byte
	err := each(attrs, func(kind uint16, data []byte) error {
		switch kind {
		case 1:
			table = text(data)
		case 2:
			name = text(data)
		case 3:
			list = data
		}
		return nil
	})
	if err != nil {
		return err
	}
	s := r.sets[chainKey{family, table, name}]
	if s == nil {
		return fmt.Errorf("the kernel lists elements of the set %s, which it does not have", name)
	}
	return each(list, func(_ uint16, data []byte) error {
		e := rawElement{}
		err := each(data, func(kind uint16, data []byte) error {
			var err error
			switch kind {
			case 1:
				e.From, _, err = decodeData(data)
			case 2:
				e.Data, e.Verdict, err = decodeData(data)
			case 3:
				e.end, e.All = be32(data)&elemEnd != 0, be32(data)&elemAll != 0
			case 7:
				var x Expr
				if x, err = r.expr(&Chain{Family: family, Table: table}, data); err == nil {
					e.Exprs = append(e.Exprs, x)
				}
			case 10:
				e.To, _, err = decodeData(data)
			case 11:
				err = each(data, func(_ uint16, data []byte) error {
					x, err := r.expr(&Chain{Family: family, Table: table}, data)
					e.Exprs = append(e.Exprs, x)
					return err
				})
			}
			return err
		})
		s.unsorted = append(s.unsorted, e)
		return err
	})
}

// close makes elements of what was listed. Interval sets of one field come as
// the places where an interval begins and where it has ended.
func (s *Set) close() {
	raw := s.unsorted
	s.unsorted = nil
	ranges := s.Interval && len(s.Fields) <= 1 && !slices.ContainsFunc(raw, func(e rawElement) bool { return e.To != nil })
	if !ranges {
		for _, e := range raw {
			if e.end {
				continue
			}
			if e.To == nil {
				e.To = e.From
			}
			s.Elements = append(s.Elements, e.Element)
		}
		return
	}
	slices.SortStableFunc(raw, func(a, b rawElement) int {
		if c := slices.Compare(a.From, b.From); c != 0 {
			return c
		}
		return cmp.Compare(boolInt(b.end), boolInt(a.end)) // an end before what begins there
	})
	for i, e := range raw {
		if e.end {
			continue
		}
		if e.All {
			s.Elements = append(s.Elements, e.Element)
			continue
		}
		e.To = slices.Repeat([]byte{0xff}, len(e.From))
		if i+1 < len(raw) {
			e.To = before(raw[i+1].From)
		}
		s.Elements = append(s.Elements, e.Element)
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// before is the number before a big-endian one that is not zero.
func before(n []byte) []byte {
	n = slices.Clone(n)
	for i := len(n) - 1; i >= 0; i-- {
		n[i]--
		if n[i] != 0xff {
			break
		}
	}
	return n
}

func (r *Ruleset) rule(family Family, attrs []byte) error {
	rule := &Rule{}
	var table, name string
	var list []byte
	err := each(attrs, func(kind uint16, data []byte) error {
		switch kind {
		case 1:
			table = text(data)
		case 2:
			name = text(data)
		case 3:
			rule.Handle = be64(data)
		case 4:
			list = data
		}
		return nil
	})
	if err != nil {
		return err
	}
	rule.Chain = r.chains[chainKey{family, table, name}]
	if rule.Chain == nil {
		return fmt.Errorf("the kernel lists rules of the chain %s, which it does not have", name)
	}
	err = each(list, func(_ uint16, data []byte) error {
		x, err := r.expr(rule.Chain, data)
		rule.Exprs = append(rule.Exprs, x)
		return err
	})
	rule.Chain.Rules = append(rule.Chain.Rules, rule)
	rule.Number = len(rule.Chain.Rules)
	return err
}

var errShort = errors.New("the kernel's list of its rules is malformed")

// each calls do for every netlink attribute (linux/netlink.h).
func each(attrs []byte, do func(kind uint16, data []byte) error) error {
	for len(attrs) > 0 {
		if len(attrs) < 4 {
			return errShort
		}
		length, kind := int(binary.NativeEndian.Uint16(attrs)), binary.NativeEndian.Uint16(attrs[2:])&0x3fff
		if length < 4 || length > len(attrs) {
			return errShort
		}
		if err := do(kind, attrs[4:length]); err != nil {
			return err
		}
		attrs = attrs[min((length+3)&^3, len(attrs)):]
	}
	return nil
}

func text(data []byte) string {
	s, _, _ := strings.Cut(string(data), "\x00")
	return s
}

// be32 reads a number; one that is cut short reads as zero.
func be32(data []byte) uint32 {
	if len(data) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(data)
}

func be64(data []byte) uint64 {
	if len(data) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(data)
}
