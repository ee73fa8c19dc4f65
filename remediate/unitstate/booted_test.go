package unitstate

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/remediate"
)

// do makes this test program, copied into a test host, do one thing there; the
// argument is on its standard input.
var do = flag.String("do", "", "make, move, back or observe")

func TestMain(m *testing.M) {
	flag.Parse()
	if *do == "" {
		os.Exit(m.Run())
	}
	out, err := answer(*do)
	if err != nil {
		out = reply{Err: err.Error(), Conflict: remediate.IsConflict(err)}
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		panic(err)
	}
}

type reply struct {
	Plan     Plan
	State    State
	Err      string
	Conflict bool
}

func answer(what string) (r reply, err error) {
	ctx := context.Background()
	in := json.NewDecoder(os.Stdin)
	if what == "make" {
		var wants map[string]Want
		if err := in.Decode(&wants); err != nil {
			return r, err
		}
		r.Plan, err = Make(ctx, host.New(host.Options{}), wants, nil)
		return r, err
	}
	var p Planned
	if err := in.Decode(&p); err != nil {
		return r, err
	}
	switch a := New("/"); what {
	case "move":
		return r, a.Move(ctx, p.Target, p.Before, p.After)
	case "preflight":
		return r, a.Preflight(ctx, p.Before, p.After)
	case "back":
		return r, a.Back(ctx, p.Target, p.Before, p.After)
	}
	r.State, err = New("/").Observe(ctx, p.Target)
	return r, err
}

// guest is a test host in which units are moved.
type guest struct {
	*lab.Host
	t *testing.T
}

func inside(t *testing.T, h *lab.Host) guest {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h.Install(self, "/root/unitstate.test")
	return guest{h, t}
}

func (g guest) ask(what string, about any) reply {
	g.t.Helper()
	in, err := json.Marshal(about)
	if err != nil {
		g.t.Fatal(err)
	}
	out := g.RunInput(string(in), "/root/unitstate.test", "-do", what)
	var r reply
	if err := json.Unmarshal([]byte(out.Stdout), &r); err != nil {
		g.t.Fatalf("%s: %v\n%s%s", what, err, out.Stdout, out.Stderr)
	}
	return r
}

// do is ask for what must go well.
func (g guest) do(what string, about any) reply {
	g.t.Helper()
	r := g.ask(what, about)
	if r.Err != "" {
		g.t.Fatalf("%s %+v: %s", what, about, r.Err)
	}
	return r
}

// picture is what must be the same after a move and back: every link, file and
// folder of the places where units are enabled, and whether units run.
func (g guest) picture(units ...string) string {
	g.t.Helper()
	tree := g.Must("sh", "-c", `find /etc/systemd /etc/rc?.d /etc/init.d /run/systemd/system /run/systemd/generator.late -printf '%p %y %m %U:%G %l\n' | sort`)
	for _, unit := range units {
		tree += g.Must("systemctl", "show", unit, "-p", "Id,ActiveState,SubState,UnitFileState")
	}
	return tree
}

