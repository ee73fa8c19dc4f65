package packetfilter

import (
	"cmp"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
)

// An Answer says whether somebody reaches something.
type Answer uint8

// Answers. The zero value is the cautious one.
const (
	Unknown Answer = iota
	No
	Yes
)

func (a Answer) String() string { return [...]string{"unknown", "no", "yes"}[min(a, 2)] }

// An Endpoint is a socket of the host, or a port that docker publishes.
type Endpoint struct {
	Proto     uint8
	Local     netip.AddrPort // an unspecified address means all of its family
	V6Only    bool
	Device    string // the interface it is bound to
	Published bool   // what counts is to be forwarded, or to reach another endpoint's socket there
}

// A Reach is whether one class of sources reaches an endpoint, and how that is
// decided.
type Reach struct {
	Answer Answer
	By     string // the rule, policy or decision that lets through or drops
	Why    string // of unknown: what could not be told
	Bypass string // of a published port: the rule that would drop what the translation leads past it
	// An example: a packet that gets there, or that is dropped.
	From     netip.Addr
	FromPort uint16 // 0: any
	To       netip.AddrPort
	In       string // the interface it comes by
}

// A Class is whose packets are asked about.
type Class uint8

// Classes of sources.
const (
	Loopback Class = iota // the host itself
	Internal              // the internal networks, and neighbours by link-local addresses
	Anywhere              // everybody else
	Classes
)

func (c Class) String() string { return [...]string{"loopback", "internal", "anywhere"}[min(c, 2)] }

// A Translation is a port that rules lead on to another host or a container
// though no endpoint says so.
type Translation struct {
	Proto uint8
	Port  uint16
	To    netip.AddrPort
	By    [Classes]Reach
}

// Answer says for each endpoint which classes of sources reach it, and which
// ports are led on besides. Sources and destinations are paired as routing has
// it: packets come by the interface that answers to them leave by, and everybody
// but the internal networks sends to the addresses of that interface, or to
// public ones.
func (w *World) Answer(endpoints []Endpoint, internal []netip.Prefix) ([][Classes]Reach, []Translation, error) {
	answers := make([][Classes]Reach, len(endpoints))
	for i := range answers {
		for c := range Classes {
			answers[i][c] = Reach{Answer: No, By: w.nothing(c)}
		}
	}
	var translations []Translation
	inside := append(Prefixes(internal...), linkLocal...)
	for _, v6 := range []bool{false, true} {
		passages, err := w.passages(endpoints, inside, v6)
		if err != nil {
			return nil, nil, err
		}
		for i := range endpoints {
			for c := range Classes {
				if found, ok := w.reach(endpoints, i, c, passages); ok {
					answers[i][c] = better(answers[i][c], found)
				}
			}
		}
		for i, e := range endpoints {
			for c := Internal; c <= Anywhere && e.Published; c++ {
				if r := &answers[i][c]; r.Answer == Yes && r.To.Addr().Is6() == v6 {
					r.Bypass = bypassed(passages[e.Proto], c, r)
				}
			}
		}
		translations = append(translations, w.translations(endpoints, passages)...)
	}
	if w.Unclear != "" {
		for i := range answers {
			for c := range Classes {
				if answers[i][c].Answer == No && c != Loopback {
					answers[i][c].Answer, answers[i][c].Why = Unknown, w.Unclear
				}
			}
		}
	}
	return answers, translations, nil
}

func (w *World) nothing(c Class) string {
	if c == Loopback {
		return "it has no address of the host itself"
	}
	return "nothing leads there from " + map[Class]string{Internal: "the internal networks", Anywhere: "elsewhere"}[c]
}

// better keeps the answer that says more: yes before unknown before no, and of
// two noes the one with an example.
func better(a, b Reach) Reach {
	rank := map[Answer]int{No: 0, Unknown: 1, Yes: 2}
	if rank[b.Answer] > rank[a.Answer] || b.Answer == a.Answer && !a.From.IsValid() && b.From.IsValid() {
		return b
	}
	return a
}

// serves reports whether packets that arrive at an address and port, by an
// interface, come to the endpoint's socket.
func (e Endpoint) serves(at netip.AddrPort, in *Interface) bool {
	local := e.Local.Addr().WithZone("")
	if e.Local.Port() != at.Port() || e.Device != "" && (in == nil || e.Device != in.Name) {
		return false
	}
	switch {
	case local.Is4In6():
		return local.Unmap() == at.Addr()
	case local == netip.IPv6Unspecified():
		return at.Addr().Is6() || !e.V6Only
	case local.IsUnspecified():
		return at.Addr().Is4()
	}
	return local == at.Addr()
}

