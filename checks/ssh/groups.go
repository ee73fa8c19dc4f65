package ssh

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/sshdconf"
)

type allowGroupsParams struct {
	Group string   `yaml:"group" doc:"The one group that may log in; empty: any group that AllowGroups names without a wildcard."`
	Users []string `yaml:"users" doc:"Its members, no more and no fewer; empty: any, but at least one."`
}

func allowGroups(ctx context.Context, h *host.Host, p allowGroupsParams) (checks.Verdict, error) {
	return judgeAll(ctx, h, []string{"allowgroups"}, func(t target) (checks.Verdict, error) { return judgeAllowGroups(t, p) })
}

// judgeAllowGroups wants AllowGroups in every world, with the group and
// nothing else, and the group with its members.
func judgeAllowGroups(t target, p allowGroupsParams) (checks.Verdict, error) {
	want := p.Group
	if want == "" {
		want = "a group made for SSH logins"
	}
	var bad, seen []checks.Evidence
	var named []string
	reason := ""
	fail := func(why string, at ...checks.Evidence) {
		if reason == "" {
			reason = why
		}
		bad = append(bad, at...)
	}
	for _, w := range t.worlds {
		if w.Effective == nil {
			continue
		}
		s := w.Effective.Get("allowgroups")
		if len(s.Values) == 0 {
			fail("AllowGroups is not set: every account of the host may try to log in.", evidence(s, want)...)
			continue
		}
		wrong := s
		wrong.Values = slices.DeleteFunc(slices.Clone(s.Values), func(v sshdconf.Value) bool {
			return v.Text == p.Group || p.Group == "" && !strings.ContainsAny(v.Text, "*?")
		})
		if len(wrong.Values) > 0 {
			fail(fmt.Sprintf("AllowGroups admits %s.", wrong.Values[0].Text), evidence(wrong, want)...)
			continue
		}
		seen = append(seen, evidence(s, "")...)
		for _, v := range s.Values {
			if !slices.Contains(named, v.Text) {
				named = append(named, v.Text)
			}
		}
	}
	var members []string
	for _, name := range named {
		g := t.accounts.Group(name)
		if g == nil {
			if err := t.incomplete("whether the group " + name + " exists"); err != nil {
				return checks.Verdict{Evidence: seen}, err
			}
			fail(fmt.Sprintf("The group %s of AllowGroups does not exist: nobody can log in.", name),
				checks.Evidence{Source: "/etc/group", Key: name, Want: "a group", Got: "no such group"})
			continue
		}
		in := slices.DeleteFunc(t.accounts.Members(name), func(user string) bool { // sshd finds it by number, and takes the first name with it
			return !slices.Contains(t.accounts.GroupsOf(user), name)
		})
		members = append(members, in...)
		seen = append(seen, checks.Evidence{Source: "/etc/group", Line: g.Line, Key: name, Got: "members: " + emptyOr(in)})
	}
	slices.Sort(members)
	members = slices.Compact(members)
	if reason == "" {
		if err := t.incomplete("who is a member of " + nameList(named)); err != nil {
			return checks.Verdict{Evidence: seen}, err
		}
		wrong, at := compareUsers(members, p.Users, t.accounts, "member of "+nameList(named))
		if wrong == "" && len(members) == 0 {
			wrong = fmt.Sprintf("The group %s has no members: nobody can log in.", nameList(named))
			at = []checks.Evidence{{Source: "/etc/group", Key: nameList(named), Want: "at least one member", Got: "none"}}
		}
		if wrong != "" {
			fail(wrong, at...)
		}
	}
	if reason != "" {
		return checks.Failed(reason, unique(bad)...), nil
	}
	return checks.Passed(unique(seen)...), nil
}

func emptyOr(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return nameList(names)
}

// incomplete is an error when accounts come from elsewhere too.
func (t target) incomplete(what string) error {
	if len(t.accounts.Elsewhere) == 0 {
		return nil
	}
	return fmt.Errorf("cannot tell %s: accounts come from %s too", what, strings.Join(t.accounts.Elsewhere, ", "))
}

