// Package secret holds what no report, log or error may show: values that are
// secret, and how hard they are to guess.
package secret

import (
	"fmt"
	"io"
)

const hidden = "(hidden)"

// Text is a secret text. However it is printed or encoded, it shows "(hidden)";
// within another struct, where its methods are not asked, an address. The zero
// value is an empty text.
type Text struct{ text *string }

// New hides a text.
func New(text string) Text {
	if text == "" {
		return Text{}
	}
	return Text{&text}
}

// Reveal returns the text itself, for comparing and opening with. It must not
// go into a verdict or an error.
func (t Text) Reveal() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// Empty reports whether there is nothing to hide.
func (t Text) Empty() bool { return t.text == nil }

// Equal compares the texts.
func (t Text) Equal(u Text) bool { return t.Reveal() == u.Reveal() }

// String does not show the text.
func (t Text) String() string { return hidden }

// GoString does not show the text.
func (t Text) GoString() string { return hidden }

// Format does not show the text, whatever the verb.
func (t Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText does not show the text: JSON, YAML and XML ask it.
func (t Text) MarshalText() ([]byte, error) { return []byte(hidden), nil }
