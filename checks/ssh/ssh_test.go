package ssh

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lab"
)

// A host is a file tree with a sshd of a given release.

type files map[string]string

const (
	sshdConfig = "etc/ssh/sshd_config"
	dropIn     = "etc/ssh/sshd_config.d/"
	include    = "Include /etc/ssh/sshd_config.d/*.conf\n"
	keyOnly    = "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM yes\n"
)

func program(release string) string {
	return "\x7fELF\x00OpenSSH_2*,OpenSSH_3*\x00" + release + "\x00libpam.so.0\x00libgssapi_krb5.so.2\x00"
}

func hostTree(t *testing.T, more files) *host.Host {
	t.Helper()
	all := files{
		"usr/sbin/sshd": program("OpenSSH_9.2p1 Debian-2+deb12u10"),
		"etc/passwd": "root:x:0:0::/root:/bin/bash\ntoor:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/usr/sbin/nologin\n" +
			"op:x:1000:1000::/home/op:/bin/bash\nbob:x:1001:700::/home/bob:/bin/bash\n",
		"etc/group":  "root:x:0:\ndaemon:x:1:\nop:x:1000:\nssh_login_group:x:700:op\nempty:x:701:\nwheel:x:702:op,ghost\n",
		"etc/shadow": "root:*:1:0:9:7:::\nop:$y$x:1:0:9:7:::\nbob:!:1:0:9:7:::\n",
		sshdConfig:   keyOnly,
	}
	for name, text := range more {
		all[name] = text
	}
	root := t.TempDir()
	for name, text := range all {
		if text == "absent" {
			continue
		}
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			if err := os.Symlink(target, full); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return host.New(host.Options{Root: root})
}

// A look is a check with its parameters.
type look func(context.Context, *host.Host) (checks.Verdict, error)

func logins(accounts string) look {
	return func(ctx context.Context, h *host.Host) (checks.Verdict, error) {
		return methods(ctx, h, methodsParams{accounts, byKey})
	}
}

func has(keyword string, accept ...string) look {
	return func(ctx context.Context, h *host.Host) (checks.Verdict, error) {
		return option(ctx, h, optionParams{Keyword: keyword, Accept: accept})
	}
}

func group(name string, users ...string) look {
	return func(ctx context.Context, h *host.Host) (checks.Verdict, error) {
		return allowGroups(ctx, h, allowGroupsParams{name, users})
	}
}

func users(names ...string) look {
	return func(ctx context.Context, h *host.Host) (checks.Verdict, error) {
		return allowUsers(ctx, h, allowUsersParams{Users: names})
	}
}

func optional() look {
	return func(ctx context.Context, h *host.Host) (checks.Verdict, error) {
		return allowUsers(ctx, h, allowUsersParams{Optional: true})
	}
}

// expect runs a look and compares its status, and what it must say in its
// reason, its error or its evidence.
func expect(t *testing.T, l look, h *host.Host, want checks.Status, says ...string) checks.Verdict {
	t.Helper()
	v, err := l(t.Context(), h)
	status := v.Status
	text := v.Reason
	if err != nil {
		status, text = checks.Error, err.Error()
	}
	for _, e := range v.Evidence {
		text += "\n" + e.Source + ":" + strconv.Itoa(e.Line) + " " + e.Key + " want " + e.Want + " got " + e.Got
	}
	if status != want {
		t.Errorf("%v, want %v:\n%s", status, want, text)
	}
	for _, s := range says {
		if !strings.Contains(text, s) {
			t.Errorf("it does not say %q:\n%s", s, text)
		}
	}
	if status == checks.Pass && len(v.Evidence) == 0 || status == checks.Fail && (v.Reason == "" || len(v.Evidence) == 0) {
		t.Errorf("%v without evidence or reason", status)
	}
	return v
}

func TestKeyOnlyLogins(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files files
		who   string
		want  checks.Status
		says  []string
	}{
		"all off": {files{}, everyone, checks.Pass, []string{"let in by publickey"}},
		"01 cloud-init comes before hardening": {files{
			sshdConfig:                    include + keyOnly,
			dropIn + "50-cloud-init.conf": "PasswordAuthentication yes\n",
			dropIn + "99-hardening.conf":  "PasswordAuthentication no\n",
		}, everyone, checks.Fail, []string{"by password", dropIn + "50-cloud-init.conf:1", "without effect: no (/" + dropIn + "99-hardening.conf:1)"}},
		"03 set before the Include": {files{
			sshdConfig:           "PasswordAuthentication yes\n" + include,
			dropIn + "00-x.conf": keyOnly,
		}, everyone, checks.Fail, []string{sshdConfig + ":1"}},
		"05 a Match block for one address": {files{
			sshdConfig: keyOnly + "Match Address 10.0.0.0/8\n\tPasswordAuthentication yes\n",
		}, everyone, checks.Fail, []string{"by password (in Match Address 10.0.0.0/8", "such as", "from 10.", sshdConfig + ":5"}},
		"05 a Match block for a user who does not exist": {files{
			sshdConfig: keyOnly + "Match User nosuch\n\tPasswordAuthentication yes\n",
		}, everyone, checks.Pass, nil},
		"05 that user may come from a directory": {files{
			sshdConfig:          keyOnly + "Match User nosuch\n\tPasswordAuthentication yes\n",
			"etc/nsswitch.conf": "passwd: files sss\n",
		}, everyone, checks.Fail, []string{"accounts from sss"}},
		"05 an Include inside a Match": {files{
			sshdConfig:     keyOnly + "Match Group wheel\nInclude /etc/ssh/more\n",
			"etc/ssh/more": "PasswordAuthentication yes\n",
		}, everyone, checks.Fail, []string{"lets op in by password", "etc/ssh/more:1"}},
		"05 Match all comes last and wins in its own way": {files{
			sshdConfig: "Match all\nPasswordAuthentication yes\n" + "KbdInteractiveAuthentication no\n",
		}, everyone, checks.Fail, []string{"Match all"}},
		"06 the line was appended to a Match block": {files{
			sshdConfig: "KbdInteractiveAuthentication no\nMatch User nosuch\nX11Forwarding no\nPasswordAuthentication no\n",
		}, everyone, checks.Fail, []string{"built-in default"}},
		"08 password off, keyboard-interactive with PAM on": {files{
			sshdConfig: "PasswordAuthentication no\nUsePAM yes\n",
		}, everyone, checks.Fail, []string{"by keyboard-interactive", "kbdinteractiveauthentication"}},
		"08 keyboard-interactive with nothing behind it": {files{
			sshdConfig: "PasswordAuthentication no\nUsePAM no\n",
		}, everyone, checks.Pass, nil},
		"08 the old name": {files{
			sshdConfig: "PasswordAuthentication no\nChallengeResponseAuthentication no\nUsePAM yes\n",
		}, everyone, checks.Pass, nil},
		"08 in 8.4 the old switch turns the new one on": {files{
			"usr/sbin/sshd": program("OpenSSH_8.4p1 Debian-5+deb11u3"),
			sshdConfig:      "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM yes\n",
		}, everyone, checks.Fail, []string{"keyboard-interactive"}},
		"09 AuthenticationMethods publickey": {files{
			sshdConfig: "AuthenticationMethods publickey\nPasswordAuthentication yes\nUsePAM yes\n",
		}, everyone, checks.Pass, nil},
		"09 key and password": {files{
			sshdConfig: "AuthenticationMethods publickey,password publickey,keyboard-interactive:pam\nUsePAM yes\n",
		}, everyone, checks.Pass, []string{"publickey,password"}},
		"09 one of the lists does without": {files{
			sshdConfig: "AuthenticationMethods publickey password,keyboard-interactive\nUsePAM yes\n",
		}, everyone, checks.Fail, []string{"password,keyboard-interactive", sshdConfig + ":1"}},
		"09 a Match block takes the lists away": {files{
			sshdConfig: "AuthenticationMethods publickey\nMatch LocalPort 2222\nAuthenticationMethods password\n",
		}, everyone, checks.Fail, []string{"to port 2222"}},
		"10 nobody may log in": {files{
			sshdConfig: "PasswordAuthentication yes\nAllowGroups empty\n",
		}, everyone, checks.Pass, []string{"no method at all"}},
		"10 only the denied have passwords": {files{
			sshdConfig: keyOnly + "DenyUsers op\nMatch User op\nPasswordAuthentication yes\n",
		}, everyone, checks.Pass, nil},
		"10 denied from one address only": {files{
			sshdConfig: keyOnly + "DenyUsers op@10.0.0.0/8\nMatch User op\nPasswordAuthentication yes\n",
		}, everyone, checks.Fail, nil},
		"host-based":      {files{sshdConfig: keyOnly + "HostbasedAuthentication yes\n"}, everyone, checks.Fail, []string{"hostbased"}},
		"GSSAPI":          {files{sshdConfig: keyOnly + "GSSAPIAuthentication yes\n"}, everyone, checks.Fail, []string{"gssapi-with-mic"}},
		"GSSAPI exchange": {files{sshdConfig: keyOnly + "GSSAPIKeyExchange yes\n"}, everyone, checks.Fail, []string{"gssapi-keyex"}},
		"empty passwords": {files{sshdConfig: keyOnly + "Match User bob\nPasswordAuthentication yes\nPermitEmptyPasswords yes\n"}, everyone, checks.Fail, []string{"lets bob in"}},

		"root by default":                   {files{sshdConfig: ""}, onlyRoot, checks.Pass, []string{"root, toor"}},
		"11 root prohibit-password":         {files{sshdConfig: "PermitRootLogin prohibit-password\nUsePAM yes\n"}, onlyRoot, checks.Pass, nil},
		"root yes":                          {files{sshdConfig: "PermitRootLogin yes\nUsePAM yes\n"}, onlyRoot, checks.Fail, []string{"lets root (and 1 more) in by password", sshdConfig + ":1"}},
		"root yes, but no password at all":  {files{sshdConfig: "PermitRootLogin yes\n" + keyOnly}, onlyRoot, checks.Pass, nil},
		"root no":                           {files{sshdConfig: "PermitRootLogin no\n"}, onlyRoot, checks.Pass, nil},
		"root forced commands":              {files{sshdConfig: "PermitRootLogin forced-commands-only\n"}, onlyRoot, checks.Pass, nil},
		"another account with uid 0":        {files{sshdConfig: "PermitRootLogin no\nMatch User toor\nPermitRootLogin yes\n"}, onlyRoot, checks.Fail, []string{"lets toor in by password"}},
		"root yes, kept out by AllowGroups": {files{sshdConfig: "PermitRootLogin yes\nAllowGroups ssh_login_group\n"}, onlyRoot, checks.Pass, []string{"uid 0"}},
		"root by a Match block":             {files{sshdConfig: "PermitRootLogin no\nMatch Address 127.0.0.1\nPermitRootLogin yes\n"}, onlyRoot, checks.Fail, []string{"from 127.0.0.1"}},

		"12 a byte order mark":             {files{sshdConfig: "\ufeffUsePAM yes\n" + keyOnly}, everyone, checks.Error, []string{sshdConfig + ":1"}},
		"14 a folder in a drop-in's place": {files{sshdConfig: include + keyOnly, dropIn + "x.conf/y": ""}, everyone, checks.Pass, nil},
		"14 a dangling link as drop-in":    {files{sshdConfig: include + keyOnly, dropIn + "x.conf": "-> /nowhere"}, everyone, checks.Error, []string{"x.conf"}},
		"14 a device as drop-in":           {files{sshdConfig: include + keyOnly, dropIn + "x.conf": "-> /../proc/version"}, everyone, checks.Error, nil},
		"15 no SSH server":                 {files{"usr/sbin/sshd": "absent"}, everyone, checks.NotApplicable, []string{"No SSH server"}},
		"no configuration file":            {files{sshdConfig: "absent"}, everyone, checks.Error, []string{"sshd_config"}},
		"the release is not known":         {files{"usr/sbin/sshd": "#!/bin/sh\n"}, everyone, checks.Error, []string{"release"}},
		"options of the unit count":        {files{"etc/systemd/system/ssh.service": "[Service]\nEnvironmentFile=-/etc/default/ssh\nExecStart=/usr/sbin/sshd -D $SSHD_OPTS\n", "etc/default/ssh": "SSHD_OPTS=\"-o PasswordAuthentication=yes\"\n"}, everyone, checks.Fail, []string{"sshd command line", "said by /etc/systemd/system/ssh.service:3"}},
		"13 a socket's service for each connection": {files{
			"usr/lib/systemd/system/default.target": "[Unit]\nRequires=sockets.target\n", "usr/lib/systemd/system/sockets.target": "[Unit]\n",
			"usr/lib/systemd/system/ssh.service": "[Service]\nExecStart=/usr/sbin/sshd -D\n", "usr/lib/systemd/system/ssh.socket": "[Socket]\nListenStream=22\nAccept=yes\n",
			"etc/systemd/system/sockets.target.wants/ssh.socket": "-> /usr/lib/systemd/system/ssh.socket", "usr/lib/systemd/system/ssh@.service": "[Service]\nExecStart=-/usr/sbin/sshd -i\n",
			"etc/systemd/system/ssh@.service.d/x.conf": "[Service]\nExecStart=\nExecStart=-/usr/sbin/sshd -i -o PasswordAuthentication=yes\n"}, everyone, checks.Fail, []string{"by password", "said by /etc/systemd/system/ssh@.service.d/x.conf:3"}},
		"13 a socket that nothing starts": {files{
			"usr/lib/systemd/system/default.target": "[Unit]\n", "usr/lib/systemd/system/ssh.socket": "[Socket]\nListenStream=22\nAccept=yes\n",
			"usr/lib/systemd/system/ssh@.service": "[Service]\nExecStart=-/usr/sbin/sshd -i -o PasswordAuthentication=yes\n"}, everyone, checks.Pass, nil},
		"13 a socket that hands over": {files{
			"usr/lib/systemd/system/default.target": "[Unit]\nRequires=sockets.target\n", "usr/lib/systemd/system/sockets.target": "[Unit]\n",
			"usr/lib/systemd/system/ssh.socket": "[Socket]\nListenStream=22\nAccept=no\n", "etc/systemd/system/sockets.target.wants/ssh.socket": "-> /usr/lib/systemd/system/ssh.socket"}, everyone, checks.Pass, nil},
		"another configuration by the unit": {files{"usr/lib/systemd/system/ssh.service": "[Service]\nExecStart=/usr/sbin/sshd -D\n", "etc/systemd/system/ssh.service.d/x.conf": "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D -f /etc/ssh/other\n", "etc/ssh/other": "PermitRootLogin yes\n"}, everyone, checks.Fail, []string{"by password"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, logins(c.who), hostTree(t, c.files), c.want, c.says...)
		})
	}
}

