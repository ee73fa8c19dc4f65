package lab

import (
	"strings"
	"testing"
)

func TestBootedHost(t *testing.T) {
	h := Boot(t, Before(func(h *Host) {
		h.WriteFile("/etc/before", "written before the boot\n")
	}))
	if got := h.Must("cat", "/etc/before"); got != "written before the boot\n" {
		t.Errorf("the file written before the boot holds %q", got)
	}
	t.Run("units", func(t *testing.T) {
		h := h.For(t)
		for _, unit := range []string{"dbus.service", "ssh.service", "docker.service", "cron.service"} {
			if got := h.Run("systemctl", "is-active", unit).Stdout; got != "active\n" {
				t.Errorf("%s is %q", unit, got)
			}
		}
	})
	t.Run("audit refuses", func(t *testing.T) {
		h := h.For(t)
		if got := h.Run("auditctl", "-s"); strings.Contains(got.Stdout, "enabled") {
			t.Errorf("the audit of the machine answers in a test host: %q", got.Stdout)
		}
	})
}

func TestGoodHost(t *testing.T) {
	h := Boot(t, Good)
	for _, unit := range []string{"auditd.service", "ssh.service", "docker.service", "chrony.service", "cron.service", "df-watch.timer"} {
		if got := h.Run("systemctl", "is-active", unit).Stdout; got != "active\n" {
			t.Errorf("%s is %q", unit, got)
		}
		if got := h.Run("systemctl", "is-enabled", unit).Stdout; got != "enabled\n" {
			t.Errorf("%s is %q", unit, got)
		}
	}
	if got := h.Run("systemctl", "is-active", "nginx.service").Stdout; got != "inactive\n" {
		t.Errorf("nginx is %q", got)
	}
	if got := h.Must("docker", "version", "--format", "{{.Server.Version}}"); got == "" {
		t.Error("docker does not answer")
	}
	sshd := h.Must("sshd", "-T", "-C", "user=operator,host=a,addr=192.0.2.1")
	for _, line := range []string{"passwordauthentication no", "kbdinteractiveauthentication no", "allowgroups ssh_login_group"} {
		if !strings.Contains(sshd, line+"\n") {
			t.Errorf("sshd lacks %q", line)
		}
	}
	login := []string{"ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-i", h.Key(), Operator + "@" + h.Address(), "id", "-un"}
	if got := h.Outside(login...); got.Stdout != Operator+"\n" {
		t.Errorf("the operator cannot log in by key: %+v", got)
	}
}

func TestContainerInHost(t *testing.T) {
	h := Boot(t, Good)
	h.ImportBusybox("lab/busybox:1")
	h.Must("docker", "run", "--detach", "--name", "web", "--publish", "8080:80", "lab/busybox:1", "httpd", "-f", "-p", "80")
	if got := h.Must("ss", "-Hltn", "sport = :8080"); got == "" {
		t.Error("nobody listens on the published port")
	}
}

func TestReboot(t *testing.T) {
	h := Boot(t)
	h.WriteFile("/etc/kept", "kept\n")
	first := h.ReadFile("/proc/sys/kernel/random/boot_id")
	h.Reboot()
	if h.ReadFile("/proc/sys/kernel/random/boot_id") == first {
		t.Error("the host did not boot again")
	}
	if got := h.ReadFile("/etc/kept"); got != "kept\n" {
		t.Errorf("the file holds %q", got)
	}
}
