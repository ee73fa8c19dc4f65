package files

import (
	"fmt"
	"strconv"

	"github.com/hostguard/hostguard/internal/posixacl"
)

// Repair is what would have to be so of the files that a look at modes finds
// fault with. It only takes away.
type Repair struct {
	Files []Narrow
	More  int // files at fault beyond those that are listed
}

// Narrow is the most that may be so of one file or folder.
type Narrow struct {
	Path string
	Link bool // Path is a link of root's: what it leads to is meant
	// Stray says that Path is somebody else's link, which nobody mends.
	Stray bool
	Left  string // why a person mends it; empty: none need to

	Owner, Group *uint32 // to be given to; nil: as it is
	Unknown      string  // an owner or group that is wanted and that the host does not have
	Perm         uint32  // the bits that may be set
	Named        []Entry // whom its access list may go on naming
	Defaults     []Entry // the same of a folder's default one
}

// Entry is a user or group in an access list.
type Entry struct {
	Tag posixacl.Tag
	ID  uint32
}

// maxRepairs is how many files are mended at once.
const maxRepairs = 200

// add lists one more file at fault.
func (r *Repair) add(t thing, want access, n names) {
	if len(r.Files) == maxRepairs {
		r.More++
		return
	}
	f := Narrow{Path: t.Path, Link: t.link, Stray: t.gone}
	if f.Stray {
		r.Files = append(r.Files, f)
		return
	}
	gid := t.GID
	if owner := n.user(t.UID); len(want.Owner) > 0 && !among(want.Owner, owner, t.UID) {
		f.Owner = n.number(want.Owner, n.uid)
		if f.Owner == nil {
			f.Unknown = "owner"
		}
	}
	if len(want.Group) > 0 && !among(want.Group, n.group(gid), gid) {
		if f.Group = n.number(want.Group, n.gid); f.Group == nil {
			f.Unknown = "group"
		} else {
			gid = *f.Group
		}
	}
	f.Perm = want.allows(t.IsDir(), n.group(gid), gid)
	if f.Owner != nil && !t.IsDir() {
		f.Perm &^= 0o6000 // whoever could write it must not get to run it as root
	}
	for _, e := range t.ACL.Named() {
		if t.mayName(e, want, n) {
			f.Named = append(f.Named, Entry{e.Tag, e.ID})
		}
	}
	for _, e := range t.Default.Named() {
		if t.mayName(e, want, n) {
			f.Defaults = append(f.Defaults, Entry{e.Tag, e.ID})
		}
	}
	r.Files = append(r.Files, f)
}

// addSecret lists one more file of a connector at fault. What a container's user
// may read only as everybody does is left: nobody but who made the image knows
// who that is. accounts are those that such users have.
func (r *Repair) addSecret(t thing, mounted bool, accounts []string, want access, n names) {
	if r.add(t, want, n); r.More > 0 {
		return
	}
	f := &r.Files[len(r.Files)-1]
	readByAll := t.Perm&^f.Perm&0o004 != 0
	ofContainer := t.UID != 0 && among(accounts, n.user(t.UID), t.UID)
	switch {
	case f.Stray:
		f.Stray, f.Left = false, "is a link: mount the file itself"
	case f.Owner != nil || f.Unknown != "":
		f.Left = fmt.Sprintf("belongs to %s: give it to root, or to the container's user where it is mounted", n.user(t.UID))
	case mounted && readByAll && !ofContainer:
		f.Left = fmt.Sprintf("is read by the container's user as everybody reads it: give it to that one (chown 65534:root for the images of TRUE Connector) and chmod %04o it", f.Perm&0o440)
	}
}

// allows is the most that a mode may be.
func (a access) allows(dir bool, group string, gid uint32) uint32 {
	allowed := uint32(a.Mode)
	if dir {
		allowed = uint32(a.DirMode) | setgidAndSticky
	}
	if among(a.GroupWriters, group, gid) {
		allowed |= 0o020
	}
	return allowed
}

// number is the id of root when root is wanted, else of the first that exists.
func (n names) number(wanted []string, find func(string) (uint32, bool)) *uint32 {
	var first *uint32
	for _, name := range wanted {
		id, ok := find(name)
		if !ok {
			number, err := strconv.ParseUint(name, 10, 32)
			id, ok = uint32(number), err == nil
		}
		switch {
		case ok && id == 0:
			return &id
		case ok && first == nil:
			first = &id
		}
	}
	return first
}

func (n names) uid(name string) (uint32, bool) {
	if name == "root" {
		return 0, true
	}
	if u := n.accounts.User(name); u != nil {
		return u.UID, true
	}
	return 0, false
}

func (n names) gid(name string) (uint32, bool) {
	if name == "root" {
		return 0, true
	}
	if g := n.accounts.Group(name); g != nil {
		return g.GID, true
	}
	return 0, false
}
