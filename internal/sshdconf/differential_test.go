package sshdconf_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/sshdconf"
)

// The real sshd is the oracle: for random configurations and connections its
// answer to -T -C must be ours in every keyword, and where it refuses, it must
// name the same lines in the same order.
//
// HOSTGUARD_SSHD_CASES sets the number of cases, HOSTGUARD_SEED the seed of the
// first (see lab.Seed), HOSTGUARD_SSHD the program (default /usr/sbin/sshd), and
// HOSTGUARD_SSHD_ROOT a tree to run it in.

const defaultCases = 400

func TestAgreesWithSSHD(t *testing.T) {
	o := newOracle(t)
	cases := envInt(t, "HOSTGUARD_SSHD_CASES", defaultCases)
	seed := lab.Seed(t)
	t.Logf("sshd %v, %d cases", o.version, cases)

	var mu sync.Mutex
	var accepted, refused, failed int
	next := make(chan uint64)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) + 1 {
		wg.Go(func() {
			for s := range next {
				ok, diff := o.try(t, s)
				mu.Lock()
				if ok {
					accepted++
				} else {
					refused++
				}
				if diff != "" {
					failed++
					if failed <= 10 {
						t.Errorf("HOSTGUARD_SEED=%d HOSTGUARD_SSHD_CASES=1\n%s", s, diff)
					}
				}
				mu.Unlock()
			}
		})
	}
	for i := range cases {
		next <- seed + uint64(i)
	}
	close(next)
	wg.Wait()
	t.Logf("%d accepted, %d refused, %d differ", accepted, refused, failed)
	if failed > 0 {
		t.Fail()
	}
	if cases >= defaultCases && (accepted < cases/5 || refused < cases/20) {
		t.Errorf("%d accepted and %d refused: the generator is lopsided", accepted, refused)
	}
}

func envInt(t *testing.T, name string, preset int) int {
	text := os.Getenv(name)
	if text == "" {
		return preset
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

const nobody = 65534

type oracle struct {
	path, root string
	version    sshdconf.Version
	release    string
	dir        string // as the program sees it
	hostKey    string
}

func newOracle(t *testing.T) *oracle {
	lab.Need(t, lab.SSHD, lab.Root)
	o := &oracle{path: cmpOr(os.Getenv("HOSTGUARD_SSHD"), "/usr/sbin/sshd"), root: os.Getenv("HOSTGUARD_SSHD_ROOT")}
	o.dir = t.TempDir()
	if o.root != "" {
		inside, err := os.MkdirTemp(filepath.Join(o.root, "tmp"), "sshdconf")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(inside) })
		o.dir = strings.TrimPrefix(inside, o.root)
	}
	o.hostKey = filepath.Join(o.dir, "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", o.real(o.hostKey)).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	// Everything on the way must be open to the user that sshd runs as here.
	for dir := o.real(o.dir); dir != "/" && dir != o.root; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && strings.HasPrefix(dir, os.TempDir()) && info.Mode().Perm()&0o5 == 0 {
			os.Chmod(dir, info.Mode().Perm()|0o5)
		}
	}
	// An unknown option makes every release print its version.
	_, banner, _ := o.run("-?")
	var ok bool
	if o.version, ok = sshdconf.ParseVersion(banner[max(0, strings.Index(banner, "OpenSSH_")):]); !ok {
		t.Fatalf("no version in %q", banner)
	}
	if m := regexp.MustCompile(`OpenSSH_[^,\n]*`).FindString(banner); m != "" {
		o.release = m
	}
	return o
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (o *oracle) real(name string) string { return filepath.Join(cmpOr(o.root, "/"), name) }

// run runs sshd without privileges but the one to read files: it then needs
// no /run/sshd.
func (o *oracle) run(args ...string) (stdout, stderr string, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, o.path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot:      o.root,
		Credential:  &syscall.Credential{Uid: nobody, Gid: nobody},
		AmbientCaps: []uintptr{unix.CAP_DAC_READ_SEARCH},
	}
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Dir = "/"
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	return out.String(), errs.String(), err == nil
}

