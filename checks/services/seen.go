package services

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/unitfile"
)

// unit is a service, socket, timer or path unit that is up, or that the next
// boot starts.
type unit struct {
	name string
	live host.Unit // zero where systemd could not be asked
	boot string    // what starts it at boot; empty: nothing does
	file unitfile.Unit
}

// up reports whether the unit is active or on its way up or down.
func (u unit) up() bool {
	return u.live.ActiveState != "" && u.live.ActiveState != "inactive" && u.live.ActiveState != "failed"
}

// sight is what all checks of this family look at. What could not be seen of
// the running system is said by blind: the units are then those that start at
// boot.
type sight struct {
	units     []unit         // all that are up or start at boot, by name
	processes []host.Process // outside the kernel and outside containers, by pid; none of a file tree
	blind     error
}

var look = host.Derive(func(ctx context.Context, h *host.Host) (*sight, error) {
	var s sight
	var err error
	if s.units, s.blind, err = seenUnits(ctx, h); err == nil && h.Running() {
		s.processes, err = hostProcesses(ctx, h)
	}
	return &s, err
})

// seenUnits returns all units that are up or start at boot, by name. What
// could not be seen of the running system is said by blind: the units are then
// those that start at boot.
func seenUnits(ctx context.Context, h *host.Host) (units []unit, blind, err error) {
	files, err := h.UnitFiles(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read unit files: %w", err)
	}
	all := make(map[string]unit)
	if h.Running() {
		var loaded []host.Unit
		loaded, blind = h.AllUnits(ctx)
		for _, l := range loaded {
			if u := (unit{name: l.ID, live: l}); u.up() {
				all[l.ID] = u
			}
		}
	}
	for name, by := range files.AtBoot() {
		u := all[name]
		u.name, u.boot = name, by
		all[name] = u
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(watched, path.Ext(name)) {
			continue
		}
		u := all[name]
		if u.file, err = files.Locate(name); err != nil {
			return nil, nil, fmt.Errorf("cannot find the unit file of %s: %w", name, err)
		}
		units = append(units, u)
	}
	return units, blind, nil
}

// evidence says of a stray unit where it comes from, what it does and who runs.
func (u unit) evidence(processes []host.Process) checks.Evidence {
	var got []string
	if u.up() {
		state := u.live.ActiveState
		if u.live.SubState != "" && u.live.SubState != state {
			state += " (" + u.live.SubState + ")"
		}
		got = append(got, state)
	}
	for _, p := range processes {
		if p.Unit == u.name {
			got = append(got, fmt.Sprintf("process %d %s", p.PID, programOf(p)))
			break
		}
	}
	if u.boot != "" {
		got = append(got, "started at boot by "+u.boot)
	}
	source := u.file.Path
	if source == "" {
		source = "systemd"
	}
	return checks.Evidence{Source: source, Key: u.name, Want: "neither active nor started at boot", Got: strings.Join(got, ", ")}
}

// programOf is the path of a process's program, or its name in brackets where
// the path cannot be seen.
func programOf(p host.Process) string {
	if p.Exe == "" {
		return "[" + p.Comm + "]"
	}
	return p.Exe
}

// hostProcesses are the processes outside the kernel and outside containers,
// by pid.
func hostProcesses(ctx context.Context, h *host.Host) ([]host.Process, error) {
	all, err := h.Processes(ctx)
	if err != nil {
		return nil, err
	}
	var own []host.Process
	for _, p := range all {
		if !p.Kernel && p.Container == "" {
			own = append(own, p)
		}
	}
	slices.SortFunc(own, func(a, b host.Process) int { return a.PID - b.PID })
	return own, nil
}

// allows reports whether one of the patterns, full unit names, names the unit.
func allows(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, name)
		return ok
	})
}

// validPatterns refuses what path.Match cannot read.
func validPatterns(patterns []string) error {
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("%q is not a pattern: %w", p, err)
		}
	}
	return nil
}
