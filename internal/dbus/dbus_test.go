package dbus

import (
	"context"
	"errors"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/lab"
)

// other is the other side of a connection, written by hand: it lets everybody
// in, then writes answers.
func other(t *testing.T, answers ...[]byte) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		var read []byte
		buf := make([]byte, 4096)
		for !strings.Contains(string(read), "BEGIN\r\n") {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			read = append(read, buf[:n]...)
		}
		io.WriteString(conn, "OK 0123456789abcdef\r\n")
		conn.Read(buf)
		for _, a := range answers {
			conn.Write(a)
		}
		io.Copy(io.Discard, conn)
	}()
	return socket
}

// reply makes a message that answers a call.
func reply(kind byte, to uint32, signature, errorName string, body []byte) []byte {
	out := []byte{byteOrder, kind, 0, protocolVersion, byte(len(body)), byte(len(body) >> 8), byte(len(body) >> 16), 0, 9, 0, 0, 0, 0, 0, 0, 0}
	pad := func() {
		for len(out)%8 != 0 {
			out = append(out, 0)
		}
	}
	out = append(out, fieldReplySerial, 1, 'u', 0, byte(to), 0, 0, 0)
	if signature != "" {
		pad()
		out = append(out, fieldSignature, 1, 'g', 0, byte(len(signature)))
		out = append(append(out, signature...), 0)
	}
	if errorName != "" {
		pad()
		out = append(out, fieldErrorName, 1, 's', 0, byte(len(errorName)), 0, 0, 0)
		out = append(append(out, errorName...), 0)
	}
	out[12] = byte(len(out) - fixedHeader)
	pad()
	return append(out, body...)
}

func stringBody(s string) []byte {
	return append(append([]byte{byte(len(s)), 0, 0, 0}, s...), 0)
}

func dial(t *testing.T, socket string) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAnswersInAnyOrderSignalsLeftOut(t *testing.T) {
	t.Parallel()
	signal := reply(4, 1, "s", "", stringBody("not for us"))
	c := dial(t, other(t, signal,
		reply(methodReturn, 2, "s", "", stringBody("second")),
		reply(methodReturn, 77, "s", "", stringBody("of nobody")),
		reply(methodError, 3, "s", "org.example.No", stringBody("because")),
		reply(methodReturn, 1, "s", "", stringBody("first"))))
	got := c.AskAll(t.Context(), Call{Member: "A"}, Call{Member: "B"}, Call{Member: "C", Args: []string{"x", "yz"}})
	if s := got[0].Body.String(); s != "first" || got[0].Err != nil {
		t.Errorf("first: %q, %v", s, got[0].Err)
	}
	if s := got[1].Body.String(); s != "second" || got[1].Err != nil {
		t.Errorf("second: %q, %v", s, got[1].Err)
	}
	if e := (Error{}); !errors.As(got[2].Err, &e) || e != (Error{"org.example.No", "because"}) {
		t.Errorf("third: %v", got[2].Err)
	}
}

func TestAskingEnds(t *testing.T) {
	t.Parallel()
	silent := func(t *testing.T) string { return other(t) }
	huge := reply(methodReturn, 1, "s", "", nil)
	huge[7] = 0x7f
	for name, socket := range map[string]func(*testing.T) string{
		"no answer":         silent,
		"garbage":           func(t *testing.T) string { return other(t, []byte(strings.Repeat("x", 100))) },
		"a message too big": func(t *testing.T) string { return other(t, huge) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, socket(t))
			ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, errors.New("no answer in time"))
			defer cancel()
			if _, err := c.Ask(ctx, Call{Member: "A"}); err == nil {
				t.Error("no error")
			}
			c.Close()
			if _, err := c.Ask(t.Context(), Call{Member: "A"}); err == nil {
				t.Error("a closed connection can be asked")
			}
		})
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", socket) // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("had to leave"))
	defer cancel()
	if _, err := Dial(ctx, socket); err == nil || err.Error() != "had to leave" {
		t.Errorf("got %v", err)
	}
}

