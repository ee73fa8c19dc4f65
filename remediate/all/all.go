// Package all lists the families of remediators, and what they change hosts with.
package all

import (
	"slices"

	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/audit"
	"github.com/hostguard/hostguard/remediate/auditrules"
	"github.com/hostguard/hostguard/remediate/clock"
	"github.com/hostguard/hostguard/remediate/docker"
	"github.com/hostguard/hostguard/remediate/files"
	"github.com/hostguard/hostguard/remediate/filestate"
	"github.com/hostguard/hostguard/remediate/jobs"
	"github.com/hostguard/hostguard/remediate/keys"
	"github.com/hostguard/hostguard/remediate/services"
	"github.com/hostguard/hostguard/remediate/units"
	"github.com/hostguard/hostguard/remediate/unitstate"
)

// Families holds the remediators of every family.
var Families = [][]remediate.Remediator{
	audit.Remediators,
	clock.Remediators,
	docker.Remediators,
	files.Remediators,
	jobs.Remediators,
	keys.Remediators,
	services.Remediators,
	units.Remediators,
}

// Standing holds what the configuration can ask for by itself.
var Standing = slices.Concat(
	audit.Standing,
	jobs.Standing,
)

// Kinds holds every kind of step.
var Kinds = slices.Concat(
	filestate.Kinds,
	[]remediate.Kind{unitstate.Kind, auditrules.Rule, auditrules.Setting, keys.Ledger},
)

// Activators holds every action that follows steps.
var Activators = slices.Concat(
	unitstate.Activators,
	audit.Activators,
	clock.Activators,
)

// For returns the remediator of the named check; false means that a failure of
// that check is repaired by hand.
func For(check string) (remediate.Remediator, bool) {
	for _, family := range Families {
		if i := slices.IndexFunc(family, func(r remediate.Remediator) bool { return r.Check == check }); i >= 0 {
			return family[i], true
		}
	}
	return remediate.Remediator{}, false
}
