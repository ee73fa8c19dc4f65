package files

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

type membersParams struct {
	Groups []string `yaml:"groups" doc:"The groups; one that the host does not have has no members."`
	Allow  []string `yaml:"allow" doc:"Accounts that are meant to be members."`
}

// Validate wants a group.
func (p membersParams) Validate() error {
	if len(p.Groups) == 0 {
		return errors.New("groups is empty")
	}
	return nil
}

func members(ctx context.Context, h *host.Host, p membersParams) (checks.Verdict, error) {
	a, err := h.Accounts(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	v := judgeMembers(a, p, host.Today())
	if v.Status != checks.Fail && len(a.Elsewhere) > 0 {
		return v, fmt.Errorf("cannot tell all members: there may be more by %s", strings.Join(a.Elsewhere, ", "))
	}
	return v, nil
}

// judgeMembers wants nobody in the groups who can log in, but root and who is meant.
func judgeMembers(a *host.Accounts, p membersParams, today host.Day) checks.Verdict {
	var seen, bad []checks.Evidence
	var who []string
	for _, name := range p.Groups {
		g := a.Group(name)
		if g == nil {
			seen = append(seen, checks.Evidence{Source: "/etc/group", Key: name, Got: "no such group"})
			continue
		}
		var others []string
		for _, m := range a.Members(name) {
			u := a.User(m)
			switch {
			case u.UID == 0, !logsIn(u, today):
			case slices.Contains(p.Allow, m):
				others = append(others, m+" (meant to be)")
			default:
				others = append(others, m)
				e := checks.Evidence{Source: "/etc/group", Line: g.Line, Key: name, Want: "no member " + m, Got: m}
				switch {
				case slices.Contains(g.Listed, m):
				case u.GID == g.GID:
					e.Source, e.Line, e.Got = "/etc/passwd", u.Line, m+", by its primary group"
				default:
					e.Got = fmt.Sprintf("%s, by another group of the number %d", m, g.GID)
				}
				bad = append(bad, e)
				who = append(who, fmt.Sprintf("%s (%s)", m, name))
			}
		}
		e := checks.Evidence{Source: "/etc/group", Line: g.Line, Key: name, Got: "nobody who can log in"}
		if len(others) > 0 {
			e.Got = strings.Join(others, ", ")
		}
		seen = append(seen, e)
	}
	if len(bad) > 0 {
		return checks.Failed(fmt.Sprintf("These accounts can log in and are members: %s.", strings.Join(who, ", ")), append(bad, seen...)...)
	}
	return checks.Passed(seen...)
}

// logsIn reports whether an account could be logged in to: its shell is one,
// and it has not ended. A password that is locked leaves the way by key.
func logsIn(u *host.User, today host.Day) bool {
	shell := path.Base(u.Shell)
	return !slices.Contains([]string{"nologin", "false", "sync", "halt", "shutdown"}, shell) && (u.Expires == host.Never || today < u.Expires)
}
