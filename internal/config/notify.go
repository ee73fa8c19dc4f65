package config

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/hostguard/hostguard/internal/lazyregexp"
	"github.com/hostguard/hostguard/internal/quantity"
	"github.com/hostguard/hostguard/internal/schedule"
	"github.com/hostguard/hostguard/internal/strictyaml"
)

// Notify says whom hostguard's jobs tell, besides syslog, which is always told.
type Notify struct {
	SMTP    SMTP              `yaml:"smtp" doc:"Mail, handed to a relay. It is sent over TLS with a valid certificate only, except to a relay on this host itself."`
	Webhook Webhook           `yaml:"webhook" doc:"An https address that is sent JSON, or the path of a file that root alone can read and that holds such an address: this file anybody can read, and an address may hold a secret."`
	Repeat  quantity.Duration `yaml:"repeat" doc:"How long a state that stays bad is not told again. An hour when not given, which is the least."`
}

// SMTP is a mail relay.
type SMTP struct {
	Relay        Server    `yaml:"relay" required:"true" doc:"The relay's name, with its port: STARTTLS on 587 (when not given) and others, TLS from the start on 465."`
	To           Addresses `yaml:"to" required:"true" doc:"Who gets the mail; a list when there are several."`
	From         Address   `yaml:"from" doc:"Who sends it. hostguard@ and the host's name when not given."`
	User         Line      `yaml:"user" doc:"The user to log in as, when the relay wants one."`
	PasswordFile File      `yaml:"password_file" doc:"A file that root alone can read and that holds the user's password."`
}

// UnmarshalNode reads the section and finds what does not go together.
func (n *Notify) UnmarshalNode(node strictyaml.Node) error {
	type plain Notify
	var errs strictyaml.Errors
	errs.Add(node, node.Decode((*plain)(n)))
	switch {
	case node.Get("repeat").Kind != strictyaml.Absent && time.Duration(n.Repeat) < time.Hour && len(errs) == 0:
		errs = append(errs, node.Get("repeat").Errorf("want an hour or more"))
	case (n.SMTP.User == "") != (n.SMTP.PasswordFile == "") && len(errs) == 0:
		errs = append(errs, node.Key("smtp").Errorf("user and password_file go together"))
	}
	return errs.OrNil()
}

// Webhook is an https address, or the absolute path of a file that holds one.
// An address may hold a secret: no message repeats it.
type Webhook string

// File is the path of the file that holds the address, empty when it is given.
func (w Webhook) File() string {
	if path.IsAbs(string(w)) {
		return string(w)
	}
	return ""
}

// UnmarshalText reads an address or a path.
func (w *Webhook) UnmarshalText(text []byte) error {
	var file File
	if file.UnmarshalText(text) == nil {
		*w = Webhook(text)
		return nil
	}
	if err := CheckWebhook(string(text)); err != nil {
		return err
	}
	*w = Webhook(text)
	return nil
}

// CheckWebhook says why an address is none that a webhook can have.
func CheckWebhook(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return errors.New("it is not an address") // the parser's error repeats it
	case u.Scheme != "https" || u.Host == "" || u.Opaque != "":
		return errors.New("want an address that begins with https:// and a host's name")
	case u.Fragment != "":
		return errors.New("an address to send to has no #")
	}
	var server Server
	if err := server.UnmarshalText([]byte(strings.Trim(u.Host, "[]"))); err != nil && server.UnmarshalText([]byte(u.Host)) != nil {
		return errors.New("its host is neither a name nor an address")
	}
	return nil
}

// Address is a mail address.
type Address string

var localPart = lazyregexp.New(`^[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+)*$`)

// UnmarshalText reads an address in its plain form, without a name or quotes.
func (a *Address) UnmarshalText(text []byte) error {
	local, domain, _ := strings.Cut(string(text), "@")
	if len(local) > 64 || len(domain) > 253 || !localPart().MatchString(local) || !hostName().MatchString(domain) {
		return fmt.Errorf("%q is not a mail address such as ops@example.org", text)
	}
	*a = Address(text)
	return nil
}

