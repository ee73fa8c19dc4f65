package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/sshdconf"
)

// sshdPoint is a connection, and what must be among sshd's lines for it.
type sshdPoint struct {
	conn sshdconf.Connection
	want []string // whole lines; with a leading "!" none that starts so
}

// hardCase is a configuration that is easily misread.
type hardCase struct {
	name    string
	files   map[string]string // below /etc/ssh
	args    []string
	points  []sshdPoint
	refused string // the place that sshd names first
}

const includeDropIns = "Include /etc/ssh/sshd_config.d/*.conf\n"

func hardCases() []hardCase {
	plain := sshdconf.Connection{}
	from := func(user, addr string) sshdconf.Connection { return sshdconf.Connection{User: user, Addr: addr} }
	one := func(want ...string) []sshdPoint { return []sshdPoint{{plain, want}} }
	chain := func(n int) map[string]string {
		files := map[string]string{"sshd_config": "Include /etc/ssh/chain1\n"}
		for i := 1; i < n; i++ {
			files[fmt.Sprintf("chain%d", i)] = fmt.Sprintf("Include /etc/ssh/chain%d\n", i+1)
		}
		files[fmt.Sprintf("chain%d", n)] = "MaxSessions 3\n"
		return files
	}
	return []hardCase{
		{"HardCase01FirstValueWins", map[string]string{
			"sshd_config": includeDropIns + "PasswordAuthentication no\n", "sshd_config.d/50-cloud-init.conf": "PasswordAuthentication yes\n",
			"sshd_config.d/99-hardening.conf": "PasswordAuthentication no\n",
		}, nil, one("passwordauthentication yes"), ""},
		{"HardCase02IncludeInLexicalOrder", map[string]string{
			"sshd_config": "Include sshd_config.d/*.conf nothing/*.conf /etc/ssh/nowhere\n", "sshd_config.d/9-a.conf": "MaxSessions 9\nPort 9\n",
			"sshd_config.d/10-b.conf": "MaxSessions 10\nPort 10\n", "sshd_config.d/.hidden.conf": "Port 1\n", "sshd_config.d/x.cfg": "Port 2\n",
		}, nil, one("maxsessions 10", "port 10", "port 9", "!port 1\n", "!port 2\n"), ""},
		{"HardCase02SixteenNested", chain(16), nil, one("maxsessions 3"), ""},
		{"HardCase02SeventeenNested", chain(17), nil, nil, "/etc/ssh/chain16:1"},
		{"HardCase03KeywordBeforeInclude", map[string]string{
			"sshd_config": "PermitRootLogin yes\n" + includeDropIns, "sshd_config.d/x.conf": "PermitRootLogin no\n",
		}, nil, one("permitrootlogin yes"), ""},
		{"HardCase04ListsAccumulate", map[string]string{
			"sshd_config":          "AllowGroups one\n" + includeDropIns + "AllowGroups two\nMatch User root\nAllowGroups three\nMatch Address 10.0.0.0/8\nAllowGroups four\n",
			"sshd_config.d/x.conf": "AllowGroups narrow\n",
		}, nil, []sshdPoint{
			{from("daemon", "192.0.2.1"), []string{"allowgroups one", "allowgroups narrow", "allowgroups two", "!allowgroups t\n"}},
			{from("root", "192.0.2.1"), []string{"allowgroups three", "!allowgroups one"}},
			{from("root", "10.0.0.1"), []string{"allowgroups three", "allowgroups four", "!allowgroups one"}},
		}, ""},
		{"HardCase05MatchFirstSatisfiedWins", map[string]string{
			"sshd_config": includeDropIns + "Match User !root,* Group daemon,!adm\nBanner /1\nMatch Address 10.0.0.0/8,!10.1.0.0/16\nBanner /2\nMatch Host *.Example.org LocalPort 2222\nBanner /3\n" +
				"Match LocalAddress ::1 RDomain red\nBanner /4\nMatch User bin\nInclude /etc/ssh/e/inner.conf\nMatch all\nBanner /all\n",
			"sshd_config.d/m.conf": "Match User sshd\nBanner /0\n", "e/inner.conf": "Banner /5\nMatch Address 192.0.2.9\nMaxAuthTries 1\n",
		}, nil, []sshdPoint{
			{sshdconf.Connection{User: "sshd", Addr: "10.2.3.4", LocalPort: 22}, []string{"banner /0"}},
			{sshdconf.Connection{User: "daemon", Addr: "10.2.3.4", LocalPort: 22}, []string{"banner /1"}},
			{sshdconf.Connection{User: "root", Addr: "10.2.3.4", LocalPort: 22}, []string{"banner /2"}},
			{sshdconf.Connection{User: "root", Addr: "10.1.3.4", LocalPort: 22}, []string{"banner /all"}},
			{sshdconf.Connection{User: "root", Host: "a.EXAMPLE.org", LocalPort: 2222}, []string{"banner /3"}},
			{sshdconf.Connection{User: "root", LocalAddr: "::1", RDomain: "red", LocalPort: 22}, []string{"banner /4"}},
			{sshdconf.Connection{User: "bin", Addr: "192.0.2.9", LocalPort: 22}, []string{"banner /5", "maxauthtries 1"}},
			{sshdconf.Connection{User: "bin", Addr: "192.0.2.1", LocalPort: 22}, []string{"banner /5", "maxauthtries 6"}},
		}, ""},
		{"HardCase05NoExec", map[string]string{"sshd_config": "Port 22\nMatch exec /bin/true\nBanner x\n"}, nil, nil, "/etc/ssh/sshd_config:2"},
		{"HardCase05MatchAllWithOthers", map[string]string{"sshd_config": "Match all user root\n"}, nil, nil, "/etc/ssh/sshd_config:1"},
		{"HardCase05GlobalKeywordInMatch", map[string]string{"sshd_config": "Match User x\nUsePAM no\n"}, nil, nil, "/etc/ssh/sshd_config:2"},
		{"HardCase06LineAfterMatchBelongsToIt", map[string]string{
			"sshd_config": "Match User sshd\nX11Forwarding no\n\n# appended by a script\nPasswordAuthentication no\n",
		}, nil, []sshdPoint{{from("root", "10.0.0.1"), []string{"passwordauthentication yes"}}, {from("sshd", "10.0.0.1"), []string{"passwordauthentication no"}}}, ""},
		{"HardCase07BareLeavesMatchOut", map[string]string{
			"sshd_config": "PasswordAuthentication no\nMatch User root\nPasswordAuthentication yes\nMatch all\nBanner /all\n",
		}, nil, []sshdPoint{{plain, []string{"passwordauthentication no", "banner /all"}}, {from("root", "10.0.0.1"), []string{"passwordauthentication yes", "banner /all"}}}, ""},
		{"HardCase08ChallengeResponse", map[string]string{"sshd_config": "ChallengeResponseAuthentication no\nPasswordAuthentication no\nUsePAM yes\n"},
			nil, one("kbdinteractiveauthentication no", "passwordauthentication no"), ""},
		{"HardCase08PasswordOffLeavesInteractive", map[string]string{"sshd_config": "PasswordAuthentication no\nUsePAM yes\n"},
			nil, one("kbdinteractiveauthentication yes", "passwordauthentication no"), ""},
		{"HardCase09KeyOnlyByMethods", map[string]string{"sshd_config": "AuthenticationMethods publickey\nPasswordAuthentication yes\n"},
			nil, one("authenticationmethods publickey", "passwordauthentication yes"), ""},
		{"HardCase09MethodsNeedWhatIsOff", map[string]string{"sshd_config": "AuthenticationMethods publickey,password\nPasswordAuthentication no\n"}, nil, nil, "?"},
		{"HardCase10AllowUsersAndAllowGroups", map[string]string{"sshd_config": "AllowUsers root\nAllowGroups daemon nosuchgroup\nMatch Group daemon\nBanner /primary\nMatch Group nosuchgroup\nBanner /none\n"},
			nil, []sshdPoint{{from("daemon", "10.0.0.1"), []string{"allowusers root", "allowgroups daemon", "allowgroups nosuchgroup", "banner /primary"}}, {from("root", "10.0.0.1"), []string{"banner none"}}}, ""},
		{"HardCase11ProhibitPassword", map[string]string{"sshd_config": "PermitRootLogin prohibit-password\n"}, nil, one("permitrootlogin without-password"), ""},
		{"HardCase12Spelling", map[string]string{
			"sshd_config":         "PasswordAuthentication=no\r\n\tKbdInteractiveAuthentication\t=  \"no\"\r\n  usepam YES # a comment\r\n\"MaxSessions\" 4\n" + includeDropIns,
			"sshd_config.d/glued": "", "sshd_config.d/end.conf": "MaxAuthTries 3",
		}, nil, one("passwordauthentication no", "kbdinteractiveauthentication no", "usepam yes", "maxsessions 4", "maxauthtries 3"), ""},
		{"HardCase12ByteOrderMark", map[string]string{"sshd_config": "\ufeffPasswordAuthentication no\n"}, nil, nil, "/etc/ssh/sshd_config:1"},
		{"HardCase12QuoteNotClosed", map[string]string{"sshd_config": includeDropIns, "sshd_config.d/q.conf": "Port 22\nBanner \"x\n"}, nil, nil, "/etc/ssh/sshd_config.d/q.conf:2"},
		{"HardCase13OptionsOfTheUnit", map[string]string{"sshd_config": "PasswordAuthentication no\nPort 22\n"},
			[]string{"-o", "PasswordAuthentication yes", "-p", "2222"}, one("passwordauthentication yes", "port 2222", "!port 22\n"), ""},

		// What generated cases found.
		{"SetEnvInMatch", map[string]string{"sshd_config": "Match User root\nSetEnv A=1 # x\n"}, nil, []sshdPoint{{from("root", "10.0.0.1"), nil}}, ""},
		{"HalfANetBlockSize", map[string]string{"sshd_config": "PerSourceNetBlockSize 24\n"}, nil, one(), ""},
		{"DropInsIncludeTheirFolder", map[string]string{"sshd_config": includeDropIns + "Nonsense 1\n", "sshd_config.d/1.conf": "Port 22\n",
			"sshd_config.d/2.conf": includeDropIns + "Banner /x\n"}, nil, nil, "/etc/ssh/sshd_config:2"},
		{"DropInsIncludeTheirFolderForAConnection", map[string]string{"sshd_config": includeDropIns, "sshd_config.d/1.conf": "Port 22\n",
			"sshd_config.d/2.conf": includeDropIns + "Banner /x\n"}, nil, nil, "/etc/ssh/sshd_config.d/2.conf:1"},
		{"FirstDropInIncludesItsFolder", map[string]string{"sshd_config": includeDropIns, "sshd_config.d/1.conf": includeDropIns}, nil, nil, "/etc/ssh/sshd_config.d/1.conf:1"},
		{"InterfaceOfAnAddressThatHasNone", map[string]string{"sshd_config": "Match Address fe8::%lo/10,fe80::/10\nBanner /x\n"}, nil, one("banner none"), ""},
		{"NamesOfListenAddress", map[string]string{"sshd_config": "ListenAddress localhost\nListenAddress lab-multi:23\n"}, nil, one("listenaddress 127.0.0.1:22"), ""},
		{"NamesOfListenAddressInOneFamily", map[string]string{"sshd_config": "AddressFamily inet\nListenAddress localhost\nListenAddress LAB-multi\n"}, nil, one("listenaddress 10.1.2.4:22"), ""},
		{"NoClassOfTraffic", map[string]string{"sshd_config": "IPQoS 1.5K\n"}, nil, nil, "/etc/ssh/sshd_config:1"},
	}
}

