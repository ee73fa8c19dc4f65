package auditrule

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Loaded is what a rules file would put into the kernel.
type Loaded struct {
	Rules    []Rule            // in the order in which the kernel would list them
	Settings map[string]string // the last value of each: "e", "f", "b", "r", "backlog_wait_time" …
	Places   map[string]Pos    // where each setting stands
	Refused  []*LineError      // lines that cannot be loaded
	Doubt    *LineError        // the first line that cannot be judged; nil: none
	Sure     int               // how many of Rules come before it; all when there is none
	Stopped  *LineError        // the one that ends the load; nil: it goes through
	NotRead  int               // how many lines with content follow it
}

// Moment says for which time a load is imagined.
type Moment uint8

const (
	Now  Moment = iota
	Boot        // at the next boot: what lies in memory only is not there
)

// Load imagines "auditctl -R" reading lines. What each line needs of the file
// system is looked up through paths; a line that cannot be judged is in
// Refused with Unsure set, and does not stop the load.
func Load(lines []Text, env Env, paths Paths, when Moment) Loaded {
	out := loader{
		Loaded:   Loaded{Rules: make([]Rule, 0, len(lines)), Settings: map[string]string{}, Places: map[string]Pos{}},
		resolver: newResolver(paths),
		known:    make(map[uint64][]int, len(lines)),
	}
	reader := lineReader{env: env}
	var line Line
	goOn := false // after -i or -c
	immutable := false
	for i, text := range lines {
		if out.Stopped != nil {
			break
		}
		err := reader.read(&line, text.Text, text.Pos)
		if err == nil && immutable && line.Kind != Blank && line.Kind != Ignore && line.Kind != Continue {
			err = &LineError{Pos: text.Pos, Text: text.Text, Reason: "an earlier -e 2 locked the configuration"}
		}
		if err == nil && (line.Kind == Add || line.Kind == Delete) {
			err = out.apply(&line, when)
		}
		if err != nil {
			refused := err.(*LineError)
			out.Refused = append(out.Refused, refused)
			if refused.Unsure && out.Doubt == nil {
				out.Doubt, out.Sure = refused, len(out.Rules)
			}
			if !refused.Unsure && !goOn {
				out.Stopped = refused
				out.NotRead = countContent(lines[i+1:])
			}
			continue
		}
		switch line.Kind {
		case Ignore, Continue:
			goOn = true
		case DeleteAll:
			out.deleteAll(line.Key)
		case Control:
			for _, s := range line.Settings {
				out.Settings[s.Name], out.Places[s.Name] = s.Value, line.Pos
				immutable = immutable || s.Name == "e" && s.Value == "2"
			}
		}
	}
	if out.Doubt == nil {
		out.Sure = len(out.Rules)
	}
	return out.Loaded
}

// loader is a load under way.
type loader struct {
	Loaded
	resolver *resolver
	known    map[uint64][]int // positions in Rules by identity
}

func countContent(lines []Text) int {
	n := 0
	for _, line := range lines {
		if t := strings.TrimLeft(line.Text, " "); t != "" && t[0] != '#' {
			n++
		}
	}
	return n
}

// apply adds or removes one rule. The error is a *LineError.
func (l *loader) apply(line *Line, when Moment) error {
	rule := line.Rule
	refuse := func(unsure bool, format string, args ...any) error {
		return &LineError{Pos: line.Pos, Text: line.Text, Unsure: unsure, Reason: fmt.Sprintf(format, args...)}
	}
	identity := rule.Identity()
	at := -1
	for _, i := range l.known[identity] {
		// The kernel sees no duplicate in a rule for the front of the list.
		if l.Rules[i].identical(&rule) && (line.Kind == Delete || !rule.Prepend) {
			at = i
		}
	}
	switch {
	case line.Kind == Delete && at < 0:
		return refuse(false, "it removes a rule that is not there")
	case line.Kind == Delete:
		l.Rules = slices.Delete(l.Rules, at, at+1)
		l.index()
		return nil
	case at >= 0:
		return refuse(false, "the rule exists already (%v)", l.Rules[at].Pos)
	}
	if ok, why, err := l.resolver.loadable(&rule, when); err != nil {
		return refuse(true, "cannot tell whether it loads: %v", err)
	} else if !ok {
		return refuse(false, "%s", why)
	}
	if rule.Prepend {
		rule.Prepend = false
		l.Rules = slices.Insert(l.Rules, 0, rule)
		l.index()
		return nil
	}
	l.known[identity] = append(l.known[identity], len(l.Rules))
	l.Rules = append(l.Rules, rule)
	return nil
}

// index notes anew where rules are.
func (l *loader) index() {
	clear(l.known)
	for i := range l.Rules {
		identity := l.Rules[i].Identity()
		l.known[identity] = append(l.known[identity], i)
	}
}

func (l *loader) deleteAll(key string) {
	l.Rules = slices.DeleteFunc(l.Rules, func(r Rule) bool { return key == "" || slices.Contains(r.Keys(), key) })
	l.index()
}

// loadable reports whether the kernel finds the place of a rule: dir= needs
// the folder itself, path= the folder that it lies in.
func (r *resolver) loadable(rule *Rule, when Moment) (ok bool, why string, err error) {
	place, tree := rule.Place()
	if place == "" {
		return true, "", nil
	}
	need := place
	if !tree {
		need = path.Dir(place)
	}
	if when == Boot {
		if vanishes, err := r.Vanishes(need); err != nil {
			return false, "", err
		} else if vanishes {
			return false, fmt.Sprintf("%s lies in memory and is not there when the rules are loaded at boot", need), nil
		}
	}
	// The folder that path= lies in is reached through links; of dir= the last
	// component is not followed.
	_, kind, err := r.resolve(need, !tree)
	if err == nil && kind == Absent {
		return false, fmt.Sprintf("%s does not exist", need), nil
	}
	return err == nil, "", err
}
