package auditrule

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"testing"
)

// world is a made-up host: paths with their kinds, "link -> target" for links.
type world struct {
	kinds  map[string]FileKind
	links  map[string]string
	mounts []Mount
	gone   []string // vanish at boot
	denied string   // cannot be looked at
}

// docker is a Debian host with docker.
func dockerHost() *world {
	w := &world{
		kinds: map[string]FileKind{
			"/etc/docker/daemon.json": File, "/etc/docker-x": Dir, "/usr/sbin/dockerd": File, "/usr/bin/runc": File,
			"/var/lib/docker/volumes": Dir, "/run/docker.sock": Socket, "/run/containerd/containerd.sock": Socket,
			"/opt/tc/.env": File, "/srv/data": Dir,
		},
		links:  map[string]string{"/var/run": "/run", "/sbin": "usr/sbin", "/usr/bin/dockerd": "../sbin/dockerd", "/var/data": "/srv/data"},
		mounts: []Mount{{Point: "/", Type: "ext4", Early: true}, {Point: "/run", Type: "tmpfs", Early: true}},
		gone:   []string{"/run/containerd"},
	}
	return w
}

func (w *world) Lstat(name string) (FileKind, error) {
	if w.denied != "" && below(name, w.denied) {
		return Absent, fmt.Errorf("cannot look at %s: %w", name, fs.ErrPermission)
	}
	if _, ok := w.links[name]; ok {
		return Link, nil
	}
	if kind, ok := w.kinds[name]; ok {
		return kind, nil
	}
	for known := range w.kinds {
		if below(known, name) {
			return Dir, nil
		}
	}
	for known := range w.links {
		if below(known, name) {
			return Dir, nil
		}
	}
	return Absent, nil
}

func (w *world) Readlink(name string) (string, error) { return w.links[name], nil }
func (w *world) Mounts() ([]Mount, error)             { return w.mounts, nil }

func (w *world) Vanishes(name string) (bool, error) {
	for _, g := range w.gone {
		if below(name, g) {
			return true, nil
		}
	}
	return false, nil
}

func (w *world) Machine() (Machine, error)             { m, _ := MachineOf("x86_64"); return m, nil }
func (w *world) GID(name string) (uint32, bool, error) { return w.UID(name) }
func (w *world) UID(name string) (uint32, bool, error) {
	switch name {
	case "root":
		return 0, true, nil
	case "ldapuser":
		return 0, false, errors.New("other sources are not asked")
	}
	return 0, false, nil
}

func (w *world) IsDir(name string) (bool, error) {
	_, kind, err := newResolver(w).resolve(name, true)
	return kind == Dir, err
}

// load reads rules, all of which must load.
func (w *world) load(t *testing.T, rules ...string) []Rule {
	t.Helper()
	loaded := Load(Lines("x.rules", []byte(strings.Join(rules, "\n")+"\n")), w, w, Now)
	for _, refused := range loaded.Refused {
		t.Fatal(refused)
	}
	return loaded.Rules
}

func (w *world) cover(t *testing.T, want Want, rules ...string) Coverage {
	t.Helper()
	m, _ := w.Machine()
	v, err := NewView(w.load(t, rules...), m, w)
	if err != nil {
		t.Fatal(err)
	}
	return v.Cover(want)
}

const wa = Write | Attr

