package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/pamconf"
)

// What pam_unix makes of the age of accounts and passwords (pam_unix(8),
// shadow(5)): a table of the borders.
func TestHardCase36AccountAge(t *testing.T) {
	t.Parallel()
	const today = 20_000
	with := func(change func(*User)) *User {
		u := &User{Name: "op", Line: 1, Shadowed: true, InShadow: true, Password: PasswordSet, Expires: Never, Changed: 19_000, MaxAge: 99_999, Inactive: Never}
		change(u)
		return u
	}
	for name, c := range map[string]struct {
		user *User
		want string
	}{
		"nothing said":                {with(func(*User) {}), pamconf.Success},
		"it ends today":               {with(func(u *User) { u.Expires = today }), pamconf.AccountExpired},
		"it ends tomorrow":            {with(func(u *User) { u.Expires = today + 1 }), pamconf.Success},
		"it ended in 1970":            {with(func(u *User) { u.Expires = 0 }), pamconf.AccountExpired},
		"set to be changed":           {with(func(u *User) { u.Changed = 0 }), pamconf.NewPassword},
		"too old":                     {with(func(u *User) { u.MaxAge = 90 }), pamconf.NewPassword},
		"just young enough":           {with(func(u *User) { u.Changed, u.MaxAge = today-90, 91 }), pamconf.Success},
		"too old for too long":        {with(func(u *User) { u.MaxAge, u.Inactive = 90, 30 }), pamconf.TokenExpired},
		"too old, still to be mended": {with(func(u *User) { u.MaxAge, u.Inactive = 990, 30 }), pamconf.NewPassword},
		"changed in the future":       {with(func(u *User) { u.Changed, u.MaxAge = today+1, 1 }), pamconf.Success},
		"no date of change":           {with(func(u *User) { u.Changed, u.MaxAge = Never, 1 }), pamconf.Success},
		"no line in shadow":           {with(func(u *User) { u.InShadow = false }), pamconf.NoInfo},
		"no shadow":                   {with(func(u *User) { u.Shadowed, u.InShadow, u.Expires = false, false, 1 }), pamconf.Success},
		"locked is no matter of age":  {with(func(u *User) { u.Password = PasswordLocked }), pamconf.Success},
	} {
		if got, why := unixAccount(c.user, today); got != c.want || (why == "") != (got == pamconf.Success) {
			t.Errorf("%s: %s (%s), want %s", name, got, why, c.want)
		}
	}
}

