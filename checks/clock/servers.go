package clock

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/timeconf"
)

type serversParams struct {
	MinSources int `yaml:"min_sources" doc:"How many time sources must be configured; a pool counts as four."`
}

// Validate wants at least one source.
func (p serversParams) Validate() error {
	if p.MinSources < 1 {
		return errors.New("min_sources: want at least 1")
	}
	return nil
}

func servers(ctx context.Context, h *host.Host, p serversParams) (checks.Verdict, error) {
	sources, err := h.TimeSources(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	masked, err := h.MaskedTimeDaemons(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeServers(sources, masked, p)
}

// judgeServers wants enough sources for each daemon that counts.
func judgeServers(all []host.TimeSources, masked []host.TimeDaemon, p serversParams) (checks.Verdict, error) {
	if len(all) == 0 && len(masked) > 0 {
		return checks.Failed("No time daemon that could have servers can be started: "+states(masked)+".", maskedAt(masked)...), nil
	}
	if len(all) == 0 {
		return checks.Failed("No time daemon is installed that could have servers.",
			checks.Evidence{Source: "units", Key: "time daemon", Want: "installed", Got: "none installed"}), nil
	}
	want := fmt.Sprintf("at least %d usable", p.MinSources)
	var seen []checks.Evidence
	for _, s := range all {
		if len(s.Problems) > 0 {
			var at []checks.Evidence
			for _, problem := range s.Problems {
				at = append(at, checks.Evidence{Source: problem.File, Line: problem.Line, Key: s.Daemon.Kind, Want: "a configuration that it accepts", Got: problem.Text})
			}
			v := checks.Failed(fmt.Sprintf("%s refuses its configuration, so it does not survive a restart.", s.Daemon.Kind), at...)
			v.Repair = ServersRepair{Lacking: &s, MinSources: p.MinSources}
			return v, nil
		}
		if s.Unseen != "" {
			return checks.Verdict{Evidence: seen}, fmt.Errorf("cannot tell the servers of %s: %s", s.Daemon.Kind, s.Unseen)
		}
		usable := 0
		var at []checks.Evidence
		for _, source := range s.Sources {
			n, why := counts(source)
			usable += n
			got := source.Name
			if n == 0 {
				got += ": " + why
			}
			at = append(at, checks.Evidence{Source: source.File, Line: source.Line, Key: string(source.Kind), Got: got})
		}
		if usable >= p.MinSources {
			seen = append(seen, at...)
			continue
		}
		if len(at) == 0 {
			at = []checks.Evidence{{Source: cmp.Or(s.Config, s.Daemon.Unit), Key: "servers", Got: "none"}}
		}
		for i := range at {
			at[i].Want = want
		}
		v := checks.Failed(fmt.Sprintf("%s has %d usable time sources configured.", s.Daemon.Kind, usable), at...)
		v.Repair = ServersRepair{Lacking: &s, MinSources: p.MinSources}
		return v, nil
	}
	return checks.Passed(seen...), nil
}

// counts says for how many usable sources one line stands and, when for none, why.
func counts(s timeconf.Source) (n int, why string) {
	switch {
	case s.Kind == timeconf.Local:
		return 0, "the machine's own clock is no source of time"
	case s.Offline:
		return 0, "offline until somebody switches it on"
	case s.NoSelect:
		return 0, "noselect: watched only, never used"
	case s.Kind == timeconf.Pool:
		return 4, ""
	}
	return 1, ""
}