// The semantics of rules, named by the numbers of the cases a host auditor
// gets wrong.
func TestCoverage(t *testing.T) {
	t.Parallel()
	docker := Want{Path: "/etc/docker", Perms: wa}
	json := Want{Path: "/etc/docker/daemon.json", Perms: wa}
	sock := Want{Path: "/var/run/docker.sock", Use: true}
	const both = "-a always,exit -F arch=b64 -S connect -F path=/run/docker.sock|-a always,exit -F arch=b32 -S connect -F path=/run/docker.sock"
	for _, c := range []struct {
		name  string
		want  Want
		rules string
		is    Answer
		says  string // a part of what is missing or doubtful
	}{
		{"19 a watch is a rule", docker, "-w /etc/docker -p wa", Covered, ""},
		{"19 a rule is a watch", docker, "-a always,exit -F dir=/etc/docker -F perm=wa", Covered, ""},
		{"19 no -p means all", docker, "-w /etc/docker", Covered, ""},
		{"19 rwxa covers wa", docker, "-w /etc/docker -p rwxa", Covered, ""},
		{"19 aw is wa", docker, "-w /etc/docker -p aw", Covered, ""},
		{"19 a trailing slash", docker, "-w /etc/docker/ -p wa", Covered, ""},
		{"19 a prefix is no parent", Want{Path: "/etc/docker-x", Perms: wa}, "-w /etc/docker -p wa", Not, "writing (w), attribute changes (a)"},
		{"19 the other way round", docker, "-w /etc/docker-x -p wa", Not, ""},
		{"19 half the permissions", docker, "-w /etc/docker -p w", Partly, "attribute changes (a)"},
		{"19 two rules together", docker, "-w /etc/docker -p w|-w /etc/docker -p a", Covered, ""},
		{"19 one architecture", docker, "-a always,exit -F arch=b64 -F dir=/etc/docker -F perm=wa", Partly, "by 32-bit programs"},
		{"19 an arch pair", docker, "-a always,exit -F arch=b64 -F dir=/etc/docker -F perm=wa|-a always,exit -F arch=b32 -F dir=/etc/docker -F perm=wa", Covered, ""},
		{"19 some syscalls", docker, "-a always,exit -S open,openat -F dir=/etc/docker", Partly, "through"},
		{"20 a parent covers", json, "-w /etc -p wa", Covered, ""},
		{"20 the root covers", json, "-w / -p wa", Covered, ""},
		{"no place covers", json, "-a always,exit -S all", Covered, ""},
		{"21 linked parents are followed", Want{Path: "/run/containerd", Perms: wa}, "-w /var/run/containerd -p wa", Covered, ""},
		{"21 usrmerge", Want{Path: "/sbin/dockerd", Perms: wa}, "-w /usr/sbin/dockerd -p wa", Covered, ""},
		{"21 a watch on a link watches the link", Want{Path: "/usr/sbin/dockerd", Perms: wa}, "-w /usr/bin/dockerd -p wa", Not, ""},
		{"21 a link and its target", Want{Path: "/usr/bin/dockerd", Perms: wa}, "-w /usr/sbin/dockerd -p wa", Partly, "the link /usr/bin/dockerd"},
		{"21 both are watched", Want{Path: "/usr/bin/dockerd", Perms: wa}, "-w /usr/sbin/dockerd -p wa|-w /usr/bin/dockerd -p wa", Covered, ""},
		{"21 a watch on a linked folder", Want{Path: "/srv/data", Perms: wa}, "-w /var/data -p wa", Not, ""},
		{"21 -w on a socket", sock, "-w /run/docker.sock -p rwxa", Not, "connecting"},
		{"21 connect by path", sock, both, Covered, ""},
		{"21 connect by one architecture", sock, strings.Split(both, "|")[0], Partly, "connecting by 32-bit"},
		{"21 connect below a folder", sock, "-a always,exit -S connect -F dir=/run", Partly, "32-bit"},
		{"21 connect with perm never matches", sock, "-a always,exit -F arch=b64 -S connect -F path=/run/docker.sock -F perm=rwxa", Not, ""},
		{"22 a folder that is not there yet", Want{Path: "/opt/new", Perms: wa, Folder: true}, "-w /opt/new -p wa", Partly, "the folder itself"},
		{"22 its parent takes it in", Want{Path: "/opt/new", Perms: wa, Folder: true}, "-w /opt -p wa", Covered, ""},
		{"a watch on a folder as a file", docker, "-a always,exit -F path=/etc/docker -F perm=wa", Partly, "not what is in it"},
		{"23 never before", docker, "-a never,exit -F dir=/etc/docker|-w /etc/docker -p wa", Not, "suppresses it"},
		{"23 never after", docker, "-w /etc/docker -p wa|-a never,exit -F dir=/etc/docker", Covered, ""},
		{"23 never before, by -A", docker, "-w /etc/docker -p wa|-A never,exit -F dir=/etc/docker", Not, ""},
		{"23 never for one account", docker, "-a never,exit -F auid=1000|-w /etc/docker -p wa", Partly, "when auid=1000"},
		{"23 never for a part", docker, "-a never,exit -F path=/etc/docker/daemon.json|-w /etc/docker -p wa", Partly, "what is in /etc/docker/daemon.json"},
		{"23 never for all", docker, "-a never,exit -S all|-w /etc/docker -p wa", Not, ""},
		{"23 never for a syscall", docker, "-a never,exit -F arch=b64 -S unlinkat|-w /etc/docker -p wa", Partly, "unlinkat"},
		{"23 never elsewhere takes moves", docker, "-a never,exit -F dir=/opt/tc|-w /etc/docker -p wa", Partly, "moves and links between /opt/tc"},
		{"23 never on another file system", docker, "-a never,exit -F dir=/run|-w /etc/docker -p wa", Covered, ""},
		{"23 never for reading, and a call that does both", docker, "-a never,exit -F dir=/etc/docker -F perm=r|-w /etc/docker -p wa", Partly, "open"},
		{"23 a later never on the folder of a watched file", json, "-w /etc/docker/daemon.json -p wa|-a never,exit -F path=/etc/docker", Partly, "although it comes later"},
		{"23 never,task", docker, "-a never,task|-w /etc/docker -p wa", Not, "new process"},
		{"23 never,task for one account", docker, "-a never,task -F uid=33|-w /etc/docker -p wa", Partly, "uid=33"},
		{"23 always,task before", docker, "-a always,task|-a never,task|-w /etc/docker -p wa", Covered, ""},
		{"23 exclude of all records", docker, "-a always,exclude -F msgtype>=1300|-w /etc/docker -p wa", Not, "records"},
		{"23 exclude of paths", docker, "-a always,exclude -F msgtype=PATH|-w /etc/docker -p wa", Not, ""},
		{"23 exclude of something else", docker, "-a always,exclude -F msgtype=CWD|-w /etc/docker -p wa", Covered, ""},
		{"23 exclude for one account", docker, "-a always,exclude -F uid=33|-w /etc/docker -p wa", Partly, "uid=33"},
		{"23 never,filesystem of another kind", docker, "-a never,filesystem -F fstype=tracefs|-w /etc/docker -p wa", Covered, ""},
		{"23 never,filesystem of this kind", docker, "-a never,filesystem -F fstype=0xef53|-w /etc/docker -p wa", Not, "file systems"},
		{"narrowed by account", docker, "-a always,exit -F dir=/etc/docker -F perm=wa -F auid>=1000 -F auid!=unset", Partly, "only when auid>=1000 and auid!=-1"},
		{"narrowed by success", docker, "-a always,exit -F dir=/etc/docker -F perm=wa -F success=1", Partly, "success=1"},
		{"narrowed by program", docker, "-a always,exit -F dir=/etc/docker -F exe=/usr/bin/vi", Partly, "exe="},
		{"no rules", docker, "", Not, ""},
		{"the user list does not count", docker, "-a always,user", Not, ""},
	} {
		t.Run(strings.ReplaceAll(c.name, "/", "_"), func(t *testing.T) {
			t.Parallel()
			got := dockerHost().cover(t, c.want, strings.Split(c.rules, "|")...)
			text := strings.Join(append(got.Missing, got.Doubts...), "; ")
			if got.Answer != c.is || !strings.Contains(text, c.says) {
				t.Errorf("%v (%s), want %v (…%s…)", got.Answer, text, c.is, c.says)
			}
		})
	}
}

