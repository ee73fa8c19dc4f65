package packetfilter

import (
	"cmp"
	"net/netip"
	"slices"
)

// translations are the ports that are led on to others than the endpoints say.
func (w *World) translations(endpoints []Endpoint, passages byProto) []Translation {
	type key struct {
		proto uint8
		port  uint16
		to    netip.AddrPort
	}
	found := map[key]*Translation{}
	for proto, list := range passages {
		for _, p := range list {
			for i := range p.fates {
				f := &p.fates[i]
				if f.Kind != Forwarded || !f.Translated() || f.all().Empty() {
					continue
				}
				for _, addr := range p.to {
					for _, port := range f.Ports() {
						at, ok := f.Arrives(addr, port)
						to := netip.AddrPortFrom(addr, port)
						if !ok || slices.ContainsFunc(endpoints, func(e Endpoint) bool { return e.Published && e.Proto == proto && e.matches(to) }) {
							continue
						}
						k := key{proto, port, at}
						t := found[k]
						if t == nil {
							t = &Translation{Proto: proto, Port: port, To: at}
							for c := range Classes {
								t.By[c] = Reach{Answer: No, By: w.nothing(c)}
							}
							found[k] = t
						}
						r := Reach{Answer: Yes, By: f.By.String(), From: f.all().Witness(), FromPort: f.SourcePort(), To: to}
						if p.in != nil {
							r.In = p.in.Name
						}
						if !f.Sure {
							r.Answer, r.Why = Unknown, f.Why()
						}
						t.By[p.class] = better(t.By[p.class], r)
					}
				}
			}
		}
	}
	var sorted []Translation
	for _, t := range found {
		sorted = append(sorted, *t)
	}
	slices.SortFunc(sorted, func(a, b Translation) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Proto, b.Proto), a.To.Compare(b.To))
	})
	return sorted
}
