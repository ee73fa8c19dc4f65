package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/hostguard/hostguard/internal/config"
	"github.com/hostguard/hostguard/internal/notify"
	"github.com/hostguard/hostguard/internal/printable"
	"github.com/hostguard/hostguard/internal/trustedfile"
)

// notifyWithin is how long one channel may take: a minute of all of them is
// nothing to a job that runs every ten.
const notifyWithin = 15 * time.Second

// maxSecret bounds the files that hold a password or an address.
const maxSecret = 4 << 10

// channelsOf returns the channels that the configuration names, syslog first.
// One whose secret cannot be read is left out, with the reason.
func channelsOf(cfg *config.Config, hostname string) (channels []notify.Channel, problems []error) {
	channels = []notify.Channel{notify.Syslog(notify.SyslogSocket)}
	if s := cfg.Notify.SMTP; s.Relay != "" {
		mail := notify.Mail{Relay: string(s.Relay), From: string(s.From), User: string(s.User)}
		for _, to := range s.To {
			mail.To = append(mail.To, string(to))
		}
		if mail.From == "" {
			mail.From = defaultSender(hostname)
		}
		var err error
		if s.PasswordFile != "" {
			mail.Password, err = secretFile(string(s.PasswordFile))
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("cannot notify by mail: %w", err))
		} else {
			channels = append(channels, mail.Channel())
		}
	}
	if w := cfg.Notify.Webhook; w != "" {
		address, err := string(w), error(nil)
		if w.File() != "" {
			if address, err = secretFile(w.File()); err == nil {
				if err = config.CheckWebhook(address); err != nil {
					err = fmt.Errorf("what %s holds: %w", w.File(), err)
				}
			}
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("cannot notify by webhook: %w", err))
		} else {
			channels = append(channels, notify.Webhook(address, nil))
		}
	}
	return channels, problems
}

// defaultSender is hostguard on this host, when its name can stand in an address.
func defaultSender(hostname string) string {
	var address config.Address
	if address.UnmarshalText([]byte("hostguard@"+hostname)) != nil {
		return "hostguard@localhost"
	}
	return string(address)
}

// secretFile reads the one line of a file that root alone can read and write.
func secretFile(name string) (string, error) {
	data, err := trustedfile.Read(name, maxSecret)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("cannot use %s: others than root can read it (mode %04o)", name, info.Mode().Perm())
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if line == "" || strings.ContainsAny(line, "\r\n\x00") {
		return "", fmt.Errorf("cannot use %s: it does not hold one line", name)
	}
	return line, nil
}

// toldChannel is what became of one channel in a run.
type toldChannel struct {
	Channel string `json:"channel"`
	Items   int    `json:"items"` // how many it was told of
	Error   string `json:"error,omitempty"`
}

// topic is what a job tells about.
type topic struct {
	name   string
	title  func(items []notify.Item) string
	policy notify.Policy
}

// notifyAll tells each channel what is due, all at the same time, and notes in told
// what was delivered: what was not is due again at the next run.
func notifyAll(ctx context.Context, t topic, host string, channels []notify.Channel, items []notify.Item, told notify.Told, now time.Time) (outcome []toldChannel, errs []error) {
	told.Keep(channels)
	var due []notify.Delivery
	for _, c := range channels {
		if items := told.Due(c.Name, items, t.policy, now); len(items) > 0 {
			due = append(due, notify.Delivery{Channel: c, Message: notify.Message{Host: host, Topic: t.name, Title: t.title(items), Time: now, Items: items}})
		}
	}
	for i, err := range notify.Deliver(ctx, due, notifyWithin) {
		d := due[i]
		o := toldChannel{Channel: d.Channel.Name, Items: len(d.Message.Items)}
		if err != nil {
			o.Error = err.Error()
			errs = append(errs, err)
		} else {
			told.Note(d.Channel.Name, d.Message.Items, now)
		}
		outcome = append(outcome, o)
	}
	return outcome, errs
}

// titleOf names what there is to tell of: the things that are worst.
func titleOf(items []notify.Item, well string) string {
	m := notify.Message{Items: items}
	worst := m.Level()
	var names []string
	for _, i := range items {
		if i.Level == worst {
			names = append(names, i.ID)
		}
	}
	list := strings.Join(names[:min(len(names), 5)], ", ")
	if more := len(names) - 5; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	if worst == notify.OK {
		return fmt.Sprintf("%s: %s", well, list)
	}
	return fmt.Sprintf("%v: %s", worst, list)
}

// sayTold writes which channels were told.
func sayTold(w io.Writer, outcome []toldChannel) {
	for _, o := range outcome {
		if o.Error == "" {
			fmt.Fprintf(w, "told by %s of %d\n", o.Channel, o.Items)
		}
	}
}

// repeatAfter is the time after which an unchanged state is told again.
func repeatAfter(cfg *config.Config) time.Duration {
	return max(time.Hour, time.Duration(cfg.Notify.Repeat))
}

// jobEnd is the exit code of a job, and all that went wrong: what could not be
// told or remembered comes before what could not be seen.
func jobEnd(failed, unseen []error) error {
	all := errors.Join(append(failed, unseen...)...)
	switch {
	case len(failed) > 0:
		return exitError{exitFindings, all}
	case len(unseen) > 0:
		return exitError{exitIncomplete, all}
	}
	return nil
}

// sayNotes writes what a job found of its earlier runs.
func sayNotes(w io.Writer, notes []string) {
	for _, n := range notes {
		fmt.Fprintf(w, "hostguard: %s\n", printable.String(n))
	}
}
