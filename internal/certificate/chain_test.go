package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/keystore"
	"github.com/hostguard/hostguard/internal/lab"
)

// issuing is a certificate with its key.
type issuing struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

// issue makes a certificate, an authority's unless change says otherwise; without an
// issuer it signs itself.
func issue(t testing.TB, name string, by *issuing, now time.Time, change func(*x509.Certificate)) *issuing {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issueFor(t, key, name, by, now, change)
}

func issueFor(t testing.TB, key *ecdsa.PrivateKey, name string, by *issuing, now time.Time, change func(*x509.Certificate)) *issuing {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano() + int64(len(name))), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-day), NotAfter: now.Add(100 * day),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: -1, KeyUsage: x509.KeyUsageCertSign,
	}
	if change != nil {
		change(template)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.Certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuing{cert, key}
}

func aServer(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature }

// TestChainsAgainstOpenSSL: a chain is in order here when openssl verifies it with
// nothing but what a peer gets and trusts, and what openssl forgives is said.
func TestChainsAgainstOpenSSL(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.OpenSSL)
	now := time.Now().Truncate(time.Second)
	type chain = []*issuing
	for name, c := range map[string]struct {
		change  func(level int, c *x509.Certificate) // of authorities: 1 signs the server, 3 is the root
		sent    func(all chain) chain                // of server, one, two, root; nil: all but the root
		anchors func(all chain) chain                // nil: the root
		want    string                               // part of the fault; empty: it is in order
		strict  bool                                 // openssl puts what is sent in order, and passes over what is too much
	}{
		"right":                  {},
		"with its root":          {sent: func(all chain) chain { return all }},
		"with its root, unknown": {sent: func(all chain) chain { return all }, anchors: func(chain) chain { return nil }},
		"issued by the root":     {sent: func(all chain) chain { return chain{issue(t, "server", all[3], now, aServer)} }},
		"self-signed":            {sent: func(chain) chain { return chain{issue(t, "alone", nil, now, aServer)} }, anchors: func(chain) chain { return nil }},
		"the issuer is trusted":  {sent: func(all chain) chain { return all[:1] }, anchors: func(all chain) chain { return all[1:] }},
		"cross-signed at its end": {sent: func(all chain) chain {
			return append(slices.Clip(all[:3]), issueFor(t, all[3].key, "root", issue(t, "old", nil, now, nil), now, nil))
		}},
		"the root is unknown": {anchors: func(chain) chain { return nil }, want: "its issuer follows, CN=root"},
		"another root":        {anchors: func(chain) chain { return chain{issue(t, "other", nil, now, nil)} }, want: "its issuer follows, CN=root"},
		"another root of the name": {anchors: func(chain) chain { return chain{issue(t, "root", nil, now, nil)} },
			want: "its issuer follows, CN=root"},
		"an anchor that is no authority": {anchors: func(chain) chain { return chain{issue(t, "root", nil, now, aServer)} }, want: "its issuer follows, CN=root"},
		"alone":                          {sent: func(all chain) chain { return all[:1] }, want: "its issuer follows, CN=one"},
		"one is missing":                 {sent: func(all chain) chain { return chain{all[0], all[2], all[3]} }, want: "CN=server, issued by CN=one"},
		"the last is missing":            {sent: func(all chain) chain { return all[:2] }, want: "its issuer follows, CN=two"},
		"wrong order":                    {sent: func(all chain) chain { return chain{all[0], all[2], all[1]} }, want: "CN=server, issued by CN=one, which stands elsewhere", strict: true},
		"the root first":                 {sent: func(all chain) chain { return chain{all[0], all[3], all[1], all[2]} }, want: "which stands elsewhere", strict: true},
		"a stranger behind":              {sent: func(all chain) chain { return append(slices.Clip(all), issue(t, "stranger", nil, now, nil)) }, want: "signed by the next, CN=stranger: CN=root, issued by CN=root", strict: true},
		"a stranger between":             {sent: func(all chain) chain { return chain{all[0], all[1], issue(t, "stranger", nil, now, nil), all[2]} }, want: "signed by the next, CN=stranger", strict: true},
		"a foreign issuer of its name":   {sent: func(all chain) chain { return chain{all[0], issue(t, "one", all[2], now, nil), all[2]} }, want: "CN=server names CN=one as its issuer, but another key has signed it"},
		"an issuer has expired":          {change: at(1, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(-9*day), now.Add(-day) }), want: "validity of the issuer CN=one"},
		"an issuer is not valid yet":     {change: at(2, func(c *x509.Certificate) { c.NotBefore = now.Add(day) }), want: "validity of the issuer CN=two"},
		"an issuer is no authority":      {change: at(1, func(c *x509.Certificate) { c.IsCA = false }), want: "CN=one, which is no authority"},
		"an issuer says nothing":         {change: at(2, func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = false, false }), want: "CN=two, which is no authority"},
		"an issuer may not sign":         {change: at(2, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), want: "CN=two, whose key may not sign"},
		"an issuer without usages":       {change: at(2, func(c *x509.Certificate) { c.KeyUsage = 0 })},
		"the root is no authority":       {change: at(3, func(c *x509.Certificate) { c.IsCA = false }), sent: func(all chain) chain { return all }, want: "CN=root, which is no authority"},
		"a path that is too long":        {change: at(2, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }), want: "at most 0 authorities below CN=two"},
		"a path that is long enough":     {change: at(2, func(c *x509.Certificate) { c.MaxPathLen = 1 })},
		"the trusted root's is too long": {change: at(3, func(c *x509.Certificate) { c.MaxPathLen = 1 }), want: "its issuer follows, CN=root"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			level := func(n int) func(*x509.Certificate) {
				return func(cert *x509.Certificate) {
					if c.change != nil {
						c.change(n, cert)
					}
				}
			}
			root := issue(t, "root", nil, now, level(3))
			two := issue(t, "two", root, now, level(2))
			one := issue(t, "one", two, now, level(1))
			all := chain{issue(t, "server", one, now, aServer), one, two, root}
			sent, anchors := all[:3], all[3:]
			if c.sent != nil {
				sent = c.sent(all)
			}
			if c.anchors != nil {
				anchors = c.anchors(all)
			}
			faults, err := Judge(keystore.Entry{Chain: certs(sent)}, Wants{Valid: true}, now)
			if err != nil {
				t.Fatal(err)
			}
			more, err := JudgeChain(certs(sent), certs(anchors))
			if err != nil {
				t.Fatal(err)
			}
			var said []string
			for _, f := range append(faults, more...) {
				said = append(said, f.Key+": "+f.Want+": "+f.Got)
			}
			text := strings.Join(said, "; ")
			if (text == "") != (c.want == "") || !strings.Contains(text, c.want) {
				t.Errorf("%s\nwant %s", text, c.want)
			}

			dir := t.TempDir()
			trusted := certs(anchors)
			if last := sent[len(sent)-1].Certificate; SelfSigned(last) {
				trusted = append(trusted, last) // whether peers trust it is theirs to say
			}
			args := []string{"verify", "-attime", fmt.Sprint(now.Unix()), "-no-CAfile", "-no-CApath", "-no-CAstore"}
			for option, list := range map[string][]*x509.Certificate{"-trusted": trusted, "-untrusted": certs(sent)} {
				if len(list) > 0 {
					file := filepath.Join(dir, option)
					writeCerts(t, file, list)
					args = append(args, option, file)
				}
			}
			writeCerts(t, filepath.Join(dir, "server"), certs(sent[:1]))
			out, err := exec.Command("openssl", append(args, filepath.Join(dir, "server"))...).CombinedOutput()
			if verified := err == nil; verified != (text == "" || c.strict) {
				t.Errorf("openssl: %v: %s", err, out)
			}
		})
	}
}

func certs(list []*issuing) []*x509.Certificate {
	var all []*x509.Certificate
	for _, c := range list {
		all = append(all, c.Certificate)
	}
	return all
}

// at changes the authority of one level.
func at(level int, change func(*x509.Certificate)) func(int, *x509.Certificate) {
	return func(n int, c *x509.Certificate) {
		if n == level {
			change(c)
		}
	}
}
