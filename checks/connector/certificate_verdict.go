package connector

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
)

// Bounds of what a verdict on certificates shows.
const (
	maxListed = 20
	maxShown  = 50
)

// collected is what was found of the stores of all applications: several share
// a store, and what is wrong with it is said once.
type collected struct {
	faults, seen []checks.Evidence
	absences     []checks.Evidence
	errs         []error
	clock        *checks.Evidence
}

func once(list []checks.Evidence, e checks.Evidence) []checks.Evidence {
	if slices.Contains(list, e) || len(list) == maxShown {
		return list
	}
	return append(list, e)
}

func (c *collected) fault(e checks.Evidence) { c.faults = once(c.faults, e) }
func (c *collected) see(e checks.Evidence)   { c.seen = once(c.seen, e) }

// absent takes down what is not there: a fault where it must be.
func (c *collected) absent(e checks.Evidence, must bool) {
	if must {
		c.fault(e)
		return
	}
	e.Want = ""
	c.absences = once(c.absences, e)
}

func (c *collected) unseen(err error) {
	if !slices.ContainsFunc(c.errs, func(e error) bool { return e.Error() == err.Error() }) && len(c.errs) < maxShown {
		c.errs = append(c.errs, err)
	}
}

// reasons say what a fault means, by words of its key, the gravest first.
var reasons = []struct{ word, reason string }{
	{"key store", "A key store that the connector is told to use is not there."},
	{"trust store", "A trust store that the connector is told to use is not there."},
	{"trusted private key", "The connector trusts a certificate whose private key anybody can download."},
	{"trust in", "The execution core does not trust a certificate of its own connector."},
	{"published", "The private key is published: whoever downloads it can pass for this connector or read what it is sent."},
	{"expired", "A certificate has expired."},
	{"not valid yet", "A certificate is not valid yet."},
	{"validity", "A certificate expires soon."},
	{"names", "The certificate is not for a name by which the connector is addressed."},
	{"lifetime", "A certificate is valid for longer than is recommended."},
	{"signature", "A signature is too weak."},
	{"usage", "The certificate is not made for this use."},
	{"private key", "The certificate and its private key are not there together."},
	{": key", "The key is too weak."},
	{"chain", "The certificate's chain is not in order."},
}

func (c *collected) verdict(nothing string) (checks.Verdict, error) {
	if len(c.faults) > 0 {
		evidence := c.faults
		if c.clock != nil {
			evidence = append(evidence, *c.clock)
		}
		return checks.Failed(reasonOf(c.faults), evidence...), nil
	}
	seen := append(c.seen, c.absences...)
	if c.clock != nil && len(c.seen) > 0 {
		seen = append(seen, *c.clock)
	}
	switch {
	case len(c.errs) > 0:
		return checks.Verdict{Evidence: seen}, errors.Join(c.errs...)
	case len(c.seen) == 0:
		return checks.Inapplicable(nothing, seen...), nil
	}
	return checks.Passed(seen...), nil
}

func reasonOf(faults []checks.Evidence) string {
	for _, r := range reasons {
		for _, f := range faults {
			if strings.Contains(f.Key, r.word) || strings.HasPrefix(f.Got, r.word) {
				return r.reason
			}
		}
	}
	return fmt.Sprintf("The connector's certificates are not as they must be (%s).", faults[0].Key)
}
