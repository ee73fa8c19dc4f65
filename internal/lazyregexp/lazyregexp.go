// Package lazyregexp compiles package-level regular expressions when they are
// first used, so that a run pays only for those it needs.
package lazyregexp

import (
	"regexp"
	"sync"
)

// New returns a function that compiles the expression once. It panics there
// if the expression is wrong, as regexp.MustCompile does.
func New(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