// Each of the cases that a host auditor gets wrong, shown as sshd itself says it,
// and a value's origin is the line that sets it.
func TestShowSSHDHardCases(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.SSHD, lab.Root)
	tree := newSSHDTree(t)
	const hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n10.1.2.3 lab-multi\n10.1.2.4 lab-multi\n"
	if err := os.WriteFile(tree.real("/etc/hosts"), []byte(hosts), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, hard := range hardCases() {
		t.Run(hard.name, func(t *testing.T) {
			c := &sshdCase{t: t, tree: tree, files: map[string]string{}, args: hard.args}
			for name, text := range hard.files {
				c.files["/etc/ssh/"+name] = text
			}
			points := hard.points
			if hard.refused != "" {
				points = []sshdPoint{{}}
			}
			for _, p := range points {
				c.conn = p.conn
				accepted, diff := c.try()
				if diff != "" {
					t.Error(diff)
				}
				if accepted != (hard.refused == "") {
					t.Errorf("sshd accepts it: %v", accepted)
				}
				out, errs, _ := runCommand(append([]string{"show", "sshd", "--root", tree.root}, connectionFlagsOf(p.conn)...)...)
				if hard.refused != "" && hard.refused != "?" && !strings.Contains(errs, "sshd refuses its configuration: "+hard.refused+": ") {
					t.Errorf("%s is not named:\n%s", hard.refused, errs)
				}
				lines := strings.SplitAfter(out, "\n")
				for _, want := range p.want {
					start, no := strings.CutPrefix(want, "!")
					if has := slices.ContainsFunc(lines, func(l string) bool { return no && strings.HasPrefix(l, start) || !no && l == want+"\n" }); has == no {
						t.Errorf("%+v: %q: %v\n%s", p.conn, want, has, out)
					}
				}
			}
		})
	}
}

