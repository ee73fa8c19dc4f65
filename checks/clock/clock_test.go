package clock

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lab/checktest"
	"github.com/hostguard/hostguard/internal/quantity"
	"github.com/hostguard/hostguard/internal/timeconf"
)

func TestJudgeDaemon(t *testing.T) {
	t.Parallel()
	chrony := host.TimeDaemon{Kind: host.Chrony, Unit: "chrony.service", Path: "/lib/systemd/system/chrony.service", Boot: "multi-user.target.wants", Active: true, State: "active (running), enabled"}
	timesyncd := host.TimeDaemon{Kind: host.Timesyncd, Unit: "systemd-timesyncd.service", Boot: "multi-user.target.wants", Active: true, State: "active (running), enabled"}
	change := func(d host.TimeDaemon, enabled, active bool) host.TimeDaemon {
		if d.Active = active; !enabled {
			d.Boot = ""
		}
		return d
	}
	masked := host.TimeDaemon{Kind: host.Chrony, Unit: "chrony.service", Path: "/etc/systemd/system/chrony.service", State: "masked"}
	all := daemonParams{Accept: []string{host.Chrony, host.Timesyncd}}
	tests := map[string]struct {
		daemons []host.TimeDaemon
		masked  []host.TimeDaemon
		strays  []host.Process
		params  daemonParams
		tree    bool
		want    string
	}{
		"one":                               {daemons: []host.TimeDaemon{chrony}, params: all, want: "pass"},
		"none installed":                    {params: all, want: "fail: No time daemon is installed"},
		"installed only":                    {daemons: []host.TimeDaemon{change(chrony, false, false)}, params: all, want: "fail: No time daemon runs"},
		"active, not enabled (34)":          {daemons: []host.TimeDaemon{change(chrony, false, true)}, params: all, want: "fail: No time daemon is started at boot"},
		"enabled, not active (34)":          {daemons: []host.TimeDaemon{change(chrony, true, false)}, params: all, want: "fail: No time daemon runs"},
		"two run (32)":                      {daemons: []host.TimeDaemon{chrony, timesyncd}, params: all, want: "fail: Several time daemons run"},
		"a second one is started at boot":   {daemons: []host.TimeDaemon{chrony, change(timesyncd, true, false)}, params: all, want: "fail: Several time daemons are started at boot"},
		"a second one is only installed":    {daemons: []host.TimeDaemon{chrony, change(timesyncd, false, false)}, params: all, want: "pass"},
		"one runs, the other boots":         {daemons: []host.TimeDaemon{change(chrony, false, true), change(timesyncd, true, false)}, params: all, want: "fail: not the one that is started at boot"},
		"not accepted":                      {daemons: []host.TimeDaemon{chrony}, params: daemonParams{Accept: []string{host.NTPsec}}, want: "fail: none of the accepted"},
		"a second one outside its unit":     {daemons: []host.TimeDaemon{chrony}, strays: []host.Process{{PID: 7, Exe: "/usr/sbin/ntpd"}}, params: all, want: "fail: outside the units"},
		"a second one in a container":       {daemons: []host.TimeDaemon{chrony}, strays: []host.Process{{PID: 7, Comm: "chronyd", Container: "0123456789abcdef"}}, params: all, want: "fail: outside the units"},
		"in a file tree, enabled":           {daemons: []host.TimeDaemon{change(chrony, true, false)}, params: all, tree: true, want: "pass"},
		"in a file tree, not enabled":       {daemons: []host.TimeDaemon{change(chrony, false, false)}, params: all, tree: true, want: "fail: started at boot"},
		"in a file tree, two are enabled":   {daemons: []host.TimeDaemon{change(chrony, true, false), change(timesyncd, true, false)}, params: all, tree: true, want: "fail: Several"},
		"masked (34)":                       {masked: []host.TimeDaemon{masked}, params: all, want: "fail: No time daemon can be started: chrony.service is masked"},
		"another one is masked":             {daemons: []host.TimeDaemon{timesyncd}, masked: []host.TimeDaemon{masked}, params: all, want: "pass"},
		"in a file tree, nothing installed": {params: all, tree: true, want: "fail: No time daemon is installed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checktest.Judged(t, judgeDaemon(tt.daemons, tt.masked, tt.strays, tt.params, !tt.tree), nil, tt.want)
		})
	}
}

