// Package all lists every check there is.
package all

import (
	"github.com/hostguard/hostguard/checks"
)

// Families holds one slice per folder below checks/.
var Families = [][]checks.Check{}
