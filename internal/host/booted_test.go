package host

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/lab"
)

// inside makes this test program, copied into a test host, print what it sees
// there.
var inside = flag.Bool("inside", false, "print the facts of the host this runs on, as JSON")

// sight is what is seen inside.
type sight struct {
	Units     map[string]Unit
	All       []Unit
	AtBoot    map[string]string
	FileState map[string]string
	Sockets   []Socket
	Processes map[int]Process
	Errors    []string
}

// TestPrintSight is the part of TestBootedHost that runs inside the host.
func TestPrintSight(t *testing.T) {
	if !*inside {
		t.Skip("runs inside a test host only")
	}
	var s sight
	note := func(err error) {
		if err != nil {
			s.Errors = append(s.Errors, err.Error())
		}
	}
	h := New(Options{})
	var err error
	s.All, err = h.AllUnits(t.Context())
	note(err)
	files, err := h.UnitFiles(t.Context())
	note(err)
	s.AtBoot, s.FileState = files.AtBoot(), make(map[string]string)
	var names []string
	for _, u := range s.All {
		names = append(names, u.Name)
	}
	for _, name := range files.Names() {
		u, err := files.Unit(name)
		note(err)
		s.FileState[name] = u.State
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	s.Units, err = h.Units(t.Context(), append(names, "absent.service", "sshd.service", "getty@tty7.service")...)
	note(err)
	s.Processes, err = h.Processes(t.Context())
	note(err)
	s.Sockets, err = h.Sockets(t.Context())
	note(err)
	if _, err := h.Units(t.Context(), "no unit"); err == nil {
		note(fmt.Errorf("a name that is no unit's is accepted"))
	}
	out, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("SIGHT %s\n", out)
}

// TestAskOften is the part of TestBootedHost that connects to systemd again and
// again: every second connection used to wait for ever (see wake).
func TestAskOften(t *testing.T) {
	if !*inside {
		t.Skip("runs inside a test host only")
	}
	const times = 200
	start := time.Now()
	for i := range times {
		h := New(Options{})
		if _, err := h.AllUnits(t.Context()); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		m, err := h.serviceManager(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m.conn.Close()
	}
	fmt.Printf("%v for a connection and a list\n", time.Since(start)/times)
}

// look runs TestPrintSight inside the host.
func look(t *testing.T, h *lab.Host) sight {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h.Install(self, "/root/host.test")
	out := h.Must("/root/host.test", "-test.run=^TestPrintSight$", "-test.v", "-inside")
	_, line, found := strings.Cut(out, "SIGHT ")
	line, _, _ = strings.Cut(line, "\n")
	var s sight
	if err := json.Unmarshal([]byte(line), &s); !found || err != nil {
		t.Fatalf("cannot read what was seen: %v\n%s", err, out)
	}
	for _, e := range s.Errors {
		t.Error(e)
	}
	return s
}

// TestBootedHost compares units, sockets and processes of a booted host with
// what systemctl, ss and ps say there. Hard case 34: the host has units of all
// kinds.
func TestBootedHost(t *testing.T) {
	lab.Need(t, lab.Booted)
	t.Parallel()
	host := lab.Boot(t, lab.Before(func(h *lab.Host) {
		h.WriteFile("/etc/systemd/system/enabled-only.service", "[Service]\nExecStart=/bin/false\n[Install]\nWantedBy=multi-user.target\n")
		h.WriteFile("/etc/systemd/system/active-only.service", "[Service]\nExecStart=/bin/sleep 1d\n")
		h.WriteFile("/etc/systemd/system/instance@.service", "[Service]\nExecStart=/bin/sleep 1d\n[Install]\nWantedBy=multi-user.target\n")
		h.WriteFile("/etc/systemd/system/by-alias.service", "[Service]\nExecStart=/bin/sleep 1d\n[Install]\nAlias=other-name.service\nWantedBy=multi-user.target\n")
		h.WriteFile("/etc/systemd/system/activated.socket", "[Socket]\nListenStream=127.0.0.1:7001\nListenDatagram=[::1]:7002\n[Install]\nWantedBy=sockets.target\n")
		h.WriteFile("/etc/systemd/system/activated.service", "[Service]\nExecStart=/bin/cat\nStandardInput=socket\n")
		h.WriteFile("/etc/systemd/system/often.timer", "[Timer]\nOnBootSec=1h\nOnUnitActiveSec=2h\nPersistent=true\n[Install]\nWantedBy=timers.target\n")
		h.WriteFile("/etc/systemd/system/often.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit 3'\n")
		h.WriteFile("/etc/systemd/system/broken.service", "[Service]\n")
		h.WriteFileMode("/etc/init.d/oldstyle", "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: oldstyle\n# Required-Start:\n# Required-Stop:\n# Default-Start: 2 3 4 5\n# Default-Stop:\n### END INIT INFO\nexit 0\n", 0o755)
		h.Must("ln", "-s", "../init.d/oldstyle", "/etc/rc3.d/S01oldstyle")
		h.Must("systemctl", "enable", "enabled-only.service", "instance@a.service", "by-alias.service", "activated.socket", "often.timer")
		h.Must("systemctl", "mask", "e2scrub_all.timer")
	}))
	host.Must("systemctl", "start", "active-only.service", "instance@b.service")
	host.Run("systemctl", "start", "often.service") // fails on purpose
	host.Must("systemctl", "mask", "--runtime", "fstrim.timer")
	host.Must("systemd-run", "--unit=passing", "sleep", "1d")
	host.Must("ln", "-s", "/lib/systemd/system/nftables.service", "/etc/systemd/system/multi-user.target.wants/") // enabled behind systemd's back

	s := look(t, host)
	t.Run("units as systemctl show", func(t *testing.T) { compareUnits(t, host.For(t), s) })
	t.Run("files as is-enabled", func(t *testing.T) { compareFileStates(t, host.For(t), s) })
	t.Run("kinds of units", func(t *testing.T) { knownUnits(t, s) })
	t.Run("sockets as ss", func(t *testing.T) { compareSockets(t, host.For(t), s) })
	t.Run("processes as ps", func(t *testing.T) { compareProcesses(t, host.For(t), s) })

	t.Run("systemd answers every time", func(t *testing.T) {
		out := host.For(t).Must("/root/host.test", "-test.run=^TestAskOften$", "-test.v", "-inside")
		t.Log(strings.TrimSpace(out))
	})

	host.Reboot()
	t.Run("what starts at boot", func(t *testing.T) { compareBoot(t, host.For(t), s) })
}

// show is systemctl's word on all units, by name.
func show(t *testing.T, host *lab.Host, names []string) map[string]map[string]string {
	t.Helper()
	out := host.Must(append([]string{"systemctl", "show", "--timestamp=us+utc", "--property=Names,Id,LoadState,ActiveState,SubState,FragmentPath," +
		"UnitFileState,DropInPaths,TriggeredBy,ActiveEnterTimestampMonotonic,MainPID,Result,ExecMainStatus,LastTriggerUSec", "--"}, names...)...)
	all := make(map[string]map[string]string)
	for i, block := range strings.Split(strings.TrimSpace(out), "\n\n") {
		props := make(map[string]string)
		for line := range strings.Lines(block) {
			key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			props[key] = value
		}
		all[names[i]] = props
	}
	return all
}

func compareUnits(t *testing.T, host *lab.Host, s sight) {
	var names []string
	for name := range s.Units {
		if !strings.Contains(name, "@.") { // systemctl does not show templates
			names = append(names, name)
		}
	}
	slices.Sort(names)
	wanted := show(t, host, names)
	for _, name := range names {
		u, want := s.Units[name], wanted[name]
		got := map[string]string{
			"Id": u.ID, "LoadState": u.LoadState, "ActiveState": u.ActiveState, "SubState": u.SubState,
			"FragmentPath": u.FragmentPath, "DropInPaths": strings.Join(u.DropInPaths, " "),
			"TriggeredBy": strings.Join(u.TriggeredBy, " "), "ActiveEnterTimestampMonotonic": fmt.Sprint(u.ActiveEnterMonotonic.Microseconds()),
		}
		if u.LoadState == "not-found" {
			delete(got, "TriggeredBy") // not asked for
		}
		if u.Service != nil {
			got["MainPID"], got["Result"], got["ExecMainStatus"] = strconv.Itoa(u.Service.MainPID), u.Service.Result, strconv.Itoa(u.Service.ExecMainStatus)
		}
		for key, value := range got {
			if value != want[key] && !strings.HasSuffix(name, ".device") {
				t.Errorf("%s: %s is %q, systemctl says %q", name, key, value, want[key])
			}
		}
	}
	t.Logf("%d units compared", len(names))
}

func compareFileStates(t *testing.T, host *lab.Host, s sight) {
	out := host.Must("systemctl", "list-unit-files", "--no-legend", "--no-pager", "--full")
	compared := 0
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		name, want := f[0], f[1]
		if got := s.FileState[name]; got != want {
			t.Errorf("%s: the files say %q, systemctl %q", name, got, want)
		}
		// D-Bus tells an alias as the unit it stands for.
		if got := s.Units[name].UnitFileState; got != want && want != "alias" && want != "transient" {
			t.Errorf("%s: over D-Bus %q, systemctl %q", name, got, want)
		}
		compared++
	}
	t.Logf("%d unit files compared", compared)
}

func knownUnits(t *testing.T, s sight) {
	for _, test := range []struct {
		name          string
		load          string
		active        bool
		fileState     string
		startedAtBoot bool
	}{
		{"enabled-only.service", "loaded", false, "enabled", true},
		{"active-only.service", "loaded", true, "static", false},
		{"instance@a.service", "loaded", true, "enabled", true},
		{"instance@b.service", "loaded", true, "disabled", false},
		{"instance@.service", "template", false, "indirect", false},
		{"by-alias.service", "loaded", true, "enabled", true},
		{"other-name.service", "loaded", true, "enabled", false}, // D-Bus answers with by-alias.service
		{"activated.socket", "loaded", true, "enabled", true},
		{"activated.service", "loaded", false, "static", false},
		{"often.timer", "loaded", true, "enabled", true},
		{"e2scrub_all.timer", "masked", false, "masked", false},
		{"fstrim.timer", "masked", false, "masked-runtime", true}, // the mask does not outlive a boot
		{"broken.service", "bad-setting", false, "static", false},
		{"oldstyle.service", "loaded", true, "generated", true},
		{"passing.service", "loaded", true, "transient", false},
		{"nftables.service", "loaded", false, "enabled", true},
		{"absent.service", "not-found", false, "", false},
		{"getty@tty7.service", "loaded", false, "disabled", false},
	} {
		u := s.Units[test.name]
		_, boot := s.AtBoot[test.name]
		if u.LoadState != test.load || u.Active() != test.active || u.UnitFileState != test.fileState || boot != test.startedAtBoot {
			t.Errorf("%s: load %q, active %v, file %q, at boot %v; want %q, %v, %q, %v", test.name,
				u.LoadState, u.Active(), u.UnitFileState, boot, test.load, test.active, test.fileState, test.startedAtBoot)
		}
	}
	often := s.Units["often.service"]
	if often.Service == nil || often.Service.Result != "exit-code" || often.Service.ExecMainStatus != 3 || often.Service.ExecMainExit.IsZero() {
		t.Errorf("often.service: %+v", often.Service)
	}
	timer := s.Units["often.timer"].Timer
	if timer == nil || timer.Unit != "often.service" || !timer.Persistent || timer.NextElapse.IsZero() ||
		timer.Monotonic["OnUnitActiveSec"] != 2*time.Hour || timer.Monotonic["OnBootSec"] != time.Hour {
		t.Errorf("often.timer: %+v", timer)
	}
	if socket := s.Units["activated.socket"].Socket; socket == nil || len(socket.Listen) != 2 {
		t.Errorf("activated.socket: %+v", socket)
	}
	if by := s.Units["activated.service"].TriggeredBy; !slices.Equal(by, []string{"activated.socket"}) {
		t.Errorf("activated.service is activated by %q", by)
	}
}

var ssHolder = regexp.MustCompile(`pid=(\d+)`)

func compareSockets(t *testing.T, host *lab.Host, s sight) {
	want := make(map[string][]int)
	for line := range strings.Lines(host.Must("ss", "-Hlntup")) {
		f := strings.Fields(line)
		var pids []int
		for _, m := range ssHolder.FindAllStringSubmatch(line, -1) {
			pid, _ := strconv.Atoi(m[1])
			pids = append(pids, pid)
		}
		slices.Sort(pids)
		want[f[0]+" "+f[4]] = slices.Compact(pids)
	}
	got := make(map[string]bool)
	for _, socket := range s.Sockets {
		name := socket.ssForm()
		got[name] = true
		if !slices.Equal(socket.PIDs, want[name]) {
			t.Errorf("%s: held by %v, ss says %v", name, socket.PIDs, want[name])
		}
		switch socket.Local.Port() {
		case 7001, 7002:
			if socket.Unit != "activated.socket" {
				t.Errorf("%s: of unit %q, want activated.socket", name, socket.Unit)
			}
		case 22:
			if socket.Unit != "ssh.service" || socket.Exe != "/usr/sbin/sshd" {
				t.Errorf("%s: %s of unit %q", name, socket.Exe, socket.Unit)
			}
		}
	}
	for name := range want {
		if !got[name] {
			t.Errorf("%s is not seen", name)
		}
	}
	t.Logf("%d sockets compared", len(want))
}

func compareProcesses(t *testing.T, host *lab.Host, s sight) {
	compared := 0
	for line := range strings.Lines(host.Must("ps", "-eo", "pid=,ppid=,euid=,unit=,comm=")) {
		f := strings.Fields(line)
		pid, _ := strconv.Atoi(f[0])
		p, seen := s.Processes[pid]
		if !seen { // started since, ps itself among them
			continue
		}
		got := fmt.Sprintf("%d %d %s", p.PPID, p.UID, p.Comm)
		want := fmt.Sprintf("%s %s %s", f[1], f[2], strings.Join(f[4:], " "))
		if got != want || f[3] != "-" && f[3] != p.Unit {
			t.Errorf("process %d: %s of %q, ps says %s of %q", pid, got, p.Unit, want, f[3])
		}
		compared++
	}
	if compared < 10 {
		t.Errorf("only %d processes compared", compared)
	}
	ssh := s.Units["ssh.service"]
	p := s.Processes[ssh.Service.MainPID]
	if d := ssh.ActiveEnterMonotonic - p.Start; d < -10*time.Millisecond || d > 5*time.Second {
		t.Errorf("sshd started %v before its unit was active", d)
	}
}

// compareBoot holds what the files said before a reboot against what the boot
// then really started.
func compareBoot(t *testing.T, host *lab.Host, before sight) {
	after := look(t, host)
	for _, u := range after.All {
		kind := u.Name[strings.LastIndexByte(u.Name, '.'):]
		if !slices.Contains([]string{".service", ".socket", ".timer", ".path"}, kind) {
			continue
		}
		if _, foretold := before.AtBoot[u.Name]; foretold || !u.Active() {
			continue
		}
		started := after.Units[u.Name]
		bus := slices.Contains([]string{"systemd-hostnamed.service", "polkit.service"}, u.Name)
		if len(started.TriggeredBy) == 0 && !bus && !strings.HasPrefix(u.Name, "user") && !strings.HasPrefix(u.Name, "console-getty") {
			t.Errorf("%s was started by the boot, and the files did not say so", u.Name)
		}
	}
	for name, by := range before.AtBoot {
		if u, loaded := after.Units[name]; loaded && u.LoadState == "not-found" {
			t.Errorf("%s was to be started by %s, and systemd does not know it", name, by)
		}
	}
}
