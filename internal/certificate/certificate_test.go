package certificate

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/keystore"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/quantity"
)

// keys are made once: large RSA keys take their time.
var keys = sync.OnceValue(func() map[string]crypto.Signer {
	must := func(k crypto.Signer, err error) crypto.Signer {
		if err != nil {
			panic(err)
		}
		return k
	}
	made := map[string]crypto.Signer{}
	for _, bits := range []int{2048, 3072, 4096} {
		made[fmt.Sprintf("RSA %d", bits)] = must(rsa.GenerateKey(rand.Reader, bits))
	}
	for _, curve := range []elliptic.Curve{elliptic.P224(), elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		made[fmt.Sprintf("EC %d", curve.Params().BitSize)] = must(ecdsa.GenerateKey(curve, rand.Reader))
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	made["Ed25519"] = must(ed, err)
	return made
})

// spec is a certificate to make, with the chain above it.
type spec struct {
	key       string
	signature x509.SignatureAlgorithm
	from, to  time.Duration // from now
	names     []string
	usage     []x509.ExtKeyUsage
	keyUsage  x509.KeyUsage
	chain     int // certificates: 1 is self-signed, 2 has its root, 3 one between
	issuerTo  time.Duration
}

// make returns the chain, the certificate first, and the root.
func (s spec) make(t testing.TB, now time.Time) []*x509.Certificate {
	t.Helper()
	template := func(name string, from, to time.Duration) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
			NotBefore: now.Add(from), NotAfter: now.Add(to),
		}
	}
	own := template("connector", s.from, s.to)
	own.SignatureAlgorithm, own.ExtKeyUsage, own.KeyUsage = s.signature, s.usage, s.keyUsage
	for _, n := range s.names {
		if ip := net.ParseIP(n); ip != nil {
			own.IPAddresses = append(own.IPAddresses, ip)
		} else {
			own.DNSNames = append(own.DNSNames, n)
		}
	}
	create := func(c, issuer *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, c, issuer, public, signer)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	key := keys()[s.key]
	if s.chain < 2 {
		return []*x509.Certificate{create(own, own, key.Public(), key)}
	}
	rootKey, betweenKey := keys()["EC 384"], keys()["RSA 2048"]
	authority := func(name string, to time.Duration) *x509.Certificate {
		c := template(name, -1000*day, to)
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
		return c
	}
	root := authority("root", 5000*day)
	rootCert := create(root, root, rootKey.Public(), rootKey)
	if s.chain == 2 {
		own.SignatureAlgorithm = 0
		return []*x509.Certificate{create(own, rootCert, key.Public(), rootKey), rootCert}
	}
	to := s.issuerTo
	if to == 0 {
		to = 4000 * day
	}
	between := create(authority("between", to), rootCert, betweenKey.Public(), rootKey)
	return []*x509.Certificate{create(own, between, key.Public(), betweenKey), between, rootCert}
}

func entry(t testing.TB, s spec, now time.Time) keystore.Entry {
	return keystore.Entry{Private: true, Chain: s.make(t, now)}
}

const year = 365 * day

func good() spec {
	return spec{
		key: "RSA 4096", signature: x509.SHA256WithRSA, from: -day, to: 180 * day, chain: 1,
		names: []string{"ecc-provider", "*.example.org", "192.0.2.7", "2001:db8::7"},
		usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, keyUsage: x509.KeyUsageDigitalSignature,
	}
}

