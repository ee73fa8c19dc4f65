package sshdconf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Account is a user for whom the configuration is asked.
type Account struct {
	Name   string
	Groups []string
}

// World is one set of Match blocks that some connection satisfies, and what
// holds there.
type World struct {
	Effective *Effective
	// Refused is why sshd drops a connection there; Effective is nil then.
	Refused error
	// Accounts are those who can get there. Others is set when accounts that
	// are not known can too.
	Accounts []Account
	Others   bool
	// Example is a connection that gets there. Exact says that it was tried;
	// else it is a guess, for patterns that no example was found for.
	Example Connection
	Exact   bool
}

const (
	maxBlocks = 256
	maxWorlds = 1024
	maxFree   = 10      // criteria about one thing that examples do not show
	maxValues = 1 << 15 // ways in which the criteria about one thing turn out
	maxTries  = 1 << 17 // combinations of those

	maxExamples = 4 // connections tried for one world
)

// ErrTooMany says that the Match blocks can combine in more ways than can be
// looked at.
var ErrTooMany = errors.New("the Match blocks combine in too many ways to look at all of them")

// Worlds returns every set of Match blocks that a connection can satisfy: of
// the given accounts, and with others set also of accounts that nobody here
// knows, from every address and to every port. It may return sets that no
// connection satisfies (patterns that contradict each other), and never
// leaves out one that can be. The first world is the one with the fewest
// blocks.
func (c *Config) Worlds(accounts []Account, others bool) ([]World, error) {
	if len(c.Blocks) > maxBlocks {
		return nil, ErrTooMany
	}
	axes, err := c.axes(accounts, others)
	if err != nil {
		return nil, err
	}
	found := map[mask]*World{}
	var order []mask
	type visit struct {
		world *World
		first string // the first of a list of accounts
	}
	joined := map[visit]bool{}
	tried := map[*World]int{}
	tries := 0
	var walk func(i int, sat mask, p point) error
	walk = func(i int, sat mask, p point) error {
		if i < len(axes) {
			for _, v := range axes[i] {
				if err := walk(i+1, sat.and(v.blocks), p.with(v.point)); err != nil {
					return err
				}
			}
			return nil
		}
		if tries++; tries > maxTries {
			return ErrTooMany
		}
		w, ok := found[sat]
		if !ok {
			if len(order) == maxWorlds {
				return ErrTooMany
			}
			w = &World{Example: p.conn}
			w.Effective, w.Refused = c.whenBlocks(sat)
			var other *ReadError
			if errors.As(w.Refused, &other) {
				return w.Refused
			}
			found[sat] = w
			order = append(order, sat)
		}
		w.Others = w.Others || p.others
		if len(p.accounts) > 0 && !joined[visit{w, p.accounts[0].Name}] {
			joined[visit{w, p.accounts[0].Name}] = true
			w.Accounts = append(w.Accounts, p.accounts...)
		}
		if tried[w]++; !w.Exact && tried[w] <= maxExamples {
			e, err := c.For(p.conn)
			if err == nil && w.Effective != nil && slices.Equal(e.Blocks, w.Effective.Blocks) {
				w.Example, w.Exact = p.conn, true
			}
		}
		return nil
	}
	if err := walk(0, c.everything(), point{}); err != nil {
		return nil, err
	}
	worlds := make([]World, 0, len(order))
	for _, m := range order {
		worlds = append(worlds, *found[m])
	}
	slices.SortStableFunc(worlds, func(a, b World) int { return a.count() - b.count() })
	return worlds, nil
}

func (w *World) count() int {
	if w.Effective == nil {
		return maxBlocks
	}
	return len(w.Effective.Blocks)
}

// whenBlocks answers what holds when exactly these blocks' criteria do.
func (c *Config) whenBlocks(sat mask) (*Effective, error) {
	p := newPass(c.reader, func(Term) bool { return false })
	p.blockAt = c.blockAt()
	p.chosen = map[*Block]bool{}
	for i, b := range c.Blocks {
		p.chosen[b] = sat.has(i)
	}
	return c.finish(p)
}

// mask is a set of blocks by their place in Config.Blocks.
type mask [maxBlocks / 64]uint64

func (m *mask) set(i int)     { m[i/64] |= 1 << (i % 64) }
func (m mask) has(i int) bool { return m[i/64]>>(i%64)&1 == 1 }

func (m mask) and(o mask) mask {
	for i := range m {
		m[i] &= o[i]
	}
	return m
}

func (m mask) without(o mask) mask {
	for i := range m {
		m[i] &^= o[i]
	}
	return m
}

// criterion is a term and the blocks that need it.
type criterion struct {
	Term
	needed mask
}

// criteria are the different terms about some things. A block needs those of
// the blocks that it was included from, too.
func (c *Config) criteria(attrs ...string) []criterion {
	var out []criterion
	at := map[Term]int{}
	for i, b := range c.Blocks {
		for outer := b; outer != nil; outer = outer.Outer {
			for _, t := range outer.terms {
				if !slices.Contains(attrs, t.Attr) {
					continue
				}
				j, ok := at[t]
				if !ok {
					j = len(out)
					at[t] = j
					out = append(out, criterion{Term: t})
				}
				out[j].needed.set(i)
			}
		}
	}
	return out
}

