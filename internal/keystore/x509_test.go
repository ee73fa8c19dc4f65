package keystore

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/lab"
)

// TestLenientCertificates: what Java reads and Go refuses is read, is the same
// certificate, and its signature holds.
func TestLenientCertificates(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.OpenSSL)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, extension := range map[string]pkix.Extension{
		"critical subject key identifier":   {Id: oidSubjectKeyID, Critical: true, Value: []byte{4, 2, 1, 2}},
		"critical authority key identifier": {Id: oidAuthorityKeyID, Critical: true, Value: []byte{0x30, 4, 0x80, 2, 1, 2}},
	} {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "testbed"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
			DNSNames: []string{"testbed"}, ExtraExtensions: []pkix.Extension{extension},
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if der == nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := x509.ParseCertificate(der); err == nil {
			t.Errorf("%s: Go takes it: this test is about nothing", name)
		}
		cert, err := ParseCertificate(der)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if string(cert.Raw) != string(der) || cert.Subject.CommonName != "testbed" || len(cert.DNSNames) != 1 {
			t.Errorf("%s: %+v", name, cert)
		}
		if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
			t.Errorf("%s: its own signature: %v", name, err)
		}
		file := filepath.Join(t.TempDir(), "c.der")
		if err := os.WriteFile(file, der, 0o600); err != nil {
			t.Fatal(err)
		}
		if r := lab.Exec(t, "openssl", "x509", "-in", file, "-inform", "DER", "-noout", "-subject"); !strings.Contains(r.Stdout, "testbed") {
			t.Errorf("%s: openssl: %s", name, r.Stderr)
		}
	}
	if _, err := ParseCertificate([]byte{0x30, 0}); err == nil {
		t.Error("an empty certificate is read")
	}
}

func FuzzParseCertificate(f *testing.F) {
	f.Add([]byte{0x30, 3, 2, 1, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		if cert, err := ParseCertificate(der); err == nil && string(cert.Raw) != string(der) {
			t.Error("another certificate than was given")
		}
	})
}
