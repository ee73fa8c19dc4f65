// Package keys repairs what the rules about SSH keys find, as far as that
// changes nobody's access: it starts the key ledger.
package keys

import (
	"context"

	"github.com/hostguard/hostguard/checks/ssh"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/keyledger"
	"github.com/hostguard/hostguard/remediate"
)

// Remediators repair the checks about the key ledger.
var Remediators = []remediate.Remediator{{
	Check: "ssh-keys-recorded",
	Does:  "Starts the key ledger of a host that has none, with all keys that are in files on that day. Undo removes it as long as nothing was added.",
	WillNot: "Takes no key into a ledger that has been started: one that is not in it may be an intruder's, and a person must look (hostguard keys enrol). " +
		"Names no persons: a key's person is for whoever knows to say.",
	Risk:    remediate.Safe,
	Propose: propose,
}}

func propose(c remediate.Case) remediate.Proposal {
	found, ok := c.Finding.Repair.(ssh.Unrecorded)
	switch {
	case !ok:
		return remediate.Proposal{}
	case found.Started:
		return remediate.Proposal{Person: []string{"find out whose keys these are: take them out of the files, or down in the ledger with hostguard keys enrol."}}
	case found.Unseen:
		return remediate.Proposal{Person: []string{"not all files of keys can be read; mend that, then start the ledger with hostguard keys enrol."}}
	}
	return remediate.Proposal{Changes: []remediate.Change{Enrol{Keys: found.Keys}}}
}

// Enrol wants the ledger of a host that has none to begin with these keys.
type Enrol struct{ Keys []keyledger.Present }

// Resolve adds the one step there is.
func (c Enrol) Resolve(ctx context.Context, _ *host.Host, d *remediate.Draft) error {
	_, err := remediate.Set(ctx, d, Ledger, keyledger.Dir, func(now State) (State, error) {
		if len(now.Keys) > 0 {
			return now, nil
		}
		return started(c.Keys), nil
	})
	return err
}
