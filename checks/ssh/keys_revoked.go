package ssh

import (
	"fmt"

	"github.com/hostguard/hostguard/checks"
)

// judgeRevoked wants no key in a file that a file of revoked keys names, and
// wants sshd to be able to read that.
func judgeRevoked(v keyView, _ struct{}) (checks.Verdict, error) {
	if len(v.revocations) == 0 {
		return checks.Inapplicable("RevokedKeys is not set."), nil
	}
	var bad, seen []checks.Evidence
	reason := ""
	for _, r := range v.revocations {
		from := place(r.Value)
		from.Key, from.Got = "revokedkeys", r.Path
		switch {
		case r.Err != nil:
			v.unseen = append(v.unseen, fmt.Errorf("cannot tell which keys are revoked: %w", r.Err))
			continue
		case r.RefusesAll != "":
			reason = "sshd refuses every key, because it cannot read the file of revoked ones."
			bad = append(bad, checks.Evidence{Source: r.Path, Key: "revokedkeys", Want: "public keys or a key revocation list", Got: r.RefusesAll}, from)
		default:
			seen = append(seen, from)
		}
		if r.Revoked == nil {
			continue
		}
		for _, l := range v.lines() {
			line, revoked := r.Revoked.Contains(&l.entry.Key)
			if !revoked {
				continue
			}
			if reason == "" {
				reason = fmt.Sprintf("A revoked key still stands among those of %s.", l.file.user.Name)
			}
			e := l.place()
			e.Want, e.Got = "no revoked key", "revoked by "+r.Path
			if line > 0 {
				e.Got = fmt.Sprintf("%s:%d", e.Got, line)
			}
			bad = append(bad, e)
		}
	}
	return v.decide(reason, bad, seen)
}