func TestOption(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files files
		look  look
		want  checks.Status
		says  []string
	}{
		"accepted":                 {files{}, has("PasswordAuthentication", "no"), checks.Pass, []string{"/" + sshdConfig + ":1 passwordauthentication"}},
		"by default":               {files{sshdConfig: ""}, has("PermitEmptyPasswords", "no"), checks.Pass, []string{"built-in default"}},
		"weakened by a Match":      {files{sshdConfig: "IgnoreRhosts yes\nMatch User op\nIgnoreRhosts no\n"}, has("IgnoreRhosts", "yes"), checks.Fail, []string{"for some connections", sshdConfig + ":3", "Match User op", "without effect: yes (/" + sshdConfig + ":1)"}},
		"one line hides another":   {files{sshdConfig: "StrictModes no\nStrictModes yes\n"}, has("StrictModes", "yes"), checks.Fail, []string{"strictmodes no is in force."}},
		"02 order of drop-ins":     {files{sshdConfig: include, dropIn + "9-a.conf": "MaxAuthTries 9\n", dropIn + "10-a.conf": "MaxAuthTries 3\n"}, has("MaxAuthTries", "3"), checks.Pass, []string{"10-a.conf:1"}},
		"11 its other name":        {files{sshdConfig: "PermitRootLogin prohibit-password\n"}, has("PermitRootLogin", "prohibit-password", "no"), checks.Pass, nil},
		"a list not set":           {files{sshdConfig: ""}, has("DenyUsers", "root"), checks.Fail, []string{"not set"}},
		"not in this release":      {files{"usr/sbin/sshd": program("OpenSSH_8.4p1")}, has("RequiredRSASize", "3072"), checks.NotApplicable, []string{"8.4"}},
		"a default of the release": {files{"usr/sbin/sshd": program("OpenSSH_10.0p2 Debian-7"), sshdConfig: ""}, has("IPQoS", "ef cs1"), checks.Pass, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, c.look, hostTree(t, c.files), c.want, c.says...)
		})
	}
	refuse := func(ctx context.Context, h *host.Host) (checks.Verdict, error) {
		return option(ctx, h, optionParams{Keyword: "LogLevel", Refuse: []string{"QUIET", "SILENT"}})
	}
	expect(t, refuse, hostTree(t, files{sshdConfig: "LogLevel quiet\n"}), checks.Fail, "not QUIET")
	if (optionParams{Keyword: "NoSuch", Accept: []string{"x"}}).Validate() == nil || (optionParams{Keyword: "Port"}).Validate() == nil {
		t.Error("bad parameters are accepted")
	}
}

