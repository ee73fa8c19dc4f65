package main

import (
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/reports"
)

// Only a machine with a kernel of its own can be READY: make acceptance.
func TestAcceptance(t *testing.T) {
	lab.Need(t, lab.Virtual)
	m := lab.StartVM(t)
	m.Install(lab.Binary(t), "/usr/local/bin/hostguard")
	ready := func(t *testing.T) {
		report, code := audited(t, m.For(t))
		if report.Verdict != reports.Ready || code != exitOK {
			t.Errorf("%s with exit code %d, want READY with 0", report.Verdict, code)
			for _, rule := range report.Against {
				t.Logf("%s: %s", rule, findingText(report, rule))
			}
		}
	}
	t.Run("ready", ready)
	t.Run("audit", func(t *testing.T) {
		breakEach(t, auditBreakages(), func(t *testing.T) testHost { return m.For(t) })
	})
	t.Run("ready after a reboot", func(t *testing.T) {
		m.For(t).Reboot()
		ready(t)
	})
}

// nextBoot holds the rules that fail when the next boot loads no rule at all.
var nextBoot = []string{"AUD-006", "AUD-010", "AUD-011", "AUD-012", "AUD-013", "AUD-014", "AUD-015", "AUD-016", "AUD-020", "AUD-021", "AUD-022", "AUD-030"}

// auditBreakages breaks what the kernel, and not a file alone, must show.
func auditBreakages() []breakage {
	var list []breakage
	add := func(name string, apply, undo func(testHost), wants map[string]want) {
		list = append(list, breakage{name, apply, undo, wants})
	}
	add("case 23: the kernel records nothing",
		commands("auditctl -e 0"), commands("auditctl -e 1"),
		map[string]want{"AUD-002": fails("enabled")})
	add("the kernel panics when a record is lost",
		commands("auditctl -f 2"), commands("auditctl -f 1"),
		map[string]want{"AUD-004": fails("failure")})
	add("a rule is on disk and not loaded",
		commands("auditctl -W /etc/default/docker -p wa -k docker"), commands("auditctl -w /etc/default/docker -p wa -k docker"),
		map[string]want{
			"AUD-006": fails("/etc/audit/rules.d/50-docker.rules:14"),
			"AUD-012": fails("/etc/default/docker"),
		})
	apply, undo := edited("/etc/audit/rules.d/50-trueconnector.rules", "-w", "#-w")
	add("a rule is loaded and not on disk", apply, undo,
		map[string]want{
			"AUD-006": fails("/opt/trueconnector"),
			"AUD-020": fails("/opt/trueconnector"),
			"AUD-021": fails("/opt/trueconnector"),
		})
	broken := map[string]want{}
	for _, rule := range nextBoot {
		broken[rule] = fails("/etc/audit/rules.d/00-bad.rules:1")
	}
	apply, undo = file("/etc/audit/rules.d/00-bad.rules", "-w /no/such/folder/file -p wa\n")
	add("case 18: one bad line ends the load of the next boot", apply, undo, broken)
	add("case 23: a never rule stands before",
		commands("auditctl -A never,exit -F dir=/opt/trueconnector"), commands("auditctl -d never,exit -F dir=/opt/trueconnector"),
		map[string]want{
			"AUD-006": fails("never,exit"),
			"AUD-020": fails("never,exit"),
			"AUD-021": fails("never,exit"),
		})
	return list
}
