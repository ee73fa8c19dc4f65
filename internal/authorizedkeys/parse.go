package authorizedkeys

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hostguard/hostguard/internal/sshdconf"
	"github.com/hostguard/hostguard/internal/sshkeys"
)

// Reader says which sshd reads the file.
type Reader struct {
	Version sshdconf.Version // zero: the newest known one
	Zone    *time.Location   // the host's; nil: UTC
	// Service reports whether a TCP service has this name; nil: none has.
	Service func(string) bool
}

// maxProblems is how many are kept of one file.
const maxProblems = 100

// Parse reads a file: the lines that hold a key and those that are not as they
// should be, each in the order of the file. A line can be in both. Lines have no
// bound but the data's; of one with a NUL byte sshd sees what is before it.
func (r Reader) Parse(file string, data []byte) (entries []Entry, problems []Problem) {
	if r.Version.IsZero() {
		r.Version = sshdconf.Newest
	}
	if r.Zone == nil {
		r.Zone = time.UTC
	}
	number := 0
	report := func(text string) {
		if len(problems) < maxProblems {
			problems = append(problems, Problem{file, number, text})
		}
	}
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		number = 1
		report("a byte order mark stands before the first line, which sshd does not skip")
		number = 0
	}
	for len(data) > 0 {
		line, rest, _ := bytes.Cut(data, newline)
		data = rest
		number++
		if seen, _, cut := bytes.Cut(line, nul); cut {
			report("it holds a NUL byte: sshd sees nothing of the line from there on")
			line = seen
		}
		line = bytes.TrimLeft(line, " \t")
		if len(bytes.TrimSpace(line)) == 0 || line[0] == '#' {
			continue
		}
		e, err := r.line(string(line), len(problems) < maxProblems)
		if err != nil {
			report(err.Error())
			continue
		}
		e.File, e.Line, e.version = file, number, r.Version
		if e.Refused != "" {
			report("sshd ignores the line: " + e.Refused)
		} else if e.Options.From != nil && !sshdconf.ValidFrom(*e.Options.From, r.Version) {
			report("a network in its from option is malformed, so that none matches")
		}
		entries = append(entries, e)
	}
	return entries, problems
}

var (
	newline = []byte{'\n'}
	nul     = []byte{0}
)

var errNoKey = errors.New("no key")

// line reads one that is not blank. Its error is why there is no key in it, in
// full when somebody wants to know.
func (r Reader) line(text string, explain bool) (Entry, error) {
	var e Entry
	key, comment, err := sshkeys.ParseText(text)
	end := 0
	if err != nil { // then options may stand before the key
		var closed bool
		end, closed := optionsEnd(text)
		if !closed {
			return e, errors.New("a quote is not closed")
		}
		var inner error
		if key, comment, inner = sshkeys.ParseText(strings.TrimLeft(text[end:], " \t")); inner != nil {
			if !explain {
				return e, errNoKey
			}
			return e, r.noKey(text, err, inner)
		}
	}
	e.Key, e.Comment = *key, strings.TrimRight(comment, " \t\r\n\v\f")
	var why string
	if err == nil {
		text = ""
	}
	e.Options, why = r.options(text, end)
	switch {
	case r.forgotten(key):
		return e, fmt.Errorf("this release of sshd does not know %s keys", strings.ToUpper(string(key.Kind)))
	case why != "":
		e.Refused = why
	case key.Certificate != nil:
		e.Refused = "a certificate stands where a key should"
	case e.Options.Principals != nil && !e.Options.CertAuthority:
		e.Refused = "principals are named for a key that is no certificate authority"
	}
	return e, nil
}

// forgotten: DSA is no longer known.
func (r Reader) forgotten(key *sshkeys.Key) bool {
	return key.Kind == sshkeys.DSA && r.Version.AtLeast(sshdconf.V10_0)
}

// noKey says why a line holds no key: what is wrong with the key that begins
// the line, or with the one after the options.
func (r Reader) noKey(text string, first, second error) error {
	word := func(s string) string {
		s, _, _ = strings.Cut(strings.ReplaceAll(s, "\t", " "), " ")
		return strings.TrimRight(s, "\r\n")
	}
	if name := word(text); sshkeys.KnownType(name) {
		return fmt.Errorf("no key: it begins with %s, but %w", name, first)
	}
	end, _ := optionsEnd(text)
	rest := strings.TrimLeft(text[end:], " \t")
	if name := word(rest); sshkeys.KnownType(name) {
		return fmt.Errorf("no key: %s stands in it, but %w", name, second)
	}
	if f := strings.Fields(text); len(f) >= 3 && digits(f[0]) && digits(f[1]) && digits(f[2]) {
		return errors.New("no key: it looks like one of SSH protocol 1, which no sshd knows any more")
	}
	return errors.New("no key: neither its first word nor the one after the options is a type of key that sshd knows")
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// optionsEnd finds the blank that ends the options: the first outside quotes.
func optionsEnd(text string) (end int, closed bool) {
	quoted := false
	i := 0
	for ; i < len(text) && (quoted || text[i] != ' ' && text[i] != '\t'); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == '"':
			i++
		case text[i] == '"':
			quoted = !quoted
		}
	}
	return min(i, len(text)), !quoted
}
