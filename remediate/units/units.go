// Package units repairs what the check of unit states finds: a unit that is
// installed and does not run, or is not started at boot.
package units

import (
	"context"

	"github.com/hostguard/hostguard/checks/units"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/unitstate"
)

// Remediators repair the checks of the family units.
var Remediators = []remediate.Remediator{{
	Check: "unit-state",
	Does: "Enables the unit and starts it, and waits until it is up. Undo stops what the start brought up, the units that it pulled in, too, " +
		"and takes the links away again.",
	WillNot: "Does not install anything, does not lift a mask that somebody has set, and does not restart or reset a unit that runs.",
	Risk:    remediate.Disruptive,
	Propose: propose,
}}

func propose(c remediate.Case) remediate.Proposal {
	repair, ok := c.Finding.Repair.(units.Repair)
	if !ok || repair.Unit == "" {
		return remediate.Proposal{}
	}
	return remediate.Proposal{Changes: []remediate.Change{Run{Unit: repair.Unit, Enabled: repair.Enabled, Active: repair.Active}}}
}

// Run wants a unit started at boot, up now, or both.
type Run struct {
	Unit            string
	Enabled, Active bool
}

// Resolve makes the links and starts the unit.
func (r Run) Resolve(ctx context.Context, h *host.Host, d *remediate.Draft) error {
	var want unitstate.Want
	if r.Enabled {
		want.Enabled = &r.Enabled
	}
	if r.Active {
		want.Active = &r.Active
	}
	return unitstate.Wish(ctx, h, d, r.Unit, want)
}
