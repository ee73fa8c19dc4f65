package logs

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/sudoersconf"
)

type sudoParams struct {
	Account string `yaml:"account" doc:"The account that no rule may name."`
}

func sudoRights(ctx context.Context, h *host.Host, p sudoParams) (checks.Verdict, error) {
	if p.Account == "" {
		return unnamed(), nil
	}
	a, err := h.Accounts(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	s, err := h.Sudoers(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeSudo(a, s, p)
}

func judgeSudo(a *host.Accounts, s host.Sudoers, p sudoParams) (checks.Verdict, error) {
	u := a.User(p.Account)
	if u == nil {
		return checks.Verdict{}, fmt.Errorf("cannot tell what sudo lets %s do: it is not in /etc/passwd", p.Account)
	}
	user := sudoersconf.User{Name: u.Name, UID: u.UID, Groups: map[string]uint32{}}
	for _, name := range a.GroupsOf(u.Name) {
		user.Groups[name] = a.Group(name).GID
	}
	var bad, seen []checks.Evidence
	var unknown error
	for _, policy := range s.Policies {
		for _, r := range policy.Rules {
			e := checks.Evidence{Source: r.File, Line: r.Line, Key: "users", Want: "no rule that names " + u.Name, Got: r.Text}
			switch policy.Names(r, user) {
			case sudoersconf.Yes:
				bad = append(bad, e)
			case sudoersconf.Unknown:
				unknown = fmt.Errorf("cannot tell whether %s:%d names %s: %q is decided elsewhere", r.File, r.Line, u.Name, r.Text)
			}
		}
		for _, problem := range policy.Problems {
			unknown = fmt.Errorf("cannot tell whether sudo's rules name %s: %s:%d: %s", u.Name, problem.File, problem.Line, problem.Text)
		}
		seen = append(seen, checks.Evidence{Source: policy.Files[0], Key: "rules", Got: fmt.Sprintf("%d in %d files, none names %s", len(policy.Rules), len(policy.Files), u.Name)})
	}
	switch {
	case len(bad) > 0:
		return checks.Failed(fmt.Sprintf("sudo has rules that name %s.", u.Name), bad...), nil
	case unknown != nil:
		return checks.Verdict{Evidence: seen}, unknown
	case len(s.Elsewhere) > 0:
		return checks.Verdict{Evidence: seen}, fmt.Errorf("cannot tell all rules: there may be more by %s", strings.Join(s.Elsewhere, ", "))
	case len(a.Elsewhere) > 0:
		return checks.Verdict{Evidence: seen}, errors.New("cannot tell all groups of " + u.Name + ": there may be more by " + strings.Join(a.Elsewhere, ", "))
	case len(seen) == 0:
		seen = append(seen, checks.Evidence{Source: "/etc/sudoers", Key: "rules", Got: "absent: sudo lets nobody do anything"})
	}
	return checks.Passed(seen...), nil
}
