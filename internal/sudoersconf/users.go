package sudoersconf

import (
	"strconv"
	"strings"
)

// token is a word, or one of , ! = : that stands by itself.
type token struct {
	text   string
	quoted bool
	mark   bool
}

// tokens cuts a line up to a comment; it ends at the first = when untilEqual is set.
// Ok is false when a quote does not end.
func tokens(text string, untilEqual bool) (list []token, rest string, ok bool) {
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == ' ' || c == '\t':
			i++
		case c == '=' && untilEqual:
			return append(list, token{text: "=", mark: true}), text[i+1:], true
		case c == ',' || c == '!' || c == '=' || c == ':':
			list = append(list, token{text: string(c), mark: true})
			i++
		case c == '#' && (i+1 == len(text) || text[i+1] < '0' || text[i+1] > '9'):
			return list, "", true
		default:
			var t token
			if t, i, ok = word(text, i); !ok {
				return list, "", false
			}
			list = append(list, t)
		}
	}
	return list, "", true
}

// word reads a name with its quotes and escapes. The sign before a quoted group
// belongs to it: %"domain users".
func word(text string, i int) (token, int, bool) {
	var t token
	var b strings.Builder
	for start := i; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case c == '"':
			end := strings.IndexByte(text[i+1:], '"')
			if end < 0 {
				return t, i, false
			}
			b.WriteString(text[i+1 : i+1+end])
			t.quoted = i == start
			i += end + 1
		case c == ':' && i > start && text[i-1] == '%', c == '#' && (i == start || text[i-1] == '%'):
			b.WriteByte(c)
		case strings.IndexByte(" \t,!=:#", c) >= 0:
			t.text = b.String()
			return t, i, true
		default:
			b.WriteByte(c)
		}
	}
	t.text = b.String()
	return t, i, true
}

// members reads a list of users off the tokens: words with commas between them.
func members(list []token) (users []member, rest []token, ok bool) {
	for {
		var m member
		for len(list) > 0 && list[0].mark && list[0].text == "!" {
			m.not = !m.not
			list = list[1:]
		}
		if len(list) == 0 || list[0].mark || list[0].text == "" {
			return users, list, false
		}
		m.word, m.quoted = list[0].text, list[0].quoted
		users, list = append(users, m), list[1:]
		if len(list) == 0 || !list[0].mark || list[0].text != "," {
			return users, list, true
		}
		list = list[1:]
	}
}

// rule reads USERS HOSTS = …
func (p *Policy) rule(file string, number int, text string) {
	list, _, ok := tokens(text, true)
	if !ok || len(list) == 0 || list[len(list)-1].text != "=" || !list[len(list)-1].mark {
		p.problem(file, number, "the line is no rule")
		return
	}
	users, hosts, ok := members(list[:len(list)-1])
	if _, left, hostsOK := members(hosts); !ok || !hostsOK || len(left) > 0 {
		p.problem(file, number, "the rule's users and hosts are not understood")
		return
	}
	p.Rules = append(p.Rules, Rule{File: file, Line: number, Text: written(users), users: users})
}

func written(users []member) string {
	var words []string
	for _, m := range users {
		word := m.word
		if m.not {
			word = "!" + word
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// userAlias reads NAME = USERS : NAME = USERS …
func (p *Policy) userAlias(file string, number int, text string) {
	list, _, ok := tokens(text, false)
	for ok && len(list) > 0 {
		if len(list) < 3 || list[0].mark || !isAlias(list[0].text) || !list[1].mark || list[1].text != "=" {
			ok = false
			break
		}
		name := list[0].text
		var users []member
		users, list, ok = members(list[2:])
		if _, again := p.aliases[name]; again { // sudo keeps the first and complains
			p.problem(file, number, "the alias %s is defined twice", name)
		} else {
			p.aliases[name] = users
		}
		if len(list) > 0 {
			if !list[0].mark || list[0].text != ":" {
				ok = false
				break
			}
			list = list[1:]
		}
	}
	if !ok {
		p.problem(file, number, "the alias is not understood")
	}
}

func isAlias(word string) bool {
	for i, c := range []byte(word) {
		upper := c >= 'A' && c <= 'Z'
		if !upper && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return word != ""
}

// User is whom rules are asked about.
type User struct {
	Name   string
	UID    uint32
	Groups map[string]uint32 // all of the user's, by name
}

// Answer is whether a rule names a user.
type Answer int

const (
	No Answer = iota
	Yes
	Unknown // a netgroup or a group of another source stands in the way
)

// Names reports whether the rule names the user, as sudo decides it: of the
// entries that match the last one counts.
func (p *Policy) Names(r Rule, u User) Answer {
	switch p.match(r.users, u, 0) {
	case allow:
		return Yes
	case unknown:
		return Unknown
	}
	return No
}

type outcome int

const (
	unspecified outcome = iota
	allow
	deny
	unknown
)

func (p *Policy) match(list []member, u User, depth int) outcome {
	if depth > maxDepth {
		return unknown
	}
	for i := len(list) - 1; i >= 0; i-- {
		m := list[i]
		var got outcome
		users, alias := p.aliases[m.word]
		switch {
		case m.word == "ALL" && !m.quoted:
			got = allow
		case alias && !m.quoted:
			got = p.match(users, u, depth+1)
		default:
			got = one(m.word, u)
		}
		switch {
		case got == unspecified:
		case got == unknown:
			return unknown
		case m.not && got == allow:
			return deny
		case m.not:
			return allow
		default:
			return got
		}
	}
	return unspecified
}

// one matches a single entry that is neither ALL nor an alias.
func one(word string, u User) outcome {
	matched := false
	switch {
	case strings.HasPrefix(word, "%:"), strings.HasPrefix(word, "+"):
		return unknown
	case strings.HasPrefix(word, "%#"):
		for _, gid := range u.Groups {
			matched = matched || isNumber(word[2:], gid)
		}
	case strings.HasPrefix(word, "%"):
		_, matched = u.Groups[word[1:]]
	case strings.HasPrefix(word, "#"):
		matched = isNumber(word[1:], u.UID)
	default:
		matched = word == u.Name
	}
	if matched {
		return allow
	}
	return unspecified
}

func isNumber(text string, id uint32) bool {
	n, err := strconv.ParseUint(text, 10, 32)
	return err == nil && uint32(n) == id
}
