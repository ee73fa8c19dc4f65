package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/packetfilter"
)

// A netNamespace is one of the network with a thread of its own in it.
type netNamespace struct {
	t    testing.TB
	file *os.File
	jobs chan func()
}

func newPlace(t testing.TB) *netNamespace {
	t.Helper()
	p := &netNamespace{t: t, jobs: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			p.file, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- err
		if err == nil {
			for job := range p.jobs {
				job()
			}
		}
	}()
	if err := <-made; err != nil {
		t.Fatalf("cannot make a network namespace: %v", err)
	}
	t.Cleanup(func() { close(p.jobs); p.file.Close() })
	return p
}

// do runs f in the place.
func (p *netNamespace) do(f func() error) error {
	done := make(chan error)
	p.jobs <- func() { done <- f() }
	return <-done
}

func (p *netNamespace) must(f func() error) {
	p.t.Helper()
	if err := p.do(f); err != nil {
		p.t.Fatal(err)
	}
}

// run runs a program in the place.
func (p *netNamespace) run(stdin string, args ...string) error {
	return p.do(func() error {
		r, err := lab.Command{Args: args, Stdin: strings.NewReader(stdin)}.Run()
		if err == nil && r.Code != 0 {
			err = fmt.Errorf("%v: exit code %d: %s%s\n%s", args, r.Code, r.Stdout, r.Stderr, stdin)
		}
		return err
	})
}

func (p *netNamespace) sysctl(name, value string) {
	p.t.Helper()
	p.must(func() error { return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0) })
}

func (p *netNamespace) network() *netlink.Handle {
	p.t.Helper()
	h, err := netlink.NewHandleAt(netns.NsHandle(p.file.Fd()))
	if err != nil {
		p.t.Fatal(err)
	}
	return h
}

// cable connects two places. Both ends get their addresses and are turned on.
func cable(from *netNamespace, fromName string, fromAddrs []string, to *netNamespace, toName string, toAddrs []string) {
	from.t.Helper()
	h := from.network()
	defer h.Close()
	attributes := netlink.NewLinkAttrs()
	attributes.Name = fromName
	if err := h.LinkAdd(&netlink.Veth{LinkAttrs: attributes, PeerName: toName, PeerNamespace: netlink.NsFd(to.file.Fd())}); err != nil {
		from.t.Fatal(err)
	}
	from.up(fromName, fromAddrs...)
	to.up(toName, toAddrs...)
}

// up gives a device addresses and turns it on.
func (p *netNamespace) up(name string, addrs ...string) {
	p.t.Helper()
	h := p.network()
	defer h.Close()
	device, err := h.LinkByName(name)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, a := range addrs {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			p.t.Fatal(err)
		}
		addr.Flags = unix.IFA_F_NODAD
		if err := h.AddrAdd(device, addr); err != nil && !errors.Is(err, unix.EEXIST) {
			p.t.Fatalf("%s on %s: %v", a, name, err)
		}
	}
	if err := h.LinkSetUp(device); err != nil {
		p.t.Fatal(err)
	}
}

