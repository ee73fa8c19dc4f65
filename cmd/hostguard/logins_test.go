package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

// A loginHost is sshd's configuration and accounts of one host, and logins with
// what becomes of them, said by hand.
type loginHost struct {
	name     string
	config   string            // of sshd; its host key and PidFile are there already
	accounts []loginAccount    // besides those of the system
	groups   string            // lines of /etc/group besides the accounts' own, {NAME} is an account's gid
	files    map[string]string // others that differ, by path; "" takes a file away
	setup    string            // a shell script, run in the host last; {KEY} is a public key
	tries    string            // see loginTry
}

// A loginAccount is a user with a home and a file of keys.
type loginAccount struct {
	name   string
	shadow string // password and, where they are not the usual, the fields after it; "" is "*"
	shell  string // "" is /bin/sh
	gid    string // primary group; "" is its own
	home   string // "" is below /home, and made
	keys   string // its authorized_keys; {KEY} is a public key; "" for no file
}

// The password of the accounts that have one, and what shadow(5) holds of it.
const (
	loginPassword = "open sesame"
	passwordHash  = "$6$labsalt$dU4fNAxtR01LTiNngG/Fpq8pZGPnPaHeQSihuF4w89pv1hJ2reoIbzYF6kCPzsqaa6gy2fvOJ9AaNEggmKYO21"
)

// A loginTry is one line of a host's tries: ACCOUNT WITH BECOMES [NAME=VALUE…].
//
// WITH is the name of a key, password, keyboard-interactive, nothing, or several
// with +. BECOMES is in (a session), no (sshd refuses to authenticate) or after
// (the methods suffice, and there is no session all the same). from= is the
// client's address, to= the host's, port= the host's port, host= the client's
// name if sshd looks it up; sftp asks for that subsystem in place of a command.
// unknown says that hostguard must leave open which keys let in; maybe that it may
// hold the login for possible, since another certificate may let in, or since it
// does not look so far; notjudged that it must say that something else decides, too.
type loginTry struct {
	account, with, becomes string
	from, to, port, host   string
	sftp                   bool
	unknown, maybe         bool
	notJudged              bool
}

func parseTries(t *testing.T, text string) []loginTry {
	t.Helper()
	var out []loginTry
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) < 3 {
			t.Fatalf("a login wants three words: %q", line)
		}
		try := loginTry{account: f[0], with: f[1], becomes: f[2], from: "192.0.2.1", to: "192.0.2.2", port: "22"}
		for _, option := range f[3:] {
			name, value, _ := strings.Cut(option, "=")
			switch name {
			case "from":
				try.from = value
			case "to":
				try.to = value
			case "port":
				try.port = value
			case "host":
				try.host = value
			case "sftp":
				try.sftp = true
			case "unknown":
				try.unknown = true
			case "maybe":
				try.maybe = true
			case "notjudged":
				try.notJudged = true
			default:
				t.Fatalf("a login has no %q", option)
			}
		}
		out = append(out, try)
	}
	return out
}

func (l loginTry) String() string {
	return fmt.Sprintf("%s with %s from %s to %s port %s", l.account, l.with, l.from, l.to, l.port)
}

// loginLab is a booted host that is made one host of the table after the other.
type loginLab struct {
	*lab.Host
	keys            *keyRing
	passwd, group   string
	shadow, gshadow string
}

// keyRing holds key pairs by name, as files of this machine.
type keyRing struct {
	dir    string
	public map[string]string
}

