// Package attestation answers what no program on the host can see by a
// person's word, given in hostguard.yaml with a name and an end.
package attestation

import (
	"context"
	"fmt"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/attested"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/quantity"
	"github.com/hostguard/hostguard/internal/strictyaml"
)

// Checks are the mechanisms of this family.
var Checks = []checks.Check{
	{
		Name:  "attestation",
		Looks: "Reads the configuration's attestations: a person must vouch for the rule, with name, note, day and end. It counts from its date to the end of the day of expires (UTC), by this host's clock, and may not be made for longer than valid_at_most.",
		Blind: "Whether it is true. Nothing of it is looked at on the host.",
		Needs: host.Root, // to tell whether an SSH server is there
		Binding: checks.Params(Params{
			ValidAtMost: quantity.Duration(365 * day), RemindBefore: quantity.Duration(14 * day),
		}, probe),
	},
}

const day = 24 * time.Hour

// Params are the check's parameters, and the attestation that answers the
// rule: that one is no parameter, it stands below attestations in hostguard.yaml.
type Params struct {
	Statement    string            `yaml:"statement" doc:"What the person vouches for."`
	ValidAtMost  quantity.Duration `yaml:"valid_at_most" doc:"How long after its date an attestation may end."`
	RemindBefore quantity.Duration `yaml:"remind_before" doc:"How long before the end a passing finding says that it is due."`
	SSH          bool              `yaml:"ssh" doc:"Asked only where an SSH server is installed or runs."`

	rule  string
	given *attested.Attestation
}

// Attested names the rule that is judged, and hands over the attestation that
// the configuration gives for it, nil for none.
func (p *Params) Attested(rule string, given *attested.Attestation) { p.rule, p.given = rule, given }

// Given is the attestation that answers the rule, nil when there is none.
func (p Params) Given() *attested.Attestation { return p.given }

// Validate wants a statement, and an attestation that is not made for too
// long. The error about the latter is strictyaml.Errors.
func (p Params) Validate() error {
	switch {
	case p.Statement == "" && p.rule != "":
		return fmt.Errorf("statement is empty: say what is vouched for")
	case time.Duration(p.ValidAtMost) < day:
		return fmt.Errorf("valid_at_most: %v is less than a day", p.ValidAtMost)
	case p.given != nil && p.given.Date.DaysUntil(p.given.Expires) > p.days():
		return strictyaml.Errors{p.given.At("expires").Errorf("the attestation of %s may last %d days at most, to %v, and ends on %v",
			p.rule, p.days(), p.given.Date.Add(p.days()), p.given.Expires)}
	}
	return nil
}

// days is for how many days an attestation may be made.
func (p Params) days() int { return int(time.Duration(p.ValidAtMost) / day) }

func probe(ctx context.Context, h *host.Host, p Params) (checks.Verdict, error) {
	if p.SSH {
		servers, err := h.SSHServers(ctx)
		if err != nil {
			return checks.Verdict{}, err
		}
		if len(servers.SSHDs) == 0 && len(servers.Others) == 0 {
			return checks.Inapplicable("No SSH server is installed."), nil
		}
	}
	return Judge(p, time.Now()), nil
}

// Judge says whether a person vouches at a moment.
func Judge(p Params, now time.Time) checks.Verdict {
	today := attested.DayOf(now)
	if p.given == nil {
		item := fmt.Sprintf("- {rule: %s, owner: \"...\", note: \"...\", date: %v, expires: %v}", p.rule, today, today.Add(p.days()))
		return checks.Failed(
			fmt.Sprintf("Nobody vouches for it. When %s, add below \"attestations:\" in hostguard.yaml: %s", p.Statement, item),
			checks.Evidence{Source: "hostguard.yaml", Key: "attestations", Want: "one for " + p.rule, Got: "none"})
	}
	a := p.given
	seen := func(key, want, got string) checks.Evidence {
		at := a.At(key)
		return checks.Evidence{Source: at.File, Line: at.Line, Key: key, Want: want, Got: got}
	}
	owner, note := seen("owner", "", a.Owner), seen("note", "", a.Note)
	date, expires := seen("date", "", a.Date.String()), seen("expires", "", a.Expires.String())
	// A day begins in the east fourteen hours before it does in UTC.
	if now.Add(14 * time.Hour).Before(a.Date.Time) {
		date.Want = fmt.Sprintf("%v or a day before", today)
		return checks.Failed(fmt.Sprintf("The attestation by %s is dated %v, which is not yet.", a.Owner, a.Date), date, expires, owner, note)
	}
	left := today.DaysUntil(a.Expires)
	if left < 0 {
		expires.Want = fmt.Sprintf("%v or a day after", today)
		return checks.Failed(fmt.Sprintf("The attestation of %v by %s ended on %v: make sure anew that %s, and give it a new date and end.",
			a.Date, a.Owner, a.Expires, p.Statement), expires, date, owner, note)
	}
	if time.Duration(left)*day <= time.Duration(p.RemindBefore) {
		expires.Got += fmt.Sprintf("; due: it ends %s", inDays(left))
	}
	return checks.Passed(owner, note, date, expires)
}

func inDays(n int) string {
	switch n {
	case 0:
		return "today"
	case 1:
		return "tomorrow"
	}
	return fmt.Sprintf("in %d days", n)
}