// everything is the set of all blocks.
func (c *Config) everything() mask {
	var m mask
	for i := range c.Blocks {
		m.set(i)
	}
	return m
}

// possible are the blocks that criteria leave possible.
func (c *Config) possible(criteria []criterion, holds func(Term) bool) mask {
	m := c.everything()
	for _, t := range criteria {
		if !holds(t.Term) {
			m = m.without(t.needed)
		}
	}
	return m
}

// point is a part of a connection.
type point struct {
	conn     Connection
	accounts []Account
	others   bool
}

func (p point) with(o point) point {
	q := p
	if o.accounts != nil {
		q.accounts = o.accounts
	}
	q.others = q.others || o.others
	for _, f := range []struct{ to, from *string }{
		{&q.conn.User, &o.conn.User}, {&q.conn.Host, &o.conn.Host}, {&q.conn.Addr, &o.conn.Addr},
		{&q.conn.LocalAddr, &o.conn.LocalAddr}, {&q.conn.RDomain, &o.conn.RDomain},
	} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
	if o.conn.Groups != nil {
		q.conn.Groups = o.conn.Groups
	}
	if o.conn.LocalPort != 0 {
		q.conn.LocalPort = o.conn.LocalPort
	}
	return q
}

// value is one way in which the criteria of one axis can turn out: the blocks
// that they do not rule out.
type value struct {
	blocks mask
	point  point
}

// axes are the things that criteria ask about, independent of each other.
func (c *Config) axes(accounts []Account, others bool) ([][]value, error) {
	who, err := c.accountAxis(accounts, others)
	if err != nil {
		return nil, err
	}
	axes := [][]value{who}
	for _, axis := range []struct {
		attr   string
		points []point
		free   func(arg string) freedom
	}{
		{"address", c.addressPoints("address", func(a string) Connection { return Connection{Addr: a} }), wildcardFreedom},
		{"localaddress", c.addressPoints("localaddress", func(a string) Connection { return Connection{LocalAddr: a} }), wildcardFreedom},
		{"localport", c.portPoints(), nil},
		{"host", c.hostPoints(), c.hostFreedom},
		{"rdomain", c.patternPoints("rdomain", func(s string) Connection { return Connection{RDomain: s} }), anyFreedom},
	} {
		values, err := c.axis(axis.attr, axis.points, axis.free)
		if err != nil {
			return nil, err
		}
		axes = append(axes, values)
	}
	return axes, nil
}

// freedom says what is known about a criterion beyond the examples.
type freedom uint8

const (
	byExample freedom = iota // the examples show all there is
	either                   // it may hold or not, whatever the example says
	neverTrue
)

func anyFreedom(string) freedom { return either }

// wildcardFreedom is for address lists: networks are covered by examples at
// their borders, text patterns are not.
func wildcardFreedom(arg string) freedom {
	for entry := range strings.SplitSeq(arg, ",") {
		if strings.ContainsAny(entry, "*?") && strings.TrimPrefix(entry, "!") != "*" {
			return either
		}
	}
	return byExample
}

// axis finds the ways in which the criteria about one thing can turn out.
func (c *Config) axis(attr string, points []point, freedomOf func(string) freedom) ([]value, error) {
	var fixed, free []criterion
	possible := c.everything()
	for _, t := range c.criteria(attr) {
		kind := byExample
		if freedomOf != nil {
			kind = freedomOf(t.Arg)
		}
		switch kind {
		case either:
			free = append(free, t)
		case neverTrue:
			possible = possible.without(t.needed)
		default:
			fixed = append(fixed, t)
		}
	}
	if len(free) > maxFree || len(points)<<len(free) > maxValues {
		return nil, fmt.Errorf("%w (%d addresses or names and %d patterns for %s)", ErrTooMany, len(points), len(free), attr)
	}
	var out []value
	seen := map[mask]bool{}
	add := func(m mask, p point) {
		if !seen[m] {
			seen[m] = true
			out = append(out, value{m, p})
		}
	}
	for _, p := range points { // what is true of the examples comes first
		holds := func(t Term) bool { return c.Holds(p.conn, t) }
		add(possible.and(c.possible(fixed, holds)).and(c.possible(free, holds)), p)
	}
	for _, p := range points {
		m := possible.and(c.possible(fixed, func(t Term) bool { return c.Holds(p.conn, t) }))
		for set := range 1 << len(free) {
			add(m.and(choose(c.everything(), free, set)), p)
		}
	}
	return out, nil
}

// choose leaves out the blocks that need a criterion which is not in a set.
func choose(m mask, criteria []criterion, set int) mask {
	for i, t := range criteria {
		if set>>i&1 == 0 {
			m = m.without(t.needed)
		}
	}
	return m
}

