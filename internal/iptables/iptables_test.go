package iptables

import (
	"encoding/binary"
	"testing"

	"github.com/hostguard/hostguard/internal/nftables"
)

// entry is a rule of IPv4 without conditions, but for a source, that ends with a
// standard verdict or, named, with a chain's head.
func entry(saddr byte, verdict int32, name string) []byte {
	size := 40
	if name != "" {
		size = 64
	}
	e := make([]byte, layout4.size+size)
	if saddr != 0 {
		e[0], e[8] = saddr, 0xff
	}
	binary.NativeEndian.PutUint16(e[layout4.targetOffset:], uint16(layout4.size))
	binary.NativeEndian.PutUint16(e[layout4.nextOffset:], uint16(len(e)))
	binary.NativeEndian.PutUint16(e[layout4.size:], uint16(size))
	if name != "" {
		copy(e[layout4.size+2:], "ERROR")
		copy(e[layout4.size+32:], name)
		return e
	}
	binary.NativeEndian.PutUint32(e[layout4.size+32:], uint32(verdict))
	return e
}

func table() (Info, []byte) {
	jump, policy := entry(10, 0, ""), entry(0, -1, "")
	head, drop, back, end := entry(0, 0, "mine"), entry(0, -1, ""), entry(0, -5, ""), entry(0, 0, "ERROR")
	binary.NativeEndian.PutUint32(jump[layout4.size+32:], uint32(len(jump)+len(policy)+len(head)))
	var all []byte
	for _, e := range [][]byte{jump, policy, head, drop, back, end} {
		all = append(all, e...)
	}
	info := Info{Valid: 1 << nftables.Input, Size: uint32(len(all))}
	info.Underflow[nftables.Input] = uint32(len(jump))
	return info, all
}

func TestDecode(t *testing.T) {
	t.Parallel()
	info, entries := table()
	chains, err := Decode("filter", false, info, entries)
	if err != nil {
		t.Fatal(err)
	}
	if len(chains) != 2 || chains[0].Name != "INPUT" || !chains[0].Base.Drop || chains[1].Name != "mine" || len(chains[1].Rules) != 2 {
		t.Fatalf("chains = %+v", chains)
	}
	if got, want := chains[0].Rules[0].String(), "iptables-legacy filter INPUT rule 1: ip saddr 10.0.0.0/8 jump mine"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := Decode("filter", false, info, entries[:len(entries)-3]); err == nil {
		t.Error("a table that is cut short is read")
	}
	if _, err := Decode("surprise", false, info, entries); err == nil {
		t.Error("a table of an unknown name is read")
	}
}

func FuzzDecode(f *testing.F) {
	info, entries := table()
	f.Add(info.Valid, uint32(0), info.Underflow[1], entries, false)
	f.Fuzz(func(_ *testing.T, valid, from, to uint32, entries []byte, v6 bool) {
		info := Info{Valid: valid}
		for i := range info.Entry {
			info.Entry[i], info.Underflow[i] = from, to
		}
		chains, err := Decode("filter", v6, info, entries)
		if err != nil {
			return
		}
		for _, c := range chains {
			for _, r := range c.Rules {
				_ = r.Text()
			}
		}
	})
}
