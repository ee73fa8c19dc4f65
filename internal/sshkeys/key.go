// Package sshkeys reads the public keys, certificates and lists of revoked
// keys of OpenSSH, as its own programs do. It knows no host.
package sshkeys

import (
	"bytes"
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/bits"
	"strings"
)

// A Kind of key, named as the last word of `ssh-keygen -l` names it, in lower
// case.
type Kind string

// The kinds that OpenSSH knows, or knew: DSA is gone since 10.0.
const (
	RSA       Kind = "rsa"
	DSA       Kind = "dsa"
	ECDSA     Kind = "ecdsa"
	Ed25519   Kind = "ed25519"
	ECDSASK   Kind = "ecdsa-sk"
	Ed25519SK Kind = "ed25519-sk"
)

// Kinds are all of them.
var Kinds = []Kind{RSA, DSA, ECDSA, Ed25519, ECDSASK, Ed25519SK}

// A Key is a public key, or the key in a certificate.
type Key struct {
	Type string // "ssh-ed25519"; of the key in a certificate, too
	Kind Kind
	Bits int
	// Blob is the key in its shortest encoding, without what a certificate adds:
	// two keys are the same exactly when their blobs are.
	Blob []byte
	// Certificate is set when a certificate was read.
	Certificate *Certificate
}

// Certificate is what a certificate adds to a key, see PROTOCOL.certkeys. Its
// signature is not verified.
type Certificate struct {
	Serial     uint64
	Host       bool // of a host, not of a user
	KeyID      string
	Principals []string
	CA         *Key
	Blob       []byte // the certificate as it was read
}

