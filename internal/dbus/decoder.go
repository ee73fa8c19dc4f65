package dbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Decoder reads the values of one message in their order. What is malformed
// or cut short makes Err non-nil and all further values zero; so Err is to be
// asked for once, at the end.
type Decoder struct {
	Signature string // of what is to be read, from its start
	data      []byte
	at        int
	err       error
}

// maxDepth is how deep values may lie in each other; the specification has 64.
const maxDepth = 64

// Err is why something could not be read.
func (d *Decoder) Err() error { return d.err }

// Expect makes Err non-nil unless the values are of these types.
func (d *Decoder) Expect(signature string) {
	if d.Signature != signature {
		d.fail(fmt.Sprintf("an answer has the type %.40q, not %q", d.Signature, signature))
	}
}

func (d *Decoder) more() bool { return d.err == nil && d.at < len(d.data) }

func (d *Decoder) fail(why string) {
	if d.err == nil {
		d.err = errors.New(why)
	}
}

func (d *Decoder) align(to int) {
	d.take((to - d.at%to) % to)
}

// take returns the next n bytes, nil when they are not there.
func (d *Decoder) take(n int) []byte {
	if d.err == nil && (n < 0 || n > len(d.data)-d.at) {
		d.fail("an answer is cut short")
	}
	if d.err != nil {
		return nil
	}
	d.at += n
	return d.data[d.at-n : d.at]
}

// Byte reads a y.
func (d *Decoder) Byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

// Uint32 reads a u.
func (d *Decoder) Uint32() uint32 {
	d.align(4)
	if b := d.take(4); b != nil {
		return binary.NativeEndian.Uint32(b)
	}
	return 0
}

// Int32 reads an i.
func (d *Decoder) Int32() int32 { return int32(d.Uint32()) }

// Bool reads a b.
func (d *Decoder) Bool() bool { return d.Uint32() != 0 }

// Uint64 reads a t.
func (d *Decoder) Uint64() uint64 {
	d.align(8)
	if b := d.take(8); b != nil {
		return binary.NativeEndian.Uint64(b)
	}
	return 0
}

// String reads an s or an o.
func (d *Decoder) String() string { return string(d.text()) }

func (d *Decoder) text() []byte {
	n := d.Uint32()
	b := d.take(int(n))
	d.take(1) // the NUL
	return b
}

// Strings reads an as or an ao.
func (d *Decoder) Strings() (list []string) {
	d.Array("s", func() { list = append(list, d.String()) })
	return list
}

// Array reads an array: element is called for each of its elements, which are
// of the given signature, and reads it.
func (d *Decoder) Array(of string, element func()) {
	n := int(d.Uint32())
	d.align(alignment(of))
	if d.err == nil && n > len(d.data)-d.at {
		d.fail("an answer is cut short")
	}
	for end := d.at + n; d.err == nil && d.at < end; {
		before := d.at
		d.align(alignment(of))
		if element(); d.at == before && d.err == nil {
			d.fail("an array's elements are empty")
		}
	}
}

// Struct reads a structure, whose parts read reads.
func (d *Decoder) Struct(read func()) {
	d.align(8)
	read()
}

// Variant reads the signature of a v; the value itself comes next.
func (d *Decoder) Variant() string { return d.signature() }

// Dictionary reads an a{sv}. For each entry, value is called with the key and
// the value's signature; it reads the value and returns true, or returns false
// and leaves it.
func (d *Decoder) Dictionary(value func(key, signature string) bool) {
	d.Array("{sv}", func() {
		key := d.String()
		signature := d.Variant()
		if !value(key, signature) {
			d.Skip(signature)
		}
	})
}

func (d *Decoder) signature() string {
	b := d.take(int(d.Byte()))
	d.take(1) // the NUL
	return string(b)
}

// Skip passes over the values of a signature.
func (d *Decoder) Skip(signature string) {
	for signature != "" && d.err == nil {
		first, rest, err := firstType(signature)
		if err != nil {
			d.fail(err.Error())
			return
		}
		d.skip(first, 0)
		signature = rest
	}
}

func (d *Decoder) skip(one string, depth int) {
	if depth > maxDepth {
		d.fail("an answer's values lie too deep in each other")
		return
	}
	switch c := one[0]; c {
	case 'y':
		d.Byte()
	case 'n', 'q':
		d.align(2)
		d.take(2)
	case 'b', 'i', 'u', 'h':
		d.Uint32()
	case 'x', 't', 'd':
		d.Uint64()
	case 's', 'o':
		d.text()
	case 'g':
		d.signature()
	case 'v':
		inner := d.signature()
		first, rest, err := firstType(inner)
		if d.err == nil && (err != nil || rest != "") {
			d.fail(fmt.Sprintf("%.40q is not the type of one value", inner))
		}
		if d.err == nil {
			d.skip(first, depth+1)
		}
	case 'a':
		n := int(d.Uint32())
		d.align(alignment(one[1:]))
		d.take(n)
	case '(', '{':
		d.align(8)
		for inner := one[1 : len(one)-1]; inner != "" && d.err == nil; {
			first, rest, err := firstType(inner)
			if err != nil {
				d.fail(err.Error())
				return
			}
			d.skip(first, depth+1)
			inner = rest
		}
	}
}

// alignment is what the values of a type begin at a multiple of.
func alignment(signature string) int {
	switch {
	case signature == "":
		return 1
	case strings.IndexByte("ygv", signature[0]) >= 0:
		return 1
	case strings.IndexByte("nq", signature[0]) >= 0:
		return 2
	case strings.IndexByte("xtd({", signature[0]) >= 0:
		return 8
	}
	return 4
}

// firstType cuts the first complete type off a signature.
func firstType(signature string) (first, rest string, err error) {
	depth := 0
	for i := 0; i < len(signature); i++ {
		switch c := signature[i]; {
		case c == '(' || c == '{':
			depth++
			continue
		case c == ')' || c == '}':
			if depth--; depth < 0 || signature[i-1] == '(' || signature[i-1] == '{' || signature[i-1] == 'a' {
				return "", "", fmt.Errorf("%.40q is not a signature", signature)
			}
		case c == 'a':
			continue
		case strings.IndexByte("ynqbiuhxtdsogv", c) < 0:
			return "", "", fmt.Errorf("%.40q is not a signature", signature)
		}
		if depth == 0 {
			return signature[:i+1], signature[i+1:], nil
		}
	}
	return "", "", fmt.Errorf("%.40q is not a signature", signature)
}
