// Package network judges who reaches what listens or is published on a host,
// through the packet filter that is loaded.
package network

import "github.com/hostguard/hostguard/checks"

// Checks are the checks of this family.
var Checks = []checks.Check{apiReach, otherPorts, partnerPorts, publishedAddresses}
