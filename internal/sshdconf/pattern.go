package sshdconf

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// Glob reports whether s matches a pattern with * and ?, see PATTERNS in
// ssh_config(5).
func Glob(s, pattern string) bool {
	i, j := 0, 0
	star, back := -1, 0
	for i < len(s) {
		switch {
		case j < len(pattern) && pattern[j] == '*':
			star, back = j, i
			j++
		case j < len(pattern) && (pattern[j] == '?' || pattern[j] == s[i]):
			i++
			j++
		case star >= 0:
			back++
			i, j = back, star+1
		default:
			return false
		}
	}
	for j < len(pattern) && pattern[j] == '*' {
		j++
	}
	return j == len(pattern)
}

// A tri is the outcome of matching against a list.
type tri int

const (
	denied  tri = -1 // a negated entry matches
	missed  tri = 0
	matched tri = 1
	invalid tri = -2 // the list is malformed
)

// maxPattern is the length from which on sshd gives a whole list up.
const maxPattern = 1023

// matchList matches s against a comma-separated pattern list with negation.
func matchList(s, list string, fold bool) tri {
	if fold {
		list = asciiLower(list)
	}
	got := missed
	for len(list) > 0 {
		negated := list[0] == '!'
		if negated {
			list = list[1:]
		}
		pattern, rest, _ := strings.Cut(list, ",")
		if len(pattern) >= maxPattern {
			return missed
		}
		list = rest
		if Glob(s, pattern) {
			if negated {
				return denied
			}
			got = matched
		}
	}
	return got
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// parseNumericAddr reads an address without asking anyone, as
// getaddrinfo(3) does with AI_NUMERICHOST: IPv6, or IPv4 in one to four parts.
func parseNumericAddr(s string) (netip.Addr, bool) {
	if strings.Contains(s, ":") {
		a, err := netip.ParseAddr(s)
		_, badZone := strconv.ParseUint(a.Zone(), 10, 32)
		if a.Zone() != "" && badZone != nil && !a.IsLinkLocalUnicast() && !a.IsLinkLocalMulticast() {
			return netip.Addr{}, false // an interface has a name within its link only
		}
		return a, err == nil
	}
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var value uint32
	for i, part := range parts {
		if part == "" || digit(part[0]) > 9 {
			return netip.Addr{}, false
		}
		n, rest, ok := strtol(part, 0)
		if !ok || rest != "" {
			return netip.Addr{}, false
		}
		width := 8
		if i == len(parts)-1 {
			width = 8 * (5 - len(parts))
		}
		if n >= 1<<width {
			return netip.Addr{}, false
		}
		value = value<<width | uint32(n)
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}), true
}

// parseCIDR reads an address with an optional mask length. It returns matched
// when it is one, missed when it is something else, and invalid when the mask
// does not fit the address.
func parseCIDR(s string, v Version) (netip.Prefix, tri) {
	const longest = 63
	if len(s) > longest {
		return netip.Prefix{}, missed
	}
	text, mask, hasMask := strings.Cut(s, "/")
	bits := int64(0)
	if hasMask {
		most := int64(128) // more is no mask at all
		if v.AtLeast(V10_0) {
			most = math.MaxInt32
		} else if mask == "" || digit(mask[0]) > 9 {
			return netip.Prefix{}, missed
		}
		n, ok := strtonum(mask, 0, most)
		if !ok {
			return netip.Prefix{}, missed
		}
		bits = n
	}
	addr, ok := parseNumericAddr(text)
	if !ok {
		return netip.Prefix{}, missed
	}
	if !hasMask {
		bits = int64(addr.BitLen())
	}
	if int(bits) > addr.BitLen() {
		return netip.Prefix{}, invalid
	}
	p := netip.PrefixFrom(addr.WithZone(""), int(bits))
	if p.Masked() != p {
		return netip.Prefix{}, invalid
	}
	return p, matched
}

// matchAddrs matches an address against a list of CIDR networks and patterns.
// With check set nothing is matched, and the list is only looked over.
func matchAddrs(addr, list string, check bool, v Version) tri {
	var ip netip.Addr
	if !check {
		var ok bool
		if ip, ok = parseNumericAddr(addr); !ok {
			return missed
		}
	}
	got := missed
	for entry := range strings.SplitSeq(list, ",") {
		entry, negated := strings.CutPrefix(entry, "!")
		if entry == "" {
			return invalid
		}
		net, kind := parseCIDR(entry, v)
		hit := false
		switch kind {
		case invalid:
			return invalid
		case matched:
			hit = !check && net.Addr().BitLen() == ip.BitLen() && zoneOf(entry) == ip.Zone() && net.Contains(ip.WithZone(""))
		default:
			hit = !check && Glob(addr, entry)
		}
		if hit && negated {
			return denied
		}
		if hit {
			got = matched
		}
	}
	return got
}

// zoneOf is the interface that an address or network is on. No network without
// one holds a link-local client, whose address has one: ::/0 is not all of IPv6.
func zoneOf(entry string) string {
	addr, _, _ := strings.Cut(entry, "/")
	_, zone, _ := strings.Cut(addr, "%")
	return zone
}

// validUserPattern reports whether the part of a user pattern after @ is well
// formed.
func validUserPattern(pattern string, v Version) bool {
	i := strings.IndexByte(pattern, '@')
	if v.AtLeast(V10_0) {
		i = strings.LastIndexByte(pattern, '@')
	}
	return i < 0 || matchAddrs("", pattern[i+1:], true, v) != invalid
}
