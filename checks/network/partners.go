package network

import (
	"context"
	"errors"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/packetfilter"
)

var partnerPorts = checks.Check{
	Name:    "partner-ports-reach",
	Looks:   looks + " The ports that partners use are those that docker publishes of an execution core's container for them.",
	Blind:   blind,
	Needs:   host.Running | host.Root,
	Binding: checks.Params(apiParams{Core: defaultCore}, probePartners),
}

func probePartners(ctx context.Context, h *host.Host, p apiParams) (checks.Verdict, error) {
	s, err := look(ctx, h, p.Internal)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgePartners(s, p)
}

// judgePartners fails when nobody outside can reach a port that is for them.
func judgePartners(s sight, p apiParams) (checks.Verdict, error) {
	var wrong, fine []checks.Evidence
	var unclear []error
	for _, e := range s.All {
		if s.use(p.Core, e) != partner {
			continue
		}
		r := e.By[packetfilter.Anywhere]
		seen := describe(e, r)
		switch r.Answer {
		case packetfilter.Yes:
			fine = append(fine, seen)
		case packetfilter.No:
			seen.Want = "reached from somewhere beyond the internal networks"
			wrong = append(wrong, seen)
		default:
			unclear = append(unclear, unknownReach(e, r))
		}
	}
	if len(wrong) > 0 {
		return checks.Failed("No partner reaches the connector: "+names(wrong)+".", wrong...), nil
	}
	if err := errors.Join(append(unclear, s.unseen())...); err != nil {
		return checks.Verdict{Evidence: fine}, err
	}
	if len(fine) == 0 {
		return checks.Inapplicable("No container publishes a port for partners now."), nil
	}
	return checks.Passed(fine...), nil
}