// newKeyRing makes the keys and certificates of the table.
func newKeyRing(t *testing.T) *keyRing {
	t.Helper()
	k := &keyRing{dir: t.TempDir(), public: map[string]string{}}
	keygen := func(args ...string) {
		if r := lab.Exec(t, append([]string{"ssh-keygen", "-q"}, args...)...); r.Code != 0 {
			t.Fatalf("ssh-keygen %q: %s%s", args, r.Stdout, r.Stderr)
		}
	}
	for name, kind := range map[string]string{
		"ed": "-t ed25519", "other": "-t ed25519", "ecdsa": "-t ecdsa", "rsa1024": "-t rsa -b 1024", "rsa2048": "-t rsa -b 2048", "dsa": "-t dsa",
		"ca": "-t ed25519", "cert": "-t ed25519", "certother": "-t ed25519", "certold": "-t ed25519", "certfrom": "-t ed25519", "certhost": "-t ed25519", "certany": "-t ed25519",
	} {
		keygen(append(strings.Fields(kind), "-N", "", "-C", name, "-f", k.path(name))...)
	}
	for name, options := range map[string]string{
		"cert":      "-n alice,web",
		"certother": "-n somebody",
		"certold":   "-n alice -V 20200101:20200201",
		"certfrom":  "-n alice -O source-address=198.51.100.0/24",
		"certhost":  "-n alice -h",
		"certany":   "", // no principals: in OpenSSH valid for any
	} {
		keygen(append(append([]string{"-s", k.path("ca"), "-I", name}, strings.Fields(options)...), k.path(name)+".pub")...)
	}
	keygen("-k", "-f", k.path("revoked.krl"), k.path("ed")+".pub")
	files, err := filepath.Glob(k.path("*.pub"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		k.public[strings.TrimSuffix(filepath.Base(file), ".pub")] = strings.TrimSpace(string(text))
	}
	return k
}

func (k *keyRing) path(name string) string { return filepath.Join(k.dir, name) }

// fill puts public keys where a text names them in braces.
func (k *keyRing) fill(text string) string {
	for name, public := range k.public {
		text = strings.ReplaceAll(text, "{"+name+"}", public)
	}
	return text
}

// askpass answers every question for a password.
const askpass = "#!/bin/sh\necho '" + loginPassword + "'\n"

// bootLogins boots a host that can be reached from several addresses. What
// takes a login long there and decides nothing is left out: the pause after a
// wrong password, and logind.
func bootLogins(t *testing.T, keys *keyRing) *loginLab {
	t.Helper()
	edit := func(h *lab.Host, path string, pairs ...string) {
		h.WriteFile(path, strings.NewReplacer(pairs...).Replace(h.ReadFile(path)))
	}
	h := lab.Boot(t, lab.Before(func(h *lab.Host) {
		edit(h, "/etc/pam.d/common-auth", "pam_unix.so nullok", "pam_unix.so nullok nodelay")
		edit(h, "/etc/pam.d/common-session", "session\toptional\tpam_systemd.so", "#")
		h.WriteFile("/etc/systemd/system/ssh.service.d/lab.conf", "[Unit]\nStartLimitIntervalSec=0\n")
		h.WriteFile("/etc/hosts", h.ReadFile("/etc/hosts")+"198.51.100.7 partner.example.org\n")
		h.Must("systemctl", "disable", "docker.service", "docker.socket", "chrony.service", "auditd.service", "cron.service", "nginx.service")
	}))
	h.Install(lab.Binary(t), "/usr/local/bin/hostguard")
	for _, address := range []string{"192.0.2.3/24", "198.51.100.2/24", "2001:db8::2/64", "fe80::2/64"} {
		h.Must("ip", "address", "add", address, "dev", "eth0", "nodad")
	}
	for _, address := range []string{"192.0.2.101/24", "198.51.100.7/24", "2001:db8::1/64", "fe80::1/64"} {
		if r := h.Outside("ip", "address", "add", address, "dev", "eth0", "nodad"); r.Code != 0 {
			t.Fatal(r.Stderr)
		}
	}
	for _, name := range keysOf(keys) {
		for _, suffix := range []string{"", "-cert.pub"} {
			if text, err := os.ReadFile(keys.path(name) + suffix); err == nil {
				h.WriteFileMode(filepath.Join("/srv/keys", name+suffix), string(text), 0o600)
			}
		}
	}
	revoked, err := os.ReadFile(keys.path("revoked.krl"))
	if err != nil {
		t.Fatal(err)
	}
	h.WriteFile("/etc/ssh/revoked.krl", string(revoked))
	h.WriteFileMode("/srv/keys/askpass", askpass, 0o755)
	if err := os.WriteFile(keys.path("askpass"), []byte(askpass), 0o755); err != nil {
		t.Fatal(err)
	}
	return &loginLab{Host: h, keys: keys, passwd: h.ReadFile("/etc/passwd"), group: h.ReadFile("/etc/group"),
		shadow: h.ReadFile("/etc/shadow"), gshadow: h.ReadFile("/etc/gshadow")}
}

func keysOf(k *keyRing) []string {
	var names []string
	for name := range k.public {
		if !strings.HasSuffix(name, "-cert") {
			names = append(names, name)
		}
	}
	return names
}

// become makes the lab the host.
func (l *loginLab) become(t *testing.T, host loginHost) {
	t.Helper()
	h := l.For(t)
	h.Must("sh", "-c", "rm -rf /home/* /root/.ssh /srv/site")
	passwd, shadow, group := l.passwd, l.shadow, l.group
	ids := []string{}
	for i, a := range host.accounts {
		id := strconv.Itoa(2000 + i)
		ids = append(ids, "{"+a.name+"}", id)
		gid, home, shell := a.gid, a.home, a.shell
		if gid == "" {
			gid = id
			group += fmt.Sprintf("%s:x:%s:\n", a.name, id)
		}
		if shell == "" {
			shell = "/bin/sh"
		}
		hash := a.shadow
		if hash == "" {
			hash = "*"
		}
		if hash == "empty" {
			hash = ""
		}
		if !strings.Contains(hash, ":") {
			hash += ":19000:0:99999:7:::"
		}
		if a.name == "root" {
			shadow = replaceLine(shadow, "root:", "root:"+hash)
		} else {
			uid := id
			if a.gid == "0" { // another name of root
				uid = "0"
			}
			if home == "" {
				home = "/home/" + a.name
			}
			passwd += fmt.Sprintf("%s:x:%s:%s::%s:%s\n", a.name, uid, gid, home, shell)
			shadow += a.name + ":" + hash + "\n"
		}
		l.giveHome(t, a, 2000+i)
	}
	group += strings.NewReplacer(ids...).Replace(host.groups)
	for path, content := range map[string]string{"/etc/passwd": passwd, "/etc/group": group} {
		h.WriteFile(path, content)
	}
	h.WriteFileMode("/etc/shadow", shadow, 0o640)
	subsystem := "Subsystem sftp /usr/lib/openssh/sftp-server\n" // as in Debian's file
	if strings.Contains(host.config, "Subsystem") {
		subsystem = ""
	}
	h.WriteFile("/etc/ssh/sshd_config", "HostKey /etc/ssh/ssh_host_ed25519_key\nPrintMotd no\nLogLevel VERBOSE\n"+subsystem+l.keys.fill(host.config))
	for path, content := range host.files {
		l.replace(t, path, l.keys.fill(content))
	}
	if host.setup != "" {
		h.Must("sh", "-euc", l.keys.fill(host.setup))
	}
	h.Must("systemctl", "restart", "ssh.service")
}

// replace writes a file until the end of the test.
func (l *loginLab) replace(t *testing.T, path, content string) {
	t.Helper()
	h := l.For(t)
	place := h.Path(path)
	before, err := os.ReadFile(place)
	t.Cleanup(func() {
		if err != nil {
			_ = os.Remove(place)
			return
		}
		if err := os.WriteFile(place, before, 0o644); err != nil {
			t.Error(err)
		}
	})
	if content == "" {
		h.Must("rm", "-f", path)
		return
	}
	h.WriteFile(path, content)
}

// giveHome makes the account's home and file of keys.
func (l *loginLab) giveHome(t *testing.T, a loginAccount, id int) {
	t.Helper()
	h := l.For(t)
	home := "/home/" + a.name
	if a.name == "root" {
		home, id = "/root", 0
	}
	if a.gid == "0" {
		id = 0
	}
	if a.home != "" {
		return
	}
	place := h.Path(home)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(place, 0o755))
	must(os.Chown(place, id, id))
	if a.keys == "" {
		return
	}
	dir := filepath.Join(place, ".ssh")
	must(os.MkdirAll(dir, 0o700))
	must(os.Chown(dir, id, id))
	file := filepath.Join(dir, "authorized_keys")
	must(os.WriteFile(file, []byte(l.keys.fill(a.keys)+"\n"), 0o600))
	must(os.Chown(file, id, id))
}

