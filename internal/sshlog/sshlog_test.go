package sshlog

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const key = "SHA256:R5qCw8pXHHjr5iqZJTpMlo2QOuFlfEq5p1kVPqCZrEs"

func TestAccepted(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]Login{
		"Accepted publickey for operator from 192.0.2.7 port 51514 ssh2: ED25519 " + key:   {Account: "operator", From: "192.0.2.7", Key: key},
		"Accepted publickey for a from b port c from 2001:db8::1 port 22 ssh2: RSA " + key: {Account: "a from b port c", From: "2001:db8::1", Key: key},
		"Accepted publickey for operator from 192.0.2.7 port 51514 ssh2: ED25519-CERT " + key + " ID alice (serial 0) CA RSA SHA256:ca": {
			Account: "operator", From: "192.0.2.7", Key: key, Authority: "SHA256:ca"},
		"Accepted publickey for operator from 192.0.2.7 port 51514 ssh2: ED25519-CERT " + key + " ID x) CA RSA SHA256:false (serial 0) CA RSA SHA256:ca": {
			Account: "operator", From: "192.0.2.7", Key: key, Authority: "SHA256:ca"},
		"Accepted password for operator from 192.0.2.7 port 51514 ssh2":                                   {},
		"Invalid user Accepted publickey for a from b port c ssh2: RSA " + key + " from 192.0.2.7 port 1": {},
		"Accepted publickey for operator from 192.0.2.7 port 51514 ssh2: RSA MD5:00":                      {},
		"Accepted publickey for ": {},
	} {
		got, ok := Accepted(message)
		if ok != (want.Account != "") {
			t.Errorf("%q: %v", message, ok)
		} else if diff := cmp.Diff(want, got); ok && diff != "" {
			t.Errorf("%q (-want +got):\n%s", message, diff)
		}
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	entry := func(uid, command, unit, message string) string {
		return `{"__REALTIME_TIMESTAMP":"1700000000000000","_UID":"` + uid + `","_COMM":"` + command + `","_SYSTEMD_UNIT":"` + unit + `","MESSAGE":` + message + "}\n"
	}
	message := `"Accepted publickey for operator from 192.0.2.7 port 51514 ssh2: ED25519 ` + key + `"`
	for what, c := range map[string]struct {
		entry string
		want  int
	}{
		"sshd":                     {entry("0", "sshd", "ssh.service", message), 1},
		"sshd of 9.8":              {entry("0", "sshd-session", "sshd.service", message), 1},
		"socket activation":        {entry("0", "sshd", "ssh@12-192.0.2.1:22-192.0.2.7:51514.service", message), 1},
		"a user with logger":       {entry("1000", "sshd", "session-3.scope", message), 0},
		"root with logger -t sshd": {entry("0", "logger", "session-3.scope", message), 0},
		"a container's root":       {entry("0", "sshd", "docker-0123.scope", message), 0},
		"not text":                 {entry("0", "sshd", "ssh.service", "[65,66]"), 0},
		"another message":          {entry("0", "sshd", "ssh.service", `"Connection closed"`), 0},
	} {
		got, err := Journal([]byte(c.entry))
		if err != nil || len(got) != c.want {
			t.Errorf("%s: %v, %v", what, got, err)
		}
		if len(got) > 0 && got[0].Time.Unix() != 1700000000 {
			t.Errorf("%s: %v", what, got[0].Time)
		}
	}
	if _, err := Journal([]byte("No journal files were found.\n")); err == nil {
		t.Error("an answer that is no JSON was taken")
	}
}

func TestSyslog(t *testing.T) {
	t.Parallel()
	message := "Accepted publickey for operator from 192.0.2.7 port 51514 ssh2: ED25519 " + key
	zone := time.FixedZone("CET", 3600)
	latest := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	for line, want := range map[string]string{
		"Jan  4 10:00:00 tc-1 sshd[123]: " + message + "\n":                          "2026-01-04T09:00:00Z",
		"Dec 31 10:00:00 tc-1 sshd[123]: " + message:                                 "2025-12-31T09:00:00Z",
		"Feb 29 10:00:00 tc-1 sshd-session[123]: " + message:                         "2024-02-29T09:00:00Z",
		"2026-01-04T10:00:00.123456+02:00 tc-1 sshd[123]: " + message:                "2026-01-04T08:00:00Z",
		"2099-01-04T10:00:00.123456+02:00 tc-1 sshd[123]: " + message:                "", // made up
		"Jan  4 10:00:00 tc-1 evil[123]: " + message:                                 "",
		"Jan  4 10:00:00 tc-1 sudo[1]: x : COMMAND=sshd[1]: " + message:              "",
		"Jan  4 10:00:00 tc-1 sshd: " + message:                                      "",
		"sshd[123]: " + message:                                                      "",
		"Foo  4 10:00:00 tc-1 sshd[123]: " + message:                                 "",
		"Jan  4 10:00:00 tc-1 sshd[123]: Accepted password for a from b port 1 ssh2": "",
	} {
		got, ok := Syslog(line, latest, zone)
		if ok != (want != "") || ok && got.Time.Truncate(time.Second).Format(time.RFC3339) != want {
			t.Errorf("%q: %v %v, want %q", line, got.Time, ok, want)
		}
	}
}

func FuzzLogs(f *testing.F) {
	f.Add("Jan  4 10:00:00 tc-1 sshd[123]: Accepted publickey for operator from 192.0.2.7 port 51514 ssh2: ED25519-CERT " + key + " ID x (serial 0) CA RSA " + key)
	f.Add(`{"MESSAGE":"x","__REALTIME_TIMESTAMP":"1","_UID":"0","_COMM":"sshd","_SYSTEMD_UNIT":"ssh.service"}`)
	f.Fuzz(func(t *testing.T, line string) {
		if l, ok := Syslog(line, time.Unix(1800000000, 0), time.UTC); ok && (l.Account == "" || !strings.Contains(line, l.Key)) {
			t.Errorf("%q: %+v", line, l)
		}
		_, _ = Journal([]byte(line))
	})
}