// compareUsers wants exactly the users, when any are given.
func compareUsers(have, want []string, a *host.Accounts, as string) (reason string, at []checks.Evidence) {
	if len(want) == 0 {
		return "", nil
	}
	for _, name := range want {
		if slices.Contains(have, name) {
			continue
		}
		got := "not a " + as
		if a.User(name) == nil {
			got = "no such account"
		}
		at = append(at, checks.Evidence{Source: "/etc/group", Key: name, Want: as, Got: got})
		if reason == "" {
			reason = fmt.Sprintf("%s is not a %s.", name, as)
		}
	}
	for _, name := range have {
		if slices.Contains(want, name) {
			continue
		}
		e := checks.Evidence{Source: "/etc/passwd", Key: name, Want: "not a " + as, Got: as}
		if u := a.User(name); u != nil {
			e.Line = u.Line
		}
		at = append(at, e)
		if reason == "" {
			reason = fmt.Sprintf("%s is a %s and is not among the users who may log in.", name, as)
		}
	}
	return reason, at[:min(len(at), maxEvidence)]
}

type allowUsersParams struct {
	Users    []string `yaml:"users" doc:"Those who may log in, no more and no fewer; empty: any accounts that AllowUsers names without a wildcard."`
	Optional bool     `yaml:"optional" doc:"AllowUsers may be left out; only what it says is judged."`
}

func allowUsers(ctx context.Context, h *host.Host, p allowUsersParams) (checks.Verdict, error) {
	return judgeAll(ctx, h, []string{"allowusers", "allowgroups"}, func(t target) (checks.Verdict, error) { return judgeAllowUsers(t, p) })
}

// judgeAllowUsers wants AllowUsers in every world, naming accounts that exist
// and that AllowGroups lets through too.
func judgeAllowUsers(t target, p allowUsersParams) (checks.Verdict, error) {
	const want = "the users who may log in, by name"
	var bad, seen []checks.Evidence
	reason := ""
	fail := func(why string, at ...checks.Evidence) {
		if reason == "" {
			reason = why
		}
		bad = append(bad, at...)
	}
	named := map[string]sshdconf.Value{}
	for _, w := range t.worlds {
		if w.Effective == nil {
			continue
		}
		s := w.Effective.Get("allowusers")
		if len(s.Values) == 0 {
			if !p.Optional {
				fail("AllowUsers is not set: the users who may log in are not named.", evidence(s, want)...)
			}
			continue
		}
		groups := w.Effective.Get("allowgroups")
		for _, v := range s.Values {
			at := place(v)
			at.Key, at.Want, at.Got = "allowusers", want, v.Text
			name, _, _ := t.config.SplitUser(v.Text)
			switch {
			case strings.ContainsAny(name, "*?"):
				fail(fmt.Sprintf("AllowUsers %s names no one user.", v.Text), at)
			case t.accounts.User(name) == nil:
				if err := t.incomplete("whether the account " + name + " exists"); err != nil {
					return checks.Verdict{Evidence: seen}, err
				}
				at.Got += " (no such account)"
				fail(fmt.Sprintf("AllowUsers names %s, which is no account.", name), at)
			case len(groups.Values) > 0 && !t.inGroups(name, groups):
				if err := t.incomplete("which groups " + name + " is in"); err != nil {
					return checks.Verdict{Evidence: seen}, err
				}
				at.Want = "a member of " + groups.Text()
				fail(fmt.Sprintf("AllowUsers names %s, whom AllowGroups shuts out: both must let an account through.", name), at)
			default:
				named[name] = v
				at.Want = ""
				seen = append(seen, at)
			}
		}
	}
	if reason == "" && len(named) == 0 {
		return checks.Inapplicable("AllowUsers is not set."), nil
	}
	if reason == "" {
		names := slices.Sorted(maps.Keys(named))
		if why, at := compareUsers(names, p.Users, t.accounts, "user whom AllowUsers names"); why != "" {
			for i := range at { // it is the list in the file that is wrong
				v, found := named[at[i].Key]
				if !found {
					v = named[names[0]]
				}
				line := place(v)
				at[i].Source, at[i].Line = line.Source, line.Line
			}
			fail(why, at...)
		}
	}
	if reason != "" {
		return checks.Failed(reason, unique(bad)...), nil
	}
	return checks.Passed(unique(seen)...), nil
}

func (t target) inGroups(user string, groups sshdconf.Setting) bool {
	return slices.ContainsFunc(t.accounts.GroupsOf(user), func(g string) bool {
		return slices.ContainsFunc(groups.Values, func(v sshdconf.Value) bool { return sshdconf.Glob(g, v.Text) })
	})
}
