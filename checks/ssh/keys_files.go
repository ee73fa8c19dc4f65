package ssh

import (
	"fmt"

	"github.com/hostguard/hostguard/checks"
)

// judgeFormat wants every line of the files to be one that sshd understands.
func judgeFormat(v keyView, _ struct{}) (checks.Verdict, error) {
	var bad, seen []checks.Evidence
	reason := ""
	fault := func(e checks.Evidence, text string) {
		if reason == "" {
			reason = text
		}
		bad = append(bad, e)
	}
	for _, f := range v.files {
		switch {
		case f.Refused != "":
			fault(checks.Evidence{Source: f.Path, Key: f.user.Name, Want: "a file that sshd can read", Got: f.Refused},
				fmt.Sprintf("sshd does not read a file of keys of %s.", f.user.Name))
		case f.Err == nil && len(f.Problems) == 0:
			seen = append(seen, checks.Evidence{Source: f.Path, Key: f.user.Name, Got: keyCount(len(f.Entries))})
		}
		for _, p := range f.Problems {
			fault(checks.Evidence{Source: p.File, Line: p.Line, Key: f.user.Name, Want: "a key with options that sshd knows", Got: p.Text},
				fmt.Sprintf("sshd makes something else of a line in a file of keys of %s than it seems to say.", f.user.Name))
		}
	}
	for _, l := range v.authorities {
		switch {
		case l.Missing:
			e := place(l.Value)
			e.Key, e.Want, e.Got = "trustedusercakeys", "a file that exists", l.Path
			fault(e, "The file that TrustedUserCAKeys names does not exist.")
		case l.Problem != "":
			fault(checks.Evidence{Source: l.Path, Key: "trustedusercakeys", Want: "one public key in each line", Got: l.Problem},
				"sshd does not read all of the file that TrustedUserCAKeys names.")
		case l.Err == nil:
			seen = append(seen, checks.Evidence{Source: l.Path, Key: "trustedusercakeys", Got: keyCount(len(l.Keys))})
		}
	}
	return v.decide(reason, bad, seen)
}

// judgeModes wants nobody but root and the account to be able to change a file
// of keys, as StrictModes does.
func judgeModes(v keyView, _ struct{}) (checks.Verdict, error) {
	var bad, seen []checks.Evidence
	reason := ""
	v.unread = nil // owners and modes are seen of some that cannot be read
	for _, f := range v.files {
		switch {
		case f.Err != nil && f.Real == "":
			v.unread = append(v.unread, fmt.Errorf("cannot see the file of keys of %s: %w", f.user.Name, f.Err))
		case f.Unsafe != "":
			if reason == "" {
				reason = fmt.Sprintf("Others than root and %s may change what keys let %s in.", f.user.Name, f.user.Name)
			}
			bad = append(bad, checks.Evidence{Source: f.UnsafeAt, Key: f.user.Name, Want: fmt.Sprintf("owned by root or %s, written by nobody else", f.user.Name), Got: f.Unsafe})
		case f.Real != "":
			seen = append(seen, checks.Evidence{Source: f.Path, Key: f.user.Name, Got: "only root and the account may change it and the folders above it"})
		default:
			seen = append(seen, checks.Evidence{Source: f.Path, Key: f.user.Name, Got: "sshd does not read it: " + f.Refused})
		}
	}
	return v.decide(reason, bad, seen)
}
