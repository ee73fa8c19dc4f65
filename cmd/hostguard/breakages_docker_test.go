package main

import (
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

// dockerBreakages break who can use docker and what containers may do. The
// containers are made and not started, so that they are no strays.
func dockerBreakages() []breakage {
	var list []breakage
	const image = "lab/other:1"
	with := func(name, verb string, wants map[string]want, args ...string) {
		list = append(list, breakage{name, func(h testHost) {
			h.Must("sh", "-c", "tar -c -C / bin/busybox | docker import - "+image)
			line := append([]string{"docker", verb, "--name", "other", "--label", "a=\x1b[2J"}, args...)
			if verb == "run" {
				line = append(line, "--detach")
			}
			h.Must(append(line, image, "/bin/busybox", "sleep", "1000000")...)
		}, func(h testHost) {
			h.Must("docker", "rm", "--force", "other")
			h.Must("docker", "image", "rm", image)
		}, wants})
	}
	one := func(rule string, says ...string) map[string]want { return map[string]want{rule: fails(says...)} }

	with("a container is privileged", "create", one("DOCK-011", "container other", "privileged"), "--privileged")
	with("a container has a capability more", "create", one("DOCK-011", "container other", "SYS_ADMIN"), "--cap-add", "sys_admin")
	with("a container has a device", "create", one("DOCK-011", "container other", "/dev/kmsg"), "--device", "/dev/kmsg")
	with("a container may make every system call", "create", one("DOCK-011", "seccomp=unconfined"), "--security-opt", "seccomp=unconfined")
	with("a container has the host's network", "create", one("DOCK-012", "container other", "network"), "--network", "host")
	with("a container has the host's processes and memory", "create", one("DOCK-012", "pid", "ipc"), "--pid", "host", "--ipc", "host")
	with("a container has docker's socket, read-only", "create", one("DOCK-013", "docker's socket", "/run/docker.sock"), "--volume", "/var/run/docker.sock:/s:ro")
	with("a container has the folder of docker's socket", "create", one("DOCK-013", "docker's socket", "leads to /run) at /host"), "--volume", "/var/run:/host")
	with("a container has the whole host", "create", one("DOCK-013", "docker's socket"), "--volume", "/:/host:ro")
	with("a container may write to the host's configuration", "create", one("DOCK-013", "/etc/cron.d", "read-only"), "--volume", "/etc/cron.d:/cron")
	with("a container only reads a file of the host's configuration", "create", nil, "--volume", "/etc/localtime:/etc/localtime:ro")
	with("a volume leads to docker's socket", "create", one("DOCK-013", "volume", "/run"),
		"--mount", "type=volume,dst=/host,volume-driver=local,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/var/run")
	with("something else runs on this docker", "run", one("DOCK-014", "container other", "running"))
	with("something else is started again with docker", "create", one("DOCK-014", "container other", "always"), "--restart", "always")

	change := func(name, old, new string, wants map[string]want) {
		apply, undo := edited(composeFile, old, new)
		list = append(list, breakage{name, apply, undo, wants})
	}
	change("a service is written to be privileged", "    cpus: 0.5\n", "    cpus: 0.5\n    privileged: true\n", one("DOCK-011", composeFile+":2", "privileged"))
	change("a service is written to have the host's network", "    cpus: 0.5\n", "    cpus: 0.5\n    uts: host\n", one("DOCK-012", composeFile+":2"))
	change("a service is written to have docker's socket", "      - ./ecc_resources:/config:ro\n", "      - ./ecc_resources:/config:ro\n      - /var/run/docker.sock:/var/run/docker.sock:ro\n", one("DOCK-013", composeFile+":2", "/run/docker.sock"))
	change("a service's image has no version", "container:1", "container:latest", one("DOCK-016", composeFile+":2", "latest"))
	change("a service is not started again", "restart: unless-stopped", "restart: on-failure", one("DOCK-017", composeFile+":2", "on-failure"))

	// Docker is started only three times in a minute.
	restart := commands("systemctl reset-failed docker.service docker.socket", "systemctl daemon-reload", "systemctl stop docker.service docker.socket", "systemctl start docker.socket docker.service")
	dropIn := func(name, unit, content string, wants map[string]want) {
		at := "/etc/systemd/system/" + unit + ".d/other.conf"
		list = append(list, breakage{name,
			func(h testHost) { h.WriteFile(at, content); restart(h) },
			func(h testHost) { h.Must("rm", at); restart(h) }, wants})
	}
	dropIn("a drop-in lets docker listen on the network", "docker.service", "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd -H fd:// -H tcp://127.0.0.1:2375\n",
		one("DOCK-006", "/etc/systemd/system/docker.service.d/other.conf:3", "127.0.0.1:2375", "everybody is let in"))
	dropIn("docker.socket listens on the network", "docker.socket", "[Socket]\nListenStream=127.0.0.1:2376\n",
		one("DOCK-006", "/etc/systemd/system/docker.socket.d/other.conf:2", "127.0.0.1:2376"))
	dropIn("docker.socket lets everybody in", "docker.socket", "[Socket]\nSocketMode=0666\n",
		one("DOCK-007", "/etc/systemd/system/docker.socket.d/other.conf:2", "/run/docker.sock"))

	for _, b := range []struct{ name, do, undo, rule, says string }{
		{"everybody can use docker's socket", "chmod 666 /run/docker.sock", "chmod 660 /run/docker.sock", "DOCK-007", "/run/docker.sock"},
		{"another group can use docker's socket", "chgrp users /run/docker.sock", "chgrp docker /run/docker.sock", "DOCK-007", "users"},
		{"the group docker can use containerd's socket", "chgrp docker /run/containerd/containerd.sock", "chgrp root /run/containerd/containerd.sock", "DOCK-007", "containerd.sock"},
		{"others can write docker's configuration", "chmod 666 /etc/docker/daemon.json", "chmod 644 /etc/docker/daemon.json", "DOCK-008", "/etc/docker/daemon.json"},
		{"others can list docker's data", "chmod 755 /var/lib/docker", "chmod 710 /var/lib/docker", "DOCK-008", "/var/lib/docker"},
		{"a service's account can use docker", "gpasswd --add daemon docker", "gpasswd --delete daemon docker", "DOCK-009", "daemon"},
		{"nobody but root can run compose", "gpasswd --delete operator docker", "gpasswd --add operator docker", "DOCK-010", "docker"},
	} {
		list = append(list, breakage{b.name, commands(b.do), commands(b.undo), one(b.rule, b.says)})
	}
	off := func(option, rule string) {
		apply, undo := edited("/etc/docker/daemon.json", `"`+option+`": true`, `"`+option+`": false`, restart)
		list = append(list, breakage{"docker's option " + option + " is off", apply, undo, one(rule, "/etc/docker/daemon.json:3", option)})
	}
	off("live-restore", "DOCK-019")
	off("no-new-privileges", "DOCK-022")
	younger, asItWas := edited("/etc/docker/daemon.json", `"live-restore"`, `"debug": false, "live-restore"`)
	list = append(list, breakage{"docker's configuration was changed after its start", func(h testHost) { younger(h); commands("touch --date=+1minute /etc/docker/daemon.json")(h) }, func(h testHost) { asItWas(h); restart(h) },
		map[string]want{"DOCK-022": unknown("restart docker")}})
	apply, undo := edited("/etc/hostguard/hostguard.yaml", "ntp:", "docker: {users: [daemon]}\nntp:")
	list = append(list, breakage{"others are meant to use docker", apply, undo,
		map[string]want{"DOCK-009": fails("only daemon"), "DOCK-010": fails("not a member of docker")}})
	return list
}

// Compose's own containers compared with their files: made by a real compose, in
// agreement, and one change after the other.
func TestContainersOfComposeAndTheirFiles(t *testing.T) {
	h := lab.Boot(t, lab.Good)
	h.Install(lab.Binary(t), "/usr/local/bin/hostguard")
	h.ImportBusybox("lab/ids_execution_core_container:1")
	const file, env = "/opt/drift/compose.yaml", "/opt/drift/.env"
	// Without limits, which docker cannot set in a container.
	const text = `services:
  ecc-provider:
    image: lab/ids_execution_core_container:${TAG}
    container_name: core
    command: [sleep, "1000000"]
    user: "65534:65534"
    cap_add: [NET_ADMIN]
    restart: unless-stopped
    logging: {options: {max-size: 5m}}
    environment: {TZ: UTC}
    ports: ["127.0.0.1:8090:8449", "8889", "127.0.0.1:7000-7001:7000-7001/udp"]
    volumes:
      - ./conf:/config:ro
      - data:/data
      - {type: tmpfs, target: /scratch}
    configs: [{source: c, target: /c}]
  pip:
    image: lab/ids_execution_core_container:1
    command: [sleep, "1000000"]
    pid: "service:ecc-provider"
    cpus: 0
    deploy: {restart_policy: {condition: any}}
configs:
  c: {file: ./conf/c}
volumes:
  data:
`
	h.WriteFile("/opt/drift/conf/c", "x\n")
	h.WriteFile(env, "TAG=1\n")
	h.WriteFile(file, text)
	h.WriteFile("/etc/hostguard/hostguard.yaml", "connector: {dir: /opt/drift}\n")
	h.Must("docker", "compose", "--project-directory", "/opt/drift", "up", "--detach", "--quiet-pull")
	look := func(t *testing.T, rule string) string {
		t.Helper()
		report, _ := audited(t, h.For(t), "--only", rule)
		for _, f := range report.Findings {
			if f.Rule == rule {
				return f.Status.String() + " " + findingText(report, rule)
			}
		}
		return "no finding"
	}
	if got := look(t, "DOCK-015"); !strings.HasPrefix(got, "pass ") || !strings.Contains(got, "container core") {
		t.Errorf("as compose made them: %s", got)
	}
	if got := look(t, "DOCK-018"); !strings.HasPrefix(got, "pass ") {
		t.Errorf("the age of what compose made: %s", got)
	}
	for name, c := range map[string]struct{ old, new, says string }{
		"image":         {"container:${TAG}", "container:2", "image: got lab/ids_execution_core_container:1, want lab/ids_execution_core_container:2"},
		"processors":    {"    user:", "    cpus: 1\n    user:", "processors: got 0, want 1"},
		"user":          {`"65534:65534"`, `"0"`, "user: got 65534:65534, want 0"},
		"capability":    {"[NET_ADMIN]", "[NET_RAW]", "cap_add: got NET_ADMIN, want NET_RAW"},
		"restart":       {"unless-stopped", "always", "restart: got unless-stopped, want always"},
		"log":           {"5m}", "6m}", "log max-size: got 5m, want 6m"},
		"port":          {"8090:8449", "8091:8449", "port: got 8090 of 127.0.0.1 to 8449/tcp, want not published"},
		"port range":    {"7000-7001:7000-7001", "7000-7002:7000-7002", "port: got not published, want 7002 of 127.0.0.1 to 7002/udp"},
		"address":       {"127.0.0.1:8090", "8090", "want 8090 to 8449/tcp"},
		"bind":          {"./conf:/config:ro", "./other:/config:ro", "mount at /config: got /opt/drift/conf, read-only, want /opt/drift/other, read-only"},
		"to write":      {"/config:ro", "/config", "mount at /config: got /opt/drift/conf, read-only, want /opt/drift/conf"},
		"volume":        {"data:/data", "data:/elsewhere", "mount at /data: got volume drift_data, want none"},
		"privileged":    {"    user:", "    privileged: true\n    user:", "privileged: got false, want true"},
		"renamed":       {"  pip:", "  other:", "which they no longer have"},
		"the processes": {`"service:ecc-provider"`, "host", "pid: got container:"},
	} {
		t.Run(name, func(t *testing.T) {
			h.For(t).WriteFile(file, strings.Replace(text, c.old, c.new, 1))
			if got := look(t, "DOCK-015"); !strings.HasPrefix(got, "fail ") || !strings.Contains(got, c.says) {
				t.Errorf("%s\nwant %q", got, c.says)
			}
		})
	}
	h.WriteFile(file, text)
	if got := look(t, "DOCK-015"); !strings.HasPrefix(got, "pass ") {
		t.Errorf("with its file as it was: %s", got)
	}
	if got := look(t, "DOCK-018"); !strings.HasPrefix(got, "fail ") || !strings.Contains(got, file) {
		t.Errorf("older than its file: %s", got)
	}
}
