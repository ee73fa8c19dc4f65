package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/composefile"
	"github.com/hostguard/hostguard/internal/host"
)

var publishedAddresses = checks.Check{
	Name: "connector-published-addresses",
	Looks: "Reads in the compose files of each connector at which addresses the ports of its services are published, whether they run or not. " +
		"Without an address, or at 0.0.0.0 or ::, a port is published at every one, and so is each that a service of the host's own network listens on. " +
		"Ports that partners use of an execution core are seen, and may be.",
	Blind: "Who reaches an address: other rules follow the packet filter. An address that the daemon or a network is told for ports without one (ip, " +
		"host_binding_ipv4) is not followed: such ports count as published at every address. Where whoever starts compose sets the address, the answer is an error.",
	Needs:   host.Root,
	Binding: checks.Params(addressesParams{Core: defaultCore}, probeAddresses),
}

type addressesParams struct {
	Core core `yaml:"core" doc:"How the connector's ports are told apart."`
}

// Validate checks the nested struct.
func (p addressesParams) Validate() error { return p.Core.Validate() }

func probeAddresses(ctx context.Context, h *host.Host, p addressesParams) (checks.Verdict, error) {
	connectors, err := h.ConnectorApps(ctx)
	if err == nil && len(connectors) == 0 {
		err = host.ErrNoConnector
	}
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeAddresses(connectors, p)
}

// judgeAddresses fails when a port that is not for partners is written to be
// published at every address.
func judgeAddresses(connectors []host.ConnectorApps, p addressesParams) (checks.Verdict, error) {
	var wrong, fine []checks.Evidence
	var unclear []error
	var ports []string // at fault
	s := sight{cores: coreServices(connectors)}
	for _, c := range connectors {
		if c.Err != nil {
			unclear = append(unclear, c.Err)
			continue
		}
		for _, of := range c.Connector.Services {
			seen := checks.Evidence{Source: of.File, Line: of.Line, Key: of.Name}
			switch mode := of.Rights.Network; {
			case mode == "host":
				seen.Want, seen.Got = "networks of its own, with ports published at chosen addresses", "the host's network: each port that it listens on is open at every address"
				wrong, ports = append(wrong, seen), append(ports, "all of "+of.Name)
				continue // docker publishes nothing for it
			case strings.Contains(mode, "$"):
				unclear = append(unclear, fmt.Errorf("cannot tell where service %s (%s:%d) is reached: its network_mode is set by whoever starts compose", of.Name, of.File, of.Line))
			}
			for _, port := range of.Ports {
				w := written{c.Connector.Dir, of, port}
				seen := w.evidence()
				inside, known := targets(port)
				everywhere, where, err := w.address()
				switch {
				case err != nil:
					unclear = append(unclear, err)
				case everywhere && known && s.isCore(p.Core, w) && p.Core.isForPartners(inside):
					seen.Got = "published at " + where + ", for partners"
					fine = append(fine, seen)
				case everywhere:
					seen.Want, seen.Got = "published at a chosen address, such as 127.0.0.1", "published at "+where
					wrong, ports = append(wrong, seen), append(ports, fmt.Sprintf("%s of %s", cmp.Or(port.Published, port.Target), of.Name))
				default:
					seen.Got = "published at " + where + " only"
					fine = append(fine, seen)
				}
			}
		}
	}
	switch {
	case len(wrong) > 0:
		return checks.Failed("Ports that are not for partners are published at all addresses of the host: "+strings.Join(ports, ", ")+".", wrong...), nil
	case len(unclear) > 0:
		return checks.Verdict{Evidence: fine}, errors.Join(unclear...)
	case len(fine) == 0:
		return checks.Inapplicable("The compose files of the connector publish no port."), nil
	}
	return checks.Passed(fine...), nil
}

// evidence says which port is written, and where.
func (w written) evidence() checks.Evidence {
	published := cmp.Or(w.port.Published, "a port that docker chooses")
	return checks.Evidence{Source: cmp.Or(w.port.File, w.service.File), Line: cmp.Or(w.port.Line, w.service.Line),
		Key: fmt.Sprintf("%s: %s to its port %s/%s", w.service.Name, published, w.port.Target, cmp.Or(w.port.Protocol, "tcp"))}
}

// address tells at which address of the host a port is published, and whether
// that means all of them.
func (w written) address() (everywhere bool, text string, err error) {
	text = w.port.Address
	if text == "" { // composefile leaves it in front of a variable
		end := ":"
		if strings.HasPrefix(w.port.Published, "[") {
			end = "]:"
		}
		if first, _, more := strings.Cut(w.port.Published, end); more {
			text = strings.TrimPrefix(first, "[")
		}
	}
	at := w.evidence()
	switch a, err := netip.ParseAddr(text); {
	case text == "" && strings.Contains(w.port.Published, "$"), strings.Contains(text, "$"):
		return false, "", fmt.Errorf("cannot tell at which address port %s of service %s is published (%s:%d): whoever starts compose sets %s; name it in .env",
			w.port.Target, w.service.Name, at.Source, at.Line, variables(w.port))
	case text == "":
		return true, "every address", nil
	case err != nil:
		return false, "", fmt.Errorf("cannot tell at which address port %s of service %s is published (%s:%d): %q is none", w.port.Target, w.service.Name, at.Source, at.Line, text)
	case a.Unmap().IsUnspecified() && a.Unmap().Is4():
		return true, text + ", every IPv4 address", nil
	case a.IsUnspecified():
		return true, text + ", every IPv6 address", nil
	default:
		return false, a.String(), nil
	}
}

// variables are the texts of a written port that hold a variable.
func variables(p composefile.Port) string {
	var list []string
	for _, text := range []string{p.Address, p.Published, p.Target} {
		if strings.Contains(text, "$") {
			list = append(list, text)
		}
	}
	return strings.Join(list, ", ")
}
