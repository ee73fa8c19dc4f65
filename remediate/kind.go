package remediate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// State is a thing's state in the form in which plans and journals keep it: the
// canonical JSON of its kind's own type, so that equal states are equal bytes.
type State = json.RawMessage

// Thing names what a step changes.
type Thing struct {
	Root   string // of the file tree; "/" is this host
	Target string // path, unit …: the kind knows
	Mark   string // of this step of this transaction alone: names its temporary files

	Began time.Time // when the transaction began, by the host's clock then

	// Memory is what kinds add up over the steps of one preflight, by a name of
	// theirs: the space that all of them need together.
	Memory map[string]any
}

// A Kind is one sort of thing that fix changes, and how it is moved from one
// state to another, and back. It knows nothing of plans and transactions.
type Kind struct {
	Name    string // "file", "unit" …
	Phase   Phase
	Running bool // needs the running host: an image cannot be given it

	// Observe sees the present state.
	Observe func(context.Context, Thing) (State, error)
	// Equal reports whether two states are one; what is kept with a state beside
	// its identity, such as a file's time, does not count.
	Equal func(a, b State) bool
	// Preflight says why the move would not go well, before any has begun.
	Preflight func(ctx context.Context, t Thing, from, to State) error
	// Move brings the thing from one state to the other, at once or not at all.
	// It is a *ConflictError when the thing is not in the state from.
	Move func(ctx context.Context, t Thing, from, to State) error
	// Back takes a move back that failed, was killed at any point, is not wanted
	// any more, or is undone long after. Where nothing was moved it does nothing.
	// It is a *ConflictError when the thing is in neither state, or was changed
	// by somebody meanwhile: theirs stays.
	Back func(ctx context.Context, t Thing, from, to State) error
	// Settle reports whether all is as Move left it, what it took out included.
	// It is the last look before the commit.
	Settle func(ctx context.Context, t Thing, from, to State) error
	// Clean removes what Move and Back keep to be able to go the other way. A
	// *ConflictError names what was kept after all, since somebody changed it.
	Clean func(ctx context.Context, t Thing, from, to State) error
	// Show tells of the move for people: a unified diff, or a line.
	Show func(target string, from, to State) string
}

// Phase orders the steps of a plan; backwards it is the other way round.
type Phase int

const (
	Folders Phase = iota // before what lies in them
	Kernel               // it refuses what it does not take before that goes into a file
	Files
	Units // after the files that they read
)

// ConflictError says that a thing is not as it was planned against, since
// somebody else has changed it. It is left as they made it.
type ConflictError struct {
	Target string
	Why    string
}

func (e *ConflictError) Error() string { return fmt.Sprintf("%s: %s", e.Target, e.Why) }

// IsConflict reports whether somebody else's change is in the way.
func IsConflict(err error) bool {
	var conflict *ConflictError
	return errors.As(err, &conflict)
}

// Mover is what a kind does with states of its own type S. What is nil does
// nothing; without Back a move is taken back by a Move the other way, and
// without Equal states are compared as JSON.
type Mover[S any] struct {
	Observe   func(context.Context, Thing) (S, error)
	Equal     func(a, b S) bool
	Preflight func(ctx context.Context, t Thing, from, to S) error
	Move      func(ctx context.Context, t Thing, from, to S) error
	Back      func(ctx context.Context, t Thing, from, to S) error
	Settle    func(ctx context.Context, t Thing, from, to S) error
	Clean     func(ctx context.Context, t Thing, from, to S) error
	Show      func(target string, from, to S) string
}

// NewKind makes a kind of what handles its states as values. JSON of S must
// give equal bytes for equal values.
func NewKind[S any](name string, phase Phase, m Mover[S]) Kind {
	if m.Back == nil {
		m.Back = func(ctx context.Context, t Thing, from, to S) error { return m.Move(ctx, t, to, from) }
	}
	return Kind{
		Name:  name,
		Phase: phase,
		Observe: func(ctx context.Context, t Thing) (State, error) {
			s, err := m.Observe(ctx, t)
			if err != nil {
				return nil, err
			}
			return Encode(s)
		},
		Equal: func(a, b State) bool {
			x, y, err := decodeBoth[S](a, b)
			if m.Equal == nil || err != nil {
				return bytes.Equal(a, b)
			}
			return m.Equal(x, y)
		},
		Preflight: decoding(m.Preflight),
		Move:      decoding(m.Move),
		Back:      decoding(m.Back),
		Settle:    decoding(m.Settle),
		Clean:     decoding(m.Clean),
		Show: func(target string, from, to State) string {
			a, b, err := decodeBoth[S](from, to)
			if err != nil {
				return err.Error()
			}
			return m.Show(target, a, b)
		},
	}
}

func decoding[S any](f func(context.Context, Thing, S, S) error) func(context.Context, Thing, State, State) error {
	return func(ctx context.Context, t Thing, from, to State) error {
		if f == nil {
			return nil
		}
		a, b, err := decodeBoth[S](from, to)
		if err != nil {
			return err
		}
		return f(ctx, t, a, b)
	}
}

// Encode gives a state of a kind's own type the form of plans and journals.
func Encode(s any) (State, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("cannot write a state: %w", err)
	}
	return data, nil
}

// Decode reads a state as its kind's own type. What the type does not know is
// an error: it belongs to another version.
func Decode[S any](state State) (S, error) {
	var s S
	d := json.NewDecoder(bytes.NewReader(state))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("cannot read a state: %w", err)
	}
	return s, nil
}

func decodeBoth[S any](from, to State) (a, b S, err error) {
	if a, err = Decode[S](from); err == nil {
		b, err = Decode[S](to)
	}
	return a, b, err
}
