package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/beevik/ntp"
)

const (
	maxTimeServers     = 12 // names asked in one look
	maxServerAddresses = 4  // addresses asked of one name: what chronyd takes of a pool
)

// TimeServer is one server to ask for the time.
type TimeServer struct {
	Name string // host name or address
	Port int    // 0: 123
	Pool bool   // its addresses are different servers, not several of one
}

// TimeAnswer is what one address of a server answered, or why it did not.
type TimeAnswer struct {
	Server         string        // the name that was asked for
	Address        string        // host:port; empty when the name has none
	Offset         time.Duration // what to add to this host's clock to have the server's time
	RTT            time.Duration
	Stratum        int
	RootDispersion time.Duration
	RootDistance   time.Duration // bound on the error of Offset against the reference clock
	Err            error         // no answer, or one that must not be believed
}

// AskTimeServers asks all servers at the same time, each of their addresses
// twice if need be, and returns their answers in the servers' order: of a pool
// one for each address, of another server the first good one or all failures.
// It ends when timeout has passed, whatever the network does.
// Answers of servers that are not synchronised, or refuse by a kiss of death
// (RFC 5905), carry an Err. Only the first 12 servers are asked.
func (h *Host) AskTimeServers(ctx context.Context, servers []TimeServer, timeout time.Duration) []TimeAnswer {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if len(servers) > maxTimeServers {
		servers = servers[:maxTimeServers]
	}
	answers := make([][]TimeAnswer, len(servers))
	var wg sync.WaitGroup
	for i, server := range servers {
		wg.Go(func() { answers[i] = askTimeServer(ctx, server) })
	}
	wg.Wait()
	var all []TimeAnswer
	for _, a := range answers {
		all = append(all, a...)
	}
	return all
}

func askTimeServer(ctx context.Context, server TimeServer) []TimeAnswer {
	addresses, err := timeServerAddresses(ctx, server.Name)
	if err != nil {
		return []TimeAnswer{{Server: server.Name, Err: err}}
	}
	port := server.Port
	if port == 0 {
		port = 123
	}
	answers := make([]TimeAnswer, len(addresses))
	var wg sync.WaitGroup
	for i, address := range addresses {
		wg.Go(func() {
			answers[i] = askTimeAddress(ctx, net.JoinHostPort(address, strconv.Itoa(port)))
			answers[i].Server = server.Name
		})
	}
	wg.Wait()
	if i := slices.IndexFunc(answers, func(a TimeAnswer) bool { return a.Err == nil }); i >= 0 && !server.Pool {
		return answers[i : i+1] // several addresses of one server are one voice
	}
	return answers
}

// timeServerAddresses resolves a name to at most four addresses, of both
// families when it has both.
func timeServerAddresses(ctx context.Context, name string) ([]string, error) {
	if _, err := netip.ParseAddr(name); err == nil {
		return []string{name}, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		if ctx.Err() != nil {
			return nil, errors.New("its name was not resolved in time")
		}
		return nil, fmt.Errorf("its name cannot be resolved: %w", err)
	}
	var v4, v6 []string
	for _, a := range found {
		if a = a.Unmap(); a.Is4() {
			v4 = append(v4, a.String())
		} else {
			v6 = append(v6, a.String())
		}
	}
	var addresses []string
	for len(addresses) < maxServerAddresses && len(v4)+len(v6) > 0 {
		if len(v4) > 0 {
			addresses, v4 = append(addresses, v4[0]), v4[1:]
		}
		if len(v6) > 0 && len(addresses) < maxServerAddresses {
			addresses, v6 = append(addresses, v6[0]), v6[1:]
		}
	}
	if len(addresses) == 0 {
		return nil, errors.New("its name has no address")
	}
	return addresses, nil
}

// askTimeAddress asks one address, a second time when the first packet or its
// answer was lost. It ends when ctx does.
func askTimeAddress(ctx context.Context, address string) TimeAnswer {
	a := TimeAnswer{Address: address}
	deadline, _ := ctx.Deadline()
	dial := func(_, remote string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "udp", remote)
		if err == nil {
			context.AfterFunc(ctx, func() { conn.Close() }) // the library knows no ctx
		}
		return conn, err
	}
	var response *ntp.Response
	for _, share := range []time.Duration{2, 1} {
		response, a.Err = ntp.QueryWithOptions(address, ntp.QueryOptions{Timeout: max(time.Until(deadline)/share, time.Millisecond), Dialer: dial})
		if ctx.Err() != nil || !isTimeout(a.Err) {
			break
		}
	}
	if response == nil {
		if ctx.Err() != nil || isTimeout(a.Err) {
			a.Err = errors.New("no answer in time")
		}
		return a
	}
	a.Offset, a.RTT = response.ClockOffset, response.RTT
	a.Stratum, a.RootDispersion, a.RootDistance = int(response.Stratum), response.RootDispersion, response.RootDistance
	if err := response.Validate(); err != nil {
		a.Err = err
		switch {
		case response.IsKissOfDeath() && response.KissCode != "":
			a.Err = fmt.Errorf("it refuses to answer (kiss of death %q)", response.KissCode)
		case errors.Is(err, ntp.ErrInvalidStratum), errors.Is(err, ntp.ErrInvalidLeapSecond), errors.Is(err, ntp.ErrKissOfDeath):
			// chronyd says that with stratum 0 and no kiss code.
			a.Err = fmt.Errorf("it is not synchronised itself (stratum %d)", response.Stratum)
		}
	}
	return a
}

// ParseTimeServer reads NAME, NAME:PORT, ADDRESS or [ADDRESS]:PORT.
func ParseTimeServer(s string) (TimeServer, error) {
	if _, err := netip.ParseAddr(s); err == nil {
		return TimeServer{Name: s}, nil
	}
	name, port, err := net.SplitHostPort(s)
	if err != nil {
		name, port = s, "123"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	_, notAddress := netip.ParseAddr(name)
	if err != nil || n == 0 || name == "" || notAddress != nil && strings.ContainsAny(name, " \t\r\n/[]:") {
		return TimeServer{}, fmt.Errorf("%q is not a time server: want NAME, NAME:PORT, ADDRESS or [ADDRESS]:PORT", s)
	}
	return TimeServer{Name: name, Port: int(n)}, nil
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
