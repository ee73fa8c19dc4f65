package sshdconf

import (
	"slices"
	"strconv"
	"strings"
)

// Connection is a point for which the configuration can be asked. An empty
// field is unknown: no criterion about it is satisfied.
type Connection struct {
	User        string
	InvalidUser bool     // there is no such account
	Groups      []string // all groups of the user, the primary one included
	Host        string   // the client's name as the reverse look-up gives it
	Addr        string
	LocalAddr   string
	LocalPort   int
	RDomain     string
}

// Holds reports whether a connection satisfies a criterion of a Match line.
func (c *Config) Holds(conn Connection, t Term) bool {
	switch t.Attr {
	case "user":
		return conn.User != "" && MatchPatterns(conn.User, t.Arg)
	case "group":
		return conn.User != "" && MatchGroups(conn.Groups, t.Arg)
	case "host":
		return conn.Host != "" && matchList(asciiLower(conn.Host), t.Arg, true) == matched
	case "address":
		return conn.Addr != "" && c.MatchAddress(conn.Addr, t.Arg)
	case "localaddress":
		return conn.LocalAddr != "" && c.MatchAddress(conn.LocalAddr, t.Arg)
	case "localport":
		n, ok := c.opts.port(t.Arg)
		return ok && conn.LocalPort != 0 && n == conn.LocalPort
	case "rdomain":
		return conn.RDomain != "" && MatchPatterns(conn.RDomain, t.Arg)
	case "invalid-user":
		return conn.InvalidUser
	case "version":
		return MatchPatterns(c.opts.releaseName(), t.Arg)
	}
	return false
}

// MatchGroups reports whether a user with these groups matches a group
// pattern list: one group in a negated entry is enough for a no.
func MatchGroups(groups []string, list string) bool {
	hit := false
	for _, g := range groups {
		switch matchList(g, list, false) {
		case denied:
			return false
		case matched:
			hit = true
		}
	}
	return hit
}

// MatchAddress reports whether an address matches a list of networks and
// patterns, as in Match Address.
func (c *Config) MatchAddress(addr, list string) bool {
	return matchAddrs(addr, list, false, c.opts.Version) == matched
}

// MatchPatterns reports whether a word matches a pattern list with negation.
func MatchPatterns(word, list string) bool { return matchList(word, list, false) == matched }

// Effective is what holds under one set of satisfied Match blocks.
type Effective struct {
	// Blocks are the satisfied Match blocks in sshd's reading order.
	Blocks []*Block

	version Version
	opts    *Options
	slots   []slot
}

// Setting is one keyword's effective state.
type Setting struct {
	Keyword string
	// Values in effect: one for most keywords, any number for lists. Their
	// texts are those sshd -T prints.
	Values []Value
	// Shadowed are values that are written too and have no effect.
	Shadowed []Value
}

// Text is the value, or the values of a list separated by blanks.
func (s Setting) Text() string {
	texts := make([]string, len(s.Values))
	for i, v := range s.Values {
		texts[i] = v.Text
	}
	return strings.Join(texts, " ")
}

// Default reports whether no line sets it.
func (s Setting) Default() bool {
	return !slices.ContainsFunc(s.Values, func(v Value) bool { return v.At != Place{} })
}

// For answers what holds for one connection, as `sshd -T -C` does. The error
// is a [*RefusedError] when sshd would drop the connection because of what it
// finds in the satisfied blocks together.
func (c *Config) For(conn Connection) (*Effective, error) {
	return c.When(func(t Term) bool { return c.Holds(conn, t) })
}

// When answers what holds when decide says which criteria do. Criteria of the
// kind "version" are not asked for.
func (c *Config) When(decide func(Term) bool) (*Effective, error) {
	p := newPass(c.reader, func(t Term) bool {
		if t.Attr == "version" {
			return c.Holds(Connection{}, t)
		}
		return decide(t)
	})
	p.blockAt = c.blockAt()
	return c.finish(p)
}

// finish runs a second pass and lays it over what holds outside Match blocks.
func (c *Config) finish(p *pass) (*Effective, error) {
	if err := p.run(c.File); err != nil {
		return nil, err
	}
	e := &Effective{Blocks: p.satisfied, version: c.opts.Version, opts: &c.opts, slots: slices.Clone(c.global)}
	for id, k := range settings() {
		from := &p.slots[id]
		switch {
		case id == kSubsystem && c.opts.Version.AtLeast(V9_5):
			e.mergeSubsystems(from)
		case id == kSetEnv && !c.opts.Version.AtLeast(V9_2): // without effect in Match blocks
		case k.merged && from.set():
			s := &e.slots[id]
			s.shadowed = slices.Concat(from.shadowed, written(s.values), s.shadowed)
			s.values = from.values
			if (id == kForceCommand || id == kChrootDirectory) && strings.EqualFold(s.values[0].Text, "none") {
				s.values = []Value{{"none", s.values[0].At, s.values[0].Block}}
			}
		}
	}
	for _, l := range c.reader.algs.lists() {
		if !settings()[l.id].merged || !p.slots[l.id].set() {
			continue
		}
		s := &e.slots[l.id]
		text, ok := assemble(s.values[0].Text, l.defaults, l.all)
		if !ok {
			return nil, &RefusedError{[]Problem{{s.values[0].At, quoted(settings()[l.id].name) + ": no algorithm is left of its list"}}}
		}
		s.values = []Value{{text, s.values[0].At, s.values[0].Block}}
	}
	return e, nil
}

