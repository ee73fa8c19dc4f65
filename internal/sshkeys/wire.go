package sshkeys

import (
	"encoding/binary"
	"errors"
)

var errFormat = errors.New("its encoding is malformed")

// wire takes values off an encoded text, see RFC 4251, section 5. After the
// first that does not fit, bad is set and all others are empty.
type wire struct {
	rest []byte
	bad  bool
}

func (w *wire) take(n uint64) []byte {
	if w.bad || n > uint64(len(w.rest)) {
		w.bad, w.rest = true, nil
		return nil
	}
	out := w.rest[:n:n]
	w.rest = w.rest[n:]
	return out
}

func (w *wire) byte() byte {
	if b := w.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (w *wire) uint32() uint32 {
	if b := w.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (w *wire) uint64() uint64 {
	if b := w.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (w *wire) string() []byte { return w.take(uint64(w.uint32())) }

// text is a string that is read as one of C: sshd refuses a NUL byte inside,
// and takes one at its end away.
func (w *wire) text() string {
	s := w.string()
	for i, c := range s {
		if c == 0 && i < len(s)-1 {
			w.bad = true
			return ""
		}
		if c == 0 {
			return string(s[:i])
		}
	}
	return string(s)
}

// maxMPInt is how many bytes a number may have (16384 bits).
const maxMPInt = 16384 / 8

// mpint is a number without its leading zeros; sshd refuses a negative one.
func (w *wire) mpint() []byte {
	n := w.string()
	if len(n) > 0 && n[0]&0x80 != 0 || len(n) > maxMPInt+1 || len(n) == maxMPInt+1 && n[0] != 0 {
		w.bad = true
		return nil
	}
	for len(n) > 0 && n[0] == 0 {
		n = n[1:]
	}
	return n
}

func appendString[T []byte | string](out []byte, s T) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(len(s)))
	return append(out, s...)
}

func appendMPInt(out, n []byte) []byte {
	if len(n) > 0 && n[0]&0x80 != 0 {
		out = binary.BigEndian.AppendUint32(out, uint32(len(n)+1))
		return append(append(out, 0), n...)
	}
	return appendString(out, n)
}
