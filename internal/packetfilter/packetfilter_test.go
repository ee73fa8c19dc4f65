package packetfilter

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/nftables"
	"github.com/hostguard/hostguard/internal/xtables"
)

func verdict(code int32, chain ...string) nftables.Expr {
	return nftables.Verdict{Code: code, Chain: strings.Join(chain, "")}
}

// dport and saddr are conditions as nft writes them.
func dport(port uint16) []nftables.Expr {
	return []nftables.Expr{
		nftables.Payload{Base: nftables.TransportHeader, Offset: 2, Len: 2},
		nftables.Cmp{Data: be16(port)},
	}
}

func saddr(prefix string) []nftables.Expr {
	p := netip.MustParsePrefix(prefix)
	mask := make([]byte, 4)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return []nftables.Expr{
		nftables.Payload{Base: nftables.NetworkHeader, Offset: 12, Len: 4},
		nftables.Bitwise{Len: 4, Mask: mask, Xor: make([]byte, 4)},
		nftables.Cmp{Data: p.Addr().AsSlice()},
	}
}

func rule(parts ...any) []nftables.Expr {
	var all []nftables.Expr
	for _, p := range parts {
		if list, ok := p.([]nftables.Expr); ok {
			all = append(all, list...)
		} else {
			all = append(all, p)
		}
	}
	return all
}

// chain adds a chain to a ruleset.
func chain(r *nftables.Ruleset, name string, base *nftables.Base, rules ...[]nftables.Expr) {
	c := &nftables.Chain{Family: nftables.Inet, Table: "t", Name: name, Base: base}
	for i, exprs := range rules {
		c.Rules = append(c.Rules, &nftables.Rule{Chain: c, Handle: uint64(i + 1), Exprs: exprs})
	}
	r.Add(c)
}

func world(r *nftables.Ruleset) *World {
	lo := &Interface{Name: "lo", Index: 1, Loopback: true, Addrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}}
	eth0 := &Interface{Name: "eth0", Index: 2, Entrance: true, Addrs: []netip.Prefix{netip.MustParsePrefix("203.0.113.2/24")}, Forward4: true}
	docker := &Interface{Name: "docker0", Index: 3, Bridge: true, Addrs: []netip.Prefix{netip.MustParsePrefix("172.17.0.1/16")}, Forward4: true}
	return &World{
		Rules: r, Interfaces: []*Interface{lo, eth0, docker},
		Routes: []Route{
			{To: netip.MustParsePrefix("0.0.0.0/0"), Via: eth0}, {To: netip.MustParsePrefix("203.0.113.0/24"), Via: eth0},
			{To: netip.MustParsePrefix("172.17.0.0/16"), Via: docker},
		},
	}
}

func input(drop bool) *nftables.Base { return &nftables.Base{Hook: nftables.Input, Drop: drop} }

