package host

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

// generator makes rulesets of what people, docker and firewalls write.
type generator struct {
	*rand.Rand
	sets []string // definitions in the table that is written
}

func (g *generator) pick(words ...string) string { return words[g.IntN(len(words))] }

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

// addr4 is a source or a network of sources.
func (g *generator) addr4() string {
	return g.pick("10.0.0.9", "10.0.0.77", "10.0.0.0/8", "10.0.0.64/26", "203.0.113.9", "203.0.113.0/24", "198.51.100.7", "198.51.100.0/29",
		"198.51.0.0/16", "128.0.0.0/1", "192.168.0.0/16", "10.0.0.9-10.0.0.80", "198.51.100.7-203.0.113.9")
}

func (g *generator) addr6() string {
	return g.pick("fd00:a::9", "fd00:a::/64", "fc00::/7", "2001:db8:77::7", "2001:db8:77::/64", "2001:db8::/32", "2001:db8:1::9", "fd00:a::9-fd00:a::77")
}

func (g *generator) port() string {
	return g.pick("22", "80", "8090", "8091", "9000", "9001", "9002", "9003", "8449", "22-80", "8000-9000", "1-65535")
}

// set declares a named set or writes one in place.
func (g *generator) set(kind string, elements ...string) string {
	if g.chance(60) {
		return "{ " + strings.Join(elements, ", ") + " }"
	}
	name := fmt.Sprintf("set%d", len(g.sets))
	g.sets = append(g.sets, fmt.Sprintf("set %s { type %s; flags interval; auto-merge; elements = { %s } }", name, kind, strings.Join(elements, ", ")))
	return "@" + name
}

// condition is one match of nft; hook says where, family what of.
func (g *generator) condition(family, hook string) string {
	v4, v6 := family != "ip6", family != "ip"
	not := g.pick("", "", "", "!= ")
	for {
		switch g.IntN(22) {
		case 0, 1:
			if v4 {
				return "ip saddr " + not + g.addr4()
			}
		case 2:
			if v6 {
				return "ip6 saddr " + not + g.addr6()
			}
		case 3:
			if v4 {
				return "ip saddr " + not + g.set("ipv4_addr", "10.0.0.0/8", "198.51.100.7", "203.0.113.64-203.0.113.80")
			}
		case 4:
			if v6 {
				return "ip6 saddr " + not + g.set("ipv6_addr", "fd00:a::/64", "2001:db8:77::8")
			}
		case 5, 6, 7:
			return "tcp dport " + not + g.port()
		case 8, 9:
			return "tcp dport " + not + g.set("inet_service", "22", "80-81", "8090", "9000-9002")
		case 10, 11:
			return "iifname " + not + g.pick(`"eth0"`, `"eth1"`, `"eth*"`, `"lo"`, `{ "eth1", "lo" }`)
		case 12:
			return "ct state " + g.pick("new", "new,untracked", "invalid", "{ new, established }")
		case 13:
			return g.pick("ct status dnat", "ct status & dnat == 0", "ct direction original")
		case 14:
			return "meta l4proto tcp ct original proto-dst " + not + g.pick("8090", "22", "80-9000")
		case 15:
			if v4 {
				return g.pick("ct original ip daddr 203.0.113.2", "ct original ip saddr 10.0.0.0/8", "ip daddr 203.0.113.2", "ip daddr 172.17.0.0/16", "ip daddr 10.0.0.2-10.0.0.3", "ip daddr != 203.0.113.2")
			}
		case 16:
			if v6 {
				return g.pick("ip6 daddr 2001:db8:1::2", "ip6 daddr fd00::/8", "meta nfproto ipv6")
			}
		case 17:
			if hook != "forward" {
				return "fib daddr type " + g.pick("local", "local", "unicast")
			}
		case 18:
			if v4 {
				return "ip saddr . tcp dport " + not + "{ 10.0.0.0/8 . 22, 198.51.100.7 . 80-8090, 203.0.113.0/24 . 9003 }"
			}
		case 19:
			return g.pick("meta mark 0x7", "meta mark & 0x1 == 0x1", "meta mark != 0x0", "ct mark 0x5")
		case 20:
			if hook == "prerouting" { // where later packets are not told from the first, those of a connection would be dropped
				return g.pick("tcp sport 1024-65535", "meta l4proto tcp", "tcp sport < 1024")
			}
			return g.pick("tcp sport 1024-65535", "tcp flags & (fin|syn|rst|ack) == syn", "tcp flags syn / fin,syn,rst,ack", "meta l4proto tcp", "tcp sport < 1024")
		case 21:
			if v4 {
				return g.pick("ip saddr & 255.255.0.0 == 198.51.0.0", "ip protocol tcp", "limit rate 1000/second burst 2000 packets", "limit rate over 100000/second")
			}
		}
	}
}

