// Package remediate pairs checks with what repairs the hosts they fail.
//
// A [Remediator] looks at a finding and says what should hold instead: it
// returns changes, and reads and writes nothing. [Resolve] asks the host what
// each change takes, folds them into a [Plan] of steps, each with the state
// before and after it, and package transaction moves the host from one to the
// other, and back.
package remediate

import (
	"context"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/config"
	"github.com/hostguard/hostguard/internal/host"
)

// Risk tells what a repair can disturb.
type Risk string

const (
	Safe       Risk = "safe"       // disturbs nothing that runs
	Disruptive Risk = "disruptive" // stops or restarts something
	Access     Risk = "access"     // can change who gets in
)

// grows orders risks.
var grows = map[Risk]int{Safe: 0, Disruptive: 1, Access: 2}

// A Remediator repairs what one check finds.
type Remediator struct {
	Check   string // name of the check whose failures it repairs
	Does    string // what it does, in a sentence
	WillNot string // what it leaves to a person, in a sentence
	Risk    Risk   // the most that a repair of it disturbs
	Propose func(Case) Proposal
}

// Standing proposes what the configuration asks for, whatever the findings.
type Standing struct {
	Name    string
	Does    string
	WillNot string
	Risk    Risk
	Propose func(*config.Config) []Change
}

// Case is what a remediator is asked about.
type Case struct {
	// Finding is a failure, or one that does not apply yet (checks.NotApplicable)
	// and would fail once what fix itself makes is there. Its Repair is the check's
	// word on what is lacking.
	Finding checks.Finding
	Config  *config.Config
}

// Proposal is what a remediator makes of a finding.
type Proposal struct {
	Changes []Change
	Person  []string // what a person must do, because no change can
}

// Change is an intent: what should hold on a host, and nothing about how it is
// brought about. One that several findings ask for (reflect.DeepEqual) is
// resolved once.
type Change interface {
	// Resolve adds to the draft what makes the change hold on this host: see
	// [Set]. It writes nothing, and asked again with what it wanted in place it
	// wants nothing more. An error means that the host could not be seen; what
	// cannot be changed is told with Draft.Person.
	Resolve(context.Context, *host.Host, *Draft) error
}
