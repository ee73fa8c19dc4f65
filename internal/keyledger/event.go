// Package keyledger is the format of the SSH key ledger: who was given which
// key when, what became of it, and how it is shown that nobody changed what was
// written. docs/keyledger.md describes it for those who verify it without us.
//
// The ledger is a file of events, one JSON object a line, each of which holds
// the SHA-256 of the line before. A second file holds checkpoints: a signature
// over the number and the hash of the last line of an append, in the form of
// `ssh-keygen -Y sign`. Nothing here reads or writes files.
package keyledger

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// The files of a ledger, all in one folder.
const (
	Dir             = "/var/lib/hostguard/keys"
	LedgerFile      = "ledger.jsonl"
	CheckpointsFile = "checkpoints.jsonl"
	SignersFile     = "allowed_signers" // see ssh-keygen(1)
	SigningKeyFile  = "signing_key"     // an Ed25519 key in PKCS #8
)

// Bounds of what is read and written.
const (
	MaxFile = 64 << 20 // bytes of the ledger, and of its checkpoints
	maxLine = 16 << 10
	maxText = 1 << 10 // bytes of a name or a reason
)

// Kind is what an event says. The zero value is invalid.
type Kind uint8

// The kinds of events.
const (
	_              Kind = iota
	Enrolled            // the key was found in a file and taken down, or was given another person
	Added               // hostguard put the key into a file
	Rotated             // hostguard put the key into a file in the place of another
	Revoked             // hostguard took the key out
	RemovedOutside      // the key was in a file, and is there no more
	Informed            // the person was told about the key
	Tested              // a login with the key was tried and worked
)

var kindNames = [...]string{Enrolled: "enrolled", Added: "added", Rotated: "rotated", Revoked: "revoked",
	RemovedOutside: "removed-outside", Informed: "informed", Tested: "tested"}

func (k Kind) String() string {
	if k == 0 || int(k) >= len(kindNames) {
		return "Kind(" + strconv.Itoa(int(k)) + ")"
	}
	return kindNames[k]
}

// MarshalText writes the kind's name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// comes reports whether the event puts the key, or keeps it, in a file.
func (k Kind) comes() bool { return k == Enrolled || k == Added || k == Rotated }

// goes reports whether the key is in no file of the account after the event.
func (k Kind) goes() bool { return k == Revoked || k == RemovedOutside }

// Hash is the SHA-256 of a line with its newline.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes the hash as 64 hexadecimal digits.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// ParseHash reads what String wrote.
func ParseHash(s string) (Hash, error) {
	var h Hash
	if len(s) != hex.EncodedLen(len(h)) || strings.ToLower(s) != s {
		return h, fmt.Errorf("%q is no head of a ledger: want 64 hexadecimal digits", s)
	}
	if _, err := hex.Decode(h[:], []byte(s)); err != nil {
		return h, fmt.Errorf("%q is no head of a ledger: want 64 hexadecimal digits", s)
	}
	return h, nil
}

// Event is one line of the ledger.
type Event struct {
	Sequence int       // 1 for the first: the line's number
	Previous Hash      // of the line before, zero for the first
	Time     time.Time // in UTC, whole seconds
	Kind     Kind
	Account  string // whose file of authorized keys it is
	Key      string // the key's fingerprint: SHA256:…
	Replaces string // of Rotated: the fingerprint of the key before
	Person   string // who has the private key, as far as the event says
	By       string // who ran hostguard: each name with where it was taken from
	Reason   string
}

const timeForm = "2006-01-02T15:04:05Z"

// AppendLine appends the event's one line, with its newline.
func (e *Event) AppendLine(b []byte) []byte {
	b = append(b, `{"seq":`...)
	b = strconv.AppendInt(b, int64(e.Sequence), 10)
	b = append(b, `,"prev":"`...)
	b = hex.AppendEncode(b, e.Previous[:])
	b = append(b, `","time":"`...)
	b = e.Time.UTC().AppendFormat(b, timeForm)
	b = append(b, `","event":"`...)
	b = append(b, e.Kind.String()...)
	b = append(b, '"')
	for _, f := range e.texts() {
		b = append(b, `,"`...)
		b = append(b, f.name...)
		b = append(b, `":`...)
		b = appendText(b, *f.text)
	}
	return append(b, "}\n"...)
}

// textField is one of an event's fields that hold text, in the order of the line.
type textField struct {
	name string
	text *string
}

func (e *Event) texts() [6]textField {
	return [6]textField{{"account", &e.Account}, {"key", &e.Key}, {"replaces", &e.Replaces}, {"person", &e.Person}, {"by", &e.By}, {"reason", &e.Reason}}
}

// Validate says what keeps an event from being written.
func (e *Event) Validate() error {
	for _, f := range e.texts() {
		switch {
		case len(*f.text) > maxText:
			return fmt.Errorf("cannot record the event: its %s has %d bytes, at most %d fit", f.name, len(*f.text), maxText)
		case !utf8.ValidString(*f.text):
			return fmt.Errorf("cannot record the event: its %s is not UTF-8", f.name)
		}
	}
	if e.Account == "" {
		return fmt.Errorf("cannot record the event: it names no account")
	}
	if !IsFingerprint(e.Key) {
		return fmt.Errorf("cannot record the event: %q is no fingerprint of a key", e.Key)
	}
	if e.Replaces != "" && !IsFingerprint(e.Replaces) {
		return fmt.Errorf("cannot record the event: %q is no fingerprint of a key", e.Replaces)
	}
	if (e.Kind == Rotated) != (e.Replaces != "") {
		return fmt.Errorf("cannot record the event: a key replaces another when it is rotated, and only then")
	}
	if year := e.Time.UTC().Year(); year < 1970 || year > 9999 {
		return fmt.Errorf("cannot record the event: its year is %d", year)
	}
	return nil
}

// appendText appends a JSON string in ASCII in the one spelling that is taken:
// what is not printable ASCII is \u and four lower-case digits.
func appendText(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	unit := func(u uint16) {
		b = append(b, '\\', 'u', digits[u>>12], digits[u>>8&15], digits[u>>4&15], digits[u&15])
	}
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r >= ' ' && r <= '~':
			b = append(b, byte(r))
		case r < 0x10000:
			unit(uint16(r))
		default:
			r1, r2 := utf16.EncodeRune(r)
			unit(uint16(r1))
			unit(uint16(r2))
		}
	}
	return append(b, '"')
}

// IsFingerprint reports whether s has the form of ssh-keygen -l: SHA256 and 43
// characters of base64.
func IsFingerprint(s string) bool {
	code, ok := strings.CutPrefix(s, "SHA256:")
	if !ok || len(code) != 43 {
		return false
	}
	for i := range len(code) {
		c := code[i]
		if !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/') {
			return false
		}
	}
	return true
}
