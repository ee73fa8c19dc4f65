package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
)

type daemonConfigParams struct {
	MaxLogFileAction     []string `yaml:"max_log_file_action" doc:"What auditd may do when its log file is full."`
	SpaceLeftAction      []string `yaml:"space_left_action" doc:"What auditd may do when space gets short; each must be noticed by somebody."`
	AdminSpaceLeftAction []string `yaml:"admin_space_left_action" doc:"What auditd may do when space is nearly gone."`
	DiskFullAction       []string `yaml:"disk_full_action" doc:"What auditd may do when the disk is full."`
	DiskErrorAction      []string `yaml:"disk_error_action" doc:"What auditd may do when the disk fails."`
	MinLogs              int      `yaml:"min_logs" doc:"How many log files are kept when they are rotated."`
}

var defaultDaemonConfig = daemonConfigParams{
	MaxLogFileAction:     []string{"rotate", "keep_logs"},
	SpaceLeftAction:      []string{"syslog", "email", "exec"},
	AdminSpaceLeftAction: []string{"syslog", "email", "exec", "rotate", "suspend"},
	DiskFullAction:       []string{"syslog", "exec", "rotate", "suspend"},
	DiskErrorAction:      []string{"syslog", "exec", "suspend"},
	MinLogs:              2,
}

// programs that are auditd, where distributions put it.
var daemonFiles = []string{"/usr/sbin/auditd", "/sbin/auditd"}

func daemonConfig(ctx context.Context, h *host.Host, p daemonConfigParams) (checks.Verdict, error) {
	installed := false
	for _, f := range daemonFiles {
		there, err := h.Exists(f)
		if err != nil {
			return checks.Verdict{}, fmt.Errorf("cannot tell whether auditd is installed: %w", err)
		}
		installed = installed || there
	}
	if !installed {
		return checks.Inapplicable("auditd is not installed."), nil
	}
	conf, err := h.AuditdConf(ctx)
	var refused *auditrule.LineError
	if errors.As(err, &refused) {
		v := checks.Failed("auditd refuses its configuration: it does not start with it.",
			at(refused.Pos, "auditd.conf", "a configuration that auditd takes", refused.Reason))
		v.Repair = DaemonConfigRepair{File: refused.Pos.File, Refused: true}
		return v, nil
	}
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeDaemonConfig(conf, p), nil
}

// judgeDaemonConfig wants records written, and a full disk neither to stop the
// host nor to end recording unseen.
func judgeDaemonConfig(conf host.AuditdConf, p daemonConfigParams) checks.Verdict {
	var seen, wrong []checks.Evidence
	repair := DaemonConfigRepair{File: conf.File}
	note := func(name string, s auditrule.DaemonSetting, ok bool, want, value string) {
		got := s.Value
		if s.Pos.Line == 0 {
			got += " (auditd's default)"
		}
		e := checks.Evidence{Source: conf.File, Line: s.Pos.Line, Key: name, Got: got}
		if ok {
			seen = append(seen, e)
			return
		}
		e.Want = want
		wrong = append(wrong, e)
		repair.Options = append(repair.Options, DaemonOption{name, value})
	}
	oneOf := func(name string, allowed []string) {
		s := conf.Get(name)
		ok := slices.ContainsFunc(allowed, func(a string) bool { return strings.EqualFold(a, s.Value) })
		value := preferred[name]
		if !slices.ContainsFunc(allowed, func(a string) bool { return strings.EqualFold(a, value) }) && len(allowed) > 0 {
			value = allowed[0]
		}
		note(name, s, ok, "one of "+strings.Join(allowed, ", "), value)
	}
	oneOf("write_logs", []string{"yes"})
	oneOf("local_events", []string{"yes"})
	oneOf("log_format", []string{"raw", "enriched"})
	oneOf("max_log_file_action", p.MaxLogFileAction)
	logs := conf.Get("num_logs")
	n, err := strconv.Atoi(logs.Value)
	enough, kept := err == nil && n >= p.MinLogs, strconv.Itoa(max(5, p.MinLogs))
	switch s := conf.Get("max_log_file_action"); {
	case strings.EqualFold(s.Value, "rotate"):
		note("num_logs", logs, enough, "at least "+strconv.Itoa(p.MinLogs)+": with fewer nothing is rotated and the log grows", kept)
	case repair.sets("max_log_file_action", "rotate") && !enough:
		repair.Options = append(repair.Options, DaemonOption{"num_logs", kept})
	}
	oneOf("space_left_action", p.SpaceLeftAction)
	space := conf.Get("space_left")
	note("space_left", space, space.Value != "0" && space.Value != "0%", "more than 0: else the warning never comes", spaceLeftFor(conf.DaemonConf))
	oneOf("admin_space_left_action", p.AdminSpaceLeftAction)
	oneOf("disk_full_action", p.DiskFullAction)
	oneOf("disk_error_action", p.DiskErrorAction)
	if len(wrong) == 0 {
		return checks.Passed(seen...)
	}
	v := checks.Failed("A full or failing disk ends recording unseen, stops the host, or records are not written at all.", wrong...)
	v.Repair = repair
	return v
}
