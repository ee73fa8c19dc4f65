package docker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

type installationParams struct {
	Kinds []string `yaml:"kinds" doc:"Kinds of installation that are accepted: package, snap, rootless."`
}

// Validate refuses kinds that there are none of.
func (p installationParams) Validate() error {
	known := []string{"package", "snap", "rootless"}
	for _, k := range p.Kinds {
		if !slices.Contains(known, k) {
			return fmt.Errorf("kinds: %q is not a kind of installation: want some of %s", k, strings.Join(known, ", "))
		}
	}
	if len(p.Kinds) == 0 {
		return fmt.Errorf("kinds: want some of %s", strings.Join(known, ", "))
	}
	return nil
}

func installation(ctx context.Context, h *host.Host, p installationParams) (checks.Verdict, error) {
	l, err := h.DockerLayout(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeInstallation(l, p), nil
}

// judgeInstallation wants one docker, of an accepted kind.
func judgeInstallation(l host.DockerLayout, p installationParams) checks.Verdict {
	want := strings.Join(p.Kinds, " or ")
	var seen, others []checks.Evidence
	for _, b := range l.Binaries {
		if b.Name == "dockerd" || b.Name == "docker" {
			seen = append(seen, checks.Evidence{Source: b.Path, Key: b.Name, Got: cmp.Or(l.Kind, "command only")})
		}
	}
	for _, o := range l.Others {
		others = append(others, checks.Evidence{Source: o.Path, Key: "docker", Want: "one docker", Got: "a further " + o.Name + " docker"})
	}
	switch {
	case l.Kind == "":
		return checks.Failed("Docker is not installed: there is no dockerd.",
			append(seen, checks.Evidence{Source: "/usr/bin, /usr/sbin, /usr/local/bin, /usr/local/sbin", Key: "dockerd", Want: want, Got: "none"})...)
	case !slices.Contains(p.Kinds, l.Kind):
		at := checks.Evidence{Source: "docker", Key: "installation", Want: want, Got: l.Kind}
		if i := slices.IndexFunc(l.Binaries, func(b host.Place) bool { return b.Name == "dockerd" }); i >= 0 {
			at.Source = l.Binaries[i].Path
		} else if len(l.Others) > 0 {
			at.Source = l.Others[0].Path
		}
		return checks.Failed(fmt.Sprintf("Docker is installed as %s, whose files, sockets and units lie where neither the audit rules nor compose expect them.", l.Kind), at)
	case len(others) > 0 && l.Kind != "rootless":
		return checks.Failed("There is a further docker beside the one that is audited.", others...)
	case len(others) > 1:
		return checks.Failed("There are several rootless dockers.", others...)
	}
	return checks.Passed(seen...)
}
