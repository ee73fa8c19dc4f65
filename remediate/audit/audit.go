// Package audit repairs what the checks of the Linux audit find: rules that are
// missing on disk or in the kernel, switches, auditd and its configuration.
//
// What must be recorded is written into one file of /etc/audit/rules.d, loaded
// into the kernel rule by rule, and what auditctl would read at the next boot
// is worked out before anything is written: one bad line would end that load.
package audit

import (
	"slices"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/checks/audit"
	"github.com/hostguard/hostguard/internal/config"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/statedir"
)

// Remediators are the remediators of this family.
var Remediators = []remediate.Remediator{
	{
		Check: "audit-watch",
		Does: "Writes the rules that are missing into " + ownFile + " (behind rules that suppress, into " + lastFile + "), brings audit.rules up to date " +
			"as augenrules does, adds what the kernel lacks one rule at a time, and starts auditd where it is off. A folder in memory gets a line in tmpfiles.d first. Then a fresh process opens a configuration file that is " +
			"watched now, and its event must come (see hostguard canary).",
		WillNot: "It never deletes, moves or replaces a rule of somebody else. It writes no rule that the next boot would not load, or on a path that can " +
			"vanish: a rule on a missing path ends the load. Where a rule that suppresses comes first, or the kernel is locked (a reboot is needed), it says so.",
		Risk:    remediate.Safe,
		Propose: proposeWatch,
	},
	{
		Check: "audit-rules-load",
		Does:  "Writes audit.rules as augenrules does, and adds to the kernel, one at a time, the rules on disk that it lacks.",
		WillNot: "It mends no line that auditctl refuses, neither removes nor persists rules that only the kernel holds, and does not change their order: " +
			"they are an administrator's, who is told.",
		Risk:    remediate.Safe,
		Propose: func(remediate.Case) remediate.Proposal { return change(Load{}) },
	},
	{
		Check: "audit-daemon",
		Does:  "Enables and starts auditd.",
		WillNot: "It installs nothing, unmasks nothing, and does not start auditd while the kernel holds rules that no file has: the start would remove them. " +
			"Processes that are older than auditing stay unrecorded until they are restarted, which is said.",
		Risk:    remediate.Safe,
		Propose: proposeDaemon,
	},
	{
		Check: "audit-daemon-config",
		Does:  "Changes the settings that are wrong in auditd.conf, on their lines, and has auditd read it again (SIGHUP).",
		WillNot: "It never restarts auditd, and it touches no file that auditd refuses as it is: nobody knows what was meant. It asks for no mail and runs no " +
			"program: what gets short is told to syslog.",
		Risk:    remediate.Safe,
		Propose: proposeDaemonConfig,
	},
	{
		Check: "audit-status",
		Does:  "Sets the kernel's switches, and the lines of rules.d that set them otherwise at the next boot; enables auditing, and starts auditd where no program takes the records.",
		WillNot: "It never locks the configuration (-e 2), never lets the kernel panic (-f 2), and does not reset the counter of lost records: that they were lost " +
			"must be understood first. A program that takes the records in auditd's place is not stopped.",
		Risk:    remediate.Safe,
		Propose: proposeStatus,
	},
}

// Standing is what is said whatever the findings.
var Standing = []remediate.Standing{{
	Name:    "audit-blind-processes",
	Does:    "Says that Docker or containers must be restarted, or the host rebooted, where they started before auditing was enabled: the kernel records nothing of them.",
	WillNot: "It restarts nothing.",
	Risk:    remediate.Safe,
	Propose: func(*config.Config) []remediate.Change { return []remediate.Change{blindProcesses{}} },
}}

// Activators are the actions that follow the family's steps.
var Activators = []remediate.Activator{{Action: reread, Do: rereadConfig}, {Action: keepOn, Do: enableAgain}, {Action: tryOut, Do: flyCanary}}

func change(list ...remediate.Change) remediate.Proposal { return remediate.Proposal{Changes: list} }

func proposeWatch(c remediate.Case) remediate.Proposal {
	params, ok := c.Finding.Repair.(audit.WatchParams)
	// Of what is not there, a transaction brings along our own folder alone.
	if !ok || c.Finding.Status == checks.NotApplicable && !slices.Contains(params.Paths, statedir.Path) {
		return remediate.Proposal{}
	}
	return change(Cover{c.Finding.Rule, params})
}

// installAuditd is what a person does where there is no auditd.
const installAuditd = "apt-get install auditd: hostguard installs no packages"

func proposeDaemon(c remediate.Case) remediate.Proposal {
	if r, ok := c.Finding.Repair.(audit.DaemonRepair); ok && r.Installed {
		return change(Daemon{})
	}
	return remediate.Proposal{Person: []string{installAuditd}}
}

func proposeDaemonConfig(c remediate.Case) remediate.Proposal {
	r, ok := c.Finding.Repair.(audit.DaemonConfigRepair)
	if !ok || r.Refused {
		return remediate.Proposal{} // the hint says more
	}
	return change(DaemonConfig{r.File, r.Options})
}

func proposeStatus(c remediate.Case) remediate.Proposal {
	r, ok := c.Finding.Repair.(audit.StatusRepair)
	if !ok {
		return remediate.Proposal{}
	}
	p := remediate.Proposal{Person: r.Person}
	if r.Daemon {
		p.Changes = append(p.Changes, Daemon{})
	}
	for _, s := range r.Switches {
		p.Changes = append(p.Changes, Switch{s})
	}
	return p
}
