package audit

import (
	"slices"
	"strconv"
	"strings"

	"github.com/hostguard/hostguard/internal/auditrule"
)

// What a failing verdict of a check of this family has for who repairs it, in
// checks.Verdict.Repair. Of audit-watch it is the rule's WatchParams.

// DaemonRepair is what lacks of auditd.
type DaemonRepair struct {
	Installed bool
}

// StatusRepair is what is wrong with the kernel's audit status.
type StatusRepair struct {
	Daemon   bool // no program takes the records
	Switches []Switch
	Person   []string // what only a person can find out or decide
}

// Switch is a setting of the kernel's audit that is wrong now, or that the
// next boot sets wrongly.
type Switch struct {
	Name   string // as auditctl -s prints it: "backlog_limit"
	Option string // of auditctl(8): "b"
	Value  uint32 // wanted
	Now    bool   // the kernel has another one
	Boot   bool   // the next boot sets another one
}

// DaemonConfigRepair is what is wrong in auditd.conf.
type DaemonConfigRepair struct {
	File    string
	Options []DaemonOption // in the order of the verdict
	Refused bool           // auditd does not start with the file as it is
}

// DaemonOption is one setting of auditd.conf with the value that it should have.
type DaemonOption struct{ Name, Value string }

func (r DaemonConfigRepair) sets(name, value string) bool {
	return slices.ContainsFunc(r.Options, func(o DaemonOption) bool { return o.Name == name && strings.EqualFold(o.Value, value) })
}

// repairStatus gathers what must be set.
func repairStatus(r *StatusRepair, aspect string, p statusParams, now bool) {
	for _, s := range []struct {
		aspect string
		Switch
	}{
		{"failure", Switch{Name: "failure", Option: "f", Value: failureMode(p.FailureModes)}},
		{"backlog", Switch{Name: "backlog_limit", Option: "b", Value: uint32(p.MinBacklogLimit)}},
		{"rate", Switch{Name: "rate_limit", Option: "r"}},
	} {
		if s.aspect != aspect {
			continue
		}
		at := -1
		for i := range r.Switches {
			if r.Switches[i].Name == s.Name {
				at = i
			}
		}
		if at < 0 {
			at = len(r.Switches)
			r.Switches = append(r.Switches, s.Switch)
		}
		r.Switches[at].Now = r.Switches[at].Now || now
		r.Switches[at].Boot = r.Switches[at].Boot || !now
	}
}

// failureMode is the kernel's number of the first mode that is allowed and does
// not panic.
func failureMode(allowed []string) uint32 {
	for _, mode := range allowed {
		for n, name := range failureModes {
			if mode == name && name != "panic" {
				return uint32(n)
			}
		}
	}
	return 1
}

// preferred are the values that are set in auditd.conf, where they are allowed:
// those of the hint of AUD-005, which keep recording as long as that harms
// nothing, and tell of it.
var preferred = map[string]string{
	"write_logs": "yes", "local_events": "yes", "log_format": "ENRICHED", "max_log_file_action": "ROTATE",
	"space_left_action": "SYSLOG", "admin_space_left_action": "SUSPEND", "disk_full_action": "SUSPEND", "disk_error_action": "SUSPEND",
}

// spaceLeftFor is a space_left that auditd takes beside its admin_space_left:
// a percentage is never compared with a number of MiB.
func spaceLeftFor(conf auditrule.DaemonConf) string {
	const usual = 75
	admin, err := strconv.Atoi(conf.Get("admin_space_left").Value)
	if err == nil && admin >= usual {
		return strconv.Itoa(admin + usual)
	}
	return strconv.Itoa(usual)
}
