package clock

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/checks/clock"
	"github.com/hostguard/hostguard/internal/config"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/timeconf"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/filestate"
)

func daemon(kind, unit string, boot, active bool) host.TimeDaemon {
	d := host.TimeDaemon{Kind: kind, Unit: unit, Active: active}
	if boot {
		d.Boot = "/etc/systemd/system/multi-user.target.wants/" + unit
	}
	return d
}

func asked(repair any, servers ...config.Server) remediate.Case {
	return remediate.Case{
		Finding: checks.Finding{Verdict: checks.Verdict{Status: checks.Fail, Repair: repair}},
		Config:  &config.Config{NTP: config.NTP{Servers: servers}},
	}
}

func TestWhichDaemonKeepsTheClock(t *testing.T) {
	t.Parallel()
	all := []string{host.Chrony, host.Timesyncd, host.NTPsec, host.NTPd, host.OpenNTPD}
	for _, c := range []struct {
		name    string
		daemons []host.TimeDaemon
		accept  []string
		keep    string
		off     []string
	}{
		{"one, off", []host.TimeDaemon{daemon(host.Chrony, "chrony.service", false, false)}, all, "chrony.service", nil},
		{"two, off: chrony is better", []host.TimeDaemon{daemon(host.Timesyncd, "systemd-timesyncd.service", false, false), daemon(host.Chrony, "chrony.service", false, false)}, all, "chrony.service", nil},
		{"both run, one is enabled", []host.TimeDaemon{daemon(host.Chrony, "chrony.service", false, true), daemon(host.Timesyncd, "systemd-timesyncd.service", true, true)}, all, "systemd-timesyncd.service", []string{"chrony.service"}},
		{"both run and are enabled", []host.TimeDaemon{daemon(host.NTPsec, "ntpsec.service", true, true), daemon(host.Chrony, "chrony.service", true, true)}, all, "chrony.service", []string{"ntpsec.service"}},
		{"another runs than is enabled", []host.TimeDaemon{daemon(host.Chrony, "chrony.service", false, true), daemon(host.NTPsec, "ntpsec.service", true, false)}, all, "ntpsec.service", []string{"chrony.service"}},
		{"only another is accepted", []host.TimeDaemon{daemon(host.Timesyncd, "systemd-timesyncd.service", true, true), daemon(host.Chrony, "chrony.service", false, false)}, []string{host.Chrony}, "chrony.service", []string{"systemd-timesyncd.service"}},
		{"none is accepted", []host.TimeDaemon{daemon(host.Timesyncd, "systemd-timesyncd.service", true, true)}, []string{host.Chrony}, "", nil},
	} {
		p := proposeDaemon(asked(clock.DaemonRepair{Daemons: c.daemons, Accept: c.accept}))
		if c.keep == "" {
			if len(p.Changes) > 0 {
				t.Errorf("%s: %+v", c.name, p.Changes)
			}
			continue
		}
		if got := p.Changes[0].(Keep); got.Unit != c.keep || !slices.Equal(got.Off, c.off) {
			t.Errorf("%s: %+v, want %s kept and %v off", c.name, got, c.keep, c.off)
		}
	}
	p := proposeDaemon(asked(clock.DaemonRepair{Accept: all, Strays: []host.Process{{PID: 7, Comm: "ntpd"}}}))
	if len(p.Changes) > 0 || !strings.Contains(strings.Join(p.Person, ""), "process 7 (ntpd) in no unit") {
		t.Errorf("a stray daemon: %+v", p)
	}
}

