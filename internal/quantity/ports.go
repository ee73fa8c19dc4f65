package quantity

import (
	"fmt"
	"strconv"
	"strings"
)

// PortRange is a port or a range of ports with their protocol: "22/tcp".
type PortRange struct {
	From, To uint16
	Proto    string // tcp or udp
}

// UnmarshalText reads "9100/tcp" or "1024-65535/udp".
func (p *PortRange) UnmarshalText(text []byte) error {
	ports, proto, _ := strings.Cut(string(text), "/")
	first, last, isRange := strings.Cut(ports, "-")
	if !isRange {
		last = first
	}
	from, err1 := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	if err1 != nil || err2 != nil || from == 0 || to < from || proto != "tcp" && proto != "udp" {
		return fmt.Errorf("%q is not a port with its protocol, such as 9100/tcp or 1024-65535/udp", text)
	}
	*p = PortRange{uint16(from), uint16(to), proto}
	return nil
}

// MarshalText writes the form that UnmarshalText reads.
func (p PortRange) MarshalText() ([]byte, error) {
	if p.From == p.To {
		return fmt.Appendf(nil, "%d/%s", p.From, p.Proto), nil
	}
	return fmt.Appendf(nil, "%d-%d/%s", p.From, p.To, p.Proto), nil
}

// Covers reports whether a port is in the range.
func (p PortRange) Covers(proto string, port uint16) bool {
	return p.Proto == proto && p.From <= port && port <= p.To
}
