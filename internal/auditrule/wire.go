package auditrule

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// The kernel's struct audit_rule_data (linux/audit.h) in the machine's byte
// order: flags, action, field count, the mask, three arrays of 64 words
// (fields, values, operators), the length of the text, the text.
const (
	maxFields   = 64
	offMask     = 3 * 4
	offFields   = offMask + maskWords*4
	offValues   = offFields + maxFields*4
	offOps      = offValues + maxFields*4
	offTextLen  = offOps + maxFields*4
	offText     = offTextLen + 4
	prependFlag = 0x10
)

// Listing gathers the rules that the kernel lists.
type Listing struct {
	rules  []Rule
	fields []Field // room for those to come
}

// Add takes one rule in, of which it keeps a copy.
func (l *Listing) Add(data []byte) error {
	if len(l.rules) == cap(l.rules) {
		l.rules = slices.Grow(l.rules, max(64, len(l.rules)))
	}
	l.rules = append(l.rules, Rule{})
	return l.decode(&l.rules[len(l.rules)-1], data)
}

// Rules are those that were taken in.
func (l *Listing) Rules() []Rule { return l.rules }

// Decode reads a rule as the kernel lists it.
func Decode(data []byte) (Rule, error) {
	var l Listing
	var r Rule
	if err := l.decode(&r, data); err != nil {
		return Rule{}, err
	}
	return r, nil
}

func (l *Listing) decode(r *Rule, data []byte) error {
	if len(data) < offText {
		return fmt.Errorf("cannot read an audit rule: %d bytes where at least %d are needed", len(data), offText)
	}
	word := func(off int) uint32 { return binary.NativeEndian.Uint32(data[off:]) }
	flags, count, textLen := word(0), word(8), word(offTextLen)
	if count > maxFields {
		return fmt.Errorf("cannot read an audit rule: it says it has %d fields", count)
	}
	if uint64(textLen) > uint64(len(data)-offText) {
		return errors.New("cannot read an audit rule: it is cut off")
	}
	r.List, r.Prepend, r.Action = List(flags&^prependFlag), flags&prependFlag != 0, Action(word(4))
	r.Fields = l.room(int(count))
	for i := range r.Mask {
		r.Mask[i] = word(offMask + i*4)
	}
	text := string(data[offText : offText+int(textLen)])
	for i := range r.Fields {
		f := Field{Type: FieldType(word(offFields + i*4)), Op: Op(word(offOps + i*4)), Num: word(offValues + i*4)}
		if f.Type.isString() {
			if uint64(f.Num) > uint64(len(text)) {
				return errors.New("cannot read an audit rule: a field's text is cut off")
			}
			f.Text, text, f.Num = text[:f.Num], text[f.Num:], 0
		}
		r.Fields[i] = f
	}
	return nil
}

// room is a slice for n fields; few are allocated by themselves.
func (l *Listing) room(n int) []Field {
	if len(l.fields) < n {
		l.fields = make([]Field, max(n, 4*min(len(l.rules), 256)))
	}
	room := l.fields[:n:n]
	l.fields = l.fields[n:]
	return room
}

// Encode writes a rule as the kernel takes it.
func (r *Rule) Encode() []byte {
	data := make([]byte, offText)
	put := func(off int, v uint32) { binary.NativeEndian.PutUint32(data[off:], v) }
	flags := uint32(r.List)
	if r.Prepend {
		flags |= prependFlag
	}
	put(0, flags)
	put(4, uint32(r.Action))
	put(8, uint32(len(r.Fields)))
	for i, w := range r.Mask {
		put(offMask+i*4, w)
	}
	var text []byte
	for i, f := range r.Fields[:min(len(r.Fields), maxFields)] {
		put(offFields+i*4, uint32(f.Type))
		put(offOps+i*4, uint32(f.Op))
		value := f.Num
		if f.Type.isString() {
			value = uint32(len(f.Text))
			text = append(text, f.Text...)
		}
		put(offValues+i*4, value)
	}
	put(offTextLen, uint32(len(text)))
	return append(data, text...)
}
