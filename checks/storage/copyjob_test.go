package storage

import (
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/cronconf"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lab/checktest"
)

// A job whose success is seen elsewhere needs no stamp, and has to be daily.
func TestJudgeCopyJobOfCron(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ table, want string }{
		"each day":          {"20 1 * * * root /usr/local/bin/hostguard logs copy\n", "pass"},
		"each hour":         {"20 * * * * root /usr/local/bin/hostguard logs copy\n", "pass"},
		"each week":         {"20 1 * * 1 root /usr/local/bin/hostguard logs copy\n", "fail: too seldom"},
		"weekdays only":     {"20 1 1 * * root /usr/local/bin/hostguard logs copy\n", "fail: too seldom"},
		"at boot only":      {"@reboot root /usr/local/bin/hostguard logs copy\n", "fail: does not recur"},
		"a date that is no": {"0 0 31 2 * root /usr/local/bin/hostguard logs copy\n", "fail: does not recur"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := cronFacts{
				file: ownTable, info: info{mode: 0o644, nlink: 1}, table: cronconf.Parse([]byte(tt.table), true),
				daemon: host.Unit{Name: "cron.service", LoadState: "loaded", ActiveState: "active", UnitFileState: "enabled", Boot: "x.wants"},
				users:  []string{"root"},
			}
			v, err := logCopy.judgeCron(f, watchParams{}, now)
			checktest.Judged(t, v, err, tt.want)
		})
	}
}

func TestJudgeCopyJobOfATimer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(timer, service *host.Unit)
		want   string
	}{
		"fresh":  {func(_, _ *host.Unit) {}, "pass"},
		"weekly": {func(u, _ *host.Unit) { u.Timer.Calendar = []string{"Mon *-*-* 01:00:00"} }, "fail: too seldom"},
		"every three days": {func(u, _ *host.Unit) {
			u.Timer.Calendar, u.Timer.Monotonic = nil, map[string]time.Duration{"OnUnitActiveSec": 72 * time.Hour}
		}, "fail: too seldom"},
		"the last failed": {func(_, s *host.Unit) { s.ActiveState, s.Service.Result = "failed", "exit-code" }, "fail: "},
		"not at boot":     {func(u, _ *host.Unit) { u.Boot = "" }, "fail: at boot"},
		"stopped":         {func(u, _ *host.Unit) { u.ActiveState = "inactive" }, "fail: not active"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timer := host.Unit{Name: ownCopyTimer, LoadState: "loaded", ActiveState: "active", UnitFileState: "enabled", Boot: "x.wants", ActiveEnter: now.Add(-time.Minute),
				Timer: &host.TimerState{Unit: "c.service", Calendar: []string{"*-*-* 01:20:00"}, NextElapse: now.Add(time.Hour)}}
			service := host.Unit{Name: "c.service", LoadState: "loaded", ActiveState: "inactive", Service: &host.ServiceState{Type: "oneshot", Result: "success"}}
			tt.change(&timer, &service)
			v, err := logCopy.judgeTimer(timer, service, now)
			checktest.Judged(t, v, err, tt.want)
		})
	}
}

func TestWhichCommandsCopyLogs(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]bool{
		"/usr/local/bin/hostguard logs copy":           true,
		"hostguard logs copy --config x":               true,
		"/usr/local/bin/hostguard logs copy --dry-run": false,
		"/usr/local/bin/hostguard logs":                false,
		"/usr/local/bin/hostguard watch storage":       false,
		"echo hostguard logs copy":                     false,
		"# /usr/local/bin/hostguard logs copy":         false,
		"":                                             false,
	} {
		if got := copiesLogs(command); got != want {
			t.Errorf("%q: %v", command, got)
		}
	}
}
