package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/docker/docker/client"
	"golang.org/x/sys/unix"
)

// Bounds of what the daemon may answer. Two hundred containers with their
// networks and mounts are about half a megabyte and eight thousand values.
const (
	maxDockerAnswer  = 4 << 20 // bytes of one answer
	maxDockerValues  = 100_000 // JSON objects and arrays in one answer: "[{},{},…" grows a hundredfold when decoded
	maxDockerHeader  = 64 << 10
	maxDockerMessage = 300 // bytes of an error's text
	dockerTimeout    = 5 * time.Second
)

// dockerAPI is a connection to one docker daemon whose socket belongs to root.
type dockerAPI struct {
	*client.Client
	socket string
}

// dialDocker connects to the daemon at a unix socket of the host and agrees on
// an API version with it. Both the socket and the process that listens on it
// must be root's: anybody can run a docker of his own.
func (h *Host) dialDocker(ctx context.Context, socket string) (dockerAPI, error) {
	if !h.Running() {
		return dockerAPI{}, ErrNotRunning
	}
	ctx, cancel := withDockerTimeout(ctx)
	defer cancel()
	conn, err := h.dialRootSocket(ctx, socket)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
			err = errDockerDown{err}
		}
		return dockerAPI{}, fmt.Errorf("cannot use docker's socket %s: %w", socket, err)
	}
	first := make(chan net.Conn, 1) // the client dials through DialContext, and begins with this one
	first <- conn
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			select {
			case conn := <-first:
				return conn, nil
			default:
				return h.dialRootSocket(ctx, socket)
			}
		},
		DisableCompression:     true, // a compressed answer could be a bomb
		MaxResponseHeaderBytes: maxDockerHeader,
		MaxIdleConns:           4,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        dockerTimeout,
	}
	asker := &http.Client{
		Transport:     boundedTransport{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c, err := client.NewClientWithOpts(
		client.WithHost("unix://"+socket), // for messages: the transport dials by itself
		client.WithHTTPClient(asker),
		client.WithScheme("http"),
		client.WithAPIVersionNegotiation(),
	)
	if err != nil {
		return dockerAPI{}, dockerError(socket, err)
	}
	// The client wrapped it to trace and measure each request, for nobody.
	asker.Transport = boundedTransport{transport}
	ping, err := c.Ping(ctx)
	if err != nil {
		return dockerAPI{}, dockerError(socket, err)
	}
	if ping.APIVersion == "" {
		return dockerAPI{}, dockerError(socket, errors.New("it does not answer as docker does (no Api-Version)"))
	}
	c.NegotiateAPIVersionPing(ping)
	return dockerAPI{c, socket}, nil
}

// ErrDockerDown marks that nothing listens where docker should.
var ErrDockerDown = errors.New("docker is not running")

// errDockerDown says why docker is taken to be down.
type errDockerDown struct{ error }

func (e errDockerDown) Is(target error) bool { return target == ErrDockerDown }

func (e errDockerDown) Unwrap() error { return e.error }

// dialRootSocket connects to a unix socket that root owns and on which a
// process of root listens, as the kernel says (SO_PEERCRED, unix(7)).
func (h *Host) dialRootSocket(ctx context.Context, name string) (net.Conn, error) {
	info, err := h.Stat(name)
	if err != nil {
		return nil, withoutPath(err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("it is not a socket (%v)", info.Mode())
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid != 0 {
		return nil, fmt.Errorf("it belongs to uid %d, so it is somebody else's docker", uid)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", name)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // without the address, which the caller names
		}
		return nil, err
	}
	cred, err := peerCred(conn.(*net.UnixConn))
	if err == nil && cred.Uid != 0 {
		err = fmt.Errorf("a process of uid %d listens there, so it is somebody else's docker", cred.Uid)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func peerCred(conn *net.UnixConn) (cred *unix.Ucred, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	controlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	return cred, errors.Join(controlErr, err)
}

func withDockerTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, dockerTimeout, fmt.Errorf("no answer within %v", dockerTimeout))
}

// boundedTransport hands out bodies that end in an error where they are
// larger than any docker's answer should be.
type boundedTransport struct{ http.RoundTripper }

func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, bytes: maxDockerAnswer, values: maxDockerValues}
	return resp, nil
}

// boundedBody counts bytes and, without regard to strings, the brackets that
// open JSON values.
type boundedBody struct {
	io.ReadCloser
	bytes, values int // that may still come
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.bytes -= n
	for _, c := range p[:n] {
		if c == '{' || c == '[' {
			b.values--
		}
	}
	if b.bytes < 0 || b.values < 0 {
		return 0, fmt.Errorf("%w: the answer is over %d bytes or %d values", ErrTooLarge, maxDockerAnswer, maxDockerValues)
	}
	return n, err
}

// dockerError names the socket and cuts what the daemon said to a bearable
// length.
func dockerError(socket string, err error) error {
	switch {
	case errors.Is(err, ErrTooLarge):
		return fmt.Errorf("cannot ask docker at %s: %w", socket, ErrTooLarge)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("cannot ask docker at %s: no answer within %v", socket, dockerTimeout)
	}
	text := err.Error()
	if len(text) > maxDockerMessage {
		text = text[:maxDockerMessage] + "…"
	}
	return fmt.Errorf("cannot ask docker at %s: %s", socket, text)
}

// DockerHost is the DOCKER_HOST of hostguard's own environment. The docker
// command follows it; hostguard does not, since it need not be this host's.
func (h *Host) DockerHost() string { return os.Getenv("DOCKER_HOST") }

// connectDocker connects to the daemon where the host's configuration says
// that it listens; DOCKER_HOST is for the docker command, and is not followed.
func (h *Host) connectDocker(ctx context.Context) (dockerAPI, error) {
	if !h.Running() {
		return dockerAPI{}, ErrNotRunning
	}
	c, err := h.dockerConfig(ctx)
	switch {
	case err != nil:
		return dockerAPI{}, err
	case c.kind == "":
		return dockerAPI{}, fmt.Errorf("cannot ask docker: %w", errDockerDown{errors.New("no dockerd is installed")})
	case c.kind == "rootless":
		return dockerAPI{}, errors.New("cannot ask docker: only a rootless one is here, which answers to its user")
	case c.err != nil:
		return h.dialDocker(ctx, defaultDockerSocket)
	case len(c.sockets) == 0:
		return dockerAPI{}, errors.New("cannot ask docker: it listens on no unix socket, and networks are not asked")
	}
	return h.dialDocker(ctx, c.sockets[0])
}