func TestUnitsMoveAndBack(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Booted)
	service := "[Service]\nExecStart=/bin/sleep 1d\n"
	wanted := "[Install]\nWantedBy=multi-user.target\n"
	h := lab.Boot(t, lab.Before(func(h *lab.Host) {
		write := func(name, content string) { h.WriteFile("/etc/systemd/system/"+name, content) }
		write("plain.service", service+wanted)
		write("talk.socket", "[Socket]\nListenStream=/run/talk\n[Install]\nWantedBy=sockets.target\n")
		write("talk.service", service)
		write("named.service", service+"[Install]\nWantedBy=multi-user.target\nAlias=other.service\nAlso=named.socket\n")
		write("named.socket", "[Socket]\nListenStream=/run/named\n[Install]\nWantedBy=sockets.target\n")
		write("inst@.service", service+wanted)
		write("needed.service", service+wanted)
		write("needing.service", "[Unit]\nRequires=needed.service\nAfter=needed.service\n"+service+wanted)
		h.WriteFile("/usr/lib/systemd/system/vendor.service", service)
		h.Must("mkdir", "-p", "/usr/lib/systemd/system/multi-user.target.wants", "/opt/units", "/etc/systemd/system/lonely.target.wants")
		h.Must("ln", "-s", "../vendor.service", "/usr/lib/systemd/system/multi-user.target.wants/vendor.service")
		h.WriteFile("/opt/units/linked.service", service+wanted)
		write("masked.service.real", service)
		h.Must("ln", "-s", "/dev/null", "/etc/systemd/system/masked.service")
		write("hand.service", service)
		h.WriteFileMode("/etc/init.d/oldstyle", "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: oldstyle\n# Required-Start:\n# Required-Stop:\n# Default-Start: 2 3 4 5\n# Default-Stop: 0 1 6\n# Short-Description: old\n### END INIT INFO\ncase $1 in start) start-stop-daemon -Sbmp /run/oldstyle.pid -x /bin/sleep -- 1d;; stop) start-stop-daemon -Kp /run/oldstyle.pid;; esac\n", 0o755)
		h.Must("systemctl", "--quiet", "enable", "plain.service", "talk.socket", "named.service", "inst@a.service", "inst@b.service", "needed.service", "needing.service", "/opt/units/linked.service")
		h.Must("update-rc.d", "oldstyle", "defaults")
		h.Must("sh", "-c", "mkdir -p /etc/systemd/system/basic.target.wants && ln -s ../hand.service /etc/systemd/system/basic.target.wants/hand.service && chown -h 1000:1000 /etc/systemd/system/basic.target.wants/hand.service && ln -s hand.service /etc/systemd/system/palm.service")
		h.Must("systemctl", "--quiet", "enable", "nginx.service")
	}))
	inside(t, h)
	h.Must("systemctl", "start", "talk.service")
	h.Must("systemd-run", "--quiet", "--unit=passing", "sleep", "1d")

	for _, c := range []struct {
		name   string
		units  []string
		want   Want
		refuse string // part of why
		target string
	}{
		{name: "a package's service", units: []string{"nginx.service"}, want: Off, target: "nginx.service"},
		{name: "a file in /etc", units: []string{"plain.service"}, want: Off, target: "plain.service"},
		{name: "a socket and its service", units: []string{"talk.service", "talk.socket"}, want: Off, target: "talk.socket talk.service"},
		{name: "a service whose socket stays", units: []string{"talk.service"}, want: Off, refuse: "talk.socket would start it again"},
		{name: "a unit with an alias and another with it", units: []string{"other.service", "named.socket"}, want: Off, target: "named.socket named.service"},
		{name: "one of two instances", units: []string{"inst@a.service"}, want: Off, target: "inst@a.service"},
		{name: "a template", units: []string{"inst@.service"}, want: Off, refuse: "template"},
		{name: "a linked unit", units: []string{"linked.service"}, want: Off, target: "linked.service"},
		{name: "links made by hand, with an owner", units: []string{"hand.service"}, want: Off, target: "hand.service"},
		{name: "an init script", units: []string{"oldstyle.service"}, want: Off, target: "oldstyle.service"},
		{name: "needed by another", units: []string{"needed.service"}, want: Off, refuse: "needing.service (Requires=) starts it at boot"},
		{name: "both at once", units: []string{"needed.service", "needing.service"}, want: Off, target: "needed.service"},
		{name: "a vendor's link starts it", units: []string{"vendor.service"}, want: Off, refuse: "starts it at boot"},
		{name: "a transient unit", units: []string{"passing.service"}, want: Off, refuse: "transient"},
		{name: "a masked unit is not started", units: []string{"masked.service"}, want: On, refuse: "masks it"},
		{name: "a masked unit is off", units: []string{"masked.service"}, want: Off},
		{name: "no such unit", units: []string{"nosuch.service"}, want: On, refuse: "no unit file"},
		{name: "on already", units: []string{"nginx.service"}, want: On},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := guest{h.For(t), t}
			wants := map[string]Want{}
			for _, u := range c.units {
				wants[u] = c.want
			}
			var all []string
			for _, u := range c.units {
				if !strings.Contains(u, "@.") {
					all = append(all, u)
				}
			}
			before := g.picture(all...)
			plan := g.do("make", wants).Plan
			if c.refuse != "" {
				if len(plan.Refusals) == 0 || !strings.Contains(plan.Refusals[0].Why, c.refuse) || len(plan.Moves) > 0 {
					t.Errorf("%+v is not refused because %q", plan, c.refuse)
				}
				return
			}
			if len(plan.Refusals) > 0 {
				t.Fatalf("refused: %+v", plan.Refusals)
			}
			if c.target == "" {
				if len(plan.Moves) > 0 {
					t.Errorf("there is nothing to do, but %+v", plan.Moves)
				}
				return
			}
			if len(plan.Moves) == 0 || plan.Moves[0].Target != c.target {
				t.Fatalf("%+v: want a move of %s", plan.Moves, c.target)
			}
			for _, m := range plan.Moves {
				if now := g.do("observe", m).State; !now.Equal(m.Before) {
					t.Errorf("%s is %+v, planned from %+v", m.Target, now, m.Before)
				}
			}
			for _, m := range plan.Moves {
				g.do("move", m)
				g.do("move", m) // again: nothing
				if now := g.do("observe", m).State; !now.Equal(m.After) {
					t.Errorf("%s is %+v, want %+v", m.Target, now, m.After)
				}
			}
			for _, u := range c.units {
				if r := h.Run("systemctl", "is-active", u); r.Code == 0 {
					t.Errorf("%s is %s", u, r.Stdout)
				}
				if r := h.Run("systemctl", "is-enabled", u); r.Code == 0 && !strings.Contains(r.Stdout, "static") && !strings.Contains(r.Stdout, "generated") {
					t.Errorf("%s is %s", u, r.Stdout)
				}
			}
			if again := g.do("make", wants).Plan; len(again.Moves)+len(again.Refusals) > 0 {
				t.Errorf("a second plan: %+v", again)
			}
			for _, m := range slices.Backward(plan.Moves) {
				g.do("back", m)
				g.do("back", m)
			}
			if after := g.picture(all...); after != before {
				t.Errorf("not as before:\n%s", diff(t, before, after))
			}
		})
	}
}

