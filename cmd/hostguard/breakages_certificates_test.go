package main

import (
	"strings"

	"github.com/hostguard/hostguard/checks"
)

// inapplicable wants that a rule no longer has an object.
var inapplicable = want{status: checks.NotApplicable}

// certificateBreakages break the connector's key and trust stores, which keep
// their owner and mode.
func certificateBreakages() []breakage {
	const dir = "/opt/trueconnector/ecc_cert/"
	passwords := map[string]string{
		"server.p12": "server.ssl.key-store-password", "daps.p12": "application.keyStorePassword", "truststore.jks": "application.trustStorePassword",
	}
	// stores writes stores, each said by its name and its entries.
	stores := func(lines ...string) func(testHost) {
		return func(h testHost) {
			maker := storeMaker{}
			settings := h.ReadFile(coreProperties)
			for _, line := range lines {
				words := strings.Fields(line)
				_, password, _ := strings.Cut(settings, "\n"+passwords[words[0]]+"=")
				password, _, _ = strings.Cut(password, "\n")
				data, err := maker.store(words[0], append([]string{password}, words[1:]...))
				if err != nil {
					panic(err)
				}
				h.Must("cp", "-a", dir+words[0], "/root/"+words[0])
				h.WriteFile("/root/new", string(data))
				h.Must("sh", "-ec", "cat /root/new >"+dir+words[0])
			}
		}
	}
	back := func(names ...string) func(testHost) {
		return func(h testHost) {
			for _, name := range names {
				h.Must("mv", "/root/"+name, dir+name)
			}
		}
	}
	var list []breakage
	add := func(name string, lines []string, wants map[string]want) {
		var names []string
		for _, line := range lines {
			names = append(names, strings.Fields(line)[0])
		}
		list = append(list, breakage{"certificates: " + name, stores(lines...), back(names...), wants})
	}
	const names, trust = " names=ecc-lab,connector.example.org ", "truststore.jks trust server.p12"
	own := func(options string) []string { return []string{"server.p12 key server" + names + options, trust} }
	add("the certificate is another and the trust store follows", own(""), nil)
	add("the alias is not in the key store", []string{"server.p12 key another" + names, trust},
		map[string]want{
			"CRT-001": fails(dir+"server.p12", "another (key)"),
			"CRT-004": inapplicable, "CRT-006": inapplicable, "CRT-008": inapplicable, "CRT-009": inapplicable, "CRT-011": inapplicable, "CRT-015": inapplicable,
		})
	add("the certificate has expired", own("days=-1"),
		map[string]want{"CRT-002": fails("server: validity", "expired on"), "CRT-003": fails("expired on"), "CRT-013": fails("trusted0: validity")})
	add("the certificate is not valid yet", own("from=2"), map[string]want{"CRT-002": fails("not valid yet")})
	add("the certificate ends in a week", own("days=7"), map[string]want{"CRT-003": fails("7 days left", "time servers")})
	add("the key is of RSA 2048", own("kind=rsa2048"), map[string]want{"CRT-004": fails("RSA 2048")})
	add("the DAPS key is of RSA 2048, which is the authority's choice", []string{"daps.p12 key daps kind=rsa2048"}, nil)
	add("the certificate is not for the name that partners use", []string{"server.p12 key server names=ecc-lab", trust},
		map[string]want{"CRT-006": fails("for connector.example.org", "ecc-lab")})
	add("the key is one that the IDS testbed publishes", own("kind=testbed"),
		map[string]want{"CRT-001": fails("private key"), "CRT-007": fails("ReferenceTestbedCA"), "CRT-012": fails("ReferenceTestbedCA"), "CRT-015": fails("no authority that is known has signed it")})
	add("the certificate is for clients", own("usage=client"), map[string]want{"CRT-008": fails("clientAuth")})
	add("nobody knows the certificate's issuer", own("issuer=nobody"),
		map[string]want{"CRT-015": fails("CN=nobody", "CN=server", dir+"truststore.jks")})
	add("the execution core trusts somebody else only", []string{"truststore.jks cert somebody"},
		map[string]want{"CRT-011": fails("CN=somebody")})
	add("the IDS testbed's authority is trusted", []string{"server.p12 key server" + names, trust + " cert testbed kind=testbed"},
		map[string]want{"CRT-012": fails("testbed: trusted private key")})
	apply, undo := edited(coreProperties, "\nserver.ssl.key-store-password=", "\nserver.ssl.key-store-password=x")
	unopened := unknown(dir+"server.p12", "the password does not open it")
	list = append(list, breakage{"certificates: the password does not open the key store", keepingMode(coreProperties, apply), keepingMode(coreProperties, undo), map[string]want{
		"CRT-001": unopened, "CRT-002": unopened, "CRT-003": unopened, "CRT-004": unopened, "CRT-006": unopened,
		"CRT-007": unopened, "CRT-008": unopened, "CRT-009": unopened, "CRT-011": unopened, "CRT-015": unopened,
	}})
	return list
}
