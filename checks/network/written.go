package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/composefile"
	"github.com/hostguard/hostguard/internal/host"
)

// written is a port that a compose file publishes, of a service that does not
// run: docker makes the rules that decide who reaches it when it starts it.
type written struct {
	service host.ComposeService
	port    composefile.Port
}

// notRunning are the ports of services that no container runs.
func notRunning(connectors []host.Connector, containers map[string]*host.Container) (ports []written, unclear []error) {
	for _, c := range connectors {
		if c.ComposeErr != nil {
			unclear = append(unclear, fmt.Errorf("cannot tell what the connector in %s publishes: %w", c.Dir, c.ComposeErr))
		}
		for _, s := range c.Services {
			if runs(c, s, containers) {
				continue
			}
			for _, p := range s.Ports {
				ports = append(ports, written{s, p})
			}
		}
	}
	return ports, unclear
}

func runs(c host.Connector, s host.ComposeService, containers map[string]*host.Container) bool {
	for _, of := range containers {
		if of.State == "running" && of.ComposeDir() == c.Dir && of.ComposeService() == s.Name {
			return true
		}
	}
	return false
}

// carriesAPI reports whether a written port carries /api/, or may: numbers can be ranges
// and variables.
func (c core) carriesAPI(w written) bool {
	inside := portName{proto: w.port.Protocol}
	if inside.proto == "" {
		inside.proto = "tcp"
	}
	n, err := strconv.ParseUint(w.port.Target, 10, 16)
	inside.port = uint16(n)
	switch {
	case err != nil, slices.Contains(c.API, inside):
		return true
	}
	return c.isCore(&host.Container{Image: w.service.Image}) && !slices.Contains(c.Partner, inside)
}

// judge is evidence for a port that is written for internal addresses only, and
// an error for any other.
func (w written) judge(internal []netip.Prefix) (checks.Evidence, error) {
	address := w.port.Address
	a, err := netip.ParseAddr(address)
	if err == nil && (a.IsLoopback() || slices.ContainsFunc(internal, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) })) {
		return checks.Evidence{Source: w.service.File, Line: w.service.Line, Key: w.service.Name, Got: "does not run; will be published at " + address + " only"}, nil
	}
	if address == "" {
		address = "every address"
	}
	return checks.Evidence{}, fmt.Errorf("cannot tell who will reach port %s of service %s (%s:%d), which does not run yet: it is published at %s, and docker makes its rules when it starts it: "+
		`give it an internal address ("10.0.0.5:8090:8449"), or look again when it runs`, w.port.Target, w.service.Name, w.service.File, w.service.Line, address)
}
