package connector

import (
	"context"
	"fmt"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

func drift(ctx context.Context, h *host.Host) (checks.Verdict, error) {
	all, err := appsOf(ctx, h)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeDrift(all)
}

// judgeDrift finds where what runs was not made of what is written now.
func judgeDrift(all []host.ConnectorApps) (checks.Verdict, error) {
	var o outcome
	for _, c := range all {
		if c.Err != nil {
			o.unknown = append(o.unknown, c.Err)
			continue
		}
		for _, d := range c.Drift {
			if got, want, differs := driftText(d); differs {
				e := checks.Evidence{Source: d.Place.Source, Line: d.Place.Line, Key: d.Name + " of container " + d.Container, Want: want, Got: got}
				if e.Source == "" {
					e.Source = "container " + d.Container
				}
				o.bad = append(o.bad, e)
			}
		}
		for _, app := range c.Apps {
			if app.Started.IsZero() {
				continue
			}
			for _, f := range app.Config {
				if f.Changed.After(app.Started) {
					o.bad = append(o.bad, checks.Evidence{Source: f.Path, Key: "changed", Want: "before " + app.Name() + " was started at " + app.Started.UTC().Format(time.RFC3339),
						Got: f.Changed.UTC().Format(time.RFC3339)})
				}
			}
			o.good = append(o.good, checks.Evidence{Source: app.Service.File, Line: app.Service.Line, Key: app.Service.Name, Got: fmt.Sprintf("runs since %s", app.Started.UTC().Format(time.RFC3339))})
		}
	}
	return o.verdict("Containers of the connector run with other settings than its files give now.", "No container of the connector runs.")
}

func driftText(d host.EnvDrift) (got, want string, differs bool) {
	switch d.Kind {
	case host.DriftMissing:
		return "it was made without it", "as it is written", true
	case host.DriftOther:
		return "it was made with another value", "as it is written", true
	case host.DriftUnwritten:
		return "it was made with it, and no file gives it", "not set", true
	}
	return "", "", false
}
