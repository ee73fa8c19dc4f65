package schedule

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestCalendarOfCron(t *testing.T) {
	t.Parallel()
	for cron, want := range map[string]string{
		"*/10 * * * *": "*-*-* *:00,10,20,30,40,50:00",
		"10 1 * * *":   "*-*-* 01:10:00",
		"0 5 1,15 * *": "*-*-01,15 05:00:00",
		"0 5 * 2 1-5":  "Mon,Tue,Wed,Thu,Fri *-02-* 05:00:00",
		"0 5 * * 0":    "Sun *-*-* 05:00:00",
		"0 5 * * 7":    "Sun *-*-* 05:00:00",
	} {
		s, err := Cron(strings.Fields(cron))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Calendar(); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", cron, got, err, want)
		}
	}
	s, _ := Cron(strings.Fields("0 5 1 * 1"))
	if got, err := s.Calendar(); err == nil {
		t.Errorf("either of two days is written as %q", got)
	}
	if s, _ := Cron(strings.Fields("0 5 31 4,6 *")); s.Fires() {
		t.Error("the 31st of April comes")
	}
	if s, _ := Cron(strings.Fields("0 5 29 2 *")); !s.Fires() {
		t.Error("the 29th of February does not come")
	}
}

// What is written has the moments of what was read.
func TestCalendarRoundTrip(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	for range 300 {
		day, weekday := pick("*", "1", "31", "*/7", "2-20/3"), pick("*", "*/2")
		if day == "*" {
			weekday = pick("*", "0", "7", "mon,thu", "5-7", "1-5")
		}
		text := strings.Join([]string{pick("*", "0", "*/13", "5,55", "10-20/3"), pick("*", "0", "*/5", "22-23"), day, pick("*", "2", "jan-mar", "*/4"), weekday}, " ")
		cron, err := Cron(strings.Fields(text))
		if err != nil {
			t.Fatal(text, err)
		}
		calendar, err := cron.Calendar()
		if err != nil {
			t.Fatal(text, err)
		}
		again, err := Calendar(calendar)
		if err != nil {
			t.Fatal(text, err)
		}
		at := time.Date(2020+r.IntN(20), 1, 1+r.IntN(365), r.IntN(24), r.IntN(60), r.IntN(60), 0, time.UTC)
		for range 20 {
			a, foundA := cron.Before(at)
			b, foundB := again.Before(at)
			if !a.Equal(b) || foundA != foundB {
				t.Fatalf("%s and %s: %v and %v before %v", text, calendar, a, b, at)
			}
			if !foundA {
				break
			}
			at = a
		}
	}
}
