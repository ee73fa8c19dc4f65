// Package attested reads attestations: a person's word for what no program on
// the host can see, with the days from which and until which it counts.
package attested

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hostguard/hostguard/internal/strictyaml"
)

// Attestation is one person's word for one rule.
type Attestation struct {
	Rule    string `yaml:"rule" required:"true" doc:"The rule that it answers; only rules that ask for a person's word take one."`
	Owner   string `yaml:"owner" required:"true" doc:"The person who vouches."`
	Note    string `yaml:"note" required:"true" doc:"What was done to make sure."`
	Date    Date   `yaml:"date" required:"true" doc:"The day on which it was made sure of, such as 2026-01-31."`
	Expires Date   `yaml:"expires" required:"true" doc:"The last day on which it counts."`

	node strictyaml.Node
}

const (
	maxOwner = 200  // letters
	maxNote  = 2000 // letters
)

// UnmarshalNode reads an attestation; the error is strictyaml.Errors.
func (a *Attestation) UnmarshalNode(n strictyaml.Node) error {
	type plain Attestation
	*a = Attestation{}
	var errs strictyaml.Errors
	errs.Add(n, n.Decode((*plain)(a)))
	a.node = n
	if len(errs) > 0 {
		return errs
	}
	for _, field := range []struct {
		key, text string
		max       int
	}{{"owner", a.Owner, maxOwner}, {"note", a.Note, maxNote}} {
		switch at := n.Get(field.key); {
		case !strings.ContainsFunc(field.text, unicode.IsLetter):
			errs = append(errs, at.Errorf("%s says nothing: want words", field.key))
		case utf8.RuneCountInString(field.text) > field.max:
			errs = append(errs, at.Errorf("%s has more than %d letters", field.key, field.max))
		}
	}
	if !a.Expires.After(a.Date.Time) {
		errs = append(errs, n.Get("expires").Errorf("expires %v is not after the date %v", a.Expires, a.Date))
	}
	return errs.OrNil()
}

// At returns the node of one of the attestation's keys, for its place.
func (a *Attestation) At(key string) strictyaml.Node { return a.node.Get(key) }

// Date is a day, at its first moment in UTC.
type Date struct{ time.Time }

// DayOf is the day of a moment, in UTC.
func DayOf(t time.Time) Date {
	y, m, d := t.UTC().Date()
	return Date{time.Date(y, m, d, 0, 0, 0, 0, time.UTC)}
}

// Add returns the day that many days later.
func (d Date) Add(days int) Date { return Date{d.AddDate(0, 0, days)} }

// DaysUntil is the number of days from d to a later day, negative to an earlier.
func (d Date) DaysUntil(later Date) int { return int(later.Sub(d.Time) / (24 * time.Hour)) }

// UnmarshalText reads a day written as 2026-01-31.
func (d *Date) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.DateOnly, string(text))
	if err != nil {
		return fmt.Errorf("%q is not a day such as 2026-01-31", text)
	}
	d.Time = t
	return nil
}

// MarshalText writes the form that UnmarshalText reads.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Date) String() string { return d.Format(time.DateOnly) }