// served is the socket endpoint that takes packets which arrive: the most
// particular one. -1: nobody does.
func served(endpoints []Endpoint, proto uint8, at netip.AddrPort, in *Interface) int {
	best, rank := -1, -1
	for i, e := range endpoints {
		if e.Published || e.Proto != proto || !e.serves(at, in) {
			continue
		}
		r := 0
		if !e.Local.Addr().IsUnspecified() {
			r += 2
		}
		if e.Device != "" {
			r += 4
		}
		if e.Local.Addr().Unmap().Is4() == at.Addr().Is4() {
			r++
		}
		if r > rank {
			best, rank = i, r
		}
	}
	return best
}

// comesTo reports whether a fate's packets, sent to an address and port, come to
// the endpoint.
func (w *World) comesTo(endpoints []Endpoint, i int, p passage, f *Fate, to netip.AddrPort) bool {
	e := endpoints[i]
	at, ok := f.Arrives(to.Addr(), to.Port())
	if !ok {
		return false
	}
	in := p.in
	if in == nil {
		in = w.loopback()
	}
	switch f.Kind {
	case Delivered:
		taker := served(endpoints, e.Proto, at, in)
		if taker < 0 {
			return false
		}
		if !e.Published {
			return taker == i || sameSocket(endpoints[taker], e)
		}
		return to.Port() == e.Local.Port() && e.takes(to.Addr())
	case Forwarded:
		if p.class == Loopback && !f.SNAT && to.Addr().IsLoopback() {
			return false // an answer to 127.0.0.1 would not come back
		}
		return e.Published && f.Translated() && to.Port() == e.Local.Port() && e.takes(to.Addr())
	}
	return false
}

// sameSocket: several sockets may share an address and port (SO_REUSEPORT).
func sameSocket(a, b Endpoint) bool {
	return a.Proto == b.Proto && a.Local == b.Local && a.Device == b.Device && a.V6Only == b.V6Only
}

// takes reports whether a port that is published on an address is so on another:
// docker lists each family by itself.
func (e Endpoint) takes(a netip.Addr) bool {
	local := e.Local.Addr()
	return local == a || local.IsUnspecified() && local.Is4() == a.Is4()
}

// reach says how one class fares that sends to an endpoint over one family of
// addresses. It is not ok when nobody of the class sends anything there.
func (w *World) reach(endpoints []Endpoint, i int, c Class, passages byProto) (Reach, bool) {
	e := endpoints[i]
	best, any := Reach{Answer: No}, false
	consider := func(r Reach) { best, any = better(best, r), true }
	for _, p := range passages[e.Proto] {
		if p.class != c || best.Answer == Yes {
			continue
		}
		for _, addr := range p.to {
			for _, port := range w.portsFor(e, p) {
				if r, ok := w.reachBy(endpoints, i, p, netip.AddrPortFrom(addr, port)); ok {
					consider(r)
				}
			}
		}
	}
	return best, any
}

// portsFor are the ports by which packets may come to an endpoint: its own, and
// those that are translated.
func (w *World) portsFor(e Endpoint, p passage) []uint16 {
	ports := []uint16{e.Local.Port()}
	if e.Published {
		return ports
	}
	for i := range p.fates {
		f := &p.fates[i]
		if f.Kind != Delivered || !f.Translated() || f.state.to.setsPort && f.state.to.port != e.Local.Port() {
			continue
		}
		for _, port := range f.Ports() {
			if !slices.Contains(ports, port) {
				ports = append(ports, port)
			}
		}
	}
	return ports
}