// try runs one case. It returns whether sshd accepts it, and how the answers
// differ.
func (o *oracle) try(t *testing.T, seed uint64) (accepted bool, diff string) {
	g := newGenerator(seed, o.version)
	dir := filepath.Join(o.dir, strconv.FormatUint(seed, 10))
	if err := os.MkdirAll(o.real(dir), 0o755); err != nil {
		t.Error(err)
		return false, ""
	}
	files := g.files(dir)
	for name, text := range files {
		os.MkdirAll(filepath.Dir(o.real(name)), 0o755)
		if err := os.WriteFile(o.real(name), []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
	defer os.RemoveAll(o.real(dir))
	main := filepath.Join(dir, "sshd_config")
	args := append([]string{"-f", main}, g.arguments()...)
	args = append(args, "-h", o.hostKey)
	conn := g.connection(strings.Join(mapValues(files), "\n"))
	stdout, stderr, ok := o.run(append(append([]string{"-T"}, args...), connectionArgs(conn)...)...)

	got, problems, remarks := o.ours(args, conn)
	describe := func(what string) string {
		var b strings.Builder
		for _, name := range slices.Sorted(slices.Values(mapKeys(files))) {
			fmt.Fprintf(&b, "--- %s\n%s\n", name, numbered(files[name]))
		}
		fmt.Fprintf(&b, "--- arguments %q connection %+v\n%s\n--- sshd says\n%s", args, conn, what, stderr)
		return b.String()
	}
	if !ok && stderr == "" {
		return true, "" // it crashed: 10.0 does when a subsystem stands in a Match block alone
	}
	if !ok {
		want := places(stderr, main, false)
		if problems == nil {
			return false, describe("sshd refuses, we accept")
		}
		if !samePlaces(want, problems, stderr) {
			return false, describe(fmt.Sprintf("problems: sshd %q, ours %q", want, problems))
		}
		return false, ""
	}
	if problems != nil {
		return true, describe(fmt.Sprintf("sshd accepts, we refuse: %q", problems))
	}
	if want := places(stderr, main, true); !slices.Equal(want, remarks) {
		return true, describe(fmt.Sprintf("remarks: sshd %q, ours %q", want, remarks))
	}
	if got != stdout {
		return true, describe(lineDiff(stdout, got))
	}
	return true, ""
}

func (o *oracle) ours(args []string, conn sshdconf.Connection) (text string, problems, remarks []string) {
	c, err := sshdconf.Parse(osFS{o}, sshdconf.Options{
		Version: o.version, Release: o.release, Arguments: args,
		Home:    func(name string) (string, bool) { return o.home(name) },
		Resolve: func(string) ([]netip.Addr, bool) { return nil, true }, // no name here has an address
		Service: o.service,
	})
	var e *sshdconf.Effective
	if err == nil {
		for _, r := range c.Remarks {
			remarks = append(remarks, place(r.Place))
		}
		slices.Sort(remarks)
		e, err = c.For(conn)
	}
	var refusal *sshdconf.RefusedError
	switch {
	case errors.As(err, &refusal):
		problems = []string{}
		for _, p := range refusal.Problems {
			if p.File != "" {
				problems = append(problems, place(p.Place))
			}
		}
		return "", slices.Compact(problems), nil
	case err != nil:
		return "", []string{}, nil
	}
	var b strings.Builder
	e.WriteTo(&b)
	return b.String(), nil, slices.Compact(remarks)
}

func (o *oracle) service(name string) (int, bool) {
	text, _ := os.ReadFile(o.real("/etc/services"))
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `\s+(\d+)/tcp`).FindSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(string(m[1]))
	return n, err == nil
}

func (o *oracle) home(name string) (string, bool) {
	u, err := user.Lookup(name)
	if name == "" {
		u, err = user.LookupId("65534")
	}
	if err != nil {
		return "", false
	}
	return u.HomeDir, true
}

type osFS struct{ o *oracle }

func (f osFS) ReadFile(name string) ([]byte, error) {
	data, err := os.ReadFile(f.o.real(name))
	if errors.Is(err, syscall.EISDIR) {
		return nil, nil
	}
	return data, err
}

func (f osFS) Glob(pattern string) ([]string, error) {
	found, err := filepath.Glob(f.o.real(pattern))
	if errors.Is(err, filepath.ErrBadPattern) {
		return nil, nil
	}
	var out []string
	for _, name := range found {
		if base := filepath.Base(name); strings.HasPrefix(base, ".") && !strings.HasPrefix(filepath.Base(pattern), ".") {
			continue
		}
		out = append(out, "/"+strings.TrimPrefix(strings.TrimPrefix(name, f.o.root), "/"))
	}
	slices.Sort(out)
	return out, err
}

func place(p sshdconf.Place) string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

var complaint = regexp.MustCompile(`^(.+?):? line (\d+): (.*)$`)

// places are the lines that sshd's messages name.
func places(stderr, main string, remarks bool) []string {
	out := []string{}
	for text := range strings.SplitSeq(stderr, "\n") {
		m := complaint.FindStringSubmatch(strings.TrimSuffix(text, "\r"))
		if m == nil {
			continue
		}
		isRemark := strings.HasPrefix(m[3], "Deprecated option") || strings.HasPrefix(m[3], "Unsupported option")
		if isRemark != remarks {
			continue
		}
		switch m[1] {
		case "reprocess config":
			m[1] = main
		case "command-line":
			m[1] = sshdconf.CommandLine
		}
		out = append(out, m[1]+":"+m[2])
	}
	if remarks {
		slices.Sort(out)
	}
	return slices.Compact(out)
}

// samePlaces compares the lines at fault. sshd gives some reasons without a
// place, as its last words; ours may name one.
func samePlaces(want, got []string, stderr string) bool {
	if len(got) == len(want)+1 {
		said := strings.Split(strings.TrimSpace(stderr), "\n")
		last := said[len(said)-1]
		if complaint.MatchString(last) || strings.Contains(last, ": terminating, ") {
			return false
		}
		got = got[:len(want)]
	}
	return slices.Equal(want, got)
}

func lineDiff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var b strings.Builder
	for _, l := range w {
		if !slices.Contains(g, l) {
			fmt.Fprintf(&b, "sshd: %q\n", l)
		}
	}
	for _, l := range g {
		if !slices.Contains(w, l) {
			fmt.Fprintf(&b, "ours: %q\n", l)
		}
	}
	if b.Len() == 0 {
		return "the same lines in another order"
	}
	return b.String()
}

