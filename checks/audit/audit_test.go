package audit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/unitfile"
)

// places writes evidence as "source:line key", for comparison.
func places(evidence []checks.Evidence) string {
	var out []string
	for _, e := range evidence {
		out = append(out, e.Source+"|"+e.Key+"|"+e.Got)
	}
	return strings.Join(out, "\n")
}

func TestJudgeStatus(t *testing.T) {
	t.Parallel()
	good := host.AuditStatus{Enabled: 1, Failure: 1, PID: 7, BacklogLimit: 8192}
	auditd := collector{7, "/usr/sbin/auditd"}
	for name, c := range map[string]struct {
		change func(*host.AuditStatus, *collector, *statusParams)
		want   checks.Status
		key    string
	}{
		"as wanted":                {func(*host.AuditStatus, *collector, *statusParams) {}, checks.Pass, ""},
		"24 locked records too":    {func(s *host.AuditStatus, _ *collector, _ *statusParams) { s.Enabled = 2 }, checks.Pass, ""},
		"23 off":                   {func(s *host.AuditStatus, _ *collector, _ *statusParams) { s.Enabled = 0 }, checks.Fail, "enabled"},
		"an unknown state":         {func(s *host.AuditStatus, _ *collector, _ *statusParams) { s.Enabled = 9 }, checks.Fail, "enabled"},
		"25 lost":                  {func(s *host.AuditStatus, _ *collector, _ *statusParams) { s.Lost = 1 }, checks.Fail, "lost"},
		"25 lost, allowed":         {func(s *host.AuditStatus, _ *collector, p *statusParams) { s.Lost, p.MaxLost = 5, 5 }, checks.Pass, ""},
		"25 backlog":               {func(s *host.AuditStatus, _ *collector, _ *statusParams) { s.BacklogLimit = 64 }, checks.Fail, "backlog_limit"},
		"25 somebody else":         {func(_ *host.AuditStatus, c *collector, _ *statusParams) { c.Exe = "/opt/auditbeat" }, checks.Fail, "pid"},
		"25 a program replaced":    {func(_ *host.AuditStatus, c *collector, _ *statusParams) { c.Exe = "/usr/sbin/auditd (deleted)" }, checks.Fail, "pid"},
		"nobody":                   {func(_ *host.AuditStatus, c *collector, _ *statusParams) { *c = collector{} }, checks.Fail, "pid"},
		"panic":                    {func(s *host.AuditStatus, _ *collector, _ *statusParams) { s.Failure = 2 }, checks.Fail, "failure"},
		"silent":                   {func(s *host.AuditStatus, _ *collector, _ *statusParams) { s.Failure = 0 }, checks.Fail, "failure"},
		"rate":                     {func(s *host.AuditStatus, _ *collector, _ *statusParams) { s.RateLimit = 100 }, checks.Fail, "rate_limit"},
		"what is not asked passes": {func(s *host.AuditStatus, _ *collector, p *statusParams) { s.Lost, p.Aspects = 9, []string{"enabled"} }, checks.Pass, ""},
	} {
		s, c2, p := good, auditd, defaultStatus
		c.change(&s, &c2, &p)
		v := judgeStatus(s, c2, p)
		if v.Status != c.want || c.want == checks.Fail && (v.Evidence[0].Key != c.key || v.Reason == "" || v.Evidence[0].Want == "") {
			t.Errorf("%s: %v %q\n%s", name, v.Status, v.Reason, places(v.Evidence))
		}
		if len(v.Evidence) == 0 {
			t.Errorf("%s: no evidence", name)
		}
	}
}

