package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

type restartParams struct {
	Policies []string `yaml:"policies" doc:"The restart policies that will do: always, unless-stopped, on-failure, no."`
}

// Validate wants policies that docker knows.
func (p restartParams) Validate() error {
	if len(p.Policies) == 0 {
		return errors.New("policies is empty")
	}
	for _, name := range p.Policies {
		if !slices.Contains([]string{"always", "unless-stopped", "on-failure", "no"}, name) {
			return fmt.Errorf("policies: docker knows no %q", name)
		}
	}
	return nil
}

func containerRestart(ctx context.Context, h *host.Host, p restartParams) (checks.Verdict, error) {
	d, err := deployed.Of(ctx, h)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeRestart(d, p)
}

// judgeRestart wants the connector's containers to be started again.
func judgeRestart(d deployment, p restartParams) (checks.Verdict, error) {
	return judgeSubjects(d, d.subjects(true, nil), "Docker does not start the connector again, after a crash or after the host has started.",
		func(s subject) (bad, seen []checks.Evidence, err error) {
			switch {
			case slices.Contains(p.Policies, s.restart):
				return nil, []checks.Evidence{s.evidence("restart policy of "+s.name, "", s.restart)}, nil
			case strings.Contains(s.restart, "$"):
				return nil, nil, fmt.Errorf("cannot tell the restart policy of %s (%s:%d): only whoever runs compose knows %s", s.name, s.source, s.line, s.restart)
			}
			return []checks.Evidence{s.evidence(s.name+": restart", strings.Join(p.Policies, " or "), s.restart)}, nil, nil
		})
}
