package sshdconf

import (
	"fmt"
	"strings"
)

// Place is a line of a file. The zero value is sshd's built-in default.
type Place struct {
	File string // CommandLine for an option of the daemon's command line
	Line int    // counted from 1; 0 on the command line
}

// CommandLine is the File of what the daemon's command line sets.
const CommandLine = "sshd command line"

func (p Place) String() string {
	switch {
	case p == Place{}:
		return "built-in default"
	case p.Line == 0:
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Problem is one thing that sshd refuses or remarks on, and where.
type Problem struct {
	Place
	Text string
}

func (p Problem) String() string {
	if p.Place == (Place{}) {
		return p.Text
	}
	return p.Place.String() + ": " + p.Text
}

// RefusedError says that sshd would not run with this configuration. The
// problems are in the order in which sshd meets them.
type RefusedError struct{ Problems []Problem }

func (e *RefusedError) Error() string {
	const shown = 3
	var texts []string
	for i, p := range e.Problems {
		if i == shown {
			texts = append(texts, fmt.Sprintf("and %d more", len(e.Problems)-shown))
			break
		}
		texts = append(texts, p.String())
	}
	return "sshd refuses its configuration: " + strings.Join(texts, "; ")
}

// ReadError says that a file could not be read, so nothing is known about
// what sshd makes of it.
type ReadError struct {
	At   Place // the Include line that names it, zero for the main file
	File string
	Err  error
}

func (e *ReadError) Error() string {
	if e.At == (Place{}) {
		return fmt.Sprintf("cannot read %s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("cannot read %s (included at %v): %v", e.File, e.At, e.Err)
}

func (e *ReadError) Unwrap() error { return e.Err }
