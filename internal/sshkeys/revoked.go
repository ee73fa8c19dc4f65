package sshkeys

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
)

// Revoked is the content of a file that RevokedKeys names: a list of public keys
// or a key revocation list in OpenSSH's binary form (PROTOCOL.krl). Signatures
// in it are not verified.
type Revoked struct {
	// Binary is set for a key revocation list.
	Binary bool

	keys    map[[sha256.Size]byte]int // hash of a key's blob → its line, 0 when binary
	sha1s   map[[sha1.Size]byte]bool
	sha256s map[[sha256.Size]byte]bool
	certs   []revokedCerts
}

// revokedCerts are certificates of one authority, or of all when it is nil.
type revokedCerts struct {
	ca      []byte
	ranges  [][2]uint64
	bitmaps []bitmap
	ids     map[string]bool
}

// bitmap holds serial numbers: that of its lowest bit is first.
type bitmap struct {
	first uint64
	bytes []byte
}

const krlMagic = "SSHKRL\n\x00"

// ParseRevoked reads either form. With an error sshd refuses every key.
func ParseRevoked(data []byte) (*Revoked, error) {
	r := &Revoked{
		Binary: bytes.HasPrefix(data, []byte(krlMagic)),
		keys:   map[[sha256.Size]byte]int{}, sha1s: map[[sha1.Size]byte]bool{}, sha256s: map[[sha256.Size]byte]bool{},
	}
	if r.Binary {
		return r, r.readBinary(data[len(krlMagic):])
	}
	lines, err := ParseList(data)
	for _, l := range lines {
		hash := sha256.Sum256(l.Key.Blob)
		if r.keys[hash] == 0 {
			r.keys[hash] = l.Line
		}
	}
	return r, err
}

// ListedKey is a key in a list.
type ListedKey struct {
	Line int
	Key  *Key
}

// ParseList reads a list of public keys, one to a line, as RevokedKeys and
// TrustedUserCAKeys name them: no options. sshd sees nothing after the first
// line that it cannot read, except that it skips RSA keys that are too short:
// the error names that line, the keys before it are returned.
func ParseList(data []byte) (keys []ListedKey, err error) {
	number := 0
	for len(data) > 0 {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte{'\n'})
		number++
		line, _, _ = bytes.Cut(line, []byte{0})
		text := strings.TrimLeft(string(line), " \t")
		if text == "" || text[0] == '#' {
			continue
		}
		key, _, err := ParseText(text)
		if errors.Is(err, ErrTooShort) {
			continue
		}
		if err != nil {
			return keys, fmt.Errorf("line %d holds no key: %w", number, err)
		}
		keys = append(keys, ListedKey{number, key})
	}
	return keys, nil
}

func (r *Revoked) readBinary(data []byte) error {
	w := &wire{rest: data}
	if version := w.uint32(); version != 1 {
		return fmt.Errorf("version %d of key revocation lists is unknown", version)
	}
	w.take(24) // the list's version, date, flags
	w.string() // reserved
	w.text()   // a comment
	signed := false
	for len(w.rest) > 0 && !w.bad {
		kind := w.byte()
		section := &wire{rest: w.string()}
		if signed && kind != 4 {
			return errors.New("a section follows the signature")
		}
		switch kind {
		case 1:
			if err := r.readCertificates(section); err != nil {
				return err
			}
		case 2:
			for len(section.rest) > 0 {
				r.keys[sha256.Sum256(section.string())] = 0
			}
		case 3:
			for len(section.rest) > 0 {
				hash := section.string()
				if len(hash) != sha1.Size {
					return errFormat
				}
				r.sha1s[[sha1.Size]byte(hash)] = true
			}
		case 4:
			signed = true
			section.rest = nil
			w.string()
		case 5:
			for len(section.rest) > 0 {
				hash := section.string()
				if len(hash) != sha256.Size {
					return errFormat
				}
				r.sha256s[[sha256.Size]byte(hash)] = true
			}
		case 255: // an extension, since 9.4
			name := section.text()
			critical := section.byte() != 0
			section.string()
			if critical {
				return fmt.Errorf("the extension %q is unknown", name)
			}
		default:
			return fmt.Errorf("section %d is unknown", kind)
		}
		if section.bad || len(section.rest) > 0 {
			return errFormat
		}
	}
	if w.bad {
		return errFormat
	}
	return nil
}

// maxBitmap is how many bits OpenSSH takes in one.
const maxBitmap = 1 << 24

func (r *Revoked) readCertificates(w *wire) error {
	ca := w.string()
	w.string() // reserved
	c := revokedCerts{ids: map[string]bool{}}
	if len(ca) > 0 {
		key, err := Parse(ca)
		if err != nil {
			return fmt.Errorf("the key of an authority: %w", err)
		}
		c.ca = key.Blob
	}
	add := func(low, high uint64) bool {
		c.ranges = append(c.ranges, [2]uint64{low, high})
		return low != 0 && low <= high
	}
	for len(w.rest) > 0 && !w.bad {
		kind := w.byte()
		section := &wire{rest: w.string()}
		ok := true
		switch kind {
		case 0x20:
			for len(section.rest) > 0 && ok {
				serial := section.uint64()
				ok = add(serial, serial)
			}
		case 0x21:
			ok = add(section.uint64(), section.uint64())
		case 0x22:
			b := bitmap{first: section.uint64(), bytes: section.mpint()}
			ok = len(b.bytes)*8 <= maxBitmap && (b.first != 0 || !b.has(0)) && b.first+uint64(len(b.bytes)*8) >= b.first
			c.bitmaps = append(c.bitmaps, b)
		case 0x23:
			for len(section.rest) > 0 {
				c.ids[section.text()] = true
			}
		default:
			return fmt.Errorf("section %#x of certificates is unknown", kind)
		}
		if !ok || section.bad || len(section.rest) > 0 {
			return errFormat
		}
	}
	r.certs = append(r.certs, c)
	return nil
}

// has reports whether a serial number is in the bitmap.
func (b bitmap) has(serial uint64) bool {
	if serial < b.first || serial-b.first >= uint64(len(b.bytes))*8 {
		return false
	}
	n := serial - b.first
	return b.bytes[uint64(len(b.bytes))-1-n/8]&(1<<(n%8)) != 0
}

// Contains reports whether a key is revoked: itself, or when it came in a
// certificate, that certificate or the key that signed it. line is the line of
// a list that says so, 0 for a binary one.
func (r *Revoked) Contains(k *Key) (line int, revoked bool) {
	if line, revoked := r.holds(k); revoked {
		return line, true
	}
	c := k.Certificate
	if c == nil {
		return 0, false
	}
	for _, certs := range r.certs {
		if (certs.ca == nil || bytes.Equal(certs.ca, c.CA.Blob)) && certs.hold(c) {
			return 0, true
		}
	}
	return r.holds(c.CA)
}

func (r *Revoked) holds(k *Key) (line int, revoked bool) {
	hash := sha256.Sum256(k.Blob)
	if line, listed := r.keys[hash]; listed {
		return line, true
	}
	return 0, r.sha256s[hash] || r.sha1s[sha1.Sum(k.Blob)]
}

func (c revokedCerts) hold(cert *Certificate) bool {
	if c.ids[cert.KeyID] {
		return true
	}
	if cert.Serial == 0 { // what an authority without numbers writes
		return false
	}
	for _, r := range c.ranges {
		if r[0] <= cert.Serial && cert.Serial <= r[1] {
			return true
		}
	}
	for _, b := range c.bitmaps {
		if b.has(cert.Serial) {
			return true
		}
	}
	return false
}
