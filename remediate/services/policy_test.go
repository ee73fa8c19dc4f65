package services

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/checks/services"
	"github.com/hostguard/hostguard/internal/config"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/unitfile"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/rules"
)

func TestWhatIsNeverStopped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ unit, kind, why string }{
		{"nginx.service", "web", ""},
		{"cups.path", "print", ""},
		{"anything.timer", "", ""},
		{"ssh.service", "", "people get in"},
		{"ssh@3-192.0.2.1:22-192.0.2.7:5000.service", "", "people get in"},
		{"sshd.socket", "", "people get in"},
		{"docker.socket", "", "connector"},
		{"containerd.service", "", "connector"},
		{"systemd-networkd.socket", "", "system"},
		{"systemd-resolved.service", "", "system"},
		{"NetworkManager-dispatcher.service", "", "network"},
		{"ifup@eth0.service", "", "network"},
		{"keepalived.service", "network", "network"},
		{"netfilter-persistent.service", "", "firewall"},
		{"rsyslog.service", "", "audit"},
		{"chrony.service", "", "clock"},
		{"dbus.socket", "", "system"},
		{"getty@tty1.service", "", "logins"},
		{"sssd-nss.socket", "", "logins"},
		{"slapd.service", "network", "logins"},
		{"winbind.service", "files", "logins"},
		{"iscsid.socket", "", "disks"},
		{"cron.service", "", "scheduled"},
		{"qemu-guest-agent.service", "", "hypervisor"},
		{"hostguard-check.timer", "", "hostguard"},
		{"openvpn@office.service", "remote", "somebody may reach"},
		{"tailscaled.service", "remote", "somebody may reach"},
		{"inetd.service", "remote", "somebody may reach"},
		{"libvirtd.service", "containers", "what it runs"},
		{"podman-restart.service", "containers", ""},
	} {
		if why := kept(c.unit, c.kind); (why == "") != (c.why == "") || !strings.Contains(why, c.why) {
			t.Errorf("%s (%s) is kept because %q, want %q", c.unit, c.kind, why, c.why)
		}
	}
}

// A finding about where a unit listens says nothing of its kind: the way in over
// a VPN must not go for that.
func TestAWayInIsKeptWhateverFindsIt(t *testing.T) {
	t.Parallel()
	running := &uses{processes: map[int]host.Process{
		7: {PID: 7, Unit: "corporate.service", Exe: "/usr/sbin/openvpn"},
		8: {PID: 8, Unit: "site.service", Exe: "/usr/sbin/nginx"},
		9: {PID: 9, Unit: "jobs.service", Exe: "/usr/bin/kubelet (deleted)"},
	}}
	for name, want := range map[string]string{
		"tailscaled.service": "somebody may reach", "openvpn@office.service": "somebody may reach", "libvirtd.socket": "what it runs",
		"corporate.service": "openvpn runs in it, and somebody may reach", "jobs.service": "kubelet runs in it, and what it runs",
		"site.service": "", "nginx.service": "", "podman.service": "",
	} {
		if why, err := keptByKind(running, name); err != nil || !strings.Contains(why, want) || (why == "") != (want == "") {
			t.Errorf("%s is kept because %q (%v), want %q", name, why, err, want)
		}
	}
}

// Whatever the rules list as belonging to a host because it is the network,
// Docker, SSH … a finding of another rule must not stop.
func TestTheRulesOwnListIsNeverStopped(t *testing.T) {
	t.Parallel()
	var params struct {
		Allow   map[string]string `yaml:"allow"`
		Allowed []string          `yaml:"allowed"`
	}
	if err := rules.Embedded().Rule("SVC-010").Params.Decode(&params); err != nil {
		t.Fatal(err)
	}
	// Reasons whose units may well be stopped when they listen to the network.
	open := []string{"keyboard, console", "processors and memory", "manual pages", "devices, disks", "software updates", "security", "firewall", "identity", "systemd and the base", "network set-up", "cloud or hypervisor", "message bus"}
	for why, names := range params.Allow {
		for _, name := range strings.Fields(names) {
			loose := false
			for _, o := range open {
				loose = loose || strings.Contains(why, o)
			}
			if unit := strings.TrimSuffix(name, "*") + ".service"; !loose && kept(strings.ReplaceAll(unit, "@.", "@x."), "") == "" {
				t.Errorf("%s belongs to the host (%s), but would be stopped", name, why)
			}
		}
	}
}

