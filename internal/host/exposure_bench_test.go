package host

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/nftables"
	"github.com/hostguard/hostguard/internal/packetfilter"
)

// manyRules is a ruleset of some thousand rules of the kinds that block lists
// and generated firewalls are made of.
func manyRules(n int) string {
	var b strings.Builder
	b.WriteString("table inet big {\nchain input {\ntype filter hook input priority 0; policy drop\nct state established,related accept\niif lo accept\n")
	for i := range n {
		switch i % 4 {
		case 0:
			fmt.Fprintf(&b, "ip saddr 198.%d.%d.%d drop\n", 18+i/65536, i/256%256, i%256)
		case 1:
			fmt.Fprintf(&b, "iifname eth0 ip saddr 203.%d.%d.0/24 tcp dport %d accept\n", i/256%256, i%256, 1000+i)
		case 2:
			ports := "443"
			if i%40 == 2 { // the kernel looks for a set among all of its table for every question
				ports = "{ 22, 443 }"
			}
			fmt.Fprintf(&b, "ip6 saddr 2001:db8:%x::/48 tcp dport %s drop\n", i, ports)
		case 3:
			fmt.Fprintf(&b, "tcp dport %d counter accept\n", 10000+i)
		}
	}
	b.WriteString("ip saddr 10.0.0.0/8 tcp dport 22 accept\n}\n}\n")
	return b.String()
}

// Reading and following 5,000 rules for eight sockets; together they should take
// no more than 50 ms.
func BenchmarkExposure(b *testing.B) {
	lab.Need(b, lab.NFT)
	w := newTestWorld(b)
	if err := w.load(scenario{nft: manyRules(5000)}); err != nil {
		b.Fatal(err)
	}
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			w.host.must(func() error { _, err := readPacketFilter(context.Background()); return err })
		}
	})
	b.Run("answer", func(b *testing.B) {
		var rules *nftables.Ruleset
		var routing Routing
		w.host.must(func() (err error) {
			if rules, err = readPacketFilter(context.Background()); err == nil {
				routing, err = readRouting(context.Background())
			}
			return err
		})
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := routing.world(rules).Answer(w.endpoints, packetfilter.PrivateNetworks); err != nil {
				b.Fatal(err)
			}
		}
	})
}
