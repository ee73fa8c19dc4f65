package clock

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

type daemonParams struct {
	Accept []string `yaml:"accept" doc:"Daemons of which one may keep the clock: chrony, systemd-timesyncd, ntpsec, ntpd, openntpd."`
}

// Validate refuses names that no host can have.
func (p daemonParams) Validate() error {
	known := []string{host.Chrony, host.Timesyncd, host.NTPsec, host.NTPd, host.OpenNTPD}
	for _, name := range p.Accept {
		if !slices.Contains(known, name) {
			return fmt.Errorf("accept: %q is not a known time daemon: want some of %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

func daemon(ctx context.Context, h *host.Host, p daemonParams) (checks.Verdict, error) {
	daemons, err := h.TimeDaemons(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	masked, err := h.MaskedTimeDaemons(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	var strays []host.Process
	if h.Running() {
		processes, err := h.Processes(ctx)
		if err != nil {
			return checks.Verdict{}, fmt.Errorf("cannot tell whether a second time daemon runs: %w", err)
		}
		if strays, err = strayDaemons(processes, daemons, host.Process.Argv); err != nil {
			return checks.Verdict{}, err
		}
	}
	return judgeDaemon(daemons, masked, strays, p, h.Running()), nil
}

// strayDaemons are processes of the host that keep the clock outside the
// units of time daemons.
func strayDaemons(processes map[int]host.Process, daemons []host.TimeDaemon, argv func(host.Process) ([]string, error)) ([]host.Process, error) {
	var strays []host.Process
	for _, p := range processes {
		name := p.Program()
		inUnit := slices.ContainsFunc(daemons, func(d host.TimeDaemon) bool { return d.Unit == p.Unit })
		if p.Kernel || inUnit || !slices.Contains([]string{"chronyd", "ntpd", "systemd-timesyncd"}, name) {
			continue
		}
		if name == "chronyd" {
			args, err := argv(p)
			if err != nil {
				return nil, err
			}
			if slices.Contains(args, "-x") {
				continue // serves time, and leaves the clock alone
			}
		}
		strays = append(strays, p)
	}
	slices.SortFunc(strays, func(a, b host.Process) int { return cmp.Compare(a.PID, b.PID) })
	return strays, nil
}

// judgeDaemon wants one daemon that runs and is started at boot, and no other
// that does either. In a file tree (not running) it judges the boot only.
func judgeDaemon(daemons, masked []host.TimeDaemon, strays []host.Process, p daemonParams, running bool) checks.Verdict {
	const want = "one time daemon, started at boot and running"
	var seen []checks.Evidence
	for _, d := range daemons {
		seen = append(seen, checks.Evidence{Source: cmp.Or(d.Path, d.Unit), Key: d.Unit, Got: d.State})
	}
	fail := func(reason string, at ...checks.Evidence) checks.Verdict {
		if len(at) == 0 {
			at = seen
		}
		for i := range at {
			at[i].Want = want
		}
		v := checks.Failed(reason, at...)
		v.Repair = DaemonRepair{Daemons: daemons, Masked: masked, Strays: strays, Accept: p.Accept}
		return v
	}
	if len(strays) > 0 {
		var at []checks.Evidence
		for _, p := range strays {
			place := cmp.Or(p.Unit, "no unit")
			if p.Container != "" {
				place = "container " + p.Container[:min(12, len(p.Container))]
			}
			at = append(at, checks.Evidence{Source: fmt.Sprintf("process %d", p.PID), Key: cmp.Or(p.Exe, p.Comm), Got: "running in " + place})
		}
		return fail("A time daemon runs outside the units of time daemons, so nobody can tell which one sets the clock.", append(at, seen...)...)
	}
	if len(daemons) == 0 && len(masked) > 0 {
		return fail("No time daemon can be started: "+states(masked)+".", maskedAt(masked)...)
	}
	if len(daemons) == 0 {
		return fail("No time daemon is installed.", checks.Evidence{Source: "units", Key: "chrony, systemd-timesyncd, ntpsec, ntpd, openntpd", Got: "none installed"})
	}
	var active, enabled []host.TimeDaemon
	for _, d := range daemons {
		if d.Active {
			active = append(active, d)
		}
		if d.Boot != "" {
			enabled = append(enabled, d)
		}
	}
	switch {
	case running && len(active) == 0:
		return fail(fmt.Sprintf("No time daemon runs: %s.", states(daemons)))
	case len(active) > 1:
		return fail(fmt.Sprintf("Several time daemons run and fight over the clock: %s.", states(active)))
	case len(enabled) == 0:
		return fail(fmt.Sprintf("No time daemon is started at boot: %s.", states(daemons)))
	case len(enabled) > 1:
		return fail(fmt.Sprintf("Several time daemons are started at boot, and which one wins is chance: %s.", states(enabled)))
	case running && active[0].Unit != enabled[0].Unit:
		return fail(fmt.Sprintf("The time daemon that runs is not the one that is started at boot: %s.", states([]host.TimeDaemon{active[0], enabled[0]})))
	case !slices.Contains(p.Accept, enabled[0].Kind):
		return fail(fmt.Sprintf("%s keeps the clock, which is none of the accepted daemons: %s.", enabled[0].Kind, strings.Join(p.Accept, ", ")))
	}
	if !running {
		seen = append(seen, checks.Evidence{Source: enabled[0].Unit, Key: "running", Got: "cannot be seen in a file tree"})
	}
	return checks.Passed(seen...)
}

// maskedAt names the masks.
func maskedAt(masked []host.TimeDaemon) []checks.Evidence {
	var at []checks.Evidence
	for _, d := range masked {
		at = append(at, checks.Evidence{Source: cmp.Or(d.Path, d.Unit), Key: d.Unit, Want: "not masked", Got: d.State})
	}
	return at
}

func states(daemons []host.TimeDaemon) string {
	var parts []string
	for _, d := range daemons {
		parts = append(parts, d.Unit+" is "+d.State)
	}
	return strings.Join(parts, "; ")
}
