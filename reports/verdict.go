package reports

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/rules"
)

// Verdict answers the question: may the connector be deployed here?
type Verdict string

// The verdicts.
const (
	Ready    Verdict = "READY"     // the whole profile ran, and nothing required failed or stayed unknown
	NotReady Verdict = "NOT READY" // a required rule failed or is unknown, or the run did not get to its end
	Partial  Verdict = "PARTIAL"   // not all was looked at, because the user asked for less (--root, --only, --skip)
)

// Exit codes of a check that ran. 2, usage, is for one that did not.
const (
	ExitReady      = 0 // READY, or PARTIAL with nothing against it
	ExitFindings   = 1 // a rule failed, at or above --fail-on
	ExitIncomplete = 3 // a required rule could not be determined
)

// Summary counts the findings.
type Summary struct {
	Rules    int   `json:"rules"`
	Required Tally `json:"required"`
	Advice   Tally `json:"advice"`
}

// Tally counts findings by status, and the failed ones by severity.
type Tally struct {
	Pass           int        `json:"pass"`
	Fail           int        `json:"fail"`
	NotApplicable  int        `json:"not_applicable"`
	Skipped        int        `json:"skipped"`
	Error          int        `json:"error"`
	FailBySeverity BySeverity `json:"fail_by_severity"`
}

// BySeverity counts by severity.
type BySeverity struct {
	Critical int `json:"critical"`
	High     int `json:"high"`
	Medium   int `json:"medium"`
	Low      int `json:"low"`
}

func summarize(findings []Finding) Summary {
	s := Summary{Rules: len(findings)}
	for _, f := range findings {
		if f.Level == rules.Advice {
			s.Advice.count(f)
		} else {
			s.Required.count(f)
		}
	}
	return s
}

func (t *Tally) count(f Finding) {
	switch f.Status {
	case checks.Pass:
		t.Pass++
	case checks.Fail:
		t.Fail++
		switch f.Severity {
		case rules.Critical:
			t.FailBySeverity.Critical++
		case rules.High:
			t.FailBySeverity.High++
		case rules.Medium:
			t.FailBySeverity.Medium++
		case rules.Low:
			t.FailBySeverity.Low++
		}
	case checks.NotApplicable:
		t.NotApplicable++
	case checks.Skipped:
		t.Skipped++
	default:
		t.Error++
	}
}

// decide fills in the verdict, what stands against READY, and the exit code.
//
// The verdict knows only required rules; --fail-on does not enter. The exit
// code does know --fail-on: without it 1 stands for any required failure, with
// it for any failure, advice included, of that severity or a higher one. What
// is unknown has no severity yet, so a required rule that could not be
// determined gives 3 whatever --fail-on says; 1 wins over 3.
func (r *Report) decide(failOn rules.Severity) {
	r.Against = []string{}
	for _, f := range r.ranked() {
		if f.stands() {
			r.Against = append(r.Against, f.Rule)
		}
	}
	required := r.Summary.Required
	reasons := r.partialReasons()
	switch {
	case len(reasons) > 0:
		r.Verdict = Partial
	case len(r.Against) > 0 || required.Pass == 0 || r.Run.Interrupted != "":
		r.Verdict = NotReady
	default:
		r.Verdict = Ready
	}

	if n := required.Fail; n > 0 {
		reasons = append(reasons, fmt.Sprintf("%d required %s failed", n, plural(n, "rule")))
	}
	if n := required.Error; n > 0 {
		reasons = append(reasons, fmt.Sprintf("%d required %s could not be determined", n, plural(n, "rule")))
	}
	if r.Run.Interrupted != "" {
		reasons = append(reasons, "the run was interrupted")
	}
	if r.Verdict == NotReady && len(reasons) == 0 {
		reasons = append(reasons, "no required rule was seen to hold")
	}
	if r.Verdict == Ready {
		reason := fmt.Sprintf("%d required %s", required.Pass, verb(required.Pass, "rule holds", "rules hold"))
		if n := required.NotApplicable; n > 0 {
			reason += fmt.Sprintf(", %d %s not apply", n, verb(n, "does", "do"))
		}
		reasons = append(reasons, reason)
	}
	r.Why = strings.Join(reasons, "; ")

	switch {
	case slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.trips(failOn) }):
		r.ExitCode = ExitFindings
	case required.Error > 0, r.Run.Interrupted != "", r.Verdict == NotReady && required.Fail == 0:
		r.ExitCode = ExitIncomplete
	default:
		r.ExitCode = ExitReady
	}
}

// partialReasons says why not the whole profile was looked at.
func (r *Report) partialReasons() []string {
	var reasons []string
	if r.Host.Root != "" {
		reasons = append(reasons, "a file tree was looked at, not a running host")
	}
	skipped := r.Summary.Required.Skipped + r.Summary.Advice.Skipped
	if len(r.Run.Only) > 0 || len(r.Run.Skip) > 0 || skipped > 0 {
		reasons = append(reasons, fmt.Sprintf("only a part of the profile was looked at (%d %s)", r.Summary.Rules-skipped, plural(r.Summary.Rules-skipped, "rule")))
	}
	return reasons
}

// stands reports whether the finding stands against READY.
func (f *Finding) stands() bool {
	return f.Level == rules.Required && (f.Status == checks.Fail || f.Status == checks.Error)
}

// trips reports whether the finding alone makes the exit code 1.
func (f *Finding) trips(failOn rules.Severity) bool {
	if f.Status != checks.Fail {
		return false
	}
	if failOn == 0 {
		return f.Level == rules.Required
	}
	return f.Severity >= failOn
}

// ranked is the findings in the order in which a person should read them:
// required before advice, failed before unknown, severe ones first; then the
// rest, as in the profile.
func (r *Report) ranked() []*Finding {
	list := make([]*Finding, len(r.Findings))
	for i := range r.Findings {
		list[i] = &r.Findings[i]
	}
	slices.SortStableFunc(list, func(a, b *Finding) int { return a.rank() - b.rank() })
	return list
}

func (f *Finding) rank() int {
	rank := int(rules.Critical - f.Severity) // below 10
	if f.Level == rules.Advice {
		rank += 20
	}
	switch f.Status {
	case checks.Fail:
		return rank
	case checks.Error:
		return rank + 10
	}
	return 40
}

// warnings says what limits the report as a whole.
func warnings(r *Report) []string {
	list := []string{}
	if c := r.Host.Container; c != "" {
		list = append(list, fmt.Sprintf("hostguard runs in a container (%s): what it sees is the container's, not its host's", c))
	}
	if r.Run.EUID != 0 && r.Host.Root == "" {
		list = append(list, "hostguard does not run as root: much cannot be determined")
	}
	if o := r.Host.OS; o.ID != "debian" || !slices.Contains([]string{"11", "12", "13"}, o.Version) {
		name := o.Name
		if name == "" {
			name = "an unknown distribution"
		}
		list = append(list, fmt.Sprintf("this is %s: hostguard is tested on Debian 11, 12 and 13", name))
	}
	return list
}

func plural(n int, noun string) string { return verb(n, noun, noun+"s") }

func verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
