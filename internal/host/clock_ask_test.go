package host

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/lab"
)

// ntpLie changes an answer of the fake server before it is sent; n counts requests
// from 0. Returning nil leaves the request without an answer.
type ntpLie func(n int, answer []byte) []byte

// fakeNTP is a time server that serves this machine's time, changed by lie. It
// ends with the test.
func fakeNTP(t *testing.T, lie ntpLie) TimeServer {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		request := make([]byte, 1024)
		for n := 0; ; n++ {
			size, from, err := conn.ReadFromUDP(request)
			if err != nil {
				return
			}
			if size < 48 {
				continue
			}
			if answer := lie(n, ntpAnswer(request, time.Now())); answer != nil {
				_, _ = conn.WriteToUDP(answer, from)
			}
		}
	}()
	return TimeServer{Name: "127.0.0.1", Port: conn.LocalAddr().(*net.UDPAddr).Port}
}

// ntpAnswer is the answer (RFC 5905, 7.3) of a healthy stratum 2 server.
func ntpAnswer(request []byte, now time.Time) []byte {
	answer := make([]byte, 48)
	answer[0] = 4<<3 | 4 // no leap second, version 4, server
	answer[1], answer[2], answer[3] = 2, 6, 0xec
	binary.BigEndian.PutUint32(answer[8:], 0x00000010) // root dispersion
	putNTPTime(answer[16:], now.Add(-time.Second))
	copy(answer[24:], request[40:48])
	putNTPTime(answer[32:], now)
	putNTPTime(answer[40:], now)
	return answer
}

func putNTPTime(b []byte, t time.Time) {
	binary.BigEndian.PutUint32(b, uint32(t.Unix()+2_208_988_800))
	binary.BigEndian.PutUint32(b[4:], uint32((uint64(t.Nanosecond())<<32)/1e9))
}

// shift makes a server that is ahead of this machine.
func shift(by time.Duration) ntpLie {
	return func(_ int, answer []byte) []byte {
		now := time.Now().Add(by)
		putNTPTime(answer[16:], now.Add(-time.Second))
		putNTPTime(answer[32:], now)
		putNTPTime(answer[40:], now)
		return answer
	}
}

func TestAskTimeServers(t *testing.T) {
	t.Parallel()
	honest := func(_ int, answer []byte) []byte { return answer }
	closed := fakeNTP(t, honest)
	closed.Port = closedPort(t)
	tests := map[string]struct {
		server TimeServer
		offset time.Duration
		err    string
	}{
		"a right server":                      {fakeNTP(t, honest), 0, ""},
		"600 ms ahead":                        {fakeNTP(t, shift(600*time.Millisecond)), 600 * time.Millisecond, ""},
		"years behind":                        {fakeNTP(t, shift(-9000*time.Hour)), -9000 * time.Hour, ""},
		"the first packet is lost":            {fakeNTP(t, func(n int, answer []byte) []byte { return map[bool][]byte{true: answer}[n > 0] }), 0, ""},
		"silent":                              {fakeNTP(t, func(int, []byte) []byte { return nil }), 0, "no answer in time"},
		"nobody listens":                      {closed, 0, "connection refused"},
		"kiss of death":                       {fakeNTP(t, func(_ int, a []byte) []byte { a[1] = 0; copy(a[12:], "RATE"); return a }), 0, `kiss of death "RATE"`},
		"a kiss code of escape codes is none": {fakeNTP(t, func(_ int, a []byte) []byte { a[1] = 0; copy(a[12:], "\x1b[2J"); return a }), 0, "not synchronised"},
		"stratum 16":                          {fakeNTP(t, func(_ int, a []byte) []byte { a[1] = 16; return a }), 0, "not synchronised"},
		"leap indicator 3":                    {fakeNTP(t, func(_ int, a []byte) []byte { a[0] |= 3 << 6; return a }), 0, "not synchronised"},
		"root dispersion of an hour":          {fakeNTP(t, func(_ int, a []byte) []byte { a[8], a[9] = 14, 16; return a }), 0, "invalid dispersion"},
		"an answer to something else":         {fakeNTP(t, func(_ int, a []byte) []byte { a[24] ^= 1; return a }), 0, "didn't match"},
		"three bytes":                         {fakeNTP(t, func(_ int, a []byte) []byte { return a[:3] }), 0, "invalid"},
		"a name that does not exist":          {TimeServer{Name: "no-such-host.invalid"}, 0, "resolved"},
		"an empty name":                       {TimeServer{}, 0, "resolved"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			answers := New(Options{}).AskTimeServers(t.Context(), []TimeServer{tt.server}, 600*time.Millisecond)
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			if len(answers) != 1 {
				t.Fatalf("%d answers: %+v", len(answers), answers)
			}
			a := answers[0]
			if tt.err != "" {
				if a.Err == nil || !strings.Contains(a.Err.Error(), tt.err) {
					t.Errorf("error %v, want %q", a.Err, tt.err)
				}
				return
			}
			if a.Err != nil {
				t.Fatal(a.Err)
			}
			if wrong := (a.Offset - tt.offset).Abs(); wrong > 100*time.Millisecond {
				t.Errorf("offset %v, want %v", a.Offset, tt.offset)
			}
		})
	}
}

