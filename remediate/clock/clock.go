// Package clock repairs what the rules about the clock find: no time daemon
// that runs, several, or one without servers.
package clock

import (
	"fmt"
	"slices"

	"github.com/hostguard/hostguard/checks/clock"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/remediate"
)

// Remediators repair the checks of the family clock.
var Remediators = []remediate.Remediator{
	{
		Check: "clock-daemon",
		Does: "Lets one of the installed time daemons keep the clock: the one that runs and is started at boot, else the one that is started at boot, " +
			"else the one that runs, else the first of chrony, NTPsec, ntpd, OpenNTPD and systemd-timesyncd. It is enabled and started, the others are stopped and disabled.",
		WillNot: "Does not install a daemon, does not lift a mask, and does not end a daemon that somebody started outside the units of time daemons.",
		Risk:    remediate.Disruptive,
		Propose: proposeDaemon,
	},
	{
		Check: "clock-servers",
		Does: "Writes the servers of ntp.servers into a drop-in of the daemon: chrony's sources.d (read again without a restart) or conf.d, " +
			"timesyncd.conf.d, NTPsec's ntp.d. It is written only where the daemon's configuration really reads it.",
		WillNot: "Invents no servers: without ntp.servers in hostguard.yaml a person names some. Does not touch the daemon's own configuration file, nor mend one that it refuses.",
		Risk:    remediate.Disruptive,
		Propose: proposeServers,
	},
}

// best is the order in which daemons are chosen when nothing else speaks for one.
var best = []string{host.Chrony, host.NTPsec, host.NTPd, host.OpenNTPD, host.Timesyncd}

func proposeDaemon(c remediate.Case) remediate.Proposal {
	var p remediate.Proposal
	repair, ok := c.Finding.Repair.(clock.DaemonRepair)
	if !ok {
		return p
	}
	if len(repair.Strays) > 0 {
		for _, s := range repair.Strays {
			where := "no unit"
			if s.Unit != "" {
				where = s.Unit
			}
			p.Person = append(p.Person, fmt.Sprintf("process %d (%s) in %s keeps the clock, outside the units of time daemons: find out who started it, and end it.", s.PID, s.Program(), where))
		}
		return p
	}
	keep, found := choose(repair.Daemons, repair.Accept)
	if !found {
		for _, d := range repair.Masked {
			p.Person = append(p.Person, fmt.Sprintf("%s is masked by %s: somebody wanted it never to run. systemctl unmask it, or install another time daemon (apt-get install chrony).", d.Unit, d.Path))
		}
		return p // the rule's hint says what to install
	}
	change := Keep{Unit: keep.Unit}
	for _, d := range repair.Daemons {
		if d.Unit != keep.Unit && (d.Active || d.Boot != "") {
			change.Off = append(change.Off, d.Unit)
		}
	}
	slices.Sort(change.Off)
	p.Changes = append(p.Changes, change)
	return p
}

// choose picks the daemon that keeps the clock among the accepted ones.
func choose(daemons []host.TimeDaemon, accept []string) (keep host.TimeDaemon, found bool) {
	most := -1
	for _, d := range daemons {
		if !slices.Contains(accept, d.Kind) {
			continue
		}
		score := len(best) - slices.Index(best, d.Kind)
		if d.Active {
			score += 10
		}
		if d.Boot != "" {
			score += 20
		}
		if score > most {
			keep, most = d, score
		}
	}
	return keep, most >= 0
}

func proposeServers(c remediate.Case) remediate.Proposal {
	var p remediate.Proposal
	repair, ok := c.Finding.Repair.(clock.ServersRepair)
	if !ok || repair.Lacking == nil {
		return p // the rule about the daemon comes first
	}
	s := repair.Lacking
	if len(s.Problems) > 0 {
		p.Person = append(p.Person, fmt.Sprintf("%s refuses its configuration: %s:%d: %s. Mend that line first.", s.Daemon.Kind, s.Problems[0].File, s.Problems[0].Line, s.Problems[0].Text))
		return p
	}
	var names []string
	if c.Config != nil {
		for _, name := range c.Config.NTP.Servers {
			names = append(names, string(name))
		}
	}
	if len(names) == 0 {
		p.Person = append(p.Person, "name time servers under ntp.servers in /etc/hostguard/hostguard.yaml, and run fix again: hostguard invents none.")
		return p
	}
	if len(names) < repair.MinSources {
		p.Person = append(p.Person, fmt.Sprintf("name %d time servers or more under ntp.servers in /etc/hostguard/hostguard.yaml: there are %d.", repair.MinSources, len(names)))
		return p
	}
	p.Changes = append(p.Changes, Servers{Kind: s.Daemon.Kind, Unit: s.Daemon.Unit, Config: s.Config, Names: names})
	return p
}
