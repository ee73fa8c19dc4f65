package filestate

import (
	"bytes"
	"encoding/binary"

	"github.com/hostguard/hostguard/internal/posixacl"
)

// aclEntry walks over the entries of an access list as the kernel keeps it:
// four bytes of version, then tag, permissions and id of each.
func aclEntries(value []byte, visit func(tag posixacl.Tag, perm []byte)) {
	if len(value) < 4 {
		return
	}
	for rest := value[4:]; len(rest) >= 8; rest = rest[8:] {
		visit(posixacl.Tag(binary.LittleEndian.Uint16(rest)), rest[2:4])
	}
}

// maskedBy is an access list as chmod(2) with mode leaves it: owner, mask (or,
// without one, the owning group) and others are the bits of the mode.
func maskedBy(value []byte, mode uint32) []byte {
	value = bytes.Clone(value)
	mask := false
	aclEntries(value, func(tag posixacl.Tag, _ []byte) { mask = mask || tag == posixacl.Mask })
	aclEntries(value, func(tag posixacl.Tag, perm []byte) {
		switch {
		case tag == posixacl.UserObj:
			binary.LittleEndian.PutUint16(perm, uint16(mode>>6&7))
		case tag == posixacl.Mask, tag == posixacl.GroupObj && !mask:
			binary.LittleEndian.PutUint16(perm, uint16(mode>>3&7))
		case tag == posixacl.Other:
			binary.LittleEndian.PutUint16(perm, uint16(mode&7))
		}
	})
	return value
}
