package timeconf

import (
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

// chronyCases are lines that chronyd 4.3 and later judge alike.
const chronyCases = `rtcsnc
rtcsync
rtcsync # comment
RTCSync
rtcsync yes
makestep 1 3
makestep 1.0
makestep 1.0 x
makestep x 3
makestep 1 3 4
maxupdateskew 100.0
maxupdateskew
maxupdateskew x
maxupdateskew .5x
maxupdateskew -.
driftfile /var/lib/chrony/drift
driftfile
driftfile /a /b
port 123
port x
port
keyfile /a b
logdir /var/log/chrony
log tracking measurements statistics
log Tracking
log
leapsectz right/UTC
leapsecmode slew
leapsecmode slow
authselectmode require
authselectmode require require
allow
allow all
allow 10.0.0.0/8
allow all 10.0.0.0/8
allow 10.0.0.0/8 10.1.0.0/16
deny all
cmdallow 1.2.3.4
bindaddress 1.2.3.4
bindaddress localhost
bindcmdaddress /run/x
bindcmdaddress ::1
bindcmdaddress x
local stratum 10
local
local stratum
local stratum x
local orphan
local bogus
local distance 0.1
ratelimit interval 1 burst 16
ratelimit
ratelimit interval
ratelimit interval x
ratelimit bogus 1
fallbackdrift 16 19
fallbackdrift 16
smoothtime 400 0.01
smoothtime 400 0.01 leaponly
smoothtime 400 0.01 x
mailonchange root@localhost 0.5
mailonchange root@localhost
maxchange 1000 1 2
maxchange 1000 1
initstepslew 30
initstepslew x
hwtimestamp *
hwtimestamp
hwtimestamp eth0 minpoll 1 rxfilter all
hwtimestamp eth0 bogus
hwtimestamp eth0 minpoll
tempcomp /sys/x 30 /etc/points
tempcomp /sys/x 30 26000 0.0 0.000183 0.0
tempcomp /sys/x
broadcast 30 192.168.1.255
broadcast 30 192.168.1.255 123
broadcast 30 x
broadcast x 192.168.1.255
refclock SHM 0
refclock SHM
refclock PPS /dev/pps0 lock NMEA refid GPS poll 2
refclock SHM 0 bogus
refclock SHM 0 poll
refclock SHM 0 poll x
refclock SHM 0 prefer
server a
server
server a iburst
server a ibrst
server a minpoll 6 maxpoll 10
server a minpoll
server a minpoll x
server a port 7000
server a key 5
server a key x
server a offset 0.1
server a offset x
server a nts ntsport 4460
server a certset 1
server a xleave presend 9 version 3
server a maxdelayquant 0.5
server a # comment
pool a maxsources 3
peer a copy
dumponexit
dumponexit x
generatecommandkey
commandkey 1
lock_all
manual
noclientlog
noclientlog 1
sched_priority 1
user _chrony
user
ntsdumpdir /var/lib/chrony
ntstrustedcerts /a
ntstrustedcerts 1 /a
ntstrustedcerts x /a
ntsrefresh 5
ntsservercert /a
minsources 2
maxdistance 1.5
clientloglimit 100000
clientloglimit x
nosystemcert
pidfile /
dscp 46
hwclockfile /etc/adjtime
binddevice eth0
acquisitionport 0
bogus
{`

// chronyd is asked about each line.
func TestDirectivesAgainstChronyd(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Chrony)
	name := path.Join(t.TempDir(), "chrony.conf")
	for _, line := range strings.Split(chronyCases, "\n") {
		if err := os.WriteFile(name, []byte(line+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("/usr/sbin/chronyd", "-p", "-f", name).CombinedOutput()
		config, readErr := Chrony(real{}, name)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if (err != nil) != (len(config.Problems) > 0) {
			t.Errorf("%q: chronyd says %v %s; we say %v", line, err, out, config.Problems)
		}
	}
}

func TestChronyProblems(t *testing.T) {
	t.Parallel()
	files := tree{"/etc/chrony.conf": "server a\nrtcsnc\nmakestep 1\nsourcedir /d\n", "/d/a.sources": "server b ibrst\nserver c iburst\n"}
	config, err := Chrony(files, "/etc/chrony.conf")
	if err != nil || len(config.Problems) != 2 || config.Problems[0].Line != 2 || config.Problems[1].Line != 3 {
		t.Errorf("%v %v", config.Problems, err)
	}
	if len(config.Sources) != 2 || config.Sources[1].Name != "c" {
		t.Errorf("a line of a .sources file that chronyd leaves out: %v", config.Sources)
	}
}
