package keystore

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// openPEM reads certificates and private keys. A file with a key is one entry,
// its certificate first; a file without one holds an entry for each certificate.
func openPEM(data []byte) (*Store, error) {
	var certs []*x509.Certificate
	var keys []any
	var keyErr error
	for len(data) > 0 {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		switch {
		case block.Type == "CERTIFICATE" || block.Type == "TRUSTED CERTIFICATE":
			cert, err := ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("cannot read certificate %d of the PEM file: %w", len(certs)+1, err)
			}
			certs = append(certs, cert)
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			keys, keyErr = append(keys, nil), errors.New("cannot look at the private key: it is encrypted")
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			key, err := parseKey(block)
			if err != nil {
				keyErr = err
			}
			keys = append(keys, key)
		}
		if len(certs)+len(keys) > MaxEntries {
			return nil, fmt.Errorf("cannot open the PEM file: more than %d entries", MaxEntries)
		}
	}
	s := &Store{Format: PEM}
	switch {
	case len(certs)+len(keys) == 0:
		return nil, errors.New("cannot open the PEM file: neither a certificate nor a private key is in it")
	case len(keys) == 0:
		for _, cert := range certs {
			s.Entries = append(s.Entries, Entry{Chain: []*x509.Certificate{cert}})
		}
	case len(keys) > 1:
		return nil, errors.New("cannot open the PEM file: it holds several private keys")
	case keyErr != nil:
		s.Entries = []Entry{{Private: true, KeyErr: keyErr, Chain: certs}}
	default:
		s.Entries = []Entry{withKey("", keys[0], ownFirst(certs, keys[0]))}
	}
	return s, nil
}

func parseKey(block *pem.Block) (key any, err error) {
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return parsePKCS8(block.Bytes)
	}
	if err != nil {
		return nil, errors.New("cannot look at the private key: of a kind that is not known here") // the cause may quote it
	}
	return key, nil
}

// ownFirst moves the certificate of a key to the front.
func ownFirst(certs []*x509.Certificate, key any) []*x509.Certificate {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return certs
	}
	for i, cert := range certs {
		if samePublic(cert, signer) {
			out := append([]*x509.Certificate{cert}, certs[:i]...)
			return append(out, certs[i+1:]...)
		}
	}
	return certs
}
