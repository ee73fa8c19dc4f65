package pamconf

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

// files are PAM's files by the name below /etc/pam.d, or by path.
type files map[string]string

func (f files) read(name string) ([]byte, error) {
	for short, text := range f {
		if name == short || name == "/etc/pam.d/"+short {
			return []byte(text), nil
		}
	}
	return nil, fs.ErrNotExist
}

// names are the modules of a stack, with where they stand.
func names(s Stack) string {
	var out []string
	for _, e := range s {
		name := e.Module
		if e.Control == "substack" {
			name = "(" + name
		} else if name == "" {
			name = "fails"
		}
		out = append(out, fmt.Sprintf("%s:%d", name, e.Line))
	}
	return strings.Join(out, " ")
}

func TestRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files files
		want  string
	}{
		"debian": {files{
			"sshd":           "# comment\n@include common-auth\naccount    required     pam_nologin.so\n@include common-account\nsession required pam_loginuid.so\n",
			"common-auth":    "auth required pam_unix.so\n",
			"common-account": "account\t[success=1 new_authtok_reqd=done default=ignore]\tpam_unix.so \naccount requisite pam_deny.so\naccount required pam_permit.so\n",
		}, "pam_nologin:3 pam_unix:1 pam_deny:2 pam_permit:3"},
		"include and substack":      {files{"sshd": "account include a\naccount substack b\n", "a": "account required pam_a.so\nauth required pam_x.so\n", "b": "account required /lib/security/pam_b.so\n"}, "pam_a:1 (b:2 pam_b:1"},
		"no such include":           {files{"sshd": "account include nothing\naccount required pam_a.so\n"}, "fails:1 pam_a:2"},
		"no such @include":          {files{"sshd": "account required pam_a.so\n@include nothing\n"}, "fails:2"},
		"no module":                 {files{"sshd": "account required\n"}, "fails:1"},
		"a long line":               {files{"sshd": "account \\\n required \\\n pam_a.so x\naccount required pam_b.so\n"}, "pam_a:1 pam_b:4"},
		"silent, in capitals":       {files{"sshd": "-Account Required pam_a.so\n"}, "pam_a:1"},
		"other, for lack of a file": {files{"other": "account required pam_deny.so\n"}, "pam_deny:1"},
		"other, for lack of a line": {files{"sshd": "auth required pam_unix.so\n", "other": "account required pam_deny.so\n"}, "pam_deny:1"},
		"the vendor's":              {files{"/usr/lib/pam.d/sshd": "account required pam_v.so\n"}, "pam_v:1"},
		"a loop":                    {files{"sshd": "account include sshd\n"}, "fails:1"},
	} {
		s, err := Read(c.files.read, "sshd", Account)
		if err != nil || names(s) != c.want {
			t.Errorf("%s: %q, %v; want %q", name, names(s), err, c.want)
		}
	}
	if _, err := Read(files{}.read, "sshd", Account); err == nil {
		t.Error("without any file there is a stack")
	}
	bomb := files{"sshd": "account include sshd\naccount include sshd\n"}
	if _, err := Read(bomb.read, "sshd", Account); err == nil {
		t.Error("a file that includes itself twice is read to the end")
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	s, err := Read(files{"sshd": "account [default=bad success=ok] pam_a.so file=/x [with blanks] # y\n"}.read, "sshd", Account)
	if err != nil || len(s) != 1 || !slices.Equal(s[0].Args, []string{"file=/x", "[with blanks]"}) || s[0].File != "/etc/pam.d/sshd" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	// A module returns what its name says.
	by := map[string][]string{
		"pam_yes": {Success}, "pam_no": {AuthError}, "pam_ignore": {Ignore}, "pam_new": {NewPassword}, "pam_maybe": {Success, AuthError}, "pam_expired": {AccountExpired},
	}
	for _, c := range []struct{ text, want string }{
		{"required yes", "success"},
		{"required no\nrequired yes", "auth_err"},
		{"requisite no\nrequired expired", "auth_err"},
		{"required expired\nrequired no", "acct_expired"},
		{"sufficient yes\nrequired no", "success"},
		{"sufficient no\nrequired yes", "success"},
		{"required no\nsufficient yes\nrequired yes", "auth_err"},
		{"optional no\nrequired yes", "success"},
		{"optional no", "perm_denied"}, // no module says yes
		{"required ignore", "perm_denied"},
		{"required ignore\nrequired yes", "success"},
		{"required new\nrequired yes", "new_authtok_reqd"},
		{"required yes\nrequired new", "new_authtok_reqd"},
		{"[success=1 default=ignore] yes\nrequisite no\nrequired yes", "success"},
		{"[success=1 default=ignore] no\nrequisite no\nrequired yes", "auth_err"},
		{"[success=1 default=ignore] expired\nrequisite no\nrequired yes", "auth_err"},
		{"[success=1 new_authtok_reqd=done default=ignore] new\nrequisite no\nrequired yes", "new_authtok_reqd"},
		{"[success=9 default=ignore] yes\nrequired yes", "perm_denied"}, // a jump out of the stack
		{"[success=ok] no\nrequired yes", "auth_err"},                   // the default is bad
		{"[default=reset] no\nrequired yes", "success"},
		{"required no\n[default=reset] ignore\nrequired yes", "success"},
		{"required maybe\nrequired yes", "auth_err success"},
		{"sufficient maybe\nrequired no", "auth_err success"},
		{"nonsense yes", "perm_denied"}, // a word that there is not is a control by which all is bad
	} {
		var text strings.Builder
		for line := range strings.Lines(c.text) {
			control, module, _ := strings.Cut(strings.TrimSpace(line), "] ")
			if module == "" {
				control, module, _ = strings.Cut(control, " ")
			} else {
				control += "]"
			}
			fmt.Fprintf(&text, "account %s pam_%s.so\n", control, module)
		}
		s, err := Read(files{"sshd": text.String()}.read, "sshd", Account)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.Ends(func(e Entry) []string { return by[e.Module] }), " "); got != c.want {
			t.Errorf("%q ends with %q, want %q", c.text, got, c.want)
		}
	}
}

