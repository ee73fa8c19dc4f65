package audit

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lab"
)

// dockerTree is a host with docker, auditd and a connector, and more files.
func dockerTree(t *testing.T, more map[string]string) *host.Host {
	t.Helper()
	files := map[string]string{
		"/lib/systemd/system/auditd.service": "[Service]\nExecStartPost=-/sbin/augenrules --load\n",
		"/lib/systemd/system/docker.service": "[Service]\nExecStart=/usr/sbin/dockerd\n",
		"/etc/audit/rules.d/":                "",
		"/usr/sbin/dockerd":                  "",
		"/etc/docker/daemon.json":            "{}\n",
		"/var/lib/docker/volumes/":           "",
		"/opt/tc/docker-compose.yml":         "services: {ecc: {image: x, volumes: ['./conf:/config']}}\n",
		"/opt/tc/.env":                       "A=b\n",
		"/opt/tc/conf/":                      "",
	}
	maps.Copy(files, more)
	return startingAuditd(t, tree(t, files))
}

// startingAuditd lets the next boot of a tree start auditd.
func startingAuditd(t *testing.T, h *host.Host) *host.Host {
	t.Helper()
	wants := h.Root() + "/etc/systemd/system/multi-user.target.wants"
	for _, err := range []error{
		os.MkdirAll(wants, 0o755), os.Symlink("/lib/systemd/system/auditd.service", wants+"/auditd.service"),
		os.WriteFile(h.Root()+"/lib/systemd/system/default.target", []byte("[Unit]\nRequires=multi-user.target\n"), 0o644),
		os.WriteFile(h.Root()+"/lib/systemd/system/multi-user.target", []byte("[Unit]\n"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// An auditd that the next boot does not start loads nothing, whatever is
// written.
func TestMissingWithoutAuditd(t *testing.T) {
	lab.Need(t, lab.Root)
	t.Parallel()
	h := dockerTree(t, map[string]string{"/etc/audit/rules.d/a.rules": "-w /etc -p wa\n"})
	if err := os.Remove(h.Root() + "/etc/systemd/system/multi-user.target.wants/auditd.service"); err != nil {
		t.Fatal(err)
	}
	want := "open /etc/docker: the next boot does not start auditd.service: no rules are loaded [systemctl enable auditd.service]"
	if got := proposal(t, h, watchesOf(t, watching("/etc/docker"))); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func watchesOf(t *testing.T, each ...WatchParams) []Watch {
	t.Helper()
	var list []Watch
	for i, p := range each {
		if p.Perms == 0 && !p.Use {
			p.Perms = defaultWatch.Perms
		}
		if p.Key == "" {
			p.Key = "k"
		}
		p.Missing = "skip"
		list = append(list, Watch{Rule: "R-" + string(rune('1'+i)), Params: p})
	}
	return list
}

func proposal(t *testing.T, h *host.Host, watches []Watch) string {
	t.Helper()
	p, unknown, err := Missing(t.Context(), h, watches)
	if err != nil {
		t.Fatal(err)
	}
	out := strings.TrimSpace(string(p.Text()))
	for _, g := range p.Open {
		out += "\nopen " + g.Path + ": " + g.Why
		if g.First != "" {
			out += " [" + g.First + "]"
		}
	}
	for _, u := range unknown {
		out += "\nunknown " + u.Rule + ": " + u.Err.Error()
	}
	return strings.TrimSpace(out)
}

func discover(names ...string) WatchParams { return WatchParams{Discover: names} }
func watching(paths ...string) WatchParams { return WatchParams{Paths: paths} }

func TestMissing(t *testing.T) {
	lab.Need(t, lab.Root) // who owns a folder decides whether it can vanish
	t.Parallel()
	const socket = "-a always,exit -F arch=b64 -S connect -F path=/run/docker.sock -F key=k\n-a always,exit -F arch=b32 -S connect -F path=/run/docker.sock -F key=k"
	for name, c := range map[string]struct {
		files   map[string]string
		change  func(root string) error
		watches []WatchParams
		want    string
	}{
		"a folder":                      {watches: []WatchParams{watching("/etc/docker")}, want: "-w /etc/docker -p wa -k k"},
		"covered already":               {files: map[string]string{"/etc/audit/rules.d/a.rules": "-w /etc -p wa\n"}, watches: []WatchParams{watching("/etc/docker")}, want: ""},
		"half of it":                    {files: map[string]string{"/etc/audit/rules.d/a.rules": "-w /etc -p w\n"}, watches: []WatchParams{watching("/etc/docker")}, want: "-w /etc/docker -p a -k k"},
		"a folder spares its files":     {watches: []WatchParams{watching("/etc/docker/daemon.json"), watching("/etc/docker")}, want: "-w /etc/docker -p wa -k k"},
		"two requirements of one file":  {watches: []WatchParams{discover("docker-binaries"), {Discover: []string{"docker-programs"}, Perms: perms(auditrule.Exec)}}, want: "-w /usr/sbin/dockerd -p wxa -k k"},
		"the connector":                 {watches: []WatchParams{discover("connector-files"), discover("connector-mounts")}, want: "-w /opt/tc -p wa -k k"},
		"21 a socket":                   {files: map[string]string{"/run/": ""}, watches: []WatchParams{{Paths: nil, Discover: []string{"docker-sockets"}, Use: true}}, want: socket + "\nopen containerd.sock /run/containerd/containerd.sock: /run/containerd lies in memory and is not there when the rules are loaded at boot: a rule on it ends the load [echo 'd /run/containerd 0711 0 0 -' > /etc/tmpfiles.d/hostguard-run-containerd.conf]"},
		"22 a volume is docker's":       {files: map[string]string{"/var/lib/docker/volumes/x/_data/": ""}, watches: []WatchParams{watching("/var/lib/docker/volumes/x/_data")}, want: "## /var/lib/docker/volumes/x/_data is docker's to remove: the folder above it stays\n-w /var/lib/docker/volumes -p wa -k k"},
		"22 no volume yet":              {files: map[string]string{"/etc/docker/daemon.json": `{"data-root": "/srv/d"}`}, watches: []WatchParams{discover("volumes")}, want: "open volumes /srv/d/volumes: /srv/d/volumes does not exist yet: a rule on it ends the load [install -d -m 0710 /srv/d/volumes]"},
		"the data root spares volumes":  {watches: []WatchParams{discover("volumes"), discover("docker-data")}, want: "-w /var/lib/docker -p wa -k k"},
		"22 in memory":                  {files: map[string]string{"/run/x/y": ""}, watches: []WatchParams{watching("/run/x")}, want: "open /run/x: /run/x lies in memory and is not there when the rules are loaded at boot: a rule on it ends the load [echo 'd /run/x 0755 0 0 -' > /etc/tmpfiles.d/hostguard-run-x.conf]"},
		"a user's runtime folder":       {files: map[string]string{"/run/user/1000/docker/y": ""}, watches: []WatchParams{watching("/run/user/1000/docker")}, want: "open /run/user/1000/docker: /run/user/1000/docker is mounted when its user logs in, and goes with the session: a rule on it would not see what lies there"},
		"22 in memory, made at boot":    {files: map[string]string{"/run/x/y": "", "/etc/tmpfiles.d/x.conf": "d /run/x 0711 root root -\n"}, watches: []WatchParams{watching("/run/x")}, want: "-w /run/x -p wa -k k"},
		"a user's folder":               {files: map[string]string{"/home/op/tc/a": ""}, change: owned("/home/op", 1000), watches: []WatchParams{watching("/home/op/tc")}, want: "## /home/op/tc can be taken away by another user than root: the folder above it stays\n-w /home/op -p wa -k k"},
		"a user's file":                 {files: map[string]string{"/home/op/tc/a": ""}, change: owned("/home/op", 1000), watches: []WatchParams{watching("/home/op/tc/a")}, want: "## /home/op/tc can be taken away by another user than root: the folder above it stays\n-w /home/op -p wa -k k"},
		"everybody's folder":            {files: map[string]string{"/data/x/y": ""}, change: func(root string) error { return os.Chmod(root+"/data", 0o777) }, watches: []WatchParams{watching("/data/x")}, want: "open /data/x: /data/x can be taken away by another user than root: the folder above it stays, but a rule on /data would record too much"},
		"21 a link":                     {files: map[string]string{"/srv/docker-etc/a": ""}, change: linked("/etc/dock", "/srv/docker-etc"), watches: []WatchParams{watching("/etc/dock")}, want: "-a always,exit -F path=/etc/dock -F perm=w -F key=k\n-w /srv/docker-etc -p wa -k k"},
		"a name with a space":           {files: map[string]string{`/srv/my data\x/a`: ""}, watches: []WatchParams{watching(`/srv/my data\x`)}, want: `-w /srv/my\ data\\x -p wa -k k`},
		"a name of other letters":       {files: map[string]string{"/srv/übung/a": ""}, watches: []WatchParams{watching("/srv/übung")}, want: "-w /srv/übung -p wa -k k"},
		"39 a name that deceives":       {files: map[string]string{"/srv/\x1b(2J/a": ""}, watches: []WatchParams{watching("/srv/\x1b(2J")}, want: "open /srv/\x1b(2J: a rule for it cannot be written: the path's name cannot be written on a line of text"},
		"39 a line break":               {files: map[string]string{"/srv/a\n-D/a": ""}, watches: []WatchParams{watching("/srv/a\n-D")}, want: "open /srv/a\n-D: a rule for it cannot be written: the path's name cannot be written on a line of text"},
		"23 never before":               {files: map[string]string{"/etc/audit/rules.d/10-a.rules": "-a never,exit -F dir=/etc\n"}, watches: []WatchParams{watching("/etc/docker")}, want: "open /etc/docker: not covered: "},
		"23 tasks":                      {files: map[string]string{"/etc/audit/rules.d/10-a.rules": "-a never,task\n"}, watches: []WatchParams{watching("/etc/docker")}, want: "open /etc/docker: not covered: "},
		"18 a bad line":                 {files: map[string]string{"/etc/audit/rules.d/60-a.rules": "-w relative\n-w /etc/docker -p wa -k k\n"}, watches: []WatchParams{watching("/etc/docker")}, want: "open /etc/docker: the load ends at /etc/audit/rules.d/60-a.rules:1: "},
		"a later line that is the same": {files: map[string]string{"/etc/audit/rules.d/60-a.rules": "-a never,task\n-w /etc/docker -p wa -k k\n"}, watches: []WatchParams{watching("/etc/docker")}, want: "open /etc/docker: "},
		"16 no final newline before":    {files: map[string]string{"/etc/audit/rules.d/10-a.rules": "-w /srv -p wa"}, watches: []WatchParams{watching("/etc/docker")}, want: "-w /etc/docker -p wa -k k"},
		"nothing loads rules":           {files: map[string]string{"/lib/systemd/system/auditd.service": ""}, watches: []WatchParams{watching("/etc/docker")}, want: "open /etc/docker: nothing loads rules at boot [apt-get install auditd]"},
		"audit.rules by hand":           {files: map[string]string{"/lib/systemd/system/auditd.service": "[Service]\nExecStartPost=/sbin/auditctl -R /etc/audit/audit.rules\n", "/etc/audit/audit.rules": "-w /etc -p w\n"}, watches: []WatchParams{watching("/etc/docker")}, want: "-w /etc/docker -p a -k k"},
		"27 a snap's program":           {files: map[string]string{"/snap/docker/7/bin/dockerd": ""}, watches: []WatchParams{watching("/snap/docker/7/bin/dockerd")}, want: "open /snap/docker/7/bin/dockerd: /snap/docker/7/bin goes with the next revision of its snap, and a rule on it would end the load"},
		"what cannot be found out":      {watches: []WatchParams{watching("/etc/docker"), {Paths: []string{"/etc/[a"}}}, want: "-w /etc/docker -p wa -k k\nunknown R-2: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := dockerTree(t, c.files)
			if c.change != nil {
				if err := c.change(h.Root()); err != nil {
					t.Fatal(err)
				}
			}
			got := proposal(t, h, watchesOf(t, c.watches...))
			exact := !strings.HasSuffix(c.want, ": ")
			if exact && got != c.want || !strings.HasPrefix(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func owned(name string, uid int) func(string) error {
	return func(root string) error { return os.Chown(filepath.Join(root, name), uid, uid) }
}

func linked(name, target string) func(string) error {
	return func(root string) error { return os.Symlink(target, filepath.Join(root, name)) }
}

// What is proposed, written to its file, leaves nothing open: asked again it is
// silent, and the check passes.
func TestMissingClosesTheGaps(t *testing.T) {
	lab.Need(t, lab.Root)
	t.Parallel()
	watches := watchesOf(t, discover("docker-binaries"), discover("docker-configuration"), discover("docker-units"), discover("docker-data"),
		discover("connector-files"), discover("connector-mounts"), discover("volumes"), WatchParams{Discover: []string{"docker-sockets"}, Use: true})
	files := map[string]string{"/etc/tmpfiles.d/c.conf": "d /run/containerd 0711 root root -\n", "/run/containerd/": ""}
	p, unknown, err := Missing(t.Context(), dockerTree(t, files), watches)
	if err != nil || len(unknown)+len(p.Open) > 0 || len(p.Rules) == 0 {
		t.Fatalf("%v %v %+v", err, unknown, p)
	}
	files[p.File] = string(p.Text())
	h := dockerTree(t, files)
	if again := proposal(t, h, watches); again != "" {
		t.Errorf("asked again: %s", again)
	}
	for _, w := range watches {
		sides, _, _, err := lookAt(t.Context(), h, w.Params)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := judgeWatch(sides); err != nil || v.Status.String() != "pass" {
			t.Errorf("%v: %v %v\n%s", w.Params.Discover, v.Status, err, places(v.Evidence))
		}
	}
}