func replaceLine(text, prefix, line string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		if strings.HasPrefix(lines[i], prefix) {
			lines[i] = line
		}
	}
	return strings.Join(lines, "\n")
}

// attempt logs in with the real client and says what became of it.
func (l *loginLab) attempt(t *testing.T, try loginTry) (becomes, said string) {
	t.Helper()
	h := l.For(t)
	inside := strings.HasPrefix(try.from, "127.") || try.from == "::1" || try.from == try.to
	dir := l.keys.dir
	if inside {
		dir = "/srv/keys"
	}
	args := []string{"env", "SSH_ASKPASS=" + dir + "/askpass", "SSH_ASKPASS_REQUIRE=force",
		"ssh", "-v", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=/dev/null",
		"-o", "IdentitiesOnly=yes", "-o", "NumberOfPasswordPrompts=1", "-o", "ConnectTimeout=20",
		"-o", "PubkeyAcceptedAlgorithms=+ssh-rsa,ssh-dss", "-o", "RequiredRSASize=1024",
		"-o", "KexAlgorithms=curve25519-sha256", "-o", "BindAddress=" + try.from, "-p", try.port}
	var methods []string
	for with := range strings.SplitSeq(try.with, "+") {
		switch with {
		case "nothing":
		case "password", "keyboard-interactive":
			methods = append(methods, with)
		default:
			if l.keys.public[with] == "" {
				t.Fatalf("there is no key %q", with)
			}
			methods = append(methods, "publickey")
			args = append(args, "-i", filepath.Join(dir, with))
			if l.keys.public[with+"-cert"] != "" {
				args = append(args, "-o", "CertificateFile="+filepath.Join(dir, with+"-cert.pub"))
			}
		}
	}
	for _, off := range []struct{ method, option string }{
		{"publickey", "PubkeyAuthentication"}, {"password", "PasswordAuthentication"}, {"keyboard-interactive", "KbdInteractiveAuthentication"},
	} {
		if !strings.Contains(strings.Join(methods, " "), off.method) {
			args = append(args, "-o", off.option+"=no")
		}
	}
	if try.sftp {
		args = append(args, "-s", try.account+"@"+try.to, "sftp")
	} else {
		args = append(args, try.account+"@"+try.to, "true")
	}
	run := h.Outside
	if inside {
		run = h.Run
	}
	r := run(args...)
	switch {
	case r.Code == 0:
		return "in", r.Stderr
	case strings.Contains(r.Stderr, "Authenticated to "), strings.Contains(r.Stderr, "Connection closed by"):
		return "after", r.Stderr
	case strings.Contains(r.Stderr, "Permission denied"), strings.Contains(r.Stderr, "Too many authentication failures"):
		return "no", r.Stderr
	}
	return fmt.Sprintf("code %d", r.Code), r.Stderr
}

