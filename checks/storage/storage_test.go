package storage

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/cronconf"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lab/checktest"
)

const gib = 1 << 30

// fsys is a file system of 100 GiB and 1000 inodes, half of both free.
func fsys(device, point string, change func(*host.Capacity)) host.Capacity {
	c := host.Capacity{Mount: host.Mount{Device: device, Point: point, Type: "ext4", Source: "/dev/x"}, Path: point,
		Size: 100 * gib, Used: 50 * gib, Available: 50 * gib, Inodes: 1000, FreeInodes: 500}
	if change != nil {
		change(&c)
	}
	return c
}

func TestJudgeFree(t *testing.T) { // HARD-CASES 33
	t.Parallel()
	params := Checks[0].Defaults.(FreeParams)
	on := func(path string, c host.Capacity) measured { return measured{path: path, capacity: c} }
	tests := map[string]struct {
		all     []measured
		unknown []error
		want    string
	}{
		"room": {all: []measured{on("/", fsys("8:1", "/", nil))}, want: "pass"},
		"too few bytes free": {all: []measured{on("/", fsys("8:1", "/", func(c *host.Capacity) { c.Used, c.Available = 95*gib, 5*gib }))},
			want: "fail: Too little room on /."},
		"root's reserve is no room: bavail, not bfree": {all: []measured{on("/", fsys("8:1", "/", func(c *host.Capacity) { c.Used, c.Available = 80*gib, 1*gib }))},
			want: "fail: Too little room"},
		"share is fine, amount is not": {all: []measured{on("/", fsys("8:1", "/", func(c *host.Capacity) { c.Used, c.Available = 0, gib-1 }))}, want: "fail: Too little room"},
		"inodes run out first":         {all: []measured{on("/", fsys("8:1", "/", func(c *host.Capacity) { c.FreeInodes = 20 }))}, want: "fail: Too little room"},
		"btrfs says 0 of 0 inodes":     {all: []measured{on("/", fsys("0:30", "/", func(c *host.Capacity) { c.Inodes, c.FreeInodes = 0, 0 }))}, want: "pass"},
		"an image is always full": {all: []measured{on("/", fsys("8:1", "/", nil)), on("/snap", fsys("7:1", "/snap", func(c *host.Capacity) {
			c.Mount.Type, c.Used, c.Available, c.FreeInodes, c.ReadOnly = "squashfs", 100*gib, 0, 0, true
		}))}, want: "pass"},
		"a full disk that turned read-only is no image": {all: []measured{on("/", fsys("8:1", "/", func(c *host.Capacity) { c.Used, c.Available, c.ReadOnly = 100*gib, 0, true }))},
			want: "fail: Too little room"},
		"no capacity at all": {all: []measured{on("/proc", fsys("0:5", "/proc", func(c *host.Capacity) { c.Size, c.Used, c.Available = 0, 0, 0 }))}, want: "fail: Too little room"},
		"one that does not answer": {all: []measured{on("/", fsys("8:1", "/", nil)), {path: "/srv", err: errors.New("cannot measure /srv: it does not answer")}},
			want: "error: /srv"},
		"a full one outweighs one that does not answer": {all: []measured{on("/", fsys("8:1", "/", func(c *host.Capacity) { c.Used, c.Available = 100*gib, 0 })), {path: "/srv", err: errors.New("x")}},
			want: "fail: Too little room"},
		"the connector is not known": {all: []measured{on("/", fsys("8:1", "/", nil))}, unknown: []error{errors.New("no connector folder is known")}, want: "error: no connector"},
		"nothing known":              {want: "error: none of the paths"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := judgeFree(tt.all, tt.unknown, params)
			checktest.Judged(t, v, err, tt.want)
		})
	}
	v, _ := judgeFree([]measured{on("/var", fsys("8:1", "/", nil)), on("/srv", fsys("8:1", "/srv", nil)), on("/", fsys("8:1", "/", nil))}, nil, params)
	if len(v.Evidence) != 2 || !strings.Contains(v.Evidence[0].Got, "carries /var, /srv, /") {
		t.Errorf("three paths on one file system, one of them a bind mount: %+v", v.Evidence)
	}
}

var now = time.Date(2026, 11, 20, 12, 7, 0, 0, time.Local)

