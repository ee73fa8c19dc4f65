package host

import "testing"

// An image has no /dev/null: the text of the link is the mask.
func TestMaskedUnits(t *testing.T) {
	t.Parallel()
	h := auditTree(t, map[string]string{
		"/usr/lib/systemd/system/auditd.service": "[Service]\nExecStart=/sbin/auditd\nExecStartPost=-/sbin/augenrules --load\n",
		"/etc/systemd/system/auditd.service":     "-> /dev/null",
		"/usr/lib/systemd/system/docker.service": "[Service]\nExecStart=/usr/sbin/dockerd --data-root /d\n",
		"/etc/systemd/system/docker.service":     "-> /dev/null",
		"/usr/lib/systemd/system/ssh.service":    "[Service]\nExecStart=/usr/sbin/sshd -D\n",
		"/etc/systemd/system/ssh.service":        "-> /dev/null",
		"/usr/lib/systemd/system/other.service":  "[Service]\n",
		"/etc/systemd/system/other.service":      "-> /gone",
		"/usr/sbin/dockerd":                      "x",
	})
	if files, err := h.AuditFiles(t.Context()); err != nil || len(files.Loaders) != 0 {
		t.Errorf("audit: %v %v", files.Loaders, err)
	}
	if layout, err := h.DockerLayout(t.Context()); err != nil || layout.Kind != "package" || layout.DataRoot.Path != "/var/lib/docker" {
		t.Errorf("docker: %+v %v", layout, err)
	}
	if file, err := h.unitFile("ssh.service"); err != nil || file != "" {
		t.Errorf("sshd: %q %v", file, err)
	}
	if _, masked, err := h.readUnit("/etc/systemd/system/other.service"); masked || err == nil {
		t.Errorf("a link that leads elsewhere is no mask: %v", err)
	}
}