func (c *Config) blockAt() map[blockKey]*Block {
	m := make(map[blockKey]*Block, len(c.Blocks))
	for _, b := range c.Blocks {
		m[blockKey{b.Outer, b.Place}] = b
	}
	return m
}

// written leaves out defaults.
func written(values []Value) []Value {
	return slices.DeleteFunc(slices.Clone(values), func(v Value) bool { return v.At == Place{} })
}

func (e *Effective) mergeSubsystems(from *slot) {
	s := &e.slots[kSubsystem]
	s.values = slices.Clone(s.values)
	for _, v := range from.values {
		name, _, _ := strings.Cut(v.Text, " ")
		i := slices.IndexFunc(s.values, func(have Value) bool { return strings.HasPrefix(have.Text, name+" ") })
		if i < 0 {
			s.values = append(s.values, v)
			continue
		}
		s.shadowed = append(slices.Clone(s.shadowed), s.values[i])
		s.values[i] = v
	}
}

// Get returns a keyword's effective state; the name may be in any case and an
// alias. It is empty for a keyword this sshd does not know.
func (e *Effective) Get(name string) Setting {
	id, a := lookup(strings.ToLower(name), e.version)
	if id < 0 || !e.opts.supports(a.option) {
		return Setting{Keyword: strings.ToLower(name)}
	}
	s := e.slots[id]
	return Setting{Keyword: nameOf(id, e.version), Values: s.values, Shadowed: s.shadowed}
}

func nameOf(id int, v Version) string {
	if !v.AtLeast(V8_5) {
		switch id {
		case kHostbasedAlgorithms:
			return "hostbasedacceptedkeytypes"
		case kPubkeyAlgorithms:
			return "pubkeyacceptedkeytypes"
		}
	}
	return settings()[id].name
}

// Canonical returns the name under which sshd prints a keyword, and whether
// the release knows it as a setting.
func Canonical(name string, v Version) (string, bool) {
	id, _ := lookup(strings.ToLower(name), v)
	if id < 0 {
		return "", false
	}
	return nameOf(id, v), true
}

// fillDefaults ends the first pass: what no line sets gets its default, and
// "none" takes effect.
func (p *pass) fillDefaults() {
	v := p.r.opts.Version
	for id := range settings() {
		s := &p.slots[id]
		if s.set() || settings()[id].preset == "" {
			continue
		}
		s.values = []Value{{Text: presetOf(id, v)}}
	}
	for id, texts := range map[int][]string{
		kHostKey:            {"/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_ecdsa_key", "/etc/ssh/ssh_host_ed25519_key"},
		kAuthorizedKeysFile: {".ssh/authorized_keys", ".ssh/authorized_keys2"},
		kIPQoS:              {ipqosPreset(v)},
		kMaxStartups:        {""},
	} {
		s := &p.slots[id]
		if s.set() {
			continue
		}
		for _, t := range texts {
			s.values = append(s.values, Value{Text: t})
		}
	}
	p.fillStartups()
	p.fillPenalties()
	p.applyNone()
	if !v.AtLeast(V8_7) && p.slots[kChallengeResponse].values[0].Text == "yes" {
		// The older switch turns the newer one on.
		s := &p.slots[kKbdInteractive]
		s.shadowed = append(s.shadowed, written(s.values)...)
		s.values = p.slots[kChallengeResponse].values
	}
}

func presetOf(id int, v Version) string {
	switch {
	case id == kKbdInteractive && !v.AtLeast(V8_7):
		return "no"
	}
	return settings()[id].preset
}

func ipqosPreset(v Version) string {
	if v.AtLeast(V10_0) {
		return "ef cs1"
	}
	return "lowdelay throughput"
}

func (p *pass) fillStartups() {
	for i, preset := range []int{10, 30, 100} {
		if p.startups[i] == -1 {
			p.startups[i] = preset
		}
	}
	s := &p.slots[kMaxStartups]
	text := joinInts(p.startups[:])
	s.values = []Value{{text, s.values[0].At, s.values[0].Block}}
}

func joinInts(n []int) string {
	texts := make([]string, len(n))
	for i, v := range n {
		texts[i] = strconv.Itoa(v)
	}
	return strings.Join(texts, ":")
}