// TestRealLogins tries every login of the table with a real client against the
// real sshd of a booted host.
func TestRealLogins(t *testing.T) {
	lab.Need(t, lab.Booted, lab.SSHD)
	keys := newKeyRing(t)
	hosts := loginHosts()
	const boots = 2
	for part := range boots {
		t.Run(strconv.Itoa(part), func(t *testing.T) {
			t.Parallel()
			l := bootLogins(t, keys)
			for i := part; i < len(hosts); i += boots {
				t.Run(hosts[i].name, func(t *testing.T) { l.try(t, hosts[i]) })
			}
		})
	}
}

// try makes the host and tries its logins.
func (l *loginLab) try(t *testing.T, host loginHost) {
	l.become(t, host)
	tries := parseTries(t, host.tries)
	if os.Getenv(allLoginsVariable) != "" {
		tries = append(tries, everyOtherTry(host, tries)...)
	}
	became, said := make([]string, len(tries)), make([]string, len(tries))
	const atOnce = 2
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, try := range tries {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			became[i], said[i] = l.attempt(t, try)
		})
	}
	wg.Wait()
	t.Logf("%d logins", len(tries))
	for i, try := range tries {
		if try.becomes == "" {
			tries[i].becomes = became[i]
			continue
		}
		if became[i] != try.becomes {
			t.Errorf("%v: becomes %q, want %q:\n%s", try, became[i], try.becomes, lastOf(said[i], 12))
		}
	}
	l.compare(t, host, tries)
}

// allLoginsVariable names the environment variable with which each account of a
// host tries everything it has from each point, not only what stands in the
// table (make proof).
const allLoginsVariable = "HOSTGUARD_ALL_LOGINS"

