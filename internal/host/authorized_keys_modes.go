package host

import (
	"fmt"
	"slices"
)

// denied reports whether modes, and no access control list could say otherwise,
// keep a user from reading a file of a tree.
func (r *keyReader) denied(steps []step, u *User) bool {
	if u.UID == 0 {
		return false
	}
	groups := r.accounts.GroupsOf(u.Name)
	for i, s := range steps {
		want := uint32(1) // to go through a folder
		if i == len(steps)-1 {
			want = 4
		}
		mode := s.st.Mode
		inGroup := slices.ContainsFunc(groups, func(g string) bool { return r.accounts.Group(g).GID == s.st.Gid })
		switch {
		case s.st.Uid == u.UID:
			mode >>= 6
		case inGroup:
			mode >>= 3
		default:
			mode |= mode >> 3 // the group's bits are the mask of a list
		}
		if mode&want == 0 {
			return true
		}
	}
	return false
}

// mayRead is nil when the file can be opened for reading with the present rights.
func mayRead(t *trail) error {
	f, _, err := reopenRegular(t.file)
	if err != nil {
		return pathError("read", t.path(), err)
	}
	return f.Close()
}

// unsafe judges the file and the folders above it, up to the user's home or the
// root, as StrictModes does: root or the user owns them, and no one else may
// write.
func (r *keyReader) unsafe(steps []step, home string, u *User) (at, why string) {
	for i := len(steps) - 1; i >= 0; i-- {
		s := steps[i]
		if why := r.insecure(s, u); why != "" {
			return s.path, why
		}
		if i < len(steps)-1 && s.path == home {
			break
		}
	}
	return "", ""
}

// insecure says what is wrong with one of them. Debian's sshd lets a group
// write that has no member but the owner; what it is built as elsewhere is
// judged the same way.
func (r *keyReader) insecure(s step, u *User) string {
	switch {
	case s.st.Uid != 0 && s.st.Uid != u.UID:
		return fmt.Sprintf("neither root nor %s owns it (%s)", u.Name, s.owner())
	case s.st.Mode&0o002 != 0:
		return fmt.Sprintf("everybody may write to it (%s)", s.owner())
	case s.st.Mode&0o020 != 0 && !r.ownGroup(s.st.Gid, s.st.Uid, u):
		return fmt.Sprintf("a group with others in it than %s may write to it (%s)", u.Name, s.owner())
	}
	return ""
}

// ownGroup reports whether a group has exactly one member, by its line or as
// their primary group, who is both the user and the file's owner.
func (r *keyReader) ownGroup(gid, owner uint32, u *User) bool {
	i := slices.IndexFunc(r.accounts.Groups, func(g Group) bool { return g.GID == gid })
	if i < 0 || len(r.accounts.Elsewhere) > 0 {
		return false
	}
	members := 0
	for _, other := range r.accounts.Users {
		if other.GID != gid {
			continue
		}
		if members++; other.UID != u.UID {
			return false
		}
	}
	o := slices.IndexFunc(r.accounts.Users, func(u User) bool { return u.UID == owner })
	if o < 0 {
		return false
	}
	if listed := r.accounts.Groups[i].Listed; len(listed) > 0 {
		members++
		if len(listed) > 1 || listed[0] != r.accounts.Users[o].Name {
			return false
		}
	}
	return members > 0
}
