// Package notify tells people and programs elsewhere what hostguard watches:
// through syslog, by mail and by webhook, each apart from the others, so that
// one that hangs or fails neither delays nor loses the rest.
//
// What is told may hold names that an attacker chose: Titles, ids and texts are
// made printable ASCII here, on the way out.
package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hostguard/hostguard/internal/printable"
)

// Level is how a watched thing is. The zero value is invalid.
type Level uint8

// Levels from the best to the worst. What could not be seen is worse than a
// warning: nobody knows how near it is.
const (
	_ Level = iota
	OK
	Warning
	Unknown
	Critical
)

var levelNames = [...]string{OK: "ok", Warning: "warning", Unknown: "unknown", Critical: "critical"}

func (l Level) String() string {
	if l == 0 || int(l) >= len(levelNames) {
		return fmt.Sprintf("Level(%d)", uint8(l))
	}
	return levelNames[l]
}

// MarshalText writes the level's name.
func (l Level) MarshalText() ([]byte, error) {
	if l == 0 || int(l) >= len(levelNames) {
		return nil, fmt.Errorf("cannot write level %d: it is none", uint8(l))
	}
	return []byte(levelNames[l]), nil
}

// UnmarshalText reads what MarshalText wrote.
func (l *Level) UnmarshalText(text []byte) error {
	for i, name := range levelNames {
		if i > 0 && name == string(text) {
			*l = Level(i)
			return nil
		}
	}
	return fmt.Errorf("cannot read the level %q", text)
}

// Item is one watched thing and how it is.
type Item struct {
	ID    string `json:"id"` // its name, the same from run to run
	Level Level  `json:"level"`
	Text  string `json:"text"` // a sentence that names it
}

// Message is what one channel is told at once.
type Message struct {
	Host  string
	Topic string // "storage", "keys", "test"
	Title string // one line, without the host
	Time  time.Time
	Items []Item
}

// Level is that of the worst item.
func (m *Message) Level() Level {
	worst := OK
	for _, i := range m.Items {
		worst = max(worst, i.Level)
	}
	return worst
}

// clean is the message with everything in it printable.
func (m Message) clean() Message {
	m.Host, m.Title = printable.Clip(m.Host, 255), printable.Clip(m.Title, 200)
	items := make([]Item, len(m.Items))
	for i, item := range m.Items {
		items[i] = Item{printable.Clip(item.ID, 400), item.Level, printable.Clip(item.Text, 800)}
	}
	m.Items = items
	return m
}

// maxLines is how many items a text lists; of more it says how many there are.
const maxLines = 100

// lines are the message for people, a line for each item.
func (m *Message) lines() []string {
	var lines []string
	for i, item := range m.Items {
		if i == maxLines {
			lines = append(lines, fmt.Sprintf("and %d more", len(m.Items)-maxLines))
			break
		}
		lines = append(lines, item.Level.String()+": "+item.Text)
	}
	return lines
}

// maxHeading keeps a subject below what a line of mail may be long.
const maxHeading = 400

func (m *Message) heading() string {
	heading := fmt.Sprintf("[hostguard] %s: %s", cmp.Or(m.Host, "unnamed host"), m.Title)
	return heading[:min(len(heading), maxHeading)]
}

// Channel is one way to tell. Send must end with ctx.
type Channel struct {
	Name string // "syslog", "mail", "webhook"
	Send func(context.Context, Message) error
}

// Delivery is a message on its way.
type Delivery struct {
	Channel Channel
	Message Message
}

// Deliver sends all messages at the same time, each within the time given, and
// returns for each why it was not delivered, nil when it was. A channel that
// does not end in time is left behind.
func Deliver(ctx context.Context, all []Delivery, within time.Duration) []error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, d := range all {
		wg.Go(func() { errs[i] = deliver(ctx, d, within) })
	}
	wg.Wait()
	return errs
}

func deliver(ctx context.Context, d Delivery, within time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("no answer within %v", within))
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("it panicked: %v", p)
			}
		}()
		done <- d.Channel.Send(ctx, d.Message.clean())
	}()
	var err error
	select {
	case err = <-done:
		if err != nil && ctx.Err() != nil { // "i/o timeout" says less
			err = context.Cause(ctx)
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot notify by %s: %w", d.Channel.Name, errors.New(printable.Clip(err.Error(), 300)))
}
