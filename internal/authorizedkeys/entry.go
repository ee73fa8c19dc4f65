// Package authorizedkeys reads files of the form of authorized_keys the way
// OpenSSH's sshd does (AUTHORIZED_KEYS FILE FORMAT in sshd(8)): which lines let
// somebody in, with which key, from where and until when. It knows no host.
package authorizedkeys

import (
	"fmt"
	"time"

	"github.com/hostguard/hostguard/internal/sshdconf"
	"github.com/hostguard/hostguard/internal/sshkeys"
)

// An Entry is a line that holds a key.
type Entry struct {
	File string
	Line int
	sshkeys.Key
	Options Options
	Comment string // raw: any bytes but NUL and newline
	// Refused is why sshd lets nobody in by this line, whoever asks from wherever;
	// empty for most.
	Refused string

	version sshdconf.Version
}

// Options are those before a key.
type Options struct {
	Text string // as written; empty when there are none

	CertAuthority bool // the key signs the keys that get in, and does not get in itself
	Restrict      bool
	// What is allowed in a session; a later option of two wins.
	PortForwarding, AgentForwarding, X11Forwarding, PTY, UserRC bool
	// Command, From and Principals are nil when not set.
	Command, From, Principals *string
	Expires                   time.Time // zero: never; the earliest of several
	Environment               []string
	PermitOpen, PermitListen  []string
	Tunnel                    string // a device's number or "any"; empty when not set
	NoTouch                   bool   // a security key need not be touched
	VerifyRequired            bool   // its user must be verified (PIN)
}

// A Problem is a line that is not as it should be. Its text holds nothing of
// the line but names of options and kinds of keys.
type Problem struct {
	File string
	Line int // 0: the whole file
	Text string
}

func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text) }

// Conn is where and when somebody tries to get in.
type Conn struct {
	Addr string    // the client's address; empty: any
	Host string    // its name by reverse look-up (UseDNS); empty: none
	Time time.Time // zero: any
}

// Usable reports whether sshd takes the entry's key, or a certificate that it
// signed, from a connection, and why not. What sshd's configuration says of
// algorithms, of the length of keys and of revoked ones is not looked at.
func (e *Entry) Usable(c Conn) (bool, string) {
	if e.Refused != "" {
		return false, e.Refused
	}
	if !e.Options.Expires.IsZero() && !c.Time.IsZero() && e.Options.Expires.Unix() < c.Time.Unix() {
		return false, "it expired at " + e.Options.Expires.Format(time.RFC3339)
	}
	if from := e.Options.From; from != nil {
		switch {
		case !sshdconf.ValidFrom(*from, e.version):
			return false, "a network in its from option is malformed, so that none matches"
		case c.Addr != "" && !sshdconf.MatchFrom(hostOf(c), c.Addr, *from, e.version):
			return false, "its from option does not admit this client"
		}
	}
	return true, ""
}

func hostOf(c Conn) string {
	if c.Host == "" {
		return c.Addr
	}
	return c.Host
}
