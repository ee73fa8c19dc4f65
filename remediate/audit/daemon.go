package audit

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/hostguard/hostguard/checks/audit"
	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/auditrules"
	"github.com/hostguard/hostguard/remediate/unitstate"
)

const unit = "auditd.service"

// Daemon wants auditd to run, now and after the next boot.
type Daemon struct{}

// Resolve implements remediate.Change.
func (Daemon) Resolve(ctx context.Context, h *host.Host, d *remediate.Draft) error {
	f, files, err := foreseen(ctx, h, d)
	if err != nil {
		return err
	}
	_, err = f.started(files)
	return err
}

// started wants auditd to be started at boot and to run now. It is false where
// a person must do something first, who is told.
func (f *rulesFiles) started(files host.AuditFiles) (ok bool, err error) {
	units, err := f.h.UnitFiles(f.ctx)
	if err != nil {
		return false, err
	}
	file, err := units.Unit(unit)
	switch {
	case err != nil:
		return false, err
	case strings.HasPrefix(file.State, "masked"):
		f.d.Person("systemctl unmask %s: somebody has masked it, and must say whether that was meant", unit)
		return false, nil
	case file.Path == "":
		f.d.Person(installAuditd)
		return false, nil
	}
	atBoot := units.AtBoot()
	want, wants := unitstate.Want{}, map[string]unitstate.Want{}
	if atBoot[file.ID] == "" {
		want.Enabled = unitstate.On.Enabled
	} else if !slices.ContainsFunc(files.Loaders, func(l host.AuditLoader) bool { return atBoot[l.Unit] != "" }) {
		for _, l := range files.Loaders { // since audit 4 a unit of its own loads the rules
			wants[l.Unit] = unitstate.Want{Enabled: unitstate.On.Enabled}
		}
	}
	if f.d.Running() {
		s, err := f.h.AuditStatus(f.ctx)
		if err != nil {
			return false, err
		}
		if s.PID == 0 { // nobody takes the records
			want.Active = unitstate.On.Active
			if ok, err := f.mayStart(s, files); err != nil || !ok {
				return false, err
			}
		}
	}
	if want != (unitstate.Want{}) {
		wants[unit] = want
	}
	return true, unitstate.Ensure(f.ctx, f.h, f.d, wants, nil)
}

// mayStart prepares the start of auditd: with it the rules on disk come into
// the kernel in the place of all others. They are loaded before, one by one, so
// that undo takes them out again and puts the switches back.
func (f *rulesFiles) mayStart(s host.AuditStatus, files host.AuditFiles) (ok bool, err error) {
	held, err := f.h.AuditLoaded(f.ctx)
	if err != nil {
		return false, err
	}
	if _, extra := audit.Difference(files.Boot.Rules, held); len(extra) > 0 {
		f.d.Person("the kernel holds %d rules that no file has, and the start of auditd removes them: write them into %s or delete them, such as %s",
			len(extra), host.AuditRulesDir, extra[0].Exact())
		return false, nil
	}
	if s.Enabled == 2 {
		return true, nil
	}
	if s.Enabled == 1 {
		f.d.Activate(keepOn, "") // auditd turns it off when it is stopped
	}
	before, err := f.h.AuditFiles(f.ctx) // what is written now, each change loads by itself
	if err != nil {
		return false, err
	}
	lacking, _ := audit.Difference(before.Boot.Rules, held)
	rules := make([]auditrule.Rule, 0, len(lacking))
	for _, r := range lacking {
		rules = append(rules, *r)
	}
	for _, b := range []struct{ option, name string }{
		{"f", "failure"}, {"b", "backlog_limit"}, {"r", "rate_limit"}, {"backlog_wait_time", "backlog_wait_time"},
	} {
		value, set := files.Boot.Settings[b.option]
		n, err := strconv.ParseUint(value, 10, 32)
		if !set || err != nil || b.option == "f" && n > 1 {
			continue
		}
		if err := f.set(b.name, uint32(n)); err != nil {
			return false, err
		}
	}
	return true, f.load(rules)
}

// enabled wants the kernel to record where auditd runs and auditing is off; the
// start of auditd enables it.
func (f *rulesFiles) enabled() error {
	s, err := f.h.AuditStatus(f.ctx)
	if err != nil || s.Enabled != 0 || s.PID == 0 {
		return err
	}
	return f.set("enabled", 1)
}

// keepOn is the action that leaves auditing on, as it was.
const keepOn = "audit-on"

// enableAgain enables auditing where it was on before auditd was started or
// stopped.
func enableAgain(ctx context.Context, _ string) error {
	now, err := remediate.Encode(auditrules.SettingState{Value: 1})
	if err != nil {
		return err
	}
	thing := remediate.Thing{Root: "/", Target: "enabled"}
	before, err := auditrules.Setting.Observe(ctx, thing)
	if err != nil {
		return err
	}
	return auditrules.Setting.Move(ctx, thing, before, now)
}

// Switch wants a switch of the kernel's audit to have a value.
type Switch struct{ audit.Switch }

// Resolve implements remediate.Change.
func (s Switch) Resolve(ctx context.Context, h *host.Host, d *remediate.Draft) error {
	f, files, err := foreseen(ctx, h, d)
	if err != nil {
		return err
	}
	if err := s.persist(f, files); err != nil {
		return err
	}
	if !s.Now || !d.Running() {
		return nil
	}
	status, err := h.AuditStatus(ctx)
	if err != nil {
		return err
	}
	if status.Enabled == 2 {
		f.locked()
		return nil
	}
	return f.set(s.Name, s.Value)
}

// persist changes the line that sets the switch at boot. One that no line sets
// keeps the kernel's default, which is what is wrong: it gets a line.
func (s Switch) persist(f *rulesFiles, files host.AuditFiles) error {
	value, set := files.Boot.Settings[s.Option]
	want := fmt.Sprint(s.Value)
	switch {
	case s.Option == "e", value == want, set && !s.Boot:
		return nil
	case files.Persisted() != host.AuditRulesDir:
		f.d.Person("set -%s %s in %s, which hostguard does not write", s.Option, want, files.Persisted())
		return nil
	}
	at := files.Boot.Places[s.Option]
	var err error
	switch {
	case !set:
		err = f.append(ownFile, []string{"-" + s.Option + " " + want})
	case path.Dir(at.File) == host.AuditRulesDir:
		err = f.edit(at.File, func(old []byte) []byte { return setOption(old, at.Line, s.Option, s.Value) })
	}
	if err != nil {
		return err
	}
	if files, err = f.imagined(); err != nil {
		return err
	}
	if files.Boot.Settings[s.Option] != want {
		return fmt.Errorf("the next boot would set -%s %s all the same (%v)", s.Option, files.Boot.Settings[s.Option], files.Boot.Places[s.Option])
	}
	return f.generate()
}

// blindProcesses tells of processes that the kernel cannot record.
type blindProcesses struct{}

// Resolve implements remediate.Change.
func (blindProcesses) Resolve(ctx context.Context, h *host.Host, d *remediate.Draft) error {
	if !d.Running() || h.Lacks(ctx, host.Root|host.AuditNetlink) != nil {
		return nil
	}
	blind, err := audit.Blind(ctx, h)
	if err != nil || len(blind) == 0 {
		return nil // AUD-007 says so
	}
	slices.Sort(blind)
	d.Pending(remediate.Restart, "nothing shows that the kernel records %s, which started before auditing was known to be enabled: "+
		"systemctl restart containerd.service docker.service (containers stop unless live-restore is on), or reboot", strings.Join(slices.Compact(blind), ", "))
	return nil
}