// HardCase07: that Match blocks are left out is said, and where they are.
func TestHardCase07BareShowSaysSo(t *testing.T) {
	t.Parallel()
	root := smallTree(t, map[string]string{"etc/ssh/sshd_config": "Match all\nBanner x\nMatch User root Address 10.0.0.0/8\nBanner y\n"})
	_, errs, code := runCommand("show", "sshd", "--root", root)
	if code != 0 || !strings.Contains(errs, "/etc/ssh/sshd_config:3") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	_, errs, _ = runCommand("show", "sshd", "--root", root, "--user", "root")
	if !strings.Contains(errs, "--addr is not given: Match address does not hold then (/etc/ssh/sshd_config:3)") {
		t.Error(errs)
	}
}

// Of an image that does not boot it cannot be told what listens: that matters to
// the forms that show it.
func TestHardCase13SocketOfAnImageThatDoesNotBoot(t *testing.T) {
	t.Parallel()
	root := smallTree(t, map[string]string{"etc/ssh/sshd_config": "", "usr/lib/systemd/system/ssh.socket": "[Socket]\nListenStream=22\n"})
	for want, args := range map[int][]string{exitOK: nil, exitIncomplete: {"--origin"}} {
		out, errs, code := runCommand(append([]string{"show", "sshd", "--root", root}, args...)...)
		if code != want || !strings.Contains(errs, "cannot tell whether ssh.socket listens") || !strings.Contains(out, "port 22") {
			t.Errorf("%q: exit code %d, %s", args, code, errs)
		}
	}
}