func TestAllowGroups(t *testing.T) {
	t.Parallel()
	const g = "ssh_login_group"
	for name, c := range map[string]struct {
		files files
		look  look
		want  checks.Status
		says  []string
	}{
		"set":     {files{sshdConfig: "AllowGroups " + g + "\n"}, group(g, "op", "bob"), checks.Pass, []string{"bob, op"}},
		"not set": {files{}, group(g), checks.Fail, []string{"not set"}},
		"04 a drop-in widens it": {files{sshdConfig: include + "AllowGroups " + g + "\n", dropIn + "x.conf": "AllowGroups wheel\n"},
			group(g), checks.Fail, []string{"admits wheel", dropIn + "x.conf:1"}},
		"04 a Match block replaces it":            {files{sshdConfig: "AllowGroups " + g + "\nMatch User bob\nAllowGroups *\n"}, group(g), checks.Fail, []string{"admits *"}},
		"10 the group does not exist":             {files{sshdConfig: "AllowGroups sshusers\n"}, group("sshusers"), checks.Fail, []string{"does not exist"}},
		"10 the group is empty":                   {files{sshdConfig: "AllowGroups empty\n"}, group("empty"), checks.Fail, []string{"no members"}},
		"10 a primary group counts":               {files{sshdConfig: "AllowGroups " + g + "\n"}, group(g, "op"), checks.Fail, []string{"bob is a member", "/etc/passwd:5"}},
		"10 another group of its number":          {files{sshdConfig: "AllowGroups wheel\n", "etc/group": "wheel:x:10:op\nother:x:10:bob\n"}, group("wheel", "op"), checks.Fail, []string{"bob is a member"}},
		"10 not the first group of its number":    {files{sshdConfig: "AllowGroups wheel\n", "etc/group": "other:x:10:bob\nwheel:x:10:op\n"}, group("wheel", "op"), checks.Fail, []string{"op is not a member"}},
		"10 a wanted user is not in":              {files{sshdConfig: "AllowGroups " + g + "\n"}, group(g, "op", "bob", "root"), checks.Fail, []string{"root is not a member"}},
		"a listed name that is no account":        {files{sshdConfig: "AllowGroups wheel\n"}, group("wheel", "op"), checks.Pass, nil},
		"any group":                               {files{sshdConfig: "AllowGroups wheel\n"}, group(""), checks.Pass, nil},
		"a pattern is no group":                   {files{sshdConfig: "AllowGroups ssh*\n"}, group(""), checks.Fail, nil},
		"members come from elsewhere too":         {files{sshdConfig: "AllowGroups " + g + "\n", "etc/nsswitch.conf": "group: files ldap\n"}, group(g, "op", "bob"), checks.Error, []string{"ldap"}},
		"a wrong group is wrong whoever is in it": {files{sshdConfig: "AllowGroups wheel\n", "etc/nsswitch.conf": "group: files ldap\n"}, group(g), checks.Fail, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, c.look, hostTree(t, c.files), c.want, c.says...)
		})
	}
}

