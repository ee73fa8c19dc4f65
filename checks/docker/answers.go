package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

func answers(ctx context.Context, h *host.Host) (checks.Verdict, error) {
	engine, err := h.Engine(ctx)
	if errors.Is(err, host.ErrDockerDown) {
		l, layoutErr := h.DockerLayout(ctx)
		if layoutErr != nil {
			return checks.Verdict{}, layoutErr
		}
		return judgeDown(l, err), nil
	}
	if err != nil {
		return checks.Verdict{}, err
	}
	containers, err := h.Containers(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeAnswer(engine, containers, h.DockerHost()), nil
}

// judgeDown says where nothing listens.
func judgeDown(l host.DockerLayout, err error) checks.Verdict {
	at := checks.Evidence{Source: "docker", Key: "docker API", Want: "answers", Got: err.Error()}
	for _, s := range l.Sockets {
		if s.Name == "docker.sock" {
			at.Source = s.Path
			at.Got = "nothing listens: " + strings.TrimPrefix(at.Got, "cannot use docker's socket "+s.Path+": ")
			break
		}
	}
	v := checks.Failed("Docker does not run: nothing listens where its configuration says.", at)
	v.Repair = AnswersRepair{Kind: l.Kind}
	return v
}

// judgeAnswer says what answered.
func judgeAnswer(e host.Engine, containers []host.Container, dockerHost string) checks.Verdict {
	running := 0
	for _, c := range containers {
		if c.State == "running" {
			running++
		}
	}
	seen := []checks.Evidence{
		{Source: e.Socket, Key: "docker engine", Got: fmt.Sprintf("%s (API %s)", e.Version, e.APIVersion)},
		{Source: e.Socket, Key: "containers", Got: fmt.Sprintf("%d, of which %d run", len(containers), running)},
		{Source: e.Socket, Key: "data root", Got: e.DataRoot},
	}
	if dockerHost != "" {
		seen = append(seen, checks.Evidence{Source: "environment", Key: "DOCKER_HOST", Got: "set for the docker command; hostguard asked this host's own socket"})
	}
	return checks.Passed(seen...)
}