func TestJudgeDaemon(t *testing.T) {
	t.Parallel()
	file := unitfile.Unit{Name: daemonUnit, ID: daemonUnit, Path: "/lib/systemd/system/auditd.service", State: "enabled"}
	const link = "/etc/systemd/system/multi-user.target.wants/auditd.service"
	up, down := host.Unit{Name: daemonUnit, ActiveState: "active"}, host.Unit{Name: daemonUnit, ActiveState: "failed"}
	for name, c := range map[string]struct {
		seen daemonSeen
		want checks.Status
	}{
		"up":                       {daemonSeen{file: file, boot: link, live: up}, checks.Pass},
		"down":                     {daemonSeen{file: file, boot: link, live: down}, checks.Fail},
		"not at boot":              {daemonSeen{file: file, live: up}, checks.Fail},
		"not installed":            {daemonSeen{}, checks.Fail},
		"26 down in a container":   {daemonSeen{file: file, boot: link, live: down, refusal: errors.New("refused")}, checks.Error},
		"26 not installed there":   {daemonSeen{refusal: errors.New("refused")}, checks.Fail},
		"a tree":                   {daemonSeen{file: file, boot: link, refusal: host.ErrNotRunning}, checks.Pass},
		"a tree that lacks a link": {daemonSeen{file: file, refusal: host.ErrNotRunning}, checks.Fail},
	} {
		v, err := judgeDaemon(c.seen)
		if err != nil {
			v.Status = checks.Error
		}
		if v.Status != c.want || len(v.Evidence) == 0 {
			t.Errorf("%s: %v %q %v", name, v.Status, v.Reason, err)
		}
	}
}

func TestJudgeDaemonConfig(t *testing.T) {
	t.Parallel()
	const debian = "write_logs = yes\nlog_format = ENRICHED\nmax_log_file_action = ROTATE\nnum_logs = 5\nspace_left = 75\nspace_left_action = SYSLOG\n" +
		"admin_space_left = 50\nadmin_space_left_action = SUSPEND\ndisk_full_action = SUSPEND\ndisk_error_action = SUSPEND\n"
	for name, c := range map[string]struct {
		conf, wrong string
	}{
		"Debian's own":                 {debian, ""},
		"a percentage":                 {strings.Replace(debian, "= 75", "= 25%", 1), ""},
		"halt":                         {strings.Replace(debian, "disk_full_action = SUSPEND", "disk_full_action = HALT", 1), "disk_full_action"},
		"single user":                  {strings.Replace(debian, "admin_space_left_action = SUSPEND", "admin_space_left_action = single", 1), "admin_space_left_action"},
		"ignore":                       {strings.Replace(debian, "\nspace_left_action = SYSLOG", "\nspace_left_action = ignore", 1), "space_left_action"},
		"left out is ignore":           {strings.Replace(debian, "disk_full_action = SUSPEND\n", "", 1), "disk_full_action"},
		"rotation of one file is none": {strings.Replace(debian, "num_logs = 5", "num_logs = 1", 1), "num_logs"},
		"the warning never comes":      {strings.NewReplacer("admin_space_left = 50", "admin_space_left = 1%", "space_left = 75", "space_left = 0%").Replace(debian), "space_left"},
		"nothing is written":           {strings.Replace(debian, "write_logs = yes", "write_logs = no", 1), "write_logs"},
		"the last of two wins":         {debian + "disk_error_action = halt\n", "disk_error_action"},
		"nothing is configured":        {"", "max_log_file_action"},
	} {
		conf, err := auditrule.ParseDaemonConf(host.AuditdConfFile, []byte(c.conf))
		if err != nil {
			t.Fatal(err)
		}
		v := judgeDaemonConfig(host.AuditdConf{DaemonConf: conf, Exists: true}, defaultDaemonConfig)
		if got := v.Status == checks.Fail; got != (c.wrong != "") || got && v.Evidence[0].Key != c.wrong {
			t.Errorf("%s: %v\n%s", name, v.Status, places(v.Evidence))
		}
	}
}