// everyOtherTry are the logins that the table does not name: each account, from
// and to wherever another one comes, with each of its keys, with a key that it
// does not have, and with each kind of password. What becomes of them is not
// known before.
func everyOtherTry(host loginHost, tries []loginTry) []loginTry {
	var out []loginTry
	known := map[loginTry]bool{}
	open := map[string]bool{} // accounts of which hostguard cannot tell all
	sftp := map[string]bool{}
	var points []loginTry
	for _, try := range tries {
		known[loginTry{account: try.account, with: try.with, from: try.from, to: try.to, port: try.port, host: try.host, sftp: try.sftp}] = true
		open[try.account] = open[try.account] || try.maybe || try.notJudged || try.unknown
		sftp[try.account] = sftp[try.account] || try.sftp
		if point := (loginTry{from: try.from, to: try.to, port: try.port, host: try.host}); !slices.Contains(points, point) {
			points = append(points, point)
		}
	}
	if strings.Contains(host.config, "PermitEmptyPasswords yes") {
		// A client's first request asks with an empty password, and what sshd makes
		// of the old password of an account stays with the session that a key opens.
		return nil
	}
	for _, a := range host.accounts {
		if open[a.name] || strings.Contains(a.keys, "{ca}") || slices.Contains([]string{"/bin/true", "/bin/sync", "/srv/shells/odd"}, a.shell) {
			continue // what the certificate says, or the shell does, decides
		}
		withs := []string{"password", "keyboard-interactive", "nothing", "rsa2048"}
		for _, key := range []string{"ed", "other", "ecdsa", "rsa1024", "rsa2048", "dsa"} {
			if strings.Contains(a.keys, "{"+key+"}") && !slices.Contains(withs, key) {
				withs = append(withs, key)
				if strings.Count(a.keys, "{") == 1 {
					withs = append(withs, key+"+password")
				}
			}
		}
		for _, point := range points {
			for _, with := range withs {
				try := point
				try.account, try.with, try.sftp = a.name, with, sftp[a.name] || strings.Contains(host.config, "internal-sftp")
				if !known[try] {
					out = append(out, try)
				}
			}
		}
	}
	return out
}

