package schedule

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

var (
	calWeekday = field{"weekday", 0, 6, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}}
	calMonth   = field{"month", 1, 12, nil}
	calDay     = field{"day", 1, 31, nil}
	calHour    = field{"hour", 0, 23, nil}
	calMinute  = field{"minute", 0, 59, nil}
	calSecond  = field{"second", 0, 59, nil}
)

// Calendar reads a calendar expression in the normal form in which systemd
// reports it: "Mon..Fri *-*-* 00/2:30:00 UTC", see systemd.time(7). Days
// counted from the month's end (~) and fractions of seconds are refused.
func Calendar(text string) (Schedule, error) {
	s := Schedule{weekdays: set(0, 6, 1), days: set(1, 31, 1), months: set(1, 12, 1), hours: 1, minutes: 1, seconds: 1}
	words := strings.Fields(text)
	wrong := func(err error) (Schedule, error) {
		return Schedule{}, fmt.Errorf("cannot read the calendar expression %q: %w", text, err)
	}
	var err error
	if len(words) > 0 && strings.ContainsAny(words[0][:1], "SMTWF") {
		if s.weekdays, err = weekdays(words[0]); err != nil {
			return wrong(err)
		}
		words = words[1:]
	}
	if len(words) > 0 && strings.Contains(words[0], "-") {
		if err := s.date(words[0]); err != nil {
			return wrong(err)
		}
		words = words[1:]
	}
	if len(words) > 0 && strings.Contains(words[0], ":") {
		if err := s.clock(words[0]); err != nil {
			return wrong(err)
		}
		words = words[1:]
	}
	if len(words) == 1 {
		if s.location, err = time.LoadLocation(words[0]); err != nil {
			return wrong(err)
		}
		words = nil
	}
	if len(words) > 0 || strings.TrimSpace(text) == "" {
		return wrong(fmt.Errorf("want [WEEKDAYS] [YEAR-MONTH-DAY] [HOUR:MINUTE:SECOND] [ZONE]"))
	}
	return s, nil
}

func weekdays(text string) (bits uint64, err error) {
	for part := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(part, "..")
		if !ranged {
			last = first
		}
		from, err := calWeekday.number(first)
		if err != nil {
			return 0, err
		}
		to, err := calWeekday.number(last)
		if err != nil {
			return 0, err
		}
		for day := from; ; day = (day + 1) % 7 { // systemd's week begins on Monday: Sat..Sun is a range
			bits |= 1 << day
			if day == to {
				break
			}
		}
	}
	return bits, nil
}

func (s *Schedule) date(text string) (err error) {
	parts := strings.Split(text, "-")
	if len(parts) != 3 {
		return fmt.Errorf("%q is not YEAR-MONTH-DAY", text)
	}
	if parts[0] != "*" {
		if s.years, err = years(parts[0]); err != nil {
			return err
		}
	}
	if s.months, err = calMonth.calendar(parts[1]); err != nil {
		return err
	}
	s.days, err = calDay.calendar(parts[2])
	return err
}

func (s *Schedule) clock(text string) (err error) {
	parts := strings.Split(text, ":")
	if len(parts) == 2 {
		parts = append(parts, "00")
	}
	if len(parts) != 3 {
		return fmt.Errorf("%q is not HOUR:MINUTE:SECOND", text)
	}
	if s.hours, err = calHour.calendar(parts[0]); err != nil {
		return err
	}
	if s.minutes, err = calMinute.calendar(parts[1]); err != nil {
		return err
	}
	s.seconds, err = calSecond.calendar(parts[2])
	return err
}

// calendar reads one field: a list of *, N, N..M, each with an optional
// /STEP; N/STEP goes on to the field's end.
func (f field) calendar(text string) (bits uint64, err error) {
	for part := range strings.SplitSeq(text, ",") {
		span, every, stepped := strings.Cut(part, "/")
		by := 1
		if stepped {
			if by, err = step(every); err != nil {
				return 0, err
			}
		}
		from, to := f.min, f.max
		first, last, ranged := strings.Cut(span, "..")
		if span != "*" {
			if from, err = f.number(first); err != nil {
				return 0, err
			}
			switch {
			case ranged:
				if to, err = f.number(last); err != nil {
					return 0, err
				}
			case !stepped:
				to = from
			}
		}
		if from > to {
			return 0, fmt.Errorf("%q ends before it begins", span)
		}
		bits |= set(from, to, by)
	}
	return bits, nil
}

func years(text string) (spans []span, err error) {
	year := func(text string) int {
		n, parseErr := strconv.ParseUint(text, 10, 16)
		if parseErr != nil || n < 1970 {
			err = fmt.Errorf("%q is no year", text)
		}
		return int(n)
	}
	for part := range strings.SplitSeq(text, ",") {
		between, every, stepped := strings.Cut(part, "/")
		first, last, ranged := strings.Cut(between, "..")
		y := span{from: year(first)}
		switch {
		case ranged:
			y.to = year(last)
		case stepped:
			y.to = 1 << 16
		default:
			y.to = y.from
		}
		if stepped && err == nil {
			y.step, err = step(every)
		}
		if err != nil {
			return nil, err
		}
		spans = append(spans, y)
	}
	return spans, nil
}
