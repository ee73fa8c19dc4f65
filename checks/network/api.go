package network

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/packetfilter"
)

var apiReach = checks.Check{
	Name: "connector-api-reach",
	Looks: looks + " The ports that carry /api/ are those that docker publishes of an execution core's container, but for those that " +
		"partners use, and those that lead to port 8449 of any container. What a connector's compose files publish of a service that does not run must have an internal address.",
	Blind:   blind,
	Needs:   host.Running | host.Root,
	Binding: checks.Params(apiParams{Core: defaultCore}, probeAPI),
}

var defaultCore = core{
	Images:  []string{"*execution_core*"},
	API:     []portName{{8449, "tcp"}},
	Partner: []portName{{8889, "tcp"}, {8086, "tcp"}},
}

type apiParams struct {
	Internal []netip.Prefix `yaml:"internal" doc:"The internal networks, such as 10.0.0.0/8; empty: the private ones."`
	Core     core           `yaml:"core" doc:"How the connector's ports are told apart."`
}

// Validate checks the nested struct.
func (p apiParams) Validate() error { return p.Core.Validate() }

func probeAPI(ctx context.Context, h *host.Host, p apiParams) (checks.Verdict, error) {
	s, err := look(ctx, h, p.Internal)
	if err != nil {
		return checks.Verdict{}, err
	}
	connectors, err := h.Connectors(ctx)
	if err != nil {
		s.unclear = append(s.unclear, err)
	}
	var unclear []error
	s.written, unclear = notRunning(connectors, s.containers)
	s.unclear = append(s.unclear, unclear...)
	return judgeAPI(s, p)
}

func look(ctx context.Context, h *host.Host, internal []netip.Prefix) (sight, error) {
	s := sight{containers: map[string]*host.Container{}}
	var err error
	if s.Exposures, err = h.Exposures(ctx, networks(internal)); err != nil {
		return s, err
	}
	containers, err := h.Containers(ctx)
	if err != nil && !errors.Is(err, host.ErrDockerDown) && s.Docker == nil {
		s.Docker = err
	}
	for _, c := range containers {
		s.containers[c.ID] = &c
	}
	if connectors, err := h.ConnectorApps(ctx); err == nil { // a core that is not known as one may not be reached at all
		s.cores = coreServices(connectors)
	}
	return s, nil
}

// judgeAPI fails when a port that carries /api/ is surely reached from anywhere.
func judgeAPI(s sight, p apiParams) (checks.Verdict, error) {
	var wrong, fine []checks.Evidence
	unclear := slices.Clone(s.unclear)
	for _, e := range s.All {
		if s.use(p.Core, e) != api {
			continue
		}
		r := e.By[packetfilter.Anywhere]
		seen := describe(e, r)
		switch r.Answer {
		case packetfilter.Yes:
			seen.Want = "reached from the internal networks only"
			wrong = append(wrong, seen)
		case packetfilter.No:
			fine = append(fine, seen)
		default:
			unclear = append(unclear, unknownReach(e, r))
		}
	}
	for _, w := range s.written {
		if !s.carriesAPI(p.Core, w) {
			continue
		}
		seen, err := w.judge(networks(p.Internal))
		if err != nil {
			unclear = append(unclear, err)
			continue
		}
		fine = append(fine, seen)
	}
	if len(wrong) > 0 {
		return checks.Failed("The connector's /api/ is reached from beyond the internal networks: "+names(wrong)+".", wrong...), nil
	}
	if err := errors.Join(append(unclear, s.unseen())...); err != nil {
		return checks.Verdict{Evidence: fine}, err
	}
	if len(fine) == 0 {
		return checks.Inapplicable("Neither a container nor a compose file of a connector publishes its /api/."), nil
	}
	return checks.Passed(fine...), nil
}
