package connector

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/certificate"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/keystore"
	"github.com/hostguard/hostguard/internal/lab/checktest"
	"github.com/hostguard/hostguard/internal/quantity"
	"github.com/hostguard/hostguard/internal/springconf"
)

const day = 24 * time.Hour

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// issued makes a certificate for names that ends some days after noon; without
// an issuer it signs itself.
func issued(t *testing.T, name string, days int, issuer *authority, names ...string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: names,
		NotBefore: noon.Add(-10 * day), NotAfter: noon.Add(time.Duration(days) * day),
		IsCA: len(names) == 0, BasicConstraintsValid: true,
	}
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// core is an execution core's store with one key.
func core(chain ...*x509.Certificate) host.KeyStore {
	return host.KeyStore{
		Connector: "/opt/tc", App: "service ecc", Core: true, Use: host.StoreTLS, Path: "/opt/tc/cert/ssl.jks", Alias: "own", Names: []string{"ecc"},
		NamedBy: springconf.Place{Source: "/opt/tc/.env", Line: 3, Key: "KEYSTORE_NAME"},
		Store:   &keystore.Store{Format: keystore.JKS, Entries: []keystore.Entry{{Alias: "Own", Private: true, Chain: chain}}},
	}
}

func trusts(certs ...*x509.Certificate) host.KeyStore {
	s := core()
	s.Use, s.Path, s.Alias = host.StoreTrust, "/opt/tc/cert/trust.jks", ""
	s.Store = &keystore.Store{Format: keystore.JKS}
	for _, c := range certs {
		s.Store.Entries = append(s.Store.Entries, keystore.Entry{Alias: c.Subject.CommonName, Chain: []*x509.Certificate{c}})
	}
	return s
}

