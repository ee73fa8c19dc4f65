// Package remediate pairs checks with what repairs the hosts they fail.
//
// It says what `hostguard fix` would do. Nothing in it, and nothing that
// imports it, writes to a host yet: `fix` applies changes as transactions and
// comes with the engine for them.
package remediate

// Risk tells what a repair can disturb.
type Risk string

const (
	Safe       Risk = "safe"       // disturbs nothing that runs
	Disruptive Risk = "disruptive" // stops or restarts something
	Access     Risk = "access"     // can change who gets in
)

// A Remediator repairs what one check finds.
type Remediator struct {
	Check string // name of the check whose failures it repairs
	Does  string // what it would do, in a sentence, and what it will not do
	Risk  Risk
}

// Remediators holds every remediator there is.
var Remediators []Remediator

// For returns the remediator of the named check; false means a failure of that
// check is repaired by hand.
func For(check string) (Remediator, bool) {
	for _, r := range Remediators {
		if r.Check == check {
			return r, true
		}
	}
	return Remediator{}, false
}
