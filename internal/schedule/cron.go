package schedule

import (
	"errors"
	"fmt"
	"strings"
)

var (
	cronMinute  = field{"minute", 0, 59, nil}
	cronHour    = field{"hour", 0, 23, nil}
	cronDay     = field{"day of the month", 1, 31, nil}
	cronMonth   = field{"month", 1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}}
	cronWeekday = field{"day of the week", 0, 7, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}}
)

// ErrReboot marks @reboot, which has no moments.
var ErrReboot = errors.New("@reboot runs once after each boot, at no interval")

var cronNames = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

// Cron reads the five time fields of a crontab(5) line, or one of its names
// such as @daily. When both the day of the month and that of the week are
// restricted, either is enough.
func Cron(fields []string) (Schedule, error) {
	if len(fields) == 1 {
		if fields[0] == "@reboot" {
			return Schedule{}, ErrReboot
		}
		long, known := cronNames[fields[0]]
		if !known {
			return Schedule{}, fmt.Errorf("%q is no time specifier", fields[0])
		}
		fields = strings.Fields(long)
	}
	if len(fields) != 5 {
		return Schedule{}, errors.New("want five time fields")
	}
	s := Schedule{seconds: 1}
	var err error
	for i, part := range []struct {
		field field
		set   *uint64
	}{{cronMinute, &s.minutes}, {cronHour, &s.hours}, {cronDay, &s.days}, {cronMonth, &s.months}, {cronWeekday, &s.weekdays}} {
		if *part.set, err = part.field.cron(fields[i]); err != nil {
			return Schedule{}, err
		}
	}
	if has(s.weekdays, 7) { // Sunday too
		s.weekdays |= 1
	}
	s.anyDay = !strings.HasPrefix(fields[2], "*") && !strings.HasPrefix(fields[4], "*")
	return s, nil
}

// cron reads one field: a list of *, N, N-M, each with an optional /STEP
// after a star or range. A range that ends before it begins is empty, as it is
// to Debian's cron.
func (f field) cron(text string) (bits uint64, err error) {
	for part := range strings.SplitSeq(text, ",") {
		span, every, stepped := strings.Cut(part, "/")
		by := 1
		if stepped {
			if by, err = step(every); err != nil {
				return 0, fmt.Errorf("bad %s: %w", f.name, err)
			}
		}
		from, to := f.min, f.max
		low, high, ranged := strings.Cut(span, "-")
		switch {
		case span == "*":
		case ranged:
			if from, err = f.number(low); err == nil {
				to, err = f.number(high)
			}
		case stepped:
			err = fmt.Errorf("%q has a step without a range", part)
		default:
			from, err = f.number(span)
			to = from
		}
		if err != nil {
			return 0, fmt.Errorf("bad %s: %w", f.name, err)
		}
		bits |= set(from, to, by)
	}
	return bits, nil
}
