package ssh

import (
	"context"
	"fmt"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

type usePAMParams struct {
	Want    string `yaml:"want" doc:"What UsePAM must be: yes, no, or any for nothing in particular."`
	Decided string `yaml:"decided" doc:"What the operator has decided (any: nothing): where that is another value than want, there is nothing to advise."`
}

// Validate refuses other words.
func (p usePAMParams) Validate() error {
	for name, value := range map[string]string{"want": p.Want, "decided": p.Decided} {
		if value != "any" && value != "yes" && value != "no" {
			return fmt.Errorf("%s: want any, yes or no, got %q", name, value)
		}
	}
	return nil
}

func usePAM(ctx context.Context, h *host.Host, p usePAMParams) (checks.Verdict, error) {
	switch {
	case p.Want == "any":
		return checks.Inapplicable("The configuration asks for no particular value of UsePAM."), nil
	case p.Decided != "any" && p.Decided != p.Want:
		return checks.Inapplicable(fmt.Sprintf("The configuration has decided for UsePAM %s.", p.Decided)), nil
	}
	return judgeAll(ctx, h, []string{"usepam"}, func(t target) (checks.Verdict, error) { return judgeUsePAM(t, p.Want), nil })
}

// sideEffects is what changes with UsePAM no.
const sideEffects = "With UsePAM no the audit events of SSH users carry no login uid, accounts locked with ! cannot log in by key, limits and whatever else PAM's account and session rules do is left out, and Red Hat's distributions do not support it."

// judgeUsePAM wants a value of UsePAM, and names the accounts that it decides
// over.
func judgeUsePAM(t target, want string) checks.Verdict {
	v := judgeOption(t, optionParams{Keyword: "usepam", Accept: []string{want}})
	if v.Status != checks.Fail || want != "no" {
		return v
	}
	v.Reason += " " + sideEffects
	var shutOut []string
	for i := range t.accounts.Users {
		if u := &t.accounts.Users[i]; u.Password == host.PasswordLocked && t.rank(u.Name) == 0 {
			shutOut = append(shutOut, u.Name)
		}
	}
	if len(shutOut) > 0 {
		v.Evidence = append(v.Evidence, checks.Evidence{Source: "/etc/shadow", Key: nameList(shutOut), Got: "locked with !: shut out once UsePAM is no"})
	}
	return v
}
