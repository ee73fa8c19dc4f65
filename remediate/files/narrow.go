package files

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/hostguard/hostguard/checks/files"
	"github.com/hostguard/hostguard/internal/posixacl"
	"github.com/hostguard/hostguard/remediate/filestate"
)

// narrowed is the metadata with no more than a look at modes wants. Nobody gets
// more by it than he had, but for a new owner and group.
func narrowed(now filestate.State, want files.Narrow) (filestate.State, error) {
	s := now
	s.Xattrs = maps.Clone(now.Xattrs)
	if want.Owner != nil {
		s.UID = *want.Owner
	}
	if want.Group != nil {
		s.GID = *want.Group
	}
	s.Mode &= want.Perm
	if value, ok := s.Xattrs[posixacl.Access]; ok {
		list, mode, err := narrowedList(value, s.Mode, want.Perm, want.Named)
		if err != nil {
			return s, err
		}
		s.Mode = mode
		if list == nil {
			delete(s.Xattrs, posixacl.Access)
		} else {
			s.Xattrs[posixacl.Access] = list
		}
	}
	if value, ok := s.Xattrs[posixacl.Default]; ok {
		list, _, err := narrowedList(value, 0o777, 0o777, want.Defaults)
		if err != nil {
			return s, err
		}
		if list == nil {
			delete(s.Xattrs, posixacl.Default)
		} else {
			s.Xattrs[posixacl.Default] = list
		}
	}
	return s, nil
}

// narrowedList takes off an access list whom it may not name, and from all
// entries what the bits of perm do not allow. An entry that gave less than its
// holder would have without it stays, and gives nothing. The list is nil when it
// names nobody any more; the mode is then what it said of owner, group and others.
func narrowedList(value []byte, mode, perm uint32, named []files.Entry) ([]byte, uint32, error) {
	list, err := posixacl.Parse(value)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read its access list: %w", err)
	}
	user, group, other := uint8(perm>>6&7), uint8(perm>>3&7), uint8(perm&7)
	isNamed := func(e posixacl.Entry) bool { return e.Tag == posixacl.User || e.Tag == posixacl.Group }
	mayStay := func(e posixacl.Entry) bool { return slices.Contains(named, files.Entry{Tag: e.Tag, ID: e.ID}) }
	without := list.Group() & group // what anybody may have whom the list does not name
	for _, e := range list.Named() {
		if mayStay(e) {
			without |= e.Perm & group
		}
	}
	mask := list.Mask()
	for _, e := range list {
		if e.Tag == posixacl.Other {
			without |= e.Perm & other
		}
	}
	most := group
	var kept posixacl.List
	names := 0
	for _, e := range list {
		switch {
		case isNamed(e) && mayStay(e):
			e.Perm &= group
		case isNamed(e) && without&^(e.Perm&mask) != 0:
			e.Perm = 0
		case isNamed(e):
			continue
		case e.Tag == posixacl.UserObj:
			e.Perm &= user
		case e.Tag == posixacl.Other:
			e.Perm &= other
		case e.Tag == posixacl.Mask:
			e.Perm &= group
			most = e.Perm
		}
		if isNamed(e) {
			names++
		}
		kept = append(kept, e)
	}
	if names == 0 {
		return nil, mode&^0o070 | uint32(list.Group()&group)<<3, nil
	}
	return encoded(kept), mode&^0o070 | uint32(most)<<3, nil
}

// encoded writes a list as the kernel wants it, see linux/posix_acl_xattr.h.
func encoded(list posixacl.List) []byte {
	value := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range list {
		id := e.ID
		if e.Tag != posixacl.User && e.Tag != posixacl.Group {
			id = ^uint32(0)
		}
		value = binary.LittleEndian.AppendUint16(value, uint16(e.Tag))
		value = binary.LittleEndian.AppendUint16(value, uint16(e.Perm))
		value = binary.LittleEndian.AppendUint32(value, id)
	}
	return value
}

// alone is metadata with this mode, owner and group, and without access lists.
func alone(now filestate.State, mode, uid, gid uint32) filestate.State {
	s := now
	s.Xattrs = maps.Clone(now.Xattrs)
	delete(s.Xattrs, posixacl.Access)
	delete(s.Xattrs, posixacl.Default)
	s.Mode, s.UID, s.GID = mode, uid, gid
	return s
}