func closedPort(t *testing.T) int {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

func TestAskTimeServersAllAtOnce(t *testing.T) {
	t.Parallel()
	silent := func(int, []byte) []byte { return nil }
	var servers []TimeServer
	for range 30 {
		servers = append(servers, fakeNTP(t, silent))
	}
	start := time.Now()
	answers := New(Options{}).AskTimeServers(t.Context(), servers, 300*time.Millisecond)
	if took := time.Since(start); took > 10*time.Second || len(answers) != maxTimeServers {
		t.Errorf("%d answers in %v, want %d in 300ms", len(answers), took, maxTimeServers)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if a := New(Options{}).AskTimeServers(ctx, servers[:1], time.Hour); a[0].Err == nil {
		t.Error("an answer after the caller gave up")
	}
}

// TestAskChronyd asks a real chronyd: one that serves time, and one that is
// not synchronised.
func TestAskChronyd(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Chrony)
	for name, tt := range map[string]struct{ extra, err string }{
		"serving":          {"local stratum 5\n", ""},
		"not synchronised": {"", "not synchronised"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := closedPort(t)
			dir := t.TempDir()
			config := filepath.Join(dir, "chrony.conf")
			text := fmt.Sprintf("%sport %d\nbindaddress 127.0.0.1\nallow\ncmdport 0\nbindcmdaddress /\nuser root\npidfile %s/pid\n", tt.extra, port, dir)
			if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("/usr/sbin/chronyd", "-x", "-d", "-f", config)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
			server := TimeServer{Name: "127.0.0.1", Port: port}
			var a TimeAnswer
			for range 100 { // until it listens: a refused packet comes back at once
				a = New(Options{}).AskTimeServers(t.Context(), []TimeServer{server}, time.Second)[0]
				if a.Err == nil || !strings.Contains(a.Err.Error(), "refused") {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			if tt.err != "" {
				if a.Err == nil || !strings.Contains(a.Err.Error(), tt.err) {
					t.Errorf("error %v, want %q", a.Err, tt.err)
				}
				return
			}
			if a.Err != nil || a.Offset.Abs() > 50*time.Millisecond || a.Stratum != 5 {
				t.Errorf("%+v, want no offset and stratum 5", a)
			}
		})
	}
}

func TestParseTimeServer(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]TimeServer{
		"ntp.example.org": {Name: "ntp.example.org", Port: 123}, "ntp.example.org:1123": {Name: "ntp.example.org", Port: 1123},
		"192.0.2.1": {Name: "192.0.2.1"}, "192.0.2.1:5": {Name: "192.0.2.1", Port: 5},
		"2001:db8::1": {Name: "2001:db8::1"}, "[2001:db8::1]:5": {Name: "2001:db8::1", Port: 5}, "fe80::1%eth0": {Name: "fe80::1%eth0"},
		"": {}, ":123": {}, "a b": {}, "a:0": {}, "a:65536": {}, "a:b": {}, "http://a": {}, "a\n": {}, "[a": {},
	} {
		got, err := ParseTimeServer(text)
		if got != want || (err != nil) != (want == TimeServer{}) {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func FuzzParseTimeServer(f *testing.F) {
	f.Add("[2001:db8::1]:123")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := ParseTimeServer(text); err == nil && s.Name == "" {
			t.Errorf("%q has no name", text)
		}
	})
}
