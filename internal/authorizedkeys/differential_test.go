package authorizedkeys_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/hostguard/hostguard/internal/authorizedkeys"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/sshdconf"
)

// probe offers a key that it has no private half of. sshd asks for a signature
// exactly when it would take the key.
type probe struct {
	key   ssh.PublicKey
	asked atomic.Bool
}

func (p *probe) PublicKey() ssh.PublicKey { return p.key }

func (p *probe) Sign(r io.Reader, data []byte) (*ssh.Signature, error) {
	return p.SignWithAlgorithm(r, data, p.key.Type())
}

func (p *probe) SignWithAlgorithm(_ io.Reader, _ []byte, algorithm string) (*ssh.Signature, error) {
	p.asked.Store(true)
	return &ssh.Signature{Format: algorithm, Blob: make([]byte, 64)}, nil
}

// A daemon is an sshd that on each of several loopback ports reads one file of
// keys for root. It reads all of a file for every key, so they are short.
type daemon struct {
	addrs   []string
	version sshdconf.Version
}

func startSSHD(t *testing.T, files []string, more string) daemon {
	t.Helper()
	lab.Need(t, lab.SSHD, lab.Root)
	dir := t.TempDir()
	hostKey := filepath.Join(dir, "hostkey")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", hostKey).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	var d daemon
	var held []net.Listener
	listen, match := "", ""
	for _, file := range files {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, l) // all are taken before the first is given back
		addr := l.Addr().String()
		d.addrs = append(d.addrs, addr)
		_, port, _ := net.SplitHostPort(addr)
		listen += "ListenAddress " + addr + "\n"
		match += "Match LocalPort " + port + "\nAuthorizedKeysFile " + file + "\n"
	}
	config := filepath.Join(dir, "sshd_config")
	text := listen + "HostKey " + hostKey + "\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\nUseDNS no\n" +
		"MaxAuthTries 100000\nMaxStartups 200\nLoginGraceTime 60\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n" + more + match
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// sshd wants /run/sshd: it gets one in a mount namespace of its own.
	cmd := exec.Command("unshare", "-m", "sh", "-c", `mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec /usr/sbin/sshd -D -e -f "$0"`, config)
	for _, l := range held {
		l.Close()
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for deadline := time.Now().Add(10 * time.Second); ; {
		c, err := net.Dial("tcp", d.addrs[len(d.addrs)-1])
		if err == nil {
			c.SetReadDeadline(deadline)
			banner := make([]byte, 64)
			n, _ := c.Read(banner)
			c.Close()
			_, release, _ := strings.Cut(string(banner[:n]), "SSH-2.0-")
			d.version, _ = sshdconf.ParseVersion(release)
			return d
		}
		if time.Now().After(deadline) {
			t.Fatalf("sshd does not listen: %v\n%s", err, log.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// offer offers keys in one connection and notes which are taken. sshd ends a
// connection when it took two keys with different commands, so n, how many were
// tried, may be less than all.
func (d daemon) offer(addr, from string, keys []ssh.PublicKey, taken []bool) (n int, err error) {
	probes := make([]*probe, len(keys))
	signers := make([]ssh.Signer, len(keys))
	for i, k := range keys {
		probes[i] = &probe{key: k}
		signers[i] = probes[i]
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	c, err := dialer.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	_, _, _, err = ssh.NewClientConn(c, addr, &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signers...)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	for i, p := range probes {
		if p.asked.Load() {
			taken[i] = true
			n = i + 1
		}
	}
	if err == nil || strings.Contains(err.Error(), "no supported methods remain") {
		return len(keys), nil
	}
	if n > 0 && errors.Is(err, io.EOF) {
		return n, nil
	}
	return n, err
}

// maxListen is how many addresses sshd listens on.
const maxListen = 16

// taken offers the keys as root from an address, each to the port whose file
// holds it, and says which sshd takes.
func (d daemon) taken(t *testing.T, from string, keys []ssh.PublicKey) []bool {
	t.Helper()
	out := make([]bool, len(keys))
	var wg sync.WaitGroup
	limit := make(chan bool, 12) // sshd waits after each failure: connections at the same time cost little
	for n, addr := range d.addrs {
		start, end := n*len(keys)/len(d.addrs), (n+1)*len(keys)/len(d.addrs)
		part := keys[start:end]
		wg.Go(func() {
			limit <- true
			defer func() { <-limit }()
			for len(part) > 0 {
				n, err := d.offer(addr, from, part, out[start:end])
				if err != nil {
					t.Errorf("from %s to %s: %v", from, addr, err)
					return
				}
				start, part = start+n, part[n:]
			}
		})
	}
	wg.Wait()
	return out
}

func newKey(t *testing.T, r *mathrand.Rand) ssh.PublicKey {
	t.Helper()
	var public any
	var err error
	switch n := r.IntN(20); {
	case n < 12:
		public, _, err = ed25519.GenerateKey(rand.Reader)
	case n < 17:
		curve := []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()}[r.IntN(3)]
		var k *ecdsa.PrivateKey
		k, err = ecdsa.GenerateKey(curve, rand.Reader)
		public = k.Public()
	case n < 18: // no working key, but a readable one: dsa is not accepted by default
		key, err := ssh.ParsePublicKey(ssh.Marshal(struct {
			Type       string
			P, Q, G, Y *big.Int
		}{"ssh-dss", odd(r, 1024), odd(r, 160), odd(r, 1000), odd(r, 1000)}))
		if err != nil {
			t.Fatal(err)
		}
		return key
	default:
		public = &rsa.PublicKey{N: odd(r, []int{1000, 1023, 1024, 2048, 3072, 4096}[r.IntN(6)]), E: 65537}
	}
	var key ssh.PublicKey
	if err == nil {
		key, err = ssh.NewPublicKey(public)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// odd is a number of so many bits. sshd does not look for its factors.
func odd(r *mathrand.Rand, bits int) *big.Int {
	n := new(big.Int)
	for i := range bits {
		n.SetBit(n, i, uint(r.IntN(2)))
	}
	return n.SetBit(n.SetBit(n, bits-1, 1), 0, 1)
}

var optionPieces = []string{
	`restrict`, `no-pty`, `pty`, `NO-PTY`, `no-X11-forwarding`, `x11-forwarding`, `no-agent-forwarding`, `agent-forwarding`, `no-port-forwarding`,
	`port-forwarding`, `no-user-rc`, `user-rc`, `no-touch-required`, `touch-required`, `verify-required`, `no-verify-required`,
	`command="id"`, `command="echo \"a, b\" c"`, `Command="x"`, `command="a\\"`, `command=""`, `command="a b	c"`,
	`from="127.0.0.1"`, `from="127.0.0.0/8"`, `from="!127.0.0.5,127.0.0.0/8"`, `from="*"`, `from="10.0.0.0/8,192.168.*"`, `from="127.0.0.?"`,
	`from="127.0.0.1/33"`, `from="127.0.0.1/8"`, `from=""`, `from="127.0.0.5,"`, `from="!127.0.0.1"`, `FROM="127.0.0.0/29"`, `from="::1"`,
	`expiry-time="20990101"`, `expiry-time="209901011200"`, `expiry-time="20990101120000"`, `expiry-time="20990101120000Z"`, `expiry-time="20200101"`,
	`expiry-time="20201301"`, `expiry-time="2099"`, `expiry-time=" 9990101"`, `expiry-time="2099 1 1"`, `expiry-time="20990230"`, `expiry-time="19600101"`, `expiry-time="20990101utc"`, `expiry-time="Z"`,
	`environment="A=b"`, `environment="A"`, `environment="A b=c"`, `environment="=x"`,
	`permitopen="localhost:22"`, `permitopen="[::1]:22"`, `permitopen="localhost"`, `permitopen="h:0"`, `permitopen="h:*"`, `permitopen="h:ssh"`, `permitopen="h:nosuchservice"`, `permitopen="h/22"`, `permitopen="h: 22"`, `permitopen="h:22 "`, `permitopen="[h"`, `permitopen="h:+22"`,
	`permitlisten="22"`, `permitlisten="localhost:22"`, `permitlisten="*"`, `permitlisten="x"`, `permitlisten="70000"`,
	`tunnel="0"`, `tunnel="any"`, `tunnel="ANY"`, `tunnel="-1"`, `tunnel="point"`, `tunnel="2147483645"`, `tunnel="2147483646"`, `tunnel="1:2"`,
}

var badPieces = []string{
	`cert-authority`, `principals="a,b"`, `no-restrict`, `no-cert-authority`, `unknown`, `restrictx`, `no-`, `command`, `command=id`, `command="id`, `from=`, `"`, `x="a b"`, ``, `,`, ` `, `pty pty`, `restrict pty`,
}

// line makes a line that may let the key in.
func line(r *mathrand.Rand, key ssh.PublicKey) string {
	name := key.Type()
	encoded := base64.StdEncoding.EncodeToString(key.Marshal())
	if r.IntN(12) == 0 {
		name = []string{"ssh-rsa", "rsa-sha2-256", "rsa-sha2-512", "ssh-ed25519", "SSH-ED25519", "ecdsa-sha2-nistp256", "ssh-dss", "", "ssh-ed25519-cert-v01@openssh.com", "x"}[r.IntN(10)]
	}
	switch r.IntN(30) {
	case 0:
		encoded = strings.TrimRight(encoded, "=")
	case 1:
		encoded += "="
	case 2:
		encoded = encoded[:20] + "\r" + encoded[20:]
	case 3:
		encoded = encoded[:len(encoded)-4]
	case 4:
		encoded = encoded[:20] + "!" + encoded[21:]
	}
	var options []string
	for range []int{0, 0, 1, 1, 1, 2, 3}[r.IntN(7)] {
		piece := optionPieces[r.IntN(len(optionPieces))]
		if r.IntN(12) == 0 {
			piece = badPieces[r.IntN(len(badPieces))]
		}
		options = append(options, piece)
	}
	blank := func() string { return []string{" ", " ", " ", "\t", "  ", " \t "}[r.IntN(6)] }
	text := strings.Join(options, []string{",", ",", ",", ",", ",", ", ", ",,"}[r.IntN(7)])
	if text != "" || r.IntN(20) == 0 {
		text += []string{"", "", "", "", "", ","}[r.IntN(6)] + blank()
	}
	text += name + blank() + encoded
	text += []string{"", " ", " comment", " a comment with \x1b[2J and \xff", " # x", "\tc"}[r.IntN(6)]
	switch r.IntN(40) {
	case 0:
		text = "#" + text
	case 1:
		text = " \t" + text
	case 2:
		text = "\x00" + text
	case 3:
		text += "\x00x"
	case 4:
		i := r.IntN(len(text))
		text = text[:i] + "\x00" + text[i+1:]
	case 5:
		text = "\xef\xbb\xbf" + text
	case 6, 7, 8:
		text += "\r"
	case 9:
		text = strings.Repeat(" ", 20000) + text
	case 10:
		text = strings.Replace(text, name, strings.Repeat("x", r.IntN(9000))+name, 1)
	case 11:
		i := r.IntN(len(text))
		text = text[:i] + text[i+1:]
	}
	return strings.ReplaceAll(text, "\n", "")
}

// TestRealSSHD offers every key of generated files to a real sshd.
func TestRealSSHD(t *testing.T) {
	t.Parallel()
	lines := 400
	if n, err := strconv.Atoi(os.Getenv("HOSTGUARD_CASES")); err == nil {
		lines = n
	}
	seed := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv("HOSTGUARD_SEED"), 10, 64); err == nil {
		seed = n
	}
	r := mathrand.New(mathrand.NewPCG(seed, 0))
	dir := t.TempDir()
	keys := make([]ssh.PublicKey, lines)
	text := make([]string, lines)
	var files []string
	for i := range keys {
		keys[i] = newKey(t, r)
		text[i] = line(r, keys[i])
	}
	for n := range maxListen {
		files = append(files, filepath.Join(dir, strconv.Itoa(n)))
		data := []byte(strings.Join(text[n*lines/maxListen:(n+1)*lines/maxListen], "\n"))
		if err := os.WriteFile(files[n], data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := startSSHD(t, files, "PubkeyAcceptedAlgorithms +ssh-dss\n")
	reader := authorizedkeys.Reader{Version: d.version, Service: func(s string) bool { return s == "ssh" }, Zone: time.Local}
	ours := map[string][]*authorizedkeys.Entry{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		entries, _ := reader.Parse(file, data)
		for i := range entries {
			ours[string(entries[i].Blob)] = append(ours[string(entries[i].Blob)], &entries[i])
		}
	}
	in := 0
	for _, from := range []string{"127.0.0.1", "127.0.0.5", "127.0.0.77"} {
		for i, taken := range d.taken(t, from, keys) {
			says, why := false, "no line holds it"
			for _, e := range ours[string(keys[i].Marshal())] {
				var usable bool
				usable, why = e.Usable(authorizedkeys.Conn{Addr: from, Time: time.Now()})
				says = says || usable && !e.Options.CertAuthority
			}
			if taken {
				in++
			}
			if says != taken {
				t.Errorf("seed %d, from %s: sshd takes it: %v; here: %v (%s)\n%q", seed, from, taken, says, why, text[i])
			}
		}
	}
	t.Logf("%d of %d offers taken", in, 3*lines)
}

// TestTimes compares with what ssh-keygen makes of the same times.
func TestTimes(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.SSHD)
	dir := t.TempDir()
	for _, name := range []string{"ca", "key"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name)).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	public, err := os.ReadFile(filepath.Join(dir, "key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Europe/Dublin"} {
		for _, text := range []string{"20260115", "20260701", "202607011200", "20260329023000", "20260328120000", "20261025023000", "20261025013000", "20260704120000Z", "20260230", "20261004023000"} {
			t.Run(zone+" "+text, func(t *testing.T) {
				t.Parallel()
				where, err := time.LoadLocation(zone)
				if err != nil {
					t.Fatal(err) // Go brings its own
				}
				dir2 := t.TempDir()
				file := filepath.Join(dir2, "key.pub")
				if err := os.WriteFile(file, public, 0o600); err != nil {
					t.Fatal(err)
				}
				run := func(tz string, args ...string) string {
					cmd := exec.Command("ssh-keygen", args...)
					cmd.Env = append(os.Environ(), "TZ="+tz)
					out, err := cmd.CombinedOutput()
					if err != nil {
						t.Fatalf("ssh-keygen %q: %v\n%s", args, err, out)
					}
					return string(out)
				}
				run(zone, "-q", "-s", filepath.Join(dir, "ca"), "-I", "x", "-V", "20200101:"+text, file)
				shown := run("UTC", "-L", "-f", filepath.Join(dir2, "key-cert.pub"))
				_, want, _ := strings.Cut(shown, " to ")
				want, _, _ = strings.Cut(want, "\n")
				entries, problems := authorizedkeys.Reader{Version: sshdconf.V9_2, Zone: where}.Parse("f", []byte(`expiry-time="`+text+`" `+string(public)))
				if len(entries) != 1 || len(problems) != 0 {
					t.Fatal(entries, problems)
				}
				if got := entries[0].Options.Expires.UTC().Format("2006-01-02T15:04:05"); got != want {
					t.Errorf("ssh-keygen says %s, here %s", want, got)
				}
			})
		}
	}
}

// TestFingerprints compares with ssh-keygen -l.
func TestFingerprints(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.SSHD)
	r := mathrand.New(mathrand.NewPCG(7, 7))
	var b strings.Builder
	for range 200 {
		k := newKey(t, r)
		fmt.Fprintf(&b, "%s a  comment\n", bytes.TrimSpace(ssh.MarshalAuthorizedKey(k))) // without one ssh-keygen prints anything
	}
	dir := t.TempDir()
	for _, kind := range []string{"rsa", "ecdsa", "ed25519"} {
		file := filepath.Join(dir, kind)
		if out, err := exec.Command("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "two words", "-f", file).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		text, err := os.ReadFile(file + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
	}
	file := filepath.Join(dir, "keys")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ssh-keygen", "-l", "-f", file).Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	entries, problems := authorizedkeys.Reader{Version: sshdconf.V9_2}.Parse(file, []byte(b.String()))
	if len(problems) > 0 {
		for _, p := range problems {
			if !strings.Contains(p.Text, "less than 1024 bits") {
				t.Error(p)
			}
		}
	}
	var ours strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&ours, "%d %s %s (%s)\n", e.Bits, e.Fingerprint(), e.Comment, strings.ToUpper(string(e.Kind)))
	}
	if diff := cmp.Diff(strings.Split(string(out), "\n"), strings.Split(ours.String(), "\n")); diff != "" {
		t.Errorf("ssh-keygen (-), here (+):\n%s", diff)
	}
}