func numbered(text string) string {
	var b strings.Builder
	for i, l := range strings.Split(text, "\n") {
		fmt.Fprintf(&b, "%3d %q\n", i+1, l)
	}
	return b.String()
}

func mapKeys(m map[string]string) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	return out
}

func mapValues(m map[string]string) (out []string) {
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

func connectionArgs(c sshdconf.Connection) []string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	add("user", c.User)
	add("host", c.Host)
	add("addr", c.Addr)
	add("laddr", c.LocalAddr)
	add("rdomain", c.RDomain)
	if c.LocalPort != 0 {
		add("lport", strconv.Itoa(c.LocalPort))
	}
	if c.InvalidUser {
		parts = append(parts, "invalid-user")
	}
	if parts == nil {
		return nil
	}
	return []string{"-C", strings.Join(parts, ",")}
}

func groupsOf(name string) []string {
	u, err := user.Lookup(name)
	if err != nil {
		return nil
	}
	ids, _ := u.GroupIds()
	var out []string
	for _, id := range ids {
		if g, err := user.LookupGroupId(id); err == nil {
			out = append(out, g.Name)
		}
	}
	return out
}

// generator makes configurations out of a seed.
type generator struct {
	*rand.Rand
	version sshdconf.Version
	nested  int
	wild    bool // break things on purpose
}

func newGenerator(seed uint64, v sshdconf.Version) *generator {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0x55eed)), version: v}
	g.wild = g.IntN(2) == 0
	return g
}

