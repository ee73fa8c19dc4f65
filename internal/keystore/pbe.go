package keystore

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
	"unicode/utf16"
)

// maxIterations bounds what a store can make the derivation of a key cost:
// about a second. Java's own stores ask for ten thousand.
const maxIterations = 5_000_000

type hashFunc = func() hash.Hash

var (
	hashes = map[string]hashFunc{
		"1.3.14.3.2.26":          sha1.New,
		"2.16.840.1.101.3.4.2.1": sha256.New,
		"2.16.840.1.101.3.4.2.2": sha512.New384,
		"2.16.840.1.101.3.4.2.3": sha512.New,
	}
	prfs = map[string]hashFunc{ // HMAC with it
		"1.2.840.113549.2.7":  sha1.New,
		"1.2.840.113549.2.9":  sha256.New,
		"1.2.840.113549.2.10": sha512.New384,
		"1.2.840.113549.2.11": sha512.New,
	}
	aesKeySizes = map[string]int{
		"2.16.840.1.101.3.4.1.2":  16,
		"2.16.840.1.101.3.4.1.22": 24,
		"2.16.840.1.101.3.4.1.42": 32,
	}
	// The ciphers of PKCS#12's own schemes (RFC 7292, appendix C).
	oldCiphers = map[string]struct {
		keySize int
		new     func(key []byte) (cipher.Block, error)
	}{
		"1.2.840.113549.1.12.1.3": {24, des.NewTripleDESCipher},
		"1.2.840.113549.1.12.1.4": {16, func(k []byte) (cipher.Block, error) {
			return des.NewTripleDESCipher(append(k[:16:16], k[:8]...))
		}},
		"1.2.840.113549.1.12.1.5": {16, func(k []byte) (cipher.Block, error) { return newRC2(k), nil }},
		"1.2.840.113549.1.12.1.6": {5, func(k []byte) (cipher.Block, error) { return newRC2(k), nil }},
	}
)

const (
	oidPBES2  = "1.2.840.113549.1.5.13"
	oidPBMAC1 = "1.2.840.113549.1.5.14"
	oidPBKDF2 = "1.2.840.113549.1.5.12"
)

// password is one in the two forms that keys are derived from.
type password struct {
	utf8 []byte // PBKDF2
	bmp  []byte // PKCS#12's own derivation: UTF-16 with a zero at the end
}

func newPassword(text string) password {
	p := password{utf8: []byte(text)}
	for _, unit := range append(utf16.Encode([]rune(text)), 0) {
		p.bmp = append(p.bmp, byte(unit>>8), byte(unit))
	}
	return p
}

// decrypt opens what a password seals. A wrong password shows as ErrPassword,
// or as data that makes no sense.
func decrypt(algorithm pkix.AlgorithmIdentifier, sealed []byte, p password) ([]byte, error) {
	block, iv, err := blockCipher(algorithm, p)
	if err != nil {
		return nil, err
	}
	size := block.BlockSize()
	if len(sealed) == 0 || len(sealed)%size != 0 || len(iv) != size {
		return nil, errors.New("what is sealed is cut short")
	}
	plain := make([]byte, len(sealed))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, sealed)
	padding := int(plain[len(plain)-1])
	if padding == 0 || padding > size || !bytes.Equal(plain[len(plain)-padding:], bytes.Repeat([]byte{byte(padding)}, padding)) {
		return nil, ErrPassword
	}
	return plain[:len(plain)-padding], nil
}

func blockCipher(algorithm pkix.AlgorithmIdentifier, p password) (cipher.Block, []byte, error) {
	name := algorithm.Algorithm.String()
	if name == oidPBES2 {
		return pbes2(algorithm.Parameters.FullBytes, p)
	}
	old, known := oldCiphers[name]
	if !known {
		return nil, nil, fmt.Errorf("sealed by the unknown algorithm %s", name)
	}
	var params struct {
		Salt       []byte
		Iterations int
	}
	if _, err := asn1.Unmarshal(algorithm.Parameters.FullBytes, &params); err != nil {
		return nil, nil, fmt.Errorf("cannot read how it is sealed: %w", err)
	}
	if err := checkIterations(params.Iterations); err != nil {
		return nil, nil, err
	}
	const forKey, forIV = 1, 2
	key := deriveOld(sha1.New, p.bmp, params.Salt, params.Iterations, forKey, old.keySize)
	iv := deriveOld(sha1.New, p.bmp, params.Salt, params.Iterations, forIV, des.BlockSize)
	block, err := old.new(key)
	return block, iv, err
}

func checkIterations(n int) error {
	if n < 1 || n > maxIterations {
		return fmt.Errorf("its key is derived in %d rounds; at most %d are tried", n, maxIterations)
	}
	return nil
}

