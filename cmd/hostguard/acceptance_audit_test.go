package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/reports"
)

// tells runs hostguard and wants an exit code, and words in what it says.
func tells(t *testing.T, h testHost, code int, words string, args ...string) lab.Result {
	t.Helper()
	r := h.Run(append([]string{"hostguard"}, args...)...)
	if r.Code != code || !strings.Contains(r.Stdout+r.Stderr, words) {
		t.Errorf("hostguard %q: exit code %d, want %d and %q in:\n%s%s", args, r.Code, code, words, r.Stdout, r.Stderr)
	}
	return r
}

// finds wants rules to be found so, and to say the words.
func finds(t *testing.T, report *reports.Report, status checks.Status, words string, rules ...string) {
	t.Helper()
	for _, rule := range rules {
		if text := findingText(report, rule); statuses(report)[rule] != status || !strings.Contains(text, words) {
			t.Errorf("%s is %v, want %v and %q: %s", rule, statuses(report)[rule], status, words, text)
		}
	}
}

const newRule = "-w /etc/hosts -p wa -k hosts"

// Case 24: the configuration is locked. What is loaded records, what is written
// waits for a reboot, and auditctl exits with 0 without loading it.
func lockedAudit(t *testing.T, m *lab.Machine) {
	m.WriteFile("/etc/audit/rules.d/99-lock.rules", "-e 2\n")
	m.Must("augenrules", "--load")
	if status := m.Must("auditctl", "-s"); !strings.HasPrefix(status, "enabled 2\n") {
		t.Fatalf("the configuration is not locked:\n%s", status)
	}
	report, code := audited(t, m)
	if report.Verdict != reports.Ready || code != exitOK {
		t.Errorf("locked with all rules: %s with exit code %d: %v", report.Verdict, code, report.Against)
	}
	finds(t, report, checks.Pass, "locked until the next boot", "AUD-002")
	tells(t, m, exitOK, recorded, "canary", "--wait", "20s", "/opt/trueconnector/.env")

	m.WriteFile("/etc/audit/rules.d/60-new.rules", newRule+"\n")
	m.Must("augenrules") // writes audit.rules, and loads nothing
	if r := m.Run("auditctl", "-w", "/etc/hosts", "-p", "wa", "-k", "hosts"); r.Code != 0 {
		t.Logf("auditctl -w now exits with %d: %s", r.Code, r.Stderr)
	}
	if list := m.Must("auditctl", "-l"); strings.Contains(list, "/etc/hosts") {
		t.Fatalf("a rule was loaded into a locked configuration:\n%s", list)
	}
	report, code = audited(t, m)
	finds(t, report, checks.Fail, "only a reboot changes it", "AUD-006")
	if code != exitFindings || len(report.Against) != 1 {
		t.Errorf("a rule waits for a reboot: exit code %d, against: %v", code, report.Against)
	}
	shown := tells(t, m, exitOK, "locked", "show", "audit").Stdout
	if !slices.ContainsFunc(strings.Split(shown, "\n"), func(line string) bool {
		return strings.HasPrefix(line, "not loaded") && strings.HasSuffix(line, newRule)
	}) {
		t.Errorf("show audit does not say that the rule is not loaded:\n%s", shown)
	}
	tells(t, m, exitOK, newRule, "show", "audit", "--next-boot")
	tells(t, m, exitFindings, "no rule in the kernel", "canary", "--wait", "5s", "/etc/hosts")
}

// Case 23a: without audit=1, what was started before auditing was enabled is
// blind, whatever the rules. A fresh process is not, so a canary does not show it.
func lateAudit(t *testing.T, m *lab.Machine) {
	report, _ := audited(t, m)
	finds(t, report, checks.Error, "nothing shows since when auditing is enabled", "AUD-007")
	m.Must("systemctl", "start", "auditd.service")
	report, _ = audited(t, m)
	finds(t, report, checks.Error, "started before auditing was known to be enabled", "AUD-007")
	finds(t, report, checks.Error, "/usr/sbin/dockerd", "AUD-007")
	tells(t, m, exitOK, recorded, "canary", "--wait", "20s", "/etc/default/docker")
	sees := func(volume string) bool {
		m.Must("docker", "volume", "create", volume)
		m.Must("auditctl", "-m", "after "+volume) // what comes before it is written before it
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
			log := m.Must("cat", "/var/log/audit/audit.log")
			if strings.Contains(log, "after "+volume) {
				return strings.Contains(log, "/var/lib/docker/volumes/"+volume)
			}
		}
		t.Error("auditd writes nothing")
		return false
	}
	if sees("blind") {
		t.Error("a dockerd that is older than auditing is recorded: the kernel is another than it was")
	}
	m.Must("systemctl", "restart", "containerd.service", "docker.service")
	m.Must("docker", "info")
	report, _ = audited(t, m)
	finds(t, report, checks.Pass, "auditd (pid ", "AUD-007")
	if !sees("seeing") {
		t.Error("a dockerd that is younger than auditing is not recorded")
	}
	m.Must("docker", "volume", "rm", "blind", "seeing")
}

// audit=0: nothing can be asked, and nothing passes that needs the kernel.
func offAudit(t *testing.T, m *lab.Machine) {
	report, code := audited(t, m)
	for _, f := range report.Findings {
		if slices.Contains(f.Tags, "audit") && f.Rule != "AUD-005" && f.Status == checks.Pass {
			t.Errorf("%s passes: %s", f.Rule, findingText(report, f.Rule))
		}
	}
	if code == exitOK {
		t.Errorf("exit code 0: %s", report.Verdict)
	}
	const why = "audit=0 is on the kernel's command line"
	finds(t, report, checks.Error, why, "AUD-002", "AUD-003", "AUD-004", "AUD-006", "AUD-007", "AUD-012", "AUD-020")
	tells(t, m, exitIncomplete, why, "show", "audit")
	tells(t, m, exitIncomplete, why, "show", "audit", "--loaded")
	tells(t, m, exitIncomplete, why, "canary", "/etc/default/docker")
}
