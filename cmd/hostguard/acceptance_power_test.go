package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/lab"
)

// powerCuts is how many times the power is cut, at moments spread over a run.
const powerCuts = 20

// A power cut at any moment of a fix leaves a host that boots, that recover
// brings back to what it was, or that has all of what was committed.
func TestAcceptancePowerCuts(t *testing.T) {
	lab.Need(t, lab.Virtual)
	cuts := powerCuts
	if n, err := strconv.Atoi(os.Getenv("HOSTGUARD_POWER_CUTS")); err == nil {
		cuts = n
	}
	m := lab.StartVM(t)
	m.Install(lab.Binary(t), "/usr/local/bin/hostguard")
	enrolOperator(m)
	m.Must("sh", "-c", "rm /etc/audit/rules.d/40-host.rules /etc/audit/rules.d/50-*.rules; rm -f /etc/tmpfiles.d/lab.conf")
	m.Must("sed", "-i", "s/^max_log_file_action.*/max_log_file_action = IGNORE/", "/etc/audit/auditd.conf")
	m.Must("systemctl", "--quiet", "enable", "nginx.service")
	m.Reboot() // so that what boots change in /etc is changed
	before := etcOf(m)
	started := time.Now()
	if r, code := fixed(t, m); r.Outcome != applied {
		t.Fatalf("fix: %s with exit code %d: %s", r.Outcome, code, r.Error)
	}
	whole := time.Since(started)
	after := etcOf(m)
	m.Must("hostguard", "undo")
	if now := etcOf(m); now != before {
		t.Fatalf("/etc after undo:\n%s\nbefore:\n%s", now, before)
	}

	ended := map[string]int{}
	for cut := range cuts {
		m.Must("systemctl", "--quiet", "reset-failed")
		m.Must("systemd-run", "--quiet", "--no-block", "/usr/local/bin/hostguard", "fix")
		time.Sleep(whole * time.Duration(cut+1) / time.Duration(cuts)) // not a wait for anything: the moment of the cut
		m.PowerCut()
		history := m.Must("hostguard", "history")
		if r := m.Run("hostguard", "recover"); r.Code != exitOK {
			t.Errorf("cut %d: recover: exit code %d: %s%s", cut, r.Code, r.Stdout, r.Stderr)
		}
		if left := m.Must("find", "/etc", "/opt", "/usr/local", "-name", "*.hostguard-*"); left != "" {
			t.Errorf("cut %d: left behind: %s", cut, left)
		}
		if h := m.Must("hostguard", "history"); strings.Contains(h, "interrupted") {
			t.Errorf("cut %d: interrupted still:\n%s", cut, h)
		}
		switch now := etcOf(m); now {
		case before:
			if strings.Contains(history, "interrupted") {
				ended["taken back"]++
			} else {
				ended["not begun"]++
			}
		case after:
			ended["committed"]++
			m.Must("hostguard", "undo")
		default:
			t.Fatalf("cut %d: /etc is neither as before nor as after:\n%s\nbefore:\n%s", cut, now, before)
		}
	}
	t.Logf("%d power cuts within %v: %v", cuts, whole, ended)
	if ended["taken back"] == 0 {
		t.Error("no cut met a transaction at work")
	}
}
