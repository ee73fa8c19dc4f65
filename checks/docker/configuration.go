package docker

import (
	"context"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

func configuration(ctx context.Context, h *host.Host) (checks.Verdict, error) {
	l, err := h.DockerLayout(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeConfiguration(l), nil
}

// judgeConfiguration wants daemon.json, flags and the running daemon to agree.
func judgeConfiguration(l host.DockerLayout) checks.Verdict {
	switch l.Kind {
	case "":
		return checks.Inapplicable("Docker is not installed.")
	case "rootless":
		return checks.Inapplicable("The only docker is a rootless one, which its user configures.")
	}
	if len(l.Conflicts) == 0 {
		seen := []checks.Evidence{{Source: l.DataRoot.Source, Key: "data-root", Got: l.DataRoot.Path}}
		for _, p := range append(l.Config, l.Sockets...) {
			if p.Exists && (p.Name == "daemon.json" || p.Name == "docker.sock") {
				seen = append(seen, checks.Evidence{Source: p.Source, Key: p.Name, Got: p.Path})
			}
		}
		return checks.Passed(seen...)
	}
	v := checks.Failed(l.Conflicts[0].Reason)
	if len(l.Conflicts) > 1 {
		v.Reason = "Docker's configuration contradicts itself or the running daemon in several places."
	}
	for _, c := range l.Conflicts {
		v.Evidence = append(v.Evidence, checks.Evidence{Source: c.Source, Line: c.Line, Key: c.Key, Want: c.Want, Got: c.Got})
	}
	return v
}
