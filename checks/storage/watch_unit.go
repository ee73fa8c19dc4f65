package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/schedule"
)

func (j job) watchUnit(ctx context.Context, h *host.Host, name string, now time.Time) (checks.Verdict, error) {
	units, err := h.UnitsAndBoot(ctx, name)
	if err != nil {
		return checks.Verdict{}, fmt.Errorf("cannot ask about the "+j.name+": %w", err)
	}
	unit := units[name]
	if unit.Timer == nil {
		return j.watchService(ctx, h, unit, now)
	}
	service, err := h.Units(ctx, unit.Timer.Unit)
	if err != nil {
		return checks.Verdict{}, fmt.Errorf("cannot ask about the "+j.name+": %w", err)
	}
	return j.judgeTimer(unit, service[unit.Timer.Unit], now)
}

// watchService judges a service by the timers that start it, of which one in
// order is enough, and by itself when none does.
func (j job) watchService(ctx context.Context, h *host.Host, unit host.Unit, now time.Time) (v checks.Verdict, err error) {
	timed := false
	for _, by := range unit.TriggeredBy {
		if !strings.HasSuffix(by, ".timer") {
			continue
		}
		timed = true
		if v, err = j.watchUnit(ctx, h, by, now); err == nil && v.Status == checks.Pass {
			return v, nil
		}
	}
	if timed {
		return v, err
	}
	return j.judgeService(unit), nil
}

// inForce is the part of the verdict that all units share; ok says to go on.
func (j job) inForce(unit host.Unit) (v checks.Verdict, seen []checks.Evidence, ok bool) {
	place := cmp.Or(unit.FragmentPath, unit.Name)
	state := checks.Evidence{Source: place, Key: unit.Name, Want: "started at boot and active",
		Got: fmt.Sprintf("%s, %s", cmp.Or(unit.BootState(), unit.LoadState), unit.ActiveState)}
	switch {
	case !unit.Installed():
		return checks.Failed(fmt.Sprintf("The "+j.name+" %s is not installed.", unit.Name), state), nil, false
	case unit.Boot == "":
		return checks.Failed(fmt.Sprintf("Nothing starts the "+j.name+" %s at boot.", unit.Name), state), nil, false
	case !unit.Active():
		return checks.Failed(fmt.Sprintf("The "+j.name+" %s is not active.", unit.Name), state), nil, false
	}
	return checks.Verdict{}, []checks.Evidence{state}, true
}

// judgeService judges a service that runs all the time.
func (j job) judgeService(unit host.Unit) checks.Verdict {
	v, seen, ok := j.inForce(unit)
	if !ok {
		return v
	}
	if unit.SubState != "running" {
		seen[0].Want, seen[0].Got = "running all the time, or started by a timer", unit.SubState
		return checks.Failed(fmt.Sprintf("%s has ended and no timer starts it again, so it watches nothing.", unit.Name), seen...)
	}
	return checks.Passed(seen...)
}

