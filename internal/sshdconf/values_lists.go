package sshdconf

import (
	"slices"
	"strings"
)

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