func TestAllowUsers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config string
		look   look
		want   checks.Status
		says   []string
	}{
		"named":                       {"AllowUsers op\n", users("op"), checks.Pass, []string{"/" + sshdConfig + ":1"}},
		"named with an address":       {"AllowUsers op@10.0.0.0/8 bob\n", users("op", "bob"), checks.Pass, nil},
		"not set":                     {"", users(), checks.Fail, []string{"not set"}},
		"not set, which may be":       {"", optional(), checks.NotApplicable, []string{"not set"}},
		"optional, yet wrong":         {"AllowUsers op bob\nAllowGroups wheel\n", optional(), checks.Fail, []string{"bob, whom AllowGroups shuts out"}},
		"one missing":                 {"AllowUsers op\n", users("op", "bob"), checks.Fail, []string{"/" + sshdConfig + ":1", "bob is not a user"}},
		"a pattern":                   {"AllowUsers o*\n", users(), checks.Fail, []string{"no one user"}},
		"no such account":             {"AllowUsers op nosuch\n", users(), checks.Fail, []string{"nosuch, which is no account"}},
		"10 shut out by AllowGroups":  {"AllowUsers op bob\nAllowGroups wheel\n", users(), checks.Fail, []string{"bob, whom AllowGroups shuts out"}},
		"10 both let them through":    {"AllowUsers op bob\nAllowGroups ssh_login_group\n", users("bob", "op"), checks.Pass, nil},
		"one too many":                {"AllowUsers op root\n", users("op"), checks.Fail, []string{"root is a user whom AllowUsers names"}},
		"04 widened by a later line":  {"AllowUsers op\nAllowUsers bob\n", users("op"), checks.Fail, []string{"bob"}},
		"taken away by a Match block": {"AllowUsers op\nMatch LocalPort 22\nAllowUsers *\n", users("op"), checks.Fail, []string{"no one user"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, c.look, hostTree(t, files{sshdConfig: c.config}), c.want, c.says...)
		})
	}
}

