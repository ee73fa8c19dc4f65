// Package posixacl reads access control lists as the kernel hands them out, in
// the extended attributes system.posix_acl_access and system.posix_acl_default:
// see acl(5) and linux/posix_acl_xattr.h.
package posixacl

import (
	"encoding/binary"
	"fmt"
)

// The attributes that hold an access control list.
const (
	Access  = "system.posix_acl_access"
	Default = "system.posix_acl_default" // of a folder, for what is made in it
)

// Tag says whom an entry is about.
type Tag uint16

// The tags, with the kernel's values.
const (
	UserObj  Tag = 0x01 // the owner
	User     Tag = 0x02 // a user by number
	GroupObj Tag = 0x04 // the owning group
	Group    Tag = 0x08 // a group by number
	Mask     Tag = 0x10 // the most that all but owner and other have
	Other    Tag = 0x20
)

// Entry is one entry.
type Entry struct {
	Tag  Tag
	Perm uint8  // read 4, write 2, execute 1
	ID   uint32 // of User and Group
}

// List is an access control list.
type List []Entry

const (
	version   = 2
	entrySize = 8
)

// Parse reads the value of an attribute.
func Parse(value []byte) (List, error) {
	if len(value) < 4 || binary.LittleEndian.Uint32(value) != version {
		return nil, fmt.Errorf("cannot read the access list: want version %d, got % x", version, value[:min(4, len(value))])
	}
	rest := value[4:]
	if len(rest)%entrySize != 0 {
		return nil, fmt.Errorf("cannot read the access list: %d bytes are no whole number of entries", len(rest))
	}
	list := make(List, 0, len(rest)/entrySize)
	for ; len(rest) > 0; rest = rest[entrySize:] {
		tag, perm := Tag(binary.LittleEndian.Uint16(rest)), binary.LittleEndian.Uint16(rest[2:])
		switch tag {
		case UserObj, User, GroupObj, Group, Mask, Other:
		default:
			return nil, fmt.Errorf("cannot read the access list: the tag %#x is not known", uint16(tag))
		}
		if perm > 7 {
			return nil, fmt.Errorf("cannot read the access list: the permissions %#x are not known", perm)
		}
		e := Entry{Tag: tag, Perm: uint8(perm)}
		if tag == User || tag == Group {
			e.ID = binary.LittleEndian.Uint32(rest[4:])
		}
		list = append(list, e)
	}
	return list, nil
}

// Mask is the most that named entries and the owning group have.
func (l List) Mask() uint8 {
	for _, e := range l {
		if e.Tag == Mask {
			return e.Perm
		}
	}
	return 7
}

// Group returns what the owning group may do. The group's bits of a file's
// mode are the mask instead, once it has a list.
func (l List) Group() uint8 {
	for _, e := range l {
		if e.Tag == GroupObj {
			return e.Perm & l.Mask()
		}
	}
	return 0
}

// Named returns the users and groups that the list names and what each may do,
// the mask taken off.
func (l List) Named() []Entry {
	var named []Entry
	mask := l.Mask()
	for _, e := range l {
		if e.Tag == User || e.Tag == Group {
			e.Perm &= mask
			named = append(named, e)
		}
	}
	return named
}
