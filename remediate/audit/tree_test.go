package audit

import (
	"bytes"
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/checks/audit"
	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/config"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/filestate"
	"github.com/hostguard/hostguard/remediate/unitstate"
)

// tree is a host with docker, an auditd that the next boot starts, and files.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	lab.Need(t, lab.Root)
	root := t.TempDir()
	all := map[string]string{
		"/etc/machine-id":                                            "0123456789abcdef0123456789abcdef\n",
		"/lib/systemd/system/auditd.service":                         "[Service]\nExecStart=/sbin/auditd\nExecStartPost=-/sbin/augenrules --load\n[Install]\nWantedBy=multi-user.target\n",
		"/lib/systemd/system/default.target":                         "[Unit]\nRequires=multi-user.target\n",
		"/lib/systemd/system/multi-user.target":                      "[Unit]\n",
		"/sbin/auditd":                                               "",
		"/etc/audit/rules.d/audit.rules":                             "-D\n-b 8192\n-f 1\n",
		"/etc/docker/daemon.json":                                    "{}\n",
		"/opt/tc/.env":                                               "A=b\n",
		"/etc/systemd/system/multi-user.target.wants/theirs.service": "",
	}
	maps.Copy(all, files)
	for name, text := range all {
		at := root + name
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(at, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if text == "-" {
			continue
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	wants := root + "/etc/systemd/system/multi-user.target.wants"
	if err := os.MkdirAll(wants, 0o755); err != nil {
		t.Fatal(err)
	}
	if all["/lib/systemd/system/auditd.service"] != "-" {
		if err := os.Symlink("/lib/systemd/system/auditd.service", wants+"/auditd.service"); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// rule is a rule of the profile: a check with its parameters.
type rule struct {
	id, check string
	watch     audit.WatchParams
}

func watching(id string, params audit.WatchParams) rule {
	if params.Perms == 0 {
		params.Perms = 10 // wa
	}
	params.Missing = "skip"
	if params.Key == "" {
		params.Key = "k"
	}
	return rule{id, "audit-watch", params}
}

// look runs the rules.
func look(t *testing.T, h *host.Host, rules []rule) []checks.Finding {
	t.Helper()
	var tasks []checks.Task
	for _, r := range rules {
		i := slices.IndexFunc(audit.Checks, func(c checks.Check) bool { return c.Name == r.check })
		probe, err := audit.Checks[i].Bind(func(params any) error {
			if r.check == "audit-watch" {
				reflect.ValueOf(params).Elem().Set(reflect.ValueOf(r.watch))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, checks.Task{Rule: r.id, Needs: audit.Checks[i].Needs, Probe: probe})
	}
	return checks.Run(context.Background(), h, tasks, checks.DefaultProbeTimeout)
}

// plan is what fix would do about the rules.
func plan(t *testing.T, root string, rules []rule) *remediate.Plan {
	t.Helper()
	h := host.New(host.Options{Root: root})
	check := func(id string) string {
		return rules[slices.IndexFunc(rules, func(r rule) bool { return r.id == id })].check
	}
	w := remediate.Collect(look(t, h, rules), check, func(string) string { return "the hint" }, Remediators, nil, &config.Config{})
	p, err := remediate.Resolve(context.Background(), h, w)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// do makes the plan's moves, forwards or backwards, without a transaction.
func do(t *testing.T, p *remediate.Plan, back bool) {
	t.Helper()
	kinds := append(slices.Clone(filestate.Kinds), unitstate.Kind)
	steps := slices.Clone(p.Steps)
	if back {
		slices.Reverse(steps)
	}
	for _, s := range steps {
		k := kinds[slices.IndexFunc(kinds, func(k remediate.Kind) bool { return k.Name == s.Kind })]
		from, to := s.Before, s.After
		if back {
			from, to = to, from
		}
		thing := remediate.Thing{Root: p.Root, Target: s.Target, Mark: "test"}
		ctx := context.Background()
		if err := k.Move(ctx, thing, from, to); err != nil {
			t.Fatalf("%s %s: %v", s.Kind, s.Target, err)
		}
		if err := k.Settle(ctx, thing, from, to); err != nil {
			t.Fatalf("%s %s: %v", s.Kind, s.Target, err)
		}
		if err := k.Clean(ctx, thing, from, to); err != nil {
			t.Fatalf("%s %s: %v", s.Kind, s.Target, err)
		}
	}
}

// snapshot is all there is below a folder.
func snapshot(t *testing.T, root string) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", `cd "$0" && find . -printf '%p %y %m %U:%G %l\n' | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum`, root).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func statuses(list []checks.Finding) string {
	var words []string
	for _, f := range list {
		words = append(words, f.Rule+" "+f.Status.String())
	}
	return strings.Join(words, ", ")
}

// Each: rules that fail, what a person is left with, and what the host passes
// afterwards. After undo the tree is what it was.
func TestFixOfATree(t *testing.T) {
	t.Parallel()
	docker := watching("DOCKER", audit.WatchParams{Paths: []string{"/etc/docker"}})
	env := watching("ENV", audit.WatchParams{Paths: []string{"/opt/tc/.env"}, Key: "tc"})
	shim := watching("SHIM", audit.WatchParams{Paths: []string{"/run/shim"}})
	load := rule{id: "LOAD", check: "audit-rules-load"}
	daemon := rule{id: "DAEMON", check: "audit-daemon"}
	conf := rule{id: "CONF", check: "audit-daemon-config"}
	for name, c := range map[string]struct {
		files  map[string]string
		remove []string
		rules  []rule
		after  string
		future string            // a folder that is made between plan and moves
		person []string          // words in what is left to a person
		want   map[string]string // words in files afterwards; "-": not in it
	}{
		"nothing is written yet": {
			rules: []rule{docker, env, load},
			after: "DOCKER pass, ENV pass, LOAD pass",
			want: map[string]string{
				ownFile:                  "## DOCKER\n-w /etc/docker -p wa -k k\n## ENV\n-w /opt/tc/.env -p wa -k tc\n",
				"/etc/audit/audit.rules": "-D\n-b 8192\n-f 1\n-w /etc/docker -p wa -k k\n-w /opt/tc/.env -p wa -k tc\n",
			},
		},
		"two rules want one path": {
			rules: []rule{docker, watching("TOO", audit.WatchParams{Paths: []string{"/etc/docker/daemon.json"}}), load},
			after: "DOCKER pass, TOO pass, LOAD pass",
		},
		"two rules want different things of one path": {
			rules: []rule{docker, watching("RUN", audit.WatchParams{Paths: []string{"/etc/docker"}, Perms: 1}), load},
			after: "DOCKER pass, RUN pass, LOAD pass",
			want:  map[string]string{ownFile: "## DOCKER RUN\n-w /etc/docker -p wxa -k k\n"},
		},
		"the folder of transactions, which the first one makes": {
			rules:  []rule{watching("STATE", audit.WatchParams{Paths: []string{"/etc/docker", "/var/lib/hostguard"}}), load},
			after:  "STATE pass, LOAD pass",
			files:  map[string]string{"/var/lib/": ""},
			future: "/var/lib/hostguard",
			want:   map[string]string{"/etc/audit/audit.rules": "-w /var/lib/hostguard -p wa -k k\n"},
		},
		"the folder of transactions, where nothing else of the rule is there": {
			rules:  []rule{watching("STATE", audit.WatchParams{Paths: []string{"/etc/hostguard", "/var/lib/hostguard"}}), docker, load},
			after:  "STATE pass, DOCKER pass, LOAD pass",
			files:  map[string]string{"/var/lib/": ""},
			future: "/var/lib/hostguard",
			want:   map[string]string{"/etc/audit/audit.rules": "-w /var/lib/hostguard -p wa -k k\n"},
		},
		"nothing else is wrong, and no transaction begins": {
			rules: []rule{watching("STATE", audit.WatchParams{Paths: []string{"/var/lib/hostguard"}}), watching("GONE", audit.WatchParams{Paths: []string{"/no/such"}})},
			after: "STATE not-applicable, GONE not-applicable",
			files: map[string]string{"/var/lib/": ""},
			want:  map[string]string{ownFile: ""},
		},
		"a file of ours is there, without its last newline": {
			files: map[string]string{ownFile: "-w /etc/docker -p wa -k k"},
			rules: []rule{docker, env, load},
			after: "DOCKER pass, ENV pass, LOAD pass",
			want:  map[string]string{ownFile: "-w /etc/docker -p wa -k k\n## ENV\n"},
		},
		"case 16: a file before ours ends without a newline": {
			files: map[string]string{"/etc/audit/rules.d/10-theirs.rules": "-w /opt/tc -p wa", "/etc/audit/rules.d/audit.rules": "-"},
			rules: []rule{docker, load},
			after: "DOCKER pass, LOAD pass",
		},
		"case 16: finalizing files, -e 2 among them": {
			files: map[string]string{"/etc/audit/rules.d/99-finalize.rules": "-e 2\n"},
			rules: []rule{docker, load},
			after: "DOCKER pass, LOAD pass",
			want:  map[string]string{"/etc/audit/audit.rules": "-w /etc/docker -p wa -k k\n-e 2\n"},
		},
		"case 18: a line before ends the load": {
			files:  map[string]string{"/etc/audit/rules.d/10-bad.rules": "-w /no/such/folder/file -p wa\n"},
			rules:  []rule{docker, load},
			after:  "DOCKER fail, LOAD fail",
			person: []string{"mend that line first", "mend /etc/audit/rules.d/10-bad.rules:1"},
			want:   map[string]string{ownFile: ""},
		},
		"case 23: a rule that suppresses comes later": {
			files: map[string]string{"/etc/audit/rules.d/60-never.rules": "-a never,exit -F path=/var/cache/x -F perm=r\n", "/var/cache/": ""},
			rules: []rule{docker, load},
			after: "DOCKER pass, LOAD pass",
			want:  map[string]string{lastFile: "-w /etc/docker -p wa -k k", ownFile: ""},
		},
		"case 23: a rule that suppresses comes first": {
			files:  map[string]string{"/etc/audit/rules.d/10-never.rules": "-a never,exit -F dir=/etc\n"},
			rules:  []rule{docker},
			after:  "DOCKER fail",
			person: []string{"/etc/docker"},
		},
		"a folder in memory is made at boot first": {
			rules: []rule{shim, load},
			files: map[string]string{"/run/shim/": ""},
			after: "SHIM pass, LOAD pass",
			want:  map[string]string{"/etc/tmpfiles.d/hostguard-run-shim.conf": "d /run/shim 0755 0 0 -\n", ownFile: "-w /run/shim -p wa -k k"},
		},
		"auditd is not started at boot": {
			remove: []string{"/etc/systemd/system/multi-user.target.wants/auditd.service"},
			rules:  []rule{docker, load, daemon},
			after:  "DOCKER pass, LOAD pass, DAEMON pass",
		},
		"auditd is masked": {
			remove: []string{"/etc/systemd/system/multi-user.target.wants/auditd.service"},
			files:  map[string]string{"/etc/systemd/system/auditd.service": ""},
			rules:  []rule{docker, daemon},
			after:  "DOCKER fail, DAEMON fail",
			person: []string{"systemctl unmask auditd.service"},
		},
		"auditd is not installed": {
			files:  map[string]string{"/lib/systemd/system/auditd.service": "-"},
			rules:  []rule{docker, daemon},
			after:  "DOCKER fail, DAEMON fail",
			person: []string{"apt-get install auditd"},
		},
		"the rules are loaded from elsewhere": {
			files:  map[string]string{"/lib/systemd/system/auditd.service": "[Service]\nExecStartPost=-/sbin/auditctl -R /etc/my.rules\n"},
			rules:  []rule{docker},
			after:  "DOCKER fail",
			person: []string{"/etc/my.rules"},
		},
		"audit.rules is older than rules.d": {
			files: map[string]string{"/etc/audit/audit.rules": "-D\n-b 64\n"},
			rules: []rule{load},
			after: "LOAD pass",
			want:  map[string]string{"/etc/audit/audit.rules": "-b 8192"},
		},
		"a full disk halts the host": {
			files: map[string]string{"/etc/audit/auditd.conf": "# ours\nlog_file = /var/log/audit/audit.log\nmax_log_file = 8\n" +
				"Disk_Full_Action = HALT\n\nspace_left = 75\nspace_left_action = email\nadmin_space_left = 50\nadmin_space_left_action = halt\nflush = INCREMENTAL_ASYNC\nfreq = 50\n",
				"/var/log/audit/": ""},
			rules: []rule{conf},
			after: "CONF pass",
			want: map[string]string{"/etc/audit/auditd.conf": "# ours\nlog_file = /var/log/audit/audit.log\nmax_log_file = 8\n" +
				"Disk_Full_Action = SUSPEND\n\nspace_left = 75\nspace_left_action = email\nadmin_space_left = 50\nadmin_space_left_action = SUSPEND\nflush = INCREMENTAL_ASYNC\nfreq = 50\n" +
				"max_log_file_action = ROTATE\nnum_logs = 5\n"},
		},
		"auditd refuses its configuration": {
			files:  map[string]string{"/etc/audit/auditd.conf": "nonsense\n"},
			rules:  []rule{conf},
			after:  "CONF fail",
			person: []string{"the hint"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := tree(t, c.files)
			for _, gone := range c.remove {
				if err := os.Remove(root + gone); err != nil {
					t.Fatal(err)
				}
			}
			if name == "auditd is masked" {
				at := root + "/etc/systemd/system/auditd.service"
				if err := os.Remove(at); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink("/dev/null", at); err != nil {
					t.Fatal(err)
				}
			}
			before := snapshot(t, root)
			p := plan(t, root, c.rules)
			if snapshot(t, root) != before {
				t.Fatal("a plan writes")
			}
			var tasks []string
			for _, task := range p.Person {
				tasks = append(tasks, task.Does)
			}
			for _, words := range c.person {
				if !strings.Contains(strings.Join(tasks, "\n"), words) {
					t.Errorf("a person is told %q, want %q", tasks, words)
				}
			}
			if len(c.person) == 0 && len(tasks) > 0 {
				t.Errorf("a person is told %q", tasks)
			}
			if c.future != "" {
				if err := os.MkdirAll(root+c.future, 0o700); err != nil {
					t.Fatal(err)
				}
				before = snapshot(t, root)
			}
			do(t, p, false)
			h := host.New(host.Options{Root: root})
			findings := look(t, h, c.rules)
			if got := statuses(findings); got != c.after {
				t.Errorf("afterwards: %s, want %s: %+v", got, c.after, findings)
			}
			for file, words := range c.want {
				data, err := os.ReadFile(root + file)
				if words == "" && err == nil || words != "" && !bytes.Contains(data, []byte(words)) {
					t.Errorf("%s holds\n%s\nwant in it\n%s", file, data, words)
				}
			}
			if again := plan(t, root, c.rules); !again.Empty() {
				t.Errorf("planned again there are %d steps: %s", len(again.Steps), again.Steps[0].Target)
			}
			do(t, p, true)
			if after := snapshot(t, root); after != before {
				t.Errorf("after undo:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

func TestSetDaemonOption(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, want string }{
		"set":                        {"a = b\nflush = none\nc = d\n", "a = b\nflush = sync\nc = d\n"},
		"not set":                    {"# x\n", "# x\nflush = sync\n"},
		"empty":                      {"", "flush = sync\n"},
		"set twice, the last counts": {"flush = none\nflush = data\n", "flush = none\nflush = sync\n"},
		"its option goes":            {"flush = exec /x\n", "flush = sync\n"},
		"in another case":            {"FLUSH  =   none\n", "FLUSH = sync\n"},
		"as wanted":                  {"flush   = sync\n", "flush   = sync\n"},
		"commented out":              {"# flush = none\n", "# flush = none\nflush = sync\n"},
		"a last line without end":    {"a = b\nflush = none", "a = b\nflush = sync\nflush = none"},
	} {
		if got := string(setDaemonOption([]byte(c.file), "flush", "sync")); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Whatever stands in the file: if auditd takes it afterwards, it takes the
// value, and everything else as before.
func FuzzSetDaemonOption(f *testing.F) {
	f.Add("# x\nflush = none\nfreq = 50\n", "flush", "sync")
	f.Add("num_logs = 5\nspace_left_action = exec /x\n", "space_left_action", "SYSLOG")
	f.Fuzz(func(t *testing.T, file, name, value string) {
		if strings.ContainsAny(name+value, " \n#=") || name == "" || value == "" || name != strings.ToLower(name) {
			return
		}
		before, err := auditrule.ParseDaemonConf("x", []byte(file))
		if err != nil {
			return
		}
		data := setDaemonOption([]byte(file), name, value)
		after, err := auditrule.ParseDaemonConf("x", data)
		if err != nil {
			return
		}
		if got := after.Get(name).Value; got != value {
			t.Errorf("%q: %s is %q, want %q", data, name, got, value)
		}
		for _, other := range []string{"flush", "freq", "num_logs", "space_left", "log_file", "disk_full_action"} {
			if other != name && before.Get(other).Value != after.Get(other).Value {
				t.Errorf("%q: %s changed, too", data, other)
			}
		}
		if again := setDaemonOption(data, name, value); !bytes.Equal(again, data) {
			t.Errorf("%q becomes %q when it is asked for again", data, again)
		}
	})
}

func TestSetOption(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"-b 64": "-b 8192", "-b64": "-b8192", "-f 1 -b  64 -r 0": "-f 1 -b  8192 -r 0", "-w /a-b 5": "-w /a-b 5",
	} {
		got := string(setOption([]byte("-b 1\n"+line+"\n-b 2"), 2, "b", 8192))
		if got != "-b 1\n"+want+"\n-b 2" {
			t.Errorf("%q becomes %q, want %q", line, got, want)
		}
	}
	if got := string(setOption([]byte("-b 1\n"), 3, "b", 5)); got != "-b 1\n" {
		t.Errorf("a line that is not there: %q", got)
	}
}