// A move that was cut short is taken back from wherever it was; what somebody
// changed meanwhile is a conflict, and stays.
func TestMovesCutShortAndConflicts(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Booted)
	const pull = "/etc/systemd/system/multi-user.target.wants/"
	h := lab.Boot(t, lab.Before(func(h *lab.Host) {
		h.WriteFile("/etc/systemd/system/stray.service", "[Service]\nExecStart=/bin/sleep 1d\n[Install]\nWantedBy=multi-user.target\nAlias=other.service\n")
		h.WriteFile("/etc/systemd/system/odd.service", "[Service]\nExecStart=/bin/sleep 1d\n[Install]\nWantedBy=odd.target\nWantedBy=multi-user.target\n")
		h.Must("systemctl", "--quiet", "enable", "stray.service")
	}))
	inside(t, h)
	for _, c := range []struct {
		name     string
		meddle   []string
		conflict string // empty: back is all as before
		mend     []string
	}{
		{name: "nothing was done"},
		{name: "one link is gone", meddle: []string{"rm", "/etc/systemd/system/other.service"}},
		{name: "all links are gone", meddle: []string{"rm", "/etc/systemd/system/other.service", pull + "stray.service"}},
		{name: "the unit is down", meddle: []string{"systemctl", "stop", "stray.service"}},
		{
			"somebody's link lies there", []string{"ln", "-sfn", "/opt/mine.service", "/etc/systemd/system/other.service"}, "other.service",
			[]string{"ln", "-sfn", "/etc/systemd/system/stray.service", "/etc/systemd/system/other.service"},
		},
		{
			"somebody's file lies there", []string{"sh", "-c", "rm /etc/systemd/system/other.service; echo mine >/etc/systemd/system/other.service"}, "not a link",
			[]string{"ln", "-sfn", "/etc/systemd/system/stray.service", "/etc/systemd/system/other.service"},
		},
		{
			"somebody has masked it", []string{"sh", "-c", "systemctl disable -q --now stray.service; mv /etc/systemd/system/stray.service /root; systemctl -q mask stray.service"}, "stray.service",
			[]string{"sh", "-c", "rm /etc/systemd/system/stray.service; mv /root/stray.service /etc/systemd/system; systemctl daemon-reload; systemctl -q enable --now stray.service"},
		},
		{
			"it does not start any more", []string{"sh", "-c", "systemctl disable -q --now stray.service; mv /bin/sleep /bin/sleep.off; sed -i 's/^Exec/Type=exec\\nExec/' /etc/systemd/system/stray.service"}, "what enables it is as before, but cannot start",
			[]string{"sh", "-c", "mv /bin/sleep.off /bin/sleep; sed -i /Type/d /etc/systemd/system/stray.service; systemctl daemon-reload; systemctl -q enable --now stray.service"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := guest{h.For(t), t}
			before := g.picture("stray.service")
			plan := g.do("make", map[string]Want{"stray.service": Off}).Plan
			if len(plan.Moves) != 1 {
				t.Fatalf("%+v", plan)
			}
			if c.meddle != nil {
				g.Must(c.meddle...)
			}
			if c.mend != nil {
				defer g.Must(c.mend...)
			}
			meddled := g.picture()
			r := g.ask("back", plan.Moves[0])
			switch {
			case c.conflict == "" && r.Err != "":
				t.Error(r.Err)
			case c.conflict != "" && (!r.Conflict || !strings.Contains(r.Err, c.conflict)):
				t.Errorf("%q is no conflict because of %q", r.Err, c.conflict)
			case c.conflict == "":
				if after := g.picture("stray.service"); after != before {
					t.Errorf("not as before:\n%s", diff(t, before, after))
				}
			case !strings.Contains(c.conflict, "as before"):
				if after := g.picture(); after != meddled {
					t.Errorf("a conflict, and yet changed:\n%s", diff(t, meddled, after))
				}
			}
		})
	}
	t.Run("a folder that it made goes with it", func(t *testing.T) {
		g := guest{h.For(t), t}
		before := g.picture("odd.service")
		plan := g.do("make", map[string]Want{"odd.service": On}).Plan
		g.do("move", plan.Moves[0])
		g.Must("systemctl", "is-active", "--quiet", "odd.service")
		g.Must("test", "-L", "/etc/systemd/system/odd.target.wants/odd.service")
		g.do("back", plan.Moves[0])
		if after := g.picture("odd.service"); after != before {
			t.Errorf("not as before:\n%s", diff(t, before, after))
		}
	})
	t.Run("immutable folder", func(t *testing.T) {
		g := guest{h.For(t), t}
		plan := g.do("make", map[string]Want{"stray.service": Off}).Plan
		if r := h.Run("chattr", "+i", "/etc/systemd/system"); r.Code != 0 {
			t.Skip("this file system has no such flag")
		}
		defer h.Must("chattr", "-i", "/etc/systemd/system")
		if r := g.ask("preflight", plan.Moves[0]); !strings.Contains(r.Err, "immutable") {
			t.Errorf("preflight: %q", r.Err)
		}
	})
}

// A start can last as long as what it does: such a unit is stopped like one that
// runs, and nobody waits for the end of it.
func TestAUnitThatIsBeingStarted(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Booted)
	h := lab.Boot(t, lab.Before(func(h *lab.Host) {
		h.WriteFile("/etc/systemd/system/long.service", "[Service]\nType=oneshot\nExecStart=/bin/sleep 1d\n")
	}))
	g := inside(t, h)
	h.Must("systemctl", "start", "--no-block", "long.service")
	plan := g.do("make", map[string]Want{"long.service": Off}).Plan
	if len(plan.Moves) != 1 || plan.Moves[0].Before.Units[0].Activity != Up {
		t.Fatalf("%+v", plan)
	}
	g.do("move", plan.Moves[0])
	if state := h.Run("systemctl", "is-active", "long.service").Stdout; strings.TrimSpace(state) == "activating" {
		t.Error("it is still being started")
	}
}

func diff(t *testing.T, a, b string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"a": a, "b": b} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, _ := exec.Command("/usr/bin/diff", "-u", filepath.Join(dir, "a"), filepath.Join(dir, "b")).Output()
	return string(out)
}