// Case 20: what is mounted below a watched folder is covered only if it was
// mounted when the rule was loaded.
func TestCoverageOfMounts(t *testing.T) {
	t.Parallel()
	volume := Want{Path: "/var/lib/docker/volumes", Perms: wa}
	w := dockerHost()
	w.mounts = append(w.mounts, Mount{Point: "/var/lib/docker", Type: "ext4"})
	for _, rules := range []string{"-w /var/lib/docker -p wa", "-w /var -p wa"} {
		if got := w.cover(t, volume, rules); got.Answer != Unknown || !strings.Contains(got.Doubts[0], "mounted on /var/lib/docker") {
			t.Errorf("20 %s over a mount: %v %q", rules, got.Answer, got.Doubts)
		}
	}
	if got := w.cover(t, volume, "-w /var/lib/docker/volumes -p wa"); got.Answer != Covered {
		t.Errorf("20 a rule inside the mount: %v %q", got.Answer, got.Doubts)
	}
	if got := w.cover(t, volume, "-w /var -p w"); got.Answer != Partly {
		t.Errorf("20 what is missing in any case: %v", got.Answer)
	}
	if got := w.cover(t, volume, "-w /var -p wa", "-a always,exit -S all"); got.Answer != Covered {
		t.Errorf("20 a rule without a path: %v %q", got.Answer, got.Doubts)
	}
	w.mounts[2].Early = true
	if got := w.cover(t, volume, "-w /var -p wa"); got.Answer != Covered {
		t.Errorf("20 mounted before the rules: %v %q", got.Answer, got.Doubts)
	}
	w.mounts = append(w.mounts, Mount{Point: "/var/lib/docker/volumes/x/_data", Type: "nfs4"})
	if got := w.cover(t, volume, "-w /var/lib/docker -p wa"); got.Answer != Unknown {
		t.Errorf("20 a volume on its own mount: %v", got.Answer)
	}
	w.mounts[3].Apart = true
	if got := w.cover(t, volume, "-w /var/lib/docker -p wa"); got.Answer != Covered {
		t.Errorf("20 one that is asked for on its own: %v %q", got.Answer, got.Doubts)
	}
	if got := w.cover(t, Want{Path: "/var/lib/docker/volumes/x/_data", Perms: wa}, "-w /var/lib/docker -p wa"); got.Answer != Unknown {
		t.Errorf("20 and asked for: %v", got.Answer)
	}
}

