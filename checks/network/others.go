package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/packetfilter"
)

var otherPorts = checks.Check{
	Name:    "other-ports-reach",
	Looks:   looks + " Reached from anywhere may be SSH servers by their programs, the ports that partners use of an execution core's container, and ports that are named; those that carry /api/ are connector-api-reach's.",
	Blind:   blind,
	Needs:   host.Running | host.Root,
	Binding: checks.Params(otherParams{Core: defaultCore}, probeOthers),
}

type otherParams struct {
	Internal []netip.Prefix `yaml:"internal" doc:"The internal networks, such as 10.0.0.0/8; empty: the private ones."`
	Core     core           `yaml:"core" doc:"How the connector's ports are told apart."`
	Programs []string       `yaml:"programs" doc:"Patterns for the paths of programs that may be reached from anywhere."`
	Units    []string       `yaml:"units" doc:"Socket units that may be reached from anywhere while systemd holds the socket."`
	Ports    []ports        `yaml:"ports" doc:"Ports that may be reached from anywhere, such as 443/tcp or 32768-60999/udp."`
	Allow    []ports        `yaml:"allow" doc:"Further ports that may be."`
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

// ports is a port or a range of ports with their protocol.
type ports struct {
	from, to uint16
	proto    string
}

// UnmarshalText reads "443/tcp" or "32768-60999/udp".
func (p *ports) UnmarshalText(text []byte) error {
	numbers, proto, _ := strings.Cut(string(text), "/")
	first, last, isRange := strings.Cut(numbers, "-")
	if !isRange {
		last = first
	}
	from, err1 := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	if err1 != nil || err2 != nil || from == 0 || to < from || proto != "tcp" && proto != "udp" {
		return fmt.Errorf("%q is not a port with its protocol, such as 443/tcp or 32768-60999/udp", text)
	}
	*p = ports{uint16(from), uint16(to), proto}
	return nil
}

// MarshalText writes the form that UnmarshalText reads.
func (p ports) MarshalText() ([]byte, error) {
	if p.from == p.to {
		return fmt.Appendf(nil, "%d/%s", p.from, p.proto), nil
	}
	return fmt.Appendf(nil, "%d-%d/%s", p.from, p.to, p.proto), nil
}

func (p otherParams) allows(e host.Exposure) bool {
	covers := func(r ports) bool { return r.proto == e.Proto && r.from <= e.Local.Port() && e.Local.Port() <= r.to }
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
		switch use := p.Core.use(e, s.containers); {
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
