package sshdconf

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A choice maps words, in any case, to the word sshd prints for them.
type choice map[string]string

var (
	yesNo        = choice{"yes": "yes", "no": "no"}
	rhosts       = choice{"yes": "yes", "no": "no", "shosts-only": "shosts-only"}
	families     = choice{"inet": "inet", "inet6": "inet6", "any": "any"}
	compressions = choice{"yes": "yes", "delayed": "yes", "no": "no"}
	gatewayPorts = choice{"clientspecified": "clientspecified", "yes": "yes", "no": "no"}
	forwardings  = choice{"yes": "yes", "all": "yes", "no": "no", "remote": "remote", "local": "local"}
	rootLogins   = choice{
		"without-password": "without-password", "prohibit-password": "without-password",
		"forced-commands-only": "forced-commands-only", "yes": "yes", "no": "no",
	}
	facilities = choice{
		"daemon": "DAEMON", "user": "USER", "auth": "AUTH", "authpriv": "AUTHPRIV", "local0": "LOCAL0",
		"local1": "LOCAL1", "local2": "LOCAL2", "local3": "LOCAL3", "local4": "LOCAL4", "local5": "LOCAL5",
		"local6": "LOCAL6", "local7": "LOCAL7",
	}
	logLevels = choice{
		"silent": "SILENT", "quiet": "SILENT", "fatal": "FATAL", "error": "ERROR", "info": "INFO",
		"verbose": "VERBOSE", "debug": "DEBUG", "debug1": "DEBUG", "debug2": "DEBUG2", "debug3": "DEBUG3",
	}
	hashes = choice{"md5": "MD5", "sha1": "SHA1", "sha256": "SHA256", "sha384": "SHA384", "sha512": "SHA512"}
)

const missing = "its argument is missing"

// one takes an argument that must not be empty.
func one(a *arguments) (string, *refusal) {
	arg, ok := a.next()
	if !ok || arg == "" {
		return "", refuse(missing)
	}
	return arg, nil
}

func oneOf(id int, words choice) reading {
	return func(p *pass, _ *line, a *arguments) *refusal {
		arg, why := one(a)
		if why != nil {
			return why
		}
		value, ok := words[asciiLower(arg)]
		if !ok {
			return refuse(quoted(arg) + " is none of its values")
		}
		p.first(id, value)
		return nil
	}
}

func flag(id int) reading { return oneOf(id, yesNo) }

// word stores an argument as it is.
func word(id int) reading {
	return func(p *pass, _ *line, a *arguments) *refusal {
		arg, why := one(a)
		if why == nil {
			p.first(id, arg)
		}
		return why
	}
}

func number(id int) reading {
	return func(p *pass, _ *line, a *arguments) *refusal {
		arg, _ := a.next()
		n, ok := atoi(arg)
		if !ok {
			return refuse(quoted(arg) + " is not a whole number in range")
		}
		p.first(id, strconv.Itoa(n))
		return nil
	}
}

func span(id int) reading {
	return func(p *pass, _ *line, a *arguments) *refusal {
		arg, why := one(a)
		if why != nil {
			return why
		}
		n, ok := seconds(arg, p.r.opts.Version)
		if !ok {
			return refuse(quoted(arg) + " is not a time span")
		}
		p.first(id, strconv.Itoa(n))
		return nil
	}
}

func file(id int) reading {
	return func(p *pass, _ *line, a *arguments) *refusal {
		arg, why := one(a)
		if why != nil {
			return why
		}
		if !p.active {
			return nil
		}
		name, ok := p.r.opts.absolute(arg)
		if !ok {
			return noHome(arg)
		}
		p.first(id, name)
		return nil
	}
}

func noHome(name string) *refusal {
	return refuse("there is no user whose home folder " + quoted(name) + " could mean")
}

// maxPorts is how many Port lines sshd takes.
const maxPorts = 256