func TestServersAreNotInvented(t *testing.T) {
	t.Parallel()
	lacking := &host.TimeSources{Daemon: daemon(host.Chrony, "chrony.service", true, true), Config: "/etc/chrony/chrony.conf"}
	for name, c := range map[string]struct {
		repair  clock.ServersRepair
		servers []config.Server
		told    string
	}{
		"none named":          {clock.ServersRepair{Lacking: lacking, MinSources: 1}, nil, "invents none"},
		"too few":             {clock.ServersRepair{Lacking: lacking, MinSources: 3}, []config.Server{"a", "b"}, "3 time servers or more"},
		"a line that is bad":  {clock.ServersRepair{Lacking: &host.TimeSources{Problems: []timeconf.Problem{{File: "/x", Line: 3, Text: "bad"}}}, MinSources: 1}, []config.Server{"a"}, "/x:3: bad"},
		"no daemon installed": {clock.ServersRepair{MinSources: 1}, []config.Server{"a"}, ""},
	} {
		p := proposeServers(asked(c.repair, c.servers...))
		if len(p.Changes) > 0 || !strings.Contains(strings.Join(p.Person, ""), c.told) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// A name reaches configuration files: nothing but a name or an address does.
func TestNamesThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a\nmakestep 1 -1", "a b", "a\rserver b", "a#", "a\x00", "$(id)", "a;b", "[::1", ""} {
		if servers, err := parse([]string{name}); err == nil {
			t.Errorf("%q is taken for %+v", name, servers)
		}
	}
	for _, name := range []string{"ntp1.example.org", "192.0.2.1", "2001:db8::1", "[2001:db8::1]:1123", "ntp:1123", "fe80::1%eth0"} {
		if _, err := parse([]string{name}); err != nil {
			t.Errorf("%q is refused: %v", name, err)
		}
	}
}

// The drop-in is written where the daemon's own configuration reads it.
func TestWhereServersAreWritten(t *testing.T) {
	t.Parallel()
	const debian = "confdir /etc/chrony/conf.d\nsourcedir /run/chrony-dhcp\nsourcedir /etc/chrony/sources.d\n"
	for _, c := range []struct {
		name   string
		change Servers
		files  map[string]string
		path   string // empty: a person is told
		line   string
		told   string
	}{
		{
			"chrony with sources.d", Servers{host.Chrony, "chrony.service", "/etc/chrony/chrony.conf", []string{"ntp1.example.org", "192.0.2.1:1123"}},
			map[string]string{"/etc/chrony/chrony.conf": debian},
			"/etc/chrony/sources.d/hostguard.sources", "server ntp1.example.org iburst\nserver 192.0.2.1 port 1123 iburst\n", "",
		},
		{
			"chrony with conf.d only", Servers{host.Chrony, "chrony.service", "/etc/chrony/chrony.conf", []string{"a"}},
			map[string]string{"/etc/chrony/chrony.conf": "confdir /etc/chrony/conf.d\n"},
			"/etc/chrony/conf.d/hostguard.conf", "server a iburst\n", "",
		},
		{
			"chrony with an include", Servers{host.Chrony, "chronyd.service", "/etc/chrony.conf", []string{"a"}},
			map[string]string{"/etc/chrony.conf": "include /etc/chrony.d/*.conf\n"},
			"/etc/chrony.d/hostguard.conf", "server a iburst\n", "",
		},
		{
			"chrony without drop-ins", Servers{host.Chrony, "chrony.service", "/etc/chrony/chrony.conf", []string{"a"}},
			map[string]string{"/etc/chrony/chrony.conf": "driftfile /x\n"}, "", "", "reads no folder",
		},
		{
			"chrony with directives on its command line", Servers{host.Chrony, "chrony.service", "", []string{"a"}},
			map[string]string{"/etc/chrony/chrony.conf": debian}, "", "", "reads no folder",
		},
		{
			"timesyncd", Servers{host.Timesyncd, "systemd-timesyncd.service", "/etc/systemd/timesyncd.conf", []string{"a", "b"}},
			map[string]string{"/etc/systemd/timesyncd.conf": "[Time]\n"},
			"/etc/systemd/timesyncd.conf.d/hostguard.conf", "[Time]\nNTP=a b\n", "",
		},
		{
			"timesyncd, whose list a later file empties", Servers{host.Timesyncd, "systemd-timesyncd.service", "/etc/systemd/timesyncd.conf", []string{"a"}},
			map[string]string{"/etc/systemd/timesyncd.conf.d/z.conf": "[Time]\nNTP=\n"}, "", "", "reads no folder",
		},
		{
			"timesyncd knows no ports", Servers{host.Timesyncd, "systemd-timesyncd.service", "", []string{"a:1123"}},
			nil, "", "", "port 123 only",
		},
		{
			"NTPsec", Servers{host.NTPsec, "ntpsec.service", "/etc/ntpsec/ntp.conf", []string{"a"}},
			map[string]string{"/etc/ntpsec/ntp.conf": "driftfile /x\n"},
			"/etc/ntpsec/ntp.d/hostguard.conf", "server a iburst\n", "",
		},
		{"OpenNTPD", Servers{host.OpenNTPD, "openntpd.service", "/etc/openntpd/ntpd.conf", []string{"a"}}, nil, "", "", "no folder of drop-ins"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for name, content := range c.files {
				if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			plan := resolved(t, root, c.change)
			var path, content string
			for _, s := range plan.Steps {
				if s.Kind == filestate.FileKind.Name {
					after, err := remediate.Decode[filestate.State](s.After)
					if err != nil {
						t.Fatal(err)
					}
					path, content = s.Target, string(after.Content)
				}
			}
			if path != c.path || !strings.HasSuffix(content, c.line) || path == "" && content != "" {
				t.Errorf("%q is written to %q, want %q in %q", content, path, c.line, c.path)
			}
			var told string
			for _, task := range plan.Person {
				told += task.Does
			}
			if (told == "") != (c.told == "") || !strings.Contains(told, c.told) {
				t.Errorf("a person is told %q, want %q", told, c.told)
			}
		})
	}
}