// Unknown never counts as covered.
func TestCoverageUnknown(t *testing.T) {
	t.Parallel()
	w := dockerHost()
	w.denied = "/etc/docker"
	if got := w.cover(t, Want{Path: "/etc/docker/daemon.json", Perms: wa}, "-w /etc -p wa"); got.Answer != Unknown {
		t.Errorf("a path that cannot be looked at: %v", got.Answer)
	}
	w = dockerHost()
	w.links["/etc/loop"] = "/etc/loop"
	if got := w.cover(t, Want{Path: "/etc/loop", Perms: wa}, "-w /etc -p wa"); got.Answer != Unknown {
		t.Errorf("a loop of links: %v", got.Answer)
	}
	w = dockerHost()
	w.mounts[0].Type = "fuse.unheardof"
	if got := w.cover(t, Want{Path: "/etc/docker", Perms: wa}, "-a never,filesystem -F fstype=0x12345", "-w /etc/docker -p wa"); got.Answer != Unknown {
		t.Errorf("a file system whose number is not known: %v", got.Answer)
	}
	if got := dockerHost().cover(t, Want{Path: "/etc/docker"}, "-w /etc/docker"); got.Answer != Unknown {
		t.Errorf("nothing wanted: %v", got.Answer)
	}
	if got := w.cover(t, Want{Path: "relative", Perms: wa}); got.Answer != Unknown {
		t.Errorf("a relative path: %v", got.Answer)
	}
}

