package sshdconf

import "strings"

// MatchUser reports whether a connection matches a pattern of AllowUsers or
// DenyUsers: USER, or USER@HOST where HOST is a list of networks, addresses
// and host names with negation. sshd ends a connection that meets a HOST it
// cannot read (AllowUsers and DenyUsers in sshd_config(5)); such a pattern
// matches nothing here.
func (c *Config) MatchUser(conn Connection, pattern string) bool {
	name, hosts, hasHost := c.SplitUser(pattern)
	if !Glob(conn.User, name) {
		return false
	}
	if !hasHost {
		return true
	}
	byAddr := missed
	if conn.Addr != "" {
		byAddr = matchAddrs(conn.Addr, hosts, false, c.opts.Version)
	}
	if byAddr == invalid || byAddr == denied {
		return false
	}
	byName := missed
	if conn.Host != "" {
		byName = matchList(asciiLower(conn.Host), hosts, true)
	}
	return byName != denied && (byName == matched || byAddr == matched)
}

// SplitUser cuts USER@HOST: at the first @, since 10.0 at the last.
func (c *Config) SplitUser(pattern string) (user, hosts string, hasHost bool) {
	i := strings.IndexByte(pattern, '@')
	if c.opts.Version.AtLeast(V10_0) {
		i = strings.LastIndexByte(pattern, '@')
	}
	if i < 0 {
		return pattern, "", false
	}
	return pattern[:i], pattern[i+1:], true
}

// Examples are addresses on both sides of every border that a list of
// networks and patterns draws, see Match Address in sshd_config(5); what is no
// address, such as a host name's pattern, comes back in names as an example of
// it.
func (c *Config) Examples(list string) (addrs, names []string) {
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimPrefix(entry, "!")
		if net, kind := parseCIDR(entry, c.opts.Version); kind == matched {
			addrs = append(addrs, borders(net)...)
		} else if text := sample(entry, "1"); isAddress(text) {
			addrs = append(addrs, text)
		} else if kind == missed && entry != "" {
			names = append(names, asciiLower(sample(entry, "x")))
		}
	}
	return addrs, names
}

func isAddress(text string) bool {
	_, ok := parseNumericAddr(text)
	return ok
}

// Port reads the argument of Match LocalPort, a number or the name of a
// service.
func (c *Config) Port(text string) (int, bool) { return c.opts.port(text) }
