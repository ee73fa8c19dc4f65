package main

import (
	"regexp"
	"strings"
	"time"

	"github.com/hostguard/hostguard/checks"
)

// reloadSSH ends when sshd has read its configuration anew, which it shows by a
// new pid file: systemctl ends when the signal is sent.
func reloadSSH(h testHost) {
	written := func() string { return h.Run("stat", "--format=%y", "/run/sshd.pid").Stdout }
	before := written()
	h.Must("systemctl", "reload", "ssh.service")
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if now := written(); now != "" && now != before {
			return
		}
	}
}

// secondKey is a line for authorized_keys.
const secondKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICcwcE8AdUtgSwfwJceo8iCpKWEeWHl+Hs/+y0EOxCoH second\n"

// weakKey is one of RSA with 2048 bits.
const weakKey = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDSljSmTONX8OuVT1E3JGSHecEFWJpF1Uqvg8xqKZLTfM1669NNuhTvF3dYQ4dpGtdBPGT1cFfdd4gs4FEJ1Bu+vez4KbkdzlS3as1eRa8457Rck090FAc9OGA4VUsLXOkcpPH4FyYUe+XO9tNryq6na6s6dDV/PU+PcDmT+QcD0OFw1RzGQJont0xbK6LYbQLPndNs/O+GSNHbA5avwyU9OCRUO95xMkNHOFlyATQz4e8ZGEoWTweLbOVUX4pHPd9Fuz+w7u32hJVaMgwgsRdDUmhlpfpwcOj1R++gN6db6taVXrm0+VB1EZkol7+AQ43PNXF2AYaKK+4rQW9+3/zR weak\n"