func readPort(p *pass, _ *line, a *arguments) *refusal {
	if p.portsFixed {
		a.drop()
		return nil
	}
	if len(p.slots[kPort].values) >= maxPorts {
		return refuse("there are more than 256 of them")
	}
	arg, why := one(a)
	if why != nil {
		return why
	}
	n, ok := p.r.opts.port(arg)
	if !ok || n == 0 {
		return refuse(quoted(arg) + " is not a port")
	}
	p.add(kPort, strconv.Itoa(n))
	return nil
}

func hostFile(id int, p *pass, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil || !p.active {
		return why
	}
	name, ok := p.r.opts.absolute(arg)
	if !ok {
		return noHome(arg)
	}
	p.add(id, name)
	return nil
}

func readHostKey(p *pass, _ *line, a *arguments) *refusal { return hostFile(kHostKey, p, a) }

func readHostCertificate(p *pass, _ *line, a *arguments) *refusal {
	return hostFile(kHostCertificate, p, a)
}

// orPath stores one of sshd's own words as it is, and anything else as a path.
func orPath(id int, isWord func(string) bool) reading {
	asPath := file(id)
	return func(p *pass, l *line, a *arguments) *refusal {
		if arg, ok := a.peek(); ok && isWord(arg) {
			a.next()
			p.first(id, arg)
			return nil
		}
		return asPath(p, l, a)
	}
}

func readHostKeyAgent(p *pass, l *line, a *arguments) *refusal {
	return orPath(kHostKeyAgent, func(s string) bool { return s == "SSH_AUTH_SOCK" })(p, l, a)
}

func readSecurityKeyProvider(p *pass, l *line, a *arguments) *refusal {
	return orPath(kSecurityKeyProvider, func(s string) bool { return strings.EqualFold(s, "internal") })(p, l, a)
}

func readFacility(p *pass, _ *line, a *arguments) *refusal {
	arg, _ := a.next()
	value, ok := facilities[asciiLower(arg)]
	if !ok {
		return refuse(quoted(arg) + " is not a syslog facility")
	}
	p.first(kSyslogFacility, value)
	return nil
}

func readLogLevel(p *pass, _ *line, a *arguments) *refusal {
	arg, _ := a.next()
	value, ok := logLevels[asciiLower(arg)]
	if !ok {
		return refuse(quoted(arg) + " is not a log level")
	}
	p.first(kLogLevel, value)
	return nil
}

// list reads a list that must not be empty in newer releases, and stores it
// when no earlier line has.
func (p *pass) list(id int, a *arguments, each func(arg string, i, left int) *refusal) *refusal {
	args := a.all()
	for i, arg := range args {
		if why := each(arg, i, len(args)-i-1); why != nil {
			return why
		}
	}
	if len(args) == 0 && p.r.opts.Version.AtLeast(V10_0) {
		return refuse(missing)
	}
	p.firstAll(id, args)
	return nil
}

func loneNone(arg string, i, left int) *refusal {
	if strings.EqualFold(arg, "none") && (i > 0 || left > 0) {
		return &refusal{text: "none stands with other arguments", mild: true}
	}
	return nil
}

func readLogVerbose(p *pass, _ *line, a *arguments) *refusal {
	return p.list(kLogVerbose, a, func(arg string, i, left int) *refusal {
		if arg == "" {
			return &refusal{text: "an argument is empty", mild: true}
		}
		return loneNone(arg, i, left)
	})
}

func readChannelTimeout(p *pass, _ *line, a *arguments) *refusal {
	return p.list(kChannelTimeout, a, func(arg string, i, left int) *refusal {
		if strings.EqualFold(arg, "none") {
			return loneNone(arg, i, left)
		}
		kind, text, ok := strings.Cut(arg, "=")
		if _, isTime := seconds(text, p.r.opts.Version); !ok || kind == "" || !isTime {
			return refuse(quoted(arg) + " is not TYPE=TIME")
		}
		return nil
	})
}

func readUnusedConnectionTimeout(p *pass, l *line, a *arguments) *refusal {
	if arg, ok := a.peek(); ok && strings.EqualFold(arg, "none") {
		a.next()
		p.last(kUnusedConnectionTimeout, "0") // not first: it takes an earlier one away
		return nil
	}
	return span(kUnusedConnectionTimeout)(p, l, a)
}

