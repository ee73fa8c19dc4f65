package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/reports"
)

const (
	hostilePeak    = 80 << 10         // KiB that a check may take, whatever it meets …
	crowdedPeak    = 160 << 10        // … and with a hundred thousand accounts
	hostileTimeout = 20 * time.Second // and how long, well below the usual --timeout
	secretMark     = "$6$SECRET$OF.THE.HOST"
)

// hostility is something that a host's users, or its accidents, put in the
// way of an audit. The rules in wants change, and no others.
type hostility struct {
	name  string
	meet  func(t *testing.T, h *lab.Host) (undo func())
	wants map[string]want
	says  []string // words that the text report must hold
}

// On a host that fights back every look ends in bounded time and memory, what
// could not be seen is an error that names its place, and the rest of the
// report stands.
func TestHostileHost(t *testing.T) {
	t.Parallel() // most of it waits for docker
	h := bootGood(t)
	h.Install(buildMeasure(t), "/usr/local/bin/measure")
	good, _ := measured(t, h)
	before := statuses(good)
	for _, c := range hostilities() {
		t.Run(c.name, func(t *testing.T) {
			h := h.For(t)
			defer c.meet(t, h)()
			report, text := measured(t, h)
			changed := map[string]checks.Status{}
			for rule, status := range statuses(report) {
				if status != before[rule] {
					changed[rule] = status
				}
			}
			wanted := map[string]checks.Status{}
			for rule, w := range c.wants {
				wanted[rule] = w.status
			}
			if diff := cmp.Diff(wanted, changed); diff != "" {
				t.Errorf("rules that changed (-want +got):\n%s", diff)
				for rule := range changed {
					t.Logf("%s: %s", rule, findingText(report, rule))
				}
			}
			for _, rule := range slices.Sorted(maps.Keys(c.wants)) {
				for _, words := range c.wants[rule].says {
					if said := findingText(report, rule); !strings.Contains(said, words) {
						t.Errorf("%s does not say %q:\n%s", rule, words, said)
					}
				}
			}
			for _, words := range c.says {
				if !strings.Contains(text, words) {
					t.Errorf("the text report does not say %q:\n%s", words, text)
				}
			}
			if report.Verdict != reports.NotReady {
				t.Errorf("the verdict is %s", report.Verdict)
			}
		})
	}
	t.Run("all undone", func(t *testing.T) {
		after, _ := measured(t, h.For(t))
		if diff := cmp.Diff(before, statuses(after)); diff != "" {
			t.Errorf("the host is not as it was (-before +after):\n%s", diff)
		}
	})
	t.Run("without root", func(t *testing.T) { withoutRoot(t, h.For(t)) })
}

// withoutRoot proves that nobody but root gets a pass for what only root sees.
func withoutRoot(t *testing.T, h *lab.Host) {
	result := h.Run("setpriv", "--reuid=operator", "--regid=users", "--clear-groups", "/usr/local/bin/hostguard", "check", "--format", "json")
	report := readReport(t, []byte(result.Stdout))
	for _, f := range report.Findings {
		needsNoRoot := slices.Contains([]string{"CLK-003", "DOCK-002", "HW-001", "SVC-010"}, f.Rule) || f.Status == checks.NotApplicable && f.Rule == "SSH-006"
		switch {
		case needsNoRoot:
		case f.Status != checks.Error:
			t.Errorf("%s is %v without root: %s", f.Rule, f.Status, findingText(report, f.Rule))
		case !strings.Contains(f.Error, "root"):
			t.Errorf("%s does not say that it needs root: %s", f.Rule, f.Error)
		}
	}
	if result.Code != exitIncomplete || report.Verdict != reports.NotReady {
		t.Errorf("%s with exit code %d, want NOT READY with %d", report.Verdict, result.Code, exitIncomplete)
	}
}

