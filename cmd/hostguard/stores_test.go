package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// testbedKey is the public key of the IDS testbed's certificate authority, whose
// private key everybody can download.
const testbedKey = "MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQBUdFZ+y1uV7E5xtqlDXZmejC+atd9sdf3LbdXdM26uYLw/HGBFRrYdnNTNqgnfkPAZoMemg9Zy0G8GOeLALTaHfMB0k7XfuD3TCWiUQdO5UEpjAzhFGZm2ryPPduAczIUKv+orpma4PvyQAMEz0Aol3iyluZ4CV3yXCVicR6AViRiihM="

// storeMaker makes Java key stores of new certificates, and knows those that it
// has made by the stores' paths.
type storeMaker map[string][]*x509.Certificate

// A storeEntry is what is put into a store.
type storeEntry struct {
	alias    string
	key      crypto.Signer     // nil: a trusted certificate
	template *x509.Certificate // of what is to be made
	public   crypto.PublicKey
	issuer   string // empty: it signs itself
	cert     *x509.Certificate
}

// store makes a JKS store: PASSWORD, then entries. "key ALIAS" and "cert ALIAS"
// are new ones, changed by what follows: days=100 left from=-10 names=a,b
// kind=p256|rsa2048|testbed usage=server|client issuer=NAME, which is nowhere. "trust PATH" takes in the
// certificates of a store that was made before.
func (m storeMaker) store(name string, words []string) ([]byte, error) {
	if len(words) == 0 {
		return nil, fmt.Errorf("the store %s has no password", name)
	}
	password, words := words[0], words[1:]
	var entries []*storeEntry
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		option, value, isOption := strings.Cut(word, "=")
		switch {
		case isOption && len(entries) > 0:
			if err := entries[len(entries)-1].set(option, value); err != nil {
				return nil, err
			}
		case len(words) == 0:
			return nil, fmt.Errorf("the store %s: nothing follows %q", name, word)
		case word == "trust":
			for i, cert := range m[words[0]] {
				entries = append(entries, &storeEntry{alias: fmt.Sprintf("trusted%d", i), cert: cert})
			}
			if len(m[words[0]]) == 0 {
				return nil, fmt.Errorf("no store %s was made", words[0])
			}
			words = words[1:]
		case word == "key" || word == "cert":
			e, err := newStoreEntry(words[0], word == "key")
			if err != nil {
				return nil, err
			}
			entries = append(entries, e)
			words = words[1:]
		default:
			return nil, fmt.Errorf("the store %s: %q is not known", name, word)
		}
	}
	m[name] = nil
	for _, e := range entries {
		if err := e.sign(); err != nil {
			return nil, err
		}
		m[name] = append(m[name], e.cert)
	}
	return jks(password, entries)
}

func newStoreEntry(alias string, withKey bool) (*storeEntry, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	e := &storeEntry{alias: alias, public: key.Public(), template: &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: alias},
		NotBefore: time.Now().AddDate(0, 0, -10), NotAfter: time.Now().AddDate(0, 0, 100).Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}}
	if withKey {
		e.key = key
	}
	return e, nil
}

func (e *storeEntry) set(option, value string) error {
	if e.template == nil {
		return fmt.Errorf("%s=%s: it is made already", option, value)
	}
	var err error
	switch option {
	case "days", "from":
		var n int
		n, err = strconv.Atoi(value)
		if option == "days" {
			e.template.NotAfter = time.Now().AddDate(0, 0, n).Add(time.Hour)
		} else {
			e.template.NotBefore = time.Now().AddDate(0, 0, n)
		}
	case "names":
		e.template.DNSNames = strings.Split(value, ",")
	case "issuer":
		e.issuer = value
	case "usage":
		e.template.ExtKeyUsage = map[string][]x509.ExtKeyUsage{"server": {x509.ExtKeyUsageServerAuth}, "client": {x509.ExtKeyUsageClientAuth}}[value]
	case "kind":
		switch value {
		case "p256":
		case "rsa2048":
			var key *rsa.PrivateKey
			if key, err = rsa.GenerateKey(rand.Reader, 2048); err == nil {
				e.key, e.public = key, key.Public()
			}
		case "testbed":
			var der []byte
			if der, err = base64.StdEncoding.DecodeString(testbedKey); err == nil {
				e.public, err = x509.ParsePKIXPublicKey(der)
			}
		default:
			err = fmt.Errorf("there is no kind %q", value)
		}
	default:
		err = fmt.Errorf("there is no option %q", option)
	}
	return err
}

// sign makes the entry's certificate: by its own key, by another one where that
// is not had.
func (e *storeEntry) sign() error {
	if e.cert != nil {
		return nil
	}
	signer, parent := e.key, e.template
	if e.issuer != "" {
		signer, parent = nil, &x509.Certificate{Subject: pkix.Name{CommonName: e.issuer}}
	}
	if signer == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, e.template, parent, e.public, signer)
	if err == nil {
		e.cert, err = x509.ParseCertificate(der)
	}
	return err
}

// jks writes a store as sun.security.provider.JavaKeyStore does.
func jks(password string, entries []*storeEntry) ([]byte, error) {
	var secret []byte
	for _, unit := range utf16.Encode([]rune(password)) {
		secret = binary.BigEndian.AppendUint16(secret, unit)
	}
	var b bytes.Buffer
	number := func(n int) { b.Write(binary.BigEndian.AppendUint32(nil, uint32(n))) }
	text := func(s string) { b.Write(binary.BigEndian.AppendUint16(nil, uint16(len(s)))); b.WriteString(s) }
	block := func(data []byte) { number(len(data)); b.Write(data) }
	b.Write([]byte{0xfe, 0xed, 0xfe, 0xed})
	number(2)
	number(len(entries))
	for _, e := range entries {
		tag := 2
		if e.key != nil {
			tag = 1
		}
		number(tag)
		text(e.alias)
		b.Write(make([]byte, 8)) // when it was made
		if e.key != nil {
			sealed, err := sealKey(e.key, secret)
			if err != nil {
				return nil, err
			}
			block(sealed)
			number(1)
		}
		text("X.509")
		block(e.cert.Raw)
	}
	sum := sha1.Sum(append(append(secret[:len(secret):len(secret)], "Mighty Aphrodite"...), b.Bytes()...))
	b.Write(sum[:])
	return b.Bytes(), nil
}

// sealKey hides a private key as Java's KeyProtector does.
func sealKey(key crypto.Signer, secret []byte) ([]byte, error) {
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	digest := func(with []byte) []byte {
		sum := sha1.Sum(append(secret[:len(secret):len(secret)], with...))
		return sum[:]
	}
	salt := bytes.Repeat([]byte{7}, sha1.Size)
	data := bytes.Clone(salt)
	stream := salt
	for i, c := range plain {
		if i%sha1.Size == 0 {
			stream = digest(stream)
		}
		data = append(data, c^stream[i%sha1.Size])
	}
	return asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}{pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 42, 2, 17, 1, 1}, Parameters: asn1.NullRawValue}, append(data, digest(plain)...)})
}
