package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/reports"
)

// Only a machine with a kernel of its own can be READY: make acceptance.
func TestAcceptance(t *testing.T) {
	lab.Need(t, lab.Virtual)
	m := lab.StartVM(t)
	m.Install(lab.Binary(t), "/usr/local/bin/hostguard")
	enrolOperator(m)
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
	t.Run("ready with the connector", func(t *testing.T) {
		deploy(m.For(t))
		ready(t)
	})
	t.Run("connector", func(t *testing.T) {
		breakEach(t, deployedBreakages(), func(t *testing.T) testHost { return m.For(t) })
	})
	t.Run("audit", func(t *testing.T) {
		breakEach(t, auditBreakages(), func(t *testing.T) testHost { return m.For(t) })
	})
	t.Run("audit locked", func(t *testing.T) { lockedAudit(t, m.For(t)) })
	t.Run("ready after a reboot", func(t *testing.T) {
		m := m.For(t)
		m.Reboot()
		ready(t)
		if list := m.Must("auditctl", "-l"); !strings.Contains(list, newRule) {
			t.Errorf("the rule that waited for the reboot is not loaded:\n%s", list)
		}
	})
	t.Run("audit enabled late", func(t *testing.T) {
		m := m.For(t)
		m.Must("docker", "compose", "--project-directory", "/opt/trueconnector", "down") // its processes outlive docker
		m.Must("rm", "/etc/audit/rules.d/99-lock.rules", "/etc/audit/rules.d/60-new.rules")
		m.Must("augenrules")
		m.Must("systemctl", "--quiet", "disable", "auditd.service")
		// journald would enable auditing before anything else.
		m.WriteFile("/etc/systemd/journald.conf.d/audit.conf", "[Journal]\nAudit=\n")
		m.RebootWith("")
		lateAudit(t, m)
	})
	t.Run("audit off", func(t *testing.T) {
		m := m.For(t)
		m.Must("systemctl", "--quiet", "enable", "auditd.service")
		m.RebootWith("audit=0")
		offAudit(t, m)
	})
}

// deploy starts the connector of a good host, as its operator would, with a
// program that only waits.
func deploy(m *lab.Machine) {
	m.Must("sh", "-ec", `
		tar -c -C / bin/busybox | docker import --change 'CMD ["/bin/busybox", "sleep", "1000000"]' - example/ids_execution_core_container:1
		. /etc/environment
		export AES_SECRET_KEY
		docker compose --project-directory /opt/trueconnector up --detach`)
}

// deployedBreakages are a few of what else breaks a connector that runs.
func deployedBreakages() []breakage {
	var list []breakage
	for _, b := range slices.Concat(certificateBreakages(), dockerBreakages(), connectorBreakages(), logsBreakages()) {
		switch b.name {
		case "certificates: the certificate has expired", "a container is privileged", "connector: others read the hashes",
			"everybody can read the copies", "something else runs on this docker":
			list = append(list, b)
		}
	}
	return list
}

// coverage holds the rules that want changes of files to be recorded; uses the
// others, that want what is done with sockets and programs to be.
var (
	coverage = []string{"AUD-010", "AUD-012", "AUD-013", "AUD-014", "AUD-015", "AUD-020", "AUD-021", "AUD-022", "AUD-030", "AUD-031", "AUD-032", "AUD-033", "AUD-034"}
	uses     = []string{"AUD-011", "AUD-016"}
)

// failing wants all rules of the lists to fail and to say the words.
func failing(says string, lists ...[]string) map[string]want {
	wants := map[string]want{}
	for _, rule := range slices.Concat(lists...) {
		wants[rule] = fails(says)
	}
	return wants
}

// auditBreakages breaks what the kernel, and not a file alone, must show.
func auditBreakages() []breakage {
	var list []breakage
	add := func(name string, apply, undo func(testHost), wants map[string]want) {
		list = append(list, breakage{name, apply, undo, wants})
	}
	add("case 23: the kernel records nothing",
		commands("auditctl -e 0"), commands("auditctl -e 1"),
		failing("enabled", []string{"AUD-002"}, coverage, uses))
	add("the kernel panics when a record is lost",
		commands("auditctl -f 2"), commands("auditctl -f 1"),
		map[string]want{"AUD-004": fails("failure")})
	add("a rule is on disk and not loaded",
		commands("auditctl -W /etc/default/docker -p wa -k docker"), commands("auditctl -w /etc/default/docker -p wa -k docker"),
		map[string]want{
			"AUD-006": fails("/etc/audit/rules.d/50-docker.rules:15"),
			"AUD-012": fails("/etc/default/docker"),
		})
	apply, undo := edited("/etc/audit/rules.d/50-trueconnector.rules", "-w", "#-w")
	add("a rule is loaded and not on disk", apply, undo,
		map[string]want{
			"AUD-006": fails("/opt/trueconnector"),
			"AUD-020": fails("/opt/trueconnector"),
			"AUD-021": fails("/opt/trueconnector"),
		})
	apply, undo = file("/etc/audit/rules.d/00-bad.rules", "-w /no/such/folder/file -p wa\n")
	add("case 18: one bad line ends the load of the next boot", apply, undo,
		failing("/etc/audit/rules.d/00-bad.rules:1", []string{"AUD-006"}, coverage, uses))
	// It hides moves and links between its folder and every other of the mount.
	add("case 23: a never rule stands before",
		commands("auditctl -A never,exit -F dir=/opt/trueconnector"), commands("auditctl -d never,exit -F dir=/opt/trueconnector"),
		failing("never,exit", []string{"AUD-006"}, coverage))
	return list
}
