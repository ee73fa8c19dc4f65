package ssh

import (
	"fmt"

	"github.com/hostguard/hostguard/checks"
)

// Where a key may stand no more than once.
const (
	inAccounts = "accounts"
	inAccount  = "account"
)

type keyRepeatedParams struct {
	Within  string   `yaml:"within" doc:"Where a key stands once at most: accounts (no two accounts have the same one) or account (no account has one twice)."`
	Sources []string `yaml:"sources" doc:"Where keys may come from besides the accounts' files, and are somebody else's matter then; see ssh-key-strength."`
}

// Validate refuses other words.
func (p keyRepeatedParams) Validate() error {
	if p.Within != inAccounts && p.Within != inAccount {
		return fmt.Errorf("within: want %s or %s, got %q", inAccounts, inAccount, p.Within)
	}
	return nil
}

// judgeRepeated compares keys by what they are: options, comments and being in
// a certificate play no part. Accounts with one uid are one.
func judgeRepeated(v keyView, p keyRepeatedParams) (checks.Verdict, error) {
	type owner struct {
		uid uint32
		key string
	}
	var bad, seen []checks.Evidence
	reason := ""
	first := map[string]keyLine{} // of all, by key
	own := map[owner]keyLine{}
	met := map[string]bool{} // lines, by file and owner: accounts with one uid share theirs
	for _, l := range v.lines() {
		at := fmt.Sprintf("%s:%d %d", l.file.Real, l.entry.Line, l.file.user.UID)
		if met[at] {
			continue
		}
		met[at] = true
		key := string(l.entry.Blob)
		id := owner{l.file.user.UID, key}
		before, again := own[id]
		elsewhere, shared := first[key]
		if !again {
			own[id] = l
		}
		if !shared {
			first[key] = l
		}
		text := ""
		switch {
		case p.Within == inAccount && again:
			text = fmt.Sprintf("%s has a key twice.", l.file.user.Name)
		case p.Within == inAccounts && shared && elsewhere.file.user.UID != l.file.user.UID:
			before = elsewhere
			text = fmt.Sprintf("%s and %s get in with the same key.", before.file.user.Name, l.file.user.Name)
		}
		e := l.place()
		if e.Got = kind(&l.entry.Key); text == "" {
			seen = append(seen, e)
			continue
		}
		if reason == "" {
			reason = text
		}
		e.Want = "a key of its own"
		if p.Within == inAccount {
			e.Want = "each key once"
		}
		e.Got = fmt.Sprintf("the key of %s in %s:%d", before.file.user.Name, before.file.Path, before.entry.Line)
		bad = append(bad, e)
	}
	if p.Within == inAccounts {
		v.unseen = append(v.unseen, v.strangeSources(p.Sources)...)
	}
	return v.decide(reason, bad, seen)
}
