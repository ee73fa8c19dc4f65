package clock

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/quantity"
)

type offsetParams struct {
	Servers     []string          `yaml:"servers" doc:"NTP servers to compare with, as NAME or NAME:PORT; empty: those of the time daemon."`
	MaxOffset   quantity.Duration `yaml:"max_offset" doc:"The clock may differ by this much from the servers."`
	WarnOffset  quantity.Duration `yaml:"warn_offset" doc:"A difference above this is pointed out."`
	MaxDistance quantity.Duration `yaml:"max_distance" doc:"An answer whose own error may be larger (root distance) is not believed."`
	Timeout     quantity.Duration `yaml:"timeout" doc:"How long to wait for the servers."`
}

var offsetDefaults = offsetParams{
	MaxOffset:   quantity.Duration(500 * time.Millisecond),
	WarnOffset:  quantity.Duration(100 * time.Millisecond),
	MaxDistance: quantity.Duration(time.Second),
	Timeout:     quantity.Duration(2 * time.Second),
}

// Validate wants a time to wait that ends before the probe's own deadline.
func (p offsetParams) Validate() error {
	if p.Timeout <= 0 || time.Duration(p.Timeout) > 10*time.Second {
		return fmt.Errorf("timeout: %v is not between 0s and 10s", p.Timeout)
	}
	if p.WarnOffset > p.MaxOffset {
		return fmt.Errorf("warn_offset: %v is above max_offset %v", p.WarnOffset, p.MaxOffset)
	}
	for _, s := range p.Servers {
		if _, err := host.ParseTimeServer(s); err != nil {
			return fmt.Errorf("servers: %w", err)
		}
	}
	return nil
}

func offset(ctx context.Context, h *host.Host, p offsetParams) (checks.Verdict, error) {
	answers, err := h.ClockAnswers(ctx, p.Servers, time.Duration(p.Timeout))
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeOffset(answers, p)
}

// judgeOffset compares the clock with the median of the answers. More than
// half of them must agree with the median to within MaxOffset: else nobody
// can tell which servers are right, and that is an error.
func judgeOffset(answers []host.TimeAnswer, p offsetParams) (checks.Verdict, error) {
	want := fmt.Sprintf("within %v", p.MaxOffset)
	var good []host.TimeAnswer
	var seen []checks.Evidence
	var silent []string
	for _, a := range answers {
		e := checks.Evidence{Source: answerPlace(a), Key: "clock offset"}
		if err := a.Usable(time.Duration(p.MaxDistance)); err != nil {
			e.Got = "not used: " + err.Error()
			silent = append(silent, e.Source+": "+err.Error())
		} else {
			e.Got = describe(a)
			if magnitude(a.Offset) > time.Duration(p.WarnOffset) {
				e.Want = fmt.Sprintf("within %v, better %v", p.MaxOffset, p.WarnOffset)
			}
			good = append(good, a)
		}
		seen = append(seen, e)
	}
	if len(good) == 0 {
		return checks.Verdict{Evidence: seen}, fmt.Errorf("cannot compare the clock: no time server gave a usable answer: %s", strings.Join(silent, "; "))
	}
	median, agree := host.MedianOffset(good, time.Duration(p.MaxOffset))
	if agree*2 <= len(good) {
		return checks.Verdict{Evidence: seen}, fmt.Errorf("cannot compare the clock: of %d time servers no majority agrees to %v, so nobody can tell which are right: %s",
			len(good), want, spread(good))
	}
	if magnitude(median) > time.Duration(p.MaxOffset) {
		for i := range seen {
			seen[i].Want = want
		}
		return checks.Failed(fmt.Sprintf("The clock is %s %d of %d time servers that answered.", aheadOrBehind(median), agree, len(good)), seen...), nil
	}
	return checks.Passed(seen...), nil
}

// magnitude is |d|; the smallest duration has no positive counterpart.
func magnitude(d time.Duration) time.Duration { return d.Abs() }

// span writes a duration in ASCII: reports escape the sign of microseconds.
func span(d time.Duration) string {
	if d.Abs() >= time.Second {
		return d.Round(time.Millisecond).String()
	}
	return strconv.FormatFloat(float64(d.Round(time.Microsecond))/float64(time.Millisecond), 'f', -1, 64) + "ms"
}

func answerPlace(a host.TimeAnswer) string {
	if a.Address == "" || strings.HasPrefix(a.Address, a.Server+":") || strings.HasPrefix(a.Address, "["+a.Server+"]:") {
		return "ntp " + cmp.Or(a.Address, a.Server)
	}
	return fmt.Sprintf("ntp %s (%s)", a.Server, a.Address)
}

func describe(a host.TimeAnswer) string {
	return fmt.Sprintf("%s, stratum %d, root distance %s", span(a.Offset), a.Stratum, span(a.RootDistance))
}

// aheadOrBehind reads an offset, which is what to add to the clock.
func aheadOrBehind(d time.Duration) string {
	if d < 0 {
		return fmt.Sprintf("%s ahead of", span(d.Abs()))
	}
	return fmt.Sprintf("%s behind", span(d))
}

func spread(answers []host.TimeAnswer) string {
	var parts []string
	for _, a := range answers {
		parts = append(parts, fmt.Sprintf("%s: %s", answerPlace(a), span(a.Offset)))
	}
	return strings.Join(parts, "; ")
}