func keyNames(id int, plainFrom10 bool) reading {
	return func(p *pass, _ *line, a *arguments) *refusal {
		return algorithmNames(id, p, a, func(s string) bool {
			return p.r.algs.validKeys(s, plainFrom10 && p.r.opts.Version.AtLeast(V10_0))
		})
	}
}

// algorithmNames reads a list of names; valid judges it without + or ^.
func algorithmNames(id int, p *pass, a *arguments, valid func(string) bool) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	if arg[0] != '-' {
		list := arg
		if arg[0] == '+' || arg[0] == '^' {
			list = arg[1:]
		}
		if !valid(list) {
			return refuse("it names an algorithm that sshd does not know: " + quoted(arg))
		}
	}
	p.first(id, arg)
	return nil
}

func readCiphers(p *pass, _ *line, a *arguments) *refusal {
	return algorithmNames(kCiphers, p, a, func(s string) bool { return known(s, p.r.algs.ciphers, nil) })
}

func readMACs(p *pass, _ *line, a *arguments) *refusal {
	return algorithmNames(kMACs, p, a, func(s string) bool { return known(s, p.r.algs.macs, nil) })
}

func readKex(p *pass, _ *line, a *arguments) *refusal {
	return algorithmNames(kKexAlgorithms, p, a, p.r.algs.validKex)
}

func readGSSKex(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	if !known(arg, nil, p.r.algs.knowsGSSKex) {
		return refuse("it names an algorithm that sshd does not know: " + quoted(arg))
	}
	p.first(kGSSAPIKex, arg)
	return nil
}

func readPubkeyAuthOptions(p *pass, _ *line, a *arguments) *refusal {
	touch, verify := "", ""
	for _, arg := range a.all() {
		switch asciiLower(arg) {
		case "none":
		case "touch-required":
			touch = " touch-required"
		case "verify-required":
			verify = " verify-required"
		default:
			return &refusal{quoted(arg) + " is none of its values", p.r.opts.Version.AtLeast(V8_7)}
		}
	}
	text := strings.TrimSpace(touch + verify)
	if text == "" {
		text = "none"
	}
	p.first(kPubkeyAuthOptions, text)
	return nil
}

func readRekeyLimit(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	limit := int64(0)
	if arg != "default" {
		n, ok := scaled(arg)
		if !ok {
			return refuse(quoted(arg) + " is not an amount of data")
		}
		if n != 0 && n < 16 {
			return refuse(quoted(arg) + " is too small")
		}
		limit = n
	}
	p.first(kRekeyLimit, strconv.FormatUint(uint64(limit), 10))
	if !a.byWord && !a.more {
		return nil
	}
	interval, ok := a.next()
	switch {
	case !ok:
		return nil
	case interval == "none":
		return nil
	case interval == "":
		return refuse(missing)
	}
	n, ok := seconds(interval, p.r.opts.Version)
	if !ok {
		return refuse(quoted(interval) + " is not a time span")
	}
	p.first(kRekeyInterval, strconv.Itoa(n))
	return nil
}

func (p *pass) patterns(id int, a *arguments, ok func(string) bool) *refusal {
	args := a.all()
	for i, arg := range args {
		if !ok(arg) {
			p.add(id, args[:i]...)
			return refuse("a pattern is malformed: " + quoted(arg))
		}
	}
	if len(args) == 0 && p.r.opts.Version.AtLeast(V10_0) {
		return refuse(missing)
	}
	p.add(id, args...)
	return nil
}

func userPatterns(id int) reading {
	return func(p *pass, _ *line, a *arguments) *refusal {
		return p.patterns(id, a, func(s string) bool { return s != "" && validUserPattern(s, p.r.opts.Version) })
	}
}

func groupPatterns(id int) reading {
	return func(p *pass, _ *line, a *arguments) *refusal {
		return p.patterns(id, a, func(s string) bool { return s != "" })
	}
}

