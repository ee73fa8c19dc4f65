package host

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/timeconf"
)

func TestDaemonServers(t *testing.T) {
	t.Parallel()
	sources := func(s ...timeconf.Source) []TimeSources { return []TimeSources{{Sources: s}} }
	refclock := timeconf.Source{Kind: timeconf.RefClock, Name: "PHC /dev/ptp0"}
	if got, err := daemonServers(sources(refclock)); err == nil {
		t.Errorf("a reference clock alone cannot be asked, yet: %v", got)
	}
	got, err := daemonServers(sources(refclock, timeconf.Source{Kind: timeconf.Pool, Name: "p"}, timeconf.Source{Kind: timeconf.Server, Name: "a", Port: 5}, timeconf.Source{Kind: timeconf.Server, Name: "a", Port: 5}))
	if want := "[{p 0 true} {a 5 false}]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v, want %s", got, err, want)
	}
}

// TestMeasuredNow: the time of a majority of the servers counts; without one
// the host's own does, and it is said.
func TestMeasuredNow(t *testing.T) {
	t.Parallel()
	clock := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	said := func(offsets ...time.Duration) (a []TimeAnswer) {
		for _, o := range offsets {
			a = append(a, TimeAnswer{Offset: o})
		}
		return a
	}
	const year = 365 * 24 * time.Hour
	for name, c := range map[string]struct {
		answers []TimeAnswer
		err     error
		off     time.Duration
		by      string
	}{
		"all agree":           {said(2*time.Millisecond, 3*time.Millisecond), nil, 3 * time.Millisecond, "2 of 2 time servers, which this host's clock is 3ms behind"},
		"a clock years ahead": {said(-5*year, -5*year, 0), nil, -5 * year, "2 of 3 time servers, which this host's clock is 43800h0m0s ahead of"},
		"no majority":         {said(0, time.Hour), nil, 0, "which was not compared: the time servers do not agree"},
		"no answer":           {[]TimeAnswer{{Err: errors.New("silent")}}, nil, 0, "which was not compared: no time server gave"},
		"one that is unsure":  {[]TimeAnswer{{Offset: time.Hour, RootDistance: time.Minute}}, nil, 0, "which was not compared: no time server gave"},
		"nobody to ask":       {nil, errors.New("no servers"), 0, "which was not compared: no servers"},
	} {
		now := nowOf(clock, c.answers, c.err)
		if off := now.Sub(clock); off != c.off || !strings.Contains(now.By, c.by) {
			t.Errorf("%s: %v, %s", name, off, now.By)
		}
	}
	h := hostTree(t, nil, Options{})
	if now := h.MeasuredNow(t.Context(), nil); time.Since(now.Time).Abs() > time.Minute || !strings.Contains(now.By, "machine that looks") {
		t.Errorf("of a tree: %+v", now)
	}
}

// TestClockAnswersAsksOnce: several rules that ask the same servers wait for one answer.
func TestClockAnswersAsksOnce(t *testing.T) {
	t.Parallel()
	h := New(Options{})
	servers := []string{"127.0.0.1:9"} // nobody serves the time there
	first, err := h.ClockAnswers(t.Context(), servers, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	second, _ := h.ClockAnswers(t.Context(), servers, 100*time.Millisecond)
	if len(first) != 1 || len(second) != 1 || &first[0] != &second[0] {
		t.Errorf("asked again: %v, %v", first, second)
	}
}