func TestProposals(t *testing.T) {
	t.Parallel()
	finding := func(r services.Repair) remediate.Case {
		return remediate.Case{
			Finding: checks.Finding{Verdict: checks.Verdict{Status: checks.Fail, Repair: r}},
			Config:  &config.Config{Services: config.Services{Allow: []config.Unit{"node_exporter.service"}}},
		}
	}
	p := propose(finding(services.Repair{
		Units:  []string{"cups.service", "node_exporter.service", "ssh.service"},
		Others: []string{"process 7, /usr/bin/python3"},
	}))
	if len(p.Changes) != 1 || len(p.Changes[0].(Disable).Units) != 1 || p.Changes[0].(Disable).Units[0] != "cups.service" {
		t.Errorf("changes: %+v", p.Changes)
	}
	said := strings.Join(p.Person, "\n")
	for _, part := range []string{"node_exporter.service is allowed", "ssh.service is left as it is", "no unit is behind process 7"} {
		if !strings.Contains(said, part) {
			t.Errorf("nobody is told %q: %s", part, said)
		}
	}
	if p := propose(remediate.Case{}); len(p.Changes)+len(p.Person) > 0 {
		t.Errorf("a finding that says nothing: %+v", p)
	}
}

func TestUnitsThatSetUpTheHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, content string
		known         bool
		why           string
	}{
		{"a server", "[Service]\nExecStart=/usr/bin/server --mount x\n", false, ""},
		{"a script of set-up", "[Service]\nType=oneshot\nExecStart=/root/x.sh\n", false, "sets something up"},
		{"early", "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/root/x\n", false, "early boot"},
		{"before the network", "[Unit]\nBefore=network-pre.target\n[Service]\nExecStart=/root/x\n", false, "network-pre.target"},
		{"before sshd", "[Unit]\nBefore=foo.service ssh.service\n[Service]\nExecStart=/root/x\n", false, "ssh.service"},
		{"a tunnel", "[Service]\nExecStart=/usr/bin/autossh -M0 -R 22:localhost:22 jump\n", false, "autossh"},
		{"a tunnel in a shell", "[Service]\nExecStart=/bin/sh -c 'exec ssh -R 22:localhost:22 jump'\n", false, "ssh"},
		{"a route at the end", "[Service]\nExecStart=/root/x\nExecStopPost=-/sbin/ip route del 10.0.0.0/8\n", false, "ip"},
		{"a firewall in a known server", "[Service]\nExecStart=/usr/sbin/nginx\nExecStartPost=+/usr/sbin/nft -f /etc/x\n", true, "nft"},
		{"compose", "[Service]\nExecStart=/usr/bin/docker compose up\n", false, "docker"},
		{"sshd under another name", "[Service]\nExecStart=/usr/sbin/sshd -D -f /etc/ssh/other\n", false, "sshd"},
		{"a known server that is oneshot", "[Service]\nType=oneshot\nExecStart=/usr/bin/x\n", true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			dir := filepath.Join(root, "/etc/systemd/system")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, content := range map[string]string{"x.service": c.content, "default.target": "[Unit]\n"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			files, err := unitfile.Open(host.New(host.Options{Root: root}))
			if err != nil {
				t.Fatal(err)
			}
			why, err := setsUp(files, "x.service", c.known)
			if err != nil || (why == "") != (c.why == "") || !strings.Contains(why, c.why) {
				t.Errorf("%q, %v; want %q", why, err, c.why)
			}
		})
	}
}

// What a socket, timer or path starts counts as its own.
func TestWhatAnActivatorStarts(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, "/etc/systemd/system")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"default.target":  "[Unit]\n",
		"remote.socket":   "[Socket]\nListenStream=22\nAccept=yes\n",
		"remote@.service": "[Service]\nExecStart=-/usr/sbin/sshd -i\n",
		"back.timer":      "[Timer]\nOnCalendar=daily\nUnit=up.service\n",
		"up.service":      "[Service]\nExecStart=/usr/bin/ssh -NR 22:localhost:22 jump\n",
		"talk.socket":     "[Socket]\nListenStream=/run/talk\n",
		"talk.service":    "[Service]\nExecStart=/usr/bin/talkd\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := unitfile.Open(host.New(host.Options{Root: root}))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"remote.socket": "runs sshd", "back.timer": "runs ssh", "talk.socket": ""} {
		why, err := setsUp(files, name, false)
		if err != nil || (why == "") != (want == "") || !strings.Contains(why, want) {
			t.Errorf("%s: %q, %v; want %q", name, why, err, want)
		}
	}
}

