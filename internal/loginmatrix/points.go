package loginmatrix

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hostguard/hostguard/internal/sshdconf"
)

// A Point is a connection of interest, without the account. A field that is
// empty is unknown: no criterion about it is satisfied.
type Point struct {
	Name    string `json:"name"` // for people: "loopback", "from 10.0.0.1 to port 2222"
	Addr    string `json:"addr"`
	Host    string `json:"host"` // as sshd sees it: the address, unless UseDNS is on
	LAddr   string `json:"laddr"`
	LPort   int    `json:"lport"`
	RDomain string `json:"rdomain"`
}

// Connection is that of an account.
func (p Point) Connection(user string, groups []string) sshdconf.Connection {
	return sshdconf.Connection{User: user, Groups: groups, Addr: p.Addr, Host: p.Host, LocalAddr: p.LAddr, LocalPort: p.LPort, RDomain: p.RDomain}
}

// MaxPoints is how many points are looked at.
const MaxPoints = 64

// maxCandidates bounds the combinations that points are chosen from.
const maxCandidates = 1 << 14

// Points derives the points of interest from all that can tell connections
// apart: Match criteria, hosts in AllowUsers and DenyUsers, and more lists of
// addresses and names, such as those of keys. They are loopback, an address
// outside of everything named, and for each combination of criteria that turns
// out otherwise one point. Left is how many were left out because there are
// more than MaxPoints. Listen are the addresses with ports where systemd listens
// in sshd's place; without them the configuration says where.
func Points(c *sshdconf.Config, listen, more []string) (points []Point, left int) {
	t := tellersOf(c, listen, more)
	dns := t.global("usedns") == "yes"
	from := t.clients(dns)
	to := t.locals(c)
	seen := map[string]bool{}
	add := func(p Point, always bool) {
		sign := t.signature(p)
		if seen[sign] && !always {
			return
		}
		seen[sign] = true
		if len(points) == MaxPoints {
			left++
			return
		}
		points = append(points, p)
	}
	tries := 0
	for i, l := range to {
		for j, f := range from {
			if tries++; tries > maxCandidates {
				left++
				return points, left
			}
			p := Point{Addr: f.Addr, Host: f.Host, LAddr: l.LAddr, LPort: l.LPort, RDomain: l.RDomain}
			named := l.LAddr != ""
			if !named {
				p.LAddr = t.ownAddress(f.Addr)
			}
			p.Name = p.describe(to[0], i > 0 && named)
			add(p, i == 0 && j < commonClients)
		}
	}
	return points, left
}

// PointOf is the point of a connection. What that leaves out is as of a client
// that nothing names, who comes to the usual address and port; listen is as for
// Points.
func PointOf(c *sshdconf.Config, listen []string, conn sshdconf.Connection) Point {
	t := tellersOf(c, listen, nil)
	usual := t.locals(c)[0]
	p := Point{Addr: conn.Addr, Host: conn.Host, LAddr: conn.LocalAddr, LPort: conn.LocalPort, RDomain: conn.RDomain}
	if p.Addr == "" {
		p.Addr = t.clients(false)[2].Addr
	}
	if p.Host == "" {
		p.Host = p.Addr
	}
	if p.LAddr == "" {
		p.LAddr = usual.LAddr
	}
	if p.LAddr == "" {
		p.LAddr = t.ownAddress(p.Addr)
	}
	if p.LPort == 0 {
		p.LPort = usual.LPort
	}
	p.Name = p.describe(usual, conn.LocalAddr != "")
	return p
}

// tellers are what tells connections apart.
type tellers struct {
	c         *sshdconf.Config
	effective *sshdconf.Effective // outside Match blocks
	terms     []sshdconf.Term
	hosts     []string // lists of addresses and names
	listen    []string // addresses with ports that can be reached
}

func tellersOf(c *sshdconf.Config, listen, more []string) *tellers {
	t := &tellers{c: c, listen: listen}
	t.effective, _ = c.When(func(sshdconf.Term) bool { return false })
	for _, b := range c.Blocks {
		for _, term := range b.Terms() {
			if slices.Contains([]string{"address", "host", "localaddress", "localport", "rdomain"}, term.Attr) && !slices.Contains(t.terms, term) {
				t.terms = append(t.terms, term)
			}
		}
	}
	seen := map[string]bool{}
	addHosts := func(list string) {
		if !seen[list] {
			seen[list] = true
			t.hosts = append(t.hosts, list)
		}
	}
	for _, d := range c.Directives {
		if d.Keyword != "allowusers" && d.Keyword != "denyusers" {
			continue
		}
		for word := range strings.FieldsSeq(d.Text) {
			if _, hosts, ok := c.SplitUser(strings.Trim(word, `"`)); ok {
				addHosts(hosts)
			}
		}
	}
	for _, list := range more {
		addHosts(list)
	}
	return t
}

func (t *tellers) global(keyword string) string {
	if t.effective == nil {
		return ""
	}
	return t.effective.Get(keyword).Text()
}

// signature is how everything that tells connections apart turns out.
func (t *tellers) signature(p Point) string {
	conn := p.Connection("x", nil)
	out := make([]byte, 0, len(t.terms)+len(t.hosts))
	bit := func(b bool) {
		if b {
			out = append(out, '1')
		} else {
			out = append(out, '0')
		}
	}
	for _, term := range t.terms {
		bit(t.c.Holds(conn, term))
	}
	for _, list := range t.hosts {
		bit(t.c.MatchUser(conn, "x@"+list))
	}
	return string(out)
}

