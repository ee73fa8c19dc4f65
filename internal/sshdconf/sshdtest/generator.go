// Package sshdtest makes configurations of sshd for tests, with what is needed to
// hold them against the real program.
package sshdtest

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hostguard/hostguard/internal/sshdconf"
)

// Generator makes configurations and connections out of a seed: the same of the
// same.
type Generator struct {
	*rand.Rand
	version sshdconf.Version
	drop    string
	nested  int
	Wild    bool // things are broken on purpose
}

// New returns the generator of a seed, for a release of sshd.
func New(seed uint64, v sshdconf.Version) *Generator {
	g := &Generator{Rand: rand.New(rand.NewPCG(seed, 0x55eed)), version: v}
	g.Wild = g.IntN(2) == 0
	return g
}

func (g *Generator) pick(s ...string) string { return s[g.IntN(len(s))] }

func (g *Generator) chance(percent int) bool { return g.IntN(100) < percent }

// Files returns the text of the files by their paths: dir/sshd_config, those in
// the folder dir/drop, which it may include, and others below dir.
func (g *Generator) Files(dir, drop string) map[string]string {
	g.drop = "/" + drop
	files := map[string]string{}
	names := []string{"10-a.conf", "9-b.conf", "50-cloud-init.conf", "99-z.conf", ".hidden.conf", "x.cfg", "20-c.conf"}
	for _, name := range names[:g.IntN(len(names)+1)] {
		files[filepath.Join(dir, drop, name)] = g.file(dir, 1)
	}
	if g.chance(20) {
		files[filepath.Join(dir, "e", "deep.conf")] = g.file(dir, 1)
	}
	if g.chance(4) { // a chain of inclusions around the limit
		n := 13 + g.IntN(6)
		for i := range n {
			text := fmt.Sprintf("Include %s/chain%d\n", dir, i+1)
			if i == n-1 {
				text = "MaxSessions 3\n"
			}
			files[fmt.Sprintf("%s/chain%d", dir, i)] = text
		}
	}
	text := g.file(dir, 0)
	if _, ok := files[dir+"/chain0"]; ok {
		text = "Include " + dir + "/chain0\n" + text
	}
	files[filepath.Join(dir, "sshd_config")] = text
	return files
}

func (g *Generator) file(dir string, depth int) string {
	var b strings.Builder
	end := "\n"
	if g.chance(6) {
		end = "\r\n"
	}
	if g.Wild && g.chance(2) {
		b.WriteString("\ufeff")
	}
	for range g.IntN(12) + 1 {
		switch n := g.IntN(100); {
		case n < 6:
			b.WriteString(g.pick("", "# a comment", "   ", "\t# x", "#PermitRootLogin yes", "\f", "\r", " \f"))
		case n < 18:
			b.WriteString(g.indent() + g.MatchLine())
		case n < 28 && depth < 2:
			b.WriteString(g.indent() + g.include(dir))
		default:
			b.WriteString(g.indent() + g.setting())
		}
		b.WriteString(end)
	}
	text := b.String()
	if g.chance(10) {
		text = strings.TrimSuffix(text, end)
	}
	if g.Wild && g.chance(30) {
		text = g.mutate(text)
	}
	return text
}