// reachBy says what becomes of the packets of a passage that are sent to one
// address and port: whether they come to the endpoint.
func (w *World) reachBy(endpoints []Endpoint, i int, p passage, to netip.AddrPort) (Reach, bool) {
	e := endpoints[i]
	at := Reach{To: to}
	if p.in != nil {
		at.In = p.in.Name
	}
	var perhaps, others Sources
	var doubt, barrier, sure, elsewhere *Fate
	var seen bool
	for _, f := range p.let {
		s := f.all()
		if f.Kind == Lost { // it may come here wherever it was sent
			doubt, seen = cmp.Or(doubt, f), true
			others = others.join(s)
			continue
		}
		if _, sent := f.Arrives(to.Addr(), to.Port()); !sent {
			continue
		}
		seen = true
		switch {
		case !w.comesTo(endpoints, i, p, f, to):
			others = others.join(s)
			if f.Translated() {
				elsewhere = f
			}
		case f.Sure:
			sure = cmp.Or(sure, f)
		default:
			perhaps = perhaps.join(s)
			doubt = f
		}
	}
	for _, f := range p.dropped {
		if sure != nil || perhaps.u == nil && !e.matches(to) {
			break
		}
		if _, sent := f.Arrives(to.Addr(), to.Port()); !sent {
			continue
		}
		seen = true
		if s := f.all(); perhaps.u != nil {
			others = others.join(s)
		} else if barrier == nil || f.Sure && s.count() > barrier.all().count() { // the rule that stops most of them says most
			barrier = f
		}
	}
	for _, f := range []*Fate{sure, doubt} {
		if f != nil {
			at.FromPort = f.SourcePort()
			break
		}
	}
	switch {
	case sure != nil:
		at.Answer, at.By, at.From = Yes, sure.By.String(), sure.all().Witness()
	case perhaps.u != nil && !perhaps.Without(others).Empty():
		at.Answer, at.By, at.From = Yes, doubt.By.String(), perhaps.Without(others).Witness()
	case doubt != nil:
		at.Answer, at.By, at.Why, at.From = Unknown, doubt.By.String(), doubt.Why(), doubt.all().Witness()
	case barrier != nil:
		at.Answer, at.By, at.From = No, barrier.By.String(), barrier.all().Witness()
	case elsewhere != nil && e.matches(to):
		led, _ := elsewhere.Arrives(to.Addr(), to.Port())
		at.Answer, at.From = No, elsewhere.all().Witness()
		at.By = fmt.Sprintf("packets for it are led to %v by %v", led, elsewhere.state.to.by)
	case seen && e.matches(to):
		at.Answer, at.By, at.From = No, "nothing takes it there", p.from[0].From
	default:
		return Reach{}, false
	}
	if at.Answer == No && !e.matches(to) { // of packets that are sent elsewhere
		return Reach{}, false
	}
	return at, true
}

// matches reports whether packets sent to an address and port are sent to the
// endpoint, untranslated.
func (e Endpoint) matches(to netip.AddrPort) bool {
	if e.Published {
		return to.Port() == e.Local.Port() && e.takes(to.Addr())
	}
	e.Device = ""
	return e.serves(to, nil)
}

func (s Sources) join(t Sources) Sources {
	switch {
	case s.u == nil:
		return t
	case t.u == nil:
		return s
	}
	return s.Or(t)
}

func (s Sources) count() int {
	n := 0
	for _, w := range s.b {
		n += bits.OnesCount64(w)
	}
	return n
}

// all are the sources of a fate: those of its flow from which packets fare so.
func (f *Fate) all() Sources { return Sources{f.u, f.state.region[srcAddr]} }

// bypassed is the rule that would drop the example of a published port if it
// were not led past the host's own input: a firewall's that docker's rules
// bypass. It is empty when there is none.
func bypassed(passages []passage, c Class, r *Reach) string {
	for _, p := range passages {
		if p.class != c || p.in == nil || p.in.Name != r.In {
			continue
		}
		led := false
		for i := range p.fates {
			_, sent := p.fates[i].Arrives(r.To.Addr(), r.To.Port())
			led = led || sent && p.fates[i].Kind == Forwarded
		}
		if !led {
			continue
		}
		fates, err := p.again()
		for i := range fates {
			f := &fates[i]
			_, sent := f.Arrives(r.To.Addr(), r.To.Port())
			if err == nil && sent && f.Kind == Dropped && f.Sure && f.From(r.From) {
				return f.By.String()
			}
		}
	}
	return ""
}

// String is an example in words: "tcp from 198.51.100.1 by eth0 to 192.0.2.2:8090".
func (r Reach) String() string {
	s := r.By
	if r.From.IsValid() {
		s = fmt.Sprintf("%s (from %v", r.By, r.From)
		if r.FromPort != 0 {
			s += fmt.Sprintf(" port %d", r.FromPort)
		}
		if r.In != "" {
			s += " by " + r.In
		}
		s += fmt.Sprintf(" to %v)", r.To)
	}
	if r.Bypass != "" {
		s += "; that leads past " + r.Bypass
	}
	if r.Why != "" {
		s += "; not known: " + r.Why
	}
	return s
}