func TestSkipAndRead(t *testing.T) {
	t.Parallel()
	// y, a(yv) with one element whose variant is an as, s
	data := []byte{7, 0, 0, 0, 24, 0, 0, 0, 1, 2, 'a', 's', 0, 0, 0, 0, 12, 0, 0, 0, 2, 0, 0, 0, 'h', 'i', 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 'e', 'n', 'd', 0}
	d := Decoder{data: data}
	d.Skip("ya(yv)")
	if s := d.String(); s != "end" || d.Err() != nil {
		t.Errorf("skipped to %q, %v", s, d.Err())
	}
	d = Decoder{data: data}
	var words []string
	d.Byte()
	d.Array("(yv)", func() {
		if d.Byte() == 1 && d.Variant() == "as" {
			words = d.Strings()
		}
		d.align(8)
	})
	if s := d.String(); !slices.Equal(words, []string{"hi", ""}) && s != "end" {
		t.Errorf("read %q and %q, %v", words, s, d.Err())
	}
}

func TestMalformedSignatures(t *testing.T) {
	t.Parallel()
	for _, signature := range []string{"(", ")", "()", "a", "{", "(a)", "z", "(s", "aa", "s)"} {
		d := Decoder{data: make([]byte, 64)}
		if d.Skip(signature); d.Err() == nil {
			t.Errorf("%q is accepted", signature)
		}
	}
}

// TestRealBus asks a real message bus.
func TestRealBus(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.DBus)
	const daemon = "/usr/bin/dbus-daemon"
	socket := filepath.Join(t.TempDir(), "bus")
	cmd := exec.Command(daemon, "--session", "--nofork", "--print-address=1", "--address=unix:path="+socket)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil { // the address: it listens
		t.Fatal(err)
	}
	c, err := DialBus(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	bus := Call{Destination: "org.freedesktop.DBus", Path: "/org/freedesktop/DBus", Interface: "org.freedesktop.DBus"}
	names, owner, features := bus, bus, bus
	names.Member = "ListNames"
	owner.Member, owner.Args = "GetNameOwner", []string{"no.such.name"}
	features.Interface, features.Member, features.Args = "org.freedesktop.DBus.Properties", "GetAll", []string{"org.freedesktop.DBus"}
	got := c.AskAll(t.Context(), names, owner, features)
	got[0].Body.Expect("as")
	if list := got[0].Body.Strings(); !slices.Contains(list, "org.freedesktop.DBus") || got[0].Body.Err() != nil {
		t.Errorf("names: %q, %v", list, got[0].Body.Err())
	}
	if e := (Error{}); !errors.As(got[1].Err, &e) || e.Name != "org.freedesktop.DBus.Error.NameHasNoOwner" {
		t.Errorf("owner: %v", got[1].Err)
	}
	var keys []string
	got[2].Body.Expect("a{sv}")
	got[2].Body.Dictionary(func(key, signature string) bool {
		keys = append(keys, key)
		return false
	})
	if !slices.Contains(keys, "Features") || got[2].Body.Err() != nil || got[2].Body.more() {
		t.Errorf("properties: %q, %v", keys, got[2].Body.Err())
	}
}

func FuzzMessage(f *testing.F) {
	f.Add(reply(methodReturn, 1, "s", "", stringBody("text")))
	f.Add(reply(methodError, 1, "s", "org.example.No", stringBody("because")))
	f.Add(reply(methodReturn, 1, "a(yv)", "", []byte{0, 0, 0, 0}))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := readMessage(strings.NewReader(string(data)))
		if err != nil {
			return
		}
		_ = m.failure()
		whole := m.body
		whole.Skip(whole.Signature)
		if whole.at > len(whole.data) {
			t.Errorf("read to %d of %d", whole.at, len(whole.data))
		}
		properties := m.body
		properties.Dictionary(func(string, string) bool { return false })
		rows := m.body
		rows.Array("(so)", func() { rows.Skip("so") })
	})
}
