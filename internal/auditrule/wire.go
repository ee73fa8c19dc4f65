package auditrule

import (
	"encoding/binary"
	"errors"
	"fmt"
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

// Decode reads a rule as the kernel lists it.
func Decode(data []byte) (Rule, error) {
	if len(data) < offText {
		return Rule{}, fmt.Errorf("cannot read an audit rule: %d bytes where at least %d are needed", len(data), offText)
	}
	word := func(off int) uint32 { return binary.NativeEndian.Uint32(data[off:]) }
	flags, count, textLen := word(0), word(8), word(offTextLen)
	if count > maxFields {
		return Rule{}, fmt.Errorf("cannot read an audit rule: it says it has %d fields", count)
	}
	if uint64(textLen) > uint64(len(data)-offText) {
		return Rule{}, errors.New("cannot read an audit rule: it is cut off")
	}
	r := Rule{
		List:    List(flags &^ prependFlag),
		Prepend: flags&prependFlag != 0,
		Action:  Action(word(4)),
		Fields:  make([]Field, count),
	}
	for i := range r.Mask {
		r.Mask[i] = word(offMask + i*4)
	}
	text := data[offText : offText+int(textLen)]
	for i := range r.Fields {
		f := Field{Type: FieldType(word(offFields + i*4)), Op: Op(word(offOps + i*4)), Num: word(offValues + i*4)}
		if f.Type.isString() {
			if uint64(f.Num) > uint64(len(text)) {
				return Rule{}, errors.New("cannot read an audit rule: a field's text is cut off")
			}
			f.Text, text, f.Num = string(text[:f.Num]), text[f.Num:], 0
		}
		r.Fields[i] = f
	}
	return r, nil
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
