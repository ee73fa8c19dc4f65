package files

import (
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/lab/checktest"
)

func TestMain(m *testing.M) { checktest.Main(m, Checks) }

// A booted Debian's own files, and what is wrong with them once changed.
func TestModesOnABootedHost(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Booted)
	h := lab.Boot(t)
	check := checktest.Inside(t, h)
	const (
		journal = "file-mode {paths: [/var/log/journal, /run/log/journal], recursive: true, owner: [root], group: [root, systemd-journal], mode: '0640', dir_mode: '0755', acl_groups: [adm, wheel], acl_user_in_name: true}"
		folder  = "file-mode {paths: [/var/log], owner: [root], group: [root], mode: '0755', dir_mode: '0755'}"
		all     = "file-mode {paths: [/var/log], recursive: true, mode: '7775', dir_mode: '7775', acl_users: ['*'], acl_groups: ['*']}"
	)
	check("the journal as it is", journal, "pass")
	check("the folder as it is", folder, "pass")
	check("all below as it is", all, "pass")
	check("auditd's as it is", "audit-log-mode {}", "pass")
	check("nobody in the groups", "group-members {groups: [adm, systemd-journal]}", "pass")

	h.Must("/bin/sh", "-c", "chmod o+r $(find /run/log/journal /var/log/journal -name system.journal | head -1)")
	check("the journal readable by everybody", journal, "fail: system.journal has the mode 0644")
	h.Must("chmod", "1777", "/var/log")
	check("the folder writable by everybody", folder, "fail: /var/log has the mode 1777")
	h.Must("touch", "/var/log/audit/audit.log.1")
	h.Must("chown", "root:users", "/var/log/audit/audit.log.1")
	check("auditd's with another group", "audit-log-mode {}", "fail: /var/log/audit/audit.log.1 has the ")
	h.Must("useradd", "--groups", "adm", "--shell", "/bin/bash", "reader")
	check("somebody in a group", "group-members {groups: [adm, systemd-journal]}", "fail: reader (adm)")
	check("who is meant to be", "group-members {groups: [adm], allow: [reader]}", "pass")
	h.Must("usermod", "--shell", "/usr/sbin/nologin", "reader")
	check("somebody who cannot log in", "group-members {groups: [adm]}", "pass")
}
