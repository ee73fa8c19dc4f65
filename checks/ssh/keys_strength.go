package ssh

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/sshkeys"
)

type keyStrengthParams struct {
	Kinds   []string `yaml:"kinds" doc:"Kinds of keys that are strong enough, as ssh-keygen -l names them: rsa, ecdsa, ed25519, ecdsa-sk, ed25519-sk, dsa."`
	MinRSA  int      `yaml:"min_rsa" doc:"Bits that an RSA key has at least."`
	Sources []string `yaml:"sources" doc:"Where keys may come from besides the accounts' files, and are somebody else's matter then: programs of AuthorizedKeysCommand, files of TrustedUserCAKeys, fingerprints of certificate authorities."`
}

// Validate refuses kinds that no ssh-keygen prints.
func (p keyStrengthParams) Validate() error {
	for _, k := range p.Kinds {
		if !slices.Contains(sshkeys.Kinds, sshkeys.Kind(k)) {
			return fmt.Errorf("kinds: %q is none of rsa, ecdsa, ed25519, ecdsa-sk, ed25519-sk, dsa", k)
		}
	}
	if len(p.Kinds) == 0 {
		return fmt.Errorf("kinds: at least one is needed")
	}
	return nil
}

var strongKinds = []string{string(sshkeys.RSA), string(sshkeys.ECDSA), string(sshkeys.Ed25519), string(sshkeys.ECDSASK), string(sshkeys.Ed25519SK)}

func (p keyStrengthParams) accepts(k *sshkeys.Key) bool {
	return slices.Contains(p.Kinds, string(k.Kind)) && (k.Kind != sshkeys.RSA || k.Bits >= p.MinRSA)
}

func (p keyStrengthParams) want() string {
	names := slices.Clone(p.Kinds)
	for i, n := range names {
		if names[i] = strings.ToUpper(n); n == string(sshkeys.RSA) {
			names[i] = fmt.Sprintf("RSA of at least %d bits", p.MinRSA)
		}
	}
	return strings.Join(names, " or ")
}

// judgeStrength wants every key, those of certificate authorities too, to be of
// a strong kind.
func judgeStrength(v keyView, p keyStrengthParams) (checks.Verdict, error) {
	var bad, seen []checks.Evidence
	reason := ""
	look := func(e checks.Evidence, who string, k *sshkeys.Key) {
		if e.Got = kind(k); p.accepts(k) {
			seen = append(seen, e)
			return
		}
		if reason == "" {
			reason = fmt.Sprintf("%s has a weak key: %s.", who, kind(k))
		}
		e.Want = p.want()
		bad = append(bad, e)
	}
	for _, l := range v.lines() {
		look(l.place(), l.file.user.Name, &l.entry.Key)
	}
	for _, list := range v.authorities {
		for _, k := range list.Keys {
			look(checks.Evidence{Source: list.Path, Line: k.Line, Key: "certificate authority " + k.Key.Fingerprint()}, "A certificate authority", k.Key)
		}
	}
	v.unseen = append(v.unseen, v.strangeSources(p.Sources)...)
	return v.decide(reason, bad, seen)
}
