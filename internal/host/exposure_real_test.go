package host

import (
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

func TestExposureScenarios(t *testing.T) {
	lab.Need(t, lab.NFT)
	w := newTestWorld(t)
	for name, s := range map[string]scenario{
		"nothing is loaded": {},
		"input policy drop": {nft: `
table inet f {
	set internal { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.168.0.0/16 } }
	map ports { type ipv4_addr . inet_service : verdict; flags interval; elements = { 198.51.0.0/16 . 80-90 : accept, 203.0.113.0/24 . 22 : drop } }
	chain i {
		type filter hook input priority 0; policy drop
		iif lo accept
		ct state established,related accept
		ip saddr . tcp dport vmap @ports
		tcp dport 22 accept
		ip saddr @internal tcp dport { 80, 9000 } accept
	}
}`},
		"docker publishes": {published: []string{"0.0.0.0:8090", "[::]:8090"}, proxy: true, iptables: `*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 8449 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8090 -j DNAT --to-destination 172.17.0.2:8449
COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 8449 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8090 -j DROP
-A DOCKER-USER -j RETURN
COMMIT
`},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			if err := w.load(s); err != nil {
				t.Fatal(err)
			}
			if wrong := w.try(); wrong != "" {
				t.Error(wrong)
			}
		})
	}
}
