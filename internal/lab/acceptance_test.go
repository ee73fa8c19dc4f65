package lab

import (
	"strings"
	"testing"
)

// TestAcceptance boots a virtual machine with a good host and looks at it with the
// host's own tools. What hostguard says of it, its own acceptance test asks.
func TestAcceptance(t *testing.T) {
	m := StartVM(t)
	for _, want := range []struct {
		command []string
		text    string
	}{
		{[]string{"auditctl", "-s"}, "enabled 1"},
		{[]string{"auditctl", "-l"}, "/run/containerd/containerd.sock"},
		{[]string{"docker", "version", "--format", "{{.Server.Version}}"}, "20."},
		{[]string{"docker", "compose", "version"}, "version 2."},
		{[]string{"chronyc", "tracking"}, "192.0.2.1"},
		{[]string{"sshd", "-T"}, "passwordauthentication no"},
		{[]string{"nproc"}, "8"},
		{[]string{"systemctl", "is-active", "auditd", "chrony", "docker", "ssh", "cron", "df-watch.timer"}, "active"},
	} {
		if got := m.Run(want.command...); got.Code != 0 || !strings.Contains(got.Stdout, want.text) {
			t.Errorf("%q: exit code %d, want 0 and %q in:\n%s%s", want.command, got.Code, want.text, got.Stdout, got.Stderr)
		}
	}
	if failed := m.Must("systemctl", "--failed", "--no-legend", "--plain"); failed != "" {
		t.Errorf("failed units:\n%s", failed)
	}
	if got := m.SSH(Operator, m.Key(), "id", "-un"); got.Stdout != Operator+"\n" {
		t.Errorf("the operator cannot log in by key: %+v", got)
	}
}