// Addresses is one mail address or a list of them.
type Addresses []Address

// UnmarshalNode reads either form.
func (a *Addresses) UnmarshalNode(n strictyaml.Node) error {
	items := []strictyaml.Node{n}
	if n.Kind == strictyaml.List {
		items = n.Items
	}
	*a = nil
	var errs strictyaml.Errors
	for _, item := range items {
		var one Address
		errs.Add(item, item.Decode(&one))
		*a = append(*a, one)
	}
	if len(items) == 0 || len(items) > 50 {
		errs = append(errs, n.Errorf("want 1 to 50 addresses"))
	}
	return errs.OrNil()
}

// Line is text without control characters.
type Line string

// UnmarshalText reads a line.
func (l *Line) UnmarshalText(text []byte) error {
	if len(text) == 0 || len(text) > maxName || strings.ContainsFunc(string(text), func(r rune) bool { return r < ' ' || r == 0x7f || r == '\u0085' || r == '\u2028' || r == '\u2029' }) {
		return fmt.Errorf("%q is not one line of text", text)
	}
	*l = Line(text)
	return nil
}

// File is the absolute path of a file.
type File string

// UnmarshalText reads a path.
func (f *File) UnmarshalText(text []byte) error {
	if !path.IsAbs(string(text)) || strings.ContainsRune(string(text), 0) {
		return fmt.Errorf("%q is not an absolute path", text)
	}
	*f = File(text)
	return nil
}

// Limits are what must be left on a file system, each as the rules have it when
// not given.
type Limits struct {
	Free       *quantity.Percent  `yaml:"free" doc:"Share of its room that must be free."`
	FreeBytes  *quantity.Bytes    `yaml:"free_bytes" doc:"Amount that must be free."`
	FreeInodes *quantity.Percent  `yaml:"free_inodes" doc:"Share of its inodes that must be free."`
	FullWithin *quantity.Duration `yaml:"full_within" doc:"Time in which it must not become full at the rate at which it grows; 0s: do not reckon."`
}

// Schedule says when hostguard's own jobs run.
type Schedule struct {
	By           Scheduler `yaml:"by" doc:"What starts them: cron or timer (systemd's). When not given cron where it is installed, else timers."`
	StorageWatch Times     `yaml:"storage_watch" doc:"The watch over file systems (hostguard watch storage), as the five fields of crontab(5). Every ten minutes when not given."`
	LogCopy      Times     `yaml:"log_copy" doc:"The copy of the connector's logs (hostguard logs copy). At 1:10 each night when not given."`
	KeyReminder  Times     `yaml:"key_reminder" doc:"The reminder of keys to be replaced (hostguard keys remind). Only when given."`
	Check        Times     `yaml:"check" doc:"An audit whose reports are kept in /var/lib/hostguard/reports (hostguard check). Only when given."`
}

// Scheduler is cron or timer.
type Scheduler string

// UnmarshalText reads the name of one.
func (s *Scheduler) UnmarshalText(text []byte) error {
	if name := string(text); name != "cron" && name != "timer" {
		return fmt.Errorf("want cron or timer, got %q", text)
	}
	*s = Scheduler(text)
	return nil
}

// Times are the five time fields of a crontab(5) line, with single blanks.
type Times string

// UnmarshalText reads times that come again and again.
func (t *Times) UnmarshalText(text []byte) error {
	fields := strings.Fields(string(text))
	if len(fields) != 5 || len(text) > maxName {
		return fmt.Errorf("%q is not five fields: minute, hour, day of the month, month, day of the week", text)
	}
	s, err := schedule.Cron(fields)
	if err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	if !s.Fires() {
		return fmt.Errorf("%q never comes", text)
	}
	if _, err := s.Calendar(); err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	*t = Times(strings.Join(fields, " "))
	return nil
}