// Fingerprint is the key's, as `ssh-keygen -l` prints it: of the key alone when
// it is in a certificate.
func (k *Key) Fingerprint() string {
	sum := sha256.Sum256(k.Blob)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// String describes the key without giving it: "RSA 2048 SHA256:…".
func (k *Key) String() string {
	return fmt.Sprintf("%s %d %s", strings.ToUpper(string(k.Kind)), k.Bits, k.Fingerprint())
}

// Algorithms are the names of signatures with the key, of which
// PubkeyAcceptedAlgorithms must name one; with a certificate they are others.
func (k *Key) Algorithms(certificate bool) []string {
	names := []string{k.Type}
	switch k.Kind {
	case RSA:
		names = []string{"ssh-rsa", "rsa-sha2-256", "rsa-sha2-512"}
	case ECDSASK:
		names = append(names, "webauthn-sk-ecdsa-sha2-nistp256@openssh.com")
	}
	if certificate {
		for i, n := range names {
			names[i] = strings.TrimSuffix(n, "@openssh.com") + certificateSuffix
		}
	}
	return names
}

const certificateSuffix = "-cert-v01@openssh.com"

// form is how a key of one type is encoded.
type form struct {
	kind  Kind
	name  string // of the key's type
	curve string
	bits  int
}

var (
	formRSA      = form{RSA, "ssh-rsa", "", 0}
	formDSA      = form{DSA, "ssh-dss", "", 0}
	formEd25519  = form{Ed25519, "ssh-ed25519", "", 256}
	formSKEd     = form{Ed25519SK, "sk-ssh-ed25519@openssh.com", "", 256}
	formSKEC     = form{ECDSASK, "sk-ecdsa-sha2-nistp256@openssh.com", "nistp256", 256}
	formNISTP256 = form{ECDSA, "ecdsa-sha2-nistp256", "nistp256", 256}
	formNISTP384 = form{ECDSA, "ecdsa-sha2-nistp384", "nistp384", 384}
	formNISTP521 = form{ECDSA, "ecdsa-sha2-nistp521", "nistp521", 521}
)

// formOf finds the form by a type's name. OpenSSH takes names of signatures for
// those of keys, too.
func formOf(name string) (f *form, certificate, ok bool) {
	if plain, cut := strings.CutSuffix(name, certificateSuffix); cut {
		certificate = true
		if name = plain; strings.HasPrefix(name, "sk-") {
			name += "@openssh.com"
		}
	}
	switch name {
	case "ssh-rsa", "rsa-sha2-256", "rsa-sha2-512":
		f = &formRSA
	case "ssh-dss":
		f = &formDSA
	case "ssh-ed25519":
		f = &formEd25519
	case "sk-ssh-ed25519@openssh.com":
		f = &formSKEd
	case "sk-ecdsa-sha2-nistp256@openssh.com":
		f = &formSKEC
	case "webauthn-sk-ecdsa-sha2-nistp256@openssh.com":
		f, ok = &formSKEC, !certificate
		return f, certificate, ok
	case "ecdsa-sha2-nistp256":
		f = &formNISTP256
	case "ecdsa-sha2-nistp384":
		f = &formNISTP384
	case "ecdsa-sha2-nistp521":
		f = &formNISTP521
	}
	return f, certificate, f != nil
}

// shortForm finds the form by the short names that OpenSSH takes inside a blob.
func shortForm(name string) *form {
	switch strings.ToUpper(name) {
	case "RSA":
		return &formRSA
	case "DSA":
		return &formDSA
	case "ED25519":
		return &formEd25519
	case "ED25519-SK":
		return &formSKEd
	}
	return nil
}

// KnownType reports whether some OpenSSH knows a name for keys or certificates.
func KnownType(name string) bool {
	_, _, ok := formOf(name)
	return ok
}

// Reasons why OpenSSH reads no key.
var (
	ErrUnknownType = errors.New("its type is unknown")
	ErrTooShort    = errors.New("an RSA key of less than 1024 bits is refused")
	errNoPoint     = errors.New("its point is not on the curve")
	errTrailing    = errors.New("something follows the key")
	errOneWord     = errors.New("it has no second word")
)

// minRSA is from what length on OpenSSH reads an RSA key.
const minRSA = 1024

// Parse reads the encoding of a key or certificate (the decoded second word of
// a line in a .pub file).
func Parse(blob []byte) (*Key, error) { return parse(blob, true) }

func parse(blob []byte, mayBeCertificate bool) (*Key, error) {
	w := &wire{rest: blob}
	name := w.text()
	if w.bad {
		return nil, errFormat
	}
	f, certificate, ok := formOf(name)
	if !ok {
		if f = shortForm(name); f == nil {
			return nil, ErrUnknownType
		}
	}
	if certificate && !mayBeCertificate {
		return nil, ErrUnknownType
	}
	if certificate {
		w.string() // a nonce
	}
	k, err := f.read(w)
	if err == nil && certificate {
		k.Certificate, err = readCertificate(w)
	}
	switch {
	case w.bad:
		return nil, errFormat
	case err != nil:
		return nil, err
	case len(w.rest) > 0:
		return nil, errTrailing
	}
	if certificate {
		k.Certificate.Blob = bytes.Clone(blob)
	}
	return k, nil
}

// read reads what follows the type's name.
func (f *form) read(w *wire) (*Key, error) {
	k := &Key{Type: f.name, Kind: f.kind, Bits: f.bits}
	out := appendString(make([]byte, 0, len(f.name)+len(w.rest)+8), f.name)
	switch f.kind {
	case RSA:
		e, n := w.mpint(), w.mpint()
		k.Bits = bitLen(n)
		out = appendMPInt(appendMPInt(out, e), n)
		if !w.bad && k.Bits < minRSA {
			return nil, ErrTooShort
		}
	case DSA:
		for i := range 4 {
			n := w.mpint()
			if i == 0 {
				k.Bits = bitLen(n)
			}
			out = appendMPInt(out, n)
		}
	case Ed25519, Ed25519SK:
		public := w.string()
		if len(public) != 32 {
			return nil, errFormat
		}
		out = appendString(out, public)
	case ECDSA, ECDSASK:
		curve, point := w.text(), w.string()
		if curve != f.curve || len(point) == 0 || point[0] != 4 {
			return nil, errFormat
		}
		if !f.onCurve(point) {
			return nil, errNoPoint
		}
		out = appendString(appendString(out, curve), point)
	}
	if f.kind == Ed25519SK || f.kind == ECDSASK {
		out = appendString(out, w.text()) // the application
	}
	k.Blob = out
	return k, nil
}

func bitLen(n []byte) int {
	if len(n) == 0 {
		return 0
	}
	return len(n)*8 - bits.LeadingZeros8(n[0])
}

func (f *form) onCurve(point []byte) bool {
	curve := ecdh.P256()
	switch f.bits {
	case 384:
		curve = ecdh.P384()
	case 521:
		curve = ecdh.P521()
	}
	_, err := curve.NewPublicKey(point)
	return err == nil
}

// maxPrincipals is how many names OpenSSH takes in a certificate.
const maxPrincipals = 256

func readCertificate(w *wire) (*Certificate, error) {
	c := &Certificate{Serial: w.uint64()}
	kind := w.uint32()
	c.KeyID = w.text()
	principals := &wire{rest: w.string()}
	w.take(16) // the time of its validity
	critical, extensions := &wire{rest: w.string()}, &wire{rest: w.string()}
	w.string() // reserved
	ca := w.string()
	w.string() // the signature
	if w.bad || kind != 1 && kind != 2 {
		return nil, errFormat
	}
	c.Host = kind == 2
	for len(principals.rest) > 0 && len(c.Principals) <= maxPrincipals {
		c.Principals = append(c.Principals, principals.text())
	}
	for _, options := range []*wire{critical, extensions} {
		for len(options.rest) > 0 {
			options.string()
			options.string()
		}
	}
	if principals.bad || critical.bad || extensions.bad || len(c.Principals) > maxPrincipals {
		return nil, errFormat
	}
	var err error
	if c.CA, err = parse(ca, false); err != nil {
		return nil, fmt.Errorf("the key of its authority: %w", err)
	}
	return c, nil
}

// ParseText reads "TYPE BASE64" and returns what follows, blanks in between left
// out, as the lines of .pub and authorized_keys files have it. The version of
// OpenSSH is not looked at.
func ParseText(text string) (key *Key, rest string, err error) {
	name, rest, found := cutBlank(text)
	if !found {
		return nil, "", errOneWord
	}
	f, certificate, ok := formOf(name)
	if !ok {
		return nil, "", ErrUnknownType
	}
	encoded, rest, _ := cutBlank(rest)
	if strings.ContainsAny(encoded, "\n\r\v\f") {
		encoded = strings.Map(func(r rune) rune {
			if strings.ContainsRune("\n\r\v\f", r) {
				return -1
			}
			return r
		}, encoded)
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, "", errors.New("its base64 is malformed")
	}
	key, err = Parse(blob)
	switch {
	case err != nil:
		return nil, "", err
	case key.Type != f.name || (key.Certificate != nil) != certificate:
		return nil, "", errors.New("the type before it is another one's")
	}
	return key, rest, nil
}

// cutBlank cuts text after its first word; found says that blanks follow it.
func cutBlank(text string) (word, rest string, found bool) {
	i := strings.IndexAny(text, " \t")
	if i < 0 {
		return text, "", false
	}
	return text[:i], strings.TrimLeft(text[i:], " \t"), true
}
