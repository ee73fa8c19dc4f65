package keystore

import (
	"crypto/sha1"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
)

// The JKS format, from the source of sun.security.provider.JavaKeyStore and
// KeyProtector. A library reads it too, but makes room for whatever length a
// file claims.

const (
	tagPrivate = 1
	tagTrusted = 2
)

func openJKS(data []byte, p Passwords) (*Store, error) {
	const digest = sha1.Size
	if len(data) < 12+digest {
		return nil, errTruncated
	}
	body, sum := data[:len(data)-digest], data[len(data)-digest:]
	if !p.NoStore && subtle.ConstantTimeCompare(jksDigest(p.Store, body), sum) != 1 {
		return nil, fmt.Errorf("cannot open the JKS store: %w", ErrPassword)
	}
	r := jksReader{rest: body[4:]}
	version, count := r.uint32(), r.uint32()
	if version != 1 && version != 2 {
		return nil, fmt.Errorf("cannot open the JKS store: version %d is not known", version)
	}
	if count > MaxEntries {
		return nil, fmt.Errorf("cannot open the JKS store: more than %d entries", MaxEntries)
	}
	s := &Store{Format: JKS}
	for range count {
		e, err := r.entry(version, p.Key)
		if err != nil {
			return nil, err
		}
		s.Entries = append(s.Entries, e)
	}
	return s, nil
}

// jksDigest seals a store, and is all that its password does.
func jksDigest(password string, body []byte) []byte {
	h := sha1.New()
	h.Write(javaPassword(password))
	h.Write([]byte("Mighty Aphrodite"))
	h.Write(body)
	return h.Sum(nil)
}

var errTruncated = errors.New("cannot open the store: it is cut short")

// jksReader takes values off the front; once too little is left, all are empty.
type jksReader struct {
	rest  []byte
	short bool
}

func (r *jksReader) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(r.rest)) {
		r.short, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *jksReader) uint32() uint32 {
	if b := r.bytes(4); len(b) == 4 {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *jksReader) text() string {
	if b := r.bytes(2); len(b) == 2 {
		return string(r.bytes(uint32(binary.BigEndian.Uint16(b))))
	}
	return ""
}

func (r *jksReader) entry(version uint32, keyPassword string) (Entry, error) {
	tag, alias := r.uint32(), r.text()
	r.bytes(8) // when it was made
	var protected []byte
	certificates := uint32(1)
	switch {
	case r.short:
		return Entry{}, errTruncated
	case tag == tagPrivate:
		protected = r.bytes(r.uint32())
		certificates = r.uint32()
		if r.short {
			return Entry{}, errTruncated
		}
	case tag != tagTrusted:
		return Entry{}, fmt.Errorf("cannot open the JKS store: an entry of the unknown kind %d", tag)
	}
	if certificates > MaxEntries {
		return Entry{}, fmt.Errorf("cannot open the JKS store: a chain of more than %d certificates", MaxEntries)
	}
	var chain []*x509.Certificate
	var certErr error
	for range certificates {
		if version == 2 {
			if kind := r.text(); kind != "X.509" && !r.short {
				return Entry{}, fmt.Errorf("cannot open the JKS store: a certificate of the unknown kind %q", kind)
			}
		}
		der := r.bytes(r.uint32())
		if r.short {
			return Entry{}, errTruncated
		}
		cert, err := ParseCertificate(der)
		if err != nil {
			certErr = errors.Join(certErr, fmt.Errorf("cannot read the certificate: %w", err))
			continue
		}
		chain = append(chain, cert)
	}
	if certErr != nil {
		return Entry{Alias: alias, Private: tag == tagPrivate, CertErr: certErr}, nil
	}
	if tag == tagTrusted {
		return Entry{Alias: alias, Chain: chain}, nil
	}
	key, err := unprotect(protected, keyPassword)
	if err != nil {
		return Entry{Alias: alias, Private: true, KeyErr: err, Chain: chain}, nil
	}
	return withKey(alias, key, chain), nil
}

var oidKeyProtector = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 42, 2, 17, 1, 1}

// unprotect opens a private key: salt, the key under a stream of chained
// digests, and a digest to know it by.
func unprotect(der []byte, password string) (any, error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	const size = sha1.Size
	if _, err := asn1.Unmarshal(der, &info); err != nil || len(info.Data) < 2*size {
		return nil, errors.New("cannot read the private key: it is damaged")
	}
	if !info.Algorithm.Algorithm.Equal(oidKeyProtector) {
		return nil, fmt.Errorf("cannot read the private key: protected by the unknown algorithm %v", info.Algorithm.Algorithm)
	}
	salt, sealed, check := info.Data[:size], info.Data[size:len(info.Data)-size], info.Data[len(info.Data)-size:]
	secret := javaPassword(password)
	plain := make([]byte, len(sealed))
	block := salt
	for i := range sealed {
		if i%size == 0 {
			sum := sha1.Sum(append(secret[:len(secret):len(secret)], block...))
			block = sum[:]
		}
		plain[i] = sealed[i] ^ block[i%size]
	}
	sum := sha1.Sum(append(secret[:len(secret):len(secret)], plain...))
	if subtle.ConstantTimeCompare(sum[:], check) != 1 {
		return nil, fmt.Errorf("cannot read the private key: %w", ErrPassword)
	}
	return parsePKCS8(plain)
}

// javaPassword is a password as Java digests it: UTF-16, big end first.
func javaPassword(password string) []byte {
	var out []byte
	for _, unit := range utf16.Encode([]rune(password)) {
		out = binary.BigEndian.AppendUint16(out, unit)
	}
	return out
}
