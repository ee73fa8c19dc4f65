package connector

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

type environmentParams struct {
	Words  []string `yaml:"words" doc:"Parts of the names of variables that hold secrets, in lower case."`
	Except []string `yaml:"except" doc:"Names of variables that the application takes from its environment only."`
}

// Validate wants words.
func (p environmentParams) Validate() error {
	if len(p.Words) == 0 {
		return errors.New("words is empty")
	}
	return nil
}

func environmentSecrets(ctx context.Context, h *host.Host, p environmentParams) (checks.Verdict, error) {
	all, err := appsOf(ctx, h)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeEnvironment(all, p)
}

// others says which were not looked at.
func others(except []string) string {
	if len(except) == 0 {
		return ""
	}
	return " besides " + strings.Join(except, ", ")
}

// judgeEnvironment lists the variables that hold secrets: docker shows the
// environment of a container to whoever may use docker.
func judgeEnvironment(all []host.ConnectorApps, p environmentParams) (checks.Verdict, error) {
	var o outcome
	for _, c := range all {
		if c.Err != nil {
			o.unknown = append(o.unknown, c.Err)
			continue
		}
		for _, app := range c.Apps {
			before := len(o.bad)
			for _, v := range app.Env {
				name := strings.ToLower(v.Name)
				hasWord := slices.ContainsFunc(p.Words, func(w string) bool { return strings.Contains(name, w) })
				flag := v.Value.Reveal() == "true" || v.Value.Reveal() == "false"
				if hasWord && !flag && !slices.Contains(p.Except, v.Name) && (!v.Value.Empty() || v.Missing != "") && !strings.HasSuffix(name, "_file") {
					o.bad = append(o.bad, checks.Evidence{Source: v.Place.Source, Line: v.Place.Line, Key: subject(app) + ": " + v.Name,
						Want: "a file that only the container's user reads", Got: "a secret in the environment"})
				}
			}
			if len(o.bad) == before {
				o.good = append(o.good, checks.Evidence{Source: app.Service.File, Line: app.Service.Line, Key: "environment of " + subject(app), Got: "no secret" + others(p.Except)})
			}
		}
	}
	return o.verdict("Secrets stand in the environment of containers: docker inspect shows them to every member of the group docker.", "")
}
