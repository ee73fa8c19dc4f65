package docker

import (
	"cmp"
	"context"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

func compose(ctx context.Context, h *host.Host) (checks.Verdict, error) {
	programs, err := h.ComposePrograms(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	l, err := h.DockerLayout(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeCompose(programs, l.DockerCommand()), nil
}

// judgeCompose wants a compose of version 2 or later that can be called and
// that only root can replace. The first that the docker command would find
// decides: a later one is never reached.
func judgeCompose(programs []host.ComposeProgram, dockerCommand string) checks.Verdict {
	const want = "docker compose, version 2 or later"
	var seen []checks.Evidence
	usable := -1
	pluginSeen := false
	for i, p := range programs {
		key, got := "docker-compose", "no compose of version 2 or later (not built from its source)"
		if p.Plugin {
			key = "docker compose"
		}
		if p.V2() {
			got = p.Module + " " + cmp.Or(p.Version, "(version not noted)")
		}
		seen = append(seen, checks.Evidence{Source: p.Path, Key: key, Want: want, Got: got})
		if p.Plugin && (pluginSeen || dockerCommand == "") {
			continue
		}
		pluginSeen = pluginSeen || p.Plugin
		if usable < 0 && p.V2() {
			usable = i
		}
	}
	switch {
	case len(programs) == 0:
		return checks.Failed("Docker compose is not installed.",
			checks.Evidence{Source: "/usr/libexec/docker/cli-plugins", Key: "docker-compose", Want: want, Got: "none, nor in the other folders of plugins and programs"})
	case usable < 0 && dockerCommand == "" && programs[0].Plugin:
		return checks.Failed("Docker compose is installed as a plugin, and the docker command that calls it is not.", seen...)
	case usable < 0:
		return checks.Failed("The compose that is installed is not version 2 or later: version 1 has had no fixes since 2023 and passes over the limits under deploy.", seen...)
	}
	p := programs[usable]
	if p.Writable != "" {
		return checks.Failed("Others than root can replace docker compose, which runs with the right to use docker.",
			checks.Evidence{Source: p.Path, Key: "owner and mode", Want: "writable by root only", Got: p.Writable})
	}
	seen[usable].Want = ""
	return checks.Passed(seen[usable])
}
