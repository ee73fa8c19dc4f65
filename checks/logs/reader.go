package logs

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

type readerParams struct {
	Reader  string   `yaml:"reader" doc:"The account that reads copies of the connector's logs."`
	Group   string   `yaml:"group" doc:"The group that the copies belong to; empty: the reader's primary group."`
	Allow   []string `yaml:"allow" doc:"Other accounts that are meant to be in that group."`
	Without []string `yaml:"without" doc:"Groups that give more than reading copies of logs."`
}

// unnamed is the verdict where nobody is named.
func unnamed() checks.Verdict {
	return checks.Failed("Nobody is named who reads copies of the connector's logs.",
		checks.Evidence{Source: "hostguard.yaml", Key: "logs.reader", Want: "an account", Got: "none"})
}

func reader(ctx context.Context, h *host.Host, p readerParams) (checks.Verdict, error) {
	if p.Reader == "" {
		return unnamed(), nil
	}
	a, err := h.Accounts(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	v := judgeReader(a, p, host.Today())
	if len(a.Elsewhere) > 0 && (v.Status != checks.Fail || a.User(p.Reader) == nil) {
		return v, fmt.Errorf("cannot tell all about %s and its groups: there may be more by %s", p.Reader, strings.Join(a.Elsewhere, ", "))
	}
	return v, nil
}

// logGroup is the group of the copies, nil when there is none.
func logGroup(a *host.Accounts, reader, group string) *host.Group {
	if group != "" {
		return a.Group(group)
	}
	if names := a.GroupsOf(reader); len(names) > 0 {
		if g := a.Group(names[0]); g != nil && g.GID == a.User(reader).GID {
			return g
		}
	}
	return nil
}

func judgeReader(a *host.Accounts, p readerParams, today host.Day) checks.Verdict {
	u := a.User(p.Reader)
	if u == nil {
		return checks.Failed(fmt.Sprintf("%s, who shall read copies of the connector's logs, does not exist.", p.Reader),
			checks.Evidence{Source: "/etc/passwd", Key: p.Reader, Want: "an account", Got: "none"})
	}
	account := checks.Evidence{Source: "/etc/passwd", Line: u.Line, Key: p.Reader, Got: fmt.Sprintf("uid %d, shell %s", u.UID, cmp.Or(u.Shell, "/bin/sh"))}
	groups := a.GroupsOf(p.Reader)
	member := checks.Evidence{Source: "/etc/group", Key: p.Reader, Got: strings.Join(groups, ", ")}
	var bad []checks.Evidence
	var why []string
	fault := func(e checks.Evidence, want, format string, args ...any) {
		e.Want = want
		bad = append(bad, e)
		why = append(why, fmt.Sprintf(format, args...))
	}
	if u.UID == 0 {
		fault(account, "not uid 0", "is root by another name")
	}
	if u.Expires != host.Never && today >= u.Expires {
		e := account
		e.Source, e.Line, e.Got = "/etc/shadow", 0, "expired on "+u.Expires.String()
		fault(e, "an account that has not expired", "has expired")
	}
	for _, name := range groups {
		if slices.Contains(p.Without, name) || a.Group(name) != nil && a.Group(name).GID == 0 {
			e := checks.Evidence{Source: "/etc/group", Line: a.Group(name).Line, Key: name, Got: p.Reader}
			fault(e, "no member "+p.Reader, "is in the group %s", name)
		}
	}
	g := logGroup(a, p.Reader, p.Group)
	switch {
	case g == nil:
		fault(member, fmt.Sprintf("a group %s of the copies", p.Group), "has no group for the copies")
	case !slices.Contains(a.Members(g.Name), p.Reader):
		fault(member, "a member of "+g.Name, "is not in the group %s of the copies", g.Name)
	default:
		for _, m := range a.Members(g.Name) {
			other := a.User(m)
			if m != p.Reader && other.UID != 0 && !slices.Contains(p.Allow, m) && canLogIn(other, today) {
				e := checks.Evidence{Source: "/etc/group", Line: g.Line, Key: g.Name, Got: m}
				fault(e, "no member but "+p.Reader, "shares the group %s of the copies with %s", g.Name, m)
			}
		}
	}
	if len(bad) > 0 {
		return checks.Failed(fmt.Sprintf("%s %s.", p.Reader, strings.Join(why, "; ")), append(bad, account, member)...)
	}
	return checks.Passed(account, member)
}

// canLogIn reports whether an account's shell is one and it has not ended.
func canLogIn(u *host.User, today host.Day) bool {
	return !slices.Contains([]string{"nologin", "false", "sync", "halt", "shutdown"}, path.Base(u.Shell)) && (u.Expires == host.Never || today < u.Expires)
}
