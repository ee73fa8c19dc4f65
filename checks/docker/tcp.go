package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/dockerconf"
	"github.com/hostguard/hostguard/internal/host"
)

type tcpParams struct {
	Verified bool `yaml:"verified" doc:"Whether network sockets that ask each client for a certificate are allowed; else none is."`
}

func tcp(ctx context.Context, h *host.Host, p tcpParams) (checks.Verdict, error) {
	daemon, err := h.DockerDaemon(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	switch daemon.Kind {
	case "":
		return checks.Inapplicable("Docker is not installed."), nil
	case "rootless":
		return checks.Verdict{}, errors.New("cannot tell where docker listens: only a rootless one is here, which its user starts")
	}
	f := tcpFacts{daemon: daemon}
	if h.Running() {
		engine, err := h.Engine(ctx)
		switch {
		case err == nil:
			f.engine = &engine
			if f.containers, err = h.Containers(ctx); err != nil {
				return checks.Verdict{}, err
			}
		case !errors.Is(err, host.ErrDockerDown):
			f.unread = err
		}
		if f.sockets, err = h.Sockets(ctx); err != nil {
			f.unread = errors.Join(f.unread, err)
		}
	}
	return judgeTCP(f, p)
}

// tcpFacts are all words about where docker listens.
type tcpFacts struct {
	daemon     host.DockerDaemon
	engine     *host.Engine // nil: it does not answer
	containers []host.Container
	sockets    []host.Socket
	unread     error
}

// judgeTCP wants no way to docker over a network, or only ways that ask for a
// client's certificate: who reaches docker is root on the host. Asked are the
// configuration, the arguments of what runs, the daemon itself, and the kernel.
func judgeTCP(f tcpFacts, p tcpParams) (checks.Verdict, error) {
	var bad, seen []checks.Evidence
	const none = "no network socket"
	want := none
	if p.Verified {
		want = "none, or one that asks each client for a certificate (tlsverify)"
	}
	allowed := map[string]bool{} // addresses that are told, judged here
	told := func(options dockerconf.Options, activated []dockerconf.Stream) {
		hosts := options["hosts"]
		verified := isTrue(options["tlsverify"])
		judge := func(source string, line int, key, address string) {
			allowed[address] = true
			e := checks.Evidence{Source: source, Line: line, Key: key, Want: want, Got: address + tlsText(options)}
			if p.Verified && verified {
				e.Want = ""
				seen = append(seen, e)
				return
			}
			bad = append(bad, e)
		}
		for _, h := range hosts.Values {
			if address, ok := host.TCPHost(h); ok {
				judge(hosts.Source, hosts.Line, "hosts", address)
			}
			if strings.HasPrefix(h, "fd://") {
				for _, s := range activated {
					if !path.IsAbs(s.Address) {
						judge(s.File, s.Line, "ListenStream", s.Address)
					}
				}
			}
		}
	}
	told(f.daemon.Configured, f.daemon.Activated)
	for _, d := range f.daemon.Running {
		if !slices.Equal(d.Options["hosts"].Values, f.daemon.Configured["hosts"].Values) || isTrue(d.Options["tlsverify"]) != isTrue(f.daemon.Configured["tlsverify"]) {
			told(d.Options, f.daemon.Activated)
		}
	}
	var unknown []error
	if f.unread != nil {
		unknown = append(unknown, fmt.Errorf("cannot tell where docker listens now: %w", f.unread))
	}
	if f.engine != nil {
		for _, w := range f.engine.Warnings {
			if strings.Contains(w, "API is accessible on") && (!p.Verified || !strings.Contains(w, "https://") || strings.Contains(w, "without TLS client verification")) {
				bad = append(bad, checks.Evidence{Source: "the daemon", Key: "warning", Want: want, Got: firstLine(w)})
			}
		}
	}
	// Of a daemon that is older than its file, only the kernel still knows.
	for _, s := range f.sockets {
		if !f.isDaemons(s) || s.Proto != "tcp" || f.publishes(s) || allows(allowed, s) {
			continue
		}
		if f.engine != nil && f.engine.Swarm {
			continue // the rule on what else docker runs names it
		}
		unknown = append(unknown, fmt.Errorf("cannot tell what dockerd serves at %v: its configuration does not name it and no container publishes it", s))
	}
	if len(bad) > 0 {
		return checks.Failed("Docker can be reached over a network socket: whoever reaches it is root on this host.", few(bad)...), nil
	}
	if err := errors.Join(unknown...); err != nil {
		return checks.Verdict{Evidence: seen}, err
	}
	e := checks.Evidence{Source: cmp.Or(f.daemon.Configured["hosts"].Source, f.daemon.ConfigFile), Line: f.daemon.Configured["hosts"].Line, Key: "hosts", Got: strings.Join(f.daemon.Configured["hosts"].Values, " ")}
	if e.Got == "" {
		e.Got = "not set: docker's unix socket alone"
	}
	return checks.Passed(append(seen, e)...), nil
}

// isDaemons reports whether a socket is of one of root's dockerds, or of
// docker.socket.
func (f tcpFacts) isDaemons(s host.Socket) bool {
	return s.Unit == "docker.socket" || slices.ContainsFunc(f.daemon.Running, func(d host.DaemonProcess) bool { return s.PID == d.PID })
}

// publishes reports whether dockerd holds the socket for a container.
func (f tcpFacts) publishes(s host.Socket) bool {
	return slices.ContainsFunc(f.containers, func(c host.Container) bool {
		return slices.ContainsFunc(c.Ports, func(p host.ContainerPort) bool { return p.HostPort == s.Local.Port() && p.Protocol == "tcp" })
	})
}

// allows reports whether a socket is one of the addresses that were judged. A
// name instead of an address, or none, is told by the port.
func allows(judged map[string]bool, s host.Socket) bool {
	for address := range judged {
		if _, err := strconv.Atoi(address); err == nil { // a port alone, of a socket unit
			address = ":" + address
		}
		at, err := netip.ParseAddrPort(address)
		switch {
		case err == nil && at.Port() == s.Local.Port() && (at.Addr().Unmap() == s.Local.Addr().Unmap() || at.Addr().IsUnspecified() && s.Local.Addr().IsUnspecified()):
			return true
		case err != nil && strings.HasSuffix(address, fmt.Sprintf(":%d", s.Local.Port())):
			return true
		}
	}
	return false
}

func isTrue(o dockerconf.Option) bool {
	if len(o.Values) == 0 {
		return false
	}
	b, err := strconv.ParseBool(o.Last())
	return err == nil && b
}

func tlsText(options dockerconf.Options) string {
	switch {
	case isTrue(options["tlsverify"]):
		return ", clients show a certificate"
	case isTrue(options["tls"]) || len(options["tlsverify"].Values) > 0:
		return ", encrypted, and every client is let in"
	}
	return ", not encrypted, and everybody is let in"
}

func firstLine(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	return text
}
