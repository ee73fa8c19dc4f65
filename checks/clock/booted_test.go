package clock

import (
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/lab/checktest"
)

func TestMain(m *testing.M) { checktest.Main(m, Checks) }

// TestBootedHost looks at a host whose chronyd asks a server outside, and at
// what can be wrong with that.
func TestBootedHost(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Booted)
	h := lab.Boot(t, lab.Good, lab.Before(func(h *lab.Host) {
		h.WriteFile("/etc/chrony/offline.conf", "server 192.0.2.1 offline\n")
		h.WriteFile("/etc/systemd/system/ntpd.service", "[Service]\nExecStart=/bin/sleep 1d\n[Install]\nWantedBy=multi-user.target\n")
		h.Must("cp", "/usr/bin/sleep", "/usr/local/bin/chronyd")
	}))
	check := checktest.Inside(t, h)
	check("chrony alone", "clock-daemon", "pass")
	check("its servers", "clock-servers", "pass")
	check("their word", "clock-offset", "pass")
	check("a named server", "clock-offset servers: [192.0.2.1]", "pass")
	check("servers that are not there", `clock-offset {servers: [192.0.2.77, "127.0.0.1:9"], timeout: 200ms}`, "error: no time server gave a usable answer")

	h.Must("systemd-run", "--quiet", "--unit=stray", "/usr/local/bin/chronyd", "1d")
	check("a second daemon outside its unit", "clock-daemon", "fail: outside the units")
	h.Must("systemctl", "stop", "stray.service")
	h.Must("systemctl", "enable", "ntpd.service")
	check("a second daemon at boot", "clock-daemon", "fail: Several time daemons are started at boot")
	h.Must("systemctl", "start", "ntpd.service")
	check("a second daemon now", "clock-daemon", "fail: Several time daemons run")
	h.Must("systemctl", "disable", "--now", "ntpd.service")
	check("a second daemon that is only installed", "clock-daemon", "pass")
	h.Must("systemctl", "disable", "chrony.service")
	check("chrony is not started at boot", "clock-daemon", "fail: No time daemon is started at boot")
	h.Must("systemctl", "add-wants", "rescue.target", "chrony.service")
	check("chrony is enabled for a target that no boot reaches (34)", "clock-daemon", "fail: No time daemon is started at boot")
	h.Must("systemctl", "enable", "chrony.service")

	// The running daemon's command line, not the usual path, says which file counts.
	h.WriteFile("/etc/default/chrony", "DAEMON_OPTS=\"-F 1 -x -f /etc/chrony/offline.conf\"\n")
	h.Must("systemctl", "restart", "chrony.service")
	check("another configuration", "clock-servers", "fail: 0 usable")
	h.Must("systemctl", "stop", "chrony.service")
	check("chrony is stopped", "clock-daemon", "fail: No time daemon runs")
}
