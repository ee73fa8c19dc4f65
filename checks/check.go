// Package checks is the contract between hostguard and its mechanisms.
//
// A [Check] is one way of looking at a host. A rule (package rules) names a
// check and gives it parameters; binding the two yields a [Probe]; running the
// probe yields a [Verdict]. A verdict says what was seen; an error says that
// the look failed. The two never mix, and an error never counts as a pass.
package checks

import (
	"context"
	"fmt"

	"github.com/hostguard/hostguard/internal/host"
)

// A Check is a mechanism: one way of looking, with typed parameters.
type Check struct {
	Name  string    // kebab-case, unique over all families: "sshd-option"
	Looks string    // what is looked at, in a sentence or two for `hostguard explain`
	Blind string    // what this way of looking cannot see
	Needs host.Caps // unmet: the runner answers for the check, which never guesses

	// Long: its look waits for one thing after the other, so it begins before the
	// others.
	Long bool

	// Primitive: it is for rules on any system, whether one of ours uses it or not.
	Primitive bool
	Binding
}

// A Probe looks at the host once. It returns an error when it could not see.
type Probe func(context.Context, *host.Host) (Verdict, error)

// A Binding ties a check's parameter type to its code; [Params] and [NoParams]
// make one.
type Binding struct {
	// Defaults is the parameter struct with its default values, nil when the
	// check takes none. Schemas and documentation are generated from it.
	Defaults any
	// Bind decodes parameters over the defaults and returns the probe. The
	// decode function is strict: it reports unknown keys and wrong types.
	Bind func(decode func(any) error) (Probe, error)
}

// Validator is implemented by parameter structs whose values can be wrong in
// ways their types do not tell.
type Validator interface{ Validate() error }

// Params binds a probe that takes parameters of type P. Fields of P carry
// `yaml` and `doc` tags.
func Params[P any](defaults P, probe func(context.Context, *host.Host, P) (Verdict, error)) Binding {
	return Binding{
		Defaults: defaults,
		Bind: func(decode func(any) error) (Probe, error) {
			p := defaults
			if err := decode(&p); err != nil {
				return nil, err
			}
			if v, ok := any(p).(Validator); ok {
				if err := v.Validate(); err != nil {
					return nil, err
				}
			}
			return func(ctx context.Context, h *host.Host) (Verdict, error) { return probe(ctx, h, p) }, nil
		},
	}
}

// NoParams binds a probe that takes no parameters: any given one is an error.
func NoParams(probe Probe) Binding {
	return Binding{
		Bind: func(decode func(any) error) (Probe, error) {
			if err := decode(&struct{}{}); err != nil {
				return nil, err
			}
			return probe, nil
		},
	}
}

// Status is the outcome of one rule on one host. The zero value is invalid.
type Status uint8

const (
	_             Status = iota
	Pass                 // seen, and as required
	Fail                 // seen, and not as required
	NotApplicable        // the requirement has no object here
	Skipped              // the user asked not to look
	Error                // could not be determined
)

var statusNames = [...]string{Pass: "pass", Fail: "fail", NotApplicable: "not-applicable", Skipped: "skipped", Error: "error"}

func (s Status) String() string {
	if s == 0 || int(s) >= len(statusNames) {
		return fmt.Sprintf("Status(%d)", uint8(s))
	}
	return statusNames[s]
}

// MarshalText writes the status's name; an invalid status is an error.
func (s Status) MarshalText() ([]byte, error) {
	if s == 0 || int(s) >= len(statusNames) {
		return nil, fmt.Errorf("cannot write status %d: it is not a status", uint8(s))
	}
	return []byte(statusNames[s]), nil
}

// UnmarshalText reads what MarshalText wrote.
func (s *Status) UnmarshalText(text []byte) error {
	for i, name := range statusNames {
		if i > 0 && name == string(text) {
			*s = Status(i)
			return nil
		}
	}
	return fmt.Errorf("cannot read status %q: want pass, fail, not-applicable, skipped or error", text)
}

// Verdict is what a probe saw. Every Fail carries evidence that names the
// place; a NotApplicable carries a reason.
type Verdict struct {
	Status   Status
	Reason   string // one sentence: why not applicable, or what the failure means
	Evidence []Evidence

	// Repair is what a remediator of the check must know besides: a value of the
	// check's own type, nil when there is nothing. No report shows it.
	Repair any
}

// Evidence is one observation. It never holds a secret. Strings may come from
// hostile files: writers escape them.
type Evidence struct {
	Source string `json:"source"`         // file, unit, socket, kernel interface: where it was seen
	Line   int    `json:"line,omitempty"` // 1-based line in Source, 0 when it has none
	Key    string `json:"key,omitempty"`  // what was looked at there
	Want   string `json:"want,omitempty"` // what was required; empty when only observed
	Got    string `json:"got,omitempty"`  // what was found
}

// Passed is a Pass with what was seen.
func Passed(seen ...Evidence) Verdict { return Verdict{Status: Pass, Evidence: seen} }

// Failed is a Fail with the places at fault.
func Failed(reason string, at ...Evidence) Verdict {
	return Verdict{Status: Fail, Reason: reason, Evidence: at}
}

// Inapplicable is a NotApplicable with its reason.
func Inapplicable(reason string, seen ...Evidence) Verdict {
	return Verdict{Status: NotApplicable, Reason: reason, Evidence: seen}
}

// Finding is one rule's outcome on one host.
type Finding struct {
	Rule     string // the rule's id
	Verdict         // Status is Error exactly when Err is not nil
	Err      error  // why it could not be determined
	Duration Duration
}