// judgeTimer wants a timer in force whose service succeeded at one of the
// last two times at which it was due.
func (j job) judgeTimer(timer, service host.Unit, now time.Time) (checks.Verdict, error) {
	v, seen, ok := j.inForce(timer)
	if !ok {
		return v, nil
	}
	due, recurring, err := secondLast(timer.Timer, now)
	if err != nil {
		return checks.Verdict{Evidence: seen}, fmt.Errorf("cannot tell when %s was due: %w", timer.Name, err)
	}
	place := cmp.Or(timer.FragmentPath, timer.Name)
	if !recurring {
		return checks.Failed(fmt.Sprintf("%s does not fire again and again.", timer.Name),
			checks.Evidence{Source: place, Key: "schedule", Want: "recurring", Got: schedules(timer.Timer)}), nil
	}
	if j.tooSeldom(due, now) {
		return checks.Failed(fmt.Sprintf("%s fires too seldom for the %s.", timer.Name, j.name),
			checks.Evidence{Source: place, Key: "schedule", Want: j.often(), Got: schedules(timer.Timer)}), nil
	}
	if j.seen {
		if v, failed := lastRunFailed(service); failed {
			return v, nil
		}
		return checks.Passed(seen...), nil
	}
	last := timer.Timer.LastTrigger
	if s := service.Service; s != nil && s.ExecMainStart.After(last) {
		last = s.ExecMainStart // a timer that was started anew forgets what it triggered
	}
	run := checks.Evidence{Source: place, Key: "last start", Want: "not before " + stamp(due), Got: stamp(last)}
	seen = append(seen, run)
	// A timer that was switched on after it was due has missed nothing yet.
	if last.Before(due) {
		if timer.ActiveEnter.After(due) {
			return checks.Verdict{Evidence: seen}, fmt.Errorf("cannot tell whether the "+j.name+" works: %s is active only since %s and has not been due twice", timer.Name, stamp(timer.ActiveEnter))
		}
		return checks.Failed(fmt.Sprintf("%s was due and did not start.", timer.Name), run), nil
	}
	if service.Service == nil {
		return checks.Verdict{Evidence: seen}, fmt.Errorf("cannot tell whether the "+j.name+" works: %s starts %s, which is no service", timer.Name, timer.Timer.Unit)
	}
	if v, failed := lastRunFailed(service); failed {
		return v, nil
	}
	s := service.Service
	result := checks.Evidence{Source: cmp.Or(service.FragmentPath, service.Name), Key: "last result", Want: "success", Got: s.Result}
	seen = append(seen, result)
	switch {
	case s.ExecMainExit.IsZero():
		return checks.Verdict{Evidence: seen}, fmt.Errorf("cannot tell whether the "+j.name+" works: %s has not ended since the boot, or runs right now", service.Name)
	case s.ExecMainExit.Before(due):
		return checks.Failed(fmt.Sprintf("%s was triggered and ran not once: a condition in it may not hold.", service.Name),
			checks.Evidence{Source: result.Source, Key: "last end", Want: run.Want, Got: stamp(s.ExecMainExit)}), nil
	}
	return checks.Passed(seen...), nil
}

// lastRunFailed is the verdict on a service whose last run did not succeed.
func lastRunFailed(service host.Unit) (checks.Verdict, bool) {
	s := service.Service
	if s == nil || service.ActiveState != "failed" && s.Result == "success" {
		return checks.Verdict{}, false
	}
	result := checks.Evidence{Source: cmp.Or(service.FragmentPath, service.Name), Key: "last result", Want: "success", Got: s.Result}
	if s.ExecMainStatus != 0 {
		result.Got = fmt.Sprintf("%s (status %d)", s.Result, s.ExecMainStatus)
	}
	return checks.Failed(fmt.Sprintf("The last run of %s failed.", service.Name), result), true
}

// secondLast is the second-last moment at which a timer was due: a run since
// then has missed one time at most. Of timers that count from the last run it
// is two intervals ago.
func secondLast(t *host.TimerState, now time.Time) (due time.Time, recurring bool, err error) {
	var calendars []schedule.Schedule
	for _, text := range t.Calendar {
		s, err := schedule.Calendar(text)
		if err != nil {
			return time.Time{}, false, err
		}
		calendars = append(calendars, s)
	}
	if len(calendars) > 0 {
		last, found := schedule.Latest(calendars, now)
		if found {
			last, found = schedule.Latest(calendars, last)
		}
		if found && !t.NextElapse.IsZero() {
			return last, true, nil
		}
	}
	var interval time.Duration
	for _, base := range []string{"OnUnitActiveSec", "OnUnitInactiveSec"} {
		if every := t.Monotonic[base]; every > 0 && (interval == 0 || every < interval) {
			interval = every
		}
	}
	if interval == 0 {
		return time.Time{}, false, nil
	}
	if interval > 100*365*24*time.Hour {
		return time.Time{}, false, errors.New("its interval is longer than a century")
	}
	return now.Add(-2 * interval), true, nil
}

func schedules(t *host.TimerState) string {
	parts := t.Calendar
	for base, after := range t.Monotonic {
		parts = append(parts, fmt.Sprintf("%s=%v", base, after))
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format("2006-01-02 15:04:05 MST")
}
