package docker

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

type othersParams struct {
	Allow []string `yaml:"allow" doc:"Patterns (glob(7)) for the names of further containers that belong here."`
}

// Validate refuses patterns that can never match.
func (p othersParams) Validate() error {
	for _, pattern := range p.Allow {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("allow: %q is not a pattern", pattern)
		}
	}
	return nil
}

func otherContainers(ctx context.Context, h *host.Host, p othersParams) (checks.Verdict, error) {
	d, err := deployed.Of(ctx, h)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeOthers(d, p)
}

// judgeOthers wants nothing on this docker but the connector. Which containers
// are its own, compose's labels say.
func judgeOthers(d deployment, p othersParams) (checks.Verdict, error) {
	var bad, seen []checks.Evidence
	own, idle := 0, 0
	for _, c := range d.containers {
		detail := d.details[c.ID]
		allowed := false
		for _, pattern := range p.Allow {
			match, _ := path.Match(pattern, c.Name)
			allowed = allowed || match
		}
		runs := c.State == "running" || c.State == "paused" || c.State == "restarting"
		switch {
		case d.ours(c) != nil:
			own++
		case allowed:
			seen = append(seen, checks.Evidence{Source: "container " + c.Name, Key: "allowed container", Got: c.Image})
		case runs, detail.Restart != "no" && detail.Restart != "" && detail.Restart != "on-failure":
			got := fmt.Sprintf("%s, of image %s", c.State, c.Image)
			if !runs {
				got += ", started again with docker (" + detail.Restart + ")"
			}
			bad = append(bad, checks.Evidence{Source: "container " + c.Name, Key: "container", Want: "none but the connector's", Got: got})
		default:
			idle++
		}
	}
	if d.engine.Swarm {
		bad = append(bad, checks.Evidence{Source: "the daemon", Key: "swarm", Want: "not part of one", Got: "active: its managers start containers here"})
	}
	if len(bad) > 0 {
		return checks.Failed("Docker runs something other than the connector.", few(bad)...), nil
	}
	if d.unread != nil {
		if !d.asked || len(d.containers) > 0 || !errors.Is(d.unread, host.ErrNoConnector) {
			return checks.Verdict{Evidence: few(seen)}, d.unread
		}
	}
	if !d.asked {
		return checks.Inapplicable("Docker does not run, and so no container does."), nil
	}
	got := fmt.Sprintf("%d of the connector, none of anything else", own)
	if idle > 0 {
		got = fmt.Sprintf("%d of the connector; %d others that do not run and are not started again", own, idle)
	}
	return checks.Passed(append(seen, checks.Evidence{Source: d.engine.Socket, Key: "containers", Got: got})...), nil
}
