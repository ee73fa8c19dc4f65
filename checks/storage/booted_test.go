package storage

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/lab/checktest"
)

func TestMain(m *testing.M) { checktest.Main(m, Checks) }

// TestWatchOnABootedHost judges jobs of every kind that systemd and cron
// really run, or do not.
func TestWatchOnABootedHost(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Booted)
	h := lab.Boot(t, lab.Before(func(h *lab.Host) {
		h.WriteFile("/etc/systemd/system/df-watch.timer", "[Timer]\nOnActiveSec=0\nOnUnitActiveSec=1h\n[Install]\nWantedBy=timers.target\n")
		h.WriteFile("/etc/systemd/system/df-watch.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exec test ! -e /broken'\n")
		h.WriteFile("/etc/systemd/system/calendar.timer", "[Timer]\nOnCalendar=*:0/30\n[Install]\nWantedBy=timers.target\n")
		h.WriteFile("/etc/systemd/system/watchd.service", "[Service]\nExecStart=/usr/local/bin/watchd 1d\n[Install]\nWantedBy=multi-user.target\n")
		h.Must("cp", "/usr/bin/sleep", "/usr/local/bin/watchd")
		h.WriteFile("/etc/cron.d/df-watch", "* * * * * root test ! -e /broken && touch /var/lib/df-watch.ok\n")
		h.WriteFile("/etc/cron.d/df-watch.sh", "* * * * * root true\n")
		h.WriteFile("/var/lib/df-watch.ok", "")
		h.WriteFile("/etc/systemd/system/calendar.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n")
		h.Must("systemctl", "enable", "df-watch.timer", "calendar.timer", "watchd.service", "cron.service")
	}))
	check := checktest.Inside(t, h)
	const (
		timer   = "watch: {unit: df-watch.timer}"
		cron    = "{watch: {cron: /etc/cron.d/df-watch}, stamp: /var/lib/df-watch.ok}"
		process = "watch: {process: /usr/local/bin/watchd}"
	)
	settled := fmt.Sprintf("for i in $(seq 100); do systemctl is-active -q %s || break; sleep 0.05; done", "df-watch.service")
	h.Must("/bin/sh", "-c", settled)

	check("nothing named", "storage-watch {}", "fail: No storage watch is configured")
	check("a timer that works", "storage-watch "+timer, "pass")
	check("its service, named in its place", "storage-watch watch: {unit: df-watch.service}", "pass")
	check("a timer that has not been due twice", "storage-watch watch: {unit: calendar.timer}", "error: not been due twice")
	check("a unit that is not there", "storage-watch watch: {unit: none.timer}", "fail: not installed")
	check("a service that runs all the time", "storage-watch watch: {unit: watchd.service}", "pass")
	check("a process of it", "storage-watch "+process, "pass")
	check("a cron job with a stamp", "storage-watch "+cron, "pass")
	check("a cron job without", "storage-watch watch: {cron: df-watch}", "error: no record")
	check("a cron table with a dot", "storage-watch watch: {cron: /etc/cron.d/df-watch.sh}", "fail: no dot")

	h.WriteFile("/broken", "")
	h.Run("systemctl", "start", "df-watch.service")
	check("a timer whose service fails", "storage-watch "+timer, "fail: The last run")
	h.Must("rm", "/broken")
	h.Must("systemctl", "start", "df-watch.service")
	check("and works again", "storage-watch "+timer, "pass")
	h.Must("systemctl", "disable", "df-watch.timer")
	check("a timer that is not enabled", "storage-watch "+timer, "fail: Nothing starts")
	h.Must("systemctl", "add-wants", "rescue.target", "df-watch.timer")
	check("a timer that is enabled for a target that no boot reaches", "storage-watch "+timer, "fail: Nothing starts")
	h.Must("systemctl", "enable", "df-watch.timer")
	h.Must("systemctl", "stop", "df-watch.timer")
	check("a timer that is stopped", "storage-watch "+timer, "fail: not active")

	h.Must("touch", "-d", "-10 min", "/var/lib/df-watch.ok")
	check("a cron job that has not succeeded for ten minutes", "storage-watch "+cron, "fail: missed two")
	h.Must("touch", "/var/lib/df-watch.ok")
	h.Must("systemctl", "stop", "cron.service")
	check("cron does not run", "storage-watch "+cron, "fail: cron daemon")
	h.Must("systemctl", "start", "cron.service")
	h.Must("chmod", "g+w", "/etc/cron.d/df-watch")
	check("a cron table that others may write", "storage-watch "+cron, "fail: others than root")

	h.Must("systemctl", "disable", "watchd.service")
	check("a process that nothing starts at boot", "storage-watch "+process, "fail: Nothing starts")
	h.Must("systemctl", "stop", "watchd.service")
	check("a process that has ended", "storage-watch "+process, "fail: does not run")

	h.Must("rm", "/etc/systemd/system/df-watch.timer")
	h.WriteFile("/etc/systemd/system/"+ownTimer, "[Timer]\nOnActiveSec=0\nOnUnitActiveSec=1h\nUnit=df-watch.service\n[Install]\nWantedBy=timers.target\n")
	h.Must("systemctl", "daemon-reload")
	h.Must("systemctl", "enable", "--now", ownTimer)
	h.Must("/bin/sh", "-c", "for i in $(seq 100); do systemctl show -p LastTriggerUSec --value "+ownTimer+" | grep -q : && break; sleep 0.05; done")
	h.Must("/bin/sh", "-c", settled)
	if out := strings.TrimSpace(h.Must("systemctl", "is-active", ownTimer)); out != "active" {
		t.Fatal(out)
	}
	check("hostguard's own, which never succeeded", "storage-watch {}", "fail: never succeeded")
	h.WriteFile(OwnStamp, "")
	check("hostguard's own", "storage-watch {}", "pass")
	h.Must("touch", "-d", "-3 hours", OwnStamp)
	check("hostguard's own, which succeeds no more", "storage-watch {}", "fail: missed two")

	h.WriteFile(ownTable, "*/10 * * * * root /usr/local/bin/hostguard watch storage --quiet\n20 1 * * * root /usr/local/bin/hostguard logs copy\n")
	check("hostguard's own of cron, which succeeds no more", "storage-watch {}", "fail: missed two")
	h.Must("touch", OwnStamp)
	check("hostguard's own of cron", "storage-watch {}", "pass")
	h.Must("systemctl", "disable", "cron.service")
	check("hostguard's own of a cron that is not started at boot", "storage-watch {}", "fail: cron daemon")
}
