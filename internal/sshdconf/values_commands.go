package sshdconf

import (
	"slices"
	"strings"
)

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
