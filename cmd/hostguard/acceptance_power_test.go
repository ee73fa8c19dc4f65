package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/internal/lab"
)

// powerCuts is how many times the power is cut, at moments spread over a transaction.
const powerCuts = 20

// shortBoot are arguments for the kernel with which the host comes up as far as
// hostguard needs it: docker and others would take minutes each time.
var shortBoot = []string{
	"systemd.unit=basic.target", "systemd.wants=qemu-guest-agent.service", "systemd.wants=auditd.service",
	"systemd.mask=apparmor.service", "systemd.mask=df-watch.timer", "systemd.mask=docker.socket",
}

// A power cut at any moment of a fix leaves a host that boots, that recover
// brings back to what it was, or that has all of what was committed.
func TestAcceptancePowerCuts(t *testing.T) {
	lab.Need(t, lab.Virtual)
	cuts := powerCuts
	if n, err := strconv.Atoi(os.Getenv("HOSTGUARD_POWER_CUTS")); err == nil {
		cuts = max(n, 2)
	}
	m := lab.StartSmallVM(t)
	m.Install(lab.Binary(t), "/usr/local/bin/hostguard")
	enrolOperator(m)
	m.Must("sh", "-ec", `
		rm /etc/audit/rules.d/40-host.rules /etc/audit/rules.d/50-*.rules /etc/tmpfiles.d/lab.conf /etc/cron.d/hostguard
		augenrules --load
		sed -i 's/^max_log_file_action.*/max_log_file_action = IGNORE/' /etc/audit/auditd.conf
		systemctl --quiet enable --now nginx.service
		chmod 644 /var/log/auth.log`)
	m.Must("sync") // what the test did is no part of what a cut may cost
	before, kernel := etcOf(m), m.Must("auditctl", "-l")
	m.Save()
	if r, code := fixed(t, m); r.Outcome != applied {
		t.Fatalf("fix: %s with exit code %d: %s", r.Outcome, code, r.Error)
	}
	after := etcOf(m)
	records, err := strconv.Atoi(strings.TrimSpace(m.Must("sh", "-c", "cat /var/lib/hostguard/tx/*/log | wc -l")))
	if err != nil {
		t.Fatal(err)
	}

	ended := map[string]int{}
	for cut := range cuts {
		m.Restore()
		m.Must("systemd-run", "--quiet", "--no-block", "/usr/local/bin/hostguard", "fix", "--timeout", "10m")
		boot := shortBoot
		if cut == cuts/2 {
			boot = nil
		}
		record := records * cut / (cuts - 1)
		m.PowerCutAfter(untilRecord(record), boot...)
		history := m.Must("hostguard", "history")
		if r := m.Run("hostguard", "recover"); r.Code != exitOK {
			t.Errorf("cut %d: recover: exit code %d: %s%s", cut, r.Code, r.Stdout, r.Stderr)
		}
		if left := m.Must("find", "/etc", "/opt", "/usr/local", "/var/log", "-name", "*.hostguard-*"); left != "" {
			t.Errorf("cut %d: left behind: %s", cut, left)
		}
		if h := m.Must("hostguard", "history"); strings.Contains(h, "interrupted") {
			t.Errorf("cut %d: interrupted still:\n%s", cut, h)
		}
		how := "not begun"
		switch now := etcOf(m); now {
		case before:
			if strings.Contains(history, "interrupted") {
				how = "taken back"
			}
			if list := m.Must("auditctl", "-l"); list != kernel {
				t.Errorf("cut %d: the kernel holds\n%s\nbefore\n%s", cut, list, kernel)
			}
			if mode := m.Must("stat", "--format=%a", "/var/log/auth.log"); mode != "644\n" {
				t.Errorf("cut %d: the mode of a log is %s", cut, mode)
			}
		case after:
			how = "committed"
		default:
			t.Errorf("cut %d: /etc is neither as before nor as after (-before +now):\n%s", cut, cmp.Diff(strings.Split(before, "\n"), strings.Split(now, "\n")))
			how = "torn"
		}
		ended[how]++
		t.Logf("cut %d, at record %d of %d: %s", cut, record, records, how)
	}
	t.Logf("%d power cuts, one with a whole boot after it, over %d records of the journal: %v", cuts, records, ended)
	if ended["taken back"] < cuts/2 {
		t.Error("most cuts did not meet a transaction at work")
	}
}

// untilRecord is a script that ends when the log of a transaction has so many records.
func untilRecord(n int) string {
	return fmt.Sprintf(`
		records=0
		until [ "$records" -ge %d ]; do
			records=0
			for log in /var/lib/hostguard/tx/2*/log; do
				[ ! -e "$log" ] || while read -r record; do records=$((records + 1)); done <"$log"
			done
		done`, n)
}