func readAcceptEnv(p *pass, _ *line, a *arguments) *refusal {
	return p.patterns(kAcceptEnv, a, func(s string) bool { return s != "" && !strings.Contains(s, "=") })
}

func readSetEnv(p *pass, _ *line, a *arguments) *refusal {
	args := a.allPlain()
	var kept []string
	seen := map[string]bool{}
	for _, arg := range args {
		name, _, ok := strings.Cut(arg, "=")
		if !ok {
			return refuse("it wants NAME=VALUE: " + quoted(arg))
		}
		if !seen[name] || !p.r.opts.Version.AtLeast(V8_7) {
			kept = append(kept, arg)
		}
		seen[name] = true
	}
	if len(args) == 0 && p.r.opts.Version.AtLeast(V10_0) {
		return refuse(missing)
	}
	if len(kept) > 0 {
		p.firstAll(kSetEnv, kept)
	}
	return nil
}

func readAuthorizedKeysFile(p *pass, _ *line, a *arguments) *refusal {
	old := !p.r.opts.Version.AtLeast(V8_7)
	if old && (!p.active || p.slots[kAuthorizedKeysFile].set()) { // sshd does not look at it at all
		p.firstAll(kAuthorizedKeysFile, a.all())
		a.drop()
		return nil
	}
	args := slices.Clone(a.all())
	for i, arg := range args {
		if arg == "" {
			p.firstAll(kAuthorizedKeysFile, args[:i])
			return &refusal{text: "an argument is empty", mild: true}
		}
		name, ok := p.r.opts.expandTilde(arg)
		if !ok {
			return noHome(arg)
		}
		args[i] = name
	}
	if len(args) == 0 && p.r.opts.Version.AtLeast(V10_0) {
		return refuse(missing)
	}
	p.firstAll(kAuthorizedKeysFile, args)
	if old {
		a.drop()
	}
	return nil
}

func readPrincipalsFile(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil || !p.active {
		return why
	}
	name, ok := p.r.opts.expandTilde(arg)
	if !ok {
		return noHome(arg)
	}
	p.first(kAuthorizedPrincipalsFile, name)
	return nil
}

func readPermitTunnel(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	if !slices.Contains([]string{"no", "point-to-point", "ethernet", "yes"}, arg) { // not in any case
		return refuse(quoted(arg) + " is none of its values")
	}
	p.first(kPermitTunnel, arg)
	return nil
}

// hostPort cuts host:port, where the host may stand in brackets. It returns
// false for the host when the form is wrong, and whether a port is there.
func hostPort(s string) (host, port string, hasPort, ok bool) {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", false, false
		}
		host, s = s[:end+1], s[end+1:]
	} else {
		end := strings.IndexAny(s, ":/")
		if end < 0 {
			end = len(s)
		}
		host, s = s[:end], s[end:]
	}
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	switch {
	case s == "":
		return host, "", false, true
	case s[0] == ':':
		return host, s[1:], true, true
	}
	return "", "", false, false
}

func permits(id int) reading {
	return func(p *pass, _ *line, a *arguments) *refusal {
		v := p.r.opts.Version
		arg, why := one(a)
		if why != nil && !(v.AtLeast(V10_0) && a.byWord) {
			return why
		}
		if why != nil {
			return refuse(missing)
		}
		args := []string{arg}
		if word := arg == "any" || arg == "none"; !word || v.AtLeast(V10_0) {
			args = append(args, a.all()...)
		}
		kept := args[:0:0]
		for i, arg := range args {
			if arg == "any" || arg == "none" {
				if i > 0 && v.AtLeast(V10_0) {
					return refuse(quoted(arg) + " stands with other arguments")
				}
				if i == 0 {
					kept = append(kept, arg)
					continue
				}
			}
			if arg == "" && !v.AtLeast(V10_0) {
				a.words = args[i+1:]
				break
			}
			if id == kPermitListen && !strings.Contains(arg, ":") {
				arg = "*:" + arg
			}
			_, port, hasPort, ok := hostPort(arg)
			if !ok {
				return refuse("a host is malformed: " + quoted(arg))
			}
			if n, isPort := p.r.opts.port(port); !hasPort || port != "*" && (!isPort || n == 0) {
				return refuse("a port is malformed: " + quoted(arg))
			}
			kept = append(kept, arg)
		}
		p.firstAll(id, kept)
		return nil
	}
}