func withStore(s host.KeyStore, change func(*host.KeyStore)) host.KeyStore {
	change(&s)
	return s
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	own := issued(t, "own", 100, nil, "ecc", "connector.example.org").cert
	old := issued(t, "old", -1, nil, "ecc").cert
	soon := issued(t, "soon", 20, nil, "ecc").cert
	pair := certificateParams{Stores: []string{"tls"}, Wants: certificate.Wants{Pair: true}}
	valid := certificateParams{Stores: []string{"tls", "daps"}, Wants: certificate.Wants{Valid: true}}
	left := certificateParams{Stores: []string{"tls"}, Wants: certificate.Wants{Left: quantity.Duration(30 * day)}}
	named := certificateParams{Stores: []string{"tls"}, Addressed: true, CoreNames: []string{"connector.example.org"}}
	absent := withStore(core(), func(s *host.KeyStore) { s.Absent, s.Store = true, nil })
	closed := withStore(core(), func(s *host.KeyStore) { s.Err, s.Store = errors.New("cannot look at it: the password"), nil })
	for name, c := range map[string]struct {
		stores []host.KeyStore
		p      certificateParams
		want   string
	}{
		"there":                       {[]host.KeyStore{core(own)}, pair, "pass"},
		"valid":                       {[]host.KeyStore{core(own)}, valid, "pass"},
		"expired":                     {[]host.KeyStore{core(own), core(old)}, valid, "fail: has expired"},
		"ends soon":                   {[]host.KeyStore{core(soon)}, left, "fail: expires soon"},
		"ends soon, valid now":        {[]host.KeyStore{core(soon)}, valid, "pass"},
		"no such file":                {[]host.KeyStore{absent}, pair, "fail: is not there"},
		"no such file to be valid":    {[]host.KeyStore{absent}, valid, "not-applicable: no certificate to judge"},
		"one of two is not there":     {[]host.KeyStore{absent, core(own)}, valid, "pass"},
		"it does not open":            {[]host.KeyStore{closed, core(own)}, valid, "error: the password"},
		"another has expired for all": {[]host.KeyStore{closed, core(old)}, valid, "fail: has expired"},
		"no such alias":               {[]host.KeyStore{withStore(core(own), func(s *host.KeyStore) { s.Alias = "other" })}, pair, "fail: (entry)"},
		"the alias has no key":        {[]host.KeyStore{withStore(core(own), func(s *host.KeyStore) { s.Store.Entries[0].Private = false })}, pair, "fail: not there together"},
		"no alias is named":           {[]host.KeyStore{withStore(core(own), func(s *host.KeyStore) { s.Alias = "" })}, pair, "pass"},
		"no alias, and no key":        {[]host.KeyStore{withStore(trusts(own), func(s *host.KeyStore) { s.Use = host.StoreTLS })}, pair, "fail: (entry)"},
		"PEM in a store's place":      {[]host.KeyStore{withStore(core(own), func(s *host.KeyStore) { s.Store.Format = keystore.PEM })}, pair, "fail: (format)"},
		"a key that is not opened":    {[]host.KeyStore{withStore(core(own), func(s *host.KeyStore) { s.Store.Entries[0].KeyErr = keystore.ErrPassword })}, pair, "error: entry Own: the password"},
		"for its names":               {[]host.KeyStore{core(own)}, named, "pass"},
		"for other names":             {[]host.KeyStore{core(soon)}, named, "fail: not for a name"},
		"partners call the core only": {[]host.KeyStore{withStore(core(soon), func(s *host.KeyStore) { s.Core = false })}, named, "pass"},
		"its names cannot be told":    {[]host.KeyStore{withStore(core(own), func(s *host.KeyStore) { s.NamesErr = errors.New("only the shell knows") })}, named, "error: only the shell knows"},
		"DAPS is another store":       {[]host.KeyStore{withStore(core(old), func(s *host.KeyStore) { s.Use = host.StoreDAPS })}, pair, "not-applicable: no store of this kind"},
		"DAPS is on without a store": {[]host.KeyStore{withStore(absent, func(s *host.KeyStore) { s.Use, s.Path = host.StoreDAPS, "" })},
			certificateParams{Stores: []string{"daps"}, Wants: certificate.Wants{Pair: true}}, "fail: is not there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := c.p.Validate(); err != nil {
				t.Fatal(err)
			}
			before := len(c.stores)
			v, err := judgeCertificates(c.stores, c.p, host.Now{Time: noon, By: "the test's clock"}, nil)
			if len(v.Evidence) == 0 && v.Status == checks.NotApplicable {
				v.Evidence = []checks.Evidence{{Source: "nothing"}}
			}
			checktest.Judged(t, v, err, c.want)
			if len(c.stores) != before {
				t.Error("the stores are changed")
			}
		})
	}
}

