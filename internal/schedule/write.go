package schedule

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Fires reports whether there is any moment in the schedule: the 30th of
// February is none.
func (s Schedule) Fires() bool {
	_, found := s.Before(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
	return found
}

// Calendar writes the schedule as a calendar expression, see systemd.time(7).
// Days that are given by date or weekday, either being enough, cannot be
// written so, and years are left out.
func (s Schedule) Calendar() (string, error) {
	if s.anyDay {
		return "", errors.New("a day of the month and a day of the week are both given: want one of them")
	}
	var b strings.Builder
	if week := s.weekdays &^ (1 << 7); week != set(0, 6, 1) {
		b.WriteString(list(week, calWeekday) + " ")
	}
	b.WriteString("*-" + list(s.months, calMonth) + "-" + list(s.days, calDay) + " " +
		list(s.hours, calHour) + ":" + list(s.minutes, calMinute) + ":" + list(s.seconds, calSecond))
	if s.location != nil {
		b.WriteString(" " + s.location.String())
	}
	return b.String(), nil
}

// list writes a set of a field's numbers.
func list(bits uint64, f field) string {
	if bits == set(f.min, f.max, 1) {
		return "*"
	}
	var items []string
	for n := f.min; n <= f.max; n++ {
		switch {
		case !has(bits, n):
		case f.names != nil:
			name := f.names[n-f.min]
			items = append(items, strings.ToUpper(name[:1])+name[1:])
		default:
			items = append(items, pad(n))
		}
	}
	return strings.Join(items, ",")
}

func pad(n int) string {
	if n < 10 {
		return "0" + strconv.Itoa(n)
	}
	return strconv.Itoa(n)
}