func readForceCommand(p *pass, l *line, a *arguments) *refusal {
	if l.rest == "" {
		return refuse(missing)
	}
	p.first(kForceCommand, l.rest)
	a.drop()
	return nil
}

func readVersionAddendum(p *pass, l *line, a *arguments) *refusal {
	if l.rest == "" {
		return refuse(missing)
	}
	if strings.Contains(l.rest, "\r") && (p.active || p.r.opts.Version.AtLeast(V8_7)) {
		return refuse("it holds a carriage return")
	}
	text := l.rest
	if strings.EqualFold(text, "none") {
		text = "none"
	}
	p.first(kVersionAddendum, text)
	a.drop()
	return nil
}

// command stores a command line. Before 10.0 one of the two commands stands
// in the way of the other: AuthorizedPrincipalsCommand counts only as long as
// AuthorizedKeysCommand is not set, and then the last one does.
func command(id int) reading {
	return func(p *pass, l *line, a *arguments) *refusal {
		v := p.r.opts.Version
		a.drop()
		check := p.active && !p.slots[id].set() || v.AtLeast(V8_7)
		if check && !strings.HasPrefix(l.rest, "/") && !strings.EqualFold(l.rest, "none") {
			return refuse("it wants an absolute path")
		}
		switch {
		case id == kAuthorizedKeysCommand || v.AtLeast(V10_0) || !v.AtLeast(V8_7):
			p.first(id, l.rest)
		case !p.slots[kAuthorizedKeysCommand].set():
			p.last(id, l.rest)
		case p.active:
			s := &p.slots[id]
			s.shadowed = p.appendTo(s.shadowed, []string{l.rest})
		}
		return nil
	}
}

func readAuthenticationMethods(p *pass, _ *line, a *arguments) *refusal {
	v := p.r.opts.Version
	slot := &p.slots[kAuthenticationMethods]
	if !v.AtLeast(V8_7) && slot.set() { // sshd does not look at it at all
		p.firstAll(kAuthenticationMethods, a.all())
		a.drop()
		return nil
	}
	args := a.all()
	sawAny := false
	for i, arg := range args {
		before := i // methods stored when this one is met
		if !v.AtLeast(V10_0) && slot.set() {
			before = len(slot.values)
		} else if !v.AtLeast(V10_0) && !p.active {
			before = 0
		}
		switch {
		case arg == "any" && before > 0, arg != "any" && sawAny:
			return refuse("any stands with other methods")
		case arg == "any":
			sawAny = true
		case !p.r.opts.validMethods(arg):
			return refuse("a method is unknown: " + quoted(arg))
		}
	}
	if len(args) == 0 {
		return refuse(missing)
	}
	p.firstAll(kAuthenticationMethods, args)
	return nil
}

// Methods are the names that AuthenticationMethods knows.
func (o *Options) validMethods(list string) bool {
	all := []string{"none", "publickey", "gssapi-keyex", "gssapi-with-mic", "password", "keyboard-interactive", "hostbased"}
	if o.NoGSSAPI {
		all = slices.Delete(all, 2, 4)
	}
	for m := range strings.SplitSeq(list, ",") {
		name, _, _ := strings.Cut(m, ":")
		if !slices.Contains(all, name) {
			return false
		}
	}
	return true
}

func readBindMask(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	n, _, ok := strtol(arg, 8)
	if !ok || n < 0 || n > 0o777 {
		return refuse(quoted(arg) + " is not a file mode")
	}
	p.last(kStreamLocalBindMask, fmt.Sprintf("0%o", n))
	return nil
}

func readFingerprintHash(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	value, ok := hashes[asciiLower(arg)]
	if !ok {
		return refuse(quoted(arg) + " is not a hash")
	}
	p.last(kFingerprintHash, value)
	return nil
}