// route adds a route, the default one when no network is named.
func (p *netNamespace) route(via string, to ...string) {
	p.t.Helper()
	h := p.network()
	defer h.Close()
	route := netlink.Route{Gw: netip.MustParseAddr(via).AsSlice()}
	for _, network := range to {
		var err error
		if route.Dst, err = netlink.ParseIPNet(network); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := h.RouteAdd(&route); err != nil {
		p.t.Fatalf("route by %s: %v", via, err)
	}
}

// listen opens a TCP socket that listens, and nobody accepts from.
func (p *netNamespace) listen(at netip.AddrPort, v6only bool) (fd int) {
	p.t.Helper()
	p.must(func() (err error) {
		family := unix.AF_INET
		if at.Addr().Is6() {
			family = unix.AF_INET6
		}
		if fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return err
		}
		if family == unix.AF_INET6 {
			only := 0
			if v6only {
				only = 1
			}
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
				return err
			}
		}
		if err := unix.Bind(fd, sockaddr(at)); err != nil {
			return fmt.Errorf("bind %v: %w", at, err)
		}
		return unix.Listen(fd, 4096)
	})
	return fd
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// connects tries to open a TCP connection, and returns its own end.
func (p *netNamespace) connects(from netip.AddrPort, to netip.AddrPort, timeout time.Duration) (netip.AddrPort, error) {
	fd := -1
	err := p.do(func() (err error) {
		family := unix.AF_INET
		if to.Addr().Is6() {
			family = unix.AF_INET6
		}
		if fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return err
		}
		// Reset when it is closed: the same ports may be tried again.
		if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
			return err
		}
		if err := unix.Bind(fd, sockaddr(from)); err != nil {
			return fmt.Errorf("bind %v: %w", from, err)
		}
		err = unix.Connect(fd, sockaddr(to))
		if errors.Is(err, unix.EINPROGRESS) {
			return nil
		}
		return err
	})
	if fd >= 0 {
		defer unix.Close(fd)
	}
	switch {
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return netip.AddrPort{}, err
	case err != nil: // refused at once
		return netip.AddrPort{}, nil
	}
	deadline := time.Now().Add(timeout)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return netip.AddrPort{}, nil
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(left.Milliseconds())+1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return netip.AddrPort{}, err
		}
		if n == 0 {
			return netip.AddrPort{}, nil
		}
		code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err != nil || code != 0 {
			return netip.AddrPort{}, err
		}
		own, err := unix.Getsockname(fd)
		return addrPortOf(own), err
	}
}

func addrPortOf(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// arrived reports whether a connection came to one of the endpoint's sockets.
// Of the host's own connections to a container the source is translated.
func (w *testWorld) arrived(i int, by netip.AddrPort) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, fd := range w.behind[i] {
		if w.accepted[fd] == nil {
			w.accepted[fd] = map[netip.AddrPort]bool{}
		}
		for {
			conn, peer, err := unix.Accept(fd)
			if err != nil {
				break
			}
			unix.Close(conn)
			w.accepted[fd][addrPortOf(peer)] = true
		}
		for peer := range w.accepted[fd] {
			// A source port that is taken in another connection's answers is changed.
			if peer == by || by.Port() < 1024 && peer.Addr() == by.Addr() || peer.Addr() == netip.MustParseAddr("172.17.0.1") && peer.Port() == by.Port() {
				return true
			}
		}
	}
	return false
}

// testWorld is a host with two networks and a container, as namespaces:
//
//	outside 203.0.113.9, 198.51.100.7 … — eth0 host eth1 — 10.0.0.9 internal
//	                                         docker0 — 172.17.0.2 container
type testWorld struct {
	t                                  testing.TB
	legacy                             bool // legacy tables have been loaded
	host, outside, internal, container *netNamespace
	endpoints                          []packetfilter.Endpoint
	sockets                            []int                           // that listen
	proxies                            []int                           // sockets of docker's proxies
	hidden                             map[int]bool                    // endpoints of such sockets: the port stands for them
	behind                             map[int][]int                   // the sockets of an endpoint
	accepted                           map[int]map[netip.AddrPort]bool // by socket: who has connected to it
	mu                                 sync.Mutex
}

var (
	outsideSources  = []string{"203.0.113.9", "203.0.113.77", "198.51.100.7", "198.51.100.8", "2001:db8:1::9", "2001:db8:77::7", "2001:db8:77::8"}
	internalSources = []string{"10.0.0.9", "10.0.0.77", "fd00:a::9", "fd00:a::77"}
	hostOutside     = []string{"203.0.113.2", "2001:db8:1::2"}
	hostInternal    = []string{"10.0.0.2", "fd00:a::2"}
)

