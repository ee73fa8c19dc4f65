package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/packetfilter"
	"github.com/hostguard/hostguard/internal/quantity"
)

var otherPorts = checks.Check{
	Name:    "other-ports-reach",
	Looks:   looks + " Reached from anywhere may be SSH servers by their programs, the ports that partners use of an execution core's container, and ports that are named; those that carry /api/ are connector-api-reach's.",
	Blind:   blind,
	Needs:   host.Running | host.Root,
	Binding: checks.Params(otherParams{Core: defaultCore}, probeOthers),
}

type otherParams struct {
	Internal []netip.Prefix       `yaml:"internal" doc:"The internal networks, such as 10.0.0.0/8; empty: the private ones."`
	Core     core                 `yaml:"core" doc:"How the connector's ports are told apart."`
	Programs []string             `yaml:"programs" doc:"Patterns for the paths of programs that may be reached from anywhere."`
	Units    []string             `yaml:"units" doc:"Socket units that may be reached from anywhere while systemd holds the socket."`
	Ports    []quantity.PortRange `yaml:"ports" doc:"Ports that may be reached from anywhere, such as 443/tcp or 32768-60999/udp."`
	Allow    []quantity.PortRange `yaml:"allow" doc:"Further ports that may be."`
}

// Validate refuses patterns that can never match.
func (p otherParams) Validate() error {
	for _, pattern := range p.Programs {
		if _, err := path.Match(pattern, "x"); err != nil {
			return fmt.Errorf("%q is not a pattern", pattern)
		}
	}
	return p.Core.Validate()
}

func (p otherParams) allows(e host.Exposure) bool {
	covers := func(r quantity.PortRange) bool { return r.Covers(e.Proto, e.Local.Port()) }
	if slices.ContainsFunc(p.Ports, covers) || slices.ContainsFunc(p.Allow, covers) {
		return true
	}
	if e.Socket == nil {
		return false
	}
	if e.Socket.Own || e.Socket.PID == 1 && slices.Contains(p.Units, e.Socket.Unit) {
		return true
	}
	program := strings.TrimSuffix(e.Socket.Exe, " (deleted)")
	return e.Socket.Genuine && slices.ContainsFunc(p.Programs, func(pattern string) bool { ok, _ := path.Match(pattern, program); return ok })
}

func probeOthers(ctx context.Context, h *host.Host, p otherParams) (checks.Verdict, error) {
	s, err := look(ctx, h, p.Internal)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeOthers(s, p)
}

// judgeOthers fails when a port that nobody outside needs is surely reached from
// anywhere.
func judgeOthers(s sight, p otherParams) (checks.Verdict, error) {
	var wrong, fine []checks.Evidence
	var unclear []error
	for _, e := range s.All {
		r := e.By[packetfilter.Anywhere]
		seen := describe(e, r)
		switch use := s.use(p.Core, e); {
		case use == api:
		case r.Answer == packetfilter.No, use == partner, p.allows(e):
			fine = append(fine, seen)
		case r.Answer == packetfilter.Yes:
			seen.Want = "not reached from beyond the internal networks"
			wrong = append(wrong, seen)
		default:
			unclear = append(unclear, unknownReach(e, r))
		}
	}
	if len(wrong) > 0 {
		return checks.Failed("Ports that nobody outside needs are reached from beyond the internal networks: "+names(wrong)+".", wrong...), nil
	}
	if err := errors.Join(append(unclear, s.unseen())...); err != nil {
		return checks.Verdict{Evidence: fine}, err
	}
	if len(fine) == 0 {
		fine = append(fine, checks.Evidence{Source: "sock_diag", Key: "listeners", Got: "none"})
	}
	return checks.Passed(fine...), nil
}
