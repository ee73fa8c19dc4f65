package units

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/unitfile"
)

var unitState = checks.Check{
	Name: "unit-state",
	Looks: "At the state of units in the running systemd, over D-Bus, and at the unit files and links on disk that the next boot " +
		"will go by: a unit counts as enabled when following these from default.target leads to it. " +
		"Under --root only the files can be seen.",
	Blind: "Another target chosen on the kernel command line, conditions inside units (ConditionPathExists= …), units that " +
		"generators make only while booting (under --root), and whether an active service does its work.",
	Binding: checks.Params(stateParams{}, probeState),
}

type stateParams struct {
	Unit    string   `yaml:"unit" doc:"The unit, with its suffix; of a template such as foo@.service any instance counts."`
	AnyOf   []string `yaml:"any_of" doc:"Alternatives to it: one of all must be as wanted."`
	Enabled bool     `yaml:"enabled" doc:"The next boot starts it."`
	Active  bool     `yaml:"active" doc:"It is active now."`

	Activation bool `yaml:"activation" doc:"A socket, timer or path unit that starts it counts in its place."`
}

func (p stateParams) names() []string {
	var names []string
	if p.Unit != "" {
		names = append(names, p.Unit)
	}
	return append(names, p.AnyOf...)
}

// Validate refuses parameters that ask for nothing.
func (p stateParams) Validate() error {
	if len(p.names()) == 0 {
		return errors.New("name a unit: unit or any_of")
	}
	for _, name := range p.names() {
		if !unitfile.ValidName(name) {
			return fmt.Errorf("%q is not the name of a unit: it ends in .service, .socket, .timer …", name)
		}
	}
	return nil
}

// seen is all that was seen of one unit.
type seen struct {
	live bool // Unit was asked of the running systemd
	unit host.Unit
	file unitfile.Unit
	boot string // the link or unit file by which the next boot starts it; empty: it does not
}

func probeState(ctx context.Context, h *host.Host, p stateParams) (checks.Verdict, error) {
	files, err := h.UnitFiles(ctx)
	if err != nil {
		return checks.Verdict{}, fmt.Errorf("cannot read unit files: %w", err)
	}
	names, err := instances(ctx, h, files, p.names())
	if err != nil {
		return checks.Verdict{}, err
	}
	var live map[string]host.Unit
	if h.Running() {
		if live, err = h.Units(ctx, names...); err != nil {
			return checks.Verdict{}, err
		}
		if p.Activation {
			names, err = addTriggers(ctx, h, names, live)
			if err != nil {
				return checks.Verdict{}, err
			}
		}
	}
	all := make([]seen, len(names))
	for i, name := range names {
		s := &all[i]
		s.unit, s.live = live[name], h.Running()
		if s.file, err = files.Unit(name); err != nil {
			return checks.Verdict{}, fmt.Errorf("cannot read the unit file of %s: %w", name, err)
		}
		s.boot = files.AtBoot()[s.file.ID]
	}
	return judgeState(all, p), nil
}

// instances puts the instances of templates, active or started at boot, in
// front of them.
func instances(ctx context.Context, h *host.Host, files *unitfile.Tree, names []string) ([]string, error) {
	if !slices.ContainsFunc(names, unitfile.IsTemplate) {
		return names, nil
	}
	var known []string
	for name := range files.AtBoot() {
		known = append(known, name)
	}
	if h.Running() {
		units, err := h.AllUnits(ctx)
		if err != nil {
			return nil, err
		}
		for _, u := range units {
			known = append(known, u.Name)
		}
	}
	slices.Sort(known)
	known = slices.Compact(known)
	var found []string
	for _, name := range names {
		for _, k := range known {
			if unitfile.IsTemplate(name) && unitfile.Template(k) == name {
				found = append(found, k)
			}
		}
		found = append(found, name)
	}
	return found, nil
}

// addTriggers adds the units that start the named ones.
func addTriggers(ctx context.Context, h *host.Host, names []string, live map[string]host.Unit) ([]string, error) {
	for _, name := range slices.Clone(names) {
		triggers, err := h.Units(ctx, live[name].TriggeredBy...)
		if err != nil {
			return nil, err
		}
		for _, trigger := range live[name].TriggeredBy {
			if !slices.Contains(names, trigger) {
				names = append(names, trigger)
				live[trigger] = triggers[trigger]
			}
		}
	}
	return names, nil
}

