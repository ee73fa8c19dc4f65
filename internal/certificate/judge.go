package certificate

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/hostguard/hostguard/internal/keystore"
	"github.com/hostguard/hostguard/internal/quantity"
)

// Wants say what a certificate must be like. The zero value wants nothing.
type Wants struct {
	Valid       bool              `yaml:"valid" doc:"Whether the certificate, and those between it and its root, must be valid now."`
	Left        quantity.Duration `yaml:"left" doc:"It, and those between it and its root, must not expire within this time; 0s: no matter."`
	Lifetime    quantity.Duration `yaml:"lifetime" doc:"The most that may lie between the first and the last moment of its validity; 0s: any."`
	RSABits     int               `yaml:"rsa_bits" doc:"The least size of an RSA key; issuers in its chain need 2048 bits at most. 0: any. With this or ec_bits, keys other than RSA, EC and Ed25519 are at fault."`
	ECBits      int               `yaml:"ec_bits" doc:"The least size of an elliptic curve; 0: any. Ed25519 always does."`
	Digests     []string          `yaml:"digests" doc:"The digests that its signature may use: SHA-256, SHA-384, SHA-512. Ed25519 always does. Empty: any."`
	Names       []string          `yaml:"names" doc:"Host names and addresses that it must be for, by its subject alternative names; wildcards in them count as in RFC 6125."`
	Usage       []string          `yaml:"usage" doc:"What it must be for, if it says what it is for: serverAuth, clientAuth (TLS). Its key must then be one that may sign."`
	Chain       bool              `yaml:"chain" doc:"Whether its issuers must follow it, each an authority and the signer of the one before."`
	Pair        bool              `yaml:"pair" doc:"Whether the private key must be there, and be the certificate's."`
	Unpublished bool              `yaml:"unpublished" doc:"Whether a private key that is public knowledge is at fault."`
}

var usages = map[string]x509.ExtKeyUsage{
	"serverAuth": x509.ExtKeyUsageServerAuth,
	"clientAuth": x509.ExtKeyUsageClientAuth,
}

var digests = []string{"SHA-256", "SHA-384", "SHA-512"}

// Validate wants words that mean something.
func (w Wants) Validate() error {
	for _, u := range w.Usage {
		if _, known := usages[u]; !known {
			return fmt.Errorf("usage: %q is none of %s", u, strings.Join(slices.Sorted(maps.Keys(usages)), ", "))
		}
	}
	for _, d := range w.Digests {
		if !slices.Contains(digests, d) {
			return fmt.Errorf("digests: %q is none of %s", d, strings.Join(digests, ", "))
		}
	}
	for _, n := range w.Names {
		if n == "" || strings.ContainsAny(n, " /*") {
			return fmt.Errorf("names: %q is no host name", n)
		}
	}
	switch {
	case w.RSABits < 0 || w.ECBits < 0:
		return errors.New("rsa_bits and ec_bits are not negative")
	case w.Left < 0 || w.Lifetime < 0:
		return errors.New("left and lifetime are not negative")
	}
	return nil
}

// Fault is one thing about a certificate that is not as wanted.
type Fault struct {
	Key, Want, Got string
}

// issuerRSABits is what RSA keys of issuers need: those of public authorities
// have no more, and nobody can choose them.
const issuerRSABits = 2048

// Judge compares an entry's certificate, its chain and private key with what
// is wanted at an instant. An error says what could not be looked at; the
// faults that come with it stand.
func Judge(e keystore.Entry, w Wants, at time.Time) ([]Fault, error) {
	if e.CertErr != nil {
		return nil, e.CertErr
	}
	var faults []Fault
	var unseen error
	if w.Pair {
		switch {
		case !e.Private:
			faults = append(faults, Fault{"private key", "there", "none, only the certificate"})
		case errors.Is(e.KeyErr, keystore.ErrOtherKey):
			got := "another one than the certificate's"
			if len(e.Chain) == 0 {
				got = "there, without its certificate"
			}
			faults = append(faults, Fault{"private key", "the certificate's", got})
		case e.KeyErr != nil:
			unseen = e.KeyErr
		}
	}
	if len(e.Chain) == 0 {
		if !w.Pair {
			unseen = errors.New("cannot look at the certificate: the entry has none")
		}
		return faults, unseen
	}
	for i, cert := range e.Chain {
		if i > 0 && SelfSigned(cert) {
			break // a root: who trusts it has it already, and looks at nothing in it
		}
		faults = append(faults, judgeOne(cert, i > 0, w, at)...)
	}
	own := e.Chain[0]
	for _, name := range w.Names {
		if own.VerifyHostname(bracketed(name)) != nil {
			faults = append(faults, Fault{"names", "for " + name, orNone(Names(own))})
		}
	}
	if len(w.Usage) > 0 {
		faults = append(faults, judgeUsage(own, w.Usage)...)
	}
	if w.Chain {
		chainFaults, err := JudgeOrder(e.Chain)
		if len(e.Chain) == 1 && !SelfSigned(own) {
			chainFaults = []Fault{{"chain", "its issuer follows", "alone, issued by " + own.Issuer.String()}}
		}
		faults, unseen = append(faults, chainFaults...), errors.Join(unseen, err)
	}
	if w.Unpublished && e.Private {
		if origin, known := Published(own); known {
			faults = append(faults, Fault{"private key", "known here only", "published: " + origin})
		}
	}
	return faults, unseen
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "it has no subject alternative name"
	}
	return strings.Join(names, ", ")
}