func (g *Generator) mutate(text string) string {
	for range g.IntN(3) + 1 {
		if len(text) == 0 {
			break
		}
		i := g.IntN(len(text))
		junk := g.pick(`"`, `'`, `\`, "=", " ", "#", "\t", "!", ",", "\x00", "\f", "-", "+", "0", "*", "@", "\n", "é", `\"`, "\v", ":")
		switch g.IntN(3) {
		case 0:
			text = text[:i] + junk + text[i:]
		case 1:
			text = text[:i] + text[i+1:]
		default:
			text = text[:i] + junk + text[i+1:]
		}
	}
	return text
}

func (g *Generator) indent() string {
	if g.chance(25) {
		return g.pick("  ", "\t", " \t ", "    ")
	}
	return ""
}

func (g *Generator) include(dir string) string {
	// Inclusion goes to deeper folders only, so that it ends; loops are their
	// own tests.
	g.nested++
	target := g.pick("/e/*.conf", "/e/deep.conf", "/none/*.conf", "/missing")
	if g.nested == 1 {
		target = g.drop + g.pick("/*.conf", "/*", "/9-b.conf", "/[15]0-*.conf", "/?-b.conf")
	}
	args := dir + target
	if below, ok := strings.CutPrefix(args, "/etc/ssh/"); ok && g.chance(30) {
		args = below
	}
	if g.chance(15) {
		args += " " + dir + g.pick("/missing", "/e/*", "/none")
	}
	if g.chance(10) {
		args = g.pick("sshd_config.d/nothing-*.conf", dir+"/e/"+`"deep.conf"`)
		if g.Wild {
			args = g.pick(`""`, "")
		}
	}
	return g.pick("Include ", "include ", "INCLUDE\t", "Include=") + args
}

// MatchLine returns a Match line.
func (g *Generator) MatchLine() string {
	if g.chance(12) {
		if g.Wild && g.chance(40) {
			return g.pick("Match all all", "Match user root all", "Match", "Match all user root")
		}
		return g.pick("Match all", "Match ALL", "match all", "Match all # all", "Match=all", `Match "all"`, "Match All ")
	}
	var parts []string
	for range 1 + g.IntN(2) + g.IntN(2)*g.IntN(2) {
		parts = append(parts, g.criterion())
	}
	line := g.pick("Match ", "match ", "MATCH ", "Match\t", "Match  ") + strings.Join(parts, g.pick(" ", " ", "  ", "\t"))
	if g.chance(8) {
		line += g.pick(" # why", " #", "#x", " ")
	}
	return line
}

func (g *Generator) criterion() string {
	neg := func(s string) string {
		if g.chance(20) {
			return "!" + s
		}
		return s
	}
	list := func(pool ...string) string {
		var out []string
		for range 1 + g.IntN(2) + g.IntN(2) {
			out = append(out, neg(g.pick(pool...)))
		}
		return strings.Join(out, ",")
	}
	sep := " "
	if g.chance(12) {
		sep = g.pick("=", " = ", "\t", " =")
	}
	value := ""
	name := g.pick("User", "User", "Group", "Group", "Host", "Address", "Address", "LocalAddress", "LocalPort", "RDomain",
		"user", "GROUP", "address")
	switch strings.ToLower(name) {
	case "user":
		value = list("root", "nobody", "daemon", "r*", "*", "?oot", "bin", "Root", "sshd")
	case "group":
		value = list("root", "nogroup", "daemon", "*", "adm", "tty", "n?group", "sudo", "docker")
	case "host":
		value = list("*.example.org", "www.example.org", "WWW.Example.ORG", "*", "bad.*", "?")
	case "address", "localaddress":
		value = list("10.0.0.0/8", "10.1.0.0/16", "192.168.1.7", "10.*", "127.0.0.1", "::1", "2001:db8::/32", "0.0.0.0/0",
			"::/0", "192.168.?.7", "10.1.2.3/32", "fe80::/10", "fe80::%lo/10", "*%lo")
		if g.Wild && g.chance(15) {
			value = g.pick("10.0.0.1/8", "10.0.0.0/33", "::1/129", "10.0.0.0/x", ",", "!", "10.1", "1", "0x0a.1", "010.0.0.0/8",
				"10.0.0.0/8,", "2001:db8::1/32", "300.1.1.1", "10.0.0.0/ 8", "::ffff:10.0.0.0/104")
		}
	case "localport":
		value = g.pick("22", "2222", "8022")
		if g.Wild && g.chance(25) {
			value = g.pick("ssh", "nosuchport", "22,2222", "-1", "70000", "022", "!22", "+22")
		}
	case "rdomain":
		value = list("red", "blue", "*", "r*")
	}
	if g.chance(6) {
		value = `"` + value + `"`
	}
	if g.version.AtLeast(sshdconf.V10_0) && g.chance(12) {
		return g.pick("invalid-user", "Version OpenSSH_10.*", "version=*", "Version OpenSSH_9*")
	}
	if g.Wild && g.chance(8) {
		return g.pick("exec /bin/true", "User", "Tag x", "Version 9", "invalid-user", `User ""`, "originalhost x", "user=")
	}
	return name + sep + value
}

// Connection returns a connection that suits the text of the files. The user's
// groups are left out: they are the host's.
func (g *Generator) Connection(text string) sshdconf.Connection {
	c := sshdconf.Connection{}
	if strings.Contains(strings.ToLower(text), "localport") || g.chance(60) {
		n, _ := strconv.Atoi(g.pick("22", "2222", "1"))
		c.LocalPort = n
	}
	if g.chance(85) {
		c.User = g.pick("root", "nobody", "daemon", "nosuchuser", "bin", "sshd")
	}
	if g.chance(80) {
		c.Addr = g.pick("10.1.2.3", "10.2.0.1", "192.168.1.7", "127.0.0.1", "::1", "2001:db8::5", "8.8.8.8", "fe80::1", "fe80::1%lo", "garbage")
	}
	if g.chance(60) {
		c.Host = g.pick("www.example.org", "WWW.EXAMPLE.org", "bad.example.com", "x", "10.1.2.3")
	}
	if g.chance(60) {
		c.LocalAddr = g.pick("127.0.0.1", "10.1.2.3", "::1", "192.168.1.7", "fe80::1%lo")
	}
	if g.chance(40) {
		c.RDomain = g.pick("red", "blue", "x")
	}
	if g.version.AtLeast(sshdconf.V10_0) && g.chance(10) {
		c.InvalidUser = true
	}
	return c
}

// Arguments returns options of the daemon's command line.
func (g *Generator) Arguments() []string {
	var args []string
	for range g.IntN(3) * g.IntN(2) {
		switch g.IntN(6) {
		case 0:
			args = append(args, "-p", g.pick("22", "2200", "ssh"))
		case 1:
			args = append(args, g.pick("-4", "-6", "-D", "-D4", "-ddd"[:2]))
			if args[len(args)-1] == "-d" {
				args = args[:len(args)-1]
			}
		case 2:
			args = append(args, "-g", g.pick("30", "2m", "1h"))
		case 3:
			args = append(args, "-o"+g.pick("PasswordAuthentication=no", "PermitRootLogin yes", "AllowGroups=adm", "Port 2022"))
		default:
			option := g.pick("PasswordAuthentication no", "UsePAM=yes", "PermitRootLogin=no", "MaxSessions = 4",
				"AllowUsers root", "Ciphers aes128-ctr", "AuthenticationMethods publickey", "AddressFamily inet")
			if g.Wild && g.chance(40) {
				option = g.pick("Nonsense yes", "Match all", "PermitRootLogin", "Include /etc/passwd", "#", "")
			}
			args = append(args, "-o", option)
		}
	}
	return args
}

// spell writes a keyword in some case.
func (g *Generator) spell(name string) string {
	switch g.IntN(6) {
	case 0:
		return strings.ToLower(name)
	case 1:
		return strings.ToUpper(name)
	}
	return name
}

func (g *Generator) setting() string {
	k := keywordPool[g.IntN(len(keywordPool))]
	if g.chance(35) { // the ones that matter here
		k = keywordPool[g.IntN(coreKeywords)]
	}
	good, bad, _ := strings.Cut(k.values, "||")
	if _, known := sshdconf.Canonical(k.name, g.version); !known && !g.Wild && g.chance(90) {
		return "# " + k.name
	}
	value := g.pick(strings.Split(good, "|")...)
	if (g.Wild || good == "") && bad != "" && g.chance(30) {
		value = g.pick(strings.Split(bad, "|")...)
	}
	if g.Wild && g.chance(10) {
		value = g.pick("", "nonsense", `""`, "yes no", "-1", "99999999999999999999", `"unclosed`, "none", "any", "~/x", "~nosuch/x",
			"!x", "a,b", "1.5K", "0x10", "+ssh-rsa", "'q'", `a\ b`, `"a b"`)
	}
	if g.chance(6) && value != "" && !strings.ContainsAny(value, `"'`) {
		if first, rest, ok := strings.Cut(value, " "); ok {
			value = `"` + first + `" ` + rest
		} else {
			value = `"` + value + `"`
		}
	}
	sep := " "
	if g.chance(15) {
		sep = g.pick("=", " = ", "\t", "  ", " =", "= ")
	}
	line := g.spell(k.name) + sep + value
	if g.chance(8) {
		line += g.pick(" # comment", "  ", "\t", " #", "#glued", " \f")
	}
	return line
}

// coreKeywords is how many of the pool decide about logins.
const coreKeywords = 16

const flagValues = "yes|no|Yes|NO"

var keyLists = "ssh-ed25519|+ssh-rsa|-ssh-rsa*|^rsa-sha2-512|ssh-ed25519,rsa-sha2-256|ssh-*|-*|*|ssh-ed25519,||rsa|+ssh-dss|nosuch|^nosuch|ssh-rsa-cert-v01@openssh.com|!ssh-rsa"

var keywordPool = []struct{ name, values string }{
	{"PermitRootLogin", "yes|no|prohibit-password|without-password|forced-commands-only|YES"},
	{"PasswordAuthentication", flagValues},
	{"KbdInteractiveAuthentication", flagValues},
	{"ChallengeResponseAuthentication", flagValues},
	{"PubkeyAuthentication", "yes|yes|yes|no"},
	{"AuthenticationMethods", "any|publickey|publickey,password|publickey password|keyboard-interactive:pam||publickey,keyboard-interactive hostbased|any publickey|nosuch|gssapi-with-mic|none"},
	{"PermitEmptyPasswords", flagValues},
	{"UsePAM", flagValues},
	{"HostbasedAuthentication", flagValues},
	{"GSSAPIAuthentication", flagValues},
	{"AllowUsers", "root|root nobody|*@10.0.0.0/8|!root *|a@b@c|root@*.example.org||root@10.0.0.1/8"},
	{"DenyUsers", "root|bin daemon|x@192.168.1.0/24"},
	{"AllowGroups", "ssh_login_group|adm sudo|r*|root,adm"},
	{"DenyGroups", "nogroup|a b c"},
	{"IgnoreRhosts", "yes|no|shosts-only"},
	{"KerberosAuthentication", flagValues},

	{"Port", "22|2222|ssh|+23| 24||0|65536"},
	{"ListenAddress", "0.0.0.0|127.0.0.1:2222|[::1]:22|::|[::]|10.0.0.1|127.0.0.1:ssh|fe80::1|127.1||0.0.0.0:0|1.2.3.4/22|[::1"},
	{"AddressFamily", "any|inet|inet6|INET"},
	{"LoginGraceTime", "30|2m|1h30m|0|1w2d|1M| 10||5x|-3|2147483648"},
	{"SyslogFacility", "AUTH|authpriv|LOCAL7|DAEMON||bogus"},
	{"LogLevel", "INFO|verbose|DEBUG|DEBUG1|DEBUG3|QUIET|SILENT||bogus"},
	{"LogVerbose", "none|a.c:*:1|x y||none x"},
	{"StrictModes", flagValues},
	{"MaxAuthTries", "3|6|0|2147483647||2147483648|-1|1x"},
	{"MaxSessions", "10|2"},
	{"PubkeyAcceptedAlgorithms", keyLists},
	{"PubkeyAcceptedKeyTypes", keyLists},
	{"HostbasedAcceptedAlgorithms", keyLists},
	{"HostbasedAcceptedKeyTypes", keyLists},
	{"HostKeyAlgorithms", keyLists},
	{"CASignatureAlgorithms", keyLists},
	{"PubkeyAuthOptions", "none|touch-required|verify-required|touch-required verify-required|None touch-required||bogus"},
	{"Ciphers", "aes128-ctr|+3des-cbc|-aes*|^aes256-gcm@openssh.com|aes128-ctr,aes256-ctr|-*||none|bogus|aes*|+rijndael-cbc@lysator.liu.se"},
	{"MACs", "hmac-sha2-256|+hmac-md5|-hmac*|^umac-64@openssh.com|hmac-sha2-256,hmac-sha2-512||bogus"},
	{"KexAlgorithms", "curve25519-sha256|+diffie-hellman-group1-sha1|-diffie*|^ecdh-sha2-nistp256|sntrup761x25519-sha512@openssh.com||bogus|gss-group14-sha1-|mlkem768x25519-sha256"},
	{"GSSAPIKexAlgorithms", "gss-group14-sha256-|gss-gex-sha1-,gss-group16-sha512-|gss-group14-sha1-x||bogus"},
	{"GSSAPIKeyExchange", flagValues},
	{"GSSAPICleanupCredentials", flagValues},
	{"GSSAPICleanupCreds", flagValues},
	{"GSSAPIStrictAcceptorCheck", flagValues},
	{"GSSAPIStoreCredentialsOnRekey", flagValues},
	{"KerberosOrLocalPasswd", flagValues},
	{"KerberosTicketCleanup", flagValues},
	{"KerberosGetAFSToken", flagValues},
	{"HostbasedUsesNameFromPacketOnly", flagValues},
	{"IgnoreUserKnownHosts", flagValues},
	{"X11Forwarding", flagValues},
	{"X11DisplayOffset", "10|0||x"},
	{"X11UseLocalhost", flagValues},
	{"XAuthLocation", "/usr/bin/xauth|none|xauth|~/xauth"},
	{"PermitTTY", flagValues},
	{"PermitUserRC", flagValues},
	{"TCPKeepAlive", flagValues},
	{"KeepAlive", flagValues},
	{"PermitUserEnvironment", "yes|no|LANG,LC_*|YES"},
	{"Compression", "yes|no|delayed"},
	{"RekeyLimit", "default|1G|512M 1h|1.5G none|0|16|2G 30m|1K none|.5G|1.|7E||15|1x|99999999999999999999|-20|1Gb|9E"},
	{"GatewayPorts", "yes|no|clientspecified"},
	{"UseDNS", flagValues},
	{"AllowTcpForwarding", "yes|no|all|local|remote"},
	{"AllowStreamLocalForwarding", "yes|no|all|local|remote"},
	{"AllowAgentForwarding", flagValues},
	{"DisableForwarding", flagValues},
	{"PermitTunnel", "yes|no|point-to-point|ethernet||YES"},
	{"PermitOpen", "any|none|host:22|[::1]:80 h:*|h:ssh||h:0|h|any h:1|h:1 none"},
	{"PermitListen", "any|none|22|localhost:80|*:8080 9090|[::1]:ssh||none 22|0"},
	{"Subsystem", "sftp /usr/lib/openssh/sftp-server|sftp internal-sftp -f AUTH|other \"/bin/a b\" c|x 'y z'||sftp"},
	{"MaxStartups", "10:30:60|5|10:30:60x| 4:5:6|7x||10:30|0|100:10:50|10:0:20|3:101:9"},
	{"PerSourceMaxStartups", "none|5|2147483647||x"},
	{"PerSourceNetBlockSize", "32:128|24:64|24:48x|24||33:1|32:129"},
	{"PerSourcePenalties", "no|yes|crash:10 max:20|authfail:1h|overflow:deny-all|overflow6:permissive min:5|max-sources4:5|grace-exceeded:3 noauth:2 refuseconnection:1||no crash:1|bogus:1|crash:x"},
	{"PerSourcePenaltyExemptList", "10.0.0.0/8|::1,192.168.*||10.0.0.1/8"},
	{"Banner", "/etc/issue.net|none|NONE|issue"},
	{"ClientAliveInterval", "0|300|5m"},
	{"ClientAliveCountMax", "0|3"},
	{"AuthorizedKeysFile", ".ssh/authorized_keys|none|/etc/ssh/keys/%u .ssh/authorized_keys|~/k|.ssh/\"a b\"||\"\""},
	{"AuthorizedKeysFile2", "x"},
	{"AcceptEnv", "LANG LC_*|FOO|XMODIFIERS||A=B"},
	{"SetEnv", "A=1|A=1 B=2|A=1 A=2|\"C=x y\"|D==e||A"},
	{"ForceCommand", "internal-sftp|/bin/sh -c \"x # y\"|none|NONE|/bin/echo # c"},
	{"ChrootDirectory", "/srv|none|%h|None"},
	{"RevokedKeys", "/etc/ssh/revoked|none"},
	{"TrustedUserCAKeys", "/etc/ssh/ca|none|None"},
	{"AuthorizedPrincipalsFile", "/etc/ssh/p/%u|none|NONE|~/p"},
	{"AuthorizedKeysCommand", "/usr/bin/keys %u|none|NONE||relative"},
	{"AuthorizedKeysCommandUser", "nobody|root"},
	{"AuthorizedPrincipalsCommand", "/usr/bin/p|none||relative"},
	{"AuthorizedPrincipalsCommandUser", "nobody"},
	{"VersionAddendum", "none|Foo bar|x # y|NONE"},
	{"IPQoS", "lowdelay throughput|af21|ef cs1|0x10|16 8|none|le|reliability|0||256|8 nonsense|1.5K|4x"},
	{"StreamLocalBindMask", "0177|077|0777|0||1000|9"},
	{"StreamLocalBindUnlink", flagValues},
	{"FingerprintHash", "md5|sha256|SHA512||bogus"},
	{"ExposeAuthInfo", flagValues},
	{"HostKeyAgent", "none|SSH_AUTH_SOCK|/run/agent"},
	{"HostCertificate", "/etc/ssh/nosuch-cert.pub|none"},
	{"PidFile", "/run/x.pid|none|x.pid"},
	{"ModuliFile", "/etc/ssh/moduli|none"},
	{"RequiredRSASize", "1024|2048|3072"},
	{"ChannelTimeout", "none|session=5m|*=0 agent-connection=1h||none x=1|x|=5|x=y"},
	{"UnusedConnectionTimeout", "none|5m|0||x"},
	{"DebianBanner", flagValues},
	{"SecurityKeyProvider", "internal|/usr/lib/x.so|none"},
	{"PrintMotd", flagValues},
	{"PrintLastLog", flagValues},
	{"RDomain", "none||x"},
	{"RefuseConnection", flagValues},
	{"PAMServiceName", "sshd|other"},
	{"SshdSessionPath", "/usr/lib/openssh/sshd-session|none"},
	{"SshdAuthPath", "/x"},
	{"Protocol", "2|1"},
	{"UsePrivilegeSeparation", "sandbox|yes"},
	{"RSAAuthentication", flagValues},
	{"RhostsRSAAuthentication", flagValues},
	{"KeyRegenerationInterval", "1h"},
	{"ServerKeyBits", "1024"},
	{"SkeyAuthentication", flagValues},
	{"UseLogin", "no"},
	{"DSAAuthentication", flagValues},
	{"GSSUseSessionCCache", flagValues},
	{"NoSuchKeyword", "yes"},
}
