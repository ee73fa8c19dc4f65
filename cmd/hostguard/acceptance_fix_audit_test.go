package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/reports"
)

// etcOf is everything below /etc of a machine: content, owner, mode, links.
func etcOf(m *lab.Machine) string {
	return m.Must("sh", "-c", `cd /etc && find . -printf '%p %y %m %U:%G %l\n' | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum`)
}

// auditRules are the rules about the audit that a report holds.
func auditRules(report *reports.Report, status checks.Status) []string {
	var ids []string
	for _, f := range report.Findings {
		if slices.Contains(f.Tags, "audit") && f.Status == status {
			ids = append(ids, f.Rule)
		}
	}
	return ids
}

// A host with Debian's own audit rules: fix makes it record what it must, also
// after a reboot, and undo leaves /etc as it was. With a locked configuration
// and with auditd switched off the same, as far as that goes.
func TestAcceptanceFixAudit(t *testing.T) {
	lab.Need(t, lab.Virtual)
	m := lab.StartVM(t)
	m.Install(lab.Binary(t), "/usr/local/bin/hostguard")
	enrolOperator(m)
	fresh := func(m *lab.Machine) {
		m.Must("sh", "-c", "rm /etc/audit/rules.d/40-host.rules /etc/audit/rules.d/50-*.rules; rm -f /etc/tmpfiles.d/lab.conf")
		m.Must("augenrules", "--load")
	}
	passes := func(t *testing.T, m *lab.Machine) {
		t.Helper()
		report, _ := audited(t, m)
		for _, rule := range slices.Concat(auditRules(report, checks.Fail), auditRules(report, checks.Error)) {
			t.Errorf("%s is %v: %s", rule, statuses(report)[rule], findingText(report, rule))
		}
	}
	undone := func(t *testing.T, m *lab.Machine, etc string) {
		t.Helper()
		if r := m.Run("hostguard", "undo"); r.Code != exitOK {
			t.Errorf("undo: exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
		}
		if after := etcOf(m); after != etc {
			t.Errorf("/etc after undo:\n%s\nbefore:\n%s", after, etc)
		}
	}

	t.Run("Debian's own rules", func(t *testing.T) {
		fresh(m)
		etc, kernel := etcOf(m), m.Must("auditctl", "-l")
		report, _ := audited(t, m)
		if failed := auditRules(report, checks.Fail); len(failed) < 10 {
			t.Fatalf("only %v fail before", failed)
		}
		r, code := fixed(t, m, "--only", "audit")
		if r.Outcome != applied || code != exitOK {
			t.Fatalf("fix: %s with exit code %d: %s %+v %+v", r.Outcome, code, r.Error, r.Person, r.Pending)
		}
		passes(t, m)
		if r, code := fixed(t, m, "--only", "audit"); r.Outcome != nothingToDo || code != exitOK {
			t.Errorf("a second fix: %s with exit code %d: %+v", r.Outcome, code, r.Steps)
		}
		m.Reboot()
		passes(t, m)
		m.Must("touch", "/opt/trueconnector/.env")
		m.Must("auditctl", "-m", "later") // what comes before it is written before it
		for range 50 {
			if strings.Contains(m.Run("ausearch", "--input-logs", "-m", "USER").Stdout, "later") {
				break
			}
		}
		if found := m.Run("ausearch", "--input-logs", "-k", "trueconnector"); !strings.Contains(found.Stdout, `name="/opt/trueconnector/.env"`) {
			t.Errorf("ausearch does not find the touched file: %s%s", found.Stdout, found.Stderr)
		}
		undone(t, m, etc)
		if after := m.Must("auditctl", "-l"); after != kernel {
			t.Errorf("after undo the kernel holds\n%s\nbefore\n%s", after, kernel)
		}
	})
	t.Run("auditd is off", func(t *testing.T) {
		m.Must("systemctl", "--quiet", "disable", "--now", "auditd.service")
		m.Must("auditctl", "-D")
		etc, status := etcOf(m), m.Must("auditctl", "-s")
		r, code := fixed(t, m, "--only", "audit")
		if r.Outcome != applied || code != exitOK && code != exitPending {
			t.Fatalf("fix: %s with exit code %d: %s %+v", r.Outcome, code, r.Error, r.Person)
		}
		report, _ := audited(t, m)
		for _, rule := range auditRules(report, checks.Fail) {
			t.Errorf("%s fails: %s", rule, findingText(report, rule))
		}
		undone(t, m, etc)
		if active := m.Run("systemctl", "is-active", "auditd.service").Stdout; active != "inactive\n" {
			t.Errorf("after undo auditd is %s", active)
		}
		if list := m.Must("auditctl", "-l"); list != "No rules\n" {
			t.Errorf("after undo the kernel holds\n%s", list)
		}
		for _, name := range []string{"enabled", "failure", "rate_limit", "backlog_limit"} {
			if before, after := wordAfter(status, name), wordAfter(m.Must("auditctl", "-s"), name); before != after {
				t.Errorf("after undo %s is %s, before %s", name, after, before)
			}
		}
		m.Must("systemctl", "--quiet", "enable", "--now", "auditd.service")
	})
	// The last: only a reboot opens it.
	t.Run("the configuration is locked", func(t *testing.T) {
		m.WriteFile("/etc/audit/rules.d/99-lock.rules", "-e 2\n")
		m.Must("augenrules", "--load")
		etc := etcOf(m)
		r, code := fixed(t, m, "--only", "AUD-020")
		if r.Outcome != applied || code != exitPending || len(r.Pending) == 0 || statuses(r.After)["AUD-020"] != checks.Fail {
			t.Errorf("fix: %s with exit code %d, AUD-020 is %v: %s %+v", r.Outcome, code, statuses(r.After)["AUD-020"], r.Error, r.Pending)
		}
		if list := m.Must("auditctl", "-l"); strings.Contains(list, "/opt/trueconnector") {
			t.Errorf("the kernel took a rule although it is locked:\n%s", list)
		}
		m.Reboot()
		report, _ := audited(t, m)
		finds(t, report, checks.Pass, "", "AUD-020")
		undone(t, m, etc)
	})
}

// wordAfter is the word that follows a name.
func wordAfter(text, name string) string {
	words := strings.Fields(text)
	if at := slices.Index(words, name); at >= 0 && at+1 < len(words) {
		return words[at+1]
	}
	return ""
}
