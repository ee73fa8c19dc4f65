package authorizedkeys

import (
	"slices"
	"strconv"
	"strings"

	"github.com/hostguard/hostguard/internal/sshdconf"
)

// Bounds of sshd for one line.
const (
	maxPermits     = 4096
	maxEnvironment = 1024
	maxHostName    = 1025 // NI_MAXHOST
	maxTunnel      = 0x7fffffff - 2
)

// cSpace is what C's numbers may begin with.
const cSpace = " \t\n\v\f\r"

// flags are options without a value; those that can be switched off by "no-"
// say so.
var flags = []struct {
	name    string
	negated bool
	set     func(*Options, bool)
}{
	{"restrict", false, func(o *Options, _ bool) {
		o.Restrict = true
		o.PortForwarding, o.AgentForwarding, o.X11Forwarding, o.PTY, o.UserRC = false, false, false, false, false
	}},
	{"cert-authority", false, func(o *Options, on bool) { o.CertAuthority = on }},
	{"port-forwarding", true, func(o *Options, on bool) { o.PortForwarding = on }},
	{"agent-forwarding", true, func(o *Options, on bool) { o.AgentForwarding = on }},
	{"x11-forwarding", true, func(o *Options, on bool) { o.X11Forwarding = on }},
	{"touch-required", true, func(o *Options, on bool) { o.NoTouch = !on }},
	{"verify-required", true, func(o *Options, on bool) { o.VerifyRequired = on }},
	{"pty", true, func(o *Options, on bool) { o.PTY = on }},
	{"user-rc", true, func(o *Options, on bool) { o.UserRC = on }},
}

// options reads those at the start of a line up to end, a blank. sshd looks for
// their end anew: a comma may stand before it. why is the reason for which it
// refuses them, and with them the line.
func (r Reader) options(text string, end int) (o Options, why string) {
	o = Options{Text: text[:end], PortForwarding: true, AgentForwarding: true, X11Forwarding: true, PTY: true, UserRC: true}
	for rest := text; rest != "" && rest[0] != ' ' && rest[0] != '\t'; {
		if next, ok := o.flag(rest); ok {
			rest = next
		} else if rest, why = r.valued(&o, rest); why != "" {
			return o, why
		}
		if rest == "" || rest[0] == ' ' || rest[0] == '\t' {
			break
		}
		if rest[0] != ',' {
			return o, "an option is unknown: " + optionName(rest)
		}
		if rest = rest[1:]; rest == "" {
			return o, "the options end with a comma"
		}
	}
	return o, ""
}

func (o *Options) flag(text string) (rest string, ok bool) {
	plain, off := cutPrefixFold(text, "no-")
	for _, f := range flags {
		from := text
		on := true
		if f.negated && off {
			from, on = plain, false
		}
		if rest, ok := cutPrefixFold(from, f.name); ok {
			f.set(o, on)
			return rest, true
		}
	}
	return text, false
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

// optionName is the name at the start of what sshd does not know; never a value.
func optionName(text string) string {
	end := strings.IndexAny(text, "=\", \t")
	if end < 0 {
		end = len(text)
	}
	const longest = 40
	if end > longest {
		return text[:longest] + "…"
	}
	return text[:end]
}

// valued reads an option with a value. One that it does not know stays where it is.
func (r Reader) valued(o *Options, text string) (rest, why string) {
	for _, v := range []struct {
		name string
		read func(*Options, string) string
	}{
		{"command", func(o *Options, s string) string { return once(&o.Command, s, "command") }},
		{"principals", func(o *Options, s string) string { return once(&o.Principals, s, "principals") }},
		{"from", func(o *Options, s string) string { return once(&o.From, s, "from") }},
		{"expiry-time", r.expiry},
		{"environment", (*Options).environment},
		{"permitopen", func(o *Options, s string) string { return r.permit(&o.PermitOpen, s, "permitopen") }},
		{"permitlisten", func(o *Options, s string) string {
			if !strings.Contains(s, ":") {
				s = "*:" + s
			}
			return r.permit(&o.PermitListen, s, "permitlisten")
		}},
		{"tunnel", (*Options).tunnel},
	} {
		after, ok := cutPrefixFold(text, v.name+"=")
		if !ok {
			continue
		}
		value, rest, ok := dequote(after)
		if !ok {
			return text, "the value of " + v.name + " is not in quotes"
		}
		return rest, v.read(o, value)
	}
	return text, ""
}

// dequote reads a quoted value, in which \" is a quote.
func dequote(text string) (value, rest string, ok bool) {
	if text == "" || text[0] != '"' {
		return "", text, false
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return b.String(), text[i+1:], true
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == '"':
			i++
		}
		b.WriteByte(text[i])
	}
	return "", text, false
}

func once(slot **string, value, name string) string {
	if *slot != nil {
		return "it has two " + name + " options"
	}
	*slot = &value
	return ""
}

func (r Reader) expiry(o *Options, value string) string {
	t, ok := r.parseTime(value)
	if !ok {
		why := "its expiry-time is malformed"
		if strings.HasSuffix(strings.ToUpper(value), "Z") && !r.Version.AtLeast(sshdconf.V9_1) {
			why += ": this release of sshd knows no Z"
		}
		return why
	}
	if o.Expires.IsZero() || t.Before(o.Expires) {
		o.Expires = t
	}
	return ""
}

func (o *Options) environment(value string) string {
	if len(o.Environment) > maxEnvironment {
		return "it has too many environment options"
	}
	name, _, ok := strings.Cut(value, "=")
	if !ok || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
		return "its environment option is malformed"
	}
	if !slices.ContainsFunc(o.Environment, func(have string) bool { return strings.HasPrefix(have, name+"=") }) {
		o.Environment = append(o.Environment, value)
	}
	return ""
}

// permit reads HOST:PORT, a host in brackets or not, a port's number, service or "*".
func (r Reader) permit(slot *[]string, value, name string) string {
	if len(*slot) > maxPermits {
		return "it has too many " + name + " options"
	}
	var host, port string
	if strings.HasPrefix(value, "[") {
		end := strings.IndexByte(value, ']')
		if end < 0 || end+1 < len(value) && value[end+1] != ':' && value[end+1] != '/' {
			return "the host of its " + name + " option is malformed"
		}
		host = value[:end+1]
		if end+1 < len(value) {
			port = value[end+2:]
		}
	} else if end := strings.IndexAny(value, ":/"); end >= 0 {
		host, port = value[:end], value[end+1:]
	} else {
		host = value
	}
	if len(host) >= maxHostName {
		return "the host of its " + name + " option is malformed"
	}
	n, err := strconv.ParseInt(strings.TrimLeft(port, cSpace), 10, 32)
	if port != "*" && (err != nil || n < 1 || n > 65535) && (err == nil || r.Service == nil || !r.Service(port)) {
		return "the port of its " + name + " option is malformed"
	}
	*slot = append(*slot, value)
	return ""
}

func (o *Options) tunnel(value string) string {
	if n, err := strconv.ParseInt(strings.TrimLeft(value, cSpace), 10, 64); !strings.EqualFold(value, "any") && (err != nil || n < 0 || n > maxTunnel) {
		return "the device of its tunnel option is malformed"
	}
	o.Tunnel = value
	return ""
}
