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

// readRDomain refuses: on Linux sshd cannot set a routing domain.
func readRDomain(*pass, *line, *arguments) *refusal {
	return refuse("sshd cannot set a routing domain on this system")
}