// judgeState passes when one of the units is as wanted. Of units that are not,
// it names those that are installed, or the first when none is.
func judgeState(all []seen, p stateParams) checks.Verdict {
	var wrong []checks.Evidence
	var reasons []string
	repair := Repair{Enabled: p.Enabled, Active: p.Active}
	for _, s := range all {
		observed, faults := judgeUnit(s, p)
		if len(faults) == 0 {
			return checks.Passed(observed...)
		}
		if s.installed() {
			wrong = append(wrong, faults...)
			reasons = append(reasons, s.complaint(faults))
			if repair.Unit == "" && !unitfile.IsTemplate(s.file.Name) {
				repair.Unit = s.file.Name
			}
		}
	}
	if len(wrong) > 0 {
		v := checks.Failed(strings.Join(reasons, "; ")+".", wrong...)
		v.Repair = repair
		return v
	}
	var names, places []string
	for _, s := range all {
		names = append(names, s.file.Name)
		if s.file.Path != "" {
			places = append(places, s.file.Path)
		}
	}
	_, faults := judgeUnit(all[0], p)
	faults[0].Source = cmp.Or(strings.Join(places, ", "), faults[0].Source)
	reason := names[0] + " is " + faults[0].Got + "."
	if len(names) > 1 {
		reason = "None of " + strings.Join(names, ", ") + " is installed."
	}
	return checks.Failed(reason, faults...)
}

// judgeUnit returns what is as wanted and what is not.
func judgeUnit(s seen, p stateParams) (observed, faults []checks.Evidence) {
	note := func(source, key, want, got string, good bool) {
		e := checks.Evidence{Source: source, Key: key, Want: want, Got: got}
		if good {
			observed = append(observed, e)
		} else {
			faults = append(faults, e)
		}
	}
	name := s.file.Name
	if !s.installed() {
		note(cmp.Or(s.file.Path, "systemd"), name, "installed", s.absence(), false)
		return observed, faults
	}
	if p.Enabled {
		note(cmp.Or(s.file.Path, s.unit.FragmentPath, "systemd"), name+" at boot", "started", s.bootState(), s.boot != "")
	}
	switch {
	case p.Active && s.live:
		note("systemd", name+" now", "active", s.activity(), s.unit.Active())
	case p.Active:
		note(s.file.Path, name+" now", "active", "not to be seen in a file tree", true)
	}
	if len(observed)+len(faults) == 0 {
		note(cmp.Or(s.file.Path, "systemd"), name, "installed", cmp.Or(s.file.State, s.unit.LoadState), true)
	}
	return observed, faults
}

func (s seen) installed() bool {
	if s.live && s.unit.LoadState != "template" {
		return s.unit.Installed()
	}
	switch s.file.State {
	case "not-found", "bad", "masked", "masked-runtime":
		return false
	}
	return true
}

// absence says why a unit does not count as installed.
func (s seen) absence() string {
	switch {
	case strings.HasPrefix(s.file.State, "masked"), s.live && s.unit.LoadState == "masked":
		return "masked"
	case s.file.State == "bad":
		return "refused by systemd: " + s.file.Why
	case s.live && s.unit.LoadState != "not-found" && s.unit.LoadState != "loaded" && s.unit.LoadState != "template":
		return "refused by systemd (" + s.unit.LoadState + ")"
	}
	return "not installed"
}

func (s seen) bootState() string {
	switch state := s.file.State; {
	case s.boot != "":
		return "started by " + s.boot
	case state == "enabled" || state == "alias":
		return "not started: no link leads to it from default.target (is-enabled says " + state + ")"
	case state == "enabled-runtime":
		return "not started: enabled only until the next boot"
	case state == "static":
		return "not started: nothing pulls it in (static)"
	default:
		return "not started (" + state + ")"
	}
}

func (s seen) activity() string {
	state := s.unit.ActiveState
	if s.unit.SubState != "" && s.unit.SubState != state {
		state += " (" + s.unit.SubState + ")"
	}
	if svc := s.unit.Service; svc != nil && svc.Result != "" && svc.Result != "success" {
		state += ", last result " + svc.Result
	}
	return state
}

// complaint is the faults of one unit as half a sentence.
func (s seen) complaint(faults []checks.Evidence) string {
	var parts []string
	for _, f := range faults {
		switch f.Want {
		case "started":
			parts = append(parts, "is not started at boot")
		case "active":
			parts = append(parts, "is "+f.Got)
		}
	}
	return s.file.Name + " " + strings.Join(parts, " and ")
}
