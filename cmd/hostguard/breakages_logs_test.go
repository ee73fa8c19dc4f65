package main

// logVolume is where docker keeps what the good host's connector will log to.
const logVolume = "/var/lib/docker/volumes/trueconnector_connector_log/_data"

// logsBreakages break what the document wants of who reads the connector's logs.
func logsBreakages() []breakage {
	const config, table = "/etc/hostguard/hostguard.yaml", "/etc/cron.d/hostguard"
	inVolume := func(script string) func(testHost) {
		return func(h testHost) {
			h.Must("docker", "volume", "create", "trueconnector_connector_log")
			h.Must("sh", "-ec", "cd "+logVolume+"; day=$(date -d '3 days ago' +%F); "+script)
		}
	}
	noVolume := commands("docker volume rm trueconnector_connector_log")
	var list []breakage
	add := func(name string, apply, undo func(testHost), wants map[string]want) {
		list = append(list, breakage{name, apply, undo, wants})
	}
	apply, undo := edited(config, "logs: {reader: tclogs}\n", "")
	add("nobody is named who reads logs", apply, undo,
		map[string]want{"LRD-001": fails("logs.reader"), "LRD-002": fails("logs.reader"), "LRD-003": fails("logs.reader")})
	add("the log reader is in a group that gives more",
		commands("gpasswd --add tclogs disk"), commands("gpasswd --delete tclogs disk"),
		map[string]want{"LRD-001": fails("tclogs is in the group disk")})
	add("somebody else is in the group of the copies",
		commands("gpasswd --add operator tclogs"), commands("gpasswd --delete operator tclogs"),
		map[string]want{"LRD-001": fails("shares the group tclogs of the copies with operator")})
	apply, undo = file("/etc/sudoers", "Defaults env_reset\nUser_Alias READERS = tclogs\nREADERS ALL = (root) NOPASSWD: /usr/bin/less\n")
	add("a sudo rule names the log reader by an alias", apply, undo,
		map[string]want{"LRD-002": fails("/etc/sudoers:3")})
	add("everybody can read the copies",
		commands("chmod 755 /srv/tc_logs"), commands("chmod 750 /srv/tc_logs"),
		map[string]want{"LRD-003": fails("everybody can read /srv/tc_logs")})
	add("the log reader can change a copy",
		commands("install -m 460 -g tclogs /dev/null /srv/tc_logs/x-2026-01-31.gz"), commands("rm /srv/tc_logs/x-2026-01-31.gz"),
		map[string]want{"LRD-003": fails("others than root can write /srv/tc_logs/x-2026-01-31.gz")})
	add("the log reader does not get to the copies",
		commands("chmod 700 /srv"), commands("chmod 755 /srv"),
		map[string]want{"LRD-003": fails("tclogs does not get through /srv")})
	add("a rotated log was not copied",
		inVolume("mkdir log; echo x >log/ecc-$day.0.gz; touch -d '2 days ago' log/*"), noVolume,
		map[string]want{"LRD-004": fails("1 rotated logs", logVolume+"/log/ecc-", "/srv/tc_logs/ecc-lab+log+ecc-")})
	add("a link lies in the place of a log",
		inVolume("ln -s /etc/shadow ecc-$day.0.gz"), noVolume,
		map[string]want{"LRD-004": fails(logVolume+"/ecc-", "symbolic link")})
	apply, undo = edited(table, "10 1 * * * root", "10 1 * * 1 root")
	add("logs are copied once a week", apply, undo,
		map[string]want{"LRD-005": fails(table+":2", "too seldom")})
	add("nothing copies logs",
		commands("mv "+table+" /root/table"), commands("mv /root/table "+table),
		map[string]want{"LRD-005": fails("Nothing copies")})
	add("case 35: cron does not run",
		commands("systemctl stop cron.service"), commands("systemctl start cron.service"),
		map[string]want{"LRD-005": fails("cron.service", "inactive")})
	return list
}
