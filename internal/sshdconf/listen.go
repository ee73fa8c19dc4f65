package sshdconf

import (
	"net/netip"
	"slices"
	"strconv"
)

// listen is a ListenAddress line, which takes effect when all Port lines are
// known.
type listen struct {
	host string
	port int // 0: every Port
	at   Place
	in   *Block
}

func readListenAddress(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	host, port := arg, 0
	if _, bare := bareIPv6(arg); !bare {
		h, text, hasPort, ok := hostPort(arg)
		if !ok {
			return refuse(quoted(arg) + " is not an address and port")
		}
		host = h
		if hasPort {
			if port, ok = p.r.opts.port(text); !ok || port == 0 {
				return refuse(quoted(arg) + " has no valid port")
			}
		}
	}
	if _, more := a.next(); more {
		return refuse("routing domains are not supported on this system")
	}
	p.listen = append(p.listen, listen{host, port, p.at, p.block})
	return nil
}

// bareIPv6 reports whether s has two colons and no bracket.
func bareIPv6(s string) (string, bool) {
	colons := 0
	for i := range len(s) {
		switch s[i] {
		case '[':
			return "", false
		case ':':
			colons++
		}
	}
	return s, colons >= 2
}

// finishListen turns the ListenAddress lines into addresses with ports. With
// several addresses for one line the last one found comes first, as in
// sshd -T.
func (p *pass) finishListen() error {
	if p.decide != nil {
		return nil
	}
	family := "any"
	if s := p.slots[kAddressFamily]; s.set() {
		family = s.values[0].Text
	}
	ports := []string{settings()[kPort].preset}
	if s := p.slots[kPort]; s.set() {
		ports = ports[:0]
		for _, v := range s.values {
			ports = append(ports, v.Text)
		}
	}
	out := &p.slots[kListenAddress]
	for _, l := range p.listen {
		addrs, known, ok := p.r.opts.addresses(l.host, family)
		if !ok {
			p.refused = append(p.refused, Problem{l.at, "ListenAddress " + quoted(l.host) + " has no address of the family in use"})
			return p.refusedError()
		}
		on := ports
		if l.port != 0 {
			on = []string{strconv.Itoa(l.port)}
		}
		for _, port := range on {
			if !known {
				out.values = append(out.values, Value{l.host + ":" + port, l.at, l.in})
			}
			for i := len(addrs) - 1; i >= 0; i-- {
				out.values = append(out.values, Value{joinPort(addrs[i], port), l.at, l.in})
			}
		}
	}
	if len(p.listen) > 0 {
		return nil
	}
	for _, port := range ports {
		for _, any := range []netip.Addr{netip.IPv6Unspecified(), netip.IPv4Unspecified()} {
			if inFamily(any, family) {
				out.values = append(out.values, Value{Text: joinPort(any, port)})
			}
		}
	}
	return nil
}

func joinPort(a netip.Addr, port string) string {
	if a.Is4() {
		return a.String() + ":" + port
	}
	return "[" + a.String() + "]:" + port
}

func inFamily(a netip.Addr, family string) bool {
	return family == "any" || a.Is4() == (family == "inet")
}

// addresses finds the addresses of a host. Known is false for a name that
// nobody here can resolve.
func (o *Options) addresses(host, family string) (addrs []netip.Addr, known, ok bool) {
	found := []netip.Addr{}
	if a, ok := parseNumericAddr(host); ok {
		found = append(found, a)
	} else {
		if o.Resolve == nil {
			return nil, false, host != ""
		}
		if found, ok = o.Resolve(host); !ok {
			return nil, false, true
		}
		if family == "inet" {
			found = slices.Clone(found)
			for i, a := range found {
				if a == netip.IPv6Loopback() { // hosts(5) takes a name of ::1 for one of 127.0.0.1, too
					found[i] = netip.AddrFrom4([4]byte{127, 0, 0, 1})
				}
			}
		}
	}
	for _, a := range found {
		if inFamily(a, family) {
			addrs = append(addrs, a)
		}
	}
	return addrs, true, len(addrs) > 0
}