// readRDomain refuses: on Linux sshd cannot set a routing domain.
func readRDomain(*pass, *line, *arguments) *refusal {
	return refuse("sshd cannot set a routing domain on this system")
}

// maxSubsystems is how many subsystems sshd takes before 9.5.
const maxSubsystems = 256

func readSubsystem(p *pass, _ *line, a *arguments) *refusal {
	v := p.r.opts.Version
	newer := v.AtLeast(V9_5)
	slot := &p.slots[kSubsystem]
	if !newer && len(slot.values) >= maxSubsystems {
		return refuse("there are more than 256 of them")
	}
	name, why := one(a)
	if why != nil {
		return why
	}
	if !p.active {
		a.drop()
		return nil
	}
	if slices.ContainsFunc(slot.values, func(s Value) bool { return strings.HasPrefix(s.Text, name+" ") }) {
		if !newer {
			return refuse("the subsystem " + quoted(name) + " is defined twice")
		}
		slot.shadowed = p.appendTo(slot.shadowed, []string{name + " " + strings.Join(a.all(), " ")})
		a.drop()
		return nil
	}
	command, why := one(a)
	if why != nil {
		return why
	}
	words := append([]string{command}, a.all()...)
	if newer {
		for i, w := range words {
			words[i] = requote(w)
		}
	}
	p.add(kSubsystem, name+" "+strings.Join(words, " "))
	return nil
}

