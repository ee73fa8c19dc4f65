package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/remediate/transaction"
)

// A webhook that takes connections and never answers: the storage watch, tried
// before it is scheduled, could tell nobody, and nothing is written.
func TestFixIsRefusedWhereTheWebhookHangs(t *testing.T) {
	t.Parallel() // it waits for the most part
	h := bootGood(t)
	h.Must("systemd-run", "--quiet", "--unit=silent", "--service-type=exec", "busybox", "nc", "-ll", "-p", "4443", "-e", "/bin/sleep", "1d")
	h.WriteFile("/etc/hostguard/webhook", "https://127.0.0.1:4443/\n")
	h.Must("chmod", "600", "/etc/hostguard/webhook")
	h.WriteFile("/etc/hostguard/hostguard.yaml", "notify: {webhook: /etc/hostguard/webhook}\n")
	h.Must("mount", "-t", "tmpfs", "-o", "size=1m,mode=750", "tmpfs", "/var/log/audit")
	h.Must("fallocate", "-l", "1000k", "/var/log/audit/full")
	h.Must("mv", "/etc/cron.d/hostguard", "/root/table")
	before := observe(t, h)
	r := h.Run("hostguard", "fix", "--only", "STO-003")
	if r.Code != exitFailed || !strings.Contains(r.Stdout, "REFUSED: nothing was changed.") || !strings.Contains(r.Stdout, "  STO-003  try hostguard's watch over file systems: it ended with 1: hostguard: cannot notify by webhook: no answer within") {
		t.Errorf("exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if diff := cmp.Diff(before, observe(t, h)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// A unit that does not start any more and a daemon that does not take up what is
// as it was do not keep undo from the rest, nor the next fix from working: both
// are named.
func TestUndoGoesOnWhereUnitsRefuse(t *testing.T) {
	h := bootGood(t)
	h.Must("systemctl", "--quiet", "enable", "--now", "nginx.service")
	h.Must("sed", "-i", "s/^server/#server/", "/etc/chrony/conf.d/lab.conf")
	h.Must("systemctl", "restart", "chrony.service")
	before := observe(t, h)
	const rules = "SVC-001,CLK-002"
	if r, code := fixed(t, h, "--only", rules); r.Outcome != applied {
		t.Fatalf("%s with exit code %d: %s", r.Outcome, code, r.Error)
	}
	// Nobody answers chronyc, and a restart fails; nginx refuses its configuration.
	h.Must("mv", "/usr/bin/chronyc", "/usr/bin/chronyc.off")
	h.WriteFile("/etc/systemd/system/chrony.service.d/broken.conf", "[Service]\nExecStart=\nExecStart=/bin/false\nRestart=no\n")
	h.Must("mv", "/etc/nginx/nginx.conf", "/etc/nginx/nginx.off")
	h.WriteFile("/etc/nginx/nginx.conf", "nonsense\n")
	h.Must("systemctl", "daemon-reload")

	r := h.Run("hostguard", "undo")
	if r.Code != exitLeft {
		t.Errorf("undo: exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	for _, want := range []string{"Taken back: ", "nginx.service: what enables it is as before, but cannot start nginx.service", "chrony.service: cannot restart chrony.service"} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("undo does not say %q: %s", want, r.Stdout)
		}
	}
	history := h.Must("hostguard", "history")
	if !strings.Contains(history, string(transaction.Undone)) || !strings.Contains(history, "cannot restart chrony.service") {
		t.Errorf("history: %s", history)
	}
	if r := h.Run("hostguard", "recover"); r.Code != exitOK || !strings.Contains(r.Stdout, "Nothing was interrupted") {
		t.Errorf("recover: exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	// Mended by hand, the host is the one before, and fix works again.
	h.Must("mv", "/usr/bin/chronyc.off", "/usr/bin/chronyc")
	h.Must("rm", "/etc/systemd/system/chrony.service.d/broken.conf")
	h.Must("mv", "/etc/nginx/nginx.off", "/etc/nginx/nginx.conf")
	h.Must("systemctl", "daemon-reload")
	h.Must("systemctl", "restart", "chrony.service", "nginx.service")
	if diff := cmp.Diff(before, observe(t, h)); diff != "" {
		t.Errorf("after undo (-before fix +after undo):\n%s", diff)
	}
	if r, code := fixed(t, h, "--only", rules); r.Outcome != applied {
		t.Errorf("the next fix: %s with exit code %d: %s", r.Outcome, code, r.Error)
	}
}