// 20,000 rules without a path are read and judged in bounded time.
func TestManyRules(t *testing.T) {
	t.Parallel()
	w := dockerHost()
	var text strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&text, "-a never,exit -F arch=b64 -S open -F uid=%d\n", i+1)
	}
	text.WriteString("-w /etc/docker -p wa\n")
	loaded := Load(Lines("x.rules", []byte(text.String())), w, w, Now)
	if len(loaded.Rules) != 20_001 {
		t.Fatal(len(loaded.Rules), loaded.Stopped)
	}
	m, _ := w.Machine()
	v, err := NewView(loaded.Rules, m, w)
	if err != nil {
		t.Fatal(err)
	}
	if got := v.Cover(Want{Path: "/etc/docker", Perms: wa}); got.Answer != Partly {
		t.Error(got.Answer)
	}
}

// All checks ask one view at the same time.
func TestCoverageConcurrently(t *testing.T) {
	t.Parallel()
	w := dockerHost()
	m, _ := w.Machine()
	v, err := NewView(w.load(t, "-w /etc/docker -p wa"), m, w)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				if got := v.Cover(Want{Path: fmt.Sprintf("/etc/docker/%d/%d", i, j), Perms: wa}); got.Answer != Covered {
					t.Error(got)
				}
			}
		})
	}
	wg.Wait()
}

// Case 18: one bad line ends the load.
func TestLoadStops(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, rules string
		when        Moment
		loaded      int
		stops       string // "" when it goes through
	}{
		{"18 a bad line", "-w /etc/docker -p wa|-w relative|-w /opt -p wa|# end", Now, 1, "x.rules:2: the path does not start with /"},
		{"18 a missing folder", "-w /nowhere/file -p wa|-w /opt -p wa", Now, 0, "x.rules:1: /nowhere does not exist"},
		{"18 a duplicate", "-w /opt -p wa|-w /opt -p wa|-w /etc -p wa", Now, 1, "x.rules:2: the rule exists already (x.rules:1)"},
		{"18 -i goes on", "-i|-w relative|-w /opt -p wa", Now, 1, ""},
		{"18 -c goes on", "-c|-w relative|-w /opt -p wa", Now, 1, ""},
		{"18 -D first", "-w /opt -p wa|-D|-w /etc -p wa", Now, 1, ""},
		{"18 -e 2 locks", "-w /opt -p wa|-e 2|-w /etc -p wa", Now, 1, "x.rules:3: an earlier -e 2 locked the configuration"},
		{"22 a file that is not there", "-w /opt/new -p wa", Now, 1, ""},
		{"22 a folder that is not there", "-a always,exit -F dir=/opt/new", Now, 0, "x.rules:1: /opt/new does not exist"},
		{"22 gone at boot", "-w /run/containerd -p wa|-w /opt -p wa", Boot, 0, "x.rules:1: /run/containerd lies in memory"},
		{"22 there now", "-w /run/containerd -p wa|-w /opt -p wa", Now, 2, ""},
		{"22 a socket in /run", "-a always,exit -S connect -F path=/run/docker.sock", Boot, 1, ""},
		{"another key is another rule", "-w /opt -p wa -k a|-w /opt -p wa -k b", Now, 2, ""},
		{"a removed rule", "-w /opt -p wa|-W /opt -p wa", Now, 0, ""},
		{"a tab is no space", "\t-w /opt -p wa", Now, 0, "x.rules:1"},
		{"a comment behind a rule", "-w /opt -p wa # why", Now, 0, "x.rules:1"},
		{"glued lines", "-w /opt -p wa-w /etc -p wa", Now, 0, "x.rules:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := dockerHost()
			got := Load(Lines("x.rules", []byte(strings.ReplaceAll(c.rules, "|", "\n"))), w, w, c.when)
			stops := ""
			if got.Stopped != nil {
				stops = got.Stopped.Error()
			}
			if len(got.Rules) != c.loaded || !strings.HasPrefix(stops, c.stops) || (c.stops == "") != (stops == "") {
				t.Errorf("%d rules, stops %q; want %d, %q", len(got.Rules), stops, c.loaded, c.stops)
			}
		})
	}
}

