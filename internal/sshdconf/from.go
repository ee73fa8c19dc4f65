package sshdconf

// MatchFrom reports whether a client matches the pattern list of a from=
// option in authorized_keys, see sshd(8): by its address, in digits or within a
// network, or by its name; one negated entry that matches either is a no. Of a
// list with a malformed network nothing matches. The name of a client without
// one is its address.
func MatchFrom(host, addr, list string, v Version) bool {
	byAddr := matchAddrs(addr, list, false, v)
	if byAddr == invalid || byAddr == denied {
		return false
	}
	byName := matchList(asciiLower(host), list, true)
	return byName != denied && (byName == matched || byAddr == matched)
}

// ValidFrom reports whether the networks in the list of a from= option are well
// formed.
func ValidFrom(list string, v Version) bool { return matchAddrs("", list, true, v) != invalid }
