// Package units looks at single units of systemd.
package units

import "github.com/hostguard/hostguard/checks"

// Checks are the checks of this family.
var Checks = []checks.Check{unitState}
