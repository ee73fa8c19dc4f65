package services

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/quantity"
	"github.com/hostguard/hostguard/internal/unitfile"
	"github.com/hostguard/hostguard/rules"
)

// table is the table of known servers.
func table(t testing.TB) *knownServers {
	t.Helper()
	k, err := known()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// paramsOf decodes the parameters of an embedded rule.
func paramsOf(t testing.TB, id string, into any) {
	t.Helper()
	rule := rules.Embedded().Rule(id)
	if rule == nil {
		t.Fatalf("there is no rule %s", id)
	}
	if err := rule.Params.Decode(into); err != nil {
		t.Fatal(err)
	}
	if v, ok := into.(checks.Validator); ok {
		if err := v.Validate(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKnownServers(t *testing.T) {
	t.Parallel()
	k := table(t)
	for name, want := range map[string]string{
		"nginx.service": "web", "apache2@site.service": "web", "php8.2-fpm.service": "web", "tomcat10.service": "web",
		"postgresql@15-main.service": "database", "postgresql-16.service": "database", "mariadb.service": "database",
		"exim4.service": "mail", "dovecot.socket": "mail", "cups.path": "print", "cups.socket": "print", "smbd.service": "files",
		"nfs-server.service": "files", "rpcbind.socket": "files", "gdm3.service": "desktop", "vncserver@:1.service": "desktop",
		"telnet.socket": "remote", "telnet@1.service": "remote", "dropbear.service": "", "avahi-daemon.socket": "network", "named.service": "network",
		"podman.socket": "containers", "snap.lxd.daemon.service": "containers",
		"ssh.service": "", "docker.service": "", "containerd.service": "", "cron.service": "", "systemd-resolved.service": "", "nginx-x.service": "",
	} {
		if got := k.unit(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for program, want := range map[string]string{
		"/usr/sbin/nginx": "web", "/usr/sbin/nginx (deleted)": "web", "/opt/x/mysqld": "database", "/usr/sbin/php-fpm8.2": "web",
		"/usr/sbin/sshd": "", "/usr/bin/dockerd": "", "": "", "/usr/bin/java": "",
	} {
		if got := k.program(program); got != want {
			t.Errorf("%s: %q, want %q", program, got, want)
		}
	}
}

// Every word of the table has one kind, or a host's verdict would hang on the
// order of a map; and no word is what the host needs.
func TestKnownTable(t *testing.T) {
	t.Parallel()
	k := table(t)
	var p strayParams
	paramsOf(t, "SVC-010", &p)
	belongs, err := p.matcher()
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]string{}
	for name, kind := range k.kinds {
		for _, w := range kind.Units {
			if other, twice := of["unit "+w]; twice {
				t.Errorf("unit %s is %s and %s", w, other, name)
			}
			of["unit "+w] = name
			if belongs.names.match(w) != "" {
				t.Errorf("unit %s is a %s, and SVC-010 says that it belongs to the host", w, kind.Title)
			}
		}
		for _, w := range kind.Programs {
			if other, twice := of["program "+w]; twice {
				t.Errorf("program %s is %s and %s", w, other, name)
			}
			of["program "+w] = name
		}
	}
	for why, names := range p.Allow {
		for _, w := range names {
			if kind := k.unit(w + ".service"); kind != "" {
				t.Errorf("%s: %s is of kind %s", why, w, kind)
			}
		}
	}
}

func up(name string) unit {
	return unit{name: name, live: host.Unit{ID: name, ActiveState: "active", SubState: "running"}, file: unitfile.Unit{Name: name, Path: "/lib/systemd/system/" + name}}
}

func atBoot(name string) unit {
	return unit{name: name, boot: "/etc/systemd/system/multi-user.target.wants/" + name, file: unitfile.Unit{Name: name, Path: "/lib/systemd/system/" + name}}
}

func TestJudgeServers(t *testing.T) {
	t.Parallel()
	nginx := host.Process{PID: 7, Exe: "/usr/sbin/nginx", Unit: "nginx.service"}
	byHand := host.Process{PID: 8, Exe: "/opt/nginx (deleted)", Unit: "session-3.scope"}
	unseen := host.Process{PID: 9, Comm: "x", Hidden: true}
	blind := errors.New("systemd does not answer")
	for name, test := range map[string]struct {
		units     []unit
		processes []host.Process
		allowed   []string
		blind     error
		want      checks.Status // 0: an error
		reason    string
		sources   string
	}{
		"nothing":                      {units: []unit{up("ssh.service")}, want: checks.Pass},
		"active":                       {units: []unit{up("nginx.service")}, processes: []host.Process{nginx}, want: checks.Fail, reason: "nginx.service", sources: "/lib/systemd/system/nginx.service"},
		"starts at boot":               {units: []unit{atBoot("nginx.service")}, want: checks.Fail, reason: "nginx.service", sources: "/lib/systemd/system/nginx.service"},
		"socket alone":                 {units: []unit{up("uwsgi.socket")}, want: checks.Fail, reason: "uwsgi.socket", sources: "/lib/systemd/system/uwsgi.socket"},
		"of another kind":              {units: []unit{up("cups.service")}, want: checks.Pass},
		"started by hand":              {processes: []host.Process{byHand, byHand}, want: checks.Fail, reason: "/opt/nginx (deleted)", sources: "/opt/nginx (deleted)"},
		"allowed":                      {units: []unit{up("nginx.service")}, processes: []host.Process{nginx}, allowed: []string{"nginx.service"}, want: checks.Pass},
		"allowed by pattern":           {units: []unit{up("nginx.service")}, allowed: []string{"ng*.service"}, want: checks.Pass},
		"allowed, and another by hand": {units: []unit{up("nginx.service")}, processes: []host.Process{nginx, byHand}, allowed: []string{"nginx.service"}, want: checks.Fail, reason: "/opt/nginx (deleted)", sources: "/opt/nginx (deleted)"},
		"systemd does not answer":      {units: []unit{up("ssh.service")}, blind: blind},
		"found though blind":           {units: []unit{atBoot("nginx.service")}, blind: blind, want: checks.Fail, reason: "nginx.service", sources: "/lib/systemd/system/nginx.service"},
		"a program cannot be seen":     {processes: []host.Process{unseen}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := judgeServers(table(t), test.units, test.processes, serverParams{Kind: "web", Allowed: test.allowed}, test.blind)
			checkVerdict(t, v, err, test.want, test.reason, test.sources)
		})
	}
}

// checkVerdict holds a verdict against what is wanted; want 0 is an error.
func checkVerdict(t *testing.T, v checks.Verdict, err error, want checks.Status, reason, sources string) {
	t.Helper()
	if v.Status != want || (err != nil) != (want == 0) || !strings.Contains(v.Reason, reason) {
		t.Errorf("got %v, %q, error %v; want %v, %q", v.Status, v.Reason, err, want, reason)
	}
	var got []string
	for _, e := range v.Evidence {
		if e.Source == "" || e.Key == "" || e.Got == "" {
			t.Errorf("evidence %+v does not name place, key and got", e)
		}
		if v.Status == checks.Fail {
			got = append(got, e.Source)
			if e.Want == "" {
				t.Errorf("evidence %+v does not say what was wanted", e)
			}
		}
	}
	if s := strings.Join(got, ", "); s != sources {
		t.Errorf("evidence at %q, want %q", s, sources)
	}
}

func TestJudgeStrayUnits(t *testing.T) {
	t.Parallel()
	placed := func(name, path string) unit {
		u := up(name)
		u.file.Path = path
		return u
	}
	var embedded strayParams
	paramsOf(t, "SVC-010", &embedded)
	for name, test := range map[string]struct {
		units   []unit
		allowed []string
		watch   string
		own     string
		blind   error
		want    checks.Status
		sources string
	}{
		"what belongs":              {units: []unit{up("ssh.service"), up("systemd-logind.service"), up("getty@tty1.service"), up("user@1000.service"), atBoot("docker.socket"), up("apt-daily.timer")}, want: checks.Pass},
		"unknown":                   {units: []unit{up("foo.service")}, want: checks.Fail, sources: "/lib/systemd/system/foo.service"},
		"unknown timer at boot":     {units: []unit{atBoot("foo.timer")}, want: checks.Fail, sources: "/lib/systemd/system/foo.timer"},
		"of a known kind":           {units: []unit{up("nginx.service")}, want: checks.Pass},                             // server-kind speaks of it
		"another SSH server":        {units: []unit{up("dropbear.socket"), up("tinysshd@1.service")}, want: checks.Pass}, // ssh-servers speaks of it
		"allowed":                   {units: []unit{up("foo.service")}, allowed: []string{"foo.service"}, want: checks.Pass},
		"the storage watch":         {units: []unit{up("df-watch.timer"), up("df-watch.service")}, watch: "df-watch.timer", want: checks.Pass},
		"not the storage watch":     {units: []unit{up("df-watch.socket")}, watch: "df-watch.timer", want: checks.Fail, sources: "/lib/systemd/system/df-watch.socket"},
		"a pattern's name in /etc":  {units: []unit{placed("systemd-evil.service", "/etc/systemd/system/systemd-evil.service")}, want: checks.Fail, sources: "/etc/systemd/system/systemd-evil.service"},
		"a full name in /etc":       {units: []unit{placed("docker.service", "/etc/systemd/system/docker.service")}, want: checks.Pass},
		"transient":                 {units: []unit{placed("run-u7.service", "/run/systemd/transient/run-u7.service")}, want: checks.Fail, sources: "/run/systemd/transient/run-u7.service"},
		"this very run":             {units: []unit{placed("run-u7.service", "/run/systemd/transient/run-u7.service"), placed("run-u7.timer", "/run/systemd/transient/run-u7.timer")}, own: "run-u7.service", want: checks.Pass},
		"this run and another":      {units: []unit{placed("run-u7.service", "/run/systemd/transient/run-u7.service"), placed("run-u8.service", "/run/systemd/transient/run-u8.service")}, own: "run-u7.service", want: checks.Fail, sources: "/run/systemd/transient/run-u8.service"},
		"run by a stray service":    {units: []unit{placed("runner.service", "/etc/systemd/system/runner.service")}, own: "runner.service", want: checks.Fail, sources: "/etc/systemd/system/runner.service"},
		"a script with such a name": {units: []unit{placed("systemd-x.service", "/run/systemd/generator.late/systemd-x.service")}, want: checks.Fail, sources: "/run/systemd/generator.late/systemd-x.service"},
		"systemd does not answer":   {units: []unit{up("ssh.service")}, blind: errors.New("no")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := strayParams{Allow: embedded.Allow, Allowed: test.allowed, Watch: storageWatch{Unit: test.watch}}
			v, err := judgeStrayUnits(table(t), test.units, nil, test.own, p, test.blind)
			checkVerdict(t, v, err, test.want, "", test.sources)
		})
	}
}

func TestJudgeListeners(t *testing.T) {
	t.Parallel()
	var embedded listenerParams
	paramsOf(t, "SVC-011", &embedded)
	id := strings.Repeat("a", 64)
	at := func(proto, addr, exe, unit string) host.Socket {
		return host.Socket{Proto: proto, Local: netip.MustParseAddrPort(addr), PID: 7, PIDs: []int{7}, Exe: exe, Genuine: true, Unit: unit}
	}
	with := func(s host.Socket, change func(*host.Socket)) host.Socket { change(&s); return s }
	ours := host.Container{ID: id, Name: "ecc-provider", State: "running", Labels: map[string]string{"com.docker.compose.project.working_dir": "/opt/tc"},
		Ports: []host.ContainerPort{{HostIP: netip.IPv4Unspecified(), HostPort: 8090, ContainerPort: 8449, Protocol: "tcp"}, {ContainerPort: 9000, Protocol: "tcp"}}}
	other := host.Container{ID: strings.Repeat("b", 64), Name: "wiki", State: "running",
		Ports: []host.ContainerPort{{HostIP: netip.IPv4Unspecified(), HostPort: 8080, ContainerPort: 80, Protocol: "tcp"}}}
	stopped := other
	stopped.State = "exited"
	docker := listening{systemd: true, connectors: []host.Connector{{Dir: "/opt/tc"}}, containers: []host.Container{ours}}
	withOther := docker
	withOther.containers = []host.Container{ours, other}
	withStopped := docker
	withStopped.containers = []host.Container{ours, stopped}
	noDocker := listening{systemd: true, docker: errors.New("docker does not answer")}
	proxy := at("tcp", "0.0.0.0:8090", "/usr/sbin/docker-proxy", "docker.service")
	otherProxy := at("tcp", "0.0.0.0:8080", "/usr/sbin/docker-proxy", "docker.service")
	sshd := at("tcp", "0.0.0.0:22", "/usr/sbin/sshd", "ssh.service")
	nginx := at("tcp", "0.0.0.0:80", "/usr/sbin/nginx", "nginx.service")

	for name, test := range map[string]struct {
		seen    listening
		sockets []host.Socket
		ports   []quantity.PortRange
		strict  bool
		want    checks.Status
		sources string
	}{
		"nothing listens":         {want: checks.Pass},
		"sshd":                    {seen: docker, sockets: []host.Socket{sshd}, want: checks.Pass},
		"sshd on another port":    {seen: docker, sockets: []host.Socket{at("tcp", "[::]:2222", "/usr/sbin/sshd", "ssh.service")}, want: checks.Pass},
		"sshd in a user session":  {seen: docker, sockets: []host.Socket{at("tcp", "0.0.0.0:2222", "/usr/sbin/sshd", "session-3.scope")}, want: checks.Fail, sources: "tcp 0.0.0.0:2222"},
		"sshd without systemd":    {sockets: []host.Socket{at("tcp", "0.0.0.0:22", "/usr/sbin/sshd", "")}, want: checks.Pass},
		"sshd replaced on disk":   {seen: docker, sockets: []host.Socket{at("tcp", "0.0.0.0:22", "/usr/sbin/sshd (deleted)", "ssh.service")}, want: checks.Pass},
		"ssh.socket":              {seen: docker, sockets: []host.Socket{at("tcp", "[::]:22", "/usr/lib/systemd/systemd", "ssh.socket")}, want: checks.Pass},
		"another socket unit":     {seen: docker, sockets: []host.Socket{at("tcp", "[::]:631", "/usr/lib/systemd/systemd", "cups.socket")}, want: checks.Fail, sources: "tcp [::]:631"},
		"web server":              {seen: docker, sockets: []host.Socket{sshd, nginx}, want: checks.Fail, sources: "tcp 0.0.0.0:80"},
		"allowed port":            {seen: docker, sockets: []host.Socket{nginx}, ports: []quantity.PortRange{{From: 80, To: 80, Proto: "tcp"}}, want: checks.Pass},
		"allowed for udp only":    {seen: docker, sockets: []host.Socket{nginx}, ports: []quantity.PortRange{{From: 80, To: 80, Proto: "udp"}}, want: checks.Fail, sources: "tcp 0.0.0.0:80"},
		"loopback":                {seen: docker, sockets: []host.Socket{at("tcp", "127.0.0.1:5432", "/usr/bin/postgres", "")}, want: checks.Pass},
		"loopback as v4 in v6":    {seen: docker, sockets: []host.Socket{at("tcp", "[::ffff:127.0.0.1]:5432", "/usr/bin/postgres", "")}, want: checks.Pass},
		"loopback counts":         {seen: docker, sockets: []host.Socket{at("tcp", "[::1]:5432", "/usr/bin/postgres", "")}, strict: true, want: checks.Fail, sources: "tcp [::1]:5432"},
		"DHCP client":             {seen: docker, sockets: []host.Socket{at("udp", "0.0.0.0:68", "/usr/sbin/dhclient", "networking.service")}, want: checks.Pass},
		"DHCP client elsewhere":   {seen: docker, sockets: []host.Socket{at("udp", "0.0.0.0:69", "/usr/sbin/dhclient", "")}, want: checks.Fail, sources: "udp 0.0.0.0:69"},
		"the kernel's own":        {seen: docker, sockets: []host.Socket{with(at("udp", "0.0.0.0:51820", "", ""), func(s *host.Socket) { s.PID, s.PIDs, s.Unheld = 0, nil, true })}, want: checks.Fail, sources: "udp 0.0.0.0:51820"},
		"holder unseen":           {seen: docker, sockets: []host.Socket{with(at("tcp", "0.0.0.0:2024", "", ""), func(s *host.Socket) { s.PID, s.PIDs, s.Hidden = 0, nil, "no" })}},
		"unseen, and one stray":   {seen: docker, sockets: []host.Socket{nginx, with(at("tcp", "0.0.0.0:2024", "", ""), func(s *host.Socket) { s.PID, s.PIDs, s.Hidden = 0, nil, "no" })}, want: checks.Fail, sources: "tcp 0.0.0.0:80"},
		"unseen, port allowed":    {seen: docker, sockets: []host.Socket{with(at("tcp", "0.0.0.0:2024", "", ""), func(s *host.Socket) { s.PID, s.PIDs, s.Hidden = 0, nil, "no" })}, ports: []quantity.PortRange{{From: 2000, To: 2100, Proto: "tcp"}}, want: checks.Pass},
		"connector's port":        {seen: docker, sockets: []host.Socket{proxy}, want: checks.Pass},
		"another container's":     {seen: withOther, sockets: []host.Socket{proxy, otherProxy}, want: checks.Fail, sources: "tcp 0.0.0.0:8080"},
		"without userland proxy":  {seen: withOther, want: checks.Fail, sources: "tcp 0.0.0.0:8080"}, // hard case 28
		"of a stopped container":  {seen: withStopped, want: checks.Pass},
		"proxy of no container":   {seen: docker, sockets: []host.Socket{otherProxy}, want: checks.Fail, sources: "tcp 0.0.0.0:8080"},
		"proxy, docker is silent": {seen: noDocker, sockets: []host.Socket{proxy}},
		"docker is silent":        {seen: noDocker, sockets: []host.Socket{sshd}},
		"dockerd's own port":      {seen: docker, sockets: []host.Socket{at("tcp", "[::]:2375", "/usr/sbin/dockerd", "docker.service")}, want: checks.Fail, sources: "tcp [::]:2375"},
		"dockerd holds the port":  {seen: docker, sockets: []host.Socket{at("tcp", "0.0.0.0:8090", "/usr/sbin/dockerd", "docker.service")}, want: checks.Pass},
		"host network, ours":      {seen: docker, sockets: []host.Socket{with(at("tcp", "0.0.0.0:9", "/usr/sbin/nginx", ""), func(s *host.Socket) { s.Container = id })}, want: checks.Pass},
		"host network, other's":   {seen: withOther, ports: []quantity.PortRange{{From: 8080, To: 8080, Proto: "tcp"}}, sockets: []host.Socket{with(at("tcp", "0.0.0.0:9", "/usr/sbin/sshd", ""), func(s *host.Socket) { s.Container = other.ID })}, want: checks.Fail, sources: "tcp 0.0.0.0:9"},
		"sshd's path, not sshd":   {sockets: []host.Socket{with(sshd, func(s *host.Socket) { s.Genuine = false })}, want: checks.Fail, sources: "tcp 0.0.0.0:22"},
		"docker-proxy by name":    {seen: docker, sockets: []host.Socket{with(proxy, func(s *host.Socket) { s.Genuine = false })}, want: checks.Fail, sources: "tcp 0.0.0.0:8090"},
		"hostguard's own":         {sockets: []host.Socket{with(at("udp", "0.0.0.0:40000", "/opt/hostguard", "run-u1.service"), func(s *host.Socket) { s.Own = true })}, want: checks.Pass},
		"a copy of sshd":          {seen: docker, sockets: []host.Socket{at("tcp", "0.0.0.0:22", "/tmp/usr/sbin/sshd", "ssh.service")}, want: checks.Fail, sources: "tcp 0.0.0.0:22"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := test.seen
			seen.sockets = test.sockets
			v, err := judgeListeners(table(t), seen, listenerParams{Allow: embedded.Allow, Ports: test.ports, Loopback: test.strict})
			checkVerdict(t, v, err, test.want, "", test.sources)
		})
	}
}

func TestPortRange(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"22/tcp": true, "68/udp": true, "1024-65535/udp": true, "22": false, "0/tcp": false, "22/sctp": false, "70000/tcp": false,
		"9-8/tcp": false, "-/tcp": false, "": false, "x/tcp": false, "22/tcp/tcp": false,
	} {
		var p quantity.PortRange
		err := p.UnmarshalText([]byte(text))
		if (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if back, _ := p.MarshalText(); ok && string(back) != text {
			t.Errorf("%q is written back as %q", text, back)
		}
	}
}

func TestParamsRefused(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]checks.Validator{
		"unknown kind":      serverParams{Kind: "nonsense"},
		"no kind":           serverParams{},
		"bad pattern":       serverParams{Kind: "web", Allowed: []string{"["}},
		"bad allow":         strayParams{Allow: map[string]words{"x": {"["}}},
		"entry for all":     listenerParams{Allow: []listener{{Why: "x"}}},
		"entry without why": listenerParams{Allow: []listener{{Programs: words{"/x"}}}},
	} {
		if p.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Names of units and programs on the host are whatever somebody chose.
func FuzzKnown(f *testing.F) {
	f.Add("nginx@x.service")
	f.Add("/usr/sbin/php-fpm8.2 (deleted)")
	k := table(f)
	f.Fuzz(func(t *testing.T, name string) {
		for _, kind := range []string{k.unit(name), k.program(name)} {
			if _, known := k.kinds[kind]; kind != "" && !known {
				t.Errorf("%q is of the kind %q, which is none", name, kind)
			}
		}
	})
}
