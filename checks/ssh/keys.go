package ssh

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/authorizedkeys"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/sshdconf"
	"github.com/hostguard/hostguard/internal/sshkeys"
)

const (
	looksAtKeys = "Reads every file that AuthorizedKeysFile names for an account, inside and outside Match blocks, with the rights of that account and line by line as sshd does. All accounts count, whether they may log in today or not."
	blindToKeys = "A file of more than 1 MiB, or 32 MiB in all: the answer is an error then, as it is with accounts of a directory service. Whether an access control list lets a group write."
)

// keyKeywords are what the way to keys depends on: sshd must say the same of
// them.
var keyKeywords = []string{
	"authorizedkeysfile", "authorizedkeyscommand", "trustedusercakeys", "authorizedprincipalsfile", "authorizedprincipalscommand",
	"revokedkeys", "strictmodes",
}

// keyView is what all sshds of the host look at for keys.
type keyView struct {
	files []accountFile
	// authorities and revocations are the files that TrustedUserCAKeys and RevokedKeys name.
	authorities []*host.KeyList
	revocations []*host.Revocations
	// others are the settings by which keys come from elsewhere.
	others []sshdconf.Setting
	// unseen is why there may be more keys than these, unread why lines of the files
	// are not known.
	unseen, unread []error
}

// accountFile is a file of keys of one account.
type accountFile struct {
	user *host.User
	*host.KeyFile
}

// keyLine is a line with a key in such a file.
type keyLine struct {
	file  accountFile
	entry *authorizedkeys.Entry
}

// lookAtKeys gathers what all sshds look at. None is not an error: verdict is
// set then.
func lookAtKeys(ctx context.Context, h *host.Host) (v keyView, none *checks.Verdict, err error) {
	seen, err := judgeAll(ctx, h, keyKeywords, func(target) (checks.Verdict, error) { return checks.Passed(), nil })
	if err != nil {
		return v, &seen, err
	}
	if seen.Status == checks.NotApplicable {
		return v, &seen, nil
	}
	all, err := h.AuthorizedKeys(ctx)
	if err != nil {
		return v, nil, err
	}
	accounts, err := h.Accounts(ctx)
	if err != nil {
		return v, nil, err
	}
	return view(all, accounts), nil, nil
}

func view(all *host.AuthorizedKeys, accounts *host.Accounts) (v keyView) {
	type place struct{ user, path string }
	met := map[place]bool{}
	for _, s := range all.Servers {
		if s.Err != nil {
			v.unseen = append(v.unseen, s.Err)
		}
		v.authorities = append(v.authorities, s.Authorities...)
		v.revocations = append(v.revocations, s.Revocations...)
		v.others = append(v.others, s.Others...)
		for _, a := range s.Accounts {
			for _, f := range a.Files {
				at := place{a.User.Name, f.Path}
				if met[at] {
					continue
				}
				met[at] = true
				v.files = append(v.files, accountFile{a.User, f})
				if f.Err != nil {
					v.unread = append(v.unread, fmt.Errorf("cannot see the keys of %s: %w", a.User.Name, f.Err))
				}
			}
		}
	}
	for _, l := range v.authorities {
		if l.Err != nil {
			v.unread = append(v.unread, fmt.Errorf("cannot see the certificate authorities: %w", l.Err))
		}
	}
	if len(accounts.Elsewhere) > 0 {
		v.unseen = append(v.unseen, fmt.Errorf("cannot see the keys of accounts that come from %s", strings.Join(accounts.Elsewhere, ", ")))
	}
	return v
}

// lines are those with a key.
func (v keyView) lines() (lines []keyLine) {
	for _, f := range v.files {
		for i := range f.Entries {
			lines = append(lines, keyLine{f, &f.Entries[i]})
		}
	}
	return lines
}

// place names the line, the account and the key.
func (l keyLine) place() checks.Evidence {
	return checks.Evidence{Source: l.file.Path, Line: l.entry.Line, Key: l.file.user.Name + " " + l.entry.Fingerprint()}
}

// kind describes a key: "RSA 2048".
func kind(k *sshkeys.Key) string {
	return fmt.Sprintf("%s %d", strings.ToUpper(string(k.Kind)), k.Bits)
}

// decide makes a verdict of what was found wrong and what was not; both are cut
// to a bearable number. What was not seen keeps it from passing.
func (v keyView) decide(reason string, bad, seen []checks.Evidence) (checks.Verdict, error) {
	bad, seen = unique(bad), unique(seen)
	if len(bad) > 0 {
		if more := len(bad) - maxEvidence; more > 0 {
			reason = fmt.Sprintf("%s %d more are not listed.", reason, more)
		}
		return checks.Failed(reason, bad[:min(len(bad), maxEvidence)]...), nil
	}
	if more := len(seen) - maxEvidence; more > 0 {
		seen = append(slices.Clone(seen[:maxEvidence]), checks.Evidence{Source: "sshd", Got: fmt.Sprintf("%d more", more)})
	}
	if missed := slices.Concat(v.unseen, v.unread); len(missed) > 0 {
		err := missed[0]
		if n := len(missed) - 1; n > 0 {
			err = fmt.Errorf("%w (and %d more reasons)", err, n)
		}
		return checks.Verdict{Evidence: seen}, err
	}
	if len(seen) == 0 {
		return checks.Inapplicable("No account has a key in a file."), nil
	}
	return checks.Passed(seen...), nil
}

// keyProbe makes a probe of a judge.
func keyProbe[P any](judge func(keyView, P) (checks.Verdict, error)) func(context.Context, *host.Host, P) (checks.Verdict, error) {
	return func(ctx context.Context, h *host.Host, p P) (checks.Verdict, error) {
		v, none, err := lookAtKeys(ctx, h)
		if none != nil {
			return *none, err
		}
		if err != nil {
			return checks.Verdict{}, err
		}
		return judge(v, p)
	}
}

func keyCount(n int) string {
	if n == 1 {
		return "1 key"
	}
	return fmt.Sprintf("%d keys", n)
}
