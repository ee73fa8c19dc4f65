package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
)

// State is where a rule stands among rules.d, audit.rules and the kernel.
type State string

// States of a rule, from where it should be everywhere to where it is.
const (
	InAllThree   State = "in all three"
	OnDisk       State = "on disk" // in both files; the kernel was not looked at
	NotLoaded    State = "not loaded"
	NotPersisted State = "not persisted"
	Stale        State = "stale" // rules.d and audit.rules differ about it
	Shadowed     State = "shadowed"
)

// Picture is the audit rules as the files and the kernel have them.
type Picture struct {
	Files     host.AuditFiles
	Status    host.AuditStatus // of the kernel
	KernelErr error            // why the kernel's rules cannot be seen; host.ErrNotRunning of a tree
	Loaded    []auditrule.Rule // the kernel's, in its order
	Idle      string           // why the next boot loads no rules at all; empty: it loads some
	IdleErr   error            // why that cannot be told
	Rules     []Pictured       // of all three, in the order of the files, then of the kernel
	Settings  []Setting
}

// Pictured is one rule and where it is.
type Pictured struct {
	State      State
	Rule       *auditrule.Rule
	RulesD     auditrule.Pos // zero: not there
	Generated  auditrule.Pos // in audit.rules; zero: not there
	Kernel     bool
	ShadowedBy *auditrule.Rule // an earlier rule that decides in its place; nil: none
	Why        string          // why the next boot does not load it; empty: it does, or nothing is written
}

// Setting is one switch of the rules files and what the kernel has.
type Setting struct {
	Name   string // as auditctl -s prints it: "failure"
	Value  string // the next boot's; empty: it is not set
	Pos    auditrule.Pos
	Kernel string // empty: not looked at
}

// Compare makes the picture. Of the kernel's side what cannot be seen is in
// KernelErr; an error is that the files cannot be read.
func Compare(ctx context.Context, h *host.Host) (Picture, error) {
	var p Picture
	var err error
	if p.Files, err = h.AuditFiles(ctx); err != nil {
		return p, err
	}
	p.Idle, p.IdleErr = NotStarted(ctx, h, p.Files)
	if p.Status, p.KernelErr = h.AuditStatus(ctx); p.KernelErr == nil {
		p.Loaded, p.KernelErr = h.AuditLoaded(ctx)
	}
	views, err := h.AuditViews(ctx)
	if err != nil {
		return p, err
	}
	view := views.Boot
	if views.Loaded != nil {
		view = views.Loaded
	}
	env, err := h.AuditEnv(ctx)
	if err != nil {
		return p, err
	}
	p.Rules = compare(p.Files, p.Loaded, p.KernelErr == nil, env, view.Shadows())
	p.Settings = settings(p.Files.Boot, p.Status, p.KernelErr == nil)
	return p, nil
}

// NotStarted reports which of the units that load rules the next boot does not
// start, in a sentence; it is empty when one that loads them is started.
func NotStarted(ctx context.Context, h *host.Host, files host.AuditFiles) (string, error) {
	units, err := h.UnitFiles(ctx)
	if err != nil {
		return "", fmt.Errorf("cannot tell whether the next boot loads the audit rules: %w", err)
	}
	started := units.AtBoot()
	var idle []string
	for _, l := range files.Loaders {
		if started[l.Unit] != "" {
			return "", nil
		}
		idle = append(idle, l.Unit)
	}
	if len(idle) == 0 {
		return "nothing loads rules at boot", nil
	}
	return "the next boot does not start " + strings.Join(idle, ", ") + ": no rules are loaded", nil
}