func lastOf(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// loginMatrix is what show sshd --matrix --format json says of one point.
type loginMatrix struct {
	Accounts []struct {
		Name     string   `json:"name"`
		Password string   `json:"password"`
		CanLogIn bool     `json:"can_log_in"`
		WhyNot   []string `json:"why_not"`
	} `json:"accounts"`
	Cells     []loginCell `json:"cells"`
	NotJudged []string    `json:"not_judged"`
}

type loginCell struct {
	Account       string     `json:"account"`
	Point         int        `json:"point"`
	Ways          [][]string `json:"ways"`
	Keys          *int       `json:"keys"`
	KeysUnknown   string     `json:"keys_unknown"`
	Refused       string     `json:"refused"`
	AfterAuth     string     `json:"after_auth"`
	AfterPassword string     `json:"after_password"`
	Open          bool       `json:"open"`

	password     string
	emptyAllowed bool
}

// matrix asks hostguard about a try's connection: for its account alone, or for all.
func (l *loginLab) matrix(t *testing.T, try loginTry, alone bool) loginMatrix {
	t.Helper()
	args := []string{"hostguard", "show", "sshd", "--matrix", "--format", "json", "--addr", try.from, "--laddr", try.to, "--lport", try.port}
	if try.host != "" {
		args = append(args, "--host", try.host)
	}
	if alone {
		args = append(args, "--user", try.account)
	} else {
		args = append(args, "--all-accounts")
	}
	r := l.For(t).Run(args...)
	var m loginMatrix
	if err := json.Unmarshal([]byte(r.Stdout), &m); err != nil || r.Code != 0 {
		t.Fatalf("%q ends with %d: %v\n%s%s", args, r.Code, err, r.Stdout, r.Stderr)
	}
	return m
}

// cell finds an account's; there is one point.
func (m loginMatrix) cell(t *testing.T, account string) (loginCell, bool) {
	t.Helper()
	var found []loginCell
	for _, c := range m.Cells {
		if c.Account == account {
			found = append(found, c)
		}
	}
	if len(found) > 1 {
		t.Fatalf("%d cells for %s on one point", len(found), account)
	}
	for _, a := range m.Accounts {
		if a.Name == account && len(found) == 1 {
			found[0].password = a.Password
			return found[0], true
		}
	}
	return loginCell{}, false
}

// opens reports whether, as the cell has it, there is a session for somebody
// who has the account's keys, or those given, and the methods of a try.
func (c loginCell) opens(try loginTry) bool {
	has := strings.Split(try.with, "+")
	keys := 0
	for _, h := range has {
		if h != "password" && h != "keyboard-interactive" && h != "nothing" {
			keys++
		}
	}
	return c.Refused == "" && c.AfterAuth == "" && slices.ContainsFunc(c.Ways, func(way []string) bool {
		needed := 0
		for _, m := range way {
			switch m {
			case "publickey":
				needed++
			case "password", "keyboard-interactive":
				if !slices.Contains(has, m) || c.password != "set" && (c.password != "empty" || !c.emptyAllowed) || c.AfterPassword != "" {
					return false
				}
			case "none":
				if c.password != "empty" {
					return false
				}
			default:
				return false
			}
		}
		return needed <= keys && (c.Keys == nil || needed <= *c.Keys)
	})
}

// compare holds what became of the tries against what hostguard says: what it
// says is possible succeeds, and nothing else does.
func (l *loginLab) compare(t *testing.T, host loginHost, tries []loginTry) {
	t.Helper()
	alone := !slices.ContainsFunc(tries, func(try loginTry) bool { return try.account != tries[0].account })
	matrices := map[loginTry]loginMatrix{}
	works := map[loginTry]map[string]bool{} // keys, by account and point
	for _, try := range tries {
		point := loginTry{from: try.from, to: try.to, port: try.port, host: try.host}
		m, ok := matrices[point]
		if !ok {
			m = l.matrix(t, try, alone)
			matrices[point] = m
		}
		c, ok := m.cell(t, try.account)
		if !ok {
			if try.account != "nobody-there" {
				t.Errorf("%v: hostguard shows no such account", try)
			}
			continue
		}
		c.emptyAllowed = strings.Contains(host.config, "PermitEmptyPasswords yes")
		shown := func() string { text, _ := json.Marshal(c); return string(text) }
		_, isKey := l.keys.public[try.with]
		switch possible := c.opens(try); {
		case try.notJudged:
			if len(m.NotJudged) == 0 {
				t.Errorf("%v: hostguard does not say that something else decides, too", try)
			}
			continue
		case try.unknown && (c.Keys != nil || c.KeysUnknown == ""):
			t.Errorf("%v: hostguard says how many keys let in, and cannot know: %s", try, shown())
		case try.maybe && try.becomes == "in":
			t.Fatalf("%v: one that succeeds cannot be a maybe", try)
		case try.unknown || try.maybe:
			continue
		case c.Keys == nil:
			t.Errorf("%v: hostguard does not know the keys: %s", try, shown())
		case possible && try.becomes == "in" && c.Open, !possible && try.becomes != "in":
		case try.becomes == "in" && !c.Open:
			t.Errorf("%v: hostguard shows the cell as closed: %s", try, shown())
		case isKey && possible && *c.Keys > 0: // by another key of the account: counted below
		default:
			t.Errorf("%v: becomes %q, and hostguard has it possible: %v: %s", try, try.becomes, possible, shown())
		}
		if isKey && c.Refused == "" && slices.ContainsFunc(c.Ways, func(w []string) bool { return slices.Equal(w, []string{"publickey"}) }) {
			point.account = try.account
			if works[point] == nil {
				works[point] = map[string]bool{}
			}
			works[point][try.with] = try.becomes == "in" || try.becomes == "after" && c.AfterAuth != ""
		} else if try.becomes == "after" && !strings.Contains(try.with, "+") && c.Refused+c.AfterAuth+c.AfterPassword == "" {
			t.Errorf("%v: hostguard does not say why there is no session: %s", try, shown())
		}
	}
	for point, keys := range works {
		c, _ := matrices[loginTry{from: point.from, to: point.to, port: point.port, host: point.host}].cell(t, point.account)
		good, certificates := 0, false
		for name, ok := range keys {
			certificates = certificates || strings.HasPrefix(name, "cert")
			if ok {
				good++
			}
		}
		if c.Keys != nil && *c.Keys != good && (!certificates || (*c.Keys > 0) != (good > 0)) {
			t.Errorf("%s from %s to %s port %s: hostguard counts %d keys, and %d of %d let in", point.account, point.from, point.to, point.port, *c.Keys, good, len(keys))
		}
	}
}
