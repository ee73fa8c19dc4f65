package ssh

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/sshdconf"
)

type keySourcesParams struct {
	Accept []string `yaml:"accept" doc:"Where keys may come from besides the accounts' files: programs of AuthorizedKeysCommand, files of TrustedUserCAKeys, fingerprints (SHA256:…) of certificate authorities in accounts' files."`
}

// keySource is one place besides the accounts' files from which keys come.
type keySource struct {
	name string // what an operator accepts it by
	at   checks.Evidence
	what string
}

// sources are all of them.
func (v keyView) sources() (out []keySource) {
	for _, s := range v.others {
		name, what := s.Values[0].Text, ""
		switch s.Keyword {
		case "authorizedkeyscommand":
			name, what = commandName(s), "a program says which keys let an account in"
		case "trustedusercakeys":
			what = "every key that an authority in it signs lets in whom it names"
		default:
			continue
		}
		at := place(s.Values[0])
		at.Key, at.Got = s.Keyword, s.Text()
		out = append(out, keySource{name, at, what})
	}
	for _, l := range v.lines() {
		if l.entry.Options.CertAuthority && l.entry.Refused == "" {
			at := l.place()
			at.Got = "cert-authority"
			if l.entry.Options.Principals == nil {
				at.Got += " without principals"
			}
			out = append(out, keySource{l.entry.Fingerprint(), at, "every key that the authority signs lets in " + l.file.user.Name})
		}
	}
	return out
}

// commandName is the program of a command, its arguments left out.
func commandName(s sshdconf.Setting) string {
	name, _, _ := strings.Cut(s.Text(), " ")
	return strings.Trim(name, `"`)
}

// strangeSources are the errors about sources that nobody accepted: what keys
// come from there cannot be seen.
func (v keyView) strangeSources(accept []string) (out []error) {
	for _, s := range v.sources() {
		if !slices.Contains(accept, s.name) {
			out = append(out, fmt.Errorf("cannot see all keys: %s (%s)", s.what, s.name))
		}
	}
	return out
}

// judgeSources wants keys to come from nowhere but the accounts' files, or from
// where the operator says.
func judgeSources(v keyView, p keySourcesParams) (checks.Verdict, error) {
	var bad, seen []checks.Evidence
	reason := ""
	for _, s := range v.sources() {
		if slices.Contains(p.Accept, s.name) {
			s.at.Got += "; accepted by the configuration"
			seen = append(seen, s.at)
			continue
		}
		if reason == "" {
			reason = strings.ToUpper(s.what[:1]) + s.what[1:] + "."
		}
		s.at.Want = "no other source of keys, or one that hostguard.yaml names (ssh.key_sources)"
		bad = append(bad, s.at)
	}
	for _, f := range v.files {
		if f.Err == nil && f.Refused == "" {
			seen = append(seen, checks.Evidence{Source: f.Path, Key: f.user.Name, Got: keyCount(len(f.Entries))})
		}
	}
	if len(seen) == 0 {
		seen = []checks.Evidence{{Source: "sshd", Got: "looks for keys in no other place than accounts' files, and no account has one"}}
	}
	// Every source is seen that the configuration names, and so are the files of keys,
	// unless one could not be read.
	return v.decide(reason, bad, seen)
}