func (g *generator) pick(s ...string) string { return s[g.IntN(len(s))] }

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func (g *generator) files(dir string) map[string]string {
	files := map[string]string{}
	drop := []string{"10-a.conf", "9-b.conf", "50-cloud-init.conf", "99-z.conf", ".hidden.conf", "x.cfg", "20-c.conf"}
	for _, name := range drop[:g.IntN(len(drop)+1)] {
		files[filepath.Join(dir, "d", name)] = g.file(dir, 1)
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

func (g *generator) file(dir string, depth int) string {
	var b strings.Builder
	end := "\n"
	if g.chance(6) {
		end = "\r\n"
	}
	if g.wild && g.chance(2) {
		b.WriteString("\ufeff")
	}
	for range g.IntN(12) + 1 {
		switch n := g.IntN(100); {
		case n < 6:
			b.WriteString(g.pick("", "# a comment", "   ", "\t# x", "#PermitRootLogin yes", "\f", "\r", " \f"))
		case n < 18:
			b.WriteString(g.indent() + g.matchLine())
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
	if g.wild && g.chance(30) {
		text = g.mutate(text)
	}
	return text
}

func (g *generator) mutate(text string) string {
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

func (g *generator) indent() string {
	if g.chance(25) {
		return g.pick("  ", "\t", " \t ", "    ")
	}
	return ""
}

func (g *generator) include(dir string) string {
	// Inclusion goes to deeper folders only, so that it ends; loops are their
	// own tests.
	g.nested++
	target := g.pick("/e/*.conf", "/e/deep.conf", "/none/*.conf", "/missing")
	if g.nested == 1 {
		target = g.pick("/d/*.conf", "/d/*", "/d/9-b.conf", "/d/[15]0-*.conf", "/d/?-b.conf")
	}
	args := dir + target
	if g.chance(15) {
		args += " " + dir + g.pick("/missing", "/e/*", "/none")
	}
	if g.chance(10) {
		args = g.pick("sshd_config.d/nothing-*.conf", dir+"/e/"+`"deep.conf"`)
		if g.wild {
			args = g.pick(`""`, "")
		}
	}
	return g.pick("Include ", "include ", "INCLUDE\t", "Include=") + args
}

func (g *generator) matchLine() string {
	if g.chance(12) {
		if g.wild && g.chance(40) {
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

func (g *generator) criterion() string {
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
			"::/0", "192.168.?.7", "10.1.2.3/32", "fe80::/10")
		if g.wild && g.chance(15) {
			value = g.pick("10.0.0.1/8", "10.0.0.0/33", "::1/129", "10.0.0.0/x", ",", "!", "10.1", "1", "0x0a.1", "010.0.0.0/8",
				"10.0.0.0/8,", "2001:db8::1/32", "300.1.1.1", "10.0.0.0/ 8", "::ffff:10.0.0.0/104")
		}
	case "localport":
		value = g.pick("22", "2222", "8022")
		if g.wild && g.chance(25) {
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
	if g.wild && g.chance(8) {
		return g.pick("exec /bin/true", "User", "Tag x", "Version 9", "invalid-user", `User ""`, "originalhost x", "user=")
	}
	return name + sep + value
}

func (g *generator) connection(text string) sshdconf.Connection {
	c := sshdconf.Connection{}
	if strings.Contains(strings.ToLower(text), "localport") || g.chance(60) {
		n, _ := strconv.Atoi(g.pick("22", "2222", "1"))
		c.LocalPort = n
	}
	if g.chance(85) {
		c.User = g.pick("root", "nobody", "daemon", "nosuchuser", "bin", "sshd")
		c.Groups = groupsOf(c.User)
	}
	if g.chance(80) {
		c.Addr = g.pick("10.1.2.3", "10.2.0.1", "192.168.1.7", "127.0.0.1", "::1", "2001:db8::5", "8.8.8.8", "fe80::1", "garbage")
	}
	if g.chance(60) {
		c.Host = g.pick("www.example.org", "WWW.EXAMPLE.org", "bad.example.com", "x", "10.1.2.3")
	}
	if g.chance(60) {
		c.LocalAddr = g.pick("127.0.0.1", "10.1.2.3", "::1", "192.168.1.7")
	}
	if g.chance(40) {
		c.RDomain = g.pick("red", "blue", "x")
	}
	if g.version.AtLeast(sshdconf.V10_0) && g.chance(10) {
		c.InvalidUser = true
	}
	return c
}

func (g *generator) arguments() []string {
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
			if g.wild && g.chance(40) {
				option = g.pick("Nonsense yes", "Match all", "PermitRootLogin", "Include /etc/passwd", "#", "")
			}
			args = append(args, "-o", option)
		}
	}
	return args
}

// spell writes a keyword in some case.
func (g *generator) spell(name string) string {
	switch g.IntN(6) {
	case 0:
		return strings.ToLower(name)
	case 1:
		return strings.ToUpper(name)
	}
	return name
}

func (g *generator) setting() string {
	k := keywordPool[g.IntN(len(keywordPool))]
	if g.chance(35) { // the ones that matter here
		k = keywordPool[g.IntN(coreKeywords)]
	}
	good, bad, _ := strings.Cut(k.values, "||")
	if _, known := sshdconf.Canonical(k.name, g.version); !known && !g.wild && g.chance(90) {
		return "# " + k.name
	}
	value := g.pick(strings.Split(good, "|")...)
	if (g.wild || good == "") && bad != "" && g.chance(30) {
		value = g.pick(strings.Split(bad, "|")...)
	}
	if g.wild && g.chance(10) {
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
	{"PerSourceNetBlockSize", "32:128|24:64|24:48x||33:1|32:129"},
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
	{"IPQoS", "lowdelay throughput|af21|ef cs1|0x10|16 8|none|le|reliability|0||256|8 nonsense"},
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
