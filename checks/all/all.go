// Package all lists every check there is.
package all

import (
	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/checks/attestation"
	"github.com/hostguard/hostguard/checks/audit"
	"github.com/hostguard/hostguard/checks/clock"
	"github.com/hostguard/hostguard/checks/connector"
	"github.com/hostguard/hostguard/checks/docker"
	"github.com/hostguard/hostguard/checks/files"
	"github.com/hostguard/hostguard/checks/hardware"
	"github.com/hostguard/hostguard/checks/logs"
	"github.com/hostguard/hostguard/checks/network"
	"github.com/hostguard/hostguard/checks/services"
	"github.com/hostguard/hostguard/checks/ssh"
	"github.com/hostguard/hostguard/checks/storage"
	"github.com/hostguard/hostguard/checks/units"
	"github.com/hostguard/hostguard/checks/values"
)

// Families holds one slice per folder below checks/.
var Families = [][]checks.Check{
	attestation.Checks,
	audit.Checks,
	clock.Checks,
	connector.Checks,
	docker.Checks,
	files.Checks,
	hardware.Checks,
	logs.Checks,
	network.Checks,
	services.Checks,
	ssh.Checks,
	storage.Checks,
	units.Checks,
	values.Checks,
}
