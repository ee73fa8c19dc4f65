package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/lab"
)

// On a booted host: the last login is the journal's, which users cannot forge,
// the new head goes to syslog, and check wants an earlier report's head.
func TestKeysOnABootedHost(t *testing.T) {
	h := bootGood(t)
	list := func() shownKeys {
		t.Helper()
		var keys shownKeys
		if err := json.Unmarshal([]byte(h.Must("hostguard", "keys", "list", "--format", "json")), &keys); err != nil {
			t.Fatal(err)
		}
		return keys
	}
	keys := list()
	if len(keys.Keys) != 1 || keys.Keys[0].State != keyKnown || keys.Keys[0].Person != "Olivia Operator" || keys.Keys[0].LastLogin != nil {
		t.Fatalf("before a login: %+v", keys)
	}
	key := keys.Keys[0].Key

	report, _ := audited(t, h)
	if report.Ledger == nil || report.Ledger.Sequence != 1 || !report.Ledger.Signed || report.Ledger.Head != keys.Ledger.Head {
		t.Errorf("the report's ledger is %+v, want %+v", report.Ledger, keys.Ledger)
	}
	if log := h.Must("journalctl", "--quiet", "--identifier=hostguard", "--output=cat"); !strings.Contains(log, "key ledger: 1 appended, 1 events, head "+keys.Ledger.Head) {
		t.Errorf("syslog holds %q", log)
	}

	forged := fmt.Sprintf("Accepted publickey for %s from 203.0.113.9 port 1 ssh2: ED25519 %s", lab.Operator, key)
	h.Must("setpriv", "--reuid="+lab.Operator, "--regid=users", "--clear-groups", "logger", "-t", "sshd[1]", forged)
	h.Must("logger", "-t", "sshd", forged)
	if result := h.Outside("ssh", "-i", h.Key(), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes",
		lab.Operator+"@"+h.Address(), "true"); result.Code != 0 {
		t.Fatalf("cannot log in: %s", result.Stderr)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		if keys = list(); keys.Keys[0].LastLogin != nil || time.Now().After(deadline) {
			break
		}
	}
	if l := keys.Keys[0].LastLogin; l == nil || l.From == "203.0.113.9" || keys.Logins != "the journal" {
		t.Errorf("after a login: %+v from %q", l, keys.Logins)
	}

	h.Must("hostguard", "keys", "note", "tested", "--account", lab.Operator)
	for what, c := range map[string]struct {
		head, says string
	}{
		"an earlier report's head": {report.Ledger.Head, ""},
		"another's":                {strings.Repeat("0", 64), "The expected head 00"},
	} {
		later, _ := audited(t, h, "--expect-head", c.head, "--only", "SSH-044")
		if text := findingText(later, "SSH-044"); !strings.Contains(text, c.says) || (c.says == "") != (later.ExitCode == exitOK) {
			t.Errorf("%s: %s", what, text)
		}
	}
}