func TestLoadCounts(t *testing.T) {
	t.Parallel()
	w := dockerHost()
	text := "-D\n-b 8192\n-f 1\n--backlog_wait_time 60000\n-w /opt -p wa\nbad\n-w /a\n\n# c\n-w /b\n-e 2\n"
	got := Load(Lines("x.rules", []byte(text)), w, w, Now)
	if got.NotRead != 3 || got.Settings["b"] != "8192" || got.Places["f"].Line != 3 || got.Settings["backlog_wait_time"] != "60000" || got.Settings["e"] != "" {
		t.Errorf("%+v", got)
	}
	got = Load(Lines("x.rules", []byte("-w /opt -p wa\n-a always,exit -F auid=ldapuser -F path=/etc/docker\n-w /etc -p wa\n")), w, w, Now)
	if got.Stopped != nil || got.Doubt == nil || got.Doubt.Pos.Line != 2 || got.Sure != 1 || len(got.Rules) != 2 {
		t.Errorf("a line that cannot be judged: %+v", got)
	}
}

// What looks alike is alike, and what differs differs (case 19).
func TestEqual(t *testing.T) {
	t.Parallel()
	w := dockerHost()
	for _, c := range []struct {
		a, b        string
		equal, same bool
	}{
		{"-w /etc/docker -p wa -k x", "-a always,exit -F dir=/etc/docker -F perm=wa -F key=x", true, true},
		{"-w /etc/docker -p wa -k x", "-a exit,always -F perm=aw -F dir=/etc/docker/ -k x", true, true},
		{"-w /etc/docker/daemon.json", "-a always,exit -S all -F path=/etc/docker/daemon.json -F perm=rwxa", true, true},
		{"-w /etc/docker -p wa -k x", "-w /etc/docker -p wa -k y", false, true},
		{"-w /etc/docker -p wa -k x -k y", "-w /etc/docker -p wa -k y -k x", true, true},
		{"-w /etc/docker -p wa", "-w /etc/docker -p w", false, false},
		{"-w /etc/docker -p wa", "-a always,exit -F path=/etc/docker -F perm=wa", false, false},
		{"-w /etc/docker -p wa", "-a never,exit -F dir=/etc/docker -F perm=wa", false, false},
		{"-a always,exit -F arch=b64 -S 257,2", "-a always,exit -F arch=x86_64 -S open,openat", true, true},
		{"-a always,exit -F arch=b64 -S open", "-a always,exit -F arch=b32 -S open", false, false},
		{"-a always,exit -F auid!=-1 -S open", "-a always,exit -F auid!=unset -S open", true, true},
		{"-a always,exit -F auid!=4294967295 -S open", "-a always,exit -F loginuid!=unset -S open", true, true},
		{"-a always,exit -F exit=-EACCES -S open", "-a always,exit -F exit=-13 -S open", true, true},
		{"-a always,exit -C uid=auid -S open", "-a always,exit -C auid=uid -S open", true, true},
		// What auditctl 3.1 and later makes of permissions without syscalls.
		{"-a always,exit -F arch=b64 -F path=/opt/tc/.env -F perm=x", "-a always,exit -F arch=b64 -S execve,execveat -F path=/opt/tc/.env -F perm=x", true, true},
		{"-a always,exit -F arch=b64 -F path=/opt/tc/.env -F perm=w", "-a always,exit -F arch=b64 -S execve,execveat -F path=/opt/tc/.env -F perm=w", false, false},
	} {
		a, b := w.load(t, c.a)[0], w.load(t, c.b)[0]
		if a.Equal(&b) != c.equal || b.Equal(&a) != c.equal || a.Same(&b) != c.same {
			t.Errorf("%s and %s: equal %v, same %v", c.a, c.b, a.Equal(&b), a.Same(&b))
		}
		decoded, err := Decode(a.Encode())
		if err != nil || !decoded.identical(&a) {
			t.Errorf("%s does not survive encoding: %v %v", c.a, &decoded, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	w := dockerHost()
	whole := w.load(t, "-w /etc/docker -p wa -k key")[0]
	wire := whole.Encode()
	for n := range wire {
		if _, err := Decode(wire[:n]); err == nil {
			t.Fatalf("%d of %d bytes are taken for a rule", n, len(wire))
		}
	}
}

// Bad input is refused with its place, bounded and without a panic.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{"-w /etc -p wa -k k\n", "-a always,exit -F arch=b64 -S open,1 -F auid>=1000 -C uid!=gid -k x\n-D\n-e 2\n", "\\ \\\\ -w", "-w /" + strings.Repeat("x", 5000),
		"-a never,exclude -F msgtype=CWD\n-q a,b\n--reset-lost\n-d always,exit -F dir=/etc\n", "-F\xff=\x00\n", "-a always,exit " + strings.Repeat("-F uid=1 ", 70)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := dockerHost()
		loaded := Load(Merge([]Source{{Name: "a.rules", Path: "a.rules", Data: data}}, Gawk).Lines, w, w, Now)
		m, _ := w.Machine()
		v, err := NewView(loaded.Rules, m, w)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range loaded.Rules {
			_ = r.String()
			if back, err := Decode(r.Encode()); err != nil || !back.identical(&r) {
				t.Fatalf("%v becomes %v: %v", &r, &back, err)
			}
			if place, _ := r.Place(); path.IsAbs(place) {
				v.Cover(Want{Path: place, Perms: allPerms})
			}
		}
		v.Cover(Want{Path: "/etc/docker", Perms: wa, Use: true})
	})
}

