// Package docker repairs what the checks of docker find: a docker that is
// installed and does not run.
package docker

import (
	"context"

	"github.com/hostguard/hostguard/checks/docker"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/unitstate"
)

// Remediators repair the checks of the family docker.
var Remediators = []remediate.Remediator{{
	Check: "docker-answers",
	Does: "Starts docker.service when it is down, with the containers that are to be restarted with it. " +
		"Undo stops it again, and containerd if it was down before.",
	WillNot: "Does not install Docker, does not restart one that runs and hangs (that stops the containers), and does not start one of a snap or of a user.",
	Risk:    remediate.Disruptive,
	Propose: propose,
}}

const unit = "docker.service"

func propose(c remediate.Case) remediate.Proposal {
	if repair, ok := c.Finding.Repair.(docker.AnswersRepair); !ok || repair.Kind != "package" {
		return remediate.Proposal{}
	}
	return remediate.Proposal{Changes: []remediate.Change{Start{}}}
}

// Start wants docker's service up.
type Start struct{}

// Resolve starts the service, unless it is up and yet nothing answers.
func (Start) Resolve(ctx context.Context, h *host.Host, d *remediate.Draft) error {
	live, err := h.Units(ctx, unit)
	if err != nil {
		return err
	}
	if live[unit].Active() {
		d.Person("%s is active, and yet nothing listens where its configuration says: look at journalctl -u %s; a restart stops the containers.", unit, unit)
		return nil
	}
	return unitstate.Wish(ctx, h, d, unit, unitstate.Want{Active: new(true)})
}
