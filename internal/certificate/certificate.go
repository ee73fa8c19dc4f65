// Package certificate judges X.509 certificates (RFC 5280): whether they are
// valid at an instant, strong enough, for the wanted names and uses, whose
// private key they are about, and whether everybody knows that key.
package certificate

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Key is what kind of public key a certificate is about.
type Key struct {
	Kind string // "RSA", "EC", "Ed25519", or another algorithm's name
	Bits int
}

func (k Key) String() string {
	if k.Bits == 0 || k.Kind == "Ed25519" {
		return k.Kind
	}
	return fmt.Sprintf("%s %d", k.Kind, k.Bits)
}

// KeyOf describes a certificate's public key.
func KeyOf(cert *x509.Certificate) Key {
	switch public := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		return Key{"RSA", public.N.BitLen()}
	case *ecdsa.PublicKey:
		return Key{"EC", public.Curve.Params().BitSize}
	case ed25519.PublicKey:
		return Key{"Ed25519", 256}
	}
	if cert.PublicKeyAlgorithm == x509.UnknownPublicKeyAlgorithm {
		return Key{Kind: "of an unknown kind"}
	}
	return Key{Kind: cert.PublicKeyAlgorithm.String()}
}

// Digest names the digest that a certificate's signature uses, such as
// "SHA-256"; "Ed25519" has one of its own. Empty: not known.
func Digest(cert *x509.Certificate) string {
	switch cert.SignatureAlgorithm {
	case x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256, x509.DSAWithSHA256:
		return "SHA-256"
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		return "SHA-384"
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		return "SHA-512"
	case x509.PureEd25519:
		return "Ed25519"
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1:
		return "SHA-1"
	case x509.MD5WithRSA, x509.MD2WithRSA:
		return "MD5"
	}
	return ""
}

// Fingerprint is the SHA-256 of a certificate in hexadecimal digits, as
// `openssl x509 -fingerprint -sha256` prints it but for the colons.
func Fingerprint(cert *x509.Certificate) string { return sum(cert.Raw) }

// KeyFingerprint is the SHA-256 of a certificate's public key
// (SubjectPublicKeyInfo) in hexadecimal digits: it stays when the certificate
// is renewed with the same key.
func KeyFingerprint(cert *x509.Certificate) string { return sum(cert.RawSubjectPublicKeyInfo) }

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// SelfSigned says that a certificate is its own issuer: its own key signed it,
// as far as that can be verified.
func SelfSigned(cert *x509.Certificate) bool { return namesIssuer(cert, cert) }

// namesIssuer says that a certificate names another as its issuer, whose key
// made the signature unless that is of a kind that nobody verifies any more (MD5).
func namesIssuer(cert, issuer *x509.Certificate) bool {
	if string(cert.RawIssuer) != string(issuer.RawSubject) {
		return false
	}
	err := checkSignature(cert, issuer)
	var old x509.InsecureAlgorithmError
	return err == nil || errors.As(err, &old) || errors.Is(err, x509.ErrUnsupportedAlgorithm)
}

// signedBy says that the issuer's key made the certificate's signature.
func signedBy(cert, issuer *x509.Certificate) bool {
	return string(cert.RawIssuer) == string(issuer.RawSubject) && checkSignature(cert, issuer) == nil
}

// signatures remembers what was found of each pair of a certificate and its
// issuer: a dozen rules ask the same of the same certificates, which nothing
// changes once they are read, and each look costs a tenth of a millisecond.
var signatures sync.Map // [2]*x509.Certificate → signature

type signature struct{ err error }

// checkSignature is nil when the issuer's key made the certificate's signature.
func checkSignature(cert, issuer *x509.Certificate) error {
	pair := [2]*x509.Certificate{cert, issuer}
	if s, known := signatures.Load(pair); known {
		return s.(signature).err
	}
	err := issuer.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature)
	signatures.Store(pair, signature{err})
	return err
}

// Names are the names that a certificate is for: DNS names and addresses.
func Names(cert *x509.Certificate) []string {
	names := append([]string{}, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

const day = 24 * time.Hour

// DaysLeft is how many whole days a certificate remains valid; negative once
// it has expired.
func DaysLeft(cert *x509.Certificate, at time.Time) int {
	left := cert.NotAfter.Sub(at)
	if left < 0 {
		return -int((-left + day - 1) / day)
	}
	return int(left / day)
}

// Span says in words when a certificate is valid, seen from an instant.
func Span(cert *x509.Certificate, at time.Time) string {
	span := fmt.Sprintf("%s to %s", date(cert.NotBefore), date(cert.NotAfter))
	switch left := DaysLeft(cert, at); {
	case at.Before(cert.NotBefore):
		return "not valid yet: " + span
	case left < 0:
		return fmt.Sprintf("expired on %s, %s ago", date(cert.NotAfter), count(-left))
	default:
		return fmt.Sprintf("%s, %s left", span, count(left))
	}
}

// Describe writes a certificate in a line: its summary, and when it is valid.
func Describe(cert *x509.Certificate, at time.Time) string {
	return Summary(cert) + ", " + Span(cert, at)
}

// Summary writes whose a certificate is, its key and its signature.
func Summary(cert *x509.Certificate) string {
	parts := []string{Subject(cert), KeyOf(cert).String()}
	if digest := Digest(cert); digest != "" && digest != "Ed25519" {
		parts = append(parts, digest)
	}
	if SelfSigned(cert) {
		parts = append(parts, "self-signed")
	}
	return strings.Join(parts, ", ")
}

// Subject is whom a certificate is about; the common name alone where it has one.
func Subject(cert *x509.Certificate) string {
	if cn := cert.Subject.CommonName; cn != "" {
		return "CN=" + cn
	}
	if s := cert.Subject.String(); s != "" {
		return s
	}
	return "no subject"
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02") }

func count(days int) string {
	if days == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", days)
}