func strict() Wants {
	return Wants{
		Valid: true, Left: quantity.Duration(30 * day), Lifetime: quantity.Duration(year), RSABits: 4096, ECBits: 256,
		Digests: []string{"SHA-256", "SHA-384", "SHA-512"}, Names: []string{"ecc-provider", "a.example.org", "192.0.2.7", "2001:db8::7"},
		Usage: []string{"serverAuth"}, Chain: true, Pair: true, Unpublished: true,
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		change func(*spec)
		wants  func(*Wants)
		entry  func(*keystore.Entry)
		want   string // "KEY: GOT" of each fault
	}{
		"all is well":                     {},
		"expired":                         {change: func(s *spec) { s.from, s.to = -100*day, -day }, want: "validity: expired on 2026-02-28, 1 day ago"},
		"expired this moment":             {change: func(s *spec) { s.from, s.to = -100*day, -time.Second }, want: "validity: expired on 2026-03-01, 1 day ago"},
		"its last moment":                 {change: func(s *spec) { s.from, s.to = -100*day, 0 }, want: "validity: 2025-11-21 to 2026-03-01, 0 days left"},
		"not valid yet":                   {change: func(s *spec) { s.from = time.Second }, want: "validity: not valid yet: 2026-03-01 to 2026-08-28"},
		"ends soon":                       {change: func(s *spec) { s.to = 30*day - time.Second }, want: "validity: 2026-02-28 to 2026-03-31, 29 days left"},
		"30 days are enough":              {change: func(s *spec) { s.to = 30 * day }},
		"an issuer ends soon":             {change: func(s *spec) { s.chain, s.issuerTo = 3, 5*day }, want: "validity of the issuer CN=between: 2023-06-05 to 2026-03-06, 5 days left"},
		"lives long":                      {change: func(s *spec) { s.to = 2 * year }, want: "lifetime: 731 days"},
		"RSA 2048":                        {change: func(s *spec) { s.key = "RSA 2048" }, want: "key: RSA 2048"},
		"an issuer's RSA 2048 will do":    {change: func(s *spec) { s.chain = 3 }},
		"EC 256":                          {change: func(s *spec) { s.key, s.signature = "EC 256", 0 }},
		"EC 224":                          {change: func(s *spec) { s.key, s.signature = "EC 224", 0 }, want: "key: EC 224"},
		"Ed25519":                         {change: func(s *spec) { s.key, s.signature = "Ed25519", 0 }},
		"PSS":                             {change: func(s *spec) { s.signature = x509.SHA384WithRSAPSS }},
		"SHA-1":                           {entry: sha1Signed, wants: func(w *Wants) { w.Chain = false }, want: "signature: SHA-1"},
		"no names":                        {change: func(s *spec) { s.names = nil }, want: "names: it has no subject alternative name, names: it has no subject alternative name, names: it has no subject alternative name, names: it has no subject alternative name"},
		"another name":                    {wants: func(w *Wants) { w.Names = []string{"uc-dataapp"} }, want: "names: ecc-provider, *.example.org, 192.0.2.7, 2001:db8::7"},
		"a wildcard is for one label":     {wants: func(w *Wants) { w.Names = []string{"a.b.example.org"} }, want: "names: ecc-provider, *.example.org, 192.0.2.7, 2001:db8::7"},
		"names know no case":              {wants: func(w *Wants) { w.Names = []string{"ECC-Provider"} }},
		"for clients only":                {change: func(s *spec) { s.usage = s.usage[1:] }, want: "extended key usage: clientAuth"},
		"for anything by not saying":      {change: func(s *spec) { s.usage, s.keyUsage = nil, 0 }},
		"for anything by saying so":       {change: func(s *spec) { s.usage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }},
		"may not sign":                    {change: func(s *spec) { s.keyUsage = x509.KeyUsageKeyEncipherment }, want: "key usage: not among them"},
		"a chain of three":                {change: func(s *spec) { s.chain = 3 }},
		"its root may be missing":         {change: func(s *spec) { s.chain = 3 }, entry: func(e *keystore.Entry) { e.Chain = e.Chain[:2] }},
		"all above it missing":            {change: func(s *spec) { s.chain = 3 }, entry: func(e *keystore.Entry) { e.Chain = e.Chain[:1] }, want: "chain: alone, issued by CN=between"},
		"one in between is missing":       {change: func(s *spec) { s.chain = 3 }, entry: func(e *keystore.Entry) { e.Chain = []*x509.Certificate{e.Chain[0], e.Chain[2]} }, want: "chain: CN=connector, issued by CN=between"},
		"no private key":                  {entry: func(e *keystore.Entry) { e.Private = false }, want: "private key: none, only the certificate"},
		"another private key":             {entry: func(e *keystore.Entry) { e.KeyErr = keystore.ErrOtherKey }, want: "private key: another one than the certificate's"},
		"a private key alone":             {entry: func(e *keystore.Entry) { e.KeyErr, e.Chain = keystore.ErrOtherKey, nil }, want: "private key: there, without its certificate"},
		"a key that could not be opened":  {entry: func(e *keystore.Entry) { e.KeyErr = keystore.ErrPassword }, want: "error: the password does not open it"},
		"a certificate that is not read":  {entry: func(e *keystore.Entry) { *e = keystore.Entry{CertErr: keystore.ErrPassword} }, want: "error: the password does not open it"},
		"nothing there and no key wanted": {entry: func(e *keystore.Entry) { *e = keystore.Entry{} }, wants: func(w *Wants) { w.Pair = false }, want: "error: the entry has none"},
		"nothing is wanted": {change: func(s *spec) { s.key, s.to, s.names = "RSA 2048", -1, nil }, wants: func(w *Wants) { *w = Wants{} },
			entry: func(e *keystore.Entry) { e.Private = false }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, w := good(), strict()
			if c.change != nil {
				c.change(&s)
			}
			if c.wants != nil {
				c.wants(&w)
			}
			e := entry(t, s, now)
			if c.entry != nil {
				c.entry(&e)
			}
			faults, err := Judge(e, w, now)
			var got []string
			for _, f := range faults {
				if f.Want == "" {
					t.Errorf("nothing wanted of %s", f.Key)
				}
				got = append(got, f.Key+": "+f.Got)
			}
			text := strings.Join(got, ", ")
			if part, fails := strings.CutPrefix(c.want, "error: "); fails {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("%s, error %v, want %s", text, err, c.want)
				}
				return
			}
			if text != c.want || err != nil {
				t.Errorf("%s, error %v\nwant %s", text, err, c.want)
			}
		})
	}
}

