package files

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/posixacl"
)

const (
	keyOwner   = "owner"
	keyGroup   = "group"
	keyMode    = "mode"
	keyACL     = "access list entry"
	keyDefault = "default access list entry"
	keyLink    = "link"
)

// setgidAndSticky only narrow what can be done in a folder.
const setgidAndSticky = 0o3000

// names tells accounts by their numbers: few numbers own the files that are
// looked at, and a host may have a hundred thousand accounts.
type names struct {
	accounts      *host.Accounts
	users, groups map[uint32]string // those asked for
}

func newNames(a *host.Accounts) names {
	return names{a, map[uint32]string{}, map[uint32]string{}}
}

// user returns the name on the first line with the number, as getpwuid(3) does,
// else the number.
func (n names) user(uid uint32) string {
	return remembered(n.users, uid, func() (string, bool) {
		i := slices.IndexFunc(n.accounts.Users, func(u host.User) bool { return u.UID == uid })
		if i < 0 {
			return "", false
		}
		return n.accounts.Users[i].Name, true
	})
}

func (n names) group(gid uint32) string {
	return remembered(n.groups, gid, func() (string, bool) {
		i := slices.IndexFunc(n.accounts.Groups, func(g host.Group) bool { return g.GID == gid })
		if i < 0 {
			return "", false
		}
		return n.accounts.Groups[i].Name, true
	})
}

func remembered(known map[uint32]string, id uint32, find func() (string, bool)) string {
	name, ok := known[id]
	if ok {
		return name
	}
	if name, ok = find(); !ok {
		name = strconv.FormatUint(uint64(id), 10)
	}
	known[id] = name
	return name
}

// among reports whether a list holds an account by its name or number.
func among(list []string, name string, id uint32) bool {
	return slices.Contains(list, name) || slices.Contains(list, strconv.FormatUint(uint64(id), 10))
}

// problems is what a file allows that it should not, each with its place.
func (t thing) problems(want access, n names) []checks.Evidence {
	var bad []checks.Evidence
	wrong := func(key, want, got string) {
		bad = append(bad, checks.Evidence{Source: t.Path, Key: key, Want: want, Got: got})
	}
	if t.gone {
		wrong(keyLink, "no link, or one of root's", fmt.Sprintf("belongs to %s, who can lead it anywhere", n.user(t.owner)))
		return bad
	}
	if owner := n.user(t.UID); len(want.Owner) > 0 && !among(want.Owner, owner, t.UID) {
		wrong(keyOwner, strings.Join(want.Owner, " or "), owner)
	}
	group := n.group(t.GID)
	if len(want.Group) > 0 && !among(want.Group, group, t.GID) {
		wrong(keyGroup, strings.Join(want.Group, " or "), group)
	}
	most := want.Mode
	if t.IsDir() {
		most = want.DirMode
	}
	perm := t.Perm
	if t.ACL != nil { // then the group's bits are the mask
		perm = perm&^0o070 | uint32(t.ACL.Group())<<3
	}
	allowed := want.allows(t.IsDir(), group, t.GID)
	if perm&^allowed != 0 {
		wrong(keyMode, most.String()+" or less", fmt.Sprintf("%s (%s:%s)", Octal(perm), n.user(t.UID), group))
	}
	for _, e := range t.ACL.Named() {
		if !t.mayName(e, want, n) || uint32(e.Perm)&^(allowed>>3&7) != 0 {
			wrong(keyACL, mostOf(want, allowed), n.entry(e))
		}
	}
	for _, e := range t.Default.Named() {
		if !t.mayName(e, want, n) {
			wrong(keyDefault, mostOf(want, allowed), n.entry(e))
		}
	}
	return bad
}

// mayName reports whether an access list may name somebody. An entry without
// permissions gives nothing.
func (t thing) mayName(e posixacl.Entry, want access, n names) bool {
	switch {
	case e.Perm == 0:
		return true
	case e.Tag == posixacl.Group:
		return e.ID == 0 || slices.Contains(want.ACLGroups, "*") || among(want.ACLGroups, n.group(e.ID), e.ID)
	}
	return e.ID == 0 || slices.Contains(want.ACLUsers, "*") || among(want.ACLUsers, n.user(e.ID), e.ID) || want.ACLUserInName && numberInName(t.Path) == strconv.FormatUint(uint64(e.ID), 10)
}

// numberInName is the 1000 of user-1000.journal and of what it was rotated to,
// user-1000@….journal~.
func numberInName(name string) string {
	rest, found := strings.CutPrefix(path.Base(name), "user-")
	number := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	rest = rest[len(number):]
	if !found || !strings.HasPrefix(rest, ".journal") && !strings.HasPrefix(rest, "@") {
		return ""
	}
	return number
}

// mostOf says what entries may be.
func mostOf(want access, allowed uint32) string {
	var who []string
	for _, u := range want.ACLUsers {
		who = append(who, "user "+u)
	}
	for _, g := range want.ACLGroups {
		who = append(who, "group "+g)
	}
	if len(who) == 0 {
		return "none"
	}
	return fmt.Sprintf("only for %s, at most %s", strings.Join(who, ", "), rwx(uint8(allowed>>3&7)))
}

func (n names) entry(e posixacl.Entry) string {
	if e.Tag == posixacl.Group {
		return fmt.Sprintf("group:%s:%s", n.group(e.ID), rwx(e.Perm))
	}
	return fmt.Sprintf("user:%s:%s", n.user(e.ID), rwx(e.Perm))
}

func rwx(perm uint8) string {
	text := []byte("---")
	for i, letter := range []byte("rwx") {
		if perm&(4>>i) != 0 {
			text[i] = letter
		}
	}
	return string(text)
}

// describe is what was seen of a file: "0640 root:adm, group:x:r--".
func (t thing) describe(n names) string {
	text := fmt.Sprintf("%s %s:%s", Octal(t.Perm), n.user(t.UID), n.group(t.GID))
	if t.IsDir() {
		text += " (folder)"
	}
	for _, e := range t.ACL.Named() {
		text += ", " + n.entry(e)
	}
	if t.link {
		text += ", over a link"
	}
	return text
}
