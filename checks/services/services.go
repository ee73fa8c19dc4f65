// Package services looks for what runs or listens on a host besides what its
// purpose needs.
package services

import "github.com/hostguard/hostguard/checks"

// Checks are the checks of this family.
var Checks = []checks.Check{serverKind, strayUnits, strayListeners}
