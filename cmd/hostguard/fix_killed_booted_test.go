package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/internal/lab"
)

// installStrace gives the host the machine's strace, with its libraries, and
// returns how to call it.
func installStrace(t *testing.T, h *lab.Host) []string {
	t.Helper()
	lab.Need(t, lab.Strace)
	const folder = "/root/strace"
	h.Must("mkdir", folder)
	h.Install("/usr/bin/strace", folder+"/strace")
	for _, m := range regexp.MustCompile(`(\S+) => (/\S+)`).FindAllStringSubmatch(lab.Exec(t, "ldd", "/usr/bin/strace").Stdout, -1) {
		if !strings.HasPrefix(m[1], "libc.") {
			h.Install(m[2], folder+"/"+m[1])
		}
	}
	return []string{"env", "LD_LIBRARY_PATH=" + folder, folder + "/strace", "-f", "-q", "-e", "signal=none", "-o", "/dev/null"}
}

// The real program on a real systemd, killed while it stops a unit, disables it
// and edits the file of a daemon that it reloads: recover brings everything back.
func TestFixKilledOnABootedHost(t *testing.T) {
	h := bootGood(t)
	strace := installStrace(t, h)
	h.Must("systemctl", "--quiet", "enable", "--now", "nginx.service")
	h.Must("sed", "-i", "s/^server/#server/", "/etc/chrony/conf.d/lab.conf")
	h.Must("systemctl", "restart", "chrony.service")
	fix := []string{"hostguard", "fix", "--only", "SVC-001,CLK-002"}

	var plan struct{ Steps []struct{ Kind string } }
	h.Run("hostguard", "plan", "--only", fix[3], "-o", "/root/plan.json")
	if err := json.Unmarshal([]byte(h.ReadFile("/root/plan.json")), &plan); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, s := range plan.Steps {
		kinds[s.Kind] = true
	}
	if !kinds["unit"] || !kinds["file"] {
		t.Fatalf("the plan does not move a unit and a file: %+v", plan)
	}

	before := observe(t, h)
	kills, states := 0, []string{}
	// The nth call of a thread, and Go moves a transaction between threads: the
	// same run is killed elsewhere each time, or not at all.
	points := []string{"renameat2:1", "renameat2:2", "unlinkat:1", "unlinkat:2", "fsync:2", "fsync:3", "fsync:4", "write:8", "write:12", "write:16"}
	if crashes(t) > 0 {
		for n := 1; n <= 30; n++ {
			points = append(points, fmt.Sprintf("fsync:%d", n), fmt.Sprintf("write:%d", n))
		}
	}
	for _, p := range points {
		call, n, _ := strings.Cut(p, ":")
		r := h.Run(slices.Concat(strace, []string{"-e", "trace=" + call, "-e", "inject=" + call + ":signal=KILL:when=" + n}, fix)...)
		if r.Code == 137 || r.Code < 0 {
			kills++
		}
		states = append(states, h.Must("hostguard", "history"))
		if r := h.Run("hostguard", "recover"); r.Code != exitOK {
			t.Errorf("killed at %s: recover: %d %s%s", p, r.Code, r.Stdout, r.Stderr)
		}
		if h.Run("systemctl", "is-enabled", "--quiet", "nginx.service").Code != 0 { // it was done before it was killed
			h.Must("hostguard", "undo")
		}
		if diff := cmp.Diff(before, observe(t, h)); diff != "" {
			t.Errorf("killed at %s (-before +after recovery):\n%s", p, diff)
		}
	}
	interrupted := 0
	for _, s := range states {
		if strings.Contains(s, "interrupted") {
			interrupted++
		}
	}
	t.Logf("%d kills, of which %d interrupted a transaction", kills, interrupted)
	if interrupted < 2 {
		t.Errorf("only %d of %d kills interrupted a transaction", interrupted, kills)
	}
}
