package xtables

import (
	"encoding/binary"
	"testing"
)

func u16(n ...uint16) (b []byte) {
	for _, n := range n {
		b = binary.NativeEndian.AppendUint16(b, n)
	}
	return b
}

func TestDecodeMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		rev  uint32
		info []byte
		want string
	}{
		{"tcp", 0, append(u16(0, 65535, 22, 80), 0, 0x17, 2, 2), "tcp ! --dport 22:80 --tcp-flags 0x2/0x17"},
		{"udp", 0, append(u16(1, 1, 0, 65535), 0, 0), "udp --sport 1"},
		{"multiport", 1, append(append([]byte{1, 3}, u16(22, 80, 90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)...), 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), "multiport ! --dports 22,80:90"},
		{"addrtype", 1, append(u16(0, 4), 2, 0, 0, 0), "addrtype ! --dst-type LOCAL"},
		{"state", 0, []byte{6, 0, 0, 0}, "conntrack --ctstate ESTABLISHED,RELATED"},
		{"icmp", 0, nil, "icmp"},
		{"tcp", 0, []byte{1}, "tcp (revision 0)"}, // cut short
		{"set", 4, nil, "set (revision 4)"},
		{"multiport", 1, []byte{1, 200}, "multiport (revision 1)"},
	} {
		if got := DecodeMatch(c.name, c.rev, c.info, false).String(); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// No structure, however short, is read beyond its end.
func FuzzDecode(f *testing.F) {
	for _, name := range []string{"tcp", "udp", "multiport", "addrtype", "conntrack", "state", "hashlimit", "connlimit", "recent", "mark", "iprange", "rpfilter", "policy",
		"DNAT", "REDIRECT", "MARK", "CONNMARK", "CT", "NFQUEUE"} {
		f.Add(name, uint32(1), make([]byte, 100), false)
		f.Add(name, uint32(3), make([]byte, 300), true)
	}
	f.Fuzz(func(_ *testing.T, name string, rev uint32, info []byte, v6 bool) {
		_ = DecodeMatch(name, rev, info, v6).String()
		_ = DecodeTarget(name, rev, info, v6).String()
	})
}
