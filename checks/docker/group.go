package docker

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/dockerconf"
	"github.com/hostguard/hostguard/internal/host"
)

type groupParams struct {
	Group string   `yaml:"group" doc:"The group that may use docker."`
	Users []string `yaml:"users" doc:"Its members, no more; empty: any account of a person, which is one of number 1000 and above that can log in."`
	// Runs turns the question round.
	Runs bool `yaml:"runs" doc:"Look instead for one member, other than root, that can log in and so run compose; with users, each of them must be one."`
}

// Validate wants a group.
func (p groupParams) Validate() error {
	if p.Group == "" {
		return errors.New("group is empty")
	}
	if slices.Contains(p.Users, "root") {
		return errors.New("users: root needs no group to use docker, and is not meant to run compose")
	}
	return nil
}

func group(ctx context.Context, h *host.Host, p groupParams) (checks.Verdict, error) {
	l, a, err := layoutAndAccounts(ctx, h)
	if err != nil || l.Kind == "" {
		return checks.Inapplicable("Docker is not installed."), err
	}
	daemon, err := h.DockerDaemon(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	groups := []string{p.Group}
	for _, name := range socketGroups(daemon) { // whatever it is called, it is the one
		if name != "root" && name != "0" && !slices.Contains(groups, name) {
			groups = append(groups, name)
		}
	}
	if p.Runs {
		return judgeRuns(a, groups, p, host.Today())
	}
	return judgeGroup(a, groups, p, host.Today())
}

// socketGroups are the groups that docker's sockets are made for.
func socketGroups(daemon host.DockerDaemon) []string {
	var groups []string
	if name, _, line := dockerconf.Setting(daemon.Socket, "Socket", "SocketGroup"); line > 0 {
		groups = append(groups, name)
	}
	if o, ok := daemon.Configured["group"]; ok {
		groups = append(groups, o.Last())
	}
	return groups
}

// firstPerson is the least number of an account that useradd(8) makes for a
// person.
const firstPerson = 1000

// judgeGroup wants nobody in the group who is not meant: a member is root.
func judgeGroup(a *host.Accounts, groups []string, p groupParams, today host.Day) (checks.Verdict, error) {
	var bad, seen []checks.Evidence
	var who []string
	for _, name := range groups {
		g := a.Group(name)
		if g == nil {
			seen = append(seen, checks.Evidence{Source: "/etc/group", Key: name, Got: "no such group"})
			continue
		}
		members := slices.DeleteFunc(a.Members(name), func(m string) bool { return a.User(m).UID == 0 })
		for _, m := range members {
			u := a.User(m)
			want := ""
			switch {
			case len(p.Users) > 0 && !slices.Contains(p.Users, m):
				want = "only " + strings.Join(p.Users, ", ")
			case len(p.Users) == 0 && (u.UID < firstPerson || !logsIn(u, today)):
				want = "accounts of persons only, unless docker.users in hostguard.yaml names it"
			}
			if want == "" {
				continue
			}
			e := checks.Evidence{Source: "/etc/group", Line: g.Line, Key: name, Want: want, Got: m}
			if u.GID == g.GID {
				e.Source, e.Line, e.Got = "/etc/passwd", u.Line, m+", by its primary group"
			}
			bad, who = append(bad, e), append(who, m)
		}
		got := "members: " + strings.Join(members, ", ")
		if len(members) == 0 {
			got = "no members"
		}
		seen = append(seen, checks.Evidence{Source: "/etc/group", Line: g.Line, Key: name, Got: got})
	}
	if len(bad) > 0 {
		return checks.Failed(fmt.Sprintf("Who is not meant to can use docker, which is to be root: %s.", strings.Join(slices.Compact(who), ", ")), few(bad)...), nil
	}
	return checks.Passed(seen...), elsewhere(a, "who is a member of "+strings.Join(groups, ", "))
}

// elsewhere is an error when accounts come from a directory too.
func elsewhere(a *host.Accounts, what string) error {
	if len(a.Elsewhere) == 0 {
		return nil
	}
	return fmt.Errorf("cannot tell %s: accounts come from %s too", what, strings.Join(a.Elsewhere, ", "))
}

// judgeRuns wants somebody other than root who can run compose.
func judgeRuns(a *host.Accounts, groups []string, p groupParams, today host.Day) (checks.Verdict, error) {
	var bad, seen []checks.Evidence
	in := func(user string) string {
		for _, name := range groups {
			if slices.Contains(a.Members(name), user) {
				return name
			}
		}
		return ""
	}
	wanted := p.Users
	if len(wanted) == 0 {
		for _, name := range groups {
			wanted = append(wanted, a.Members(name)...)
		}
		wanted = slices.DeleteFunc(wanted, func(m string) bool {
			u := a.User(m)
			return u.UID == 0 || !logsIn(u, today)
		})
	}
	for _, name := range wanted {
		e := checks.Evidence{Source: "/etc/passwd", Key: name, Want: "an account other than root, in the group " + p.Group + ", that can log in"}
		u := a.User(name)
		switch {
		case u == nil:
			e.Got = "no such account"
		case u.UID == 0:
			e.Line, e.Got = u.Line, "has root's number"
		case in(name) == "":
			e.Line, e.Got = u.Line, "not a member of "+p.Group
		case !logsIn(u, today):
			e.Line, e.Got = u.Line, "cannot log in (shell "+u.Shell+")"
		default:
			e.Line, e.Want, e.Got = u.Line, "", "a member of "+in(name)
			seen = append(seen, e)
			continue
		}
		bad = append(bad, e)
	}
	if len(wanted) == 0 {
		bad = append(bad, checks.Evidence{Source: "/etc/group", Key: p.Group, Want: "a member other than root that can log in", Got: "none"})
	}
	if len(bad) == 0 {
		return checks.Passed(seen...), nil
	}
	if err := elsewhere(a, "who is a member of "+p.Group); err != nil {
		return checks.Verdict{Evidence: seen}, err
	}
	return checks.Failed("No account other than root can run compose, as it is meant to be run.", bad...), nil
}

// logsIn reports whether an account could be logged in to: its shell is one,
// and it has not ended.
func logsIn(u *host.User, today host.Day) bool {
	return !slices.Contains([]string{"nologin", "false", "sync", "halt", "shutdown"}, path.Base(u.Shell)) && (u.Expires == host.Never || today < u.Expires)
}