// sha1Signed: Go makes no such signature any more, so one is claimed.
func sha1Signed(e *keystore.Entry) {
	cert := *e.Chain[0]
	cert.SignatureAlgorithm = x509.SHA1WithRSA
	e.Chain = []*x509.Certificate{&cert}
}

// TestPublished: a table of fingerprints finds its key, whatever certificate it is in.
func TestPublished(t *testing.T) {
	t.Parallel()
	for fingerprint, origin := range published {
		if len(fingerprint) != 64 || strings.ToLower(fingerprint) != fingerprint || origin == "" {
			t.Errorf("%s: %q", fingerprint, origin)
		}
	}
	cert := good().make(t, time.Now())[0]
	if origin, known := Published(cert); known {
		t.Errorf("a new key is %s", origin)
	}
}

func TestTrusted(t *testing.T) {
	t.Parallel()
	now := time.Now()
	one, three := good(), good()
	three.chain = 3
	alone, chain := one.make(t, now), three.make(t, now)
	for name, c := range map[string]struct {
		chain, anchors []*x509.Certificate
		want           bool
	}{
		"itself":                     {alone, alone, true},
		"its root":                   {chain, chain[2:], true},
		"the one between":            {chain, chain[1:2], true},
		"pinned":                     {chain[:1], chain[:1], true},
		"the root, and none between": {chain[:1], chain[2:], false},
		"the issuer alone":           {chain[:1], chain[1:2], true},
		"nobody":                     {chain, nil, false},
		"somebody else":              {alone, chain, false},
		"a chain in disorder":        {[]*x509.Certificate{chain[0], chain[2], chain[1]}, chain[2:], false},
	} {
		if got := Trusted(c.chain, c.anchors); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	// A name alone makes no issuer: the same subject, another key.
	s := good()
	s.key = "RSA 3072"
	if Trusted(s.make(t, now), alone) {
		t.Error("a certificate of the same subject is trusted for another's sake")
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]Wants{
		"usage":    {Usage: []string{"serverauth"}},
		"digests":  {Digests: []string{"SHA256"}},
		"names":    {Names: []string{"https://x/"}},
		"rsa_bits": {RSABits: -1},
		"left":     {Left: -1},
	} {
		if err := w.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := strict().Validate(); err != nil {
		t.Error(err)
	}
}

// TestAgainstJavaAndOpenSSL: what is said of certificates in stores is what
// Java says, and what is found at fault is what openssl refuses.
func TestAgainstJavaAndOpenSSL(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Java, lab.OpenSSL)
	dir := t.TempDir()
	run := func(name string, stdin string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, stderr.Bytes())
		}
		return string(out)
	}
	here, _ := os.Getwd()
	run("javac", "", "-d", dir, filepath.Join(here, "testdata/Facts.java"), filepath.Join(here, "../keystore/testdata/Stores.java"))

	now := time.Now().Truncate(time.Second)
	type made struct {
		spec
		chain []*x509.Certificate
		file  string
		kind  string
	}
	var all []made
	var toJKS, questions []string
	n := 0
	for _, key := range []string{"RSA 2048", "RSA 3072", "RSA 4096", "EC 256", "EC 384", "EC 521", "Ed25519"} {
		for i, span := range [][2]time.Duration{{-day, 180 * day}, {-400 * day, -3 * day}, {2 * day, 90 * day}, {-200 * day, 12 * day}, {-day, 3000 * day}} {
			s := spec{key: key, from: span[0], to: span[1], chain: 1 + (n+i)%3}
			if strings.HasPrefix(key, "RSA") && s.chain == 1 {
				s.signature = []x509.SignatureAlgorithm{x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA, x509.SHA256WithRSAPSS}[n%4]
			}
			s.names = [][]string{{"ecc-provider", "localhost"}, nil, {"*.example.org"}, {"192.0.2.7", "ecc-provider"}}[n%4]
			s.usage = [][]x509.ExtKeyUsage{{x509.ExtKeyUsageServerAuth}, {x509.ExtKeyUsageClientAuth}, nil, {x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}[(n+i)%4]
			s.keyUsage = []x509.KeyUsage{x509.KeyUsageDigitalSignature, 0, x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature}[n%3]
			m := made{spec: s, chain: s.make(t, now), file: fmt.Sprintf("%d.p12", n), kind: "PKCS12"}
			base := fmt.Sprint(n)
			der, err := x509.MarshalPKCS8PrivateKey(keys()[key])
			if err != nil {
				t.Fatal(err)
			}
			writePEM(t, filepath.Join(dir, base+".key"), &pem.Block{Type: "PRIVATE KEY", Bytes: der})
			writeCerts(t, filepath.Join(dir, base+".pem"), m.chain)
			run("openssl", "", "pkcs12", "-export", "-inkey", base+".key", "-in", base+".pem", "-out", m.file, "-passout", "pass:secret", "-name", "own")
			if n%2 == 1 {
				m.kind, m.file = "JKS", base+".jks"
				toJKS = append(toJKS, strings.Join([]string{"make", "JKS", m.file, "secret", "secret", base + ".p12"}, "\t"))
			}
			questions = append(questions, m.kind+"\t"+m.file)
			all = append(all, m)
			n++
		}
	}
	if len(all) < 30 {
		t.Fatalf("only %d stores", len(all))
	}
	run("java", strings.Join(toJKS, "\n"), "-cp", dir, "Stores")
	said := strings.Split(strings.TrimSpace(run("java", strings.Join(questions, "\n"), "-cp", dir, "Facts")), "\n")
	refused := 0
	for i, m := range all {
		data, err := os.ReadFile(filepath.Join(dir, m.file))
		if err != nil {
			t.Fatal(err)
		}
		store, err := keystore.Open(context.Background(), data, "secret", "secret")
		if err != nil || len(store.Entries) != 1 {
			t.Fatalf("%s: %d entries, error %v", m.file, len(store.Entries), err)
		}
		e := store.Entries[0]
		if got := facts(e.Chain); got != said[i] {
			t.Errorf("%s:\njava %s\nhere %s", m.file, said[i], got)
		}
		name := []string{"ecc-provider", "x.example.org", "192.0.2.7"}[i%3]
		w := Wants{Valid: true, Names: []string{name}, Usage: []string{"serverAuth"}, Pair: true}
		faults, err := Judge(e, w, now)
		if err != nil {
			t.Errorf("%s: %v", m.file, err)
		}
		base := strings.TrimSuffix(m.file, filepath.Ext(m.file))
		args := []string{"verify", "-attime", fmt.Sprint(now.Unix()), "-purpose", "sslserver", "-partial_chain", "-trusted", base + ".root", "-untrusted", base + ".pem"}
		writeCerts(t, filepath.Join(dir, base+".root"), m.chain[len(m.chain)-1:])
		if net.ParseIP(name) != nil {
			args = append(args, "-verify_ip", name)
		} else {
			args = append(args, "-verify_hostname", name)
		}
		cmd := exec.Command("openssl", append(args, base+".pem")...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if (err == nil) != (len(faults) == 0) {
			t.Errorf("%s, %s: openssl says %v: %s\nhere %v", m.file, name, err, out, faults)
		}
		if len(faults) > 0 {
			refused++
		}
		if left := DaysLeft(e.Chain[0], now); left != int(m.to/day) {
			t.Errorf("%s: %d days left, want %v", m.file, left, m.to/day)
		}
	}
	if refused < len(all)/4 || refused > len(all)*9/10 {
		t.Errorf("%d of %d refused", refused, len(all))
	}
}

// facts writes a chain as Facts.java does.
func facts(chain []*x509.Certificate) string {
	cert := chain[0]
	signature := map[x509.SignatureAlgorithm]string{
		x509.SHA256WithRSA: "SHA256withRSA", x509.SHA384WithRSA: "SHA384withRSA", x509.SHA512WithRSA: "SHA512withRSA", x509.SHA256WithRSAPSS: "RSASSA-PSS",
		x509.ECDSAWithSHA256: "SHA256withECDSA", x509.ECDSAWithSHA384: "SHA384withECDSA", x509.ECDSAWithSHA512: "SHA512withECDSA", x509.PureEd25519: "Ed25519",
	}[cert.SignatureAlgorithm]
	oids := map[string]string{"serverAuth": "1.3.6.1.5.5.7.3.1", "clientAuth": "1.3.6.1.5.5.7.3.2"}
	var usage []string
	for _, u := range Usage(cert) {
		usage = append(usage, oids[u])
	}
	return strings.Join([]string{
		fmt.Sprint(cert.NotBefore.Unix()), fmt.Sprint(cert.NotAfter.Unix()), KeyOf(cert).String(), signature,
		strings.Join(Names(cert), ","), strings.Join(usage, ","), fmt.Sprint(len(chain)),
	}, "|")
}

func writePEM(t testing.TB, file string, blocks ...*pem.Block) {
	t.Helper()
	var text bytes.Buffer
	for _, b := range blocks {
		if err := pem.Encode(&text, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func writeCerts(t testing.TB, file string, chain []*x509.Certificate) {
	t.Helper()
	var blocks []*pem.Block
	for _, c := range chain {
		blocks = append(blocks, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	writePEM(t, file, blocks...)
}

// FuzzJudge: any certificate that parses can be described and judged.
func FuzzJudge(f *testing.F) {
	now := time.Now()
	for _, key := range []string{"RSA 2048", "EC 256", "Ed25519"} {
		s := good()
		s.key, s.signature = key, 0
		f.Add(s.make(f, now)[0].Raw)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		w, chain := strict(), []*x509.Certificate{cert, cert}
		w.Chain = false
		if _, err := Judge(keystore.Entry{Private: true, Chain: chain}, w, now); err != nil {
			t.Error(err)
		}
		if faults, err := JudgeChain(chain, chain); len(faults) > 0 && err != nil {
			t.Errorf("%v, and %v", faults, err)
		}
		if Describe(cert, now) == "" || len(Fingerprint(cert)) != 64 {
			t.Error("not described")
		}
	})
}