func (g *generator) verdict(chains []string) string {
	if len(chains) > 0 && g.chance(20) {
		return g.pick("jump ", "goto ") + chains[g.IntN(len(chains))]
	}
	return g.pick("accept", "accept", "drop", "drop", "reject", "return", "meta mark set 0x7", "ct mark set 0x5", "counter", "meta mark set meta mark | 0x1")
}

func (g *generator) rule(family, hook string, chains []string) string {
	switch {
	case g.chance(8):
		return "tcp dport vmap { 22 : accept, 80-8000 : drop, 8090 : " + g.pick("accept", "drop", "return") + " }"
	case g.chance(5) && family != "ip6":
		return "ip saddr vmap { 10.0.0.0/8 : accept, 198.51.100.7 : drop, 203.0.113.0/24 : " + g.pick("accept", "drop", "continue") + " }"
	case g.chance(4):
		return "meta mark set tcp dport map { 22 : 0x7, 8090 : 0x1, 9000-9010 : 0x3 }"
	}
	var parts []string
	for range 1 + g.IntN(3) {
		parts = append(parts, g.condition(family, hook))
	}
	return strings.Join(append(parts, g.verdict(chains)), " ")
}

// table writes a table with a chain at a hook, and chains that it jumps to.
func (g *generator) table(name, family, hook string) string {
	g.sets = nil
	var chains, bodies []string
	for i := range g.IntN(3) {
		chain := fmt.Sprintf("c%d", i)
		var rules []string
		for range 1 + g.IntN(3) {
			rules = append(rules, g.rule(family, hook, chains))
		}
		bodies = append(bodies, fmt.Sprintf("chain %s {\n%s\n}", chain, strings.Join(rules, "\n")))
		chains = append(chains, chain)
	}
	priority := g.pick("0", "0", "-10", "10")
	if hook == "prerouting" {
		priority = g.pick("-150", "-120", "-300")
	}
	rules := []string{"ct state established,related accept"}
	if priority == "-300" { // answers are not known as such there
		rules = []string{`iifname { "docker0", "lo" } accept`}
	}
	if g.chance(70) {
		rules = append(rules, "iif lo accept")
	}
	for range 1 + g.IntN(5) {
		rules = append(rules, g.rule(family, hook, chains))
	}
	policy := g.pick("accept", "drop")
	if policy == "drop" {
		rules = append(rules, "meta l4proto ipv6-icmp accept")
		if g.chance(70) {
			rules = append(rules, "tcp dport "+g.port()+" accept")
		}
	}
	bodies = append(bodies, fmt.Sprintf("chain base {\ntype filter hook %s priority %s; policy %s\n%s\n}", hook, priority, policy, strings.Join(rules, "\n")))
	return fmt.Sprintf("table %s %s {\n%s\n%s\n}\n", family, name, strings.Join(g.sets, "\n"), strings.Join(bodies, "\n"))
}

// nat writes a table that translates destinations.
func (g *generator) nat(name string) string {
	var rules []string
	for range 1 + g.IntN(2) {
		rules = append(rules, g.pick(
			"tcp dport 8090 dnat ip to 172.17.0.2:8449",
			"fib daddr type local tcp dport 8090 dnat ip to 172.17.0.2:8449",
			"tcp dport { 8091, 9003 } redirect to :22",
			"tcp dport 443 redirect to :8080",
			"iifname eth0 tcp dport 9000-9010 redirect to :22",
			"ip saddr 10.0.0.0/8 tcp dport 9999 dnat ip to 172.17.0.2",
			"tcp dport 8090 dnat ip6 to [fd00:17::2]:8449",
			"meta nfproto ipv4 dnat ip to tcp dport map { 8090 : 172.17.0.2 . 8449, 8092 : 172.17.0.2 . 9999 }",
			"ip saddr != 10.0.0.0/8 tcp dport 22 accept",
		))
	}
	priority := g.pick("-100", "-110", "-90")
	return fmt.Sprintf("table inet %s {\nchain pre {\ntype nat hook prerouting priority %s\n%s\n}\n}\n", name, priority, strings.Join(rules, "\n"))
}