var accountAttrs = []string{"user", "group", "invalid-user", "version"}

func (c *Config) accountAxis(accounts []Account, others bool) ([]value, error) {
	at := map[mask]int{}
	var out []value
	slot := func(m mask, conn Connection) *point {
		i, ok := at[m]
		if !ok {
			i = len(out)
			at[m] = i
			out = append(out, value{m, point{conn: conn}})
		}
		return &out[i].point
	}
	criteria := c.criteria(accountAttrs...)
	for _, a := range accounts {
		conn := Connection{User: a.Name, Groups: a.Groups}
		p := slot(c.possible(criteria, func(t Term) bool { return c.Holds(conn, t) }), conn)
		p.accounts = append(p.accounts, a)
	}
	if !others && len(out) > 0 {
		return out, nil
	}
	named := c.criteria("user", "group")
	if len(named) > maxFree {
		return nil, fmt.Errorf("%w (%d patterns for users and groups)", ErrTooMany, len(named))
	}
	rest := c.possible(c.criteria("invalid-user", "version"), func(t Term) bool { return c.Holds(Connection{}, t) })
	for set := range 1 << len(named) {
		slot(choose(rest, named, set), Connection{}).others = true
	}
	return out, nil
}

// addressPoints are addresses on both sides of every border that a criterion
// draws, and common ones.
func (c *Config) addressPoints(attr string, as func(string) Connection) []point {
	// 1.0.0.0 is before all networks that are named; the last is link-local, in no
	// network at all.
	texts := []string{"192.0.2.1", "2001:db8::1", "127.0.0.1", "::1", "1.0.0.0", "fe80::1%lo"}
	for _, t := range c.criteria(attr) {
		for entry := range strings.SplitSeq(t.Arg, ",") {
			entry = strings.TrimPrefix(entry, "!")
			if net, kind := parseCIDR(entry, c.opts.Version); kind == matched {
				texts = append(texts, borders(net)...)
			} else {
				texts = append(texts, sample(entry, "1"))
			}
		}
	}
	var out []point
	for _, text := range texts {
		if _, ok := parseNumericAddr(text); ok {
			out = append(out, point{conn: as(text)})
		}
	}
	return out
}

// borders are the first address of a network and the first one after it.
func borders(net netip.Prefix) []string {
	out := []string{net.Addr().String()}
	if inside := net.Addr().Next(); inside.IsValid() && net.Contains(inside) {
		out = append(out, inside.String())
	}
	last := net.Addr().AsSlice()
	for i := net.Bits(); i < len(last)*8; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	end, _ := netip.AddrFromSlice(last)
	out = append(out, end.String())
	if after := end.Next(); after.IsValid() {
		out = append(out, after.String())
	}
	return out
}

// sample makes a word that matches a pattern.
func sample(pattern, filler string) string {
	return strings.NewReplacer("*", filler, "?", filler[:1]).Replace(pattern)
}

func (c *Config) portPoints() []point {
	used := []int{22}
	for _, v := range c.global[kPort].values {
		if n, ok := strtonum(v.Text, 1, 65535); ok {
			used = append(used, int(n))
		}
	}
	for _, t := range c.criteria("localport") {
		if n, ok := c.opts.port(t.Arg); ok && n != 0 {
			used = append(used, n)
		}
	}
	other := 1 // a port that nothing names
	for slices.Contains(used, other) {
		other++
	}
	used = append(used, other)
	var out []point
	for _, n := range used {
		out = append(out, point{conn: Connection{LocalPort: n}})
	}
	return out
}

func (c *Config) patternPoints(attr string, as func(string) Connection) []point {
	texts := []string{"other"}
	for _, t := range c.criteria(attr) {
		for entry := range strings.SplitSeq(t.Arg, ",") {
			texts = append(texts, sample(strings.TrimPrefix(entry, "!"), "x"))
		}
	}
	var out []point
	for _, text := range texts {
		if text != "" {
			out = append(out, point{conn: as(text)})
		}
	}
	return out
}

func (c *Config) hostPoints() []point {
	return c.patternPoints("host", func(s string) Connection { return Connection{Host: asciiLower(s)} })
}

// hostFreedom: without UseDNS the client's name is its address in digits.
func (c *Config) hostFreedom(arg string) freedom {
	if c.global[kUseDNS].values[0].Text == "yes" {
		return either
	}
	for entry := range strings.SplitSeq(arg, ",") {
		if !strings.HasPrefix(entry, "!") && likeAddress(entry) {
			return either
		}
	}
	return neverTrue
}

// likeAddress reports whether a pattern can match an address in digits, which
// ends with "%" and an interface's name when it is link-local.
func likeAddress(pattern string) bool {
	const digits = "0123456789abcdefABCDEF.:?"
	rest := strings.TrimLeft(pattern, digits)
	return strings.Trim(rest, digits+"*") == "" || rest[0] == '%' || rest[0] == '*' && (!strings.Contains(rest, ".") || strings.Contains(rest, "%"))
}