// breakages holds each requirement of the profile that files, units and
// sockets of a container can break, each broken alone.
func breakages() []breakage {
	var list []breakage
	add := func(name string, apply, undo func(testHost), wants map[string]want) {
		list = append(list, breakage{name, apply, undo, wants})
	}

	// TC-01
	add("the time daemon is stopped",
		commands("systemctl stop chrony.service"), commands("systemctl start chrony.service"),
		map[string]want{"CLK-001": fails("chrony.service")})
	add("the time daemon is not started at boot",
		commands("systemctl --quiet disable chrony.service"), commands("systemctl --quiet enable chrony.service"),
		map[string]want{"CLK-001": fails("chrony.service", "disabled")})
	apply, undo := edited("/etc/chrony/conf.d/lab.conf", "server 192.0.2.1", "#server 192.0.2.1")
	add("no time server is configured", apply, undo,
		map[string]want{"CLK-002": fails("/etc/chrony/chrony.conf")})
	apply, undo = edited("/etc/hostguard/hostguard.yaml", "192.0.2.1", "192.0.2.77")
	add("no time server answers", apply, undo,
		map[string]want{"CLK-004": unknown("192.0.2.77")})

	// TC-02, TC-03
	add("docker is stopped",
		commands("systemctl stop docker.socket docker.service"), commands("systemctl start docker.socket docker.service"),
		map[string]want{"DOCK-002": fails("docker.service"), "DOCK-003": fails("docker.sock"), "DOCK-014": {checks.NotApplicable, nil}, "CON-024": unknown("docker.sock")})
	add("docker is not started at boot",
		commands("systemctl --quiet disable docker.service"), commands("systemctl --quiet enable docker.service"),
		map[string]want{"DOCK-002": fails("docker.service", "disabled")})
	apply, undo = edited("/opt/trueconnector/docker-compose.yml", "mem_limit: 64m", "mem_reservation: 64m")
	add("a service has no memory limit", apply, undo,
		map[string]want{"HW-003": fails("/opt/trueconnector/docker-compose.yml")})

	// TC-14, TC-15, TC-18
	apply, undo = file("/etc/ssh/sshd_config.d/05-first.conf", "PasswordAuthentication yes\n", reloadSSH)
	add("case 1: the first value wins, and an earlier drop-in turns passwords on", apply, undo,
		map[string]want{
			"SSH-001": fails("/etc/ssh/sshd_config.d/05-first.conf:1"),
			"SSH-003": fails("/etc/ssh/sshd_config.d/05-first.conf:1", "/etc/ssh/sshd_config.d/10-hostguard-lab.conf:1"),
		})
	apply, undo = file("/etc/ssh/sshd_config.d/99-last.conf", "PasswordAuthentication yes\n", reloadSSH)
	add("case 1: a later drop-in changes nothing", apply, undo, nil)
	apply, undo = file("/etc/ssh/sshd_config.d/50-match.conf", "Match Address 203.0.113.0/24\n  PasswordAuthentication yes\n", reloadSSH)
	add("case 5: a Match block lets some in by password", apply, undo,
		map[string]want{
			"SSH-001": fails("/etc/ssh/sshd_config.d/50-match.conf:2"),
			"SSH-003": fails("/etc/ssh/sshd_config.d/50-match.conf:2"),
		})
	apply, undo = edited("/etc/ssh/sshd_config.d/10-hostguard-lab.conf", "KbdInteractiveAuthentication no", "ChallengeResponseAuthentication yes", reloadSSH)
	add("case 8: keyboard-interactive by its old name", apply, undo,
		map[string]want{
			"SSH-001": fails("/etc/ssh/sshd_config.d/10-hostguard-lab.conf:2"),
			"SSH-004": fails("/etc/ssh/sshd_config.d/10-hostguard-lab.conf:2"),
		})
	apply, undo = file("/etc/ssh/sshd_config.d/50-root.conf",
		"AllowGroups root\nAllowUsers root\nMatch User root\n  PermitRootLogin yes\n  PasswordAuthentication yes\n", reloadSSH)
	add("root may log in with a password", apply, undo,
		map[string]want{
			"SSH-001": fails("/etc/ssh/sshd_config.d/50-root.conf:5"),
			"SSH-002": fails("/etc/ssh/sshd_config.d/50-root.conf:4"),
			"SSH-003": fails("/etc/ssh/sshd_config.d/50-root.conf:5"),
			"SSH-011": fails("/etc/ssh/sshd_config.d/50-root.conf:1"),
			"SSH-012": fails("/etc/ssh/sshd_config.d/50-root.conf:2"),
			"SSH-015": fails("/etc/ssh/sshd_config.d/50-root.conf:2"),
		})
	const otherConfig = "Port 2200\nPidFile none\nUsePAM yes\nAllowUsers operator\nAllowGroups ssh_login_group\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\nPermitRootLogin no\n"
	const otherService = "[Service]\nExecStart=-/usr/sbin/sshd -D -f /etc/ssh/other\nStandardInput=socket\n[Install]\nWantedBy=multi-user.target\n"
	byOther := map[string]want{"SSH-001": fails("/etc/ssh/other:6"), "SSH-003": fails("/etc/ssh/other:6"), "SVC-010": fails("is not on the list")}
	add("a unit of another name starts an sshd at the next boot",
		func(h testHost) {
			h.WriteFile("/etc/ssh/other", otherConfig)
			h.WriteFile("/etc/systemd/system/remote.service", otherService)
			commands("systemctl daemon-reload", "systemctl --quiet enable remote.service")(h)
		},
		commands("systemctl --quiet disable remote.service", "rm /etc/systemd/system/remote.service /etc/ssh/other", "systemctl daemon-reload"), byOther)
	add("case 13: a socket of another name starts an sshd for each connection",
		func(h testHost) {
			h.WriteFile("/etc/ssh/other", otherConfig)
			h.WriteFile("/etc/systemd/system/remote@.service", strings.Replace(otherService, "-D", "-i", 1))
			h.WriteFile("/etc/systemd/system/remote.socket", "[Socket]\nListenStream=/run/remote\nAccept=yes\n")
			commands("systemctl daemon-reload", "systemctl start remote.socket")(h)
		},
		commands("systemctl stop remote.socket", "rm /etc/systemd/system/remote.socket /etc/systemd/system/remote@.service /etc/ssh/other", "systemctl daemon-reload"), byOther)
	add("an sshd runs in a PID namespace of its own, and is in no container",
		func(h testHost) {
			h.WriteFile("/etc/ssh/other", strings.Replace(otherConfig, "Port 2200", "ListenAddress 127.0.0.1:2200", 1))
			commands("systemd-run --quiet --unit=apart unshare --pid --fork --kill-child /usr/sbin/sshd -D -f /etc/ssh/other")(h)
			for deadline := time.Now().Add(10 * time.Second); !strings.Contains(h.Run("ss", "-tln").Stdout, ":2200") && time.Now().Before(deadline); {
			}
		},
		commands("systemctl stop apart.service", "rm /etc/ssh/other"), byOther)
	add("case 10: another group has the number of the one that may log in",
		func(h testHost) {
			gid := strings.Split(h.Must("getent", "group", "ssh_login_group"), ":")[2]
			commands("groupadd --non-unique --gid "+gid+" alias", "usermod --append --groups alias daemon")(h)
		},
		commands("groupdel alias"), map[string]want{"SSH-011": fails("daemon is a member of ssh_login_group")})
	apply, undo = edited("/etc/ssh/sshd_config.d/10-hostguard-lab.conf", "AllowGroups", "#AllowGroups", reloadSSH)
	add("no group is set", apply, undo,
		map[string]want{"SSH-011": fails("allowgroups")})
	add("case 10: the group is empty",
		commands("gpasswd --delete operator ssh_login_group"), commands("gpasswd --add operator ssh_login_group"),
		map[string]want{"SSH-011": fails("ssh_login_group"), "SSH-012": fails("operator"), "SSH-015": fails("operator")})
	apply, undo = file("/etc/ssh/sshd_config.d/20-wider.conf", "AllowGroups users\n", reloadSSH)
	add("case 4: a drop-in widens the list of groups", apply, undo,
		map[string]want{"SSH-011": fails("/etc/ssh/sshd_config.d/20-wider.conf:1")})

	// TC-21 to TC-23: what a person must vouch for
	for _, rule := range []string{"SSH-031", "SSH-032", "SSH-033", "SSH-034"} {
		apply, undo = edited("/etc/hostguard/hostguard.yaml", "- {rule: "+rule, "#- {rule: "+rule)
		add("nobody vouches for "+rule, apply, undo,
			map[string]want{rule: fails("- {rule: "+rule+", owner: ", "hostguard.yaml")})
	}
	apply, undo = editedBy("/etc/hostguard/hostguard.yaml", func(text string) string {
		return regexp.MustCompile(`(SSH-031.*date: )[0-9-]+(, expires: )[0-9-]+`).ReplaceAllString(text, "${1}2026-01-31${2}2026-04-30")
	})
	add("an attestation has ended", apply, undo,
		map[string]want{"SSH-031": fails("/etc/hostguard/hostguard.yaml:", "of 2026-01-31 by The lab ended on 2026-04-30")})

	// TC-21, TC-22: users' keys
	const keys = "/home/operator/.ssh/authorized_keys"
	apply, undo = editedBy(keys, func(text string) string { return text + weakKey })
	add("case 38: a weak key", apply, undo,
		map[string]want{"SSH-016": fails(keys+":2", "RSA 2048"), "SSH-040": fails(keys + ":2")})
	apply, undo = editedBy(keys, func(text string) string { return "no-such-option " + text })
	add("a key's line has an option that sshd does not know", apply, undo,
		map[string]want{"SSH-017": fails(keys+":1", "no-such-option")})
	add("everybody may write to a file of keys",
		commands("chmod 666 "+keys), commands("chmod 600 "+keys),
		map[string]want{"SSH-018": fails(keys, "0666")})
	add("everybody may write to the home above it",
		commands("chmod 777 /home/operator"), commands("chmod 755 /home/operator"),
		map[string]want{"SSH-018": fails("/home/operator", "0777")})
	apply, undo = file("/etc/ssh/sshd_config.d/50-modes.conf", "StrictModes no\n", reloadSSH)
	add("sshd does not look at the modes of files of keys", apply, undo,
		map[string]want{"SSH-019": fails("/etc/ssh/sshd_config.d/50-modes.conf:1")})
	add("case 38: two accounts have one key",
		commands("install -D -m 600 "+keys+" /root/.ssh/authorized_keys"), commands("rm -r /root/.ssh"),
		map[string]want{"SSH-020": fails(keys+":1", "/root/.ssh/authorized_keys:1"), "SSH-040": fails("/root/.ssh/authorized_keys:1")})
	apply, undo = editedBy(keys, func(text string) string { return "restrict " + text + text })
	add("an account has a key twice", apply, undo,
		map[string]want{"SSH-021": fails(keys+":2", keys+":1")})
	add("a revoked key is still listed",
		func(h testHost) {
			h.Must("install", "-m", "644", keys, "/etc/ssh/revoked_keys")
			h.WriteFile("/etc/ssh/sshd_config.d/50-revoked.conf", "RevokedKeys /etc/ssh/revoked_keys\n")
			reloadSSH(h)
		},
		func(h testHost) {
			h.Must("rm", "/etc/ssh/revoked_keys", "/etc/ssh/sshd_config.d/50-revoked.conf")
			reloadSSH(h)
		},
		map[string]want{"SSH-022": fails(keys+":1", "/etc/ssh/revoked_keys:1")})
	apply, undo = file("/etc/ssh/sshd_config.d/50-revoked.conf", "RevokedKeys /etc/ssh/no_such_file\n", reloadSSH)
	add("the file of revoked keys is missing: sshd refuses every key", apply, undo,
		map[string]want{"SSH-022": fails("/etc/ssh/no_such_file", "/etc/ssh/sshd_config.d/50-revoked.conf:1")})
	apply, undo = file("/etc/ssh/sshd_config.d/50-command.conf", "AuthorizedKeysCommand /usr/bin/true %u\nAuthorizedKeysCommandUser nobody\n", reloadSSH)
	add("a program says which keys let in", apply, undo,
		map[string]want{
			"SSH-023": fails("/etc/ssh/sshd_config.d/50-command.conf:1"),
			"SSH-016": unknown("/usr/bin/true"), "SSH-020": unknown("/usr/bin/true"),
		})

	// TC-23
	ledger := map[string]want{"SSH-044": fails("/var/lib/hostguard/keys/ledger.jsonl:1", "changed")}
	for _, rule := range []string{"SSH-040", "SSH-041", "SSH-042", "SSH-043", "SSH-045"} {
		ledger[rule] = unknown("/var/lib/hostguard/keys/ledger.jsonl:1")
	}
	apply, undo = edited("/var/lib/hostguard/keys/ledger.jsonl", "Olivia", "Olivi`")
	add("a bit of the key ledger is flipped", apply, undo, ledger)
	apply, undo = editedBy("/home/operator/.ssh/authorized_keys", func(text string) string { return text + secondKey })
	add("case 38: a key that nobody ever logged", apply, undo,
		map[string]want{"SSH-040": fails("/home/operator/.ssh/authorized_keys:2")})
	apply, undo = editedBy("/etc/hostguard/hostguard.yaml", func(text string) string {
		return strings.Replace(text, "parameters: {", "parameters: {SSH-042: {max_age: 1ms}, ", 1)
	})
	add("a key is too old", apply, undo,
		map[string]want{"SSH-042": fails("/home/operator/.ssh/authorized_keys:1")})
	add("a key has no person",
		commands("cp -a /var/lib/hostguard/keys /var/lib/hostguard/before", "rm -r /var/lib/hostguard/keys", "hostguard keys enrol"),
		commands("rm -r /var/lib/hostguard/keys", "mv /var/lib/hostguard/before /var/lib/hostguard/keys"),
		map[string]want{"SSH-041": fails("/home/operator/.ssh/authorized_keys:1", "nobody")})
	add("nobody keeps a ledger of keys",
		commands("mv /var/lib/hostguard/keys /var/lib/hostguard/before"), commands("mv /var/lib/hostguard/before /var/lib/hostguard/keys"),
		map[string]want{
			"SSH-040": fails("hostguard keys enrol"), "SSH-041": fails("hostguard keys enrol"), "SSH-042": fails("hostguard keys enrol"),
			"SSH-043": {checks.NotApplicable, nil}, "SSH-044": {checks.NotApplicable, nil},
		})
	add("others can sign the key ledger",
		commands("chmod 640 /var/lib/hostguard/keys/signing_key"), commands("chmod 600 /var/lib/hostguard/keys/signing_key"),
		map[string]want{"SSH-044": fails("/var/lib/hostguard/keys/signing_key")})

	// TC-05: what a file can show
	apply, undo = edited("/etc/audit/auditd.conf", "disk_full_action = SUSPEND", "disk_full_action = HALT")
	add("a full disk halts the host", apply, undo,
		map[string]want{"AUD-005": fails("/etc/audit/auditd.conf")})

	apply, undo = file("/etc/systemd/system/auditd.service.d/other.conf", "[Service]\nExecStart=\nExecStart=/sbin/auditd -c /etc/audit-lab\n", commands("systemctl daemon-reload"))
	add("auditd is told to read another file", apply, undo,
		map[string]want{"AUD-005": fails("/etc/audit-lab/auditd.conf")})

	// TC-26
	for _, b := range []struct{ rule, name, do, undo, says string }{
		{"LOG-001", "the folder of the logs is the group's to write", "chmod 775 /var/log", "chmod 755 /var/log", "/var/log has the mode 0775"},
		{"LOG-002", "a rotated log is everybody's to read", "install -m 644 /dev/null /var/log/auth.log.1", "rm /var/log/auth.log.1", "/var/log/auth.log.1 has the mode 0644"},
		{"LOG-003", "the journal is everybody's to read", "find /var/log/journal -name system.journal -exec chmod 644 {} +", "find /var/log/journal -name system.journal -exec chmod 640 {} +", "/system.journal has the mode 0644"},
		{"LOG-004", "the audit log is everybody's to read", "chmod 644 /var/log/audit/audit.log", "chmod 640 /var/log/audit/audit.log", "/var/log/audit/audit.log has the mode 0644"},
		{"LOG-005", "failed logins are everybody's to read", "chmod 664 /var/log/btmp", "chmod 660 /var/log/btmp", "/var/log/btmp has the mode 0664"},
		{"LOG-006", "the record of logins is another group's", "chgrp users /var/log/wtmp", "chgrp utmp /var/log/wtmp", "/var/log/wtmp has the group users"},
		{"LOG-007", "a program's log is everybody's to write", "install -D -m 666 /dev/null /var/log/some/app.log", "rm -r /var/log/some", "/var/log/some/app.log has the mode 0666"},
		{"LOG-008", "somebody reads all logs", "gpasswd --add operator adm", "gpasswd --delete operator adm", "operator (adm)"},
	} {
		add(b.name, commands(b.do), commands(b.undo), map[string]want{b.rule: fails(b.says)})
	}

	// TC-10
	add("a file system is full",
		commands("mount -t tmpfs -o size=1m,mode=750 tmpfs /var/log/audit", "install -m 640 /dev/null /var/log/audit/full", "fallocate -l 1000k /var/log/audit/full"), commands("umount /var/log/audit"),
		map[string]want{"STO-001": fails("/var/log/audit")})
	add("a file system has no inodes left",
		commands("mount -t tmpfs -o nr_inodes=10,mode=750 tmpfs /var/log/audit", "mkdir -m 750 /var/log/audit/1 /var/log/audit/2 /var/log/audit/3 /var/log/audit/4 /var/log/audit/5 /var/log/audit/6 /var/log/audit/7 /var/log/audit/8 /var/log/audit/9"),
		commands("umount /var/log/audit"),
		map[string]want{"STO-001": fails("/var/log/audit", "inode")})
	add("the storage watch is stopped",
		commands("systemctl stop df-watch.timer"), commands("systemctl start df-watch.timer"),
		map[string]want{"STO-003": fails("df-watch.timer")})

	// TC-04, TC-11
	add("a web server runs",
		commands("systemctl start nginx.service"), commands("systemctl stop nginx.service"),
		map[string]want{"SVC-001": fails("nginx.service"), "SVC-011": fails("80"), "NET-002": fails("tcp 0.0.0.0:80")})
	add("a web server is started at boot",
		commands("systemctl --quiet enable nginx.service"), commands("systemctl --quiet disable nginx.service"),
		map[string]want{"SVC-001": fails("nginx.service")})
	apply, undo = file("/etc/systemd/system/postgresql.service",
		"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n", commands("systemctl daemon-reload"))
	add("a database is started at boot",
		func(h testHost) { apply(h); commands("systemctl --quiet enable postgresql.service")(h) },
		func(h testHost) { commands("systemctl --quiet disable postgresql.service")(h); undo(h) },
		map[string]want{"SVC-003": fails("/etc/systemd/system/postgresql.service")})
	add("an unknown program listens on all addresses",
		commands("systemd-run --quiet --unit=stray --service-type=exec busybox nc -ll -p 4444 -e /bin/true"), commands("systemctl stop stray.service"),
		map[string]want{"SVC-010": fails("stray.service"), "SVC-011": fails("4444", "stray.service"), "NET-002": fails("4444", "stray.service")})
	strayApply, strayUndo := file("/etc/systemd/system/stray-server.service",
		"[Service]\nExecStart=/bin/busybox nc -ll -p 4445 -e /bin/true\n[Install]\nWantedBy=multi-user.target\n", commands("systemctl daemon-reload"))
	add("an unknown unit runs and is started at boot",
		func(h testHost) { strayApply(h); commands("systemctl --quiet enable --now stray-server.service")(h) },
		func(h testHost) { commands("systemctl --quiet disable --now stray-server.service")(h); strayUndo(h) },
		map[string]want{"SVC-010": fails("stray-server.service"), "SVC-011": fails("4445", "stray-server.service"), "NET-002": fails("4445", "stray-server.service")})

	// TC-16
	list = append(list, networkBreakages()...)
	list = append(list, dockerBreakages()...)

	// TC-24, TC-25
	list = append(list, connectorBreakages()...)

	// TC-17
	list = append(list, certificateBreakages()...)

	// TC-13
	return append(append(list, logsBreakages()...), jobsBreakages()...)
}