// compare matches the rules of the three places.
func compare(files host.AuditFiles, loaded []auditrule.Rule, seen bool, env auditrule.Env, shadows map[*auditrule.Rule]*auditrule.Rule) []Pictured {
	var list []Pictured
	merged, generated := written(files.Merged.Lines, env), written(files.Generated, env)
	usesDir := files.HasDir
	if !usesDir {
		merged = generated // nothing else is asked for
	}
	byIdentity := map[uint64][]int{}
	// place finds the entry of a rule that is free for this place, or makes one.
	place := func(r *auditrule.Rule, free func(*Pictured) bool) *Pictured {
		identity := r.Identity()
		for _, at := range byIdentity[identity] {
			if free(&list[at]) && list[at].Rule.Equal(r) {
				return &list[at]
			}
		}
		byIdentity[identity] = append(byIdentity[identity], len(list))
		list = append(list, Pictured{Rule: r})
		return &list[len(list)-1]
	}
	for i := range merged {
		p := place(&merged[i], func(p *Pictured) bool { return p.RulesD.File == "" })
		p.RulesD = merged[i].Pos
	}
	for i := range generated {
		p := place(&generated[i], func(p *Pictured) bool { return p.Generated.File == "" })
		p.Generated = generated[i].Pos
	}
	boot := map[auditrule.Pos]*auditrule.Rule{} // the next boot's, by place
	for i := range files.Boot.Rules {
		boot[files.Boot.Rules[i].Pos] = &files.Boot.Rules[i]
	}
	for i := range loaded {
		p := place(&loaded[i], func(p *Pictured) bool { return !p.Kernel })
		p.Kernel = true
		p.ShadowedBy = shadows[&loaded[i]]
	}
	for i := range list {
		p := &list[i]
		at := p.RulesD
		if at.File == "" {
			at = p.Generated
		}
		if !seen {
			p.ShadowedBy = shadows[boot[at]]
		}
		if at.File != "" && boot[at] == nil {
			p.Why = whyNotLoaded(files, at)
		}
		if p.State = p.state(seen); !usesDir {
			p.RulesD = auditrule.Pos{}
		}
	}
	return list
}

// written are the rules that lines add, whether or not they load.
func written(lines []auditrule.Text, env auditrule.Env) []auditrule.Rule {
	var rules []auditrule.Rule
	for _, text := range lines {
		if line, err := auditrule.ParseLine(text.Text, text.Pos, env); err == nil && line.Kind == auditrule.Add {
			rules = append(rules, line.Rule)
		}
	}
	return rules
}

// whyNotLoaded says why a rule that is written is not among those that the
// next boot loads.
func whyNotLoaded(files host.AuditFiles, at auditrule.Pos) string {
	for _, refused := range files.Boot.Refused {
		if refused.Pos == at {
			return refused.Reason
		}
	}
	switch {
	case files.HasDir && at.File == host.AuditRulesFile:
		return "augenrules writes the file anew, without it"
	case files.Boot.Stopped != nil:
		return "the load ends before, at " + files.Boot.Stopped.Error()
	case len(files.Loaders) == 0:
		return "nothing loads rules at boot"
	case files.Problem != "":
		return files.Problem
	}
	return "a later line removes it, or nothing reads its file"
}

func (p *Pictured) state(kernelSeen bool) State {
	dir, file := p.RulesD.File != "", p.Generated.File != ""
	switch {
	case !dir && !file:
		return NotPersisted
	case dir && !p.Kernel && kernelSeen:
		return NotLoaded
	case dir != file:
		return Stale
	case p.Why != "":
		return NotPersisted // it is loaded now, and the next boot leaves it out
	case p.ShadowedBy != nil:
		return Shadowed
	case !kernelSeen:
		return OnDisk
	}
	return InAllThree
}

// BootSettings are the switches that the next boot sets.
func BootSettings(boot auditrule.Loaded) []Setting { return settings(boot, host.AuditStatus{}, false) }

// settings compares the switches that are written with the kernel's status.
func settings(boot auditrule.Loaded, s host.AuditStatus, seen bool) []Setting {
	var list []Setting
	for _, each := range []struct {
		option, name string
		now          uint32
	}{
		{"e", "enabled", s.Enabled}, {"f", "failure", s.Failure}, {"r", "rate_limit", s.RateLimit},
		{"b", "backlog_limit", s.BacklogLimit}, {"backlog_wait_time", "backlog_wait_time", s.BacklogWaitTime},
	} {
		v := Setting{Name: each.name, Value: boot.Settings[each.option], Pos: boot.Places[each.option]}
		if seen {
			v.Kernel = fmt.Sprint(each.now)
		}
		list = append(list, v)
	}
	return list
}

// Unseen says what of the picture could not be found out; nil when all was.
func (p Picture) Unseen() error {
	errs := []error{BootDoubts(p.Files), p.IdleErr}
	if p.KernelErr != nil && !errors.Is(p.KernelErr, host.ErrNotRunning) {
		errs = append(errs, fmt.Errorf("cannot see the rules that the kernel holds: %w", p.KernelErr))
	}
	return errors.Join(errs...)
}

// BootDoubts says what of the next boot's load cannot be told; nil: nothing.
func BootDoubts(files host.AuditFiles) error {
	var errs []error
	if list := files.Merged.Doubts; len(list) > 0 {
		errs = append(errs, fmt.Errorf("cannot tell what augenrules makes of %s: %s", host.AuditRulesDir, strings.Join(list, "; ")))
	}
	if d := files.Boot.Doubt; d != nil {
		errs = append(errs, fmt.Errorf("cannot tell whether a line loads: %w", d))
	}
	return errors.Join(errs...)
}