// docker writes what docker 20.10 writes with iptables-nft for one container.
func (g *generator) docker(s *scenario) {
	s.published = []string{g.pick("0.0.0.0:8090", "0.0.0.0:8090", "203.0.113.2:8090", "10.0.0.2:8090", "127.0.0.1:8090")}
	if s.published[0] == "0.0.0.0:8090" && g.chance(70) {
		s.published = append(s.published, "[::]:8090")
	}
	s.proxy = g.chance(70)
	if !s.proxy { // then nobody serves it over IPv6
		s.published = s.published[:1]
	}
	s.localnet = !s.proxy
	to := ""
	if addr := strings.TrimSuffix(s.published[0], ":8090"); addr != "0.0.0.0" {
		to = "-d " + addr + "/32 "
	}
	local := "! -d 127.0.0.0/8 "
	hairpin, ret := "", "-A DOCKER -i docker0 -j RETURN\n"
	in := "! -i docker0 "
	if !s.proxy {
		local, ret, in = "", "", ""
		hairpin = "-A POSTROUTING -o docker0 -m addrtype --src-type LOCAL -j MASQUERADE\n"
	}
	var user strings.Builder
	for range g.IntN(4) {
		var parts []string
		for range 1 + g.IntN(2) {
			parts = append(parts, g.iptables("DOCKER-USER"))
		}
		fmt.Fprintf(&user, "-A DOCKER-USER %s -j %s\n", strings.Join(parts, " "), g.pick("DROP", "DROP", "RETURN", "ACCEPT", "REJECT"))
	}
	s.iptables = fmt.Sprintf(`*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT %[1]s-m addrtype --dst-type LOCAL -j DOCKER
%[2]s-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 8449 -j MASQUERADE
%[3]s-A DOCKER %[4]s%[5]s-p tcp -m tcp --dport 8090 -j DNAT --to-destination 172.17.0.2:8449
COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 8449 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
%[6]s-A DOCKER-USER -j RETURN
COMMIT
`, local, hairpin, ret, to, in, user.String())
}

// iptables is one match of iptables.
func (g *generator) iptables(chain string) string {
	not := g.pick("", "", "! ")
	switch g.IntN(16) {
	case 0, 1:
		return not + "-i " + g.pick("eth0", "eth1", "eth+", "docker0")
	case 2, 3:
		return not + "-s " + g.pick("10.0.0.0/8", "198.51.100.7", "203.0.113.0/24", "198.51.100.0/255.255.255.0")
	case 4:
		return "-p tcp -m tcp " + not + "--dport " + g.pick("8090", "8449", "22", "8000:9000", "22:80")
	case 5:
		return "-p tcp -m conntrack " + not + "--ctorigdstport " + g.pick("8090", "22:9000")
	case 6:
		return "-m conntrack --ctstate " + g.pick("NEW", "INVALID", "NEW,DNAT", "DNAT", "UNTRACKED")
	case 7:
		return "-p tcp -m multiport " + not + "--dports " + g.pick("8090,8449", "22,80,8449:8450", "1:100,9000")
	case 8:
		return "-m iprange " + not + "--src-range " + g.pick("198.51.100.1-198.51.100.7", "10.0.0.9-10.0.0.80")
	case 9:
		return "-m mark " + not + "--mark " + g.pick("0x7", "0x0/0x1")
	case 10:
		return "-m conntrack " + not + "--ctorigdst " + g.pick("203.0.113.2", "10.0.0.0/24")
	case 11:
		return "-m addrtype " + not + "--dst-type " + g.pick("LOCAL", "UNICAST")
	case 12:
		return "-m conntrack " + not + "--ctstatus " + g.pick("CONFIRMED", "SEEN_REPLY,ASSURED")
	case 13:
		return g.pick("-m limit --limit 10000/sec --limit-burst 10000", "-m comment --comment hello", "-m state --state NEW", "-p udp", "-p tcp --syn", "-p icmp",
			"-m conntrack --ctdir ORIGINAL", "-m conntrack ! --ctdir REPLY", "-m hashlimit --hashlimit-upto 10000/sec --hashlimit-burst 10000 --hashlimit-mode srcip --hashlimit-name x",
			"-m connlimit --connlimit-upto 10000", "-m policy --dir in --pol none", "-m recent --name r --set")
	case 14:
		return not + "-d " + g.pick("203.0.113.2", "172.17.0.2", "10.0.0.0/24")
	}
	return "-p tcp -m multiport --ports 22,8090"
}

