// Package services repairs what the rules about services find: units that do
// not belong to a connector host are disabled and stopped, with what activates
// them. Nothing is uninstalled.
package services

import (
	"fmt"
	"slices"

	"github.com/hostguard/hostguard/checks/services"
	"github.com/hostguard/hostguard/internal/config"
	"github.com/hostguard/hostguard/remediate"
)

const (
	does = "Disables and stops each stray unit by its exact name, with the sockets, timers and paths that would start it again. " +
		"Undo brings back every link as it was, and starts what ran."
	willNot = "Never touches SSH, Docker, the network, the firewall, audit, logs, time, the message bus, logins, disks, cron or guest agents; " +
		"nor what hostguard runs under, what carries an SSH login, what a container is connected to, what other units need, or what sets up the host at boot. " +
		"Remote access, routing, and managers of containers are left to a person, and so are processes without a unit. Packages are not removed."
)

// Remediators repair the checks of the family services.
var Remediators = []remediate.Remediator{
	{Check: "server-kind", Does: does, WillNot: willNot, Risk: remediate.Disruptive, Propose: propose},
	{Check: "stray-units", Does: does, WillNot: willNot, Risk: remediate.Disruptive, Propose: propose},
	{Check: "stray-listeners", Does: does, WillNot: willNot, Risk: remediate.Disruptive, Propose: propose},
}

// propose disables the units behind a finding. What must not be touched, and
// what has no unit, is a person's.
func propose(c remediate.Case) remediate.Proposal {
	var p remediate.Proposal
	repair, ok := c.Finding.Repair.(services.Repair)
	if !ok {
		return p
	}
	var off []string
	for _, name := range repair.Units {
		switch why := kept(name, repair.Kind); {
		case allowed(c.Config, name):
			p.Person = append(p.Person, fmt.Sprintf("%s is allowed by services.allow, but not where it listens: bind it to 127.0.0.1, or name its port under ports.allow.", name))
		case why != "":
			p.Person = append(p.Person, fmt.Sprintf("%s is left as it is: %s.", name, why))
		default:
			off = append(off, name)
		}
	}
	for _, other := range repair.Others {
		p.Person = append(p.Person, fmt.Sprintf("no unit is behind %s: find out who started it and end it, or allow it in hostguard.yaml.", other))
	}
	if len(off) > 0 {
		p.Changes = append(p.Changes, Disable{Units: off, Kind: repair.Kind})
	}
	return p
}

// allowed reports whether the configuration allows a unit.
func allowed(c *config.Config, name string) bool {
	return c != nil && slices.ContainsFunc(c.Services.Allow, func(u config.Unit) bool { return matches(string(u), name) })
}