func TestJudgeTimer(t *testing.T) {
	t.Parallel()
	ago := func(minutes int) time.Time { return now.Add(-time.Duration(minutes) * time.Minute) }
	type change = func(timer, service *host.Unit)
	tests := map[string]struct {
		change change
		want   string
	}{
		"in force and successful":    {func(_, _ *host.Unit) {}, "pass"},
		"not installed":              {func(u, _ *host.Unit) { u.LoadState, u.UnitFileState, u.ActiveState = "not-found", "", "inactive" }, "fail: not installed"},
		"masked":                     {func(u, _ *host.Unit) { u.LoadState, u.UnitFileState = "masked", "masked" }, "fail: not installed"},
		"active, not enabled":        {func(u, _ *host.Unit) { u.UnitFileState, u.Boot = "disabled", "" }, "fail: Nothing starts"},
		"enabled in another target":  {func(u, _ *host.Unit) { u.Boot = "" }, "fail: Nothing starts"},
		"enabled, not active":        {func(u, _ *host.Unit) { u.ActiveState = "inactive" }, "fail: not active"},
		"one time missed":            {func(u, s *host.Unit) { u.Timer.LastTrigger, s.Service.ExecMainExit = ago(22), ago(21) }, "pass"},
		"two times missed":           {func(u, _ *host.Unit) { u.Timer.LastTrigger = ago(40) }, "fail: was due and did not start"},
		"never started, long active": {func(u, _ *host.Unit) { u.Timer.LastTrigger = time.Time{} }, "fail: was due and did not start"},
		"just switched on":           {func(u, _ *host.Unit) { u.Timer.LastTrigger, u.ActiveEnter = time.Time{}, ago(3) }, "error: active only since"},
		"failed": {func(_, s *host.Unit) {
			s.ActiveState, s.Service.Result, s.Service.ExecMainStatus = "failed", "exit-code", 1
		}, "fail: The last run"},
		"failed once, then reset": {func(_, s *host.Unit) { s.Service.Result = "timeout" }, "fail: The last run"},
		"triggered, ran not once": {func(_, s *host.Unit) { s.Service.ExecMainExit = ago(3000) }, "fail: ran not once"},
		"no end seen":             {func(_, s *host.Unit) { s.Service.ExecMainExit = time.Time{} }, "error: has not ended since the boot"},
		"starts no service":       {func(_, s *host.Unit) { s.Service = nil }, "error: which is no service"},
		"at boot only": {func(u, _ *host.Unit) {
			u.Timer.Calendar, u.Timer.Monotonic = nil, map[string]time.Duration{"OnBootSec": time.Minute}
		}, "fail: again and again"},
		"a date that has passed": {func(u, _ *host.Unit) {
			u.Timer.Calendar, u.Timer.NextElapse = []string{"2020-01-01 00:00:00"}, time.Time{}
		}, "fail: again and again"},
		"counted from the last run": {func(u, _ *host.Unit) {
			u.Timer.Calendar, u.Timer.Monotonic = nil, map[string]time.Duration{"OnBootSec": time.Minute, "OnUnitActiveSec": 5 * time.Minute}
		}, "pass"},
		"counted from the last run, two missed": {func(u, _ *host.Unit) {
			u.Timer.Calendar, u.Timer.Monotonic = nil, map[string]time.Duration{"OnUnitInactiveSec": 2 * time.Minute}
		}, "fail: was due and did not start"},
		"several expressions": {func(u, _ *host.Unit) {
			u.Timer.Calendar, u.Timer.LastTrigger = []string{"*-*-* *:01:00", "*-*-* *:03:00"}, ago(5)
		}, "pass"},
		"an expression that is not understood": {func(u, _ *host.Unit) { u.Timer.Calendar = []string{"*-*~01 00:00:00"} }, "error: cannot tell when"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timer := host.Unit{Name: "df-watch.timer", LoadState: "loaded", ActiveState: "active", UnitFileState: "enabled", Boot: "x.wants", FragmentPath: "/etc/systemd/system/df-watch.timer", ActiveEnter: ago(5000),
				Timer: &host.TimerState{Unit: "df-watch.service", Calendar: []string{"*-*-* *:00/15:00"}, LastTrigger: ago(7), NextElapse: now.Add(8 * time.Minute)}}
			service := host.Unit{Name: "df-watch.service", LoadState: "loaded", ActiveState: "inactive", UnitFileState: "static",
				Service: &host.ServiceState{Type: "oneshot", Result: "success", ExecMainExit: ago(6)}}
			tt.change(&timer, &service)
			v, err := storageWatch.judgeTimer(timer, service, now)
			checktest.Judged(t, v, err, tt.want)
		})
	}
}