// A decision in a substack ends the substack; a jump over it leaves all of it
// out.
func TestSubstacks(t *testing.T) {
	t.Parallel()
	by := map[string][]string{"pam_yes": {Success}, "pam_no": {AuthError}, "pam_expired": {AccountExpired}}
	for _, c := range []struct{ text, sub, want string }{
		{"account substack sub\naccount required pam_expired.so\n", "account sufficient pam_yes.so\naccount required pam_no.so\n", "acct_expired"},
		{"account include sub\naccount required pam_expired.so\n", "account sufficient pam_yes.so\naccount required pam_no.so\n", "success"},
		{"account substack sub\naccount required pam_yes.so\n", "account requisite pam_no.so\naccount required pam_expired.so\n", "auth_err"},
		{"account [success=1] pam_yes.so\naccount substack sub\naccount required pam_yes.so\n", "account required pam_no.so\naccount required pam_no.so\n", "success"},
		{"account required pam_yes.so\naccount substack sub\n", "account required pam_no.so\naccount [default=reset] pam_yes.so\n", "success"},
	} {
		s, err := Read(files{"sshd": c.text, "sub": c.sub}.read, "sshd", Account)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.Ends(func(e Entry) []string { return by[e.Module] }), " "); got != c.want {
			t.Errorf("%q with %q ends with %q, want %q", c.text, c.sub, got, c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("@include other\naccount [success=1 new_authtok_reqd=done default=ignore] pam_unix.so\naccount requisite pam_deny.so\n", "account required pam_permit.so\n")
	f.Add("account substack other\naccount [default=2 \\] x] pam_a.so \\\n b\n", "account include sshd\n-account")
	f.Fuzz(func(t *testing.T, service, other string) {
		s, err := Read(files{"sshd": service, "other": other}.read, "sshd", Account)
		if err != nil {
			return
		}
		sure := s.Ends(func(Entry) []string { return []string{Success} })
		if len(sure) != 1 {
			t.Errorf("modules that all say yes end in %q", sure)
		}
		if len(s) < 20 {
			any := s.Ends(func(Entry) []string { return []string{Success, AuthError} })
			if !slices.Contains(any, sure[0]) {
				t.Errorf("what is possible for sure, %q, is not among %q", sure, any)
			}
		}
	})
}