func TestChains(t *testing.T) {
	t.Parallel()
	root := issued(t, "root", 900, nil)
	between := issued(t, "between", 900, root)
	server := issued(t, "leaf", 100, between, "ecc")
	leaf := server.cert
	alone := issued(t, "alone", 100, nil, "ecc").cert
	foreign := issued(t, "between", 900, nil).cert
	p := certificateParams{Stores: []string{"tls"}, Wants: certificate.Wants{Chain: true}}
	closed := withStore(trusts(), func(s *host.KeyStore) { s.Err, s.Store = errors.New("the password"), nil })
	elsewhere := withStore(trusts(between.cert), func(s *host.KeyStore) { s.Connector = "/opt/b" })
	known := func(certs ...*x509.Certificate) func() (host.Authorities, error) {
		return func() (host.Authorities, error) { return host.Authorities{Path: "/bundle", Certificates: certs}, nil }
	}
	none := func() (host.Authorities, error) { return host.Authorities{Path: "/bundle", Absent: true}, nil }
	for name, c := range map[string]struct {
		stores      []host.KeyStore
		authorities func() (host.Authorities, error)
		want        string
	}{
		"self-signed":                        {[]host.KeyStore{core(alone)}, none, "pass"},
		"with its root":                      {[]host.KeyStore{core(leaf, between.cert, root.cert)}, none, "pass"},
		"the root is in the trust store":     {[]host.KeyStore{core(leaf, between.cert), trusts(root.cert)}, nil, "pass"},
		"the root is this host's":            {[]host.KeyStore{core(leaf, between.cert), trusts(alone)}, known(alone, root.cert), "pass"},
		"its issuer is in the trust store":   {[]host.KeyStore{core(leaf), trusts(between.cert)}, nil, "pass"},
		"nobody knows its issuer":            {[]host.KeyStore{core(leaf), trusts(root.cert)}, known(root.cert), "fail: looked for in /opt/tc/cert/trust.jks, /bundle"},
		"this host has no authorities":       {[]host.KeyStore{core(leaf)}, none, "fail: CN=leaf, and no authority that is known has signed it: looked for in /bundle (absent)"},
		"pinned, by those who have it":       {[]host.KeyStore{core(leaf), trusts(leaf)}, none, "fail: CN=between"},
		"another connector's trust store":    {[]host.KeyStore{core(leaf), elsewhere}, none, "fail: CN=between"},
		"a foreign issuer of its name":       {[]host.KeyStore{core(leaf), trusts(foreign)}, none, "fail: CN=between"},
		"a foreign issuer of its name, sent": {[]host.KeyStore{core(leaf, foreign), trusts(between.cert)}, none, "fail: another key has signed it"},
		"wrong order":                        {[]host.KeyStore{core(leaf, root.cert, between.cert)}, nil, "fail: stands elsewhere"},
		"a leaf as issuer":                   {[]host.KeyStore{core(issued(t, "x", 9, server, "ecc").cert, leaf)}, nil, "fail: CN=leaf, which is no authority"},
		"the trust store does not open":      {[]host.KeyStore{core(leaf), closed}, none, "error: the password"},
		"nor need it":                        {[]host.KeyStore{core(leaf, between.cert), closed}, known(root.cert), "pass"},
		"authorities that cannot be read": {[]host.KeyStore{core(leaf, between.cert)}, func() (host.Authorities, error) { return host.Authorities{}, errors.New("too large") },
			"error: too large"},
		"one authority that cannot be read": {[]host.KeyStore{core(leaf, between.cert)}, func() (host.Authorities, error) { return host.Authorities{Path: "/bundle", Unread: 1}, nil },
			"error: cannot read 1 certificates of /bundle"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := judgeCertificates(c.stores, p, host.Now{}, c.authorities)
			for _, e := range v.Evidence {
				if v.Status == checks.Fail {
					v.Reason += " " + e.Want + ": " + e.Got
				}
			}
			checktest.Judged(t, v, err, c.want)
		})
	}
}