// HardCase14: what cannot be read is an error that names it, not a value.
func TestHardCase14UnreadableDropIn(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	root := smallTree(t, map[string]string{"etc/ssh/sshd_config": "Port 22\n" + includeDropIns, "etc/ssh/sshd_config.d/50-x.conf": "PasswordAuthentication yes\n"})
	if err := os.Chmod(filepath.Join(root, "etc/ssh/sshd_config.d/50-x.conf"), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := openTo(t, lab.Binary(t))
	for dir := root; strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", bin, "show", "sshd", "--root", root)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != exitIncomplete || out.Len() > 0 ||
		!strings.Contains(errs.String(), "/etc/ssh/sshd_config.d/50-x.conf (included at /etc/ssh/sshd_config:2)") {
		t.Errorf("exit code %d\n%s%s", code, out.String(), errs.String())
	}
}

// openTo copies a program to where anybody can run it.
func openTo(t *testing.T, program string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "hostguard-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	data, err := os.ReadFile(program)
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	name := filepath.Join(dir, "hostguard")
	if err == nil {
		err = os.WriteFile(name, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// HardCase15: without an sshd there is nothing to show, and another SSH server is
// named.
func TestHardCase15NoSSHD(t *testing.T) {
	t.Parallel()
	root := smallTree(t, map[string]string{"usr/sbin/sshd": ""})
	if err := os.Remove(filepath.Join(root, "usr/sbin/sshd")); err != nil {
		t.Fatal(err)
	}
	out, errs, code := runCommand("show", "sshd", "--root", root)
	if code != exitIncomplete || out != "" || !strings.Contains(errs, "no OpenSSH server is installed") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	root = smallTree(t, map[string]string{
		"etc/ssh/sshd_config": "", "usr/sbin/dropbear": "x", "usr/lib/systemd/system/default.target": "[Unit]\nWants=dropbear.service\n",
		"usr/lib/systemd/system/dropbear.service": "[Service]\nExecStart=/usr/sbin/dropbear\n",
	})
	if _, errs, code = runCommand("show", "sshd", "--root", root); code != 0 || !strings.Contains(errs, "dropbear.service is another SSH server") {
		t.Errorf("exit code %d\n%s", code, errs)
	}
}

// smallTree is the tree of a host with an sshd 9.2 and few files.
func smallTree(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	all := map[string]string{
		"etc/passwd":    "root:x:0:0:root:/root:/bin/bash\nop:x:1000:1000::/home/op:/bin/bash\n",
		"etc/group":     "root:x:0:\nop:x:1000:\nadm:x:4:op\n",
		"usr/sbin/sshd": "\x00OpenSSH_9.2p1 Debian-2\x00libpam.so.0\x00libgssapi_krb5.so\x00",
	}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}