func (p *pass) fillPenalties() {
	s := &p.slots[kPerSourcePenalties]
	set := map[string]string{}
	enabled := ""
	var at Value
	for _, v := range s.values {
		name, value, _ := strings.Cut(v.Text, ":")
		at = v
		switch {
		case name == "enabled" && enabled == "":
			enabled = value
		case name == "on":
			enabled = "yes"
		default:
			set[name] = value
		}
	}
	texts := make([]string, 0, len(penalties))
	for _, part := range penalties {
		value, ok := set[part.name]
		if !ok {
			value = part.preset
		}
		if part.name == "overflow" {
			set["overflow"] = value
		}
		if value == "" {
			value = set["overflow"]
		}
		texts = append(texts, part.name+":"+value)
	}
	text := strings.Join(texts, " ")
	if enabled == "no" {
		text = "no"
	}
	s.values = []Value{{text, at.At, at.Block}}
}

// applyNone is what sshd makes of "none" outside Match blocks.
func (p *pass) applyNone() {
	for _, id := range []int{kPidFile, kXAuthLocation, kBanner, kTrustedUserCAKeys, kRevokedKeys, kSecurityKeyProvider,
		kAuthorizedPrincipalsFile, kForceCommand, kChrootDirectory, kHostKeyAgent, kPerSourcePenaltyExemptList} {
		if v := p.slots[id].values; strings.EqualFold(v[0].Text, "none") {
			p.slots[id].values = []Value{{"none", v[0].At, v[0].Block}}
		}
	}
	if s := &p.slots[kChannelTimeout]; len(s.values) == 1 && strings.EqualFold(s.values[0].Text, "none") {
		s.shadowed, s.values = s.values, nil
	}
}

// algorithmLists are the settings whose values stand for names to be found in
// a list.
func (a *algorithms) lists() []struct {
	id            int
	defaults, all []string
} {
	return []struct {
		id            int
		defaults, all []string
	}{
		{kCiphers, a.defCiphers, a.ciphers},
		{kMACs, a.defMACs, a.macs},
		{kKexAlgorithms, a.defKex, a.kex},
		{kHostKeyAlgorithms, a.defKeys, a.keys},
		{kHostbasedAlgorithms, a.defKeys, a.keys},
		{kPubkeyAlgorithms, a.defKeys, a.keys},
		{kCASignatureAlgorithms, a.defSigs, a.plainKeys},
	}
}

// assembleAll turns the lists into names. sshd does it when it starts and once
// more for every connection, when a list that is left empty gets its default.
func assembleAll(slots []slot, a *algorithms) bool {
	for _, l := range a.lists() {
		s := &slots[l.id]
		v := Value{}
		if s.set() {
			v = s.values[0]
		}
		text, ok := assemble(v.Text, l.defaults, l.all)
		if !ok {
			return false
		}
		v.Text = text
		s.values = []Value{v}
	}
	return true
}

// checkStart is what sshd looks at before it listens.
func (p *pass) checkStart() error {
	for _, l := range p.r.algs.lists() {
		s := &p.slots[l.id]
		if !s.set() {
			continue
		}
		if _, ok := assemble(s.values[0].Text, l.defaults, l.all); !ok {
			return p.refuseAt(l.id, "no algorithm is left of its list")
		}
	}
	for range 2 {
		if !assembleAll(p.slots, p.r.algs) {
			return p.refusedError()
		}
	}
	for _, pair := range [][2]int{
		{kAuthorizedKeysCommand, kAuthorizedKeysCommandUser},
		{kAuthorizedPrincipalsCommand, kAuthorizedPrincipalsCommandUser},
	} {
		if !strings.EqualFold(p.slots[pair[0]].values[0].Text, "none") && p.slots[pair[1]].values[0].At == (Place{}) {
			return p.refuseAt(pair[0], "it is set without its user")
		}
	}
	e := &Effective{version: p.r.opts.Version, opts: &p.r.opts, slots: p.slots}
	lists := e.Get("authenticationmethods")
	if len(lists.Values) > 0 && !slices.ContainsFunc(lists.Values, func(v Value) bool {
		return v.Text == "any" || e.MethodsEnabled(v.Text)
	}) {
		return p.refuseAt(kAuthenticationMethods, "every list needs a method that is switched off")
	}
	return nil
}

func (p *pass) refuseAt(id int, text string) error {
	at := Place{}
	if s := p.slots[id]; s.set() {
		at = s.values[0].At
	}
	p.refused = append(p.refused, Problem{at, quoted(settings()[id].name) + ": " + text})
	return p.refusedError()
}

// MethodsEnabled reports whether every method of a comma-separated list, as
// in AuthenticationMethods, is switched on.
func (e *Effective) MethodsEnabled(list string) bool {
	for m := range strings.SplitSeq(list, ",") {
		name, _, _ := strings.Cut(m, ":")
		id, ok := map[string]int{
			"publickey": kPubkeyAuthentication, "gssapi-with-mic": kGSSAPIAuthentication, "gssapi-keyex": kGSSAPIKeyExchange,
			"password": kPasswordAuthentication, "keyboard-interactive": kKbdInteractive, "hostbased": kHostbasedAuthentication,
		}[name]
		if ok && e.slots[id].values[0].Text != "yes" {
			return false
		}
	}
	return true
}
