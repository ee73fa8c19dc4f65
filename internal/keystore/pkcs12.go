package keystore

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"unicode/utf16"
)

// PKCS#12, RFC 7292. Libraries read stores of one key or of trusted
// certificates only, without their aliases, and refuse a whole store for one
// certificate that Go does not parse.

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"tag:0,explicit,optional"`
}

type macData struct {
	Digest struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}
	Salt       []byte
	Iterations int `asn1:"optional,default:1"`
}

type safeBag struct {
	Type       asn1.ObjectIdentifier
	Value      asn1.RawValue `asn1:"tag:0,explicit"`
	Attributes []attribute   `asn1:"set,optional"`
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values asn1.RawValue `asn1:"set"`
}

const (
	oidData      = "1.2.840.113549.1.7.1"
	oidEncrypted = "1.2.840.113549.1.7.6"

	oidKeyBag      = "1.2.840.113549.1.12.10.1.1"
	oidShroudedBag = "1.2.840.113549.1.12.10.1.2"
	oidCertBag     = "1.2.840.113549.1.12.10.1.3"
	oidX509        = "1.2.840.113549.1.9.22.1"

	oidFriendlyName = "1.2.840.113549.1.9.20"
	oidLocalKeyID   = "1.2.840.113549.1.9.21"
	oidTrustedUsage = "2.16.840.1.113894.746875.1.1" // Oracle's
)

func openPKCS12(data []byte, text, keyText string) (*Store, error) {
	s, err := readPKCS12(data, newPassword(text), newPassword(keyText))
	if errors.Is(err, ErrPassword) && text == "" {
		s, err = readPKCS12(data, password{}, password{}) // some programs leave the empty one's end out
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the PKCS#12 store: %w", err)
	}
	return s, nil
}

func readPKCS12(data []byte, p, key password) (*Store, error) {
	var pfx struct {
		Version int
		Safe    contentInfo
		MAC     macData `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(data, &pfx); err != nil {
		return nil, fmt.Errorf("neither that nor a certificate: %w", err)
	}
	if pfx.Version != 3 || pfx.Safe.Type.String() != oidData {
		return nil, fmt.Errorf("version %d with content %v is not read here", pfx.Version, pfx.Safe.Type)
	}
	var safe []byte
	if _, err := asn1.Unmarshal(pfx.Safe.Content.Bytes, &safe); err != nil {
		return nil, err
	}
	if len(pfx.MAC.Digest.Algorithm.Algorithm) > 0 {
		if err := checkMAC(pfx.MAC, safe, p); err != nil {
			return nil, err
		}
	}
	var contents []contentInfo
	if _, err := asn1.Unmarshal(safe, &contents); err != nil {
		return nil, err
	}
	var b bags
	for _, c := range contents {
		plain, err := openContent(c, p)
		if err != nil {
			return nil, err
		}
		var list []safeBag
		if _, err := asn1.Unmarshal(plain, &list); err != nil {
			return nil, err
		}
		for _, bag := range list {
			if err := b.add(bag, key); err != nil {
				return nil, err
			}
		}
	}
	return &Store{Format: PKCS12, Entries: b.entries()}, nil
}

func openContent(c contentInfo, p password) ([]byte, error) {
	switch c.Type.String() {
	case oidData:
		var plain []byte
		_, err := asn1.Unmarshal(c.Content.Bytes, &plain)
		return plain, err
	case oidEncrypted:
		var sealed struct {
			Version int
			Content struct {
				Type      asn1.ObjectIdentifier
				Algorithm pkix.AlgorithmIdentifier
				Sealed    []byte `asn1:"tag:0,optional"`
			}
		}
		if _, err := asn1.Unmarshal(c.Content.Bytes, &sealed); err != nil {
			return nil, err
		}
		return decrypt(sealed.Content.Algorithm, sealed.Content.Sealed, p)
	}
	return nil, fmt.Errorf("content of the kind %v is not read here", c.Type)
}

// bags are what a store holds, in its order.
type bags struct {
	keys  []keyBag
	certs []certBag
}

type keyBag struct {
	alias string
	id    []byte
	key   any
	err   error
}

type certBag struct {
	alias   string
	id      []byte
	trusted bool              // marked as such, as keytool does and openssl before 3.2 does not
	cert    *x509.Certificate // nil where err is not
	err     error
}