// tree makes a file tree; a name that ends in / is a folder.
func tree(t *testing.T, files map[string]string) *host.Host {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		file := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		if err == nil && strings.HasSuffix(name, "/") {
			err = os.MkdirAll(file, 0o755)
		} else if err == nil {
			err = os.WriteFile(file, []byte(content), 0o640)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return host.New(host.Options{Root: root, ConnectorDirs: []string{"/opt/tc"}})
}

// debian is a host with docker and auditd, and these rules.
func debian(t *testing.T, rules string) *host.Host {
	return tree(t, map[string]string{
		"/lib/systemd/system/auditd.service": "[Service]\nExecStart=/sbin/auditd\nExecStartPost=-/sbin/augenrules --load\n",
		"/etc/audit/rules.d/50-x.rules":      rules,
		"/usr/sbin/auditd":                   "",
		"/etc/docker/daemon.json":            "{}\n",
		"/etc/audit/auditd.conf":             "",
		"/opt/tc/docker-compose.yml":         "services:\n  ecc-provider:\n    image: rdlabengpa/ids_execution_core_container:v1\n    volumes: ['./conf:/config', '/srv/data:/data']\n",
		"/opt/tc/.env":                       "A=b\n",
		"/opt/tc/conf/":                      "",
		"/srv/data/":                         "",
	})
}

func run(t *testing.T, h *host.Host, name string, params func(any)) checks.Finding {
	t.Helper()
	for _, c := range Checks {
		if c.Name != name {
			continue
		}
		probe, err := c.Bind(func(p any) error {
			if params != nil {
				params(p)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return checks.Run(t.Context(), h, []checks.Task{{Rule: name, Needs: c.Needs, Probe: probe}}, 10*time.Second)[0]
	}
	t.Fatalf("there is no check %s", name)
	return checks.Finding{}
}

func watchOf(change func(*WatchParams)) func(any) { return func(p any) { change(p.(*WatchParams)) } }

// Under --root only the persisted half can be seen.
func TestWatchOfATree(t *testing.T) {
	t.Parallel()
	etcDocker := watchOf(func(p *WatchParams) { p.Paths = []string{"/etc/docker"} })
	connector := watchOf(func(p *WatchParams) { p.Discover = []string{"connector-files"} })
	mounts := watchOf(func(p *WatchParams) { p.Discover = []string{"connector-mounts"} })
	for _, c := range []struct {
		name, rules string
		params      func(any)
		want        checks.Status
		says        string // in evidence or error
	}{
		{"covered", "-w /etc/docker -p wa -k any\n", etcDocker, checks.Pass, "wa by -w /etc/docker -p wa -k any"},
		{"not covered", "-w /etc/docker-x -p wa\n", etcDocker, checks.Fail, "not covered"},
		{"no rules", "", etcDocker, checks.Fail, "not covered: writing (w), attribute changes (a)"},
		{"half", "-w /etc/docker -p a\n", etcDocker, checks.Fail, "partly covered: writing (w)"},
		{"the load ends before", "bad line\n-w /etc/docker -p wa\n", etcDocker, checks.Fail, "the load ends at /etc/audit/rules.d/50-x.rules:1"},
		{"a doubt before", "-a always,exit -F auid=who -F path=/etc/docker\n-w /etc/docker -p wa\n", etcDocker, checks.Error, "the load may end before"},
		{"a doubt after", "-w /etc/docker -p wa\n-a always,exit -F auid=who -F path=/etc/docker\n", etcDocker, checks.Pass, ""},
		{"the connector", "-w /opt/tc -p wa\n", connector, checks.Pass, "/opt/tc/.env"},
		{"only its .env", "-w /opt/tc/.env -p wa\n", connector, checks.Fail, "compose file /opt/tc/docker-compose.yml|not covered"},
		{"a mount elsewhere", "-w /opt/tc -p wa\n", mounts, checks.Fail, "bind mount /srv/data|not covered"},
		{"both mounts", "-w /opt/tc -p wa\n-w /srv -p wa\n", mounts, checks.Pass, "bind mount /srv/data"},
		{"nothing there", "", watchOf(func(p *WatchParams) { p.Paths = []string{"/nowhere", "/etc/none*"} }), checks.NotApplicable, "does not exist here"},
		{"it must be there", "", watchOf(func(p *WatchParams) { p.Paths, p.Missing = []string{"/nowhere"}, "fail" }), checks.Fail, "/nowhere"},
		{"a pattern", "-w /etc/docker -p wa\n", watchOf(func(p *WatchParams) { p.Paths = []string{"/etc/do*/*.json"} }), checks.Pass, "/etc/docker/daemon.json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := run(t, debian(t, c.rules), "audit-watch", c.params)
			text := places(f.Evidence)
			if f.Err != nil {
				text += "\n" + f.Err.Error()
			}
			if f.Status != c.want || !strings.Contains(text, c.says) {
				t.Errorf("%v %s\n%s", f.Status, f.Reason, text)
			}
		})
	}
}

func TestWatchWithoutConnector(t *testing.T) {
	t.Parallel()
	h := tree(t, map[string]string{"/etc/audit/rules.d/a.rules": ""})
	f := run(t, host.New(host.Options{Root: h.Root()}), "audit-watch", watchOf(func(p *WatchParams) { p.Discover = []string{"connector"} }))
	if f.Status != checks.Error || !errors.Is(f.Err, host.ErrNoConnector) {
		t.Errorf("%v %v", f.Status, f.Err)
	}
}

// side makes both sides of one path, judged by rules in a tree.
func sides(t *testing.T, boot, loaded string) bothSides {
	t.Helper()
	h := debian(t, boot)
	files, err := h.AuditFiles(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := bothSides{files: files, status: host.AuditStatus{Enabled: 1}}
	want := auditrule.Want{Path: "/etc/docker", Perms: auditrule.Write | auditrule.Attr}
	view := func(rules string) auditrule.Coverage {
		v, err := debian(t, rules).AuditViews(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return v.Boot.Cover(want)
	}
	s.paths = []covered{{target{Want: want}, view(boot), view(loaded)}}
	return s
}

// What is covered must be so in the kernel and after the next boot.
func TestJudgeWatchSides(t *testing.T) {
	t.Parallel()
	const rule = "-w /etc/docker -p wa -k docker\n"
	for name, c := range map[string]struct {
		sides  func(t *testing.T) bothSides
		want   checks.Status
		reason string
		source string // of the first evidence
	}{
		"both":           {func(t *testing.T) bothSides { return sides(t, rule, rule) }, checks.Pass, "", ""},
		"17 not loaded":  {func(t *testing.T) bothSides { return sides(t, rule, "") }, checks.Fail, "in the kernel", kernelRules},
		"not persisted":  {func(t *testing.T) bothSides { return sides(t, "", rule) }, checks.Fail, "until the next boot", host.AuditRulesDir},
		"neither":        {func(t *testing.T) bothSides { return sides(t, "", "") }, checks.Fail, "neither", kernelRules},
		"23 off":         {func(t *testing.T) bothSides { s := sides(t, rule, rule); s.status.Enabled = 0; return s }, checks.Fail, "in the kernel", statusSource},
		"nothing loads":  {func(t *testing.T) bothSides { s := sides(t, rule, rule); s.files.Loaders = nil; return s }, checks.Fail, "until the next boot", "auditd.service"},
		"26 a container": {func(t *testing.T) bothSides { s := sides(t, rule, rule); s.loadedErr = errors.New("no"); return s }, checks.Error, "", host.AuditRulesDir + "/50-x.rules"},
		"26 a container, and nothing on disk": {
			func(t *testing.T) bothSides { s := sides(t, "", rule); s.loadedErr = errors.New("no"); return s }, checks.Fail,
			"not covered by the rules that the next boot loads", host.AuditRulesDir,
		},
		"a tree": {func(t *testing.T) bothSides { s := sides(t, rule, rule); s.loadedErr = host.ErrNotRunning; return s }, checks.Pass, "", ""},
		"a doubtful merge": {func(t *testing.T) bothSides {
			s := sides(t, rule, rule)
			s.files.Merged.Doubts = []string{"x"}
			return s
		}, checks.Error, "", ""},
		"unknown is no pass": {func(t *testing.T) bothSides {
			s := sides(t, rule, rule)
			s.paths[0].loaded = auditrule.Coverage{Answer: auditrule.Unknown, Doubts: []string{"mounted"}}
			return s
		}, checks.Error, "", kernelRules},
	} {
		v, err := judgeWatch(c.sides(t))
		if err != nil {
			v.Status = checks.Error
		}
		if v.Status != c.want || !strings.Contains(v.Reason, c.reason) || c.source != "" && v.Evidence[0].Source != c.source {
			t.Errorf("%s: %v %q %v\n%s", name, v.Status, v.Reason, err, places(v.Evidence))
		}
	}
}

func TestJudgeLoad(t *testing.T) {
	t.Parallel()
	const rule = "-w /etc/docker -p wa -k docker\n"
	const second = "-a never,exit -F path=/etc/docker/daemon.json -F uid=33\n"
	for name, c := range map[string]struct {
		boot, kernel string
		change       func(*host.AuditFiles, *kernelSide)
		want         checks.Status
		says         string
	}{
		"the same":                            {rule, rule, nil, checks.Pass, "1, all of which load"},
		"19 the same in other words":          {rule, "-a always,exit -F dir=/etc/docker/ -F perm=aw -F key=docker\n", nil, checks.Pass, ""},
		"17 not loaded":                       {rule + second, rule, nil, checks.Fail, "not loaded|-a never,exit -S all -F path=/etc/docker/daemon.json -F uid=33"},
		"loaded only":                         {rule, rule + second, nil, checks.Fail, "not persisted|"},
		"another key":                         {rule, strings.Replace(rule, "-k docker", "-k other", 1), nil, checks.Fail, "not loaded|"},
		"22 loaded before the folder existed": {rule, "-a always,exit -F path=/etc/docker -F perm=wa -F key=docker\n", nil, checks.Fail, "not persisted|-a always,exit -S all -F path=/etc/docker -F perm=wa -F key=docker"},
		"another order":                       {rule + second, second + rule, nil, checks.Fail, "order|"},
		"order without never":                 {rule + "-w /srv/data -p wa\n", "-w /srv/data -p wa\n" + rule, nil, checks.Pass, ""},
		"18 the load ends":                    {"bad\n" + rule, "", nil, checks.Fail, "the load ends here, and 1 more lines are not read"},
		"18 a line is skipped":                {"-i\nbad\n" + rule, rule, nil, checks.Fail, "50-x.rules|line|"},
		"23 boot turns it off":                {rule + "-e 0\n", rule, nil, checks.Fail, "the boot turns auditing off"},
		"panic after the boot":                {rule + "-f 2\n", rule, nil, checks.Fail, "panics"},
		"24 locked":                           {rule, "", func(_ *host.AuditFiles, k *kernelSide) { k.status.Enabled = 2 }, checks.Fail, "not loaded|"},
		"24 locked and the same":              {rule, rule, func(_ *host.AuditFiles, k *kernelSide) { k.status.Enabled = 2 }, checks.Pass, "rules change only with a reboot"},
		"17 stale":                            {rule, rule, func(f *host.AuditFiles, _ *kernelSide) { f.Stale = true }, checks.Fail, host.AuditRulesFile},
		"26 a container":                      {rule, rule, func(_ *host.AuditFiles, k *kernelSide) { k.err = errors.New("refused") }, checks.Error, "refused"},
		"a tree":                              {rule, "", func(_ *host.AuditFiles, k *kernelSide) { k.err = host.ErrNotRunning }, checks.Pass, "not looked at"},
		"nothing loads":                       {rule, rule, func(f *host.AuditFiles, _ *kernelSide) { f.Loaders = nil }, checks.Fail, "gone after a reboot"},
		"auditd is disabled": {rule, rule, func(f *host.AuditFiles, _ *kernelSide) {
			for i := range f.Loaders {
				f.Loaders[i].Unit = "audit-rules.service"
			}
		}, checks.Fail, "auditd.service|loads at boot|augenrules --load, which nothing runs: the next boot does not start audit-rules.service"},
		"a doubt":  {rule + "-a always,exit -F auid=who -S open\n", rule, nil, checks.Error, "50-x.rules:2"},
		"16 glued": {"-w /etc/docker -p wa -k docker-w /opt -p wa\n", "", nil, checks.Fail, "50-x.rules|line|"},
	} {
		files, err := debian(t, c.boot).AuditFiles(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		kernel, err := debian(t, c.kernel).AuditFiles(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		files.Stale = false
		k := kernelSide{status: host.AuditStatus{Enabled: 1}, rules: kernel.Boot.Rules}
		if c.change != nil {
			c.change(&files, &k)
		}
		v, err := judgeLoad(files, map[string]string{"auditd.service": "multi-user.target.wants/auditd.service"}, k)
		text := places(v.Evidence)
		if err != nil {
			v.Status = checks.Error
			text += err.Error()
		}
		if v.Status != c.want || !strings.Contains(text, c.says) {
			t.Errorf("%s: %v\n%s", name, v.Status, text)
		}
	}
}

func TestStaleness(t *testing.T) {
	t.Parallel()
	line := func(text string, n int) auditrule.Text {
		return auditrule.Text{Text: text, Pos: auditrule.Pos{File: "f", Line: n}}
	}
	merged := auditrule.Merged{Lines: []auditrule.Text{line("a", 1), line("b", 2)}}
	for name, c := range map[string]struct {
		files host.AuditFiles
		line  int
		got   string
	}{
		"absent":  {host.AuditFiles{Merged: merged}, 0, "no such file"},
		"differs": {host.AuditFiles{Merged: merged, HasFile: true, Generated: []auditrule.Text{line("a", 1), line("x", 2)}}, 2, "x"},
		"shorter": {host.AuditFiles{Merged: merged, HasFile: true, Generated: []auditrule.Text{line("a", 1)}}, 1, "ends here"},
		"longer":  {host.AuditFiles{Merged: merged, HasFile: true, Generated: []auditrule.Text{line("a", 1), line("b", 2), line("c", 3)}}, 3, "c"},
		"empty":   {host.AuditFiles{Merged: merged, HasFile: true}, 0, "ends here"},
	} {
		if e := staleness(c.files); e.Line != c.line || !strings.Contains(e.Got, c.got) {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// Case 23a: a process older than auditing is not recorded.
func TestJudgeProcessAge(t *testing.T) {
	t.Parallel()
	dockerd := host.Process{PID: 10, Exe: "/usr/sbin/dockerd", Start: 30 * time.Second}
	inside := host.Process{PID: 11, Exe: "/bin/app", Start: 5 * time.Second, Container: strings.Repeat("a", 64)}
	other := host.Process{PID: 12, Exe: "/usr/sbin/cron", Start: time.Second}
	known := func(at time.Duration) host.AuditStart { return host.AuditStart{Known: true, Since: at, How: "x"} }
	for name, c := range map[string]struct {
		processes []host.Process
		start     host.AuditStart
		want      checks.Status
	}{
		"23a younger":            {[]host.Process{dockerd, other}, known(10 * time.Second), checks.Pass},
		"23a older":              {[]host.Process{dockerd}, known(40 * time.Second), checks.Error},
		"23a older, replaced":    {[]host.Process{{PID: 10, Exe: "/usr/sbin/dockerd (deleted)", Start: 30 * time.Second}}, known(40 * time.Second), checks.Error},
		"23a older, not seen":    {[]host.Process{{PID: 10, Comm: "dockerd", Hidden: true, Start: 30 * time.Second}}, known(40 * time.Second), checks.Error},
		"23a audit=1":            {[]host.Process{dockerd, inside}, known(0), checks.Pass},
		"23a not known":          {[]host.Process{dockerd}, host.AuditStart{}, checks.Error},
		"23a an older container": {[]host.Process{dockerd, inside}, known(10 * time.Second), checks.Error},
		"nothing of it runs":     {[]host.Process{other}, known(0), checks.NotApplicable},
		"a program with its name in a container counts as the container": {[]host.Process{{PID: 1, Exe: "/usr/sbin/dockerd", Start: time.Hour, Container: "x"}}, known(1), checks.Pass},
	} {
		all := map[int]host.Process{}
		for _, p := range c.processes {
			all[p.PID] = p
		}
		v, err := judgeProcessAge(all, c.start, defaultProcessAge)
		if err != nil {
			v.Status = checks.Error
		}
		if v.Status != c.want {
			t.Errorf("%s: %v %v", name, v.Status, err)
		}
	}
}

func TestParameters(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]interface{ Validate() error }{
		"nothing to cover":   WatchParams{Missing: "skip", Perms: defaultWatch.Perms},
		"an unknown kind":    WatchParams{Discover: []string{"x"}, Missing: "skip", Perms: defaultWatch.Perms},
		"no permission":      WatchParams{Paths: []string{"/x"}, Missing: "skip"},
		"an unknown meaning": WatchParams{Paths: []string{"/x"}, Missing: "x", Perms: defaultWatch.Perms},
		"an unknown aspect":  statusParams{Aspects: []string{"x"}},
		"an unknown mode":    statusParams{FailureModes: []string{"x"}},
	} {
		if p.Validate() == nil {
			t.Errorf("%s is taken", name)
		}
	}
	var p perms
	if err := p.UnmarshalText([]byte("aw")); err != nil || auditrule.Perm(p) != auditrule.Write|auditrule.Attr {
		t.Errorf("aw: %v %v", p, err)
	}
	if text, err := p.MarshalText(); err != nil || string(text) != "wa" {
		t.Errorf("%s %v", text, err)
	}
	if err := p.UnmarshalText([]byte("wq")); err == nil {
		t.Error("wq is taken")
	}
}

// TestNextBoot: a good status that the next boot undoes is not one.
func TestNextBoot(t *testing.T) {
	t.Parallel()
	good := checks.Passed(checks.Evidence{Source: statusSource, Key: "lost", Got: "0"})
	for name, c := range map[string]struct {
		set     map[string]string
		aspects []string
		want    string
	}{
		"as wanted":       {map[string]string{"b": "8192", "f": "1", "r": "0", "e": "1"}, aspects, ""},
		"nothing":         {nil, aspects, ""},
		"no limit":        {map[string]string{"b": "0"}, aspects, ""},
		"a short backlog": {map[string]string{"b": "64"}, aspects, "-b 64"},
		"a rate":          {map[string]string{"r": "10"}, aspects, "-r 10"},
		"panic":           {map[string]string{"f": "2"}, aspects, "-f 2"},
		"unknown":         {map[string]string{"f": "9"}, aspects, "-f 9"},
		"not asked":       {map[string]string{"r": "10"}, []string{"failure"}, ""},
	} {
		p := defaultStatus
		p.Aspects = c.aspects
		boot := auditrule.Loaded{Settings: c.set, Places: map[string]auditrule.Pos{}}
		for option := range c.set {
			boot.Places[option] = auditrule.Pos{File: "/etc/audit/rules.d/a.rules", Line: 3}
		}
		v := withNextBoot(good, boot, p)
		if failed := v.Status == checks.Fail; failed != (c.want != "") || failed && (v.Evidence[0].Got != c.want || v.Evidence[0].Line != 3) {
			t.Errorf("%s: %v %q\n%s", name, v.Status, v.Reason, places(v.Evidence))
		}
	}
}

func TestSocketsOf(t *testing.T) {
	t.Parallel()
	l := host.DockerLayout{Kind: "package", Sockets: []host.Place{{Name: "containerd.sock", Path: "/run/containerd/containerd.sock"}}}
	if found, none, err := socketsOf(l); len(found) != 1 || none != "" || err != nil {
		t.Errorf("%v %q %v", found, none, err)
	}
	l.Unread = errors.New("cannot read /etc/docker/daemon.json:1: it ends too early")
	if found, _, err := socketsOf(l); found != nil || err == nil {
		t.Errorf("docker's options cannot be read, and the sockets are %v, %v", found, err)
	}
}