// testSockets listen on every test host.
var testSockets = []struct {
	at     string
	v6only bool
}{
	{"0.0.0.0:22", false}, {"[::]:80", false}, {"127.0.0.1:8080", false}, {"10.0.0.2:9000", false}, {"203.0.113.2:9003", false},
	{"[2001:db8:1::2]:9001", false}, {"[::]:9002", true}, {"[::1]:9004", false},
}

func newTestWorld(t testing.TB) *testWorld {
	t.Helper()
	w := &testWorld{t: t, host: newPlace(t), outside: newPlace(t), internal: newPlace(t), container: newPlace(t)}
	for _, p := range []*netNamespace{w.host, w.outside, w.internal, w.container} {
		p.up("lo")
	}
	for _, p := range []*netNamespace{w.host, w.outside, w.internal, w.container} {
		p.sysctl("ipv6/conf/default/accept_dad", "0")
		p.sysctl("ipv6/conf/all/accept_dad", "0")
	}
	cable(w.host, "eth0", []string{"203.0.113.2/24", "2001:db8:1::2/64"}, w.outside, "eth0", []string{"203.0.113.9/24", "2001:db8:1::9/64"})
	cable(w.host, "eth1", []string{"10.0.0.2/24", "fd00:a::2/64"}, w.internal, "eth0", []string{"10.0.0.9/24", "fd00:a::9/64"})
	w.outside.up("lo", "203.0.113.77/32", "198.51.100.7/32", "198.51.100.8/32", "2001:db8:77::7/128", "2001:db8:77::8/128")
	w.internal.up("lo", "10.0.0.77/32", "fd00:a::77/128")
	w.host.route("203.0.113.9")
	w.host.route("2001:db8:1::9")
	for network, via := range map[string]string{"10.0.0.0/24": "203.0.113.2", "fd00:a::/64": "2001:db8:1::2"} {
		w.outside.route(via, network)
	}
	w.internal.route("10.0.0.2")
	w.internal.route("fd00:a::2")

	h := w.host.network()
	defer h.Close()
	attributes := netlink.NewLinkAttrs()
	attributes.Name = "docker0"
	if err := h.LinkAdd(&netlink.Bridge{LinkAttrs: attributes}); err != nil {
		t.Fatal(err)
	}
	w.host.up("docker0", "172.17.0.1/16", "fd00:17::1/64")
	cable(w.host, "veth0", nil, w.container, "eth0", []string{"172.17.0.2/16", "fd00:17::2/64"})
	bridge, err := h.LinkByName("docker0")
	if err != nil {
		t.Fatal(err)
	}
	port, err := h.LinkByName("veth0")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.LinkSetMaster(port, bridge); err != nil {
		t.Fatal(err)
	}
	w.container.route("172.17.0.1")
	w.container.route("fd00:17::1")
	w.host.sysctl("ipv4/ip_forward", "1")
	w.host.sysctl("ipv6/conf/all/forwarding", "1")
	for _, s := range testSockets {
		w.sockets = append(w.sockets, w.host.listen(netip.MustParseAddrPort(s.at), s.v6only))
	}
	for _, at := range []string{"172.17.0.2:8449", "[fd00:17::2]:8449", "172.17.0.2:9999"} {
		w.sockets = append(w.sockets, w.container.listen(netip.MustParseAddrPort(at), false))
	}
	return w
}

// scenario is what is loaded and published in a world.
type scenario struct {
	nft                 string
	iptables, ip6tables string // for iptables-nft-restore
	legacy, legacy6     string // for iptables-legacy-restore
	published           []string
	proxy               bool
	localnet            bool // as docker sets it when it has no proxy
	noForward           bool
}

// emptyTables empties the legacy tables.
const emptyTables = "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n*nat\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\nCOMMIT\n"

