package units

import (
	"strings"
	"testing"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/unitfile"
)

const wants = "/etc/systemd/system/multi-user.target.wants/x.service"

// Hard case 34.
func TestJudgeState(t *testing.T) {
	t.Parallel()
	at := func(live host.Unit, state, boot string) seen {
		live.Name = "x.service"
		return seen{live: true, unit: live, boot: boot, file: unitfile.Unit{Name: "x.service", ID: "x.service", Path: "/lib/systemd/system/x.service", State: state}}
	}
	running := host.Unit{LoadState: "loaded", ActiveState: "active", SubState: "running"}
	dead := host.Unit{LoadState: "loaded", ActiveState: "inactive", SubState: "dead"}
	failed := host.Unit{LoadState: "loaded", ActiveState: "failed", SubState: "failed", Service: &host.ServiceState{Result: "exit-code"}}
	restarting := host.Unit{LoadState: "loaded", ActiveState: "activating", SubState: "auto-restart"}
	masked := host.Unit{LoadState: "masked", ActiveState: "inactive"}
	absent := host.Unit{LoadState: "not-found", ActiveState: "inactive"}
	broken := host.Unit{LoadState: "bad-setting", ActiveState: "inactive"}
	tree := seen{boot: wants, file: unitfile.Unit{Name: "x.service", Path: "/lib/systemd/system/x.service", State: "enabled"}}
	both := stateParams{Unit: "x.service", Enabled: true, Active: true}

	for name, test := range map[string]struct {
		seen   []seen
		params stateParams
		want   checks.Status
		reason string
	}{
		"enabled and active":           {[]seen{at(running, "enabled", wants)}, both, checks.Pass, ""},
		"active, not enabled":          {[]seen{at(running, "disabled", "")}, both, checks.Fail, "x.service is not started at boot."},
		"enabled, not active":          {[]seen{at(dead, "enabled", wants)}, both, checks.Fail, "x.service is inactive (dead)."},
		"neither":                      {[]seen{at(dead, "disabled", "")}, both, checks.Fail, "x.service is not started at boot and is inactive (dead)."},
		"failed":                       {[]seen{at(failed, "enabled", wants)}, both, checks.Fail, "x.service is failed, last result exit-code."},
		"restarting again and again":   {[]seen{at(restarting, "enabled", wants)}, both, checks.Fail, "x.service is activating (auto-restart)."},
		"enabled by an alias only":     {[]seen{at(running, "enabled", "")}, both, checks.Fail, "x.service is not started at boot."},
		"enabled until the next boot":  {[]seen{at(running, "enabled-runtime", "")}, both, checks.Fail, "x.service is not started at boot."},
		"masked":                       {[]seen{at(masked, "masked", "")}, both, checks.Fail, "x.service is masked."},
		"not installed":                {[]seen{at(absent, "not-found", "")}, both, checks.Fail, "x.service is not installed."},
		"refused":                      {[]seen{at(broken, "static", "")}, both, checks.Fail, "x.service is refused by systemd (bad-setting)."},
		"only active wanted":           {[]seen{at(running, "disabled", "")}, stateParams{Unit: "x.service", Active: true}, checks.Pass, ""},
		"only enabled wanted":          {[]seen{at(dead, "enabled", wants)}, stateParams{Unit: "x.service", Enabled: true}, checks.Pass, ""},
		"only installed wanted":        {[]seen{at(dead, "disabled", "")}, stateParams{Unit: "x.service"}, checks.Pass, ""},
		"a tree tells what is enabled": {[]seen{tree}, both, checks.Pass, ""},
		"the second of two":            {[]seen{at(absent, "not-found", ""), at(running, "enabled", wants)}, both, checks.Pass, ""},
		"none of two installed":        {[]seen{at(absent, "not-found", ""), at(absent, "not-found", "")}, both, checks.Fail, "None of x.service, x.service is installed."},
		"the installed of two is dead": {[]seen{at(absent, "not-found", ""), at(dead, "enabled", wants)}, both, checks.Fail, "x.service is inactive (dead)."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := judgeState(test.seen, test.params)
			if v.Status != test.want || v.Reason != test.reason || len(v.Evidence) == 0 {
				t.Errorf("got %v, %q, %d pieces of evidence; want %v, %q", v.Status, v.Reason, len(v.Evidence), test.want, test.reason)
			}
			for _, e := range v.Evidence {
				if e.Source == "" || e.Key == "" || e.Got == "" || v.Status == checks.Fail && e.Want == "" {
					t.Errorf("evidence %+v does not name place, key, want and got", e)
				}
			}
		})
	}
}

func TestStateParams(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]stateParams{
		"no unit": {}, "no suffix": {Unit: "ssh"}, "bad alternative": {Unit: "ssh.service", AnyOf: []string{"a b.service"}},
	} {
		if p.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := (stateParams{AnyOf: []string{"foo@.service", "ssh.socket"}}).Validate(); err != nil {
		t.Error(err)
	}
}

// Without systemd running, nothing is known of what is active.
func TestNoSystemd(t *testing.T) {
	t.Parallel()
	h := host.New(host.Options{})
	if h.Lacks(t.Context(), host.Systemd) == nil {
		t.Skip("systemd runs here")
	}
	if v, err := probeState(t.Context(), h, stateParams{Unit: "cron.service", Active: true}); err == nil {
		t.Errorf("got %v, want an error", v)
	} else if !strings.Contains(err.Error(), "systemd") {
		t.Errorf("the error does not say why: %v", err)
	}
}