// ask asks about sockets at 0.0.0.0:22 and 0.0.0.0:80: loopback, internal and
// anywhere of the one, then of the other.
func ask(t *testing.T, w *World) string {
	t.Helper()
	var endpoints []Endpoint
	for _, port := range []uint16{22, 80} {
		endpoints = append(endpoints, Endpoint{Proto: tcp, Local: netip.AddrPortFrom(netip.IPv4Unspecified(), port)})
	}
	answers, _, err := w.Answer(endpoints, PrivateNetworks)
	if err != nil {
		return "error: " + err.Error()
	}
	var words []string
	for _, a := range answers {
		for _, r := range a {
			words = append(words, r.Answer.String())
			if r.Answer == Unknown {
				words = append(words, "("+r.Why+")")
			}
		}
	}
	return strings.Join(words, " ")
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	accept, drop := verdict(nftables.Accept), verdict(nftables.Drop)
	for name, c := range map[string]struct {
		chains func(*nftables.Ruleset)
		change func(*World)
		want   string
	}{
		"nothing is loaded": {want: "yes yes yes yes yes yes"},
		"policy drop": {chains: func(r *nftables.Ruleset) { chain(r, "i", input(true)) },
			want: "no no no no no no"},
		"a chain at the same hook that accepts does not spare from another": {
			chains: func(r *nftables.Ruleset) {
				chain(r, "a", input(false), rule(accept))
				chain(r, "b", &nftables.Base{Hook: nftables.Input, Priority: 10}, rule(dport(22), drop))
			}, want: "no no no yes yes yes"},
		"sources are told apart": {
			chains: func(r *nftables.Ruleset) { chain(r, "i", input(true), rule(saddr("10.0.0.0/8"), accept)) },
			want:   "no yes no no yes no"},
		"one outside address is enough": {
			chains: func(r *nftables.Ruleset) { chain(r, "i", input(true), rule(saddr("198.51.100.7/32"), accept)) },
			want:   "no no yes no no yes"},
		"a jump comes back, a goto does not": {
			chains: func(r *nftables.Ruleset) {
				chain(r, "i", input(true), rule(dport(22), verdict(nftables.Jump, "j")), rule(dport(80), verdict(nftables.Goto, "j")), rule(accept))
				chain(r, "j", nil, rule(verdict(nftables.Return)))
			}, want: "yes yes yes no no no"},
		"an unknown expression decides": {
			chains: func(r *nftables.Ruleset) {
				chain(r, "i", input(true), rule(dport(80), nftables.Unknown{Name: "osf"}, accept), rule(dport(22), accept))
			},
			want: "yes yes yes unknown ([osf] in inet t i handle 1) unknown ([osf] in inet t i handle 1) unknown ([osf] in inet t i handle 1)"},
		"an unknown match of iptables that only logs does not": {
			chains: func(r *nftables.Ruleset) {
				chain(r, "i", input(true), rule(nftables.Match{Match: xtables.Unknown{Name: "set"}}, nftables.Plain{Name: "log"}), rule(accept))
			},
			want: "yes yes yes yes yes yes"},
		"an unknown match whose both ends agree does not": {
			chains: func(r *nftables.Ruleset) {
				chain(r, "i", input(false), rule(nftables.Match{Match: xtables.Unknown{Name: "set"}}, drop), rule(drop))
			},
			want: "no no no no no no"},
		"a limit is taken to be quiet": {
			chains: func(r *nftables.Ruleset) {
				chain(r, "i", input(true), rule(dport(22), nftables.Limit{Name: "limit", Quiet: true}, accept),
					rule(dport(80), nftables.Limit{Name: "limit over", Quiet: false}, drop), rule(dport(80), accept))
			},
			want: "yes yes yes yes yes yes"},
		"what a flood lets through cannot be told": {
			chains: func(r *nftables.Ruleset) {
				chain(r, "i", input(false), rule(dport(22), nftables.Limit{Name: "limit", Quiet: true}, drop))
			},
			want: strings.Repeat("unknown (limit in inet t i handle 1) ", 3) + "yes yes yes"},
		"a program decides": {
			chains: func(r *nftables.Ruleset) { chain(r, "i", input(false), rule(dport(22), verdict(nftables.Queue))) },
			want:   strings.Repeat("unknown (queue in inet t i handle 1) ", 3) + "yes yes yes"},
		"a set that packets add to": {
			chains: func(r *nftables.Ruleset) {
				set := &nftables.Set{Name: "knocked", KeyLen: 4, Dynamic: true}
				chain(r, "i", input(true), rule(dport(22), nftables.Payload{Base: nftables.NetworkHeader, Offset: 12, Len: 4}, nftables.Lookup{Set: set, To: -1}, accept))
			},
			want: strings.Repeat("unknown (ip saddr @knocked in inet t i handle 1) ", 3) + "no no no"},
		"a set that is empty": {
			chains: func(r *nftables.Ruleset) {
				set := &nftables.Set{Name: "nobody", KeyLen: 4}
				chain(r, "i", input(true), rule(nftables.Payload{Base: nftables.NetworkHeader, Offset: 12, Len: 4}, nftables.Lookup{Set: set, To: -1}, accept))
			},
			want: "no no no no no no"},
		"a chain that jumps to itself": {
			chains: func(r *nftables.Ruleset) {
				chain(r, "i", input(true), rule(verdict(nftables.Jump, "j")))
				chain(r, "j", nil, rule(verdict(nftables.Jump, "j")))
			},
			want: "error: " + ErrIntricate.Error()},
		"a redirect from another port": {
			chains: func(r *nftables.Ruleset) {
				chain(r, "n", &nftables.Base{Hook: nftables.Prerouting, Priority: -100, NAT: true},
					rule(dport(8443), nftables.Immediate{To: 0, Data: be16(22)}, nftables.Redirect{PortMin: 0, PortMax: -1}))
				chain(r, "p", &nftables.Base{Hook: nftables.Prerouting, Priority: -300}, rule(dport(22), drop))
			},
			want: "no yes yes yes yes yes"}, // what the host itself sends meets the drop, and no redirect
		"a VRF": {change: func(w *World) { w.Unclear = "there is a VRF" },
			chains: func(r *nftables.Ruleset) { chain(r, "i", input(true), rule(dport(22), accept)) },
			want:   "yes yes yes no unknown (there is a VRF) unknown (there is a VRF)"},
		"nobody outside has a way back": {change: func(w *World) { w.Routes = w.Routes[1:2] },
			chains: func(r *nftables.Ruleset) { chain(r, "i", input(true), rule(saddr("198.51.100.0/24"), accept)) },
			want:   "no no no no no no"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &nftables.Ruleset{}
			if c.chains != nil {
				c.chains(r)
			}
			w := world(r)
			if c.change != nil {
				c.change(w)
			}
			if got := ask(t, w); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Jumps that fan out: 40 chains of which each jumps twice to the next end in an
// error before long, not in a million steps squared.
func TestFanOfJumpsIsBounded(t *testing.T) {
	t.Parallel()
	r := &nftables.Ruleset{}
	const n = 40
	for i := range n {
		j := verdict(nftables.Jump, fmt.Sprint("c", i+1))
		base := input(true)
		if i > 0 {
			base = nil
		}
		chain(r, fmt.Sprint("c", i), base, rule(j), rule(j))
	}
	chain(r, fmt.Sprint("c", n), nil, rule(dport(443), verdict(nftables.Accept)))
	w := world(r)
	_, _, err := w.Answer([]Endpoint{{Proto: tcp, Local: netip.MustParseAddrPort("0.0.0.0:22")}}, PrivateNetworks)
	if !errors.Is(err, ErrIntricate) {
		t.Errorf("error %v, want %v", err, ErrIntricate)
	}
}

func TestAddrs(t *testing.T) {
	t.Parallel()
	all := Prefixes(netip.MustParsePrefix("0.0.0.0/0"))
	inner := Prefixes(netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fc00::/7"))
	outer := all.without(inner)
	for addr, want := range map[string]bool{"9.255.255.255": true, "10.0.0.0": false, "10.1.2.3": false, "10.255.255.255": false, "11.0.0.0": true, "255.255.255.255": true, "fd00::1": false} {
		if got := outer.Contains(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s without: %v", addr, got)
		}
		if got := inner.Contains(netip.MustParseAddr(addr)); got == want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if got := all.within(inner); len(got.without(Prefixes(netip.MustParsePrefix("10.0.0.0/8")))) != 0 || !got.Contains(netip.MustParseAddr("10.0.0.1")) {
		t.Errorf("within = %v", got)
	}
}
