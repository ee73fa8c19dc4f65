package nftables

import (
	"encoding/binary"
	"slices"
	"testing"
)

// attr writes a netlink attribute.
func attr(kind uint16, data ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(data)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, data...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func word(kind uint16, s string) []byte { return attr(kind, append([]byte(s), 0)...) }

func num(kind uint16, n uint32) []byte { return attr(kind, binary.BigEndian.AppendUint32(nil, n)...) }

func expr(name string, attrs ...[]byte) []byte {
	return attr(1, slices.Concat(word(1, name), attr(2, slices.Concat(attrs...)...))...)
}

func body(family Family, attrs ...[]byte) []byte {
	return append([]byte{byte(family), 0, 0, 0}, slices.Concat(attrs...)...)
}

// example is a small ruleset as the kernel lists it.
func example() []Message {
	return []Message{
		{MsgNewTable, body(Inet, word(1, "t"), num(2, 0))},
		{MsgNewTable, body(IPv4, word(1, "sleeps"), num(2, 1))},
		{MsgNewChain, body(Inet, word(1, "t"), word(3, "in"), attr(4, slices.Concat(num(1, 1), num(2, 0xffffff6a))...), num(5, 0), word(7, "filter"))},
		{MsgNewChain, body(IPv4, word(1, "sleeps"), word(3, "in"), attr(4, slices.Concat(num(1, 1), num(2, 0))...), num(5, 0), word(7, "filter"))},
		{MsgNewSet, body(Inet, word(1, "t"), word(2, "nets"), num(3, setInterval), num(5, 4))},
		{MsgNewSetElem, body(Inet, word(1, "t"), word(2, "nets"), attr(3, slices.Concat(
			attr(1, slices.Concat(attr(1, attr(1, 0, 0, 0, 0)...), num(3, elemEnd))...),
			attr(1, attr(1, attr(1, 10, 0, 0, 0)...)...),
			attr(1, slices.Concat(attr(1, attr(1, 11, 0, 0, 0)...), num(3, elemEnd))...),
			attr(1, attr(1, attr(1, 192, 168, 0, 0)...)...))...))},
		{MsgNewRule, body(Inet, word(1, "t"), word(2, "in"), attr(3, 0, 0, 0, 0, 0, 0, 0, 9), attr(4, slices.Concat(
			expr("payload", num(1, 1), num(2, 1), num(3, 12), num(4, 4)),
			expr("lookup", word(1, "nets"), num(2, 1)),
			expr("meta", num(2, 16), num(1, 1)),
			expr("cmp", num(1, 1), num(2, 0), attr(3, attr(1, 6)...)),
			expr("payload", num(1, 1), num(2, 2), num(3, 2), num(4, 2)),
			expr("cmp", num(1, 1), num(2, 0), attr(3, attr(1, 0, 22)...)),
			expr("immediate", num(1, 0), attr(2, attr(2, num(1, 1)...)...)))...))},
		{MsgNewRule, body(Inet, word(1, "t"), word(2, "in"), attr(3, 0, 0, 0, 0, 0, 0, 0, 10), attr(4, slices.Concat(
			expr("holography", num(1, 1)), expr("cmp", num(1, 200), num(2, 0), attr(3, attr(1, 6)...)))...))},
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	r, err := Decode(example())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Chains) != 1 || r.Chains[0].String() != "inet t in" || r.Chains[0].Base.Priority != -150 || !r.Chains[0].Base.Drop {
		t.Fatalf("chains = %v", r.Chains)
	}
	rules := r.Chains[0].Rules
	if got, want := rules[0].String(), "inet t in handle 9: ip saddr @nets meta l4proto tcp tcp dport 22 accept"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	set := rules[0].Exprs[1].(Lookup).Set
	if len(set.Elements) != 2 || !slices.Equal(set.Elements[0].To, []byte{10, 255, 255, 255}) || !slices.Equal(set.Elements[1].To, []byte{255, 255, 255, 255}) {
		t.Errorf("elements = %v", set.Elements)
	}
	// What is not understood is there, by name: an expression, and a register that is none.
	if got, want := rules[1].Text(), "[holography] [cmp]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Whatever is listed, reading it ends, and so does printing it.
func FuzzDecode(f *testing.F) {
	for _, m := range example() {
		f.Add(uint8(m.Type), m.Body)
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		messages := append(example()[:5], Message{uint16(kind % 16), data})
		r, err := Decode(messages)
		if err != nil {
			return
		}
		if _, err := Sets(messages); err != nil {
			t.Errorf("it decodes, but its sets do not: %v", err)
		}
		for _, c := range r.Chains {
			for _, rule := range c.Rules {
				if len(rule.Text()) > maxText+10 {
					t.Errorf("a rule prints as %d bytes", len(rule.Text()))
				}
				for i := range rule.Exprs {
					rule.Describe(i)
				}
			}
		}
	})
}
