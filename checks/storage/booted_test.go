package storage

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lab"
)

// look asks this very program, inside a test host, for one verdict.
var look = flag.String("look", "", "print the verdict of storage-watch with these parameters (YAML)")

// seen is a verdict on its way out of the test host.
type seen struct {
	Verdict checks.Verdict
	Err     string
}

func TestMain(m *testing.M) {
	flag.Parse()
	if *look == "" {
		os.Exit(m.Run())
	}
	watch := Checks[slices.IndexFunc(Checks, func(c checks.Check) bool { return c.Name == "storage-watch" })]
	probe, err := watch.Bind(func(p any) error { return yaml.Unmarshal([]byte(*look), p) })
	var s seen
	if err == nil {
		s.Verdict, err = probe(context.Background(), host.New(host.Options{}))
	}
	if err != nil {
		s.Err, s.Verdict.Status = err.Error(), checks.Error
	}
	if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
		panic(err)
	}
}

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
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h.Install(self, "/root/storage.test")
	check := func(name, params, want string) {
		t.Helper()
		out := h.Must("/root/storage.test", "-look", params)
		var s seen
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		err := error(nil)
		if s.Err != "" {
			err = errors.New(s.Err)
		}
		t.Run(name, func(t *testing.T) { judged(t, s.Verdict, err, want) })
	}
	const (
		timer   = "watch: {unit: df-watch.timer}"
		cron    = "{watch: {cron: /etc/cron.d/df-watch}, stamp: /var/lib/df-watch.ok}"
		process = "watch: {process: /usr/local/bin/watchd}"
	)
	settled := fmt.Sprintf("for i in $(seq 100); do systemctl is-active -q %s || break; sleep 0.05; done", "df-watch.service")
	h.Must("/bin/sh", "-c", settled)

	check("nothing named", "{}", "fail: No storage watch is configured")
	check("a timer that works", timer, "pass")
	check("its service, named in its place", "watch: {unit: df-watch.service}", "pass")
	check("a timer that has not been due twice", "watch: {unit: calendar.timer}", "error: not been due twice")
	check("a unit that is not there", "watch: {unit: none.timer}", "fail: not installed")
	check("a service that runs all the time", "watch: {unit: watchd.service}", "pass")
	check("a process of it", process, "pass")
	check("a cron job with a stamp", cron, "pass")
	check("a cron job without", "watch: {cron: df-watch}", "error: no record")
	check("a cron table with a dot", "watch: {cron: /etc/cron.d/df-watch.sh}", "fail: no dot")

	h.WriteFile("/broken", "")
	h.Run("systemctl", "start", "df-watch.service")
	check("a timer whose service fails", timer, "fail: The last run")
	h.Must("rm", "/broken")
	h.Must("systemctl", "start", "df-watch.service")
	check("and works again", timer, "pass")
	h.Must("systemctl", "disable", "df-watch.timer")
	check("a timer that is not enabled", timer, "fail: Nothing starts")
	h.Must("systemctl", "add-wants", "rescue.target", "df-watch.timer")
	check("a timer that is enabled for a target that no boot reaches", timer, "fail: Nothing starts")
	h.Must("systemctl", "enable", "df-watch.timer")
	h.Must("systemctl", "stop", "df-watch.timer")
	check("a timer that is stopped", timer, "fail: not active")

	h.Must("touch", "-d", "-10 min", "/var/lib/df-watch.ok")
	check("a cron job that has not succeeded for ten minutes", cron, "fail: missed two")
	h.Must("touch", "/var/lib/df-watch.ok")
	h.Must("systemctl", "stop", "cron.service")
	check("cron does not run", cron, "fail: cron daemon")
	h.Must("systemctl", "start", "cron.service")
	h.Must("chmod", "g+w", "/etc/cron.d/df-watch")
	check("a cron table that others may write", cron, "fail: others than root")

	h.Must("systemctl", "disable", "watchd.service")
	check("a process that nothing starts at boot", process, "fail: Nothing starts")
	h.Must("systemctl", "stop", "watchd.service")
	check("a process that has ended", process, "fail: does not run")

	h.Must("rm", "/etc/systemd/system/df-watch.timer")
	h.WriteFile("/etc/systemd/system/"+ownTimer, "[Timer]\nOnActiveSec=0\nOnUnitActiveSec=1h\nUnit=df-watch.service\n[Install]\nWantedBy=timers.target\n")
	h.Must("systemctl", "daemon-reload")
	h.Must("systemctl", "enable", "--now", ownTimer)
	h.Must("/bin/sh", "-c", settled)
	if out := strings.TrimSpace(h.Must("systemctl", "is-active", ownTimer)); out != "active" {
		t.Fatal(out)
	}
	check("hostguard's own", "{}", "pass")
}
