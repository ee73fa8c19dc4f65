package notify

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/hostguard/hostguard/internal/lab"
)

// relay is an SMTP server on a loopback address that keeps what it is sent.
type relay struct {
	mu    sync.Mutex
	mails []string
	rcpts []string
	auth  string
	tls   bool
}

func (r *relay) NewSession(c *smtp.Conn) (smtp.Session, error) { return &session{r, c}, nil }

type session struct {
	r *relay
	c *smtp.Conn
}

func (*session) Reset()        {}
func (*session) Logout() error { return nil }
func (s *session) AuthMechanisms() []string {
	return []string{sasl.Plain}
}
func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		s.r.mu.Lock()
		defer s.r.mu.Unlock()
		s.r.auth = user + ":" + password
		if password != "right" {
			return errors.New("wrong: you said " + password)
		}
		return nil
	}), nil
}
func (*session) Mail(string, *smtp.MailOptions) error { return nil }
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.r.rcpts = append(s.r.rcpts, to)
	return nil
}
func (s *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	_, s.r.tls = s.c.TLSConnectionState()
	s.r.mails = append(s.r.mails, string(text))
	return err
}

// start serves on loopback.
func start(t *testing.T, secure *tls.Config) (*relay, string) {
	t.Helper()
	r := &relay{}
	server := smtp.NewServer(r)
	server.TLSConfig, server.AllowInsecureAuth, server.Domain = secure, false, "relay.example.org"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return r, l.Addr().String()
}

// certificate is httptest's, of example.com and 127.0.0.1.
func certificate(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestMailOverSTARTTLS(t *testing.T) {
	t.Parallel()
	cert := certificate(t)
	r, address := start(t, &tls.Config{Certificates: cert.TLS.Certificates})
	m := Mail{Relay: address, From: "hostguard@example.org", To: []string{"ops@example.org", "night@example.org"}, User: "u", Password: "right", Roots: roots(cert), far: true}
	evil := Item{"/\r\nBcc: x@y", Warning, "line\r\n.\r\nMAIL FROM:<x@y> " + strings.Repeat("\u202e", 400)}
	if err := Deliver(t.Context(), []Delivery{{m.Channel(), message(full, evil)}}, 10*time.Second)[0]; err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.mails) != 1 || len(r.rcpts) != 2 || !r.tls || r.auth != "u:right" {
		t.Fatalf("%d mails to %q, TLS %v, login %q", len(r.mails), r.rcpts, r.tls, r.auth)
	}
	parsed, err := mail.ReadMessage(strings.NewReader(r.mails[0]))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(parsed.Body)
	if s := parsed.Header.Get("Subject"); s != "[hostguard] tc-1.example.org: storage critical: /var" || parsed.Header.Get("Bcc") != "" || parsed.Header.Get("Auto-Submitted") != "auto-generated" {
		t.Errorf("header: %q", parsed.Header)
	}
	if !strings.Contains(string(body), full.Text) || !strings.Contains(string(body), `\r\n.\r\nMAIL FROM`) {
		t.Errorf("body: %q", body)
	}
	for line := range strings.Lines(r.mails[0]) {
		if len(line) > 1000 || bytes.ContainsFunc([]byte(line), func(c rune) bool { return c > '~' }) {
			t.Errorf("a line of %d bytes: %.80q", len(line), line)
		}
	}
}

func TestMailRefused(t *testing.T) {
	t.Parallel()
	cert := certificate(t)
	config := &tls.Config{Certificates: cert.TLS.Certificates}
	good, address := start(t, config)
	_, without := start(t, nil)
	_, port, _ := net.SplitHostPort(address)
	base := Mail{From: "a@b", To: []string{"c@d"}, Roots: roots(cert), far: true}
	for name, tt := range map[string]struct {
		change func(*Mail)
		want   string
	}{
		"no STARTTLS":                  {func(m *Mail) { m.Relay = without }, "no safe connection"},
		"a certificate of nobody's":    {func(m *Mail) { m.Relay, m.Roots = address, nil }, "certificate"},
		"a certificate of another one": {func(m *Mail) { m.Relay = "localhost:" + port }, "certificate"},
		"a wrong password":             {func(m *Mail) { m.Relay, m.User, m.Password = address, "u", "S3CRET" }, "does not accept the user or password (454"},
		"nobody there":                 {func(m *Mail) { m.Relay = "127.0.0.1:1" }, "refused"},
		"one that hangs":               {func(m *Mail) { m.Relay = silent(t) }, "no answer within"},
		"one that never stops talking": {func(m *Mail) { m.Relay = talker(t) }, "cannot notify by mail"},
	} {
		m := base
		tt.change(&m)
		start := time.Now()
		err := Deliver(t.Context(), []Delivery{{m.Channel(), message(full)}}, 2*time.Second)[0]
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "S3CRET") {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		if took := time.Since(start); took > 8*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
	good.mu.Lock()
	defer good.mu.Unlock()
	if len(good.mails) != 0 {
		t.Errorf("it took %d mails", len(good.mails))
	}
}

// A relay on this host itself needs no TLS.
func TestMailToALocalRelay(t *testing.T) {
	t.Parallel()
	r, address := start(t, nil)
	m := Mail{Relay: address, From: "a@b", To: []string{"c@d"}}
	if err := Deliver(t.Context(), []Delivery{{m.Channel(), message(full)}}, 10*time.Second)[0]; err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.mails) != 1 {
		t.Error("it got nothing")
	}
}

// On the port for it TLS comes first: the certificate is not that address's.
func TestMailOverTLSFromTheStart(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root) // for the port
	cert := certificate(t)
	l, err := tls.Listen("tcp", "127.60.7.1:465", &tls.Config{Certificates: cert.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	}()
	m := Mail{Relay: "127.60.7.1:465", From: "a@b", To: []string{"c@d"}, Roots: roots(cert)}
	err = Deliver(t.Context(), []Delivery{{m.Channel(), message(full)}}, 10*time.Second)[0]
	if err == nil || !strings.Contains(err.Error(), "not 127.60.7.1") {
		t.Errorf("%v", err)
	}
}

// silent takes connections and says nothing.
func silent(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// talker greets for ever.
func talker(t *testing.T) string {
	address := make(chan string)
	go func() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Error(err)
		}
		address <- l.Addr().String()
		t.Cleanup(func() { l.Close() })
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for w := bufio.NewWriter(conn); ; {
			if _, err := w.WriteString("220-welcome " + strings.Repeat("x", 500) + "\r\n"); err != nil {
				return
			}
		}
	}()
	return <-address
}
