package config

import (
	"fmt"
	"net"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"unicode"

	"github.com/hostguard/hostguard/internal/lazyregexp"
	"github.com/hostguard/hostguard/internal/strictyaml"
)

// Folders is one absolute path or a list of them.
type Folders []string

// UnmarshalNode reads either form.
func (f *Folders) UnmarshalNode(n strictyaml.Node) error {
	items := []strictyaml.Node{n}
	if n.Kind == strictyaml.List {
		items = n.Items
	}
	*f = nil
	var errs strictyaml.Errors
	for _, item := range items {
		var dir string
		if err := item.Decode(&dir); err != nil {
			errs.Add(item, err)
			continue
		}
		if !path.IsAbs(dir) || strings.ContainsRune(dir, 0) {
			errs = append(errs, item.Errorf("%q is not an absolute path", dir))
		}
		*f = append(*f, path.Clean(dir))
	}
	return errs.OrNil()
}

// Server is a host name or an address, perhaps with a port.
type Server string

var hostName = lazyregexp.New(`^([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.)*[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.?$`)

// UnmarshalText reads a server's name.
func (s *Server) UnmarshalText(text []byte) error {
	name := string(text)
	if host, port, err := net.SplitHostPort(name); err == nil {
		if !validPort(port) {
			return fmt.Errorf("%q has no valid port", text)
		}
		name = host
	}
	if _, err := netip.ParseAddr(name); err != nil && (len(name) > 253 || !hostName().MatchString(name)) {
		return fmt.Errorf("%q is neither a host name nor an address", text)
	}
	*s = Server(text)
	return nil
}

// Account is the name of a user or group.
type Account string

// isAccountName takes the dots, @ and backslashes of directory services; what
// could end or extend a line of a configuration file is not a name.
func isAccountName(text string) bool {
	text = strings.TrimSuffix(text, "$") // of a machine in a domain
	for i, r := range text {
		if r != '_' && !unicode.IsLetter(r) && !unicode.IsNumber(r) && (i == 0 || !strings.ContainsRune(`.@\-`, r)) {
			return false
		}
	}
	return text != ""
}

const maxName = 255

// UnmarshalText reads an account's name.
func (a *Account) UnmarshalText(text []byte) error {
	if len(text) > maxName || !isAccountName(string(text)) {
		return fmt.Errorf("%q is not the name of a user or group", text)
	}
	*a = Account(text)
	return nil
}

// KeySource is an absolute path, or the fingerprint of a key.
type KeySource string

var fingerprint = lazyregexp.New(`^SHA256:[A-Za-z0-9+/]{43}$`)

// UnmarshalText reads a source of keys.
func (k *KeySource) UnmarshalText(text []byte) error {
	if !strings.HasPrefix(string(text), "/") && !fingerprint().Match(text) {
		return fmt.Errorf("%q is neither an absolute path nor a fingerprint (SHA256:… of 43 characters)", text)
	}
	*k = KeySource(text)
	return nil
}

// Choice is any, yes or no.
type Choice string

// UnmarshalText reads a choice.
func (c *Choice) UnmarshalText(text []byte) error {
	switch string(text) {
	case "any", "yes", "no":
		*c = Choice(text)
		return nil
	}
	return fmt.Errorf("want any, yes or no, got %q", text)
}

// Prefix is a network in CIDR notation.
type Prefix string

// UnmarshalText reads a network; bits behind the prefix must be zero.
func (p *Prefix) UnmarshalText(text []byte) error {
	prefix, err := netip.ParsePrefix(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a network such as 10.0.0.0/8 or fd00::/8", text)
	}
	if prefix.Masked() != prefix {
		return fmt.Errorf("%q is an address inside a network: the network is %v", text, prefix.Masked())
	}
	*p = Prefix(text)
	return nil
}

// Port is a port with its protocol, such as 9100/tcp.
type Port string

// UnmarshalText reads a port.
func (p *Port) UnmarshalText(text []byte) error {
	number, protocol, _ := strings.Cut(string(text), "/")
	if !validPort(number) || protocol != "tcp" && protocol != "udp" {
		return fmt.Errorf("%q is not a port with its protocol, such as 9100/tcp", text)
	}
	*p = Port(text)
	return nil
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && !strings.HasPrefix(s, "0")
}

// Unit is the name of a systemd unit, or a pattern for names (glob(7)).
type Unit string

var unitName = lazyregexp.New(`^[a-zA-Z0-9:_.\\@*?\[\]!-]+$`)

// unitSuffix are the kinds of units that can run, listen or fire.
var unitSuffix = lazyregexp.New(`\.(service|socket|timer|path|mount|automount|target|slice|scope|swap|device)$`)

// UnmarshalText reads a unit's name.
func (u *Unit) UnmarshalText(text []byte) error {
	if len(text) > maxName || !unitName().Match(text) {
		return fmt.Errorf("%q is not the name of a unit", text)
	}
	if !unitSuffix().Match(text) {
		return fmt.Errorf("%q has no unit's ending: did you mean %q?", text, string(text)+".service")
	}
	if _, err := path.Match(string(text), ""); err != nil {
		return fmt.Errorf("%q is not a pattern: %w", text, err)
	}
	*u = Unit(text)
	return nil
}