// measured runs check on the host and proves what holds of every run: time and
// memory are bounded, and no report holds escape codes or secrets.
func measured(t *testing.T, h *lab.Host) (*reports.Report, string) {
	t.Helper()
	result := h.Run("measure", "/run/measured", "/usr/local/bin/hostguard", "check", "--verbose", "-o", "json=/run/report.json", "-o", "text=-")
	cost := readCost(t, []byte(h.ReadFile("/run/measured")))
	t.Logf("%v, %d KiB", cost.took(), cost.PeakKiB)
	bound := int64(hostilePeak)
	if len(h.ReadFile("/etc/passwd")) > 1<<20 {
		bound = crowdedPeak
	}
	if cost.PeakKiB > bound {
		t.Errorf("took %d KiB, want at most %d", cost.PeakKiB, bound)
	}
	if d := cost.took(); d > hostileTimeout {
		t.Errorf("took %v, want at most %v", d, hostileTimeout)
	}
	data := h.ReadFile("/run/report.json")
	report := readReport(t, []byte(data))
	if result.Code != report.ExitCode {
		t.Errorf("exit code %d, and the report says %d", result.Code, report.ExitCode)
	}
	for format, text := range map[string]string{"text": result.Stdout, "json": data, "error": result.Stderr} {
		if i := strings.IndexFunc(text, unprintable); i >= 0 {
			t.Errorf("the %s output holds %q", format, text[i:min(len(text), i+8)])
		}
		if strings.Contains(text, secretMark) {
			t.Errorf("the %s output holds a secret", format)
		}
	}
	return report, result.Stdout
}

// cost is what testdata/measure writes of a program.
type cost struct {
	WallMS  int64 `json:"wall_ms"`
	PeakKiB int64 `json:"peak_kib"`
}

func (c cost) took() time.Duration { return time.Duration(c.WallMS) * time.Millisecond }

func readCost(t *testing.T, data []byte) cost {
	t.Helper()
	var c cost
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatalf("cannot measure: %v\n%s", err, data)
	}
	return c
}

func buildMeasure(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "measure")
	cmd := exec.Command("go", "build", "-o", file, "./testdata/measure")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build: %v\n%s", err, out)
	}
	return file
}

// sshErrors are all rules about sshd's configuration, which cannot be told
// when a file of it cannot be read.
func sshErrors(says ...string) map[string]want {
	wants := map[string]want{}
	for _, rule := range strings.Fields("SSH-001 SSH-002 SSH-003 SSH-004 SSH-005 SSH-007 SSH-008 SSH-009 SSH-010 SSH-011 SSH-012 SSH-013 SSH-015 " +
		"SSH-016 SSH-017 SSH-018 SSH-019 SSH-020 SSH-021 SSH-022 SSH-023 SSH-040 SSH-041 SSH-042 SSH-043 SSH-045") {
		wants[rule] = unknown(says...)
	}
	return wants
}

// ofConnector are all rules about what the connector's files say.
const ofConnector = "HW-002 HW-003 LRD-004 NET-001 STO-002 SVC-011 " +
	"CON-001 CON-002 CON-003 CON-004 CON-005 CON-006 CON-010 CON-011 CON-012 CON-013 CON-014 CON-015 CON-016 CON-017 CON-018 CON-019 " +
	"CON-020 CON-021 CON-022 CON-023 CON-024 CON-025 CRT-001 CRT-002 CRT-003 CRT-004 CRT-005 CRT-006 CRT-007 CRT-008 CRT-009 CRT-010 CRT-011 " +
	"CRT-012 CRT-013 CRT-015 DOCK-011 DOCK-012 DOCK-013 DOCK-014 DOCK-015 DOCK-016 DOCK-017 DOCK-018"

const (
	composeFile = "/opt/trueconnector/docker-compose.yml"
	envFile     = "/opt/trueconnector/.env"
)

// moved puts a file away, makes something in its place, and undoes both.
func moved(name string, instead ...string) func(*testing.T, *lab.Host) func() {
	return func(t *testing.T, h *lab.Host) func() {
		h.Must("mv", name, name+".away")
		commands(instead...)(h)
		return func() {
			h.Must("rm", "-rf", name)
			h.Must("mv", name+".away", name)
		}
	}
}

// added makes something that was not there, and undoes it.
func added(name string, make ...string) func(*testing.T, *lab.Host) func() {
	return func(t *testing.T, h *lab.Host) func() {
		commands(make...)(h)
		return func() { h.Must("rm", "-rf", name) }
	}
}

