package config

import (
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/quantity"
)

func TestNotify(t *testing.T) {
	t.Parallel()
	c, err := Parse("f", []byte(`
notify:
  smtp: {relay: "mail.example.org:587", to: [ops@example.org, o.n+call@sub.example.org], from: hostguard@example.org, user: hg, password_file: /etc/hostguard/p}
  webhook: https://chat.example.org:8443/hooks/T0KEN?x=y
  repeat: 4h
storage: {warn: {free: 20%, full_within: 2d}, critical: {free_bytes: 1GiB}}
schedule: {by: timer, storage_watch: "*/5  * * * *", check: "40 5 * * 1-5"}
`))
	if err != nil {
		t.Fatal(err)
	}
	n := c.Notify
	if len(n.SMTP.To) != 2 || n.SMTP.From != "hostguard@example.org" || n.Webhook.File() != "" || time.Duration(n.Repeat) != 4*time.Hour {
		t.Errorf("notify = %+v", n)
	}
	if w := c.Storage.Warn; *w.Free != 20 || w.FreeBytes != nil || *w.FullWithin != quantity.Duration(48*time.Hour) || *c.Storage.Critical.FreeBytes != 1<<30 {
		t.Errorf("storage = %+v", c.Storage)
	}
	if c.Schedule.StorageWatch != "*/5 * * * *" || c.Schedule.By != "timer" {
		t.Errorf("schedule = %+v", c.Schedule)
	}
	if c, err = Parse("f", []byte("notify: {smtp: {relay: \"[::1]:25\", to: root@localhost}, webhook: /etc/hostguard/hook}\n")); err != nil || c.Notify.Webhook.File() != "/etc/hostguard/hook" || c.Notify.SMTP.To[0] != "root@localhost" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestNotifyRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, want string }{
		"newline in an address":           {`notify: {smtp: {relay: r, to: "a@example.org\nBcc: b@example.org"}}`, "f:1:31: "},
		"newline in the sender":           {`notify: {smtp: {relay: r, to: a@b, from: "a@b\r\nX: y"}}`, "f:1:42: "},
		"newline in the relay":            {`notify: {smtp: {relay: "r\n", to: a@b}}`, "f:1:24: "},
		"newline in the user":             {`notify: {smtp: {relay: r, to: a@b, user: "a\nb", password_file: /p}}`, "not one line"},
		"no @":                            {`notify: {smtp: {relay: r, to: ops}}`, "not a mail address"},
		"a name beside the address":       {`notify: {smtp: {relay: r, to: "Ops <a@b>"}}`, "not a mail address"},
		"nobody":                          {`notify: {smtp: {relay: r, to: []}}`, "1 to 50"},
		"no relay":                        {`notify: {smtp: {to: a@b}}`, "missing key \"relay\""},
		"no recipient":                    {`notify: {smtp: {relay: r}}`, "missing key \"to\""},
		"user without password":           {`notify: {smtp: {relay: r, to: a@b, user: u}}`, "f:1:10: user and password_file"},
		"password without user":           {`notify: {smtp: {relay: r, to: a@b, password_file: /p}}`, "go together"},
		"a password":                      {`notify: {smtp: {relay: r, to: a@b, user: u, password: S3CRET}}`, "unknown key \"password\""},
		"port 0":                          {`notify: {smtp: {relay: "r:0", to: a@b}}`, "valid port"},
		"webhook without TLS":             {`notify: {webhook: "http://example.org/S3CRET"}`, "f:1:19: want an address that begins with https://"},
		"webhook with a newline":          {`notify: {webhook: "https://example.org/S3CRET\nx"}`, "f:1:19: it is not an address"},
		"webhook with an escape":          {`notify: {webhook: "https://example.org/%zzS3CRET"}`, "it is not an address"},
		"webhook without a host":          {`notify: {webhook: "https:///S3CRET"}`, "host"},
		"webhook with a strange host":     {`notify: {webhook: "https://ex ample.org/S3CRET"}`, "it is not an address"},
		"webhook file that is relative":   {`notify: {webhook: hooks/S3CRET}`, "https://"},
		"repeated too often":              {`notify: {repeat: 10m}`, "f:1:18: want an hour"},
		"repeated at once":                {`notify: {repeat: 0s}`, "want an hour"},
		"a day that never comes":          {`schedule: {check: "0 5 30 2 *"}`, "f:1:19: \"0 5 30 2 *\" never comes"},
		"an empty range never comes":      {`schedule: {check: "10-5 5 * * *"}`, "never comes"},
		"either of two days":              {`schedule: {check: "0 5 1 * 1"}`, "want one of them"},
		"too few fields":                  {`schedule: {check: "0 5 * *"}`, "five fields"},
		"a command behind the fields":     {`schedule: {check: "0 5 * * * rm"}`, "five fields"},
		"a line behind the fields":        {`schedule: {check: "0 5 * * *\n* * * * * root x"}`, "five fields"},
		"@reboot":                         {`schedule: {check: "@reboot"}`, "five fields"},
		"another scheduler":               {`schedule: {by: at}`, "want cron or timer"},
		"room that is no share":           {`storage: {warn: {free: 20}}`, "share"},
		"a password file that is no path": {`notify: {smtp: {relay: r, to: a@b, user: u, password_file: p}}`, "absolute path"},
	} {
		_, err := Parse("f", []byte(tt.text+"\n"))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "S3CRET") {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
}

// What is a newline to nobody must not become one in a mail's header.
func FuzzNotifyAddresses(f *testing.F) {
	f.Add("ops@example.org")
	f.Add("a@b\r\nBcc: c@d")
	f.Fuzz(func(t *testing.T, text string) {
		var a Address
		if a.UnmarshalText([]byte(text)) == nil && strings.ContainsAny(string(a), " \t\r\n<>,;:\"\\\x00") {
			t.Errorf("%q is taken for an address", text)
		}
		var w Webhook
		if w.UnmarshalText([]byte(text)) == nil && w.File() == "" && !strings.HasPrefix(strings.ToLower(string(w)), "https://") {
			t.Errorf("%q is taken for a webhook", text)
		}
		var times Times
		if times.UnmarshalText([]byte(text)) == nil && strings.ContainsAny(string(times), "\r\n%#") {
			t.Errorf("%q is taken for times", text)
		}
	})
}
