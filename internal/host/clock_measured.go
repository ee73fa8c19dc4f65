package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hostguard/hostguard/internal/timeconf"
)

// How far the clock is from the servers is good enough for dates when this holds.
const (
	measureTimeout     = 2 * time.Second
	measureMaxDistance = time.Second
	measureTolerance   = 500 * time.Millisecond
)

// ClockAnswers asks time servers, NAME or NAME:PORT each, those of the host's
// time daemons when none are named, as AskTimeServers does. The same question
// is asked once in a run.
func (h *Host) ClockAnswers(ctx context.Context, servers []string, timeout time.Duration) ([]TimeAnswer, error) {
	question := strings.Join(append([]string{timeout.String()}, servers...), " ")
	f, _ := h.clockAnswers.LoadOrStore(question, new(fact[[]TimeAnswer]))
	return f.(*fact[[]TimeAnswer]).get(ctx, func(ctx context.Context) ([]TimeAnswer, error) {
		var asked []TimeServer
		for _, s := range servers {
			server, err := ParseTimeServer(s)
			if err != nil {
				return nil, err
			}
			asked = append(asked, server)
		}
		if len(asked) == 0 {
			sources, err := h.TimeSources(ctx)
			if err != nil {
				return nil, fmt.Errorf("%w (name servers to compare with: ntp.servers)", err)
			}
			if asked, err = daemonServers(sources); err != nil {
				return nil, err
			}
		}
		return h.AskTimeServers(ctx, asked, timeout), nil
	})
}

// daemonServers are the servers that the daemons use and that can be asked.
func daemonServers(all []TimeSources) ([]TimeServer, error) {
	var found []TimeServer
	for _, s := range all {
		for _, source := range s.Sources {
			switch source.Kind {
			case timeconf.Server, timeconf.Pool, timeconf.Peer:
				server := TimeServer{Name: source.Name, Port: source.Port, Pool: source.Kind == timeconf.Pool}
				if !slices.Contains(found, server) {
					found = append(found, server)
				}
			}
		}
	}
	if len(found) == 0 {
		return nil, errors.New("cannot compare the clock: no NTP server is configured that could be asked; name some with ntp.servers")
	}
	return found, nil
}

// Usable returns why an answer must not be believed: there is none, or its own
// error may be larger than maxDistance.
func (a TimeAnswer) Usable(maxDistance time.Duration) error {
	if a.Err == nil && (a.RootDistance < 0 || a.RootDistance > maxDistance) {
		return fmt.Errorf("its answer may itself be wrong by %s", shortSpan(a.RootDistance))
	}
	return a.Err
}

// MedianOffset is the middle offset of answers, and how many are within
// tolerance of it. Of two in the middle the larger one counts, so that servers
// off to both sides do not cancel out.
func MedianOffset(answers []TimeAnswer, tolerance time.Duration) (median time.Duration, agree int) {
	sorted := slices.SortedFunc(slices.Values(answers), func(a, b TimeAnswer) int { return cmp.Compare(a.Offset, b.Offset) })
	low, high := sorted[(len(sorted)-1)/2].Offset, sorted[len(sorted)/2].Offset
	if median = high; low.Abs() > high.Abs() {
		median = low
	}
	for _, a := range answers {
		if (a.Offset - median).Abs() <= tolerance {
			agree++
		}
	}
	return median, agree
}

// Now is an instant, and whose clock it is by.
type Now struct {
	time.Time
	By string // "this host's clock, 3ms behind 2 of 2 time servers"
}

// MeasuredNow is the time by the servers that the host's clock is compared
// with (see ClockAnswers) where a majority of them agrees, else by the host's
// clock, which By says. Of a file tree it is the time of the machine that looks.
func (h *Host) MeasuredNow(ctx context.Context, servers []string) Now {
	if !h.Running() {
		return Now{time.Now(), "the clock of the machine that looks"}
	}
	answers, err := h.ClockAnswers(ctx, servers, measureTimeout)
	return nowOf(time.Now(), answers, err)
}

func nowOf(clock time.Time, answers []TimeAnswer, err error) Now {
	if err != nil {
		return Now{clock, "this host's clock, which was not compared: " + err.Error()}
	}
	answers = slices.DeleteFunc(slices.Clone(answers), func(a TimeAnswer) bool { return a.Usable(measureMaxDistance) != nil })
	if len(answers) == 0 {
		return Now{clock, "this host's clock, which was not compared: no time server gave a usable answer"}
	}
	offset, agree := MedianOffset(answers, measureTolerance)
	if agree*2 <= len(answers) {
		return Now{clock, "this host's clock, which was not compared: the time servers do not agree"}
	}
	side := "behind"
	if offset < 0 {
		side = "ahead of"
	}
	return Now{clock.Add(offset), fmt.Sprintf("%d of %d time servers, which this host's clock is %s %s", agree, len(answers), shortSpan(offset.Abs()), side)}
}

// shortSpan writes a duration in ASCII: reports escape the sign of microseconds.
func shortSpan(d time.Duration) string {
	if d.Abs() >= time.Second {
		return d.Round(time.Millisecond).String()
	}
	return strconv.FormatFloat(float64(d.Round(time.Microsecond))/float64(time.Millisecond), 'f', -1, 64) + "ms"
}
