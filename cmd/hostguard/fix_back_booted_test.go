package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/remediate/transaction"
)

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
