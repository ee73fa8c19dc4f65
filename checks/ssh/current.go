package ssh

import (
	"context"
	"fmt"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

func current(ctx context.Context, h *host.Host) (checks.Verdict, error) {
	s, err := h.SSHServers(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	var seen []daemonAge
	for _, d := range s.SSHDs {
		if d.PID == 0 {
			continue
		}
		if d.Err != nil {
			return checks.Verdict{Evidence: refusalEvidence(d.Err)}, d.Err
		}
		a := daemonAge{pid: d.PID, unit: d.Unit, program: d.Path, replaced: d.Replaced}
		if a.changed, a.read, a.by, err = h.StaleSince(d); err != nil {
			return checks.Verdict{}, err
		}
		seen = append(seen, a)
	}
	if len(seen) == 0 {
		return checks.Inapplicable("No sshd is listening: the next one reads the configuration as it is."), nil
	}
	return judgeCurrent(seen), nil
}

// daemonAge is when a daemon read its configuration, and when that changed.
type daemonAge struct {
	pid           int
	unit, program string
	replaced      bool
	changed, read time.Time
	by            string // what changed last
}

// slack is how far the kernel's clock ticks may put a start before the file
// that it reads.
const slack = 20 * time.Millisecond

func judgeCurrent(daemons []daemonAge) checks.Verdict {
	var bad, good []checks.Evidence
	reason := ""
	for _, d := range daemons {
		e := checks.Evidence{
			Source: fmt.Sprintf("process %d", d.pid), Key: "configuration read",
			Got: d.read.Format(time.DateTime),
		}
		if d.unit != "" {
			e.Source += " (" + d.unit + ")"
		}
		switch {
		case d.changed.After(d.read.Add(slack)):
			reason = fmt.Sprintf("The running sshd has not read %s, which changed after it started.", d.by)
			e.Want = "after " + d.changed.Format(time.DateTime)
			bad = append(bad, e, checks.Evidence{Source: d.by, Key: "changed", Got: d.changed.Format(time.DateTime)})
		case d.replaced:
			reason = "The running sshd is an older program than the one installed."
			bad = append(bad, checks.Evidence{Source: e.Source, Key: d.program, Want: "the installed program", Got: "a program that was replaced or removed"})
		default:
			good = append(good, e)
		}
	}
	if len(bad) > 0 {
		return checks.Failed(reason, bad...)
	}
	return checks.Passed(good...)
}
