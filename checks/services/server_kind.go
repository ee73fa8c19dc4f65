package services

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

var serverKind = checks.Check{
	Name: "server-kind",
	Looks: "For one kind of server, known by the names of its units and programs: at the units that are active or that the next boot " +
		"starts (the running systemd and the unit files on disk), and at the programs of all processes outside containers. " +
		"Under --root only the unit files can be seen.",
	Blind: "Servers that are in no list, that run in containers or inside another program (a Java server), units of users' own " +
		"service managers, and software that is installed but neither runs nor starts at boot.",
	Needs:   host.Root,
	Binding: checks.Params(serverParams{}, probeServers),
}

type serverParams struct {
	Kind    string   `yaml:"kind" doc:"Which kind: web, database, mail, print, files, desktop, remote, network or containers."`
	Allowed []string `yaml:"allowed" doc:"Units, full names or patterns, that may run all the same."`
}

// Validate refuses a kind that the table does not have.
func (p serverParams) Validate() error {
	k, err := known()
	if err != nil {
		return err
	}
	if _, ok := k.kinds[p.Kind]; !ok {
		return fmt.Errorf("%q is not a kind of server: want %s", p.Kind, strings.Join(slices.Sorted(maps.Keys(k.kinds)), ", "))
	}
	return validPatterns(p.Allowed)
}

func probeServers(ctx context.Context, h *host.Host, p serverParams) (checks.Verdict, error) {
	k, err := known()
	if err != nil {
		return checks.Verdict{}, err
	}
	s, err := look.Of(ctx, h)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeServers(k, s.units, s.processes, p, s.blind)
}

// judgeServers fails when something of the kind is there, whatever could not
// be seen besides; it passes only when all was seen.
func judgeServers(k *knownServers, units []unit, processes []host.Process, p serverParams, blind error) (checks.Verdict, error) {
	title := k.kinds[p.Kind].Title
	var stray, tolerated []checks.Evidence
	var names []string
	repair := Repair{Kind: p.Kind}
	reported := make(map[string]bool)
	for _, u := range units {
		if k.unit(u.name) != p.Kind {
			continue
		}
		e := u.evidence(processes)
		if allows(p.Allowed, u.name) {
			e.Want = "allowed by configuration"
			tolerated = append(tolerated, e)
			continue
		}
		reported[u.name] = true
		stray = append(stray, e)
		names = append(names, u.name)
		repair.unit(u.name)
	}
	var hidden error
	counted := make(map[string]int) // program → index in stray of its evidence
	for _, proc := range processes {
		program := proc.Exe
		if program == "" {
			program = proc.Comm
		}
		switch {
		case k.program(program) == p.Kind && !reported[proc.Unit] && !allows(p.Allowed, proc.Unit):
			repair.process(proc)
			if _, again := counted[program]; again {
				continue
			}
			counted[program] = len(stray)
			stray = append(stray, checks.Evidence{Source: programOf(proc), Key: "process", Want: "not running", Got: running(proc)})
			names = append(names, programOf(proc))
		case proc.Hidden:
			hidden = fmt.Errorf("cannot see what program process %d (%s) runs", proc.PID, proc.Comm)
		}
	}
	if len(stray) > 0 {
		v := checks.Failed(fmt.Sprintf("The host has a %s: %s.", title, strings.Join(names, ", ")), stray...)
		v.Repair = repair
		return v, nil
	}
	if err := errors.Join(blind, hidden); err != nil {
		return checks.Verdict{Evidence: tolerated}, err
	}
	return checks.Passed(append(tolerated, checks.Evidence{
		Source: "systemd, /proc", Key: title,
		Got: fmt.Sprintf("none other among %d units that are active or start at boot, and %d processes", len(units), len(processes)),
	})...), nil
}

func running(p host.Process) string {
	got := fmt.Sprintf("running as process %d", p.PID)
	if p.Unit != "" {
		got += " of " + p.Unit
	}
	return got
}