func hostilities() []hostility {
	var list []hostility
	add := func(name string, meet func(*testing.T, *lab.Host) func(), wants map[string]want, says ...string) {
		list = append(list, hostility{name, meet, wants, says})
	}
	docker := map[string]want{}
	for _, rule := range strings.Fields(ofConnector + " DOCK-003 DOCK-006 DOCK-019 DOCK-021 DOCK-022 NET-002 NET-003") {
		docker[rule] = unknown("/run/docker.sock")
	}
	docker["DOCK-007"] = fails("docker.sock") // its mode, which is seen all the same
	add("docker answers garbage", dockerSocket(func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1))
		fmt.Fprintf(c, "\x1b[2J\xff\x00 no HTTP\r\n\r\n")
	}), docker)
	add("docker never answers", dockerSocket(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }), docker)
	add("docker answers a byte a second", dockerSocket(func(c net.Conn) {
		ticks := time.NewTicker(time.Second)
		defer ticks.Stop()
		for _, b := range []byte("HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK") {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			<-ticks.C
		}
	}), docker)
	add("docker answers a hundred megabytes", dockerSocket(dockerServing(func(w io.Writer, _ string) {
		write(w, `[{"Id":"`)
		for range 100 {
			write(w, strings.Repeat("x", 1<<20))
		}
		write(w, `"}]`)
	})), docker)
	add("docker answers values without end", dockerSocket(dockerServing(func(w io.Writer, _ string) {
		write(w, "[")
		for range 1 << 18 {
			write(w, `{"Labels":{}},`)
		}
		write(w, "{}]")
	})), docker)
	named := map[string]want{
		"SVC-011": fails("4445", `\x1b[2J`), "DOCK-004": fails("/srv/"), "AUD-014": {status: checks.NotApplicable},
		"AUD-022": fails("/srv/"), "DOCK-007": fails("docker.sock"), "DOCK-014": fails(`\x1b[2J`), "DOCK-019": fails("live-restore"),
	}
	for _, rule := range strings.Fields("NET-001 NET-002 NET-003 DOCK-011 DOCK-012 DOCK-013 DOCK-015 DOCK-016 DOCK-017 DOCK-018 DOCK-021 HW-003") {
		named[rule] = unknown()
	}
	add("docker names things with escape codes", dockerSocket(dockerServing(hostileDocker)), named, `\x1b[2J`)

	// Files that are none, or without end.
	dropIn := func(name string, make string) func(*testing.T, *lab.Host) func() {
		return func(t *testing.T, h *lab.Host) func() {
			undo := added(name, make+name)(t, h)
			return func() {
				undo()
				reloadSSH(h) // the folder has changed since sshd looked
			}
		}
	}
	add("case 14: a FIFO among sshd's drop-ins", dropIn("/etc/ssh/sshd_config.d/20-fifo.conf", "mkfifo "),
		sshErrors("/etc/ssh/sshd_config.d/20-fifo.conf"))
	add("a gigabyte among sshd's drop-ins", dropIn("/etc/ssh/sshd_config.d/20-huge.conf", "truncate -s 1G "),
		sshErrors("/etc/ssh/sshd_config.d/20-huge.conf"))
	add("a FIFO among the audit rules", added("/etc/audit/rules.d/20-fifo.rules", "mkfifo /etc/audit/rules.d/20-fifo.rules"), nil)
	add("a FIFO as auditd.conf", moved("/etc/audit/auditd.conf", "mkfifo /etc/audit/auditd.conf"),
		map[string]want{"AUD-005": unknown("/etc/audit/auditd.conf"), "LOG-004": unknown("/etc/audit/auditd.conf")})
	daemonJSON := map[string]want{"DOCK-004": fails("/etc/docker/daemon.json")}
	for _, rule := range strings.Fields("DOCK-006 DOCK-007 DOCK-008 DOCK-009 DOCK-010 DOCK-015 DOCK-019 DOCK-020 DOCK-021 DOCK-022 HW-003") {
		daemonJSON[rule] = unknown("/etc/docker/daemon.json")
	}
	add("a FIFO as daemon.json", moved("/etc/docker/daemon.json", "mkfifo /etc/docker/daemon.json"),
		daemonJSON)
	connector := map[string]want{}
	for _, rule := range strings.Fields(ofConnector) {
		connector[rule] = unknown()
	}
	add("a FIFO as compose file", moved(composeFile, "mkfifo "+composeFile), connector)
	add("a compose file of a gigabyte", moved(composeFile, "truncate -s 1G "+composeFile), connector)
	add("a FIFO as .env", moved(envFile, "mkfifo "+envFile), connector)
	add("a .env that leads to the accounts' hashes", func(t *testing.T, h *lab.Host) func() {
		before := h.ReadFile("/etc/shadow")
		h.WriteFileMode("/etc/shadow", strings.Replace(before, "\ndaemon:*:", "\ndaemon:"+secretMark+":", 1), 0o640)
		undo := moved(envFile, "ln -s /etc/shadow "+envFile)(t, h)
		return func() {
			undo()
			h.WriteFileMode("/etc/shadow", before, 0o640)
		}
	}, connector)
	add("a FIFO as chrony's configuration", moved("/etc/chrony/conf.d/lab.conf", "mkfifo /etc/chrony/conf.d/lab.conf"),
		map[string]want{"CLK-002": unknown("/etc/chrony/conf.d/lab.conf")})
	watched := func(make ...string) func(*testing.T, *lab.Host) func() {
		return func(t *testing.T, h *lab.Host) func() {
			apply, undo := edited("/etc/hostguard/hostguard.yaml", "unit: df-watch.timer", "cron: /etc/cron.d/df-watch")
			apply(h)
			commands(make...)(h)
			return func() {
				h.Must("rm", "-f", "/etc/cron.d/df-watch")
				undo(h)
			}
		}
	}
	add("a FIFO as cron table", watched("mkfifo /etc/cron.d/df-watch"), map[string]want{"STO-003": unknown("/etc/cron.d/df-watch")})
	add("a cron table of a gigabyte", watched("truncate -s 1G /etc/cron.d/df-watch"), map[string]want{"STO-003": unknown("/etc/cron.d/df-watch")})

	// Many, and with names that are none.
	add("a hundred thousand accounts", func(t *testing.T, h *lab.Host) func() {
		before := map[string]string{}
		for file, line := range map[string]string{"/etc/passwd": "u%d:x:%[1]d:100::/:/bin/sh\n", "/etc/shadow": "u%d:!:19000::::::\n", "/etc/group": "g%d:x:%[1]d:\n"} {
			before[file] = h.ReadFile(file)
			var b strings.Builder
			for i := range 100_000 {
				fmt.Fprintf(&b, line, 100_000+i)
			}
			h.WriteFile(file, before[file]+b.String())
		}
		return func() {
			for file, content := range before {
				h.WriteFile(file, content)
			}
		}
	}, nil)
	add("a listener with escape codes in its path, name and arguments", func(t *testing.T, h *lab.Host) func() {
		h.Must("cp", "/usr/bin/perl", hostileProgram)
		h.Must("systemd-run", "--quiet", "--unit=hostile", "--property=Type=notify", "--property=NotifyAccess=all",
			"/usr/bin/perl", "-e", `exec { "/usr/local/bin/\x1b[2J\xff\xe2\x80\xae" } "\x1b[2J\xff\xe2\x80\xae\n=cmd()", "-e", $ARGV[0]`, hostileListener)
		return func() {
			h.Must("systemctl", "stop", "hostile.service")
			h.Must("rm", hostileProgram)
		}
	}, map[string]want{"SVC-010": fails("hostile.service"), "SVC-011": fails("4444", "hostile.service", `/usr/local/bin/\x1b[2J\xff\u202e`), "NET-002": fails("4444")})
	add("units with escape codes in name and description", func(t *testing.T, h *lab.Host) func() {
		const name = `/etc/systemd/system/evil\x1b\x5b2J.service`
		h.WriteFile(name, "[Unit]\nDescription=\x1b[2J\u202e\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n")
		h.WriteFile("/etc/systemd/system/raw\x1b[2J\xff.service", "[Service]\nExecStart=/bin/true\n")
		h.Must("systemctl", "daemon-reload")
		h.Must("systemctl", "start", filepath.Base(name))
		return func() {
			h.Must("systemctl", "stop", filepath.Base(name))
			h.Must("rm", name, "/etc/systemd/system/raw\x1b[2J\xff.service")
			h.Must("systemctl", "daemon-reload")
		}
	}, map[string]want{"SVC-010": fails(`evil\\x1b\\x5b2J.service`)})
	add("an account with escape codes in its name gets in", func(t *testing.T, h *lab.Host) func() {
		passwd, shadow, conf := h.ReadFile("/etc/passwd"), h.ReadFile("/etc/shadow"), h.ReadFile("/etc/ssh/sshd_config.d/10-hostguard-lab.conf")
		h.WriteFile("/etc/passwd", passwd+"\x1b[2J\xff\u202eu:x:4711:100::/:/bin/sh\n")
		h.WriteFile("/etc/ssh/sshd_config.d/10-hostguard-lab.conf", strings.NewReplacer("AllowGroups", "#AllowGroups", "AllowUsers operator", "AllowUsers *u operator", "PasswordAuthentication no", "PasswordAuthentication yes").Replace(conf))
		reloadSSH(h)
		return func() {
			h.WriteFile("/etc/passwd", passwd)
			h.WriteFileMode("/etc/shadow", shadow, 0o640)
			h.WriteFile("/etc/ssh/sshd_config.d/10-hostguard-lab.conf", conf)
			reloadSSH(h)
		}
	}, map[string]want{"SSH-001": fails("/etc/ssh/sshd_config.d/10-hostguard-lab.conf:1"), "SSH-003": fails("10-hostguard-lab.conf:1"), "SSH-011": fails(), "SSH-012": fails(), "SSH-015": fails()}, `\x1b[2J\xff\u202eu`)
	return list
}