// load makes a world as the scenario says.
func (w *testWorld) load(s scenario) error {
	w.t.Helper()
	var failed error
	for _, p := range w.proxies {
		unix.Close(p)
	}
	w.proxies = nil
	for _, fd := range w.sockets { // what the last scenario left
		for {
			conn, _, err := unix.Accept(fd)
			if err != nil {
				break
			}
			unix.Close(conn)
		}
	}
	must := func(stdin string, args ...string) {
		if err := w.host.run(stdin, args...); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	must("flush ruleset\n"+s.nft, "nft", "-f", "-")
	for program, rules := range map[string]string{"iptables-nft-restore": s.iptables, "ip6tables-nft-restore": s.ip6tables} {
		if rules != "" {
			must(rules, program, "--noflush")
		}
	}
	for program, rules := range map[string]string{"iptables-legacy-restore": s.legacy, "ip6tables-legacy-restore": s.legacy6} {
		if rules != "" {
			must(rules, program)
			w.legacy = true
		} else if w.legacy {
			must(emptyTables, program)
		}
	}
	flag := func(on bool) string {
		if on {
			return "1"
		}
		return "0"
	}
	w.host.sysctl("ipv4/conf/docker0/route_localnet", flag(s.localnet))
	w.host.sysctl("ipv4/ip_forward", flag(!s.noForward))
	w.endpoints, w.hidden, w.behind, w.accepted = nil, map[int]bool{}, map[int][]int{}, map[int]map[netip.AddrPort]bool{}
	for i, e := range testSockets {
		w.behind[i] = w.sockets[i : i+1]
		w.endpoints = append(w.endpoints, packetfilter.Endpoint{Proto: unix.IPPROTO_TCP, Local: netip.MustParseAddrPort(e.at), V6Only: e.v6only})
	}
	for _, p := range s.published {
		at := netip.MustParseAddrPort(p)
		i := len(w.endpoints)
		w.behind[i] = slices.Clone(w.sockets[len(testSockets):])
		w.endpoints = append(w.endpoints, packetfilter.Endpoint{Proto: unix.IPPROTO_TCP, Local: at, Published: true})
		if s.proxy {
			w.proxies = append(w.proxies, w.host.listen(at, at.Addr().Is6()))
			w.behind[i] = append(w.behind[i], w.proxies[len(w.proxies)-1])
			w.hidden[len(w.endpoints)] = true
			w.endpoints = append(w.endpoints, packetfilter.Endpoint{Proto: unix.IPPROTO_TCP, Local: at, V6Only: at.Addr().Is6()})
		}
	}
	return failed
}

// answers reads the world as hostguard does, and has it answer.
func (w *testWorld) answers() (answers [][packetfilter.Classes]packetfilter.Reach, err error) {
	w.t.Helper()
	err = w.host.do(func() error {
		rules, err := readPacketFilter(context.Background())
		if err != nil {
			return err
		}
		routing, err := readRouting(context.Background())
		if err != nil {
			return err
		}
		answers, _, err = routing.world(rules).Answer(w.endpoints, packetfilter.PrivateNetworks)
		return err
	})
	return answers, err
}

// quick and patient bound connection attempts: the patient one is for those
// that should have come through.
const (
	quick   = 100 * time.Millisecond
	patient = 1500 * time.Millisecond
)

// compare tries every answer: a yes by its own example, a no from several
// sources to all addresses. It returns what is not so.
func (w *testWorld) compare() []string {
	w.t.Helper()
	answers, err := w.answers()
	if err != nil {
		return []string{err.Error()}
	}
	wrong := make(chan string, 1000)
	running := 0
	for i, e := range w.endpoints {
		for c := range packetfilter.Classes {
			if w.hidden[i] {
				continue
			}
			r := answers[i][c]
			for _, try := range w.tries(i, c, r) {
				running++
				go func() { wrong <- try() }()
			}
			if r.Answer == packetfilter.Unknown && !strings.Contains(r.Why, "limit") { // whom a flood helps in cannot be told
				running++
				go func() { wrong <- fmt.Sprintf("%v from %v: unknown: %v", e.Local, c, r) }()
			}
		}
	}
	var list []string
	for range running {
		if text := <-wrong; text != "" {
			list = append(list, text)
		}
	}
	return list
}

func (w *testWorld) tries(i int, c packetfilter.Class, r packetfilter.Reach) []func() string {
	e := w.endpoints[i]
	from := map[packetfilter.Class]*netNamespace{packetfilter.Loopback: w.host, packetfilter.Internal: w.internal, packetfilter.Anywhere: w.outside}[c]
	say := func(real string) string {
		return fmt.Sprintf("%v (published: %v) from %v is said to be %v [%v], but %s", e.Local, e.Published, c, r.Answer, r, real)
	}
	switch r.Answer {
	case packetfilter.Yes:
		if c == packetfilter.Internal && r.In == "eth0" { // internal addresses may well come by there
			from = w.outside
		}
		return []func() string{func() string {
			if r.From.IsLinkLocalUnicast() {
				return ""
			}
			if c != packetfilter.Loopback {
				w.adopt(from, r.From)
			}
			if by, err := from.connects(netip.AddrPortFrom(r.From, r.FromPort), r.To, patient); !by.IsValid() || !w.arrived(i, by) {
				return say(fmt.Sprintf("%v cannot connect to %v (%v)", r.From, r.To, err))
			}
			return ""
		}}
	case packetfilter.No:
		var tries []func() string
		for _, p := range w.probes(e, c) {
			tries = append(tries, func() string {
				if by, _ := from.connects(netip.AddrPortFrom(p.from, 0), p.to, quick); by.IsValid() && w.arrived(i, by) {
					return say(fmt.Sprintf("%v connects to %v", p.from, p.to))
				}
				return ""
			})
		}
		return tries
	}
	return nil
}

// adopt gives a place an address to send from.
func (w *testWorld) adopt(p *netNamespace, a netip.Addr) {
	if slices.Contains(slices.Concat(outsideSources, internalSources), a.String()) {
		return
	}
	length := 32
	if a.Is6() {
		length = 128
	}
	if p == w.internal && !netip.MustParsePrefix("10.0.0.0/24").Contains(a) && !netip.MustParsePrefix("fd00:a::/64").Contains(a) {
		p = w.outside
	}
	device := "lo"
	for _, on := range []string{"10.0.0.0/24", "fd00:a::/64", "203.0.113.0/24", "2001:db8:1::/64"} { // neighbours are asked for
		if netip.MustParsePrefix(on).Contains(a) {
			device = "eth0"
		}
	}
	p.up(device, fmt.Sprintf("%v/%d", a, length))
}

type probe struct {
	from netip.Addr
	to   netip.AddrPort
}

// probes are packets of a class to an endpoint.
func (w *testWorld) probes(e packetfilter.Endpoint, c packetfilter.Class) []probe {
	var froms, tos []string
	switch c {
	case packetfilter.Loopback:
		froms, tos = []string{"127.0.0.1", "::1"}, []string{"127.0.0.1", "::1"}
		if a := e.Local.Addr(); !a.IsUnspecified() {
			froms, tos = []string{a.String()}, []string{a.String()}
		}
	case packetfilter.Internal:
		froms, tos = internalSources, append(append([]string{}, hostInternal...), hostOutside...)
	case packetfilter.Anywhere:
		froms, tos = outsideSources, hostOutside
	}
	var list []probe
	for _, f := range froms {
		for _, t := range tos {
			from, to := netip.MustParseAddr(f), netip.MustParseAddr(t)
			local := e.Local.Addr()
			if from.Is4() != to.Is4() || !local.IsUnspecified() && local != to || local == netip.IPv4Unspecified() && to.Is6() {
				continue
			}
			if (e.V6Only || e.Published) && local == netip.IPv6Unspecified() && to.Is4() {
				continue
			}
			list = append(list, probe{from, netip.AddrPortFrom(to, e.Local.Port())})
		}
	}
	return list
}