func TestWhoUsesAUnit(t *testing.T) {
	t.Parallel()
	at := netip.MustParseAddrPort
	connect := func(u *uses, inode uint64, local, remote string, pid int) {
		u.ends[ends{at(local), at(remote)}] = inode
		u.byInode[inode] = pid
	}
	u := &uses{
		processes: map[int]host.Process{
			10: {PID: 10, Unit: "tunnel.service", Exe: "/usr/bin/ssh"},
			11: {PID: 11, Unit: "ssh.service", Exe: "/usr/sbin/sshd"},
			20: {PID: 20, Unit: "db.service", Exe: "/usr/sbin/mysqld"},
			21: {PID: 21, Unit: "docker-x.scope", Container: strings.Repeat("ab", 32)},
			30: {PID: 30, Unit: "bridge.service"},
			40: {PID: 40, Unit: "lonely.service"},
			50: {PID: 50, Unit: "socketed.service"},
			60: {PID: 60, Unit: "remote.service", Exe: "/usr/sbin/sshd"},
		},
		ancestors:  map[string]bool{"provision.service": true},
		byInode:    map[uint64]int{7: 50},
		ends:       map[ends]uint64{},
		bridges:    []netip.Prefix{netip.MustParsePrefix("172.17.0.1/16")},
		listening:  map[string]uint64{"/run/socketed/s": 7},
		containers: []host.Container{{Name: "web", Mounts: []host.ContainerMount{{Source: "/var/run/socketed"}, {Source: "/run/other.sock"}, {Source: "/"}}}},
	}
	connect(u, 1, "127.0.0.1:40000", "127.0.0.1:22", 10)
	connect(u, 2, "127.0.0.1:22", "127.0.0.1:40000", 11)
	connect(u, 3, "192.0.2.1:3306", "192.0.2.1:50000", 20)
	connect(u, 4, "192.0.2.1:50000", "192.0.2.1:3306", 21)
	connect(u, 5, "172.17.0.1:8000", "172.17.0.9:1234", 30)
	connect(u, 6, "192.0.2.1:9000", "198.51.100.1:1234", 40)
	for _, c := range []struct {
		unit    string
		listens []string
		why     string
	}{
		{"provision.service", nil, "hostguard itself"},
		{"tunnel.service", nil, "SSH login (process 11)"},
		{"db.service", nil, "container abababababab is connected"},
		{"bridge.service", nil, "172.17.0.9:1234"},
		{"lonely.service", nil, ""},
		{"remote.service", nil, "process 60 is sshd"},
		{"socketed.service", nil, "/run/socketed/s mounted"},
		{"other.socket", []string{"/run/other.sock", "[::]:80"}, "/run/other.sock mounted"},
		{"free.socket", []string{"/run/free.sock"}, ""},
	} {
		if why := u.of(c.unit, c.listens); (why == "") != (c.why == "") || !strings.Contains(why, c.why) {
			t.Errorf("%s: %q, want %q", c.unit, why, c.why)
		}
	}
}

// What this machine shows can be read, its own connection included.
func TestUsesOfThisMachine(t *testing.T) {
	t.Parallel()
	u := &uses{byInode: map[uint64]int{}, ends: map[ends]uint64{}, listening: map[string]uint64{}}
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		if err := u.readConnections(file); err != nil {
			t.Error(err)
		}
	}
	if err := u.readListening("/proc/self/net/unix"); err != nil {
		t.Error(err)
	}
	if _, err := dockerBridges(); err != nil {
		t.Error(err)
	}
}

func FuzzParseEnd(f *testing.F) {
	f.Add("0100007F:0016")
	f.Add("00000000000000000000000001000000:1F90")
	f.Fuzz(func(t *testing.T, text string) {
		end, err := parseEnd(text)
		if err == nil && !end.IsValid() {
			t.Errorf("%q is read as %v", text, end)
		}
	})
}

func TestParseEnd(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0100007F:0016":                         "127.0.0.1:22",
		"0000000000000000FFFF00000100007F:1F90": "127.0.0.1:8080",
		"00000000000000000000000001000000:1F90": "[::1]:8080",
	} {
		if got, err := parseEnd(text); err != nil || littleEndian && got.String() != want {
			t.Errorf("%s is %v, %v; want %s", text, got, err, want)
		}
	}
}