func (b *bags) add(bag safeBag, p password) error {
	if len(b.keys)+len(b.certs) == MaxEntries {
		return fmt.Errorf("more than %d entries", MaxEntries)
	}
	alias, id, trusted := bag.names()
	switch bag.Type.String() {
	case oidKeyBag:
		key, err := parsePKCS8(bag.Value.Bytes)
		b.keys = append(b.keys, keyBag{alias, id, key, err})
	case oidShroudedBag:
		var sealed struct {
			Algorithm pkix.AlgorithmIdentifier
			Data      []byte
		}
		if _, err := asn1.Unmarshal(bag.Value.Bytes, &sealed); err != nil {
			return err
		}
		plain, err := decrypt(sealed.Algorithm, sealed.Data, p)
		var key any
		if err == nil {
			key, err = parsePKCS8(plain)
		} else {
			err = fmt.Errorf("cannot look at the private key: %w", err)
		}
		b.keys = append(b.keys, keyBag{alias, id, key, err})
	case oidCertBag:
		var c struct {
			Type asn1.ObjectIdentifier
			DER  []byte `asn1:"tag:0,explicit"`
		}
		if _, err := asn1.Unmarshal(bag.Value.Bytes, &c); err != nil {
			return err
		}
		if c.Type.String() != oidX509 {
			return fmt.Errorf("a certificate of the kind %v is not read here", c.Type)
		}
		cert, err := ParseCertificate(c.DER)
		if err != nil {
			err = fmt.Errorf("cannot read the certificate: %w", err)
		}
		b.certs = append(b.certs, certBag{alias, id, trusted, cert, err})
	}
	return nil // secrets and revocation lists are no entries here
}

func parsePKCS8(der []byte) (any, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("cannot look at the private key: of a kind that is not known here") // the cause may quote it
	}
	return key, nil
}

// names returns the alias, what ties a key to its certificate, and whether a
// certificate is marked as a trusted one.
func (bag *safeBag) names() (alias string, id []byte, trusted bool) {
	for _, a := range bag.Attributes {
		if a.Type.String() == oidTrustedUsage {
			trusted = true
			continue
		}
		var value asn1.RawValue
		if _, err := asn1.Unmarshal(a.Values.Bytes, &value); err != nil {
			continue
		}
		switch a.Type.String() {
		case oidFriendlyName:
			units := make([]uint16, len(value.Bytes)/2)
			for i := range units {
				units[i] = uint16(value.Bytes[2*i])<<8 | uint16(value.Bytes[2*i+1])
			}
			alias = string(utf16.Decode(units))
		case oidLocalKeyID:
			id = value.Bytes
		}
	}
	return alias, id, trusted
}

// entries gives each key its certificate and the issuers that are there; each
// certificate that is left is an entry of its own.
func (b *bags) entries() []Entry {
	var out []Entry
	used := make([]bool, len(b.certs))
	for _, k := range b.keys {
		own := slices.IndexFunc(b.certs, func(c certBag) bool { return k.id != nil && bytes.Equal(c.id, k.id) })
		if signer, ok := k.key.(crypto.Signer); ok && own < 0 {
			own = slices.IndexFunc(b.certs, func(c certBag) bool { return c.cert != nil && samePublic(c.cert, signer) })
		}
		e := Entry{Alias: k.alias, Private: true, KeyErr: k.err}
		if own >= 0 {
			used[own] = true
			e.CertErr = b.certs[own].err
			e.Chain = b.chain(own, used)
		}
		if k.err == nil && e.CertErr == nil {
			e = withKey(k.alias, k.key, e.Chain)
		}
		out = append(out, e)
	}
	for i, c := range b.certs {
		if used[i] {
			continue
		}
		e := Entry{Alias: c.alias, CertErr: c.err, Loose: !c.trusted}
		if c.cert != nil {
			e.Chain = []*x509.Certificate{c.cert}
		}
		out = append(out, e)
	}
	return out
}

func (b *bags) chain(own int, used []bool) []*x509.Certificate {
	cert := b.certs[own].cert
	if cert == nil {
		return nil
	}
	chain := []*x509.Certificate{cert}
	for !bytes.Equal(cert.RawIssuer, cert.RawSubject) {
		next := slices.IndexFunc(b.certs, func(c certBag) bool { return c.cert != nil && bytes.Equal(c.cert.RawSubject, cert.RawIssuer) })
		if next < 0 || slices.Contains(chain, b.certs[next].cert) {
			break
		}
		used[next] = true
		cert = b.certs[next].cert
		chain = append(chain, cert)
	}
	return chain
}
