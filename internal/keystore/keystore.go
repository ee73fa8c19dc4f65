// Package keystore opens the files in which certificates and private keys lie:
// Java's JKS, PKCS#12, PEM and single certificates. What a file is, its content
// says, not its name.
package keystore

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxEntries is how many entries a store may have; more are refused.
const MaxEntries = 1000

// ErrPassword says that the password does not open the store, or that the file
// is damaged: stores do not tell the two apart.
var ErrPassword = errors.New("the password does not open it, or it is damaged")

// Format is how a file holds its entries.
type Format string

// The formats.
const (
	JKS         Format = "JKS"
	PKCS12      Format = "PKCS#12"
	PEM         Format = "PEM"
	Certificate Format = "certificate" // one, in DER
)

// Store is an opened file.
type Store struct {
	Format  Format
	Entries []Entry
}

// Entry is one certificate with its chain, or a private key with both.
type Entry struct {
	Alias   string // empty where the format has none
	Private bool   // a private key is here
	// KeyErr says why the private key could not be looked at; nil when Chain
	// begins with its certificate.
	KeyErr error
	// CertErr says why the entry's own certificate could not be read; Chain is
	// empty then.
	CertErr error
	Chain   []*x509.Certificate // the entry's own certificate first
	// Loose: a certificate that Java passes over, because a PKCS#12 store does
	// not mark it as a trusted one and no private key's chain needs it.
	Loose bool
}

// ErrOtherKey marks a private key that the first certificate is not about.
var ErrOtherKey = errors.New("the private key is not the certificate's")

// Passwords open a store.
type Passwords struct {
	Store string
	Key   string // of its private keys; empty: the store's

	// NoStore says that whoever uses the store gives no password for it. Java
	// then reads a JKS store without looking at its seal, and of a PKCS#12
	// store what is not encrypted, which is little: that is refused here.
	NoStore bool
}

// Open reads a store with its password and the password of its private keys;
// PEM files and certificates need none. The error is ErrPassword, or says what
// the file is instead; it never holds a password. Deriving keys costs what the
// file demands: Open returns when ctx ends.
func Open(ctx context.Context, data []byte, password, keyPassword string) (*Store, error) {
	return OpenWith(ctx, data, Passwords{Store: password, Key: keyPassword})
}

// OpenWith is Open for whoever may give no password.
func OpenWith(ctx context.Context, data []byte, p Passwords) (*Store, error) {
	if p.Key == "" {
		p.Key = p.Store
	}
	type result struct {
		store *Store
		err   error
	}
	done := make(chan result, 1)
	go func() {
		s, err := open(data, p)
		done <- result{s, err}
	}()
	select {
	case r := <-done:
		return r.store, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("cannot open the store in time: %w", ctx.Err())
	}
}

const (
	magicJKS   = 0xFEEDFEED
	magicJCEKS = 0xCECECECE
)

func open(data []byte, p Passwords) (*Store, error) {
	var magic uint32
	if len(data) >= 4 {
		magic = binary.BigEndian.Uint32(data)
	}
	switch {
	case len(data) == 0:
		return nil, errors.New("cannot open the store: it is empty")
	case magic == magicJKS:
		return openJKS(data, p)
	case magic == magicJCEKS:
		return nil, errors.New("cannot open the store: JCEKS, a format of old Java releases, is not read here")
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return openPEM(data)
	case data[0] == 0x30: // a sequence: a certificate or PKCS#12
		if cert, err := ParseCertificate(data); err == nil {
			return &Store{Format: Certificate, Entries: []Entry{{Chain: []*x509.Certificate{cert}}}}, nil
		}
		if p.NoStore {
			return nil, errors.New("cannot open the PKCS#12 store: no password is given for it")
		}
		return openPKCS12(data, p.Store, p.Key)
	}
	return nil, errors.New("cannot open the store: neither JKS, PKCS#12, PEM nor a certificate")
}

// withKey makes the entry of a private key.
func withKey(alias string, key any, chain []*x509.Certificate) Entry {
	e := Entry{Alias: alias, Private: true, Chain: chain}
	signer, ok := key.(crypto.Signer)
	switch {
	case !ok:
		e.KeyErr = fmt.Errorf("cannot look at the private key: %T is not known here", key)
	case len(chain) == 0 || !samePublic(chain[0], signer):
		e.KeyErr = ErrOtherKey
	}
	return e
}

func samePublic(cert *x509.Certificate, key crypto.Signer) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(cert.PublicKey)
}