func TestJudgeService(t *testing.T) {
	t.Parallel()
	unit := host.Unit{Name: "watchd.service", LoadState: "loaded", ActiveState: "active", SubState: "running", UnitFileState: "enabled", Boot: "x.wants", Service: &host.ServiceState{}}
	checktest.Judged(t, storageWatch.judgeService(unit), nil, "pass")
	ended := unit
	ended.SubState = "exited"
	checktest.Judged(t, storageWatch.judgeService(ended), nil, "fail: has ended")
	dead := unit
	dead.ActiveState, dead.SubState = "inactive", "dead"
	checktest.Judged(t, storageWatch.judgeService(dead), nil, "fail: not active")
}

// info is a file's description.
type info struct {
	fs.FileInfo
	mode  fs.FileMode
	uid   uint32
	nlink uint64
	time  time.Time
}

func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return i.time }
func (i info) Sys() any           { return &syscall.Stat_t{Uid: i.uid, Nlink: i.nlink} }

func TestJudgeCron(t *testing.T) {
	t.Parallel()
	good := func() (cronFacts, watchParams) {
		return cronFacts{
			file: "/etc/cron.d/df-watch", info: info{mode: 0o644, nlink: 1},
			table:  cronconf.Parse([]byte("*/15 * * * * root /usr/local/sbin/df-watch\n"), true),
			daemon: host.Unit{Name: "cron.service", LoadState: "loaded", ActiveState: "active", UnitFileState: "enabled", Boot: "x.wants"},
			stamp:  info{mode: 0o644, nlink: 1, time: now.Add(-7 * time.Minute)},
			users:  []string{"root", "ops"},
		}, watchParams{Watch: watchJob{Cron: "/etc/cron.d/df-watch"}, Stamp: "/var/lib/df-watch/ok"}
	}
	table := func(text string) func(*cronFacts, *watchParams) {
		return func(f *cronFacts, _ *watchParams) { f.table = cronconf.Parse([]byte(text), true) }
	}
	at := func(file string) func(*cronFacts, *watchParams) {
		return func(f *cronFacts, _ *watchParams) { f.file = file }
	}
	tests := map[string]struct {
		change func(*cronFacts, *watchParams)
		want   string
	}{
		"read, run and successful":       {func(*cronFacts, *watchParams) {}, "pass"},
		"absent":                         {func(f *cronFacts, _ *watchParams) { f.info = nil }, "fail: does not exist"},
		"a dot in the name (35)":         {at("/etc/cron.d/df-watch.sh"), "fail: no dot"},
		"a folder that cron never reads": {at("/etc/cron.daily/df-watch"), "fail: none of"},
		"/etc/crontab":                   {at("/etc/crontab"), "pass"},
		"a user's table": {func(f *cronFacts, _ *watchParams) {
			f.file, f.info = "/var/spool/cron/crontabs/ops", info{mode: 0o600, uid: 7, nlink: 1}
		}, "pass"},
		"a user's table that others read": {func(f *cronFacts, _ *watchParams) { f.file = "/var/spool/cron/crontabs/ops" }, "fail: not 0600"},
		"nobody's table":                  {at("/var/spool/cron/crontabs/gone"), "fail: no user"},
		"not root's":                      {func(f *cronFacts, _ *watchParams) { f.info = info{mode: 0o644, uid: 1000, nlink: 1} }, "fail: belong to root"},
		"writable by others":              {func(f *cronFacts, _ *watchParams) { f.info = info{mode: 0o664, nlink: 1} }, "fail: others than root"},
		"a hard link":                     {func(f *cronFacts, _ *watchParams) { f.info = info{mode: 0o644, nlink: 2} }, "fail: hard links"},
		"a FIFO":                          {func(f *cronFacts, _ *watchParams) { f.info = info{mode: fs.ModeNamedPipe | 0o644, nlink: 1} }, "fail: no regular file"},
		"a link of root's":                {func(f *cronFacts, _ *watchParams) { f.linked = info{mode: fs.ModeSymlink | 0o777} }, "pass"},
		"somebody's link":                 {func(f *cronFacts, _ *watchParams) { f.linked = info{mode: fs.ModeSymlink | 0o777, uid: 1000} }, "fail: link"},
		"one bad line":                    {table("*/15 * * * * root /usr/local/sbin/df-watch\n61 * * * * root x\n"), "fail: ignores the whole table"},
		"no newline at the end":           {table("*/15 * * * * root /usr/local/sbin/df-watch"), "fail: ignores the whole table"},
		"commented out":                   {table("#*/15 * * * * root /usr/local/sbin/df-watch\n"), "fail: no entry"},
		"several entries":                 {table("* * * * * root a\n* * * * * root b\n"), "error: which of 2"},
		"several entries, one named": {func(f *cronFacts, p *watchParams) {
			f.table = cronconf.Parse([]byte("*/15 * * * * root a b\n* * * * * root b\n"), true)
			p.Command = "a b"
		}, "pass"},
		"the named one is not there":  {func(_ *cronFacts, p *watchParams) { p.Command = "df-watch" }, "fail: not in its cron table"},
		"a user that is not there":    {table("*/15 * * * * gone x\n"), "fail: does not list"},
		"cron does not run (35)":      {func(f *cronFacts, _ *watchParams) { f.daemon.ActiveState = "inactive" }, "fail: cron daemon"},
		"cron is not started at boot": {func(f *cronFacts, _ *watchParams) { f.daemon.Boot = "" }, "fail: cron daemon"},
		"cron is not installed":       {func(f *cronFacts, _ *watchParams) { f.daemon = host.Unit{Name: "cron.service", LoadState: "not-found"} }, "fail: cron daemon"},
		"at boot only":                {table("@reboot root x\n"), "fail: does not recur"},
		"never":                       {table("0 0 31 2 * root x\n"), "fail: does not recur"},
		"no stamp named":              {func(f *cronFacts, p *watchParams) { f.stamp, p.Stamp = nil, "" }, "error: no record"},
		"never succeeded":             {func(f *cronFacts, _ *watchParams) { f.stamp = nil }, "fail: never succeeded"},
		"missed twice":                {func(f *cronFacts, _ *watchParams) { f.stamp = info{mode: 0o644, time: now.Add(-23 * time.Minute)} }, "fail: missed two"},
		"missed once":                 {func(f *cronFacts, _ *watchParams) { f.stamp = info{mode: 0o644, time: now.Add(-20 * time.Minute)} }, "pass"},
		"anybody's stamp":             {func(f *cronFacts, _ *watchParams) { f.stamp = info{mode: 0o666, time: now} }, "fail: pretend"},
		"a stamp that is a link":      {func(f *cronFacts, _ *watchParams) { f.stamp = info{mode: fs.ModeSymlink | 0o777, time: now} }, "fail: is none"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p := good()
			tt.change(&f, &p)
			v, err := storageWatch.judgeCron(f, p, now)
			checktest.Judged(t, v, err, tt.want)
		})
	}
}

