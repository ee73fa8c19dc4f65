package main

import "strings"

// Files of a good host's connector.
const (
	coreProperties = "/opt/trueconnector/ecc_resources/application.properties"
	coreUsers      = "/opt/trueconnector/ecc_resources/users.properties"
	coreFirewall   = "/opt/trueconnector/ecc_resources/firewall.properties"
)

// keepingMode gives a file that a step writes its mode again.
func keepingMode(path string, step func(testHost)) func(testHost) {
	return func(h testHost) {
		mode := strings.TrimSpace(h.Must("stat", "--format=%a", path))
		step(h)
		h.Must("chmod", mode, path)
	}
}

// connectorBreakages break what a connector is told.
func connectorBreakages() []breakage {
	var list []breakage
	edit := func(name, path, old, new string, wants map[string]want) {
		apply, undo := edited(path, old, new)
		apply, undo = keepingMode(path, apply), keepingMode(path, undo)
		list = append(list, breakage{"connector: " + name, apply, undo, wants})
	}
	setting := func(name, old, new, rule string, says ...string) {
		edit(name, coreProperties, old, new, map[string]want{rule: fails(append(says, coreProperties+":")...)})
	}

	// TC-25
	edit("a published password in the database's place", coreProperties, "spring.h2.console.enabled=false", "spring.h2.console.enabled=false\nspring.datasource.password=changeit",
		map[string]want{"CON-001": fails(coreProperties, "spring.datasource.password")})
	edit("a published hash", coreUsers, "$2a$04$PTiMm2fn1pXauGVxuEVFR.vtTGCL96c5x/QDEUveC0uw1Dc26Gsqm", "$2a$12$xeiemEk5ycerfxq7440ieeTUmZ3EK65hwXwM.NQu.1Y29xbpOMVyq",
		map[string]want{"CON-001": fails(coreUsers + ":2"), "CON-002": fails(coreUsers + ":2")})
	edit("a published password under a hash of its own", coreUsers, "$2a$04$PTiMm2fn1pXauGVxuEVFR.vtTGCL96c5x/QDEUveC0uw1Dc26Gsqm", "$2a$04$bPl/wRA6QTfdAYPzqf/5LeKhpBWWkgL2kLznIa4/mFuBV6LJygCUS",
		map[string]want{"CON-002": fails(coreUsers+":2", "the hash of a published password")})
	edit("a hash that takes an hour to try", coreUsers, "$2a$04$", "$2a$31$", map[string]want{"CON-002": unknown("its cost is 31")})
	edit("a password that is no hash", coreUsers, "$2a$04$PTiMm2fn1pXauGVxuEVFR.vtTGCL96c5x/QDEUveC0uw1Dc26Gsqm", "plain", map[string]want{"CON-002": fails(coreUsers + ":2")})
	edit("a published user name", coreUsers, "registrar", "alice", map[string]want{"CON-003": fails(coreUsers+":1", "alice")})
	setting("the published title", "Readings of the example river", "Data Provider Connector title", "CON-018")
	setting("no description", "Water levels, hourly, since 1990", "", "CON-018")
	setting("the published URI", "https://connector.example.org/lab", "http://w3id.org/engrd/connector/provider", "CON-019")
	setting("no usage control", "application.isEnabledUsageControl=true", "application.isEnabledUsageControl=false", "CON-011")
	setting("no validation of protocols", "application.validateProtocol=true", "application.validateProtocol=false", "CON-021")

	// TC-24
	list = append(list,
		breakage{"connector: the AES secret is readable by everybody", commands("chmod 644 /etc/environment"), commands("chmod 640 /etc/environment"),
			map[string]want{"CON-004": fails("/etc/environment", "0644")}},
		breakage{"connector: the AES secret is nowhere", commands("mv /etc/environment /etc/environment.away"), commands("mv /etc/environment.away /etc/environment"),
			map[string]want{"CON-004": unknown("AES_SECRET_KEY", "/etc/environment")}})
	apply, undo := editedBy("/etc/environment", func(string) string { return "AES_SECRET_KEY=1234567890123456\n" })
	list = append(list, breakage{"connector: the AES secret is easy to guess", keepingMode("/etc/environment", apply), keepingMode("/etc/environment", undo), map[string]want{"CON-004": fails("/etc/environment:1", "easy to guess")}})
	edit("the AES secret is not passed on", composeFile, "AES256-SECRET-KEY=", "OTHER=", map[string]want{"CON-004": fails(composeFile)})
	edit("a password in the environment", composeFile, "      - AES256", "      - DAPS_PASSWORD=Zr8-qwT2-mmK4\n      - AES256", map[string]want{"CON-006": fails(composeFile, "DAPS_PASSWORD")})

	// Files
	list = append(list,
		breakage{"connector: others read the hashes", commands("chmod 444 " + coreUsers), commands("chmod 440 " + coreUsers), map[string]want{"CON-005": fails(coreUsers, "0444")}},
		breakage{"connector: others read .env", commands("chmod 644 " + envFile), commands("chmod 640 " + envFile), map[string]want{"CON-005": fails(envFile)}})

	// TC-17, TC-16, TC-13
	edit("no DAPS", coreProperties, "application.isEnabledDapsInteraction=true", "application.isEnabledDapsInteraction=false",
		map[string]want{"CON-010": fails(coreProperties + ":"), "CRT-005": inapplicable, "CRT-010": inapplicable})
	setting("the DAPS without TLS", "https://daps.example.org/jwks.json", "http://daps.example.org/jwks.json", "CON-016")
	edit("TLS switched off", coreProperties, "server.ssl.key-alias", "server.ssl.enabled=false\nserver.ssl.key-alias", map[string]want{
		"CON-015": fails(coreProperties + ":"), "CRT-001": inapplicable, "CRT-004": inapplicable, "CRT-006": inapplicable,
		"CRT-008": inapplicable, "CRT-009": inapplicable, "CRT-011": inapplicable, "CRT-015": inapplicable,
	})
	edit("the firewall is off", envFile, "FIREWALL=true", "FIREWALL=false", map[string]want{"CON-012": fails(envFile+":2", coreProperties)})
	edit("the environment overrides a setting", composeFile, "      - AES256", "      - APPLICATION_FIREWALL_ISENABLED=false\n      - AES256",
		map[string]want{"CON-012": fails(composeFile + ":")})
	edit("the firewall lets encoded slashes through", coreFirewall, "allowUrlEncodedSlash=false", "allowUrlEncodedSlash=true", map[string]want{"CON-013": fails(coreFirewall + ":5")})
	edit("the firewall lets every method through", coreFirewall, "allowedMethods=GET,POST", "allowedMethods=", map[string]want{"CON-013": fails(coreFirewall + ":3")})
	setting("a database console", "spring.h2.console.enabled=false", "spring.h2.console.enabled=true", "CON-022")
	setting("no audit events", "auditableEvents=ALL", "auditableEvents=NONE", "CON-017")
	return list
}
