package notify

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Mail is a relay that takes mail for submission, and who gets it.
type Mail struct {
	Relay string // HOST or HOST:PORT; without a port 587. On port 465 TLS comes first, on others by STARTTLS
	From  string
	To    []string

	User     string // empty: no authentication
	Password string

	Roots *x509.CertPool // nil: the system's

	far bool // for tests: a relay on this host is taken for one elsewhere
}

const (
	submissionPort  = "587" // RFC 6409
	submissionsPort = "465" // RFC 8314
	maxFromRelay    = 1 << 20
)

// Channel sends mail through the relay. Nothing is sent over a connection
// without TLS and a valid certificate, but to a relay on this host itself:
// there TLS is not asked for.
func (m Mail) Channel() Channel {
	return Channel{"mail", func(ctx context.Context, msg Message) error { return m.send(ctx, msg) }}
}

func (m Mail) send(ctx context.Context, msg Message) error {
	host, port, err := net.SplitHostPort(m.Relay)
	if err != nil {
		host, port = strings.Trim(m.Relay, "[]"), submissionPort
	}
	client, conn, err := m.dial(ctx, host, port)
	if err != nil {
		return err
	}
	defer client.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if name := strings.Trim(msg.Host, "."); plainHost(name) {
		client.Hello(name) // what it is not told, it is told by the next command, with its error
	}
	if m.User != "" {
		if err := client.Auth(m.credentials(client)); err != nil {
			var answer *smtp.SMTPError
			if errors.As(err, &answer) { // without its text, which may repeat what it was told
				return fmt.Errorf("the relay does not accept the user or password (%d %d.%d.%d)", answer.Code, answer.EnhancedCode[0], answer.EnhancedCode[1], answer.EnhancedCode[2])
			}
			return err
		}
	}
	if err := client.SendMail(m.From, m.To, strings.NewReader(m.text(msg))); err != nil {
		return err
	}
	client.Quit() // the mail is taken already
	return nil
}

func (m Mail) credentials(c *smtp.Client) sasl.Client {
	if !c.SupportsAuth(sasl.Plain) && c.SupportsAuth(sasl.Login) {
		return sasl.NewLoginClient(m.User, m.Password)
	}
	return sasl.NewPlainClient("", m.User, m.Password)
}

// dial connects and secures the connection.
func (m Mail) dial(ctx context.Context, host, port string) (*smtp.Client, net.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, nil, err
	}
	conn := net.Conn(&bounded{Conn: raw, left: maxFromRelay})
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // what follows knows no context
	defer stop()
	config := &tls.Config{ServerName: host, RootCAs: m.Roots, MinVersion: tls.VersionTLS12}
	switch {
	case port == submissionsPort:
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, nil, err
		}
		return smtp.NewClient(secure), conn, nil
	case isLoopback(raw.RemoteAddr()) && !m.far:
		return smtp.NewClient(conn), conn, nil
	}
	client, err := smtp.NewClientStartTLS(conn, config)
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("the relay gives no safe connection: %w", err)
	}
	return client, conn, nil
}

// isLoopback goes by the address that was reached, not by the name given.
func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// bounded is a connection that ends after so many bytes from the other side.
type bounded struct {
	net.Conn
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("the relay says too much")
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// text is the mail. All of it is ASCII and no line is longer than 998 bytes
// (RFC 5322, 2.1.1): what could be longer or more was clipped and escaped.
func (m Mail) text(msg Message) string {
	_, domain, _ := strings.Cut(m.From, "@")
	header := []string{
		"From: hostguard <" + m.From + ">",
		"To: " + strings.Join(m.To, ",\r\n "),
		"Subject: " + msg.heading(),
		"Date: " + msg.Time.Format(time.RFC1123Z),
		"Message-ID: <" + strings.ToLower(rand.Text()) + "@" + cmp.Or(domain, "localhost") + ">",
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=us-ascii",
		"Auto-Submitted: auto-generated", // RFC 3834: answers nobody
	}
	body := append(msg.lines(), "", "Host "+msg.Host+", "+msg.Time.UTC().Format(time.RFC3339))
	return strings.Join(header, "\r\n") + "\r\n\r\n" + strings.Join(wrap(body), "\r\n") + "\r\n"
}

const maxMailLine = 900

// wrap breaks lines that are too long for mail.
func wrap(lines []string) []string {
	var short []string
	for _, line := range lines {
		for len(line) > maxMailLine {
			short, line = append(short, line[:maxMailLine]), line[maxMailLine:]
		}
		short = append(short, line)
	}
	return short
}

// plainHost reports whether a name can be said in EHLO.
func plainHost(name string) bool {
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '-' && c != '.' {
			return false
		}
	}
	return name != "" && len(name) < 254
}