// dockerSocket serves docker's socket instead of dockerd, which goes on running.
func dockerSocket(serve func(net.Conn)) func(*testing.T, *lab.Host) func() {
	const name = "/run/docker.sock"
	return func(t *testing.T, h *lab.Host) func() {
		h.Must("mv", name, name+".away")
		listener, err := net.Listen("unix", h.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				c, err := listener.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					serve(c)
				}()
			}
		}()
		return func() {
			listener.Close() // and removes the socket
			h.Must("mv", name+".away", name)
		}
	}
}

// dockerServing answers pings as docker does, and everything else by answer.
func dockerServing(answer func(w io.Writer, path string)) func(net.Conn) {
	return func(c net.Conn) {
		done := make(chan struct{})
		server := http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Api-Version", "1.41")
				w.Header().Set("Content-Type", "application/json")
				if !strings.HasSuffix(r.URL.Path, "/_ping") {
					answer(w, r.URL.Path)
				}
			}),
			ConnState: func(_ net.Conn, s http.ConnState) {
				if s == http.StateClosed {
					close(done)
				}
			},
		}
		_ = server.Serve(&oneConn{c: c})
		<-done
	}
}

// write is for what nobody may want to read to its end.
func write(w io.Writer, text string) { _, _ = io.WriteString(w, text) }