// loginTree is a tree in which op logs in, changed by more files; a name that
// ends in ! is executable.
func loginTree(t *testing.T, more map[string]string) *Logins {
	t.Helper()
	all := map[string]string{
		"usr/sbin/sshd!": "\x7fELF\x00OpenSSH_9.2p1 Debian-2\x00libpam.so.0\x00", "bin/sh!": "", "usr/sbin/nologin!": "", "home/op/x": "",
		"etc/ssh/sshd_config": "UsePAM yes\n",
		"etc/passwd":          "root:x:0:0::/root:/bin/sh\nop:x:1000:1000::/home/op:/bin/sh\n",
		"etc/group":           "root:x:0:\nop:x:1000:\n",
		"etc/shadow":          "root:*:19000:0:99999:7:::\nop:$y$x:19000:0:99999:7:::\n",
		"etc/pam.d/sshd":      "auth required pam_unix.so\naccount required pam_nologin.so\naccount required pam_unix.so\nsession required pam_unix.so\n",
	}
	for name, text := range more {
		all[name] = text
	}
	root := t.TempDir()
	for name, text := range all {
		name, executable := strings.CutSuffix(name, "!")
		mode := os.FileMode(0o644)
		if executable {
			mode = 0o755
		}
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	h := New(Options{Root: root})
	s, err := h.SSHServers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l, err := h.Logins(t.Context(), s.SSHDs[0], LoginQuery{Users: []string{"op"}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLogins(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files    map[string]string
		whyNot   string // empty: op can log in
		unjudged string
		failed   bool
	}{
		"as it is":                        {},
		"36 nologin shell":                {files: map[string]string{"etc/passwd": "op:x:1000:1000::/:/usr/sbin/nologin\n"}, whyNot: "ends every session; forwarding connections needs no session"},
		"36 a nologin of somebody's own":  {files: map[string]string{"etc/passwd": "op:x:1000:1000::/:/home/op/nologin\n", "home/op/nologin!": ""}},
		"36 no shell":                     {files: map[string]string{"etc/passwd": "op:x:1000:1000::/:/bin/zsh\n"}, whyNot: "its shell /bin/zsh does not exist"},
		"36 a shell that does not run":    {files: map[string]string{"etc/passwd": "op:x:1000:1000::/:/home/op/x\n"}, whyNot: "is not executable"},
		"36 an empty shell is /bin/sh":    {files: map[string]string{"etc/passwd": "op:x:1000:1000::/:\n"}},
		"36 expired, with PAM":            {files: map[string]string{"etc/shadow": "op:$y$x:19000:0:99999:7::1:\n"}, whyNot: "PAM refuses it: it expired on 1970-01-02"},
		"36 expired, without PAM":         {files: map[string]string{"etc/shadow": "op:$y$x:19000:0:99999:7::1:\n", "etc/ssh/sshd_config": "UsePAM no\n"}, whyNot: "it expired on 1970-01-02"},
		"36 locked, without PAM":          {files: map[string]string{"etc/shadow": "op:!$y$x:19000:0:99999:7:::\n", "etc/ssh/sshd_config": "UsePAM no\n"}, whyNot: "locked with !"},
		"36 * is not locked":              {files: map[string]string{"etc/shadow": "op:*:19000:0:99999:7:::\n", "etc/ssh/sshd_config": "UsePAM no\n"}, whyNot: "neither a usable key nor a password"},
		"36 password to be changed":       {files: map[string]string{"etc/shadow": "op:$y$x:0:0:99999:7:::\n"}, whyNot: "PAM wants a new password first"},
		"36 no line in shadow":            {files: map[string]string{"etc/shadow": "root:*:1::::::\n"}, whyNot: "/etc/shadow has no line of it"},
		"/etc/nologin":                    {files: map[string]string{"etc/nologin": ""}, whyNot: "PAM refuses it: /etc/nologin exists"},
		"/run/nologin":                    {files: map[string]string{"var/run/nologin": ""}, whyNot: "/var/run/nologin exists"},
		"/etc/nologin, without PAM":       {files: map[string]string{"etc/nologin": "", "etc/ssh/sshd_config": "UsePAM no\n"}, whyNot: "/etc/nologin exists; forwarding"},
		"/run/nologin is PAM's own":       {files: map[string]string{"var/run/nologin": "", "etc/ssh/sshd_config": "UsePAM no\n"}},
		"shells(5) with pam_shells":       {files: map[string]string{"etc/shells": "/bin/bash\n", "etc/pam.d/sshd": "auth required pam_unix.so\naccount required pam_shells.so\naccount required pam_unix.so\nsession required pam_unix.so\n"}, whyNot: "its shell /bin/sh is not in /etc/shells"},
		"shells(5) without it":            {files: map[string]string{"etc/shells": "/bin/bash\n"}},
		"a module that may refuse":        {files: map[string]string{"etc/pam.d/sshd": "auth required pam_unix.so\naccount required pam_access.so\naccount required pam_unix.so\nsession required pam_unix.so\n"}, unjudged: "pam_access in /etc/pam.d/sshd:2 may refuse further"},
		"no session for anybody":          {files: map[string]string{"etc/pam.d/sshd": "auth required pam_unix.so\naccount required pam_unix.so\nsession required pam_deny.so\n"}, whyNot: "PAM opens no session"},
		"PAM says no to all":              {files: map[string]string{"etc/pam.d/sshd": "auth required pam_unix.so\naccount required pam_deny.so\nsession required pam_unix.so\n"}, whyNot: "PAM refuses it (account modules of /etc/pam.d/sshd)"},
		"another module takes passwords":  {files: map[string]string{"etc/shadow": "op:*:19000:0:99999:7:::\n", "etc/pam.d/sshd": "auth sufficient pam_sss.so\nauth required pam_unix.so\naccount required pam_unix.so\nsession required pam_unix.so\n"}, unjudged: "pam_sss in /etc/pam.d/sshd:1 may accept or refuse passwords"},
		"it lets in without a password":   {files: map[string]string{"etc/shadow": "op:*:19000:0:99999:7:::\n", "etc/pam.d/sshd": "auth sufficient pam_permit.so\naccount required pam_unix.so\nsession required pam_unix.so\n"}},
		"a stack that includes itself":    {files: map[string]string{"etc/pam.d/sshd": "@include sshd\n@include sshd\n"}, whyNot: "PAM refuses it"},
		"DenyUsers":                       {files: map[string]string{"etc/ssh/sshd_config": "UsePAM yes\nDenyUsers o?\n"}, whyNot: "DenyUsers names it"},
		"a root folder of others":         {files: map[string]string{"etc/ssh/sshd_config": "UsePAM yes\nChrootDirectory /nowhere\n"}, whyNot: "ChrootDirectory"},
		"a root folder without its shell": {files: map[string]string{"etc/ssh/sshd_config": "UsePAM yes\nChrootDirectory /home\n"}, whyNot: "ChrootDirectory /home"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := loginTree(t, c.files)
			can, why := l.CanLogIn(0)
			if can != (c.whyNot == "") || !strings.Contains(strings.Join(why, "; "), c.whyNot) {
				t.Errorf("it can log in: %v, why not: %q, want %q", can, why, c.whyNot)
			}
			if c.failed != (len(l.Failed) > 0) {
				t.Errorf("failed: %v", l.Failed)
			}
			if c.unjudged != "" && !slices.ContainsFunc(l.Unjudged, func(s string) bool { return strings.Contains(s, c.unjudged) }) || c.unjudged == "" && len(l.Unjudged) > len(l.Failed) {
				t.Errorf("not judged: %q, want %q", l.Unjudged, c.unjudged)
			}
		})
	}
}
