package authorizedkeys

import (
	"strings"
	"time"

	"github.com/hostguard/hostguard/internal/sshdconf"
)

// parseTime reads YYYYMMDD[HHMM[SS]] as sshd does: in the host's zone, without
// its summer time whatever the season, or in UTC with a Z at the end, which
// releases before 9.1 refuse. A day that the month does not have is one of the
// next.
func (r Reader) parseTime(text string) (time.Time, bool) {
	utc := false
	if r.Version.AtLeast(sshdconf.V9_1) {
		for _, suffix := range []string{"Z", "UTC"} {
			if n := len(text) - len(suffix); n > 0 && strings.EqualFold(text[n:], suffix) {
				text, utc = text[:n], true
				break
			}
		}
	}
	if len(text) != 8 && len(text) != 12 && len(text) != 14 {
		return time.Time{}, false
	}
	field := func(from, to, low, high int) (int, bool) {
		if from >= len(text) {
			return 0, true
		}
		n, rest, ok := number(text[from:to])
		// Older releases do not look at what follows the last number.
		whole := rest == "" || to == len(text) && !r.Version.AtLeast(sshdconf.V9_1)
		return n, ok && whole && n >= low && n <= high
	}
	year, ok1 := field(0, 4, 0, 9999)
	month, ok2 := field(4, 6, 1, 12)
	day, ok3 := field(6, 8, 1, 31)
	hour, ok4 := field(8, 10, 0, 23)
	minute, ok5 := field(10, 12, 0, 59)
	second, ok6 := field(12, 14, 0, 61)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	if !utc {
		t = t.Add(-standardOffset(time.Date(year, time.Month(month), day, hour, minute, second, 0, r.Zone))).In(r.Zone)
	}
	return t, t.Unix() > 0
}

// standardOffset is how far a zone is from UTC around t when there is no summer
// time: what mktime(3) takes when it is told so.
func standardOffset(t time.Time) time.Duration {
	if t.IsDST() {
		start, end := t.ZoneBounds()
		standard := end
		if standard.IsZero() || !start.IsZero() && t.Sub(start) < end.Sub(t) {
			standard = start.Add(-time.Second)
		}
		if !standard.IsDST() {
			t = standard
		}
	}
	_, offset := t.Zone()
	return time.Duration(offset) * time.Second
}

// number reads digits as strptime(3) does, which lets blanks stand before them.
func number(text string) (n int, rest string, ok bool) {
	rest = strings.TrimLeft(text, " ")
	for ; rest != "" && rest[0] >= '0' && rest[0] <= '9'; rest, ok = rest[1:], true {
		n = n*10 + int(rest[0]-'0')
	}
	return n, rest, ok
}
