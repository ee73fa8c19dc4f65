package audit

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
)

// aspects of the kernel's status that a rule can ask for.
var aspects = []string{"enabled", "collector", "lost", "failure", "backlog", "rate"}

type statusParams struct {
	Aspects         []string `yaml:"aspects" doc:"What is judged: enabled, collector, lost, failure, backlog, rate."`
	Collectors      []string `yaml:"collectors" doc:"Programs that may take the records, by file name."`
	FailureModes    []string `yaml:"failure_modes" doc:"What the kernel may do when it cannot record: silent, printk, panic."`
	MaxLost         int      `yaml:"max_lost" doc:"How many records may have been lost since boot."`
	MinBacklogLimit int      `yaml:"min_backlog_limit" doc:"How many records must be able to wait."`
}

var defaultStatus = statusParams{
	Aspects: aspects, Collectors: []string{"auditd"}, FailureModes: []string{"printk"}, MinBacklogLimit: 8192,
}

func (p statusParams) Validate() error {
	for _, a := range p.Aspects {
		if !slices.Contains(aspects, a) {
			return fmt.Errorf("aspects: there is no %q: want some of %v", a, aspects)
		}
	}
	for _, m := range p.FailureModes {
		if !slices.Contains(failureModes, m) {
			return fmt.Errorf("failure_modes: there is no %q: want some of %v", m, failureModes)
		}
	}
	return nil
}

// failureModes by the kernel's number.
var failureModes = []string{"silent", "printk", "panic"}

// collector is the program that takes the kernel's records.
type collector struct {
	PID int
	Exe string
}

