package loginmatrix

import (
	"slices"

	"github.com/hostguard/hostguard/internal/sshdconf"
)

// Lists are sshd's lists of allowed and denied users and groups.
type Lists struct {
	config                                         *sshdconf.Config
	denyUsers, allowUsers, denyGroups, allowGroups []sshdconf.Value
}

// ListsOf takes the lists out of what holds for a connection.
func ListsOf(c *sshdconf.Config, e *sshdconf.Effective) Lists {
	list := func(keyword string) []sshdconf.Value { return e.Get(keyword).Values }
	return Lists{c, list("denyusers"), list("allowusers"), list("denygroups"), list("allowgroups")}
}

// A Denial is why the lists keep an account out.
type Denial struct {
	Keyword string
	By      []sshdconf.Value // the entry that denies, or all of a list without the account
}

// Denied returns what keeps an account out on a connection (AllowUsers,
// DenyUsers, AllowGroups and DenyGroups in sshd_config(5)), nil when nothing
// does. A nil connection stands for all: a pattern with a host then lets in
// and does not deny, for there may be a connection for which it is so. With
// moreGroups the account may be in groups that it is not said to be in.
func (l Lists) Denied(name string, groups []string, conn *sshdconf.Connection, moreGroups bool) *Denial {
	matches := func(pattern string, orNot bool) bool {
		if conn != nil {
			return l.config.MatchUser(*conn, pattern)
		}
		user, _, hasHost := l.config.SplitUser(pattern)
		return sshdconf.Glob(name, user) && (!hasHost || orNot)
	}
	inGroup := func(v sshdconf.Value) bool {
		return slices.ContainsFunc(groups, func(g string) bool { return sshdconf.Glob(g, v.Text) })
	}
	for _, v := range l.denyUsers {
		if matches(v.Text, false) {
			return &Denial{"denyusers", []sshdconf.Value{v}}
		}
	}
	if len(l.allowUsers) > 0 && !slices.ContainsFunc(l.allowUsers, func(v sshdconf.Value) bool { return matches(v.Text, true) }) {
		return &Denial{"allowusers", l.allowUsers}
	}
	for _, v := range l.denyGroups {
		if inGroup(v) {
			return &Denial{"denygroups", []sshdconf.Value{v}}
		}
	}
	switch {
	case moreGroups:
		return nil
	case len(l.allowGroups) > 0 && !slices.ContainsFunc(l.allowGroups, inGroup):
		return &Denial{"allowgroups", l.allowGroups}
	case len(l.denyGroups) > 0 && len(groups) == 0: // sshd: "not in any group"
		return &Denial{"denygroups", l.denyGroups}
	}
	return nil
}
