package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	testPasswd = `root:x:0:0:root:/root:/bin/bash
# a comment
toor:x:0:0::/root:/bin/sh
op:x:1000:1000:Operator:/home/op:/bin/bash
bob:x:1001:500::/home/bob:/bin/bash
op:x:1:1:later:/:/bin/false
clear:*:1002:1002::/:/bin/sh
bad:x:-1:0::/:/bin/sh
short:x:5
gone:x:1003:1003::/:/bin/sh
old:x:1004:1004::/:/bin/sh
`
	testGroup = `root:x:0:
op:x:1000:
ssh_login_group:x:500:op,ghost
second:x:500:root
adm:x:4: op,root,bob 
`
	testShadow = `root:!:19000:0:99999:7:::
toor::19000:0:99999:7:::
op:$y$hash:19000:0:99999:7:::
bob:!$y$hash:19000:0:99999:7:::
gone:*:19000:0:99999:7:::
old:$6$x:19000:0:99999:7::18000:
`
)

func TestAccounts(t *testing.T) {
	t.Parallel()
	a := parseAccounts([]byte(testPasswd), []byte(testGroup), []byte(testShadow), nil)
	if got := a.GroupsOf("op"); !slices.Equal(got, []string{"op", "ssh_login_group", "adm"}) {
		t.Errorf("groups of op: %q", got)
	}
	if got := a.Members("ssh_login_group"); !slices.Equal(got, []string{"bob", "op", "root"}) {
		t.Errorf("members, the primary one and that of another name for its number included, and the ghost not: %q", got)
	}
	if got := a.GroupsOf("root"); !slices.Equal(got, []string{"root", "ssh_login_group", "adm"}) {
		t.Errorf("a group that shares its number goes by the first name: %q", got)
	}
	if a.User("bad") != nil || a.User("short") != nil || a.User("nobody") != nil || a.Group("x") != nil {
		t.Error("there are users or groups that are not there")
	}
	for name, want := range map[string]PasswordState{
		"root": PasswordLocked, "toor": PasswordEmpty, "op": PasswordSet, "bob": PasswordLocked, "gone": PasswordNone, "clear": PasswordNone,
	} {
		if got := a.User(name).Password; got != want {
			t.Errorf("password of %s: %v, want %v", name, got, want)
		}
	}
	if u := a.User("op"); u.UID != 1000 || u.Line != 4 {
		t.Errorf("the first of two wins: %+v", u)
	}
	if a.User("old").Expires != 18000 || a.User("op").Expires != Never || a.User("op").Changed != 19000 || a.User("op").MaxAge != 99999 || a.User("op").Inactive != Never {
		t.Error("expiry")
	}
	if fmt.Sprintf("%+v", a) == "" || strings.Contains(fmt.Sprintf("%+v", a), "$y$") {
		t.Error("a hash is kept")
	}
	unseen := parseAccounts([]byte(testPasswd), nil, nil, errors.New("no permission"))
	if unseen.User("op").Password != PasswordUnknown {
		t.Error("without shadow a password's state is unknown")
	}
}

func TestAccountSources(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		nsswitch, record string
		passwd           string
		want             int
	}{
		"absent":                  {want: 0},
		"files":                   {nsswitch: "passwd: files\ngroup: files\nhosts: files dns sss\n", want: 0},
		"debian":                  {nsswitch: "passwd:         files systemd\ngroup: files systemd\n", want: 0},
		"systemd with records":    {nsswitch: "passwd: files systemd\n", record: "etc/userdb/x.user", want: 1},
		"sss":                     {nsswitch: "passwd: files [NOTFOUND=continue] sss # x\ngroup: files sss\n", want: 1},
		"ldap for groups":         {nsswitch: "passwd: files\ninitgroups: files ldap\n", want: 1},
		"compat with a plus line": {nsswitch: "passwd: compat\n", passwd: "+::::::\n", want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			write := func(path, text string) {
				os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755)
				if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			write("etc/passwd", testPasswd+c.passwd)
			write("etc/group", testGroup)
			if c.nsswitch != "" {
				write("etc/nsswitch.conf", c.nsswitch)
			}
			if c.record != "" {
				write(c.record, "{}")
			}
			a, err := New(Options{Root: root}).Accounts(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if len(a.Elsewhere) != c.want {
				t.Errorf("elsewhere: %q", a.Elsewhere)
			}
		})
	}
}

func FuzzAccounts(f *testing.F) {
	f.Add([]byte(testPasswd), []byte(testGroup), []byte(testShadow))
	f.Add([]byte("+\n-x\n:::::::\n"), []byte("a:b:1:,,"), []byte("a:::::::::"))
	f.Fuzz(func(t *testing.T, passwd, group, shadow []byte) {
		a := parseAccounts(passwd, group, shadow, nil)
		for _, u := range a.Users {
			for _, g := range a.GroupsOf(u.Name) {
				if a.Group(g) == nil {
					t.Errorf("%q is in %q, which does not exist", u.Name, g)
				}
			}
		}
	})
}

func BenchmarkAccounts(b *testing.B) {
	const n = 10_000
	var passwd, group, shadow strings.Builder
	for i := range n {
		fmt.Fprintf(&passwd, "user%d:x:%d:%d::/home/user%d:/bin/bash\n", i, i+1000, i+1000, i)
		fmt.Fprintf(&group, "user%d:x:%d:\n", i, i+1000)
		fmt.Fprintf(&shadow, "user%d:!:19000:0:99999:7:::\n", i)
	}
	for b.Loop() {
		parseAccounts([]byte(passwd.String()), []byte(group.String()), []byte(shadow.String()), nil)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/account")
}
