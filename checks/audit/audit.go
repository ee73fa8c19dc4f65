// Package audit looks at the Linux audit: whether the kernel records, whether
// auditd keeps what is recorded, and whether the rules cover what they must,
// now and after the next boot.
package audit

import (
	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
)

// Checks are the checks of this family.
var Checks = []checks.Check{
	{
		Name:    "audit-status",
		Looks:   "The kernel's audit status by netlink (enabled, failure mode, lost records, backlog, rate limit), which program takes the records, and what the rules of the next boot set of this.",
		Blind:   "Whether records that were taken reached the disk, and records lost before the counter was last reset.",
		Needs:   host.Running | host.Root | host.AuditNetlink,
		Binding: checks.Params(defaultStatus, status),
	},
	{
		Name:    "audit-daemon",
		Looks:   "The unit auditd.service: its file and links on disk, by which the next boot goes, and its state in the running systemd.",
		Blind:   "An auditd that is started by something else than its unit. In a file tree: whether it runs.",
		Needs:   host.Root,
		Binding: checks.NoParams(daemon),
	},
	{
		Name:    "audit-daemon-config",
		Looks:   "The settings of /etc/audit/auditd.conf with auditd's own defaults where nothing is written.",
		Blind:   "Changes since auditd last read the file, and whether mail or a program that it names works.",
		Needs:   host.Root,
		Binding: checks.Params(defaultDaemonConfig, daemonConfig),
	},
	{
		Name: "audit-watch",
		Looks: "For each path whether the kernel's audit rules (netlink) record the wanted access by every program, and whether the rules " +
			"that the next boot loads (rules.d merged as augenrules does) will; rules are compared as structures, in the kernel's order.",
		Blind: "Operations through io_uring and file handles, the 32-bit socketcall, access by another hard link, and folders that were " +
			"replaced after a rule was loaded. Containers' own file systems are not looked at. Where a rootless docker keeps its files is its user's word. " +
			"A tree is taken to be of this machine's architecture.",
		Needs:   host.Root,
		Binding: checks.Params(defaultWatch, watch),
	},
	{
		Name: "audit-rules-load",
		Looks: "What loads the rules at boot, each line as auditctl would read it on this host, whether audit.rules is what augenrules would write, " +
			"and whether the kernel holds the same rules.",
		Blind:   "Commands that load rules from elsewhere than auditd's units.",
		Needs:   host.Root,
		Binding: checks.NoParams(rulesLoad),
	},
	{
		Name: "audit-process-age",
		Looks: "Whether processes started after auditing was first enabled: the kernel records nothing of older ones, whatever the rules say. " +
			"Shown by audit=1 on the kernel's command line or by auditd having been up before them.",
		Blind:   "Auditing that was enabled before the auditd that runs now was started: such processes are reported although they may be recorded.",
		Needs:   host.Running | host.Root | host.AuditNetlink,
		Binding: checks.Params(defaultProcessAge, processAge),
	},
}

// kernelRules is where loaded rules are seen.
const kernelRules = "kernel audit rules"

// at is evidence of a place in a file or, without one, of the kernel.
func at(pos auditrule.Pos, key, want, got string) checks.Evidence {
	if pos.File == "" {
		return checks.Evidence{Source: kernelRules, Key: key, Want: want, Got: got}
	}
	return checks.Evidence{Source: pos.File, Line: pos.Line, Key: key, Want: want, Got: got}
}