func FuzzDecode(f *testing.F) {
	w := dockerHost()
	for _, text := range []string{"-w /etc/docker -p wa -k key", "-a never,exit -S all -F exe=/bin/x -F auid=1"} {
		line, err := ParseLine(text, Pos{}, w)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line.Rule.Encode())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := Decode(data); err == nil {
			_ = r.String()
			m, _ := w.Machine()
			if v, err := NewView([]Rule{r}, m, w); err == nil {
				v.Cover(Want{Path: "/etc/docker", Perms: wa})
			}
		}
	})
}

func FuzzParseDaemonConf(f *testing.F) {
	f.Add([]byte("space_left = 75\nspace_left_action = exec /x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		conf, err := ParseDaemonConf("f", data)
		if err == nil {
			_ = conf.Get("space_left")
		}
	})
}

// BenchmarkCover judges 500 paths by 1,000 rules.
func BenchmarkCover(b *testing.B) {
	w := dockerHost()
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "-w /opt/tc/f%d -p wa -k key%d\n", i, i)
	}
	m, _ := w.Machine()
	lines := Lines("x.rules", []byte(text.String()))
	for b.Loop() {
		loaded := Load(lines, w, w, Now)
		if len(loaded.Rules) != 1000 {
			b.Fatal(loaded.Stopped)
		}
		v, err := NewView(loaded.Rules, m, w)
		if err != nil {
			b.Fatal(err)
		}
		for i := range 500 {
			if v.Cover(Want{Path: fmt.Sprintf("/opt/tc/f%d", i), Perms: wa}).Answer != Covered {
				b.Fatal(i)
			}
		}
	}
}

// A thousand rules as check reads them: from the file and from the kernel.
func BenchmarkRules(b *testing.B) {
	w := dockerHost()
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "-a always,exit -F path=/opt/tc/f%d -F perm=wa -F key=key%d\n", i, i)
	}
	m, _ := w.Machine()
	paths := Remember(w)
	var wire [][]byte
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			loaded := Load(Lines("x.rules", []byte(text.String())), w, paths, Now)
			if len(loaded.Rules) != 1000 {
				b.Fatal(loaded.Stopped)
			}
			if wire == nil {
				for i := range loaded.Rules {
					wire = append(wire, loaded.Rules[i].Encode())
				}
			}
		}
	})
	var list Listing
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			list = Listing{}
			for _, data := range wire {
				if err := list.Add(data); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("view", func(b *testing.B) {
		for b.Loop() {
			if _, err := NewView(list.Rules(), m, paths); err != nil {
				b.Fatal(err)
			}
		}
	})
}
