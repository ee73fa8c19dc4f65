package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/composefile"
	"github.com/hostguard/hostguard/internal/host"
)

// written is a port that a compose file publishes, of a service that does not
// run: docker makes the rules that decide who reaches it when it starts it.
type written struct {
	dir     string // of the connector
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
				ports = append(ports, written{c.Dir, s, p})
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
func (s sight) carriesAPI(c core, w written) bool {
	inside, known := targets(w.port)
	switch {
	case !known, slices.ContainsFunc(inside, func(p portName) bool { return slices.Contains(c.API, p) }):
		return true
	}
	return s.isCore(c, w) && !c.isForPartners(inside)
}

// isCore reports whether a written port is of an execution core.
func (s sight) isCore(c core, w written) bool {
	return c.hasImage(w.service.Image) || s.cores[service{w.dir, w.service.Name}]
}

// isForPartners reports whether all ports of an execution core are for partners.
func (c core) isForPartners(inside []portName) bool {
	return !slices.ContainsFunc(inside, func(p portName) bool { return !slices.Contains(c.Partner, p) })
}

// targets are the ports inside of the container that a written port leads to.
func targets(p composefile.Port) (inside []portName, known bool) {
	proto := cmp.Or(p.Protocol, "tcp")
	from, to, isRange := strings.Cut(p.Target, "-")
	if !isRange {
		to = from
	}
	first, err := strconv.ParseUint(from, 10, 16)
	last, err2 := strconv.ParseUint(to, 10, 16)
	if err != nil || err2 != nil || last < first {
		return nil, false
	}
	for n := first; n <= last; n++ {
		inside = append(inside, portName{uint16(n), proto})
	}
	return inside, true
}

// judge is evidence for a port that is written for internal addresses only, and
// an error for any other.
func (w written) judge(internal []netip.Prefix) (checks.Evidence, error) {
	_, where, err := w.address()
	if err != nil {
		return checks.Evidence{}, err
	}
	seen := w.evidence()
	if a, err := netip.ParseAddr(where); err == nil && (a.IsLoopback() || slices.ContainsFunc(internal, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) })) {
		seen.Got = "does not run; will be published at " + where + " only"
		return seen, nil
	}
	return checks.Evidence{}, fmt.Errorf("cannot tell who will reach port %s of service %s (%s:%d), which does not run yet: it is published at %s, and docker makes its rules when it starts it: "+
		`give it an internal address ("10.0.0.5:8090:8449"), or look again when it runs`, w.port.Target, w.service.Name, seen.Source, seen.Line, where)
}
