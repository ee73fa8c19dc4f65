package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/dockerconf"
	"github.com/hostguard/hostguard/internal/host"
)

type optionParams struct {
	Option  string   `yaml:"option" doc:"The option by its name in daemon.json, such as live-restore."`
	Want    []string `yaml:"want" doc:"Values of which it must have one."`
	Default string   `yaml:"default" doc:"The value that docker takes when the option is not set."`
}

// Validate wants an option and a value.
func (p optionParams) Validate() error {
	if p.Option == "" || len(p.Want) == 0 {
		return errors.New("option and want must be given")
	}
	return nil
}

func option(ctx context.Context, h *host.Host, p optionParams) (checks.Verdict, error) {
	daemon, err := h.DockerDaemon(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	switch daemon.Kind {
	case "":
		return checks.Inapplicable("Docker is not installed."), nil
	case "rootless":
		return checks.Verdict{}, errors.New("cannot tell how docker is configured: only a rootless one is here, which its user configures")
	}
	said := ""
	if h.Running() && len(daemon.Running) > 0 {
		if said, err = daemonSays(ctx, h, p.Option); err != nil {
			return checks.Verdict{}, fmt.Errorf("cannot tell what docker does now: %w", err)
		}
	}
	return judgeOption(daemon, said, p)
}

// daemonSays is the value of an option by the running daemon's own word; empty
// when it does not say.
func daemonSays(ctx context.Context, h *host.Host, option string) (string, error) {
	switch option {
	case "live-restore":
		e, err := h.Engine(ctx)
		return fmt.Sprint(e.LiveRestore), err
	case "no-new-privileges":
		e, err := h.Engine(ctx)
		if !e.NoNewPrivileges { // docker 20.10 does not say it of itself either way
			return "", err
		}
		return "true", err
	case "icc":
		networks, err := h.DockerNetworks(ctx)
		for _, n := range networks {
			if n.Name == "bridge" {
				return fmt.Sprint(n.ICC), err
			}
		}
		return "", err
	}
	return "", nil
}

// judgeOption wants a value in the configuration, which is in force after the
// next start, and in what runs.
func judgeOption(daemon host.DockerDaemon, said string, p optionParams) (checks.Verdict, error) {
	want := strings.Join(p.Want, " or ")
	var bad, seen []checks.Evidence
	judge := func(e checks.Evidence, value string) {
		if slices.Contains(p.Want, value) {
			seen = append(seen, e)
			return
		}
		e.Want = want
		bad = append(bad, e)
	}
	set := func(o dockerconf.Option) (value, text string) {
		if len(o.Values) == 0 {
			return p.Default, p.Default + " (not set)"
		}
		return o.Last(), o.Last()
	}
	configured := daemon.Configured[p.Option]
	value, text := set(configured)
	e := checks.Evidence{Source: daemon.ConfigFile, Key: p.Option, Got: text}
	if configured.Source != "" {
		e.Source, e.Line = configured.Source, configured.Line
	}
	judge(e, value)
	switch {
	case said != "":
		judge(checks.Evidence{Source: "the daemon", Key: p.Option, Got: said}, said)
	default: // only its arguments and its file tell
		for _, d := range daemon.Running {
			o := d.Options[p.Option]
			if now, text := set(o); now != value {
				judge(checks.Evidence{Source: fmt.Sprintf("process %d [dockerd]", d.PID), Key: p.Option, Got: text}, now)
			}
			if !d.Changed.IsZero() && len(bad) == 0 {
				return checks.Verdict{Evidence: seen}, fmt.Errorf("cannot tell whether %s is in force: %s was changed at %s, after dockerd (process %d) started: restart docker",
					p.Option, d.ConfigFile, d.Changed.UTC().Format(time.DateTime), d.PID)
			}
		}
	}
	if len(bad) > 0 {
		return checks.Failed(fmt.Sprintf("Docker's option %s is not %s.", p.Option, want), bad...), nil
	}
	return checks.Passed(seen...), nil
}
