package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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

// neglected breaks what fix mends of a good host: nothing is recorded, nobody
// watches the disks or copies logs, strays run, docker is off, the clock has no
// servers, and secrets and logs are everybody's to read. It returns rules that
// this breaks.
func neglected(m *lab.Machine) (broken []string) {
	m.WriteFile("/etc/systemd/system/talk.socket", "[Socket]\nListenStream=0.0.0.0:7007\nAccept=yes\n[Install]\nWantedBy=sockets.target\n")
	m.WriteFile("/etc/systemd/system/talk@.service", "[Service]\nExecStart=/bin/cat\nStandardInput=socket\n")
	unaudited(m)
	m.Must("sh", "-ec", `
		sed -i 's/^disk_full_action.*/disk_full_action = HALT/' /etc/audit/auditd.conf
		systemctl --quiet disable --now df-watch.timer
		rm /etc/cron.d/hostguard /etc/systemd/system/df-watch.*
		sed -i '/^storage:/d' /etc/hostguard/hostguard.yaml
		sed -i '/^server/d' /etc/chrony/conf.d/lab.conf
		systemctl restart chrony.service
		systemctl daemon-reload
		systemctl --quiet enable --now nginx.service talk.socket
		systemctl --quiet disable --now docker.service docker.socket containerd.service
		chmod 644 /opt/trueconnector/.env /var/log/auth.log
		chmod 755 /srv/tc_logs`)
	return []string{
		"AUD-005", "AUD-010", "AUD-020", "STO-003", "LRD-005", "CLK-002", "SVC-001", "SVC-010", "SVC-011",
		"DOCK-002", "DOCK-003", "CON-005", "LOG-002", "LRD-003",
	}
}

// unaudited leaves a good host with Debian's own audit rules.
func unaudited(m *lab.Machine) {
	m.Must("sh", "-ec", "rm /etc/audit/rules.d/40-host.rules /etc/audit/rules.d/50-*.rules /etc/tmpfiles.d/lab.conf; augenrules --load")
}

// standing is how things stand beyond /etc: the files of the connector, of
// copies and logs, and the units that fix may move.
func standing(m *lab.Machine) string {
	return m.Must("sh", "-c", `
		find /opt /srv /usr/local /home /root /var/spool/cron /var/log/auth.log -printf '%p %y %m %U:%G %l\n' | sort
		find /opt /srv /usr/local /home /root -type f -print0 | sort -z | xargs -0 sha256sum
		systemctl list-unit-files --plain --no-legend
		for unit in nginx.service talk.socket docker.service docker.socket containerd.service cron.service chrony.service auditd.service
		do echo $unit $(systemctl is-active $unit); done`)
}

// A host that nobody took care of is not ready. Fix makes it ready, after a
// reboot too, and undo leaves it as it was. With auditd switched off and with a
// locked configuration the same of the audit, as far as that goes.
func TestAcceptanceFix(t *testing.T) {
	lab.Need(t, lab.Virtual)
	m := lab.StartSmallVM(t)
	m.Install(lab.Binary(t), "/usr/local/bin/hostguard")
	enrolOperator(m)
	m.Save()
	ready := func(t *testing.T, when string) {
		t.Helper()
		report, code := audited(t, m)
		if report.Verdict != reports.Ready || code != exitOK {
			t.Errorf("%s: %s with exit code %d", when, report.Verdict, code)
			for _, rule := range report.Against {
				t.Logf("%s is %v: %s", rule, statuses(report)[rule], findingText(report, rule))
			}
		}
		r, code := fixed(t, m)
		if r.Outcome != nothingToDo || code != exitOK {
			t.Errorf("%s: another fix: %s with exit code %d: %+v %+v %+v; against: %v", when, r.Outcome, code, r.Steps, r.Person, r.Pending, r.After.Against)
		}
	}
	same := func(t *testing.T, what, before, after string) {
		t.Helper()
		if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n")); diff != "" {
			t.Errorf("%s after undo (-before fix +after undo):\n%s", what, diff)
		}
	}
	undone := func(t *testing.T, etc string) {
		t.Helper()
		if r := m.Run("hostguard", "undo"); r.Code != exitOK {
			t.Errorf("undo: exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
		}
		same(t, "/etc", etc, etcOf(m))
	}

	t.Run("nobody took care", func(t *testing.T) {
		m := m.For(t)
		broken := neglected(m)
		etc, rest, kernel := etcOf(m), standing(m), m.Must("auditctl", "-l")
		before, code := audited(t, m)
		if before.Verdict != reports.NotReady || code != exitFindings {
			t.Errorf("before: %s with exit code %d", before.Verdict, code)
		}
		finds(t, before, checks.Fail, "", broken...)
		r, code := fixed(t, m)
		if r.Outcome != applied || len(r.Pending) > 0 || code == exitFailed {
			t.Fatalf("fix: %s with exit code %d: %s %+v %+v", r.Outcome, code, r.Error, r.Person, r.Pending)
		}
		// The clock is in time some seconds after its daemon has servers again.
		if left := slices.DeleteFunc(r.After.Against, func(rule string) bool { return rule == "CLK-003" }); len(left) > 0 {
			t.Errorf("fix leaves %v, and says %+v", left, r.Person)
			for _, rule := range left {
				t.Logf("%s is %v: %s", rule, statuses(r.After)[rule], findingText(r.After, rule))
			}
		}
		m.Must("chronyc", "waitsync", "600", "0", "0", "0.1")
		ready(t, "at once")
		m.Reboot()
		ready(t, "after a reboot")
		if listening := m.Must("ss", "-tlnH"); strings.Contains(listening, ":80 ") || strings.Contains(listening, ":7007 ") {
			t.Errorf("strays listen still:\n%s", listening)
		}
		recordsATouch(t, m)
		undone(t, etc)
		same(t, "the rest", rest, standing(m))
		if after := m.Must("auditctl", "-l"); after != kernel {
			t.Errorf("after undo the kernel holds\n%s\nbefore\n%s", after, kernel)
		}
		after, _ := audited(t, m)
		finds(t, after, checks.Fail, "", broken...)
	})
	t.Run("auditd is off", func(t *testing.T) {
		m := m.For(t)
		m.Restore()
		unaudited(m)
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
		undone(t, etc)
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
	})
	t.Run("the configuration is locked", func(t *testing.T) {
		m := m.For(t)
		m.Restore()
		unaudited(m)
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
		undone(t, etc)
	})
}

// recordsATouch wants ausearch to find that a file of the connector was touched.
func recordsATouch(t *testing.T, m *lab.Machine) {
	t.Helper()
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
}

// wordAfter is the word that follows a name.
func wordAfter(text, name string) string {
	words := strings.Fields(text)
	if at := slices.Index(words, name); at >= 0 && at+1 < len(words) {
		return words[at+1]
	}
	return ""
}
