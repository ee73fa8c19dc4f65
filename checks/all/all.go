// Package all lists every check there is.
package all

import (
	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/checks/docker"
	"github.com/hostguard/hostguard/checks/hardware"
	"github.com/hostguard/hostguard/checks/units"
)

// Families holds one slice per folder below checks/.
var Families = [][]checks.Check{
	docker.Checks,
	hardware.Checks,
	units.Checks,
}
