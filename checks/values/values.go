// Package values looks at settings in files, units and containers of any system:
// what they are, and whether secrets among them are strong and closed to others.
package values

import (
	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

// Checks are the mechanisms of this family.
var Checks = []checks.Check{
	{
		Name:      "file-value",
		Primitive: true,
		Looks:     "Reads files by their paths, or patterns for them, as properties, KEY=VALUE, ini, JSON or YAML, and compares the value at each key: the last of several counts, and keys within others are joined by dots.",
		Blind:     "Whether the program that the file is for has read it, and what overrides it.",
		Needs:     host.Root,
		Binding:   checks.Params(valueParams{Unset: unsetFail}, fileValues),
	},
	{
		Name:      "secret-strength",
		Primitive: true,
		Looks:     "Looks at a secret in a file, in the environment that a unit gives its service, or in that of a container: how long it is, how hard to guess by an estimate that errs to the low side, whether it is a known one, and whether others may read the file.",
		Blind:     "Where else the secret is written down, and the environment of a process that changed its own.",
		Needs:     host.Root,
		Binding:   checks.Params(secretParams{MinLength: 32, MinBits: 80}, secretStrength),
	},
}