// hostileDocker is a docker whose users name things as they like.
func hostileDocker(w io.Writer, path string) {
	const name = `\u001b[2J\u202e\n<script>=cmd()`
	switch {
	case strings.HasSuffix(path, "/info"):
		write(w, `{"ServerVersion":"20.10 `+name+`","DockerRootDir":"/srv/`+name+`","LoggingDriver":"`+name+`"}`)
	case strings.HasSuffix(path, "/containers/json"):
		write(w, `[{"Id":"0123456789abcdef","Names":["/`+name+`"],"Image":"`+name+`","State":"running","Labels":{"com.docker.compose.project":"`+name+`",
			"com.docker.compose.project.working_dir":"/srv/`+name+`","com.docker.compose.service":"ecc"},
			"HostConfig":{"NetworkMode":"host"},"Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":4445,"Type":"tcp"}],"Mounts":[{"Type":"bind","Source":"/srv/`+name+`"}]}]`)
	case strings.HasSuffix(path, "/volumes"):
		write(w, `{"Volumes":[{"Name":"`+name+`","Driver":"local","Mountpoint":"/srv/`+name+`"}]}`)
	default:
		write(w, `{"message":"`+name+`"}`)
	}
}

const hostileProgram = "/usr/local/bin/\x1b[2J\xff\u202e"

// hostileListener listens on port 4444 and says to systemd when it does.
const hostileListener = `use Socket;
socket(my $s, PF_INET, SOCK_STREAM, 0) or die; bind($s, sockaddr_in(4444, INADDR_ANY)) or die; listen($s, 1) or die;
socket(my $n, PF_UNIX, SOCK_DGRAM, 0) or die; send($n, "READY=1", 0, sockaddr_un($ENV{NOTIFY_SOCKET})) or die;
sleep 1000;`

// oneConn is a listener that has one connection to give.
type oneConn struct{ c net.Conn }

func (l *oneConn) Accept() (net.Conn, error) {
	if l.c == nil {
		return nil, errors.New("no more")
	}
	c := l.c
	l.c = nil
	return c, nil
}
func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "docker", Net: "unix"} }