func TestUsePAM(t *testing.T) {
	t.Parallel()
	look := func(want, decided string) look {
		return func(ctx context.Context, h *host.Host) (checks.Verdict, error) {
			return usePAM(ctx, h, usePAMParams{want, decided})
		}
	}
	h := hostTree(t, files{})
	expect(t, look("any", "any"), h, checks.NotApplicable)
	expect(t, look("yes", "any"), h, checks.Pass, "/"+sshdConfig+":3")
	expect(t, look("no", "any"), h, checks.Fail, "login uid", "locked with !", "Red Hat", "/etc/shadow:0 bob")
	expect(t, look("no", "yes"), h, checks.NotApplicable, "decided for UsePAM yes")
	expect(t, look("no", "no"), h, checks.Fail)
	expect(t, look("no", "any"), hostTree(t, files{sshdConfig: ""}), checks.Pass, "built-in default")
}

func TestServers(t *testing.T) {
	t.Parallel()
	boot := "etc/systemd/system/default.target"
	for name, c := range map[string]struct {
		files files
		want  checks.Status
		says  []string
	}{
		"one":                        {files{}, checks.Pass, []string{"OpenSSH_9.2p1"}},
		"none":                       {files{"usr/sbin/sshd": "absent"}, checks.NotApplicable, nil},
		"15 dropbear for the initrd": {files{"usr/sbin/dropbear": "x", boot: "[Unit]\n"}, checks.Pass, []string{"/usr/sbin/dropbear", "not started"}},
		"15 tinysshd from elsewhere": {files{boot: "[Unit]\nWants=tinysshd.socket\n",
			"etc/systemd/system/tinysshd.socket": "[Socket]\nListenStream=2222\nAccept=yes\n", "etc/systemd/system/tinysshd@.service": "[Service]\nExecStart=/opt/sshd\n"}, checks.Fail, []string{"tinysshd.socket"}},
		"15 dropbear at boot": {files{"usr/sbin/sshd": "absent", "usr/sbin/dropbear": "x", boot: "[Unit]\nWants=dropbear.service\n",
			"usr/lib/systemd/system/dropbear.service": "[Service]\nExecStart=/usr/sbin/dropbear\n"}, checks.Fail, []string{"dropbear.service"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, servers, hostTree(t, c.files), c.want, c.says...)
		})
	}
	// Then nothing can be said about the logins either.
	h := hostTree(t, files{"usr/sbin/sshd": "absent", "usr/sbin/dropbear": "x", boot: "[Unit]\nWants=dropbear.service\n",
		"usr/lib/systemd/system/dropbear.service": "[Service]\nExecStart=/usr/sbin/dropbear\n"})
	expect(t, logins(everyone), h, checks.Error, "dropbear.service")
}