// bracketed writes an address as VerifyHostname wants it.
func bracketed(name string) string {
	if ip := net.ParseIP(name); ip != nil {
		return "[" + name + "]"
	}
	return name
}

// judgeOne judges what is asked of every certificate of a chain but its root.
func judgeOne(cert *x509.Certificate, issuer bool, w Wants, at time.Time) []Fault {
	var faults []Fault
	fault := func(key, want, got string) {
		if issuer {
			key += " of the issuer " + Subject(cert)
		}
		faults = append(faults, Fault{key, want, got})
	}
	valid := !at.Before(cert.NotBefore) && !at.After(cert.NotAfter)
	switch {
	case !valid && w.Valid:
		fault("validity", "valid now", Span(cert, at))
	case w.Left > 0 && cert.NotAfter.Sub(at) < time.Duration(w.Left):
		fault("validity", fmt.Sprintf("valid for %v more", w.Left), Span(cert, at))
	}
	if life := cert.NotAfter.Sub(cert.NotBefore); !issuer && w.Lifetime > 0 && life > time.Duration(w.Lifetime) {
		fault("lifetime", fmt.Sprintf("at most %v", w.Lifetime), count(int(life/day)))
	}
	if want := weak(KeyOf(cert), issuer, w); want != "" {
		fault("key", want, KeyOf(cert).String())
	}
	if d := Digest(cert); len(w.Digests) > 0 && d != "Ed25519" && !slices.Contains(w.Digests, d) {
		if d == "" {
			d = "of an unknown kind"
		}
		fault("signature", strings.Join(w.Digests, ", "), d)
	}
	return faults
}

// weak returns what is wanted of a key that is not as strong; empty: it is.
func weak(key Key, issuer bool, w Wants) string {
	rsaBits := w.RSABits
	if issuer {
		rsaBits = min(rsaBits, issuerRSABits)
	}
	switch {
	case w.RSABits == 0 && w.ECBits == 0 || key.Kind == "Ed25519":
		return ""
	case key.Kind == "RSA" && key.Bits < rsaBits:
		return fmt.Sprintf("RSA of at least %d bits", rsaBits)
	case key.Kind == "EC" && key.Bits < w.ECBits:
		return fmt.Sprintf("a curve of at least %d bits", w.ECBits)
	case key.Kind != "RSA" && key.Kind != "EC":
		return "RSA, EC or Ed25519"
	}
	return ""
}

// judgeUsage: without the extension a certificate is for everything (RFC 5280,
// 4.2.1.12); TLS 1.3 signs with the key, whatever it is for (RFC 8446, 4.4.2.2).
func judgeUsage(cert *x509.Certificate, wanted []string) []Fault {
	var faults []Fault
	if len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) > 0 && !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny) {
		for _, u := range wanted {
			if !slices.Contains(cert.ExtKeyUsage, usages[u]) {
				faults = append(faults, Fault{"extended key usage", u, orOthers(Usage(cert))})
			}
		}
	}
	if cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		faults = append(faults, Fault{"key usage", "digitalSignature", "not among them"})
	}
	return faults
}

func orOthers(names []string) string {
	if len(names) == 0 {
		return "others"
	}
	return strings.Join(names, ", ")
}

// Usage names the extended key usages that are known here.
func Usage(cert *x509.Certificate) []string {
	var names []string
	for _, u := range cert.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageAny:
			names = append(names, "any")
		case x509.ExtKeyUsageServerAuth:
			names = append(names, "serverAuth")
		case x509.ExtKeyUsageClientAuth:
			names = append(names, "clientAuth")
		case x509.ExtKeyUsageCodeSigning:
			names = append(names, "codeSigning")
		case x509.ExtKeyUsageEmailProtection:
			names = append(names, "emailProtection")
		case x509.ExtKeyUsageTimeStamping:
			names = append(names, "timeStamping")
		case x509.ExtKeyUsageOCSPSigning:
			names = append(names, "OCSPSigning")
		}
	}
	return names
}

// Trusted says whether anchors lead to a chain's first certificate: one of the
// chain is among them, or signed by one of them, and each before it by the next.
// Validity plays no part.
func Trusted(chain, anchors []*x509.Certificate) bool {
	for i, cert := range chain {
		if i > 0 && !signedBy(chain[i-1], cert) {
			return false
		}
		for _, a := range anchors {
			if cert.Equal(a) || signedBy(cert, a) && !SelfSigned(cert) {
				return true
			}
		}
	}
	return false
}
