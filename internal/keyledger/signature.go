package keyledger

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Who signs, and what for: the names that ssh-keygen -Y verify is told with -I
// and -n. A signature made for something else does not verify.
const (
	Principal = "hostguard"
	Namespace = "keyledger@hostguard"
)

// checkpoint is one line of CheckpointsFile: the ledger had this head when it
// had this many lines. Checkpoints are a chain of their own, so that the last
// signature covers all that was signed before.
type checkpoint struct {
	sequence  int
	head      Hash
	previous  Hash // of the checkpoint's line before, zero for the first
	time      time.Time
	signature []byte // an SSH signature, see PROTOCOL.sshsig of OpenSSH
}

// message is what is signed: the line without its signature.
func (c *checkpoint) message() []byte { return append(c.appendUnsigned(nil), "}\n"...) }

func (c *checkpoint) appendUnsigned(b []byte) []byte {
	b = append(b, `{"seq":`...)
	b = strconv.AppendInt(b, int64(c.sequence), 10)
	b = append(b, `,"head":"`...)
	b = hex.AppendEncode(b, c.head[:])
	b = append(b, `","prev":"`...)
	b = hex.AppendEncode(b, c.previous[:])
	b = append(b, `","time":"`...)
	b = c.time.UTC().AppendFormat(b, timeForm)
	return append(b, '"')
}

func (c *checkpoint) appendLine(b []byte) []byte {
	b = c.appendUnsigned(b)
	b = append(b, `,"signature":"`...)
	b = base64.StdEncoding.AppendEncode(b, c.signature)
	return append(b, "\"}\n"...)
}

const keyType = "ssh-ed25519"

// wire joins strings as SSH does, each after its length: RFC 4251, section 5.
func wire(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p))))
		b.WriteString(p)
	}
	return b.String()
}

func publicBlob(key ed25519.PublicKey) string { return wire(keyType, string(key)) }

// signedData is what the key signs for a message: PROTOCOL.sshsig, section 3.
func signedData(message []byte) []byte {
	digest := sha512.Sum512(message)
	return []byte("SSHSIG" + wire(Namespace, "", "sha512", string(digest[:])))
}

// envelope is all of a signature but its last bytes, the key's own signature. A
// key has one envelope, so nothing needs to be parsed.
func envelope(key ed25519.PublicKey) string {
	const version = "\x00\x00\x00\x01"
	whole := "SSHSIG" + version + wire(publicBlob(key), Namespace, "", "sha512", wire(keyType, strings.Repeat("\x00", ed25519.SignatureSize)))
	return whole[:len(whole)-ed25519.SignatureSize]
}

func sign(key ed25519.PrivateKey, message []byte) []byte {
	return append([]byte(envelope(key.Public().(ed25519.PublicKey))), ed25519.Sign(key, signedData(message))...)
}

// Signer is a key whose signature counts.
type Signer struct{ key ed25519.PublicKey }

// Fingerprint is the key's, as ssh-keygen -l prints it.
func (s Signer) Fingerprint() string {
	sum := sha256.Sum256([]byte(publicBlob(s.key)))
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// verify returns the signer of the message.
func verify(signers []Signer, message, signature []byte) (Signer, error) {
	for _, s := range signers {
		if own, ok := strings.CutPrefix(string(signature), envelope(s.key)); ok {
			if !ed25519.Verify(s.key, signedData(message), []byte(own)) {
				return Signer{}, errors.New("its signature does not fit: the checkpoint or its signature was changed")
			}
			return s, nil
		}
	}
	return Signer{}, fmt.Errorf("it is not signed for this ledger by a key of %s", SignersFile)
}

// SignersLine is the line of allowed_signers for a key that signs the ledger.
func SignersLine(key ed25519.PublicKey) []byte {
	return fmt.Appendf(nil, "%s namespaces=\"%s\" %s %s\n", Principal, Namespace, keyType, base64.StdEncoding.EncodeToString([]byte(publicBlob(key))))
}

// parseSigners reads allowed_signers: lines as SignersLine writes them, blank
// ones and comments. Anything else would be read otherwise by ssh-keygen.
func parseSigners(data []byte) ([]Signer, *Problem) {
	var signers []Signer
	number := 0
	for text := range strings.Lines(string(data)) {
		number++
		text = strings.TrimSuffix(text, "\n")
		if text == "" || text[0] == '#' {
			continue
		}
		code, ok := strings.CutPrefix(text, Principal+` namespaces="`+Namespace+`" `+keyType+" ")
		blob, err := base64.StdEncoding.Strict().DecodeString(code)
		key, ed := strings.CutPrefix(string(blob), wire(keyType)+"\x00\x00\x00\x20")
		if !ok || err != nil || !ed || len(key) != ed25519.PublicKeySize || strings.ContainsAny(code, "\r\n") {
			return nil, &Problem{SignersFile, number, fmt.Sprintf("is not a line that hostguard wrote: want %s namespaces=\"%s\" %s and a key", Principal, Namespace, keyType)}
		}
		signers = append(signers, Signer{ed25519.PublicKey(key)})
	}
	if len(signers) == 0 {
		return nil, &Problem{SignersFile, 0, "names no key"}
	}
	return signers, nil
}