func TestJudgeProcess(t *testing.T) {
	t.Parallel()
	units := map[string]host.Unit{"mon.service": {Name: "mon.service", UnitFileState: "enabled", Boot: "x.wants"}, "session-1.scope": {UnitFileState: "transient"}}
	for name, tt := range map[string]struct {
		found []host.Process
		want  string
	}{
		"in a unit":      {[]host.Process{{PID: 5, Unit: "mon.service"}}, "pass"},
		"not running":    {nil, "fail: does not run"},
		"in a session":   {[]host.Process{{PID: 5, Unit: "session-1.scope"}}, "fail: Nothing starts"},
		"in no unit":     {[]host.Process{{PID: 5}}, "fail: Nothing starts"},
		"in a container": {[]host.Process{{PID: 5, Container: "0123456789abcdef"}}, "error: container 0123456789ab"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := storageWatch.judgeProcess("/usr/bin/mon", tt.found, units)
			checktest.Judged(t, v, err, tt.want)
		})
	}
}

func TestParametersThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]checks.Validator{
		"nothing to look at":   FreeParams{Timeout: 1},
		"a relative path":      FreeParams{Timeout: 1, Paths: []string{"var"}},
		"no time to wait":      FreeParams{Docker: true},
		"two jobs":             watchParams{Watch: watchJob{Unit: "a.timer", Cron: "/etc/cron.d/a"}},
		"a socket":             watchParams{Watch: watchJob{Unit: "a.socket"}},
		"a bare process":       watchParams{Watch: watchJob{Process: "mon"}},
		"a command of no cron": watchParams{Command: "x"},
		"a stamp of a unit":    watchParams{Watch: watchJob{Unit: "a.timer"}, Stamp: "/x"},
		"a relative stamp":     watchParams{Watch: watchJob{Cron: "a"}, Stamp: "x"},
	} {
		if p.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
