package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/lab"
)

// Units of every sort that a rule finds: fix makes the rule pass, a second fix
// does nothing, and undo brings back links, files and what runs. What must not
// be stopped is left, and a person is told why.
func TestFixStopsAndStartsUnitsOfEverySort(t *testing.T) {
	h := bootGood(t)
	const service = "[Service]\nExecStart=/bin/sleep 1d\n"
	const wanted = "[Install]\nWantedBy=multi-user.target\n"
	unit := func(h *lab.Host, name, content string) { h.WriteFile("/etc/systemd/system/"+name, content) }
	enable := func(h *lab.Host, names ...string) {
		h.Must("systemctl", "daemon-reload")
		h.Must("systemctl", "reset-failed") // the starts of earlier cases, which are limited
		h.Must(append([]string{"systemctl", "--quiet", "enable"}, names...)...)
		for _, name := range names {
			h.Must("systemctl", "start", name)
		}
	}
	disable := func(h *lab.Host, names ...string) {
		for _, name := range names {
			h.Run("systemctl", "--quiet", "disable", "--now", name)
			h.Run("sh", "-c", "rm -rf /etc/systemd/system/"+name+"*")
		}
		h.Must("systemctl", "daemon-reload")
		h.Run("systemctl", "reset-failed")
	}
	for _, c := range []struct {
		name  string
		rule  string
		apply func(*lab.Host)
		undo  func(*lab.Host)
		left  string // what a person is told; empty: it is mended
	}{
		{
			"a web server from a package", "SVC-001",
			func(h *lab.Host) { enable(h, "nginx.service") },
			func(h *lab.Host) { h.Must("systemctl", "--quiet", "disable", "--now", "nginx.service") }, "",
		},
		{
			"the same by where it listens", "SVC-011",
			func(h *lab.Host) { enable(h, "nginx.service") },
			func(h *lab.Host) { h.Must("systemctl", "--quiet", "disable", "--now", "nginx.service") }, "",
		},
		{
			"a socket and the service that it has started", "SVC-010",
			func(h *lab.Host) {
				unit(h, "talk.socket", "[Socket]\nListenStream=/run/talk\n[Install]\nWantedBy=sockets.target\n")
				unit(h, "talk.service", service)
				enable(h, "talk.socket")
				h.Must("systemctl", "start", "talk.service")
			},
			func(h *lab.Host) { disable(h, "talk.socket", "talk.service") }, "",
		},
		{
			"a timer", "SVC-010",
			func(h *lab.Host) {
				unit(h, "tick.timer", "[Timer]\nOnCalendar=yearly\n[Install]\nWantedBy=timers.target\n")
				unit(h, "tick.service", service)
				enable(h, "tick.timer")
			},
			func(h *lab.Host) { disable(h, "tick.timer", "tick.service") }, "",
		},
		{
			"an init script without a unit", "SVC-010",
			func(h *lab.Host) {
				h.WriteFileMode("/etc/init.d/oldstyle", "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: oldstyle\n# Required-Start:\n# Required-Stop:\n# Default-Start: 2 3 4 5\n# Default-Stop: 0 1 6\n# Short-Description: old\n### END INIT INFO\n"+
					"case $1 in start) start-stop-daemon -Sbmp /run/oldstyle.pid -x /bin/sleep -- 1d;; stop) start-stop-daemon -Kp /run/oldstyle.pid;; esac\n", 0o755)
				h.Must("update-rc.d", "oldstyle", "defaults")
				h.Must("systemctl", "start", "oldstyle.service")
			},
			func(h *lab.Host) {
				h.Must("systemctl", "stop", "oldstyle.service")
				h.Must("sh", "-c", "rm /etc/init.d/oldstyle /etc/rc?.d/*oldstyle; systemctl daemon-reload")
			}, "",
		},
		{
			"an alias, and another unit with it", "SVC-010",
			func(h *lab.Host) {
				unit(h, "named1.service", service+wanted+"Alias=other1.service\nAlso=named1.socket\n")
				unit(h, "named1.socket", "[Socket]\nListenStream=/run/named1\n[Install]\nWantedBy=sockets.target\n")
				enable(h, "named1.socket", "named1.service")
			},
			func(h *lab.Host) {
				disable(h, "named1.service", "named1.socket")
				h.Run("rm", "/etc/systemd/system/other1.service")
			}, "",
		},
		{
			"instances of a template", "SVC-010",
			func(h *lab.Host) {
				unit(h, "inst@.service", service+wanted)
				enable(h, "inst@a.service", "inst@b.service")
			},
			func(h *lab.Host) { disable(h, "inst@a.service", "inst@b.service", "inst@.service") }, "",
		},
		{
			"a unit that runs although it was masked", "SVC-010",
			func(h *lab.Host) {
				h.WriteFile("/usr/lib/systemd/system/hidden.service", service)
				h.Must("systemctl", "daemon-reload")
				h.Must("systemctl", "start", "hidden.service")
				h.Must("systemctl", "--quiet", "mask", "hidden.service")
			},
			func(h *lab.Host) {
				h.Must("systemctl", "stop", "hidden.service")
				h.Must("rm", "/usr/lib/systemd/system/hidden.service", "/etc/systemd/system/hidden.service")
				h.Must("systemctl", "daemon-reload")
			}, "could not be started again",
		},
		{
			"a unit that a script of the administrator's sets up", "SVC-010",
			func(h *lab.Host) {
				unit(h, "setup.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"+wanted)
				enable(h, "setup.service")
			},
			func(h *lab.Host) { disable(h, "setup.service") }, "sets something up",
		},
		{
			"a tunnel", "SVC-010",
			func(h *lab.Host) {
				unit(h, "back.service", "[Service]\nExecStart=/bin/sh -c 'sleep 1d; exec ssh -NR 2222:localhost:22 jump'\n"+wanted)
				enable(h, "back.service")
			},
			func(h *lab.Host) { disable(h, "back.service") }, "runs ssh",
		},
		{
			"a unit whose socket a container has", "SVC-010",
			func(h *lab.Host) {
				unit(h, "speak.socket", "[Socket]\nListenStream=/run/speak/speak\n[Install]\nWantedBy=sockets.target\n")
				unit(h, "speak.service", service)
				enable(h, "speak.socket")
				h.ImportBusybox("lab/busybox:1")
				h.Must("docker", "run", "-d", "--name", "speaker", "--network", "none", "-v", "/run/speak:/speak", "lab/busybox:1", "sleep", "86400")
			},
			func(h *lab.Host) {
				h.Must("docker", "rm", "-f", "speaker")
				disable(h, "speak.socket", "speak.service")
			}, "has its socket",
		},
		{
			"time daemon: a second one", "CLK-001",
			func(h *lab.Host) {
				unit(h, "ntpd.service", service+wanted)
				enable(h, "ntpd.service")
			},
			func(h *lab.Host) { disable(h, "ntpd.service") }, "",
		},
		{
			"time daemon: none runs", "CLK-001",
			func(h *lab.Host) { h.Must("systemctl", "--quiet", "disable", "--now", "chrony.service") },
			func(h *lab.Host) { h.Must("systemctl", "--quiet", "enable", "--now", "chrony.service") }, "",
		},
		{
			"time daemon: masked", "CLK-001",
			func(h *lab.Host) { h.Must("systemctl", "--quiet", "mask", "--now", "chrony.service") },
			func(h *lab.Host) {
				h.Must("systemctl", "--quiet", "unmask", "chrony.service")
				h.Must("systemctl", "start", "chrony.service")
			}, "masked",
		},
		{
			"time servers: none", "CLK-002",
			func(h *lab.Host) {
				h.Must("mv", "/etc/chrony/conf.d/lab.conf", "/root/lab.conf")
				h.Must("systemctl", "restart", "chrony.service")
			},
			func(h *lab.Host) {
				h.Must("mv", "/root/lab.conf", "/etc/chrony/conf.d/lab.conf")
				h.Must("systemctl", "restart", "chrony.service")
			}, "",
		},
		{
			"time servers: none, and none named", "CLK-002",
			func(h *lab.Host) {
				h.Must("mv", "/etc/chrony/conf.d/lab.conf", "/root/lab.conf")
				h.Must("sed", "-i", "s/^ntp:/#ntp:/", "/etc/hostguard/hostguard.yaml")
			},
			func(h *lab.Host) {
				h.Must("mv", "/root/lab.conf", "/etc/chrony/conf.d/lab.conf")
				h.Must("sed", "-i", "s/^#ntp:/ntp:/", "/etc/hostguard/hostguard.yaml")
			}, "hostguard invents none",
		},
		{
			"time servers: of systemd-timesyncd alone", "CLK-002",
			func(h *lab.Host) {
				h.Must("systemctl", "--quiet", "mask", "--now", "chrony.service")
				unit(h, "systemd-timesyncd.service", service+wanted)
				h.WriteFile("/etc/systemd/timesyncd.conf", "[Time]\nFallbackNTP=\n")
				h.Must("systemctl", "daemon-reload")
			},
			func(h *lab.Host) {
				disable(h, "systemd-timesyncd.service")
				h.Must("rm", "/etc/systemd/timesyncd.conf")
				h.Must("systemctl", "--quiet", "unmask", "chrony.service")
				h.Must("systemctl", "start", "chrony.service")
			}, "",
		},
		{
			"docker is off and down", "DOCK-002",
			func(h *lab.Host) {
				h.Must("systemctl", "--quiet", "disable", "--now", "docker.service", "docker.socket", "containerd.service")
			},
			func(h *lab.Host) {
				h.Must("systemctl", "--quiet", "enable", "--now", "docker.service", "docker.socket", "containerd.service")
			}, "",
		},
		{
			"docker is off and down, and does not answer", "DOCK-003",
			func(h *lab.Host) {
				h.Must("systemctl", "--quiet", "disable", "--now", "docker.service", "docker.socket", "containerd.service")
			},
			func(h *lab.Host) {
				h.Must("systemctl", "--quiet", "enable", "--now", "docker.service", "docker.socket", "containerd.service")
			}, "",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := h.For(t)
			defer c.undo(h)
			c.apply(h)
			if c.left != "" {
				r := h.Run("hostguard", "fix", "--dry-run", "--format", "json", "--only", c.rule)
				if !strings.Contains(r.Stdout, c.left) {
					t.Errorf("nobody is told %q: %s%s", c.left, r.Stdout, r.Stderr)
				}
			}
			if mended := fixAndUndo(t, h, c.rule); mended != (c.left == "") {
				t.Errorf("mended: %v", mended)
			}
		})
	}

	t.Run("all at once", func(t *testing.T) {
		h := h.For(t)
		unit(h, "murmur.socket", "[Socket]\nListenStream=/run/murmur\n[Install]\nWantedBy=sockets.target\n")
		unit(h, "murmur.service", service)
		unit(h, "ntpd.service", service+wanted)
		enable(h, "nginx.service", "murmur.socket", "ntpd.service")
		h.Must("systemctl", "start", "murmur.service")
		h.Must("mv", "/etc/chrony/conf.d/lab.conf", "/root/lab.conf")
		h.Must("systemctl", "--quiet", "disable", "--now", "docker.service", "docker.socket", "containerd.service")
		defer func() {
			h.Must("systemctl", "--quiet", "enable", "--now", "docker.service", "docker.socket", "containerd.service")
			h.Must("mv", "/root/lab.conf", "/etc/chrony/conf.d/lab.conf")
			h.Must("systemctl", "--quiet", "disable", "--now", "nginx.service")
			disable(h, "murmur.socket", "murmur.service", "ntpd.service")
		}()
		ids := []string{"SVC-001", "SVC-010", "SVC-011", "CLK-001", "CLK-002", "DOCK-002", "DOCK-003"}
		broken := observe(t, h)
		r, _ := fixed(t, h, "--only", strings.Join(ids, ","))
		if r.Outcome != applied || len(r.Person) > 0 {
			t.Fatalf("%s: %s %+v", r.Outcome, r.Error, r.Person)
		}
		for _, id := range ids {
			if status := statuses(r.After)[id]; status != checks.Pass {
				t.Errorf("%s is %v", id, status)
			}
		}
		h.Must("hostguard", "undo")
		if diff := cmp.Diff(broken, observe(t, h)); diff != "" {
			t.Errorf("after undo (-before fix +after undo):\n%s", diff)
		}
	})

	t.Run("hostguard stays, and what it was started from", func(t *testing.T) {
		h := h.For(t)
		unit(h, "provision.service", "[Service]\nType=exec\nExecStart=/usr/local/bin/hostguard fix --only SVC-010 -o json=/root/provision.json\n"+wanted)
		unit(h, "stray.service", service+wanted)
		enable(h, "stray.service")
		h.Run("systemctl", "start", "--wait", "provision.service") // it ends with 1: a person is left with something
		defer disable(h, "stray.service", "provision.service")
		var r fixResult
		if err := json.Unmarshal([]byte(h.ReadFile("/root/provision.json")), &r); err != nil {
			t.Fatal(err)
		}
		if r.Outcome != applied || len(r.Person) != 1 || !strings.Contains(r.Person[0].Does, "provision.service is left as it is: hostguard itself was started from it") {
			t.Errorf("%s, a person does %+v", r.Outcome, r.Person)
		}
		if h.Run("systemctl", "is-active", "--quiet", "stray.service").Code == 0 {
			t.Error("the stray unit still runs")
		}
		h.Must("hostguard", "undo")
		h.Must("systemctl", "is-active", "--quiet", "stray.service")
	})
}
