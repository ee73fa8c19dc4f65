package services

import (
	"context"
	"fmt"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/unitfile"
)

var strayUnits = checks.Check{
	Name: "stray-units",
	Looks: "At the service, socket, timer and path units that are active or that the next boot starts (the running systemd and the unit " +
		"files on disk), against a list of those that belong to a minimal host. A pattern in that list covers only units whose " +
		"file the distribution ships; one that an administrator put into /etc/systemd/system must be named in full. The transient unit in " +
		"which hostguard itself was started by systemd-run belongs, too. Under --root only the " +
		"unit files can be seen.",
	Blind: "Whether a unit of an allowed name does what that name says, units of users' own service managers, jobs of cron, and " +
		"programs started without a unit. Kinds of servers that server-kind knows are left to that check, SSH servers to ssh-servers.",
	Binding: checks.Params(strayParams{}, probeStrayUnits),
}

type strayParams struct {
	Allow   map[string]words `yaml:"allow" doc:"Why: names of units that belong to the host, without suffix; x@ covers the instances of a template, * stands for anything."`
	Allowed []string         `yaml:"allowed" doc:"More units that may run, full names or patterns."`
	Watch   storageWatch     `yaml:"watch" doc:"The storage watch of this host: its timer and its service may run."`
}

// storageWatch names a job as hostguard.yaml does; only a unit matters here.
type storageWatch struct {
	Unit    string `yaml:"unit" doc:"A timer or a service."`
	Cron    string `yaml:"cron" doc:"A cron table; no unit."`
	Process string `yaml:"process" doc:"A program; no unit."`
}

// runs reports whether the unit is the watch: the named one, or the service
// that a timer of the same stem starts.
func (w storageWatch) runs(unit string) bool {
	return w.Unit != "" && (unit == w.Unit || unit == stemOf(w.Unit)+".service")
}

// Validate refuses patterns that cannot be read.
func (p strayParams) Validate() error {
	for why, names := range p.Allow {
		if err := validPatterns(names); err != nil {
			return fmt.Errorf("allow: %s: %w", why, err)
		}
	}
	return validPatterns(p.Allowed)
}

func probeStrayUnits(ctx context.Context, h *host.Host, p strayParams) (checks.Verdict, error) {
	k, err := known()
	if err != nil {
		return checks.Verdict{}, err
	}
	s, err := look.Of(ctx, h)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeStrayUnits(k, s.units, s.processes, ownUnit(s.processes), p, s.blind)
}

// ownUnit is the unit in which hostguard runs, empty when there is none.
func ownUnit(processes []host.Process) string {
	for _, p := range processes {
		if p.Own {
			return p.Unit
		}
	}
	return ""
}

// isOwn reports whether the unit was made by systemd-run(1) for this very run
// of hostguard: the service it runs in, or the timer that started that.
func (u unit) isOwn(own string) bool {
	return own != "" && strings.HasPrefix(u.file.Path, "/run/systemd/transient/") &&
		(u.name == own || u.name == stemOf(own)+".timer")
}

func judgeStrayUnits(k *knownServers, units []unit, processes []host.Process, own string, p strayParams, blind error) (checks.Verdict, error) {
	belongs, err := p.matcher()
	if err != nil {
		return checks.Verdict{}, err
	}
	var stray, tolerated []checks.Evidence
	var names []string
	var repair Repair
	for _, u := range units {
		switch {
		case k.unit(u.name) != "" || host.IsOtherSSHUnit(u.name) || belongs.covers(u):
		case allows(p.Allowed, u.name), p.Watch.runs(u.name):
			e := u.evidence(processes)
			e.Want = "allowed by configuration"
			tolerated = append(tolerated, e)
		case u.isOwn(own):
			e := u.evidence(processes)
			e.Want = "hostguard itself runs in it"
			tolerated = append(tolerated, e)
		default:
			stray = append(stray, u.evidence(processes))
			names = append(names, u.name)
			repair.unit(u.name)
		}
	}
	if len(stray) > 0 {
		v := checks.Failed(fmt.Sprintf("%s on the list of what belongs to this host: %s.",
			count(len(names), "unit is not", "units are not"), strings.Join(names, ", ")), stray...)
		v.Repair = repair
		return v, nil
	}
	if blind != nil {
		return checks.Verdict{Evidence: tolerated}, blind
	}
	return checks.Passed(append(tolerated, checks.Evidence{
		Source: "systemd", Key: "units",
		Got: fmt.Sprintf("all %d that are active or start at boot belong to this host", len(units)),
	})...), nil
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// belonging is the list of units that belong to the host, with the reason.
type belonging struct{ names, patterns matcher }

func (p strayParams) matcher() (*belonging, error) {
	b := &belonging{}
	for why, names := range p.Allow {
		for _, name := range names {
			into := &b.names
			if strings.ContainsAny(name, `*?[\`) {
				into = &b.patterns
			}
			if err := into.add(why, []string{name}); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// covers reports whether the unit is on the list. Patterns cover only what the
// distribution ships: a name like systemd-x is easily given to anything.
func (b *belonging) covers(u unit) bool {
	stem, template := stemOf(u.name), stemOf(unitfile.Template(u.name))
	if b.names.match(stem) != "" || template != "" && b.names.match(template) != "" {
		return true
	}
	return u.file.Shipped() && b.patterns.match(stem) != ""
}