func status(ctx context.Context, h *host.Host, p statusParams) (checks.Verdict, error) {
	s, err := h.AuditStatus(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	c := collector{PID: int(s.PID)}
	if s.PID != 0 && slices.Contains(p.Aspects, "collector") {
		processes, err := h.Processes(ctx)
		if err != nil {
			return checks.Verdict{}, fmt.Errorf("cannot tell which program takes the audit records: %w", err)
		}
		process, there := processes[c.PID]
		if !there {
			return checks.Verdict{}, fmt.Errorf("cannot tell which program takes the audit records: process %d is gone", c.PID)
		}
		c.Exe = process.Exe
	}
	v := judgeStatus(s, c, p)
	if !slices.ContainsFunc(p.Aspects, func(a string) bool { return bootOptions[a] != "" }) {
		return v, nil
	}
	files, err := h.AuditFiles(ctx)
	if err != nil {
		return checks.Verdict{Evidence: v.Evidence}, fmt.Errorf("cannot tell what the next boot sets: %w", err)
	}
	return withNextBoot(v, files.Boot, p), nil
}

// bootOptions are the options of auditctl(8) that set an aspect at boot.
var bootOptions = map[string]string{"backlog": "b", "failure": "f", "rate": "r"}

// withNextBoot adds to a verdict on the kernel's status what the rules that the
// next boot loads make of it.
func withNextBoot(v checks.Verdict, boot auditrule.Loaded, p statusParams) checks.Verdict {
	var wrong []checks.Evidence
	repair, _ := v.Repair.(StatusRepair)
	for _, aspect := range p.Aspects {
		option := bootOptions[aspect]
		value, set := boot.Settings[option]
		if !set {
			continue
		}
		n, err := strconv.ParseUint(value, 10, 32)
		ok, want := err == nil, ""
		switch aspect {
		case "backlog":
			ok, want = ok && (n == 0 || n >= uint64(p.MinBacklogLimit)), fmt.Sprintf("-b %d or more", p.MinBacklogLimit)
		case "rate":
			ok, want = ok && n == 0, "-r 0 or none"
		case "failure":
			ok, want = ok && n < uint64(len(failureModes)) && slices.Contains(p.FailureModes, failureModes[n]), fmt.Sprintf("one of %v", p.FailureModes)
		}
		if !ok {
			wrong = append(wrong, at(boot.Places[option], aspect+" at the next boot", want, "-"+option+" "+value))
			repairStatus(&repair, aspect, p, false)
		}
	}
	switch {
	case wrong == nil:
		return v
	case v.Status == checks.Fail:
		v.Evidence = append(wrong, v.Evidence...)
	default:
		v = checks.Failed("The next boot sets what the kernel's audit must not be set to.", append(wrong, v.Evidence...)...)
	}
	v.Repair = repair
	return v
}

const statusSource = "kernel audit status"

// judgeStatus compares the kernel's status with what is wanted of it.
func judgeStatus(s host.AuditStatus, c collector, p statusParams) checks.Verdict {
	var seen, wrong []checks.Evidence
	var repair StatusRepair
	note := func(aspect string, ok bool, key, want, got string) {
		if !slices.Contains(p.Aspects, aspect) {
			return
		}
		if ok {
			seen = append(seen, checks.Evidence{Source: statusSource, Key: key, Got: got})
			return
		}
		wrong = append(wrong, checks.Evidence{Source: statusSource, Key: key, Want: want, Got: got})
		repairStatus(&repair, aspect, p, true)
		switch {
		case (aspect == "enabled" || aspect == "collector") && c.PID == 0:
			repair.Daemon = true // it enables auditing, too
		case aspect == "enabled":
			repair.Switches = append(repair.Switches, Switch{Name: "enabled", Option: "e", Value: 1, Now: true})
		case aspect == "collector":
			repair.Person = append(repair.Person, fmt.Sprintf("stop %s, which takes the audit records in place of auditd, and start auditd.service", c.Exe))
		case aspect == "lost":
			repair.Person = append(repair.Person, "find out what made more records than could be kept (aureport -k -i), then reset the counter with auditctl --reset-lost")
		}
	}
	enabled := map[uint32]string{0: "0 (off)", 1: "1 (on)", 2: "2 (on, locked until the next boot)"}[s.Enabled]
	if enabled == "" {
		enabled = fmt.Sprint(s.Enabled)
	}
	note("enabled", s.Enabled == 1 || s.Enabled == 2, "enabled", "1 or 2", enabled)
	taker := "no program: records go to the kernel log"
	if c.PID != 0 {
		taker = fmt.Sprintf("%s (pid %d)", c.Exe, c.PID)
	}
	note("collector", c.PID != 0 && slices.Contains(p.Collectors, path.Base(c.Exe)), "pid", fmt.Sprintf("one of %v", p.Collectors), taker)
	note("lost", uint64(s.Lost) <= uint64(p.MaxLost), "lost", "at most "+strconv.Itoa(p.MaxLost), fmt.Sprint(s.Lost))
	mode := fmt.Sprint(s.Failure)
	if int(s.Failure) < len(failureModes) {
		mode = failureModes[s.Failure]
	}
	note("failure", slices.Contains(p.FailureModes, mode), "failure", fmt.Sprintf("one of %v", p.FailureModes), mode)
	note("backlog", s.BacklogLimit == 0 || uint64(s.BacklogLimit) >= uint64(p.MinBacklogLimit), "backlog_limit",
		"at least "+strconv.Itoa(p.MinBacklogLimit), fmt.Sprint(s.BacklogLimit))
	note("rate", s.RateLimit == 0, "rate_limit", "0 (no limit)", fmt.Sprint(s.RateLimit))
	if len(wrong) == 0 {
		return checks.Passed(seen...)
	}
	v := checks.Failed(statusReasons[wrong[0].Key], append(wrong, seen...)...)
	v.Repair = repair
	return v
}

var statusReasons = map[string]string{
	"enabled":       "The kernel does not record: auditing is off, whatever rules are loaded.",
	"pid":           "No audit daemon takes the kernel's records.",
	"lost":          "The kernel has lost audit records since it was started.",
	"failure":       "The kernel's reaction to records that it cannot keep is not the wanted one.",
	"backlog_limit": "Too few audit records can wait: a burst of events loses some.",
	"rate_limit":    "The kernel drops audit records above a rate.",
}