func TestTrust(t *testing.T) {
	t.Parallel()
	root := issued(t, "root", 900, nil)
	between := issued(t, "between", 900, root)
	leaf := issued(t, "leaf", 100, between, "ecc").cert
	alone := issued(t, "alone", 100, nil, "ecc").cert
	old := issued(t, "old", -1, nil, "partner").cert
	own, valid, unpublished := trustParams{Own: true}, trustParams{Valid: true}, trustParams{Unpublished: true}
	absent := withStore(trusts(), func(s *host.KeyStore) { s.Absent, s.Store = true, nil })
	closed := withStore(trusts(), func(s *host.KeyStore) { s.Err, s.Store = errors.New("the password"), nil })
	loose := trusts(alone)
	loose.Store.Entries[0].Loose = true
	for name, c := range map[string]struct {
		stores []host.KeyStore
		p      trustParams
		want   string
	}{
		"its own":                          {[]host.KeyStore{core(alone), trusts(alone)}, own, "pass"},
		"its root":                         {[]host.KeyStore{core(leaf, between.cert), trusts(root.cert)}, own, "pass"},
		"the one between":                  {[]host.KeyStore{core(leaf, between.cert), trusts(between.cert)}, own, "pass"},
		"its root, and none between":       {[]host.KeyStore{core(leaf), trusts(root.cert)}, own, "fail: does not trust"},
		"partners do not get what is left": {[]host.KeyStore{core(leaf), trusts(between.cert, root.cert)}, own, "fail: chain is not in order"},
		"others":                           {[]host.KeyStore{core(alone), trusts(root.cert)}, own, "fail: does not trust"},
		"nobody":                           {[]host.KeyStore{core(alone), trusts()}, own, "fail: does not trust"},
		"as Java does not see it":          {[]host.KeyStore{core(alone), loose}, own, "fail: does not trust"},
		"another connector's":              {[]host.KeyStore{core(alone), withStore(core(leaf), func(s *host.KeyStore) { s.Connector = "/opt/b" }), trusts(alone)}, own, "pass"},
		"no such file":                     {[]host.KeyStore{core(alone), absent}, own, "fail: trust store"},
		"nothing of its own to trust":      {[]host.KeyStore{withStore(core(), func(s *host.KeyStore) { s.Absent, s.Store = true, nil }), trusts(alone)}, own, "not-applicable: no such certificate"},
		"no such file, nothing in it":      {[]host.KeyStore{core(alone), absent}, valid, "not-applicable: no such certificate"},
		"it does not open":                 {[]host.KeyStore{core(alone), closed}, valid, "error: the password"},
		"none is named":                    {[]host.KeyStore{core(alone)}, valid, "error: cannot tell whom service ecc trusts"},
		"none has expired":                 {[]host.KeyStore{core(old), trusts(alone, root.cert)}, valid, "pass"},
		"one has expired":                  {[]host.KeyStore{core(alone), trusts(alone, old)}, valid, "fail: has expired"},
		"its key is its own":               {[]host.KeyStore{core(alone), trusts(alone)}, unpublished, "pass"},
		"one that is not read": {[]host.KeyStore{core(alone), withStore(trusts(alone), func(s *host.KeyStore) {
			s.Store.Entries = append(s.Store.Entries, keystore.Entry{Alias: "x", CertErr: errors.New("brainpool")})
		})}, unpublished, "error: entry x: brainpool"},
		"the services cannot be told": {[]host.KeyStore{{Connector: "/opt/tc", Use: host.StoreTLS, Err: errors.New("compose file")}}, own, "error: compose file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := judgeTrust(c.stores, c.p, host.Now{Time: noon, By: "the test's clock"})
			if len(v.Evidence) == 0 && v.Status == checks.NotApplicable {
				v.Evidence = []checks.Evidence{{Source: "nothing"}}
			}
			checktest.Judged(t, v, err, c.want)
		})
	}
}

// TestSharedStoreIsNamedOnce: the applications of a connector share a store, and
// what is wrong with it is one finding.
func TestSharedStoreIsNamedOnce(t *testing.T) {
	t.Parallel()
	old := issued(t, "old", -1, nil, "ecc").cert
	stores := slices.Repeat([]host.KeyStore{core(old)}, 5)
	v, err := judgeCertificates(stores, certificateParams{Stores: []string{"tls"}, Wants: certificate.Wants{Valid: true}}, host.Now{Time: noon, By: "x"}, nil)
	if err != nil || len(v.Evidence) != 2 || !strings.Contains(v.Evidence[0].Got, "expired on 2026-02-28") || v.Evidence[1].Got != "x" {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestCertificateParamsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]checks.Validator{
		"no stores":               certificateParams{},
		"an unknown store":        certificateParams{Stores: []string{"trust"}},
		"a name that is a URL":    certificateParams{Stores: []string{"tls"}, CoreNames: []string{"https://x/"}},
		"a server that is a path": certificateParams{Stores: []string{"tls"}, Servers: []string{"/dev/null"}},
		"an unknown use":          certificateParams{Stores: []string{"tls"}, Wants: certificate.Wants{Usage: []string{"x"}}},
		"whom to ask":             trustParams{Servers: []string{"/dev/null"}},
	} {
		if p.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
