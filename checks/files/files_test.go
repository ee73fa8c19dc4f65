package files

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/lab/checktest"
)

const (
	passwdText = "root:x:0:0:root:/root:/bin/bash\nsyslog:x:101:101::/nonexistent:/usr/sbin/nologin\nalice:x:1000:100::/home/alice:/bin/bash\nbob:x:1001:100::/home/bob:/usr/sbin/nologin\n"
	groupText  = "root:x:0:\nadm:x:4:alice,bob,ghost\nusers:x:100:\nsyslog:x:101:\naudit:x:102:alice\n"
)

// tree is a host made of a folder, with accounts.
func tree(t *testing.T, files map[string]string) (*host.Host, string) {
	t.Helper()
	lab.Need(t, lab.ACL)
	root := t.TempDir()
	all := map[string]string{"/etc/passwd": passwdText, "/etc/group": groupText}
	maps.Copy(all, files)
	for name, text := range all {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return host.New(host.Options{Root: root}), root
}

func must(t *testing.T, args ...string) {
	t.Helper()
	if r := lab.Exec(t, args...); r.Code != 0 {
		t.Fatalf("%q: %s", args, r.Stderr)
	}
}

var adm = access{Owner: []string{"root", "syslog"}, Group: []string{"root", "adm"}, Mode: 0o640, DirMode: 0o750, GroupWriters: []string{"syslog"}, ACLGroups: []string{"adm"}, ACLUserInName: true}

func TestModes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do   []string // commands below the root, "/" in front of paths standing for it
		want string
	}{
		"as it should be":                          {nil, "pass"},
		"less than allowed":                        {[]string{"chmod 0400 /log/a"}, "pass"},
		"readable by everybody":                    {[]string{"chmod 0644 /log/a"}, "fail: /log/a has the mode 0644"},
		"writable by the group":                    {[]string{"chmod 0660 /log/a"}, "fail: /log/a has the mode 0660"},
		"executable":                               {[]string{"chmod 0750 /log/a"}, "fail: /log/a has the mode 0750"},
		"setuid":                                   {[]string{"chmod 4640 /log/a"}, "fail: /log/a has the mode 4640"},
		"by its second owner":                      {[]string{"chown 101 /log/a"}, "pass"},
		"another owner":                            {[]string{"chown 1000 /log/a"}, "fail: /log/a has the owner alice"},
		"an owner without a name":                  {[]string{"chown 4242 /log/a"}, "fail: /log/a has the owner 4242"},
		"another group":                            {[]string{"chgrp 100 /log/a"}, "fail: /log/a has the group users"},
		"a folder below":                           {[]string{"mkdir -m 0755 /log/d"}, "fail: /log/d has the mode 0755"},
		"a folder with setgid and sticky bit":      {[]string{"mkdir -m 0750 /log/d", "chmod 3750 /log/d"}, "pass"},
		"a file in a folder":                       {[]string{"mkdir -m 0750 /log/d", "touch /log/d/x", "chmod 0604 /log/d/x"}, "fail: /log/d/x has the mode 0604"},
		"a rotated one":                            {[]string{"touch /log/a.2.gz", "chmod 0644 /log/a.2.gz"}, "fail: /log/a.2.gz"},
		"a FIFO":                                   {[]string{"mkfifo -m 0666 /log/p"}, "fail: /log/p has the mode 0666"},
		"a link below is not followed":             {[]string{"ln -s /etc/passwd /log/l", "ln -s / /log/m"}, "pass"},
		"an entry for who may read":                {[]string{"setfacl -m g:4:r /log/a"}, "pass"},
		"an entry for who may read, to write":      {[]string{"setfacl -m g:4:rw /log/a"}, "fail: /log/a has the access list entry group:adm:rw-"},
		"an entry for a group":                     {[]string{"setfacl -m g:100:r /log/a"}, "fail: /log/a has the access list entry group:users:r--"},
		"an entry for a user":                      {[]string{"setfacl -m u:1000:r /log/a"}, "fail: /log/a has the access list entry user:alice:r--"},
		"an entry that the mask takes":             {[]string{"setfacl -m u:1000:rwx,m::- /log/a"}, "pass"},
		"an entry that gives nothing":              {[]string{"setfacl -m u:1000:- /log/a"}, "pass"},
		"the mask is not what the group has":       {[]string{"setfacl -m g::r,g:4:r,m::rwx /log/a"}, "pass"},
		"the mask hides what the group has":        {[]string{"setfacl -m g::rw,g:4:r,m::rw /log/a"}, "fail: /log/a has the mode 0660"},
		"an entry for all files to come":           {[]string{"mkdir -m 0750 /log/d", "setfacl -d -m u:1000:r /log/d"}, "fail: /log/d has the default access list entry user:alice:r--"},
		"a user's own journal":                     {[]string{"touch /log/user-1000.journal", "chmod 0640 /log/user-1000.journal", "setfacl -m u:1000:r /log/user-1000.journal"}, "pass"},
		"a user's own journal, rotated":            {[]string{"touch /log/user-1000@a-b.journal~", "chmod 0640 /log/user-1000@a-b.journal~", "setfacl -m u:1000:r /log/user-1000@a-b.journal~"}, "pass"},
		"another user's journal":                   {[]string{"touch /log/user-1001.journal", "chmod 0640 /log/user-1001.journal", "setfacl -m u:1000:r /log/user-1001.journal"}, "fail: user:alice:r--"},
		"somebody's number in another name":        {[]string{"touch /log/user-1000x", "chmod 0640 /log/user-1000x", "setfacl -m u:1000:r /log/user-1000x"}, "fail: user:alice:r--"},
		"several, counted":                         {[]string{"chmod 0644 /log/a", "chmod 0644 /log/b"}, "fail: 2 files or folders let in whom they should not: /log/a has"},
		"left out":                                 {[]string{"mkdir /log/private", "touch /log/private/x"}, "pass"},
		"the folder writable":                      {[]string{"chmod 0770 /log"}, "fail: /log has the mode 0770"},
		"the folder writable by who makes its log": {[]string{"chgrp 101 /log", "chmod 0770 /log"}, "fail: /log has the group syslog"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, root := tree(t, map[string]string{"/log/a": "", "/log/b": ""})
			must(t, "chmod", "0750", root+"/log")
			for _, line := range c.do {
				must(t, strings.Split(strings.ReplaceAll(line, " /", " "+root+"/"), " ")...)
			}
			v, err := modes(t.Context(), h, modeParams{Paths: []string{"/log"}, Except: []string{"/log/private"}, Recursive: true, access: adm})
			checktest.Judged(t, v, err, c.want)
		})
	}
}

