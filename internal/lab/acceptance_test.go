package lab

import (
	"strings"
	"testing"
)

// TestAcceptance boots a virtual machine with a good host and looks at it, first
// with the host's own tools, then with hostguard.
func TestAcceptance(t *testing.T) {
	m := StartVM(t)
	t.Run("the host's own tools", func(t *testing.T) { goodByItsOwnTools(t, m.For(t)) })
	t.Run("ready", func(t *testing.T) {
		m := m.For(t)
		m.Install(Binary(t), "/usr/local/bin/hostguard")
		result := m.Run("/usr/local/bin/hostguard", "check")
		if result.Code != 0 {
			t.Errorf("check ends with %d, want 0 (READY):\n%s%s", result.Code, result.Stdout, result.Stderr)
		}
	})
}

func goodByItsOwnTools(t *testing.T, m *Machine) {
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