// filter writes an INPUT chain of iptables, with chains as ufw has them.
func (g *generator) filter(v6 bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*filter\n:INPUT %s [0:0]\n:user-input - [0:0]\n", g.pick("DROP", "DROP", "ACCEPT"))
	b.WriteString("-A INPUT -i lo -j ACCEPT\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -m conntrack --ctstate INVALID -j DROP\n")
	if v6 {
		b.WriteString("-A INPUT -p ipv6-icmp -j ACCEPT\n")
	}
	b.WriteString("-A INPUT -j user-input\n")
	for range 1 + g.IntN(4) {
		if v6 {
			fmt.Fprintf(&b, "-A user-input -p tcp -m tcp --dport %s %s -j %s\n", g.pick("22", "80", "8090", "9001:9002"),
				g.pick("", "-s fd00:a::/64", "-s 2001:db8:77::7", "-i eth1", "! -i eth0"), g.pick("ACCEPT", "DROP", "RETURN", "REJECT"))
			continue
		}
		fmt.Fprintf(&b, "-A user-input %s -j %s\n", g.iptables("user-input"), g.pick("ACCEPT", "DROP", "RETURN", "REJECT", "MARK --set-mark 7", "LOG"))
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

func (g *generator) scenario() scenario {
	var s scenario
	switch g.IntN(6) {
	case 0, 1:
		s.nft = g.table("a", g.pick("inet", "ip", "ip6"), "input")
		if g.chance(40) {
			s.nft += g.table("b", "inet", g.pick("input", "prerouting", "forward"))
		}
		if g.chance(50) {
			s.nft += g.nat("n")
		}
	case 2, 3:
		g.docker(&s)
		if g.chance(40) {
			s.nft = g.table("a", "inet", g.pick("input", "forward", "prerouting"))
		}
		if g.chance(40) {
			s.iptables += g.filter(false)
		}
		if g.chance(30) {
			s.ip6tables = g.filter(true)
		}
	case 4:
		s.iptables, s.ip6tables = g.filter(false), g.filter(true)
		if g.chance(50) {
			g.docker(&s)
			s.iptables += g.filter(false)
		}
	case 5: // legacy, beside nft
		s.legacy, s.legacy6 = g.filter(false), g.filter(true)
		if g.chance(50) {
			g.docker(&s)
			s.legacy = strings.Replace(s.iptables, "*filter\n", "*filter\n:INPUT ACCEPT [0:0]\n", 1)
			s.iptables = ""
		}
		if g.chance(30) {
			s.nft = g.table("a", "inet", g.pick("input", "prerouting"))
		}
	}
	s.noForward = g.chance(5)
	return s
}

func (s scenario) String() string {
	return fmt.Sprintf("published %v, proxy %v, no forwarding %v\nnft:\n%s\niptables:\n%s\nip6tables:\n%s\nlegacy:\n%s\nlegacy6:\n%s", s.published, s.proxy, s.noForward, s.nft, s.iptables, s.ip6tables, s.legacy, s.legacy6)
}

// What is said about generated rulesets is what real connections meet;
// HOSTGUARD_EXPOSURE_CASES says how many.
func TestExposureIsReal(t *testing.T) {
	lab.Need(t, lab.NFT)
	count := 200
	if n, err := strconv.Atoi(os.Getenv("HOSTGUARD_EXPOSURE_CASES")); err == nil {
		count = n
	}
	seed := lab.Seed(t)
	const worlds = 4
	var wg sync.WaitGroup
	var refused atomic.Int64
	for i := range worlds {
		w := newTestWorld(t)
		g := &generator{Rand: rand.New(rand.NewPCG(seed, uint64(i)))}
		wg.Go(func() {
			for tried := 0; tried < count/worlds; {
				s := g.scenario()
				if err := w.load(s); err != nil { // two families in one rule, and the like
					if refused.Add(1) > int64(count) {
						t.Error(err)
						return
					}
					continue
				}
				tried++
				if wrong := w.try(); wrong != "" {
					t.Errorf("%s\n%v", wrong, s)
					return
				}
			}
		})
	}
	wg.Wait()
}

// try compares what is loaded, once more when something is wrong: connections of
// earlier ones are still being tracked.
func (w *testWorld) try() string {
	var wrong []string
	for range 3 {
		if wrong = w.compare(); len(wrong) == 0 {
			return ""
		}
	}
	return strings.Join(wrong, "\n")
}
