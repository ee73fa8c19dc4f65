package network

import (
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

// What all checks of this family look at, and what they cannot see.
const (
	looks = "At the sockets that listen, the ports that docker publishes and those that the packet filter leads on, and at the rules " +
		"that are loaded: nftables, iptables (docker's, ufw's and firewalld's are among them), translations, routes. The first packet " +
		"of a connection is followed from the internal networks and from anywhere else to each of them."
	blind = "What stands before this host, and what becomes of answers and later packets; neighbours on a link who send packets straight to a container's " +
		"address, or to an internal address by another interface; what is behind a published port; packets that come by another " +
		"interface than answers leave by; what a reverse proxy refuses."
)

// privateNetworks are internal when nothing is configured.
var privateNetworks = packetfilter.PrivateNetworks

// core tells the ports of a connector's execution core apart.
type core struct {
	Images  []string   `yaml:"images" doc:"Patterns for the image of the execution core, without registry and tag; services of other images are known by their settings."`
	API     []portName `yaml:"api" doc:"Ports inside of containers that carry /api/, whatever the image."`
	Partner []portName `yaml:"partner" doc:"Ports inside of the execution core that other connectors use."`
}

// Validate refuses patterns that can never match.
func (c core) Validate() error {
	for _, p := range c.Images {
		if _, err := path.Match(p, "x"); err != nil || p == "" {
			return fmt.Errorf("%q is not a pattern", p)
		}
	}
	return nil
}

// portName is a port with its protocol: "8449/tcp".
type portName struct {
	port  uint16
	proto string
}

// UnmarshalText reads "8449/tcp".
func (p *portName) UnmarshalText(text []byte) error {
	number, proto, _ := strings.Cut(string(text), "/")
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 || proto != "tcp" && proto != "udp" {
		return fmt.Errorf("%q is not a port with its protocol, such as 8449/tcp", text)
	}
	*p = portName{uint16(n), proto}
	return nil
}

// MarshalText writes the form that UnmarshalText reads.
func (p portName) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%d/%s", p.port, p.proto), nil
}

// hasImage reports whether an image is an execution core's.
func (c core) hasImage(image string) bool {
	image, _, _ = strings.Cut(path.Base(image), "@")
	image, _, _ = strings.Cut(image, ":")
	return slices.ContainsFunc(c.Images, func(pattern string) bool { ok, _ := path.Match(pattern, image); return ok })
}

// service is a service of the compose project in a folder.
type service struct{ dir, name string }

// coreServices are the services of connectors that are execution cores, by image
// or by settings.
func coreServices(connectors []host.ConnectorApps) map[service]bool {
	cores := map[service]bool{}
	for _, c := range connectors {
		for _, app := range c.Of(host.RoleCore) {
			cores[service{c.Connector.Dir, app.Service.Name}] = true
		}
	}
	return cores
}

// use is what a port of the connector is for.
type use uint8

const (
	none use = iota
	api
	partner
)

// use tells what an exposure is for. Of an execution core, what is not for
// partners carries /api/.
func (s sight) use(c core, e host.Exposure) use {
	of, inside := e.Publish, e.Inside
	if e.Socket != nil {
		of, inside = s.containers[e.Socket.Container], e.Local.Port()
	}
	if e.To.IsValid() {
		inside = e.To.Port()
	}
	port := portName{inside, e.Proto}
	switch {
	case e.Socket != nil && of == nil:
		return none
	case slices.Contains(c.API, port):
		return api
	case of == nil || !c.hasImage(of.Image) && !s.cores[service{of.ComposeDir(), of.ComposeService()}]:
		return none
	case slices.Contains(c.Partner, port):
		return partner
	}
	return api
}

// sight is what is judged.
type sight struct {
	host.Exposures
	containers map[string]*host.Container // by id: those on the host's network have sockets
	cores      map[service]bool

	written []written // that a connector will publish
	unclear []error   // why there may be more
}

// describe says what an exposure is and who reaches it.
func describe(e host.Exposure, r packetfilter.Reach) checks.Evidence {
	what := "led on to " + e.To.String()
	switch {
	case e.Publish != nil:
		what = fmt.Sprintf("port %d of container %s", e.Inside, e.Publish.Name)
	case e.Socket != nil && e.Socket.PID != 0:
		what = fmt.Sprintf("%s (process %d)", e.Socket.Exe, e.Socket.PID)
		if e.Socket.Unit != "" {
			what = fmt.Sprintf("%s (process %d, %s)", e.Socket.Exe, e.Socket.PID, e.Socket.Unit)
		}
	case e.Socket != nil:
		what = "a socket of the kernel's, or whose holder is not seen"
	}
	got := map[packetfilter.Answer]string{packetfilter.Yes: "let through: ", packetfilter.No: "stopped: ", packetfilter.Unknown: "cannot be told: "}[r.Answer]
	return checks.Evidence{Source: e.String(), Key: what, Got: got + r.String()}
}

// unknownReach is the error for an exposure of which it cannot be told who reaches it.
func unknownReach(e host.Exposure, r packetfilter.Reach) error {
	return fmt.Errorf("cannot tell whether %v is reached from anywhere: it depends on %s", e, r.Why)
}

// unseen are the errors for what no judgement can be made of.
func (s sight) unseen() error {
	var errs []error
	if s.Docker != nil {
		errs = append(errs, fmt.Errorf("cannot see what docker publishes: %w", s.Docker))
	}
	for _, b := range s.Beyond {
		errs = append(errs, fmt.Errorf("cannot tell who reaches the container %s: it is on the network %s (%s), past this host's packet filter", b.Container, b.Network, b.Driver))
	}
	return errors.Join(errs...)
}

func networks(list []netip.Prefix) []netip.Prefix {
	if len(list) == 0 {
		return privateNetworks
	}
	return list
}

func names(evidence []checks.Evidence) string {
	var list []string
	for _, e := range evidence {
		if !slices.Contains(list, e.Source) {
			list = append(list, e.Source)
		}
	}
	return strings.Join(list, ", ")
}