// requote writes a word so that splitWords would read it again.
func requote(w string) string {
	var b strings.Builder
	for i := range len(w) {
		if strings.IndexByte(`\'"`, w[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(w[i])
	}
	if strings.ContainsAny(w, " \t") {
		return `"` + b.String() + `"`
	}
	return b.String()
}

// readMaxStartups sets its parts one by one: a lone number leaves the rate of
// an earlier line.
func readMaxStartups(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	n := colonInts(arg, 3)
	s := &p.startups
	copy(s[:], n)
	bad := refuse(quoted(arg) + " is not START:RATE:FULL")
	switch len(n) {
	case 3:
		if s[0] > s[2] || s[1] > 100 || s[1] < 1 {
			return bad
		}
	case 1:
		s[2] = s[0]
	default:
		return bad
	}
	if p.r.opts.Version.AtLeast(V8_5) && (s[2] <= 0 || s[0] <= 0) {
		return bad
	}
	p.last(kMaxStartups, "")
	return nil
}

func readPerSourceMaxStartups(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	text := "none"
	if arg != "none" {
		n, ok := atoi(arg)
		if !ok {
			return refuse(quoted(arg) + " is not a whole number in range")
		}
		if n != noLimit {
			text = strconv.Itoa(n)
		}
	}
	if p.r.opts.Version.AtLeast(V9_8) {
		p.first(kPerSourceMaxStartups, text)
	} else {
		p.last(kPerSourceMaxStartups, text)
	}
	return nil
}

// noLimit is the largest C int, which sshd prints as none.
const noLimit = 1<<31 - 1

func readPerSourceNetBlockSize(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	n := colonInts(arg, 2)
	if len(n) == 0 || n[0] < 0 || n[0] > 32 || len(n) == 2 && (n[1] < 0 || n[1] > 128) {
		return refuse(quoted(arg) + " is not a pair of mask lengths")
	}
	second := "128"
	if len(n) == 2 {
		second = strconv.Itoa(n[1])
	}
	p.last(kPerSourceNetBlockSize, strconv.Itoa(n[0])+":"+second)
	return nil
}

var dscp = map[string]int{
	"none": noLimit, "af11": 0x28, "af12": 0x30, "af13": 0x38, "af21": 0x48, "af22": 0x50, "af23": 0x58,
	"af31": 0x68, "af32": 0x70, "af33": 0x78, "af41": 0x88, "af42": 0x90, "af43": 0x98,
	"cs0": 0x00, "cs1": 0x20, "cs2": 0x40, "cs3": 0x60, "cs4": 0x80, "cs5": 0xa0, "cs6": 0xc0, "cs7": 0xe0,
	"ef": 0xb8, "le": 0x04, "lowdelay": 0x10, "throughput": 0x08,
}

func qos(arg string, v Version) (string, bool) {
	arg = asciiLower(arg)
	if !v.AtLeast(V8_5) { // le has bits of its own there
		switch n, _, _ := strtol(arg, 0); {
		case arg == "reliability", n == 0x04:
			return "reliability", true
		case arg == "le", n == 0x01:
			return "le", true
		}
	}
	deprecated := arg == "lowdelay" || arg == "throughput" || arg == "reliability"
	switch _, named := dscp[arg]; {
	case deprecated && v.AtLeast(V10_0):
		return "none", true
	case arg == "reliability":
		return "le", true // the same bits
	case named:
		return arg, true
	}
	n, rest, ok := strtol(arg, 0)
	if v.AtLeast(V10_0) {
		n, rest, ok = strtol(arg, 10)
	}
	if !ok || rest != "" || n < 0 || n > 255 {
		return "", false
	}
	for name, bits := range dscp {
		if bits == int(n) && !(v.AtLeast(V10_0) && (name == "lowdelay" || name == "throughput")) {
			return name, true
		}
	}
	return fmt.Sprintf("0x%02x", n), true
}

func readIPQoS(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	interactive, ok := qos(arg, p.r.opts.Version)
	if !ok {
		return refuse(quoted(arg) + " is no class of traffic")
	}
	bulk := interactive
	if arg, more := a.next(); more {
		if bulk, ok = qos(arg, p.r.opts.Version); !ok {
			return refuse(quoted(arg) + " is no class of traffic")
		}
	}
	p.last(kIPQoS, interactive+" "+bulk)
	return nil
}

// penalties are the parts of PerSourcePenalties in the order of printing,
// with their defaults.
var penalties = []struct {
	name, preset string
	kind         byte // t: time, n: number, o: overflow mode
}{
	{"crash", "90", 't'}, {"authfail", "5", 't'}, {"noauth", "1", 't'}, {"grace-exceeded", "10", 't'},
	{"refuseconnection", "10", 't'}, {"max", "600", 't'}, {"min", "15", 't'},
	{"max-sources4", "65536", 'n'}, {"max-sources6", "65536", 'n'},
	{"overflow", "permissive", 'o'}, {"overflow6", "", 'o'},
}

func readPerSourcePenalties(p *pass, _ *line, a *arguments) *refusal {
	args := a.all()
	if len(args) == 0 {
		return refuse(missing)
	}
	has := func(name string) bool {
		return slices.ContainsFunc(p.slots[kPerSourcePenalties].values, func(v Value) bool {
			have, _, _ := strings.Cut(v.Text, ":")
			return have == name
		})
	}
	for i, arg := range args {
		if word := asciiLower(arg); word == "yes" || word == "no" {
			if i < len(args)-1 {
				return refuse(quoted(arg) + " stands with other arguments")
			}
			p.add(kPerSourcePenalties, "enabled:"+word)
			continue
		}
		name, text, _ := strings.Cut(arg, ":")
		value, ok := "", false
		for _, part := range penalties {
			if part.name != name || !strings.Contains(arg, ":") {
				continue
			}
			switch part.kind {
			case 't':
				n, isTime := seconds(text, p.r.opts.Version)
				value, ok = strconv.Itoa(n), isTime
			case 'n':
				n, isNumber := atoi(text)
				value, ok = strconv.Itoa(n), isNumber
			default:
				value, ok = text, text == "deny-all" || text == "permissive"
			}
		}
		if !ok {
			return refuse(quoted(arg) + " is none of its values")
		}
		if !has(name) {
			p.add(kPerSourcePenalties, name+":"+value, "on:yes")
		}
	}
	return nil
}

func readPenaltyExemptList(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	if matchAddrs("", arg, true, p.r.opts.Version) != missed {
		return refuse("an address is malformed: " + quoted(arg))
	}
	p.first(kPerSourcePenaltyExemptList, arg)
	return nil
}
