package reports

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Options are the wishes of whoever reads a report. Formats for machines
// ignore them: a report file must not depend on the terminal it was made at.
type Options struct {
	Color   bool // for terminals: mark with colours
	Width   int  // columns to stay within; 0: DefaultWidth
	Quiet   bool // only what failed or is unknown, and the verdict
	Verbose bool // everything with its evidence
}

// A Writer renders a report in one format. It decides nothing: verdict and
// exit code are the report's.
type Writer func(io.Writer, *Report, Options) error

// Writers are the formats by name, as in --format and -o.
var Writers = map[string]Writer{
	"json": WriteJSON,
	"text": WriteText,
}

// WriterFor returns the writer of a format.
func WriterFor(format string) (Writer, error) {
	if w := Writers[format]; w != nil {
		return w, nil
	}
	return nil, fmt.Errorf("there is no report format %q: want %s", format, strings.Join(Formats(), " or "))
}

// Formats are the names of all formats, sorted.
func Formats() []string { return slices.Sorted(maps.Keys(Writers)) }
