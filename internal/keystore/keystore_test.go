package keystore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/lab"
)

// maker makes stores with openssl, and with Java once all are wanted.
type maker struct {
	t   *testing.T
	dir string
}

func (m *maker) openssl(args ...string) {
	m.t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = m.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// certificate makes NAME.key and NAME.pem, signed by an issuer or by itself.
func (m *maker) certificate(name, issuer string, newKey ...string) {
	m.t.Helper()
	args := append([]string{"req", "-x509", "-nodes", "-keyout", name + ".key", "-out", name + ".pem", "-subj", "/CN=" + name, "-days", "30", "-newkey"}, newKey...)
	if issuer != "" {
		args = append(args, "-CA", issuer+".pem", "-CAkey", issuer+".key")
	}
	m.openssl(args...)
}

// run has Stores.java carry out the commands; it returns what it prints.
func (m *maker) run(properties []string, commands ...string) []string {
	m.t.Helper()
	java := exec.Command("java", append(properties, "-cp", m.dir, "Stores")...)
	java.Dir = m.dir
	java.Stdin = strings.NewReader(strings.Join(commands, "\n"))
	out, err := java.Output()
	if err != nil {
		m.t.Fatalf("java: %v\n%s", err, out)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// TestAgainstJava opens stores of openssl and of Java, and compares their
// entries and chains with what Java sees in them.
func TestAgainstJava(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Java, lab.OpenSSL)
	m := &maker{t: t, dir: t.TempDir()}
	if out, err := exec.Command("javac", "-d", m.dir, "testdata/Stores.java").CombinedOutput(); err != nil {
		t.Fatalf("javac: %v\n%s", err, out)
	}
	m.certificate("root", "", "rsa:2048")
	m.certificate("middle", "root", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
	m.certificate("leaf", "middle", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
	m.certificate("ec", "", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
	m.certificate("ed", "", "ed25519")
	chain := m.read("middle.pem") + m.read("root.pem")
	m.write("chain.pem", chain)

	type store struct{ name, kind, password, keyPassword string }
	var stores []store
	add := func(name, kind, password, keyPassword string) {
		stores = append(stores, store{name, kind, password, keyPassword})
	}
	p12 := func(name, key, password string, args ...string) {
		t.Helper()
		m.openssl(append([]string{"pkcs12", "-export", "-inkey", key + ".key", "-in", key + ".pem", "-out", name, "-passout", "pass:" + password}, args...)...)
		add(name, "PKCS12", password, password)
	}
	for _, key := range []string{"root", "ec", "ed"} {
		p12(key+".p12", key, "secret", "-name", "The "+key)
	}
	p12("chain.p12", "leaf", "secret", "-certfile", "chain.pem", "-name", "leaf")
	p12("trust-root.p12", "root", "secret")
	for i, sealing := range []string{"PBE-SHA1-3DES", "PBE-SHA1-RC2-40", "PBE-SHA1-RC2-128", "aes-128-cbc", "aes-256-cbc"} {
		p12(fmt.Sprintf("sealed%d.p12", i), "leaf", "pass word", "-legacy", "-keypbe", sealing, "-certpbe", sealing)
		p12(fmt.Sprintf("mixed%d.p12", i), "ec", "x", "-legacy", "-keypbe", sealing, "-certpbe", "NONE", "-iter", "1")
	}
	for _, mac := range []string{"sha1", "sha256", "sha384", "sha512"} {
		p12("mac-"+mac+".p12", "ec", "secret", "-macalg", mac, "-iter", "10000")
	}
	p12("old.p12", "leaf", "secret", "-legacy")
	p12("empty.p12", "leaf", "", "-name", "x")
	m.openssl("pkcs12", "-export", "-nokeys", "-in", "root.pem", "-out", "loose.p12", "-passout", "pass:secret")
	add("loose.p12", "PKCS12", "secret", "")

	made := func(kind, name, password, keyPassword string, from ...string) string {
		add(name, kind, password, keyPassword)
		return strings.Join(append([]string{"make", kind, name, password, keyPassword}, from...), "\t")
	}
	m.run(nil,
		made("JKS", "one.jks", "changeit", "changeit", "root.p12"),
		made("JKS", "other-password.jks", "changeit", "another", "root.p12", "ec.p12"),
		made("JKS", "chain.jks", "pässwörd", "pässwörd", "chain.p12", "ec.p12", "trust-root.p12"),
		made("JKS", "trust.jks", "allpassword", "", "trust-root.p12"),
		made("JKS", "nothing.jks", "changeit", ""),
		made("PKCS12", "one-java.p12", "changeit", "changeit", "chain.p12"),
		made("PKCS12", "many-java.jks", "changeit", "changeit", "chain.p12", "ec.p12", "ed.p12", "trust-root.p12"),
		made("PKCS12", "trust-java.jks", "changeit", "changeit", "trust-root.p12"),
		made("JCEKS", "old.jceks", "changeit", "changeit", "root.p12"),
	)
	m.run([]string{"-Dkeystore.pkcs12.legacy=true"}, made("PKCS12", "legacy-java.p12", "changeit", "changeit", "chain.p12", "ec.p12"))
	if len(stores) < 28 {
		t.Fatalf("only %d stores", len(stores))
	}

	var questions []string
	for _, s := range stores {
		questions = append(questions, strings.Join([]string{"list", s.kind, s.name, s.password}, "\t"))
	}
	seen := m.run(nil, questions...)
	for i, s := range stores {
		data := []byte(m.read(s.name))
		got, err := Open(context.Background(), data, s.password, s.keyPassword)
		if s.kind == "JCEKS" {
			if err == nil || !strings.Contains(err.Error(), "JCEKS") {
				t.Errorf("%s: %v", s.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		if text := describe(t, s.name, got); text != seen[i] {
			t.Errorf("%s:\njava %s\nhere %s", s.name, seen[i], text)
		}
		if s.password != "" {
			if _, err := Open(context.Background(), data, s.password+"x", ""); !errors.Is(err, ErrPassword) {
				t.Errorf("%s with a wrong password: %v", s.name, err)
			}
		}
	}
	for name, args := range map[string][]string{ // which Java refuses
		"secret":     {"-legacy", "-keypbe", "PBE-SHA1-2DES", "-certpbe", "PBE-SHA1-2DES"},
		"another":    {"-keypbe", "aes-192-cbc", "-certpbe", "aes-192-cbc"},
		"pässwörd 😀": {"-name", "letters"},
	} {
		m.openssl(append([]string{"pkcs12", "-export", "-inkey", "ec.key", "-in", "ec.pem", "-out", "alone.p12", "-passout", "pass:" + name}, args...)...)
		if _, err := Open(context.Background(), []byte(m.read("alone.p12")), name, ""); err != nil {
			t.Errorf("%q %v: %v", name, args, err)
		}
	}
	// A program that gives no password for the store reads JKS all the same.
	without, err := OpenWith(context.Background(), []byte(m.read("one.jks")), Passwords{NoStore: true, Key: "changeit"})
	if err != nil || len(without.Entries) != 1 || without.Entries[0].KeyErr != nil {
		t.Errorf("JKS without a password: %+v, %v", without, err)
	}
	if _, err := OpenWith(context.Background(), []byte(m.read("one-java.p12")), Passwords{NoStore: true, Key: "changeit"}); err == nil || !strings.Contains(err.Error(), "no password is given") {
		t.Errorf("PKCS#12 without a password: %v", err)
	}
	// The key's password counts in PKCS#12, too: Java gives it to the store, and fails.
	wrong, err := Open(context.Background(), []byte(m.read("one-java.p12")), "changeit", "another")
	if err != nil || len(wrong.Entries) != 1 || !errors.Is(wrong.Entries[0].KeyErr, ErrPassword) {
		t.Errorf("PKCS#12 with a wrong password of its key: %+v, %v", wrong, err)
	}
	// A key under another password than the store's, and the wrong one for it.
	other, err := Open(context.Background(), []byte(m.read("other-password.jks")), "changeit", "changeit")
	if err != nil || len(other.Entries) != 2 || !errors.Is(other.Entries[0].KeyErr, ErrPassword) || len(other.Entries[0].Chain) != 1 {
		t.Errorf("a wrong password of a key: %+v, %v", other, err)
	}
}

// describe writes a store as Stores.java does.
func describe(t *testing.T, name string, s *Store) string {
	t.Helper()
	var entries []string
	for i, e := range s.Entries {
		if e.CertErr != nil || e.KeyErr != nil {
			t.Errorf("%s: entry %q: %v, %v", name, e.Alias, e.CertErr, e.KeyErr)
		}
		if e.Loose {
			continue // Java lists none
		}
		alias := strings.ToLower(e.Alias)
		if alias == "" {
			alias = fmt.Sprint(i + 1) // as Java calls them
		}
		kind := "cert"
		if e.Private {
			kind = "key"
		}
		text := alias + " " + kind
		for _, cert := range e.Chain {
			sum := sha256.Sum256(cert.Raw)
			text += fmt.Sprintf(" %x", sum[:4])
		}
		entries = append(entries, text)
	}
	slices.Sort(entries)
	return strings.Join(entries, "|")
}

func (m *maker) read(name string) string {
	m.t.Helper()
	data, err := os.ReadFile(filepath.Join(m.dir, name))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(data)
}

func (m *maker) write(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func TestPEM(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.OpenSSL)
	m := &maker{t: t, dir: t.TempDir()}
	m.certificate("root", "", "rsa:2048")
	m.certificate("leaf", "root", "ec", "-pkeyopt", "ec_paramgen_curve:P-384")
	m.openssl("rsa", "-in", "root.key", "-traditional", "-out", "pkcs1.key")
	m.openssl("ec", "-in", "leaf.key", "-out", "sec1.key")
	m.openssl("pkcs8", "-topk8", "-in", "leaf.key", "-passout", "pass:x", "-out", "sealed.key")
	m.openssl("x509", "-in", "root.pem", "-outform", "DER", "-out", "root.der")
	root, leaf := m.read("root.pem"), m.read("leaf.pem")
	for name, c := range map[string]struct {
		text, want string // "KIND chain length key error" of each entry
	}{
		"certificates":              {root + leaf, "cert 1|cert 1"},
		"a key and its chain":       {m.read("leaf.key") + leaf + root, "key 2"},
		"its certificate is second": {root + leaf + m.read("leaf.key"), "key 2"},
		"PKCS#1":                    {m.read("pkcs1.key") + root, "key 1"},
		"SEC 1":                     {m.read("sec1.key") + leaf, "key 1"},
		"another certificate's key": {m.read("leaf.key") + root, "key 1 not the certificate's"},
		"a key alone":               {m.read("leaf.key"), "key 0 not the certificate's"},
		"an encrypted key":          {m.read("sealed.key") + leaf, "key 1 encrypted"},
		"one in DER":                {m.read("root.der"), "cert 1"},
		"two keys":                  {m.read("leaf.key") + m.read("pkcs1.key"), "error: several private keys"},
		"no certificate in it":      {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "error: certificate 1"},
		"nothing in it":             {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "error: neither"},
		"text":                      {"hello", "error: neither JKS"},
		"an empty file":             {"", "error: empty"},
	} {
		s, err := Open(context.Background(), []byte(c.text), "", "")
		if part, fails := strings.CutPrefix(c.want, "error: "); fails {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want an error with %q", name, err, part)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := strings.Split(c.want, "|")
		if len(s.Entries) != len(want) {
			t.Errorf("%s: %d entries, want %d", name, len(s.Entries), len(want))
			continue
		}
		for i, e := range s.Entries {
			kind, _, _ := strings.Cut(want[i], " ")
			var length int
			_, _ = fmt.Sscanf(want[i], kind+" %d", &length)
			_, why, _ := strings.Cut(want[i], fmt.Sprintf("%d", length))
			why = strings.TrimSpace(why)
			if e.Private != (kind == "key") || len(e.Chain) != length || (why == "") != (e.KeyErr == nil) || why != "" && !strings.Contains(e.KeyErr.Error(), why) {
				t.Errorf("%s: entry %+v (key: %v), want %s", name, e, e.KeyErr, want[i])
			}
		}
	}
}

// TestHostileStores: cut short at every byte, and every byte changed, a store
// is an error or opens; it never panics and never takes long.
func TestHostileStores(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.OpenSSL)
	m := &maker{t: t, dir: t.TempDir()}
	m.certificate("ec", "", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
	m.openssl("pkcs12", "-export", "-inkey", "ec.key", "-in", "ec.pem", "-out", "ec.p12", "-passout", "pass:secret", "-iter", "1")
	p12 := []byte(m.read("ec.p12"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	opened := 0
	for i := range p12 {
		if _, err := Open(ctx, p12[:i], "secret", "secret"); err == nil {
			t.Errorf("a store cut to %d of %d bytes opens", i, len(p12))
		}
		for _, change := range []byte{1, 0x80, 0xff} {
			changed := slices.Clone(p12)
			changed[i] ^= change
			if s, err := Open(ctx, changed, "secret", "secret"); err == nil && len(s.Entries) > 0 {
				opened++
			}
		}
	}
	if opened > len(p12)/20 {
		t.Errorf("%d of %d changed stores open", opened, 3*len(p12))
	}
	// JKS: sealed anew after each change, so that what is behind the seal is read.
	jks := sealedJKS("secret", []byte{0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 'a', 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	if _, err := Open(ctx, jks, "secret", ""); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("a key of 4 GiB in a file of 50 bytes: %v", err)
	}
	jks = sealedJKS("secret", []byte{0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff})
	if _, err := Open(ctx, jks, "secret", ""); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("4 billion entries: %v", err)
	}
}

// TestDeadline: a store that demands much is given up when the time is over.
func TestDeadline(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.OpenSSL)
	m := &maker{t: t, dir: t.TempDir()}
	m.certificate("ec", "", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
	m.openssl("pkcs12", "-export", "-inkey", "ec.key", "-in", "ec.pem", "-out", "slow.p12", "-passout", "pass:secret", "-iter", "2000000")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(ctx, []byte(m.read("slow.p12")), "secret", ""); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(sealedJKS("p", []byte{0, 0, 0, 2, 0, 0, 0, 0})[4:28], true)
	f.Fuzz(func(t *testing.T, body []byte, jks bool) {
		if jks {
			body = sealedJKS("p", body)
		}
		s, err := open(body, Passwords{Store: "p", Key: "p"})
		if err == nil && len(s.Entries) > MaxEntries {
			t.Error("too many entries")
		}
	})
}

// sealedJKS makes a JKS store of what follows its magic number.
func sealedJKS(password string, body []byte) []byte {
	data := append([]byte{0xfe, 0xed, 0xfe, 0xed}, body...)
	return append(data, jksDigest(password, data)...)
}