// pbes2 makes the cipher of PBES2 (RFC 8018) with PBKDF2 and AES in CBC mode.
func pbes2(parameters []byte, p password) (cipher.Block, []byte, error) {
	var params struct{ Derivation, Cipher pkix.AlgorithmIdentifier }
	if _, err := asn1.Unmarshal(parameters, &params); err != nil {
		return nil, nil, fmt.Errorf("cannot read how it is sealed: %w", err)
	}
	size, known := aesKeySizes[params.Cipher.Algorithm.String()]
	if !known {
		return nil, nil, fmt.Errorf("sealed by the unknown cipher %v", params.Cipher.Algorithm)
	}
	var iv []byte
	if _, err := asn1.Unmarshal(params.Cipher.Parameters.FullBytes, &iv); err != nil {
		return nil, nil, fmt.Errorf("cannot read how it is sealed: %w", err)
	}
	key, err := derive(params.Derivation, p, size)
	if err != nil {
		return nil, nil, err
	}
	block, err := aes.NewCipher(key)
	return block, iv, err
}

// derive is PBKDF2 as the algorithm's parameters say.
func derive(algorithm pkix.AlgorithmIdentifier, p password, size int) ([]byte, error) {
	if name := algorithm.Algorithm.String(); name != oidPBKDF2 {
		return nil, fmt.Errorf("its key is derived by the unknown algorithm %s", name)
	}
	var params struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(algorithm.Parameters.FullBytes, &params); err != nil {
		return nil, fmt.Errorf("cannot read how its key is derived: %w", err)
	}
	if err := checkIterations(params.Iterations); err != nil {
		return nil, err
	}
	if params.KeyLength != 0 && params.KeyLength != size {
		return nil, fmt.Errorf("its key has %d bytes instead of %d", params.KeyLength, size)
	}
	prf, known := prfs[params.PRF.Algorithm.String()]
	switch {
	case len(params.PRF.Algorithm) == 0:
		prf = sha1.New
	case !known:
		return nil, fmt.Errorf("its key is derived with the unknown function %v", params.PRF.Algorithm)
	}
	return pbkdf2.Key(prf, string(p.utf8), params.Salt, params.Iterations, size)
}

// deriveOld is PKCS#12's own derivation (RFC 7292, appendix B.2).
func deriveOld(newHash hashFunc, secret, salt []byte, iterations int, purpose byte, size int) []byte {
	h := newHash()
	v := h.BlockSize()
	diversifier := bytes.Repeat([]byte{purpose}, v)
	input := append(fill(salt, v), fill(secret, v)...)
	var out []byte
	for len(out) < size {
		h.Reset()
		h.Write(diversifier)
		h.Write(input)
		a := h.Sum(nil)
		for range iterations - 1 {
			h.Reset()
			h.Write(a)
			a = h.Sum(a[:0])
		}
		out = append(out, a...)
		b := fill(a, v)[:v]
		for i := 0; i < len(input); i += v {
			carry := 1
			for j := v - 1; j >= 0; j-- {
				carry += int(input[i+j]) + int(b[j])
				input[i+j] = byte(carry)
				carry >>= 8
			}
		}
	}
	return out[:size]
}

// fill repeats data up to the next multiple of size.
func fill(data []byte, size int) []byte {
	if len(data) == 0 {
		return nil
	}
	n := (len(data) + size - 1) / size * size
	return bytes.Repeat(data, n/len(data)+1)[:n]
}

// checkMAC is ErrPassword unless the content is sealed with the password.
func checkMAC(mac macData, content []byte, p password) error {
	var key []byte
	var newHash hashFunc
	algorithm := mac.Digest.Algorithm
	if algorithm.Algorithm.String() == oidPBMAC1 {
		var params struct{ Derivation, MAC pkix.AlgorithmIdentifier }
		if _, err := asn1.Unmarshal(algorithm.Parameters.FullBytes, &params); err != nil {
			return fmt.Errorf("cannot read its check sum: %w", err)
		}
		if newHash = prfs[params.MAC.Algorithm.String()]; newHash == nil {
			return fmt.Errorf("its check sum is of the unknown kind %v", params.MAC.Algorithm)
		}
		var err error
		if key, err = derive(params.Derivation, p, newHash().Size()); err != nil {
			return err
		}
	} else {
		if newHash = hashes[algorithm.Algorithm.String()]; newHash == nil {
			return fmt.Errorf("its check sum is of the unknown kind %v", algorithm.Algorithm)
		}
		if err := checkIterations(mac.Iterations); err != nil {
			return err
		}
		const forMAC = 3
		key = deriveOld(newHash, p.bmp, mac.Salt, mac.Iterations, forMAC, newHash().Size())
	}
	h := hmac.New(newHash, key)
	h.Write(content)
	if !hmac.Equal(h.Sum(nil), mac.Digest.Digest) {
		return ErrPassword
	}
	return nil
}