// commonClients are the first of clients, shown whether they differ or not:
// loopback and elsewhere, in IPv4 and IPv6.
const commonClients = 4

// clients are the addresses and names to come from.
func (t *tellers) clients(dns bool) []Point {
	var addrs, names []string
	collect := func(list string) {
		a, n := t.c.Examples(list)
		addrs = append(addrs, a...)
		names = append(names, n...)
	}
	for _, term := range t.terms {
		if term.Attr == "address" || term.Attr == "host" {
			collect(term.Arg)
		}
	}
	for _, list := range t.hosts {
		collect(list)
	}
	var out []Point
	add := func(addr, host string) {
		if !dns {
			host = addr // sshd does not look names up
		}
		if p := (Point{Addr: addr, Host: host}); !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	v4, v6 := t.outside("192.0.2.1", "198.51.100.1", "203.0.113.1", "100.64.0.1", "1.1.1.1"), t.outside("2001:db8::1", "3fff::1", "2a00::1")
	add("127.0.0.1", "localhost")
	add("::1", "localhost")
	add(v4, v4)
	add(v6, v6)
	if len(addrs) > 0 {
		add("fe80::1%lo", "fe80::1%lo") // matches no network, not even ::/0
	}
	for _, a := range addrs {
		add(a, a)
	}
	if dns {
		for _, n := range names {
			add(v4, n)
		}
	}
	return out
}

// outside is the first address that nothing names, or the first of all.
func (t *tellers) outside(addrs ...string) string {
	for _, a := range addrs {
		p := Point{Addr: a, Host: a}
		if !slices.ContainsFunc(t.terms, func(term sshdconf.Term) bool {
			return (term.Attr == "address" || term.Attr == "host") && t.named(a, term.Arg)
		}) && !slices.ContainsFunc(t.hosts, func(list string) bool { return t.named(p.Addr, list) }) {
			return a
		}
	}
	return addrs[0]
}

// named reports whether an entry of a list, negated or not, is about an
// address. Entries that are about all of them do not count.
func (t *tellers) named(addr, list string) bool {
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimPrefix(entry, "!")
		if strings.Trim(entry, "*?.:") == "" || strings.HasSuffix(entry, "/0") {
			continue
		}
		if t.c.MatchUser(sshdconf.Connection{User: "x", Addr: addr, Host: addr}, "x@"+entry) {
			return true
		}
	}
	return false
}

// locals are the addresses, ports and routing domains to come to; the first is
// the usual one. Where sshd listens on all addresses, one is left open.
func (t *tellers) locals(c *sshdconf.Config) []Point {
	var ports []int
	var addrs []string
	domains := []string{""}
	listen := t.listen
	if len(listen) == 0 {
		listen = strings.Fields(t.global("listenaddress"))
	}
	for _, v := range listen {
		host, port, err := net.SplitHostPort(v)
		if err != nil {
			continue
		}
		if n, err := strconv.Atoi(port); err == nil {
			ports = append(ports, n)
		}
		if a, err := netip.ParseAddr(host); err != nil || a.IsUnspecified() {
			addrs = append(addrs, "")
		} else {
			addrs = append(addrs, host)
		}
	}
	if len(ports) == 0 {
		ports, addrs = []int{22}, []string{""}
	}
	for _, term := range t.terms {
		switch term.Attr {
		case "localport":
			if n, ok := c.Port(term.Arg); ok && n != 0 {
				ports = append(ports, n)
			}
		case "localaddress":
			a, _ := c.Examples(term.Arg)
			addrs = append(addrs, a...)
		case "rdomain":
			for entry := range strings.SplitSeq(term.Arg, ",") {
				domains = append(domains, strings.NewReplacer("!", "", "*", "x", "?", "x").Replace(entry))
			}
		}
	}
	var out []Point
	for _, d := range domains {
		for _, a := range addrs {
			for _, n := range ports {
				if p := (Point{LAddr: a, LPort: n, RDomain: d}); !slices.Contains(out, p) {
					out = append(out, p)
				}
			}
		}
	}
	return out
}

// ownAddress is an address of the host of the client's kind that no criterion
// names, to stand for its usual one.
func (t *tellers) ownAddress(client string) string {
	candidates := []string{"192.0.2.2", "198.51.100.2", "203.0.113.2", "100.64.0.2"}
	switch {
	case strings.HasPrefix(client, "127."):
		candidates = []string{client}
	case client == "::1":
		candidates = []string{client}
	case strings.Contains(client, ":"):
		candidates = []string{"2001:db8::2", "3fff::2", "2a00::2"}
	}
	for _, a := range candidates {
		if !slices.ContainsFunc(t.terms, func(term sshdconf.Term) bool { return term.Attr == "localaddress" && t.named(a, term.Arg) }) {
			return a
		}
	}
	return candidates[0]
}

// describe names a point for people. What is usual is not said.
func (p Point) describe(usual Point, local bool) string {
	name := "from " + p.Addr
	switch {
	case p.Addr == "127.0.0.1" || p.Addr == "::1":
		name = "loopback " + p.Addr
	case p.Addr == "":
		name = "from anywhere"
	}
	if p.Host != p.Addr && p.Host != "" && p.Host != "localhost" {
		name += " (" + p.Host + ")"
	}
	if usual.RDomain != p.RDomain {
		name += " in " + p.RDomain
	}
	if local {
		name += " to " + p.LAddr
	}
	if p.LPort != usual.LPort && p.LPort != 0 {
		name += " to port " + strconv.Itoa(p.LPort)
	}
	return name
}