func TestCombine(t *testing.T) {
	t.Parallel()
	e := func(s string) checks.Evidence { return checks.Evidence{Source: s} }
	pass, fail, na := checks.Passed(e("p")), checks.Failed("f", e("f")), checks.Inapplicable("n")
	for _, c := range []struct {
		in   []checks.Verdict
		want checks.Status
	}{
		{[]checks.Verdict{pass, fail}, checks.Fail}, {[]checks.Verdict{fail, pass}, checks.Fail},
		{[]checks.Verdict{na, pass}, checks.Pass}, {[]checks.Verdict{pass, na}, checks.Pass}, {[]checks.Verdict{na, na}, checks.NotApplicable},
	} {
		if got := combine(c.in); got.Status != c.want {
			t.Errorf("%v: %v", c.in, got.Status)
		}
	}
}

// On this machine, whatever its configuration: sshd itself and we agree, and
// no look fails.
func TestAgreesWithThisMachinesSSHD(t *testing.T) {
	lab.Need(t, lab.SSHD, lab.Root)
	h := host.New(host.Options{})
	says, err := h.SSHDSays(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for d, w := range says {
		if w.Err != nil || w.Refusal != "" || len(w.Disagree) > 0 || w.Points == 0 {
			t.Errorf("%s %q: %+v", d.Path, d.Args, w)
		}
	}
	for _, l := range []look{logins(everyone), logins(onlyRoot), has("PasswordAuthentication", "no"), group(""), users(), servers} {
		if _, err := l(t.Context(), h); err != nil {
			t.Error(err)
		}
	}
}

// The second witness: sshd says of a keyword what we do not.
func TestDisagreementIsAnError(t *testing.T) {
	t.Parallel()
	differ := host.Disagreement{Keyword: "passwordauthentication", Ours: "no", Theirs: "yes"}
	for name, c := range map[string]struct {
		w    *host.SSHDWitness
		want string
	}{
		"not asked":              {nil, "not asked"},
		"could not be asked":     {&host.SSHDWitness{Err: errors.New("no sshd")}, "no sshd"},
		"refused":                {&host.SSHDWitness{Refusal: "line 3: bad"}, "the two disagree"},
		"another value":          {&host.SSHDWitness{Disagree: []host.Disagreement{differ}}, "about passwordauthentication"},
		"the same":               {&host.SSHDWitness{}, ""},
		"of what does not count": {&host.SSHDWitness{Disagree: []host.Disagreement{{Keyword: "ciphers"}}}, ""},
	} {
		seen, err := agree(c.w, []string{"passwordauthentication"})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "another value" && (len(seen) != 2 || seen[0].Got != "no" || seen[1].Got != "yes") {
			t.Errorf("%s: both must be shown: %+v", name, seen)
		}
	}
}

func TestHardCase13DaemonOlderThanItsFile(t *testing.T) {
	t.Parallel()
	read := time.Now().Add(-time.Hour)
	for name, c := range map[string]struct {
		age  daemonAge
		want checks.Status
	}{
		"older file":          {daemonAge{read: read, changed: read.Add(-time.Minute)}, checks.Pass},
		"younger file":        {daemonAge{read: read, changed: read.Add(time.Minute), by: "/etc/ssh/sshd_config"}, checks.Fail},
		"within a clock tick": {daemonAge{read: read, changed: read.Add(5 * time.Millisecond)}, checks.Pass},
		"program replaced":    {daemonAge{read: read, changed: read.Add(-time.Minute), replaced: true}, checks.Fail},
	} {
		if v := judgeCurrent([]daemonAge{c.age}); v.Status != c.want || len(v.Evidence) == 0 {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	many := slices.Repeat([]string{"x"}, 20)
	if got := nameList(many); !strings.HasSuffix(got, "and 12 more") {
		t.Error(got)
	}
}
