package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func message(items ...Item) Message {
	return Message{Host: "tc-1.example.org", Topic: "storage", Title: "storage critical: /var", Time: now, Items: items}
}

var full = Item{"/var", Critical, "/var is running out of room: 1.0% free"}

// hourly tells again after an hour.
var hourly = Policy{func(Level) time.Duration { return time.Hour }, "is not watched any more"}

func TestWhatIsDue(t *testing.T) {
	t.Parallel()
	type step struct {
		after time.Duration
		level Level // 0: it is gone
		want  string
	}
	for name, steps := range map[string][]step{
		"well from the start":                {{0, OK, ""}, {time.Hour, OK, ""}},
		"told once, and again after an hour": {{0, Warning, "warning"}, {10 * time.Minute, Warning, ""}, {50*time.Minute - time.Second, Warning, ""}, {time.Second, Warning, "warning"}, {10 * time.Minute, Warning, ""}},
		"worse is told at once":              {{0, Warning, "warning"}, {time.Minute, Critical, "critical"}, {time.Minute, Critical, ""}},
		"better is told at once":             {{0, Critical, "critical"}, {time.Minute, Warning, "warning"}, {time.Minute, OK, "ok"}, {time.Minute, OK, ""}},
		"well again is told once":            {{0, Critical, "critical"}, {time.Minute, OK, "ok"}, {2 * time.Hour, OK, ""}},
		"unseen is told":                     {{0, Unknown, "unknown"}, {time.Minute, Unknown, ""}, {time.Minute, Critical, "critical"}},
		"gone is told once":                  {{0, Critical, "critical"}, {time.Minute, 0, "ok"}, {time.Minute, 0, ""}},
		"gone and never told":                {{0, OK, ""}, {time.Minute, 0, ""}},
		"the clock was set back":             {{0, Critical, "critical"}, {-48 * time.Hour, Critical, "critical"}, {time.Minute, Critical, ""}},
	} {
		told, at := Told{}, now
		for i, s := range steps {
			at = at.Add(s.after)
			var items []Item
			if s.level != 0 {
				items = []Item{{"/", s.level, "x"}}
			}
			due := told.Due("mail", items, hourly, at)
			told.Note("mail", due, at)
			got := ""
			if len(due) > 0 {
				got = due[0].Level.String()
			}
			if got != s.want || len(due) > 1 {
				t.Errorf("%s: step %d: told %q, want %q", name, i, got, s.want)
			}
		}
	}
}

// A channel that did not take what it was sent is sent it again, alone.
func TestChannelsAreToldApart(t *testing.T) {
	t.Parallel()
	told, items := Told{}, []Item{full}
	told.Note("syslog", told.Due("syslog", items, hourly, now), now)
	later := now.Add(10 * time.Minute)
	if due := told.Due("syslog", items, hourly, later); len(due) != 0 {
		t.Errorf("syslog is told twice: %v", due)
	}
	if due := told.Due("mail", items, hourly, later); len(due) != 1 {
		t.Errorf("mail is not told again: %v", due)
	}
	told.Keep([]Channel{{Name: "mail"}})
	if _, known := told["syslog"]; known {
		t.Error("a channel that is gone is remembered")
	}
}

// One channel that hangs, one that panics and one that fails: the others are
// told, in time.
func TestDeliverToOthersThanTheBroken(t *testing.T) {
	t.Parallel()
	var got Message
	hang := make(chan struct{})
	defer close(hang)
	all := []Channel{
		{"hanging", func(context.Context, Message) error { <-hang; return nil }},
		{"panicking", func(context.Context, Message) error { panic("S") }},
		{"failing", func(context.Context, Message) error { return errors.New("no \x1b[2J\n") }},
		{"good", func(_ context.Context, m Message) error { got = m; return nil }},
	}
	var list []Delivery
	for _, c := range all {
		list = append(list, Delivery{c, message(Item{"/\x1b[2J", Critical, "/\u202e\nBcc: x\xff"})})
	}
	start := time.Now()
	errs := Deliver(t.Context(), list, 200*time.Millisecond)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	for i, want := range []string{"cannot notify by hanging: no answer within 200ms", "panicked", `no \x1b[2J\n`, ""} {
		if text := fmt.Sprint(errs[i]); want == "" && errs[i] != nil || !strings.Contains(text, want) {
			t.Errorf("%s: %v", all[i].Name, errs[i])
		}
	}
	if i := got.Items[0]; i.ID != `/\x1b[2J` || i.Text != `/\u202e\nBcc: x\xff` {
		t.Errorf("the message is not made printable: %q", got)
	}
}

func TestSyslog(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "log")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m := message(full, Item{"/srv", Warning, strings.Repeat("x", 5000)}, Item{"/", OK, "/ has room again"})
	if err := Deliver(t.Context(), []Delivery{{Syslog(socket), m}}, time.Second)[0]; err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<26>", "<28>", "<29>"} { // daemon.crit, .warning, .notice
		buf := make([]byte, 10000)
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if text := string(buf[:n]); !strings.HasPrefix(text, want) || !strings.Contains(text, "hostguard[") || n > maxSyslog {
			t.Errorf("%d bytes: %.200q, want %s", n, text, want)
		}
	}
	err = Deliver(t.Context(), []Delivery{{Syslog(filepath.Join(t.TempDir(), "none")), m}}, time.Second)[0]
	if err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("without a daemon: %v", err)
	}
}

// A daemon that does not read any more holds up nobody.
func TestSyslogThatHangs(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "log")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var items []Item
	for range maxLines {
		items = append(items, full)
	}
	failed := false
	for range 50 { // until its queue is full
		if Deliver(t.Context(), []Delivery{{Syslog(socket), message(items...)}}, 100*time.Millisecond)[0] != nil {
			failed = true
			break
		}
	}
	if !failed {
		t.Error("all was delivered to nobody")
	}
}