func TestStrayDaemons(t *testing.T) {
	t.Parallel()
	daemons := []host.TimeDaemon{{Unit: "chrony.service"}}
	processes := map[int]host.Process{
		1: {PID: 1, Comm: "systemd", Exe: "/usr/lib/systemd/systemd"},
		2: {PID: 2, Comm: "chronyd", Exe: "/usr/sbin/chronyd", Unit: "chrony.service"},
		3: {PID: 3, Comm: "chronyd", Exe: "/usr/sbin/chronyd", Unit: "session-1.scope"},
		4: {PID: 4, Comm: "chronyd", Exe: "/usr/sbin/chronyd"}, // with -x
		5: {PID: 5, Comm: "ntpd", Exe: "/opt/ntpd (deleted)"},
		6: {PID: 6, Comm: "ntpd", Kernel: true},
		7: {PID: 7, Comm: "chronyd", Container: "abc"}, // its program cannot be seen
		8: {PID: 8, Comm: "ntpd", Exe: "/usr/bin/vim"}, // a name that it gave itself
	}
	argv := func(p host.Process) ([]string, error) {
		if p.PID == 4 {
			return []string{"chronyd", "-x"}, nil
		}
		return []string{"chronyd", "-n"}, nil
	}
	strays, err := strayDaemons(processes, daemons, argv)
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, p := range strays {
		got = append(got, p.PID)
	}
	if want := "[3 5 7]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

func TestJudgeServers(t *testing.T) {
	t.Parallel()
	chrony := func(sources ...timeconf.Source) host.TimeSources {
		for i := range sources {
			sources[i].File, sources[i].Line = "/etc/chrony/chrony.conf", i+1
		}
		return host.TimeSources{Daemon: host.TimeDaemon{Kind: host.Chrony, Unit: "chrony.service"}, Config: "/etc/chrony/chrony.conf", Sources: sources}
	}
	server := timeconf.Source{Kind: timeconf.Server, Name: "a"}
	offline := timeconf.Source{Kind: timeconf.Server, Name: "b", Offline: true}
	broken := chrony(server)
	broken.Problems = []timeconf.Problem{{File: "/etc/chrony/chrony.conf", Line: 3, Text: "no"}}
	unseen := host.TimeSources{Daemon: host.TimeDaemon{Kind: host.Timesyncd}, Unseen: "compiled in"}
	tests := map[string]struct {
		all  []host.TimeSources
		min  int
		want string
	}{
		"one server":                 {[]host.TimeSources{chrony(server)}, 1, "pass"},
		"a pool counts as four":      {[]host.TimeSources{chrony(timeconf.Source{Kind: timeconf.Pool, Name: "p"})}, 4, "pass"},
		"fewer than wanted":          {[]host.TimeSources{chrony(server)}, 2, "fail: 1 usable"},
		"a reference clock":          {[]host.TimeSources{chrony(timeconf.Source{Kind: timeconf.RefClock, Name: "PHC /dev/ptp0"})}, 1, "pass"},
		"the local clock is none":    {[]host.TimeSources{chrony(timeconf.Source{Kind: timeconf.Local, Name: "127.127.1.0"})}, 1, "fail: 0 usable"},
		"offline only":               {[]host.TimeSources{chrony(offline)}, 1, "fail: 0 usable"},
		"noselect only":              {[]host.TimeSources{chrony(timeconf.Source{Kind: timeconf.Peer, Name: "c", NoSelect: true})}, 1, "fail: 0 usable"},
		"none":                       {[]host.TimeSources{chrony()}, 1, "fail: 0 usable"},
		"no daemon":                  {nil, 1, "fail: No time daemon"},
		"refused":                    {[]host.TimeSources{broken}, 1, "fail: refuses its configuration"},
		"compiled in":                {[]host.TimeSources{unseen}, 1, "error: compiled in"},
		"the second of two has none": {[]host.TimeSources{chrony(server), chrony()}, 1, "fail: 0 usable"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := judgeServers(tt.all, nil, serversParams{MinSources: tt.min})
			checktest.Judged(t, v, err, tt.want)
		})
	}
}

func TestJudgeServersOfAMaskedDaemon(t *testing.T) {
	t.Parallel()
	masked := host.TimeDaemon{Kind: host.Chrony, Unit: "chrony.service", Path: "/etc/systemd/system/chrony.service", State: "masked"}
	v, err := judgeServers(nil, []host.TimeDaemon{masked}, serversParams{MinSources: 1})
	checktest.Judged(t, v, err, "fail: chrony.service is masked")
	if v.Evidence[0].Source != masked.Path {
		t.Errorf("the mask is not named: %v", v.Evidence)
	}
}

