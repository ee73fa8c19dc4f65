// Package schedule knows when cron tables and systemd's calendar expressions
// fire.
package schedule

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Schedule is a set of moments. The zero value has none.
type Schedule struct {
	seconds, minutes, hours uint64 // bit n: at n
	days, months, weekdays  uint64 // bit n: day n of the month, month n, n days after Sunday
	years                   []span // nil: every year
	anyDay                  bool   // a day fires when its date or its weekday matches (cron), not only when both do
	location                *time.Location
}

// span is the years from, from+step … to; a zero step means all between.
type span struct{ from, to, step int }

// horizon is how many days Before looks back: leap days on a given weekday
// come every 28 years, and 40 when a century is left out.
const horizon = 41 * 366

// Before returns the latest moment of the schedule that is before t; false
// when there is none in the last decades. Moments are by t's local time unless
// the schedule names a time zone.
func (s Schedule) Before(t time.Time) (time.Time, bool) {
	if s.location != nil {
		t = t.In(s.location)
	}
	year, month, day := t.Date()
	for back := range horizon {
		date := time.Date(year, month, day-back, 12, 0, 0, 0, t.Location()) // noon: no change of clocks moves the date
		if !s.fires(date) {
			continue
		}
		if at, found := s.lastIn(date, t); found {
			return at, true
		}
	}
	return time.Time{}, false
}

// fires reports whether the schedule has moments on that date.
func (s Schedule) fires(date time.Time) bool {
	if !has(s.months, int(date.Month())) || !s.inYears(date.Year()) {
		return false
	}
	day, weekday := has(s.days, date.Day()), has(s.weekdays, int(date.Weekday()))
	if s.anyDay {
		return day || weekday
	}
	return day && weekday
}

func (s Schedule) inYears(year int) bool {
	if s.years == nil {
		return true
	}
	for _, y := range s.years {
		if year >= y.from && year <= y.to && (year-y.from)%max(y.step, 1) == 0 {
			return true
		}
	}
	return false
}

// lastIn returns the latest moment on a date that is before t.
func (s Schedule) lastIn(date, t time.Time) (time.Time, bool) {
	year, month, day := date.Date()
	for h := s.hours; h != 0; h &^= 1 << last(h) {
		for m := s.minutes; m != 0; m &^= 1 << last(m) {
			for sec := s.seconds; sec != 0; sec &^= 1 << last(sec) {
				at := time.Date(year, month, day, last(h), last(m), last(sec), 0, date.Location())
				if at.Before(t) {
					return at, true
				}
			}
		}
	}
	return time.Time{}, false
}

// Latest returns the latest moment before t of several schedules.
func Latest(schedules []Schedule, t time.Time) (latest time.Time, found bool) {
	for _, s := range schedules {
		if at, any := s.Before(t); any && (!found || at.After(latest)) {
			latest, found = at, true
		}
	}
	return latest, found
}

func has(set uint64, n int) bool { return set&(1<<n) != 0 }
func last(set uint64) int        { return bits.Len64(set) - 1 }

// field is one part of an expression and what it may hold.
type field struct {
	name     string
	min, max int
	names    []string // words for min, min+1 …
}

// number reads a number or a name of the field.
func (f field) number(text string) (int, error) {
	for i, name := range f.names {
		if strings.EqualFold(text, name) {
			return f.min + i, nil
		}
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || int(n) < f.min || int(n) > f.max {
		return 0, fmt.Errorf("%q is no %s from %d to %d", text, f.name, f.min, f.max)
	}
	return int(n), nil
}

func step(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no step", text)
	}
	return int(n), nil
}

// set makes the bits from, from+step … to.
func set(from, to, step int) (bits uint64) {
	for n := from; n <= to; n += step {
		bits |= 1 << n
	}
	return bits
}
