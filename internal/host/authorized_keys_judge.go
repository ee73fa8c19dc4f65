package host

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hostguard/hostguard/internal/authorizedkeys"
	"github.com/hostguard/hostguard/internal/sshdconf"
	"github.com/hostguard/hostguard/internal/sshkeys"
)

// KeyUse is what becomes of one key.
type KeyUse struct {
	File  *KeyFile
	Entry *authorizedkeys.Entry
	Why   string // why sshd does not take it; empty when it does
}

// Judge says what becomes of each key of an account's files under one effective
// configuration, for a connection. A line with cert-authority is judged by
// whether its certificates are taken. What could not be seen is in unknown:
// there may be more keys, or fewer that work.
func (k *ServerKeys) Judge(user string, e *sshdconf.Effective, c authorizedkeys.Conn) (uses []KeyUse, unknown []error) {
	files := e.Get("authorizedkeysfile").Values
	strict := e.Get("strictmodes").Text() == "yes"
	algorithms := e.Get("pubkeyacceptedalgorithms").Text()
	if algorithms == "" {
		algorithms = e.Get("pubkeyacceptedkeytypes").Text()
	}
	minRSA, _ := strconv.Atoi(e.Get("requiredrsasize").Text())
	revoked, refusesAll, err := k.revocations(e)
	if err != nil {
		unknown = append(unknown, err)
	}
	i, ok := k.byName[user]
	if !ok {
		return nil, unknown
	}
	for _, f := range k.Accounts[i].Files {
		named := slices.ContainsFunc(files, func(v sshdconf.Value) bool {
			p, _ := expandKeyPath(v.Text, k.Accounts[i].User)
			return !strings.EqualFold(v.Text, "none") && p == f.named
		})
		if !named {
			continue
		}
		why := f.Refused
		switch {
		case f.Err != nil:
			unknown = append(unknown, fmt.Errorf("cannot tell the keys of %s in %s: %w", user, f.Path, withoutPath(f.Err)))
			continue
		case why == "" && strict && f.Unsafe != "":
			why = fmt.Sprintf("StrictModes refuses the file: %s: %s", f.UnsafeAt, f.Unsafe)
		case why == "":
			why = refusesAll
		}
		for j := range f.Entries {
			entry := &f.Entries[j]
			use := KeyUse{f, entry, why}
			if use.Why == "" {
				_, use.Why = entry.Usable(c)
			}
			if use.Why == "" {
				use.Why = refusedKey(entry, algorithms, minRSA, revoked)
			}
			uses = append(uses, use)
		}
	}
	return uses, unknown
}

// refusedKey says why sshd's configuration refuses a key.
func refusedKey(e *authorizedkeys.Entry, algorithms string, minRSA int, revoked *sshkeys.Revoked) string {
	if revoked != nil {
		if _, is := revoked.Contains(&e.Key); is {
			return "it is revoked"
		}
	}
	if e.Options.CertAuthority {
		return "" // which keys it signs is not known
	}
	if e.Kind == sshkeys.RSA && e.Bits < minRSA {
		return fmt.Sprintf("RequiredRSASize is %d", minRSA)
	}
	if !slices.ContainsFunc(e.Algorithms(false), func(name string) bool { return sshdconf.MatchPatterns(name, algorithms) }) {
		return "PubkeyAcceptedAlgorithms has none for it"
	}
	return ""
}

func (k *ServerKeys) revocations(e *sshdconf.Effective) (revoked *sshkeys.Revoked, refusesAll string, err error) {
	s := e.Get("revokedkeys")
	if isNone(s) {
		return nil, "", nil
	}
	for _, l := range k.Revocations {
		if l.Path != s.Values[0].Text {
			continue
		}
		switch {
		case l.Err != nil:
			return nil, "", fmt.Errorf("cannot tell which keys are revoked: %w", l.Err)
		case l.RefusesAll != "":
			return l.Revoked, fmt.Sprintf("sshd refuses every key, since it cannot read %s (RevokedKeys): %s", l.Path, l.RefusesAll), nil
		}
		return l.Revoked, "", nil
	}
	return nil, "", errors.New("cannot tell which keys are revoked")
}