func TestJudgeSync(t *testing.T) { // HARD-CASES 32
	t.Parallel()
	for name, tt := range map[string]struct {
		clock host.KernelClock
		want  string
	}{
		"synchronised":                    {host.KernelClock{Synchronised: true, MaxError: 30 * time.Millisecond}, "pass"},
		"not":                             {host.KernelClock{MaxError: 16 * time.Second}, "fail: nothing keeps"},
		"timesyncd says yes until 16 s":   {host.KernelClock{Synchronised: true, MaxError: 15 * time.Second}, "fail: so long ago"},
		"at the threshold":                {host.KernelClock{Synchronised: true, MaxError: 2500 * time.Millisecond}, "pass"},
		"small error, but unsynchronised": {host.KernelClock{MaxError: time.Millisecond}, "fail: nothing keeps"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checktest.Judged(t, judgeSync(tt.clock, syncParams{MaxError: defaultMaxError}), nil, tt.want)
		})
	}
}

func TestJudgeOffset(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	said := func(offsets ...time.Duration) []host.TimeAnswer {
		var answers []host.TimeAnswer
		for i, d := range offsets {
			answers = append(answers, host.TimeAnswer{Server: fmt.Sprint("s", i), Address: fmt.Sprintf("192.0.2.%d:123", i), Offset: d, Stratum: 2, RootDistance: 20 * ms})
		}
		return answers
	}
	silent := host.TimeAnswer{Server: "dead", Err: errors.New("no answer in time")}
	vague := host.TimeAnswer{Server: "far", RootDistance: 5 * time.Second}
	tests := map[string]struct {
		answers []host.TimeAnswer
		want    string
	}{
		"right":                                     {said(ms, 2*ms, -ms), "pass"},
		"wrong by 600 ms":                           {said(600*ms, 601*ms, 602*ms), "fail: 601ms behind 3 of 3"},
		"ahead":                                     {said(-600 * ms), "fail: 600ms ahead of 1 of 1"},
		"at the threshold":                          {said(500 * ms), "pass"},
		"a liar among three":                        {said(0, ms, time.Hour), "pass"},
		"two liars against one":                     {said(0, time.Hour, time.Hour), "fail: 1h0m0s behind 2 of 3"},
		"two that disagree":                         {said(0, time.Hour), "error: no majority"},
		"two against two":                           {said(0, 0, time.Hour, time.Hour), "error: no majority"},
		"off to both sides does not cancel out":     {said(-600*ms, 600*ms), "error: no majority"},
		"three that all disagree":                   {said(-600*ms, 0, 600*ms), "error: no majority"},
		"of two that agree the larger one counts":   {said(400*ms, 600*ms), "fail: 600ms behind"},
		"nobody answers":                            {[]host.TimeAnswer{silent, silent}, "error: dead: no answer in time; ntp dead: no answer in time"},
		"one answers, one does not":                 {append(said(0), silent), "pass"},
		"an answer that may be wrong by 5 s":        {[]host.TimeAnswer{vague}, "error: wrong by 5s"},
		"nobody asked":                              {nil, "error: no time server gave"},
		"as far as the clock of an NTP packet goes": {said(-1<<63, 1<<62), "error: no majority"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := judgeOffset(tt.answers, offsetDefaults)
			checktest.Judged(t, v, err, tt.want)
		})
	}
	v, _ := judgeOffset(said(150*ms), offsetDefaults)
	if v.Status != checks.Pass || !strings.Contains(v.Evidence[0].Want, "better 100ms") {
		t.Errorf("150 ms is not pointed out: %+v", v)
	}
}

func TestParametersThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]checks.Validator{
		"an unknown daemon":       daemonParams{Accept: []string{"ptp4l"}},
		"no sources":              serversParams{},
		"no time to wait":         offsetParams{},
		"an hour to wait":         offsetParams{Timeout: quantity.Duration(time.Hour)},
		"warns after it fails":    offsetParams{Timeout: 1, WarnOffset: 2, MaxOffset: 1},
		"a server that is a path": offsetParams{Timeout: 1, Servers: []string{"/dev/null"}},
	} {
		if p.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, p := range []checks.Validator{Checks[0].Defaults.(checks.Validator), Checks[1].Defaults.(checks.Validator), Checks[3].Defaults.(checks.Validator)} {
		if err := p.Validate(); err != nil {
			t.Errorf("defaults: %v", err)
		}
	}
}

func TestSpanIsASCII(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{0: "0ms", 8 * time.Microsecond: "0.008ms", -600*time.Millisecond + 4: "-600ms", 1499700 * time.Microsecond: "1.5s", time.Hour: "1h0m0s"} {
		if got := span(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}