// What the name itself is a link: followed when it is root's.
func TestNamedLinks(t *testing.T) {
	t.Parallel()
	h, root := tree(t, map[string]string{"/data/good": "", "/data/bad": "", "/log/x": ""})
	must(t, "chmod", "0644", root+"/data/bad")
	for link, target := range map[string]string{"good": "/data/good", "bad": "../data/bad", "nowhere": "/data/none", "alices": "/data/good"} {
		must(t, "ln", "-s", target, root+"/log/"+link)
	}
	must(t, "chown", "-h", "1000", root+"/log/alices")
	for name, want := range map[string]string{
		"/log/good":    "pass",
		"/log/bad":     "fail: /log/bad has the mode 0644",
		"/log/nowhere": "not-applicable: None of these files is there: /log/nowhere.",
		"/log/alices":  "fail: /log/alices is a link that belongs to alice, who can lead it anywhere",
		"/log/none*":   "not-applicable",
	} {
		v, err := modes(t.Context(), h, modeParams{Paths: []string{name}, access: adm})
		if strings.HasPrefix(want, "not-applicable") {
			if err != nil || v.Status != checks.NotApplicable || !strings.Contains(want, v.Reason) && want != "not-applicable" {
				t.Errorf("%s: %v %v %v", name, v.Status, v.Reason, err)
			}
			continue
		}
		checktest.Judged(t, v, err, want)
	}
}

func TestAuditLog(t *testing.T) {
	t.Parallel()
	conf := func(more string) string {
		return "log_file = /data/audit/audit.log\nspace_left = 75\nadmin_space_left = 50\n" + more
	}
	for name, c := range map[string]struct {
		conf string
		do   []string
		want string
	}{
		"root's":                                   {conf(""), nil, "pass"},
		"readable by everybody":                    {conf(""), []string{"chmod 0644 /data/audit/audit.log"}, "fail: /data/audit/audit.log has the mode 0644"},
		"a rotated one":                            {conf(""), []string{"touch /data/audit/audit.log.4", "chmod 0444 /data/audit/audit.log.4"}, "fail: /data/audit/audit.log.4 has the mode 0444"},
		"its folder":                               {conf(""), []string{"chmod 0755 /data/audit"}, "fail: /data/audit has the mode 0755"},
		"log_group's":                              {conf("log_group = audit\n"), []string{"chgrp 102 /data/audit/audit.log"}, "pass"},
		"another group's than log_group's":         {conf(""), []string{"chgrp 102 /data/audit/audit.log"}, "fail: has the group audit"},
		"a log_group that everybody is in":         {conf("log_group = users\n"), []string{"chgrp 100 /data/audit/audit.log"}, "fail: has the group users"},
		"a configuration that auditd would refuse": {conf("nonsense = 1\n"), nil, "error: auditd does not start with this configuration"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, root := tree(t, map[string]string{"/etc/audit/auditd.conf": c.conf, "/data/audit/audit.log": ""})
			must(t, "chmod", "0750", root+"/data/audit")
			for _, line := range c.do {
				must(t, strings.Split(strings.ReplaceAll(line, " /", " "+root+"/"), " ")...)
			}
			v, err := auditLog(t.Context(), h, auditLogParams{Group: []string{"root", "adm"}, Mode: 0o640, DirMode: 0o750})
			if err != nil && strings.HasPrefix(c.want, "error") {
				v.Evidence = append(v.Evidence, checks.Evidence{Source: "none"})
			}
			checktest.Judged(t, v, err, c.want)
		})
	}
}

