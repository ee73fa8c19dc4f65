package attestation

import (
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/attested"
	"github.com/hostguard/hostguard/internal/lab/checktest"
	"github.com/hostguard/hostguard/internal/quantity"
	"github.com/hostguard/hostguard/internal/strictyaml"
)

// params are those of a rule for 90 days, with the attestation as written.
func params(t *testing.T, given string) Params {
	t.Helper()
	p := Params{Statement: "all is well", ValidAtMost: quantity.Duration(90 * day), RemindBefore: quantity.Duration(14 * day)}
	if given == "" {
		p.Attested("SSH-031", nil)
		return p
	}
	n, err := strictyaml.Parse("hostguard.yaml", []byte("\n"+given))
	if err != nil {
		t.Fatal(err)
	}
	var a attested.Attestation
	if err := n.Decode(&a); err != nil {
		t.Fatal(err)
	}
	p.Attested("SSH-031", &a)
	return p
}

const given = "{rule: SSH-031, owner: J. Doe, note: asked each user, date: 2026-01-31, expires: 2026-04-30}"

func TestJudge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ given, now, want string }{
		"nobody vouches":                       {"", "2026-02-01T12:00:00Z", `fail: add below "attestations:" in hostguard.yaml: - {rule: SSH-031, owner: "...", note: "...", date: 2026-02-01, expires: 2026-05-02}`},
		"in force":                             {given, "2026-02-01T12:00:00Z", "pass"},
		"on its first day":                     {given, "2026-01-31T00:00:00Z", "pass"},
		"on its last day":                      {given, "2026-04-30T23:59:59Z", "pass"},
		"the day after":                        {given, "2026-05-01T00:00:00Z", "fail: The attestation of 2026-01-31 by J. Doe ended on 2026-04-30: make sure anew that all is well"},
		"years after":                          {given, "2036-05-01T00:00:00Z", "fail: ended on 2026-04-30"},
		"made today where today begins first":  {given, "2026-01-30T11:00:00Z", "pass"},
		"dated tomorrow":                       {given, "2026-01-30T09:00:00Z", "fail: dated 2026-01-31, which is not yet"},
		"dated in the future":                  {given, "2025-01-30T09:00:00Z", "fail: dated 2026-01-31, which is not yet"},
		"a clock that was never set":           {given, "1970-01-01T00:00:00Z", "fail: which is not yet"},
		"judged in UTC wherever the host lies": {given, "2026-04-30T23:00:00-12:00", "fail: ended on"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now, err := time.Parse(time.RFC3339, c.now)
			if err != nil {
				t.Fatal(err)
			}
			checktest.Judged(t, Judge(params(t, c.given), now), nil, c.want)
		})
	}
}

func TestEvidence(t *testing.T) {
	t.Parallel()
	at := func(date string) checks.Verdict {
		now, err := time.Parse(time.DateOnly, date)
		if err != nil {
			t.Fatal(err)
		}
		return Judge(params(t, given), now)
	}
	got := map[string]string{}
	for _, e := range at("2026-02-01").Evidence {
		if e.Source != "hostguard.yaml" || e.Line != 2 {
			t.Errorf("%s is said to be at %s:%d", e.Key, e.Source, e.Line)
		}
		got[e.Key] = e.Got
	}
	for key, want := range map[string]string{"owner": "J. Doe", "note": "asked each user", "date": "2026-01-31", "expires": "2026-04-30"} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
	for date, want := range map[string]string{
		"2026-04-15": "2026-04-30", "2026-04-16": "due: it ends in 14 days", "2026-04-29": "due: it ends tomorrow", "2026-04-30": "due: it ends today",
	} {
		v := at(date)
		if expires := v.Evidence[3]; v.Status != checks.Pass || !strings.HasSuffix(expires.Got, want) {
			t.Errorf("on %s: %v, %q, want it to end in %q", date, v.Status, expires.Got, want)
		}
	}
}

// What the finding proposes counts once it is signed, and not as it is.
func TestWhatIsProposedIsValidOnceFilledIn(t *testing.T) {
	t.Parallel()
	_, line, _ := strings.Cut(Judge(params(t, ""), time.Now()).Reason, "hostguard.yaml: - ")
	var a attested.Attestation
	n, err := strictyaml.Parse("f", []byte(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Decode(&a); err == nil || !strings.Contains(err.Error(), "owner says nothing") {
		t.Errorf("an attestation by nobody is taken: %v", err)
	}
	checktest.Judged(t, Judge(params(t, strings.ReplaceAll(line, "...", "J. Doe")), time.Now()), nil, "pass")
}

func TestValidate(t *testing.T) {
	t.Parallel()
	if err := params(t, given).Validate(); err != nil {
		t.Error(err)
	}
	for want, p := range map[string]Params{
		"hostguard.yaml:2:82: the attestation of SSH-031 may last 90 days at most, to 2026-05-01, and ends on 2026-05-02": params(t, strings.Replace(given, "2026-04-30", "2026-05-02", 1)),
		"hostguard.yaml:2:82: the attestation of SSH-031 may last 90 days at most, to 2026-05-01, and ends on 9999-12-31": params(t, strings.Replace(given, "2026-04-30", "9999-12-31", 1)),
	} {
		if err := p.Validate(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	p := params(t, "")
	p.Statement = ""
	if err := p.Validate(); err == nil {
		t.Error("a rule that says nothing is valid")
	}
	p = params(t, "")
	p.ValidAtMost = 0
	if err := p.Validate(); err == nil {
		t.Error("an attestation for no time is valid")
	}
}
