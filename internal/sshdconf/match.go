package sshdconf

import "strings"

// criteria is a parsed Match line.
type criteria struct {
	terms   []Term
	more    bool   // something is left on the line
	problem string // why sshd refuses it
}

// attributes are the criteria with an argument, and since when.
var attributes = map[string]Version{
	"user": {}, "group": {}, "host": {}, "address": {}, "localaddress": {}, "localport": {}, "rdomain": {},
	"version": V10_0,
}

// parseCriteria reads what follows "Match".
func parseCriteria(l *line, opts *Options) *criteria {
	c := &criteria{}
	a := matchArguments(l, opts.Version)
	count := 0
	for {
		attr, ok := a.next()
		if !ok || attr == "" && !a.byWord {
			break
		}
		if strings.HasPrefix(attr, "#") {
			a.drop()
			break
		}
		count++
		name, arg, joined := attr, "", false
		if a.byWord {
			name, arg, joined = strings.Cut(attr, "=")
		}
		name = asciiLower(name)
		if !joined && name == "all" {
			next, more := a.next()
			if count > 1 || more && next != "" && !strings.HasPrefix(next, "#") {
				return &criteria{problem: "Match all stands with other criteria"}
			}
			if strings.HasPrefix(next, "#") {
				a.drop()
			}
			return &criteria{more: a.anything()}
		}
		if !joined && name == "invalid-user" && opts.Version.AtLeast(V10_0) {
			c.terms = append(c.terms, Term{Attr: name})
			continue
		}
		since, known := attributes[name]
		if known = known && opts.Version.AtLeast(since); !known && joined {
			name = asciiLower(attr)
			joined = false
		}
		if !joined {
			arg, ok = a.next()
		}
		if !ok || arg == "" || strings.HasPrefix(arg, "#") {
			return &criteria{problem: "Match " + quoted(name) + " has no argument"}
		}
		if !known {
			return &criteria{problem: "sshd " + opts.Version.String() + " does not know the Match criterion " + quoted(name)}
		}
		if problem := checkTerm(name, arg, opts); problem != "" {
			return &criteria{problem: problem}
		}
		c.terms = append(c.terms, Term{name, arg})
	}
	if count == 0 {
		return &criteria{problem: "Match has no criteria"}
	}
	c.more = a.anything()
	return c
}

// matchArguments cuts a Match line: by words since 10.0, before that as all
// lines were cut before 8.7.
func matchArguments(l *line, v Version) *arguments {
	if v.AtLeast(V10_0) {
		return l.arguments(v)
	}
	return &arguments{rest: l.rest, more: true}
}

// anything reports whether something is left, an empty word included.
func (a *arguments) anything() bool {
	if a.byWord {
		return len(a.words) > 0
	}
	return a.more && a.rest != ""
}

func checkTerm(name, arg string, opts *Options) string {
	switch name {
	case "address", "localaddress":
		if matchAddrs("", arg, true, opts.Version) != missed {
			return "Match " + name + " has an address list that is malformed: " + quoted(arg)
		}
	case "localport":
		if _, ok := opts.port(arg); !ok {
			return "Match localport is not a port: " + quoted(arg)
		}
	}
	return ""
}

// releaseName is what "Match Version" is compared with.
func (o *Options) releaseName() string {
	if o.Release != "" {
		return o.Release
	}
	return "OpenSSH_" + o.Version.String() + "p1"
}
