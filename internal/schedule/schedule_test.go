package schedule

import (
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/lab"
)

const form = "Mon 2006-01-02 15:04:05"

func TestCron(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 12, 7, 30, 0, time.UTC) // a Wednesday
	tests := map[string]string{
		"*/5 * * * *":         "Wed 2026-03-04 12:05:00",
		"7 12 * * *":          "Wed 2026-03-04 12:07:00",
		"8 12 * * *":          "Tue 2026-03-03 12:08:00",
		"0 0 * * 0":           "Sun 2026-03-01 00:00:00",
		"0 0 * * 7":           "Sun 2026-03-01 00:00:00",
		"0 22 * * 1-5":        "Tue 2026-03-03 22:00:00",
		"0 0 1,15 * 5":        "Sun 2026-03-01 00:00:00", // either day is enough
		"0 0 13 * 5":          "Fri 2026-02-27 00:00:00",
		"0 0 */2 * 5":         "Fri 2026-02-27 00:00:00", // a field that begins with a star restricts with the other
		"0 0 29 2 *":          "Thu 2024-02-29 00:00:00",
		"15 14 1 jan *":       "Thu 2026-01-01 14:15:00",
		"1-9/4 3-4 * * *":     "Wed 2026-03-04 04:09:00",
		"@daily":              "Wed 2026-03-04 00:00:00",
		"@weekly":             "Sun 2026-03-01 00:00:00",
		"@hourly":             "Wed 2026-03-04 12:00:00",
		"0 0 31 2 *":          "never",
		"0 0 * jan-mar *":     "Wed 2026-03-04 00:00:00",
		"60 * * * *":          "bad",
		"*/0 * * * *":         "bad",
		"5-1 * * * *":         "never",
		"* * 0 * *":           "bad",
		"* * * *":             "bad",
		"@fortnightly":        "bad",
		"5/5 * * * *":         "bad",
		"1,,2 * * * *":        "bad",
		"99999999999 * * * *": "bad",
	}
	for text, want := range tests {
		s, err := Cron(strings.Fields(text))
		got := "bad"
		if err == nil {
			got = "never"
			if at, found := s.Before(now); found {
				got = at.Format(form)
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s (%v)", text, got, want, err)
		}
	}
	if _, err := Cron([]string{"@reboot"}); err != ErrReboot {
		t.Errorf("@reboot: %v", err)
	}
}

func TestLatestOfSeveral(t *testing.T) {
	t.Parallel()
	early, _ := Calendar("*-*-* 03:00:00")
	late, _ := Calendar("*-*-* 05:00:00")
	at, found := Latest([]Schedule{early, late, {}}, time.Date(2026, 3, 4, 4, 0, 0, 0, time.UTC))
	if want := "Wed 2026-03-04 03:00:00"; !found || at.Format(form) != want {
		t.Errorf("%v, %v, want %s", at, found, want)
	}
}

func TestCalendarRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "x", "*-*~01 00:00:00", "*-*-* 25:00:00", "*-*-* 00:00:00.5", "Foo *-*-* 00:00:00", "*-*-* 00:00:00 No/Where", "*-*-* 5..1:00:00", "1-1 0:0", "2026..x-*-* 0:0:0", "*-*-* 0:0:0 UTC UTC"} {
		if s, err := Calendar(text); err == nil {
			t.Errorf("%q was read as %+v", text, s)
		}
	}
}

// TestCalendarAgainstSystemd lets systemd-analyze list when expressions made
// by chance fire next, and walks back through the list.
func TestCalendarAgainstSystemd(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Systemd)
	const analyze = "/usr/bin/systemd-analyze"
	rng := rand.New(rand.NewPCG(10, 1))
	pick := func(texts ...string) string { return texts[rng.IntN(len(texts))] }
	for range 60 {
		text := pick("", "", "Mon..Fri ", "Sat..Sun ", "Tue,Thu ", "Sun ") +
			pick("*", "*", "*", "2026..2040", "2024/2", "2030") + "-" + pick("*", "*", "01,07", "2", "1..6/2") + "-" + pick("*", "*", "1", "1,15", "10..20", "31", "1/7") + " " +
			pick("00", "*", "0/6", "9..17", "1,13") + ":" + pick("00", "0/15", "30") + ":" + pick("00", "00", "5", "0/20") + " UTC"
		cmd := exec.Command(analyze, "calendar", "--iterations=5", "--base-time=2026-11-20 10:00:00 UTC", text)
		cmd.Env = []string{"LC_ALL=C", "TZ=UTC"}
		out, err := cmd.Output()
		if err != nil && !strings.Contains(string(out), "Next elapse: never") { // then it exits with 1
			t.Fatalf("%s: %v\n%s", text, err, out)
		}
		normal := text
		var times []time.Time
		for line := range strings.Lines(string(out)) {
			key, value, found := strings.Cut(strings.TrimSpace(line), ": ")
			value = strings.TrimSpace(value)
			switch {
			case found && key == "Normalized form":
				normal = value
			case found && (key == "Next elapse" || strings.HasPrefix(key, "Iter")) && value != "never" && value != "":
				at, err := time.Parse(form+" MST", value)
				if err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				times = append(times, at)
			}
		}
		for _, written := range []string{text, normal} {
			s, err := Calendar(written)
			if err != nil {
				t.Fatal(err)
			}
			for i, at := range times {
				if got, found := s.Before(at.Add(time.Second)); !found || !got.Equal(at) {
					t.Errorf("%s: before %v+1s: %v, want itself", written, at, got)
				}
				if i > 0 {
					if got, found := s.Before(at); !found || !got.Equal(times[i-1]) {
						t.Errorf("%s: before %v: %v, want %v", written, at, got, times[i-1])
					}
				}
			}
		}
	}
}

func FuzzSchedule(f *testing.F) {
	f.Add("*/5 * * * *", int64(1_770_000_000))
	f.Add("Mon..Fri *-*-* 00/2:30:00 UTC", int64(1_770_000_000))
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		now := time.Unix(unix%(1<<33), 0).UTC()
		for _, read := range []func() (Schedule, error){
			func() (Schedule, error) { return Cron(strings.Fields(text)) },
			func() (Schedule, error) { return Calendar(text) },
		} {
			s, err := read()
			if err != nil {
				continue
			}
			if at, found := s.Before(now); found && (!at.Before(now) || at.Nanosecond() != 0) {
				t.Errorf("%q: %v is not before %v", text, at, now)
			}
		}
	})
}
