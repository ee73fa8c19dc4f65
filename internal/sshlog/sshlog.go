// Package sshlog finds in logs which key was accepted by sshd, for whom, when
// and from where. It knows no host.
package sshlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Login is a public key that sshd accepted.
type Login struct {
	Time      time.Time
	Account   string
	From      string // the client's address
	Key       string // the key's fingerprint
	Authority string // of a certificate: the fingerprint of the key that signed it
}

// Accepted reads the message that sshd logs about a key that it accepted:
//
//	Accepted publickey for USER from ADDRESS port PORT ssh2: KIND SHA256:…
//
// With a certificate, "ID …(serial N) CA KIND SHA256:…" follows. What stands in
// the certificate's id was chosen by whoever signed it.
func Accepted(message string) (Login, bool) {
	rest, ok := strings.CutPrefix(message, "Accepted publickey for ")
	if !ok {
		return Login{}, false
	}
	who, rest, ok := strings.Cut(rest, " ssh2: ")
	if !ok {
		return Login{}, false
	}
	// From the right: the name of an account may hold anything.
	words := strings.Split(who, " ")
	n := len(words)
	if n < 5 || words[n-4] != "from" || words[n-2] != "port" {
		return Login{}, false
	}
	l := Login{Account: strings.Join(words[:n-4], " "), From: words[n-3]}
	kind, rest, _ := strings.Cut(rest, " ")
	l.Key, rest, _ = strings.Cut(rest, " ")
	if strings.HasSuffix(kind, "-CERT") {
		if at := strings.LastIndex(rest, ") CA "); at >= 0 {
			_, l.Authority, _ = strings.Cut(rest[at+len(") CA "):], " ")
		}
	}
	return l, l.Account != "" && strings.HasPrefix(l.Key, "SHA256:")
}

// Journal reads what `journalctl --output=json` prints. It takes messages of
// root's processes of sshd's units only, by fields that the journal sets itself.
func Journal(data []byte) ([]Login, error) {
	var logins []Login
	for line := range bytes.Lines(data) {
		var entry struct {
			Message json.RawMessage `json:"MESSAGE"` // a list of bytes when it is not text
			Micros  string          `json:"__REALTIME_TIMESTAMP"`
			UID     string          `json:"_UID"`
			Command string          `json:"_COMM"`
			Unit    string          `json:"_SYSTEMD_UNIT"`
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := json.Unmarshal(line, &entry); err != nil {
			return nil, fmt.Errorf("cannot read the journal's answer: %w", err)
		}
		var message string
		if json.Unmarshal(entry.Message, &message) != nil || entry.UID != "0" || !isServer(entry.Command) || !isUnit(entry.Unit) {
			continue
		}
		micros, err := strconv.ParseInt(entry.Micros, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("cannot read the journal's answer: %q is no time", entry.Micros)
		}
		if l, ok := Accepted(message); ok {
			l.Time = time.UnixMicro(micros).UTC()
			logins = append(logins, l)
		}
	}
	return logins, nil
}

// isServer reports whether a process of this name is sshd: since 9.8 a session
// has a program of its own.
func isServer(command string) bool { return command == "sshd" || command == "sshd-session" }

// isUnit reports whether a unit is sshd's: also one for each connection.
func isUnit(unit string) bool {
	name, ok := strings.CutSuffix(unit, ".service")
	name, _, _ = strings.Cut(name, "@")
	return ok && (name == "ssh" || name == "sshd")
}

// Syslog reads a line of a log file. The old form of its time has no year and
// no zone: it is the last one that is not after latest.
func Syslog(line string, latest time.Time, zone *time.Location) (Login, bool) {
	_, message, ok := strings.Cut(line, "]: ")
	head := strings.TrimSuffix(line, "]: "+message)
	if !ok || !strings.Contains(message, "ssh2: ") {
		return Login{}, false
	}
	l, ok := Accepted(strings.TrimRight(message, "\r\n"))
	if !ok {
		return Login{}, false
	}
	open := strings.LastIndexByte(head, '[')
	if open < 0 {
		return Login{}, false
	}
	program := head[:open]
	if i := strings.LastIndexByte(program, ' '); i < 0 || !isServer(program[i+1:]) {
		return Login{}, false
	}
	first, _, _ := strings.Cut(head, " ")
	if t, err := time.Parse(time.RFC3339Nano, first); err == nil {
		l.Time = t.UTC()
		return l, !t.After(latest)
	}
	if len(head) < len(time.Stamp) {
		return Login{}, false
	}
	for year := latest.In(zone).Year(); year > latest.Year()-6; year-- { // 29 February comes every four years
		t, err := time.ParseInLocation("2006 "+time.Stamp, fmt.Sprintf("%d %s", year, head[:len(time.Stamp)]), zone)
		if err == nil && !t.After(latest) {
			l.Time = t.UTC()
			return l, true
		}
	}
	return Login{}, false
}
