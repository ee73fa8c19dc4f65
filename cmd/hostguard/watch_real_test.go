package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
)

// listeners are a syslog daemon, a mail relay and a webhook that write down
// what they are told.
type listeners struct {
	told chan string  // "syslog: …", "mail: …", "webhook: …"
	fail atomic.Int32 // how many times more the webhook answers 500
}

func (l *listeners) note(who, text string) { l.told <- who + ": " + text }

// heard returns what was told since: at least so many, as long as they come.
func (l *listeners) heard(least int) []string {
	var told []string
	late := time.After(5 * time.Second)
	for len(told) < least {
		select {
		case one := <-l.told:
			told = append(told, one)
		case <-late:
			least = 0
		}
	}
	for len(l.told) > 0 {
		told = append(told, <-l.told)
	}
	slices.Sort(told)
	return told
}

func (l *listeners) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m struct{ Title string }
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		m.Title = err.Error()
	}
	if l.fail.Add(-1) >= 0 {
		w.WriteHeader(500)
		return
	}
	l.note("webhook", m.Title)
}

func (l *listeners) NewSession(*smtp.Conn) (smtp.Session, error) { return &mailbox{l}, nil }

type mailbox struct{ l *listeners }

func (*mailbox) Reset()                               {}
func (*mailbox) Logout() error                        { return nil }
func (*mailbox) Mail(string, *smtp.MailOptions) error { return nil }
func (*mailbox) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (m *mailbox) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	_, subject, _ := strings.Cut(string(text), "Subject: ")
	subject, _, _ = strings.Cut(subject, "\r\n")
	_, subject, _ = strings.Cut(subject, ": ")
	m.l.note("mail", subject)
	return err
}

// A file system that fills and empties: each change is told once, to each who
// listens, and what one did not hear it is told again.
func TestWatchTellsOfAFillingFileSystem(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"lib", "dev", "fill"} {
		if err := os.Mkdir(at(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mknod(at("dev/null"), unix.S_IFCHR|0o666, 1<<8|3); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", at("fill"), "tmpfs", 0, "size=10m,mode=700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(at("fill"), unix.MNT_DETACH) })

	l := &listeners{told: make(chan string, 100)}
	l.fail.Store(1)
	hook := httptest.NewTLSServer(l)
	defer hook.Close()
	pemFile := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hook.Certificate().Raw})
	relay := smtp.NewServer(l)
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go relay.Serve(port)
	defer relay.Close()
	log, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at("dev/log")})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	go func() {
		for buf := make([]byte, 4096); ; {
			n, err := log.Read(buf)
			if err != nil {
				return
			}
			_, text, _ := strings.Cut(string(buf[:n]), "]: ")
			l.note("syslog", text)
		}
	}()
	files := map[string]string{
		"ca.pem": string(pemFile),
		"hook":   hook.URL + "/T0KEN\n",
		"hostguard.yaml": fmt.Sprintf(`
notify: {smtp: {relay: "%s", to: ops@example.org}, webhook: %s}
storage: {warn: {free_bytes: 0B, full_within: 0s}, critical: {free_bytes: 0B}}
parameters: {STO-001: {paths: [%s], docker: false}}
`, port.Addr(), at("hook"), at("fill")),
	}
	for name, text := range files {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bin := lab.Binary(t)
	// In mounts of its own, so that the machine's state and log are left alone.
	inside := fmt.Sprintf("mount --bind %s /var/lib && mount --bind %s /dev && SSL_CERT_FILE=%s exec ", at("lib"), at("dev"), at("ca.pem"))
	watch := func(before string) lab.Result {
		return lab.Exec(t, "unshare", "--mount", "sh", "-c", before+inside+bin+" watch storage --config "+at("hostguard.yaml"))
	}
	fill := func(megabytes float64) {
		if err := os.WriteFile(at("fill/x"), make([]byte, int(megabytes*(1<<20))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	state := at("lib/hostguard/watch-storage")
	const worse, fuller, well = "storage warning: ", "storage critical: ", "storage has room again: "
	for _, step := range []struct {
		name   string
		do     func()
		code   int
		told   []string // how each begins
		stderr string
	}{
		{"an empty one", func() {}, 0, nil, ""},
		{"nearly full, and the webhook answers 500", func() { fill(9.2) }, 1, []string{"mail: " + worse, "syslog: storage: warning: "}, "cannot notify by webhook: 127.0.0.1"},
		{"as it was, and the webhook works", func() {}, 0, []string{"webhook: " + worse}, ""},
		{"as it was", func() {}, 0, nil, ""},
		{"fuller", func() { fill(9.8) }, 0, []string{"mail: " + fuller, "syslog: storage: critical: ", "webhook: " + fuller}, ""},
		{"as full", func() {}, 0, nil, ""},
		{"empty", func() { fill(1) }, 0, []string{"mail: " + well, "syslog: storage: ok: ", "webhook: " + well}, ""},
		{"as empty", func() {}, 0, nil, ""},
		{"with a state of somebody's", func() {
			for _, slot := range []string{"state-a", "state-b"} {
				os.WriteFile(filepath.Join(state, slot), []byte("\x1b[2J\x00"), 0o600)
			}
		}, 0, nil, "starting anew"},
		{"without a syslog daemon, when there is something to tell", func() { log.Close(); os.Remove(at("dev/log")); fill(9.2) }, 1, []string{"mail: " + worse, "webhook: " + worse}, "cannot notify by syslog"},
	} {
		step.do()
		r := watch("")
		told := l.heard(len(step.told))
		ok := r.Code == step.code && len(told) == len(step.told) && strings.Contains(r.Stderr, step.stderr) && (step.stderr != "" || r.Stderr == "")
		for i := range step.told {
			ok = ok && strings.HasPrefix(told[i], step.told[i])
		}
		if !ok {
			t.Errorf("%s: exit code %d, told %q\n%s%s\nwant %d, %q, %q", step.name, r.Code, told, r.Stdout, r.Stderr, step.code, step.told, step.stderr)
		}
		if strings.Contains(r.Stdout+r.Stderr+strings.Join(told, ""), "T0KEN") {
			t.Errorf("%s: the webhook's secret is told: %s%s %q", step.name, r.Stdout, r.Stderr, told)
		}
	}
	if r := watch("exec 9<" + state + " && flock 9 && "); r.Code != exitLocked {
		t.Errorf("while another run is at work: exit code %d: %s", r.Code, r.Stderr)
	}
	// Killed at any moment, the next run works.
	for i := range 12 {
		lab.Exec(t, "unshare", "--mount", "sh", "-c", strings.Replace(inside, "exec ", fmt.Sprintf("timeout -s KILL 0.%03d ", 2+4*i), 1)+bin+" watch storage --config "+at("hostguard.yaml"))
	}
	if r := watch(""); r.Code != exitFindings || strings.Contains(r.Stderr, "starting anew") || !strings.Contains(r.Stdout, "warning") {
		t.Errorf("after killed runs: exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
}