func TestMembers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		passwd, group, nsswitch string
		p                       membersParams
		want                    string
	}{
		"listed":                    {p: membersParams{Groups: []string{"adm"}}, want: "fail: members: alice (adm)."},
		"listed and meant to be":    {p: membersParams{Groups: []string{"adm"}, Allow: []string{"alice"}}, want: "pass"},
		"by the primary group":      {p: membersParams{Groups: []string{"users"}}, want: "fail: members: alice (users)."},
		"in several":                {p: membersParams{Groups: []string{"adm", "audit"}}, want: "fail: alice (adm), alice (audit)"},
		"no such group":             {p: membersParams{Groups: []string{"systemd-journal"}}, want: "pass"},
		"members may be elsewhere":  {p: membersParams{Groups: []string{"root"}}, nsswitch: "group: files sss\n", want: "error: there may be more by sss"},
		"found, and more elsewhere": {p: membersParams{Groups: []string{"adm"}}, nsswitch: "group: files sss\n", want: "fail: alice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _ := tree(t, map[string]string{"/etc/nsswitch.conf": c.nsswitch})
			v, err := members(t.Context(), h, c.p)
			checktest.Judged(t, v, err, c.want)
		})
	}
}

func TestParams(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"0640": "0640", "640": "0640", "2755": "2755", "64": "", "06400": "", "0x1f": "", "0680": "", "-640": "", "": ""} {
		var o Octal
		if err := o.UnmarshalText([]byte(text)); (err == nil) != (want != "") || err == nil && o.String() != want {
			t.Errorf("%q is read as %v, %v", text, o, err)
		}
	}
	for _, p := range []modeParams{{}, {Paths: []string{"etc"}}, {Paths: []string{"/[a"}}, {Paths: []string{"/"}, Except: []string{"x"}}} {
		if p.Validate() == nil {
			t.Errorf("%+v is valid", p)
		}
	}
}

// Trees of files with any owner, group and mode: what is found is what find(1) finds.
func TestFindAgrees(t *testing.T) {
	t.Parallel()
	h, root := tree(t, nil)
	random := rand.New(rand.NewPCG(3, 4))
	ids := []int{0, 4, 100, 101, 1000, 4242}
	folders := []string{root + "/log"}
	if err := os.Mkdir(folders[0], 0o750); err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		name := fmt.Sprintf("%s/%d", folders[random.IntN(len(folders))], i)
		var err error
		switch random.IntN(10) {
		case 0:
			err = os.Mkdir(name, 0o700)
			folders = append(folders, name)
		case 1:
			err = os.Symlink("/etc", name)
		case 2:
			err = unix.Mkfifo(name, 0o600)
		default:
			err = os.WriteFile(name, nil, 0o600)
		}
		if err == nil {
			err = os.Lchown(name, ids[random.IntN(len(ids))], ids[random.IntN(len(ids))])
		}
		if err == nil && random.IntN(2) == 0 {
			if info, e := os.Lstat(name); e == nil && info.Mode()&os.ModeSymlink == 0 {
				err = unix.Chmod(name, uint32(random.IntN(0o10000)))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		want := access{Mode: Octal(random.IntN(0o10000)), DirMode: Octal(random.IntN(0o1000)), Owner: []string{"root", "alice"}, Group: []string{"adm", "0", "4242"}}
		found, err := look(context.Background(), h, modeParams{Paths: []string{"/log"}, Recursive: true, access: want})
		if err != nil {
			t.Fatal(err)
		}
		accounts, err := h.Accounts(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		n := newNames(accounts)
		var got []string
		for _, f := range found {
			if len(f.problems(want, n)) > 0 {
				got = append(got, f.Path)
			}
		}
		r := lab.Exec(t, "find", root+"/log", "!", "-type", "l", "(",
			"!", "-uid", "0", "!", "-uid", "1000", "-o",
			"!", "-gid", "4", "!", "-gid", "0", "!", "-gid", "4242", "-o",
			"-type", "d", "-perm", fmt.Sprintf("/%o", 0o4777&^uint32(want.DirMode)), "-o",
			"!", "-type", "d", "-perm", fmt.Sprintf("/%o", 0o7777&^uint32(want.Mode)), ")")
		if r.Code != 0 {
			t.Fatal(r.Stderr)
		}
		wanted := strings.Fields(strings.ReplaceAll(r.Stdout, root, ""))
		slices.Sort(wanted)
		slices.Sort(got)
		if want.DirMode&0o777 == 0o777 && want.Mode == 0o7777 {
			continue // find takes /0 for everything
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Fatalf("%+v (-find +got):\n%s", want, diff)
		}
	}
}