// A daemon that cannot be enabled takes the clock from nobody.
func TestNobodyLosesTheClockToADaemonThatCannotBeEnabled(t *testing.T) {
	t.Parallel()
	for install, steps := range map[string]int{"WantedBy=multi-user.target": 2, "WantedBy=nothing.target": 0} {
		root := t.TempDir()
		units := filepath.Join(root, "usr/lib/systemd/system")
		wants := filepath.Join(root, "etc/systemd/system/multi-user.target.wants")
		for _, dir := range []string{units, wants} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for name, text := range map[string]string{
			"default.target": "[Unit]\nRequires=multi-user.target\n", "multi-user.target": "[Unit]\n",
			"chrony.service":            "[Service]\nExecStart=/x\n[Install]\n" + install + "\n",
			"systemd-timesyncd.service": "[Service]\nExecStart=/y\n[Install]\nWantedBy=multi-user.target\n",
		} {
			if err := os.WriteFile(filepath.Join(units, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("/usr/lib/systemd/system/systemd-timesyncd.service", filepath.Join(wants, "systemd-timesyncd.service")); err != nil {
			t.Fatal(err)
		}
		plan := resolved(t, root, Keep{Unit: "chrony.service", Off: []string{"systemd-timesyncd.service"}})
		if len(plan.Steps) != steps || (len(plan.Person) > 0) != (steps == 0) {
			t.Errorf("%s: %+v, a person: %+v", install, plan.Steps, plan.Person)
		}
	}
}

// resolved plans one change for a file tree.
func resolved(t *testing.T, root string, c remediate.Change) *remediate.Plan {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	remediators := []remediate.Remediator{{Check: "x", Risk: remediate.Safe, Propose: func(remediate.Case) remediate.Proposal {
		return remediate.Proposal{Changes: []remediate.Change{c}}
	}}}
	findings := []checks.Finding{{Rule: "X-001", Verdict: checks.Verdict{Status: checks.Fail}}}
	same := func(string) string { return "x" }
	wishes := remediate.Collect(findings, same, same, remediators, nil, nil)
	plan, err := remediate.Resolve(t.Context(), host.New(host.Options{Root: root}), wishes)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}
