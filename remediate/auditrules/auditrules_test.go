package auditrules

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/remediate"
)

// tag is the key of this test's rules.
var tag = "hgact" + strconv.Itoa(os.Getpid())

// hold keeps the kernel's audit for one test, and wants it afterwards as it was.
func hold(t *testing.T) {
	t.Helper()
	lab.LockAudit(t)
	before := loaded(t)
	t.Cleanup(func() {
		after := loaded(t)
		if !slices.EqualFunc(before, after, func(a, b auditrule.Rule) bool { return a.Equal(&b) }) {
			t.Errorf("the kernel held %d rules before the test, and holds %d", len(before), len(after))
		}
	})
}

func loaded(t *testing.T) []auditrule.Rule {
	t.Helper()
	rules, err := host.New(host.Options{}).AuditLoaded(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// rule reads a line as this host's auditctl would.
func rule(t *testing.T, text string) *auditrule.Rule {
	t.Helper()
	env, err := host.New(host.Options{}).AuditEnv(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	line, err := auditrule.ParseLine(text, auditrule.Pos{}, env)
	if err != nil {
		t.Fatal(err)
	}
	return &line.Rule
}

func target(t *testing.T, text string) remediate.Thing {
	t.Helper()
	name, err := Target(rule(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return remediate.Thing{Root: "/", Target: name}
}

func state(t *testing.T, s any) remediate.State {
	t.Helper()
	out, err := remediate.Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// move makes a move and wants the state that it leads to.
func move(t *testing.T, k remediate.Kind, thing remediate.Thing, from, to any) {
	t.Helper()
	ctx := context.Background()
	if err := k.Preflight(ctx, thing, state(t, from), state(t, to)); err != nil {
		t.Fatalf("%s: preflight: %v", thing.Target, err)
	}
	if err := k.Move(ctx, thing, state(t, from), state(t, to)); err != nil {
		t.Fatalf("%s: %v", thing.Target, err)
	}
	got, err := k.Observe(ctx, thing)
	if err != nil || string(got) != string(state(t, to)) {
		t.Fatalf("%s is %s after the move, want %s: %v", thing.Target, got, state(t, to), err)
	}
}

var absent, present = RuleState{}, RuleState{Loaded: true}

// Rules of every form go in, twice without harm, are what auditctl lists, and
// come out, while an administrator's stay.
func TestRulesGoInAndOut(t *testing.T) {
	hold(t)
	dir := t.TempDir()
	for _, name := range []string{"folder", "with space", `back\slash`} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	theirs := []string{"-w", dir + "/folder", "-p", "rwxa", "-k", tag + "-theirs"}
	auditctl(t, theirs...)
	t.Cleanup(func() { auditctl(t, append([]string{"-W"}, theirs[1:]...)...) })
	var things []remediate.Thing
	for _, text := range []string{
		"-w " + dir + "/folder -p wa -k " + tag,
		"-w " + dir + "/file -p wa -k " + tag,
		"-w " + dir + `/with\ space -p wa -k ` + tag,
		"-w " + dir + `/back\\slash -p wa -k ` + tag,
		"-a always,exit -F arch=b64 -S connect -F path=" + dir + "/sock -F key=" + tag,
		"-a always,exit -F arch=b32 -S connect -F path=" + dir + "/sock -F key=" + tag,
		"-a always,exit -F path=" + dir + "/link -F perm=wa -F key=" + tag,
		"-a always,exit -F arch=b64 -S openat,unlink -F dir=" + dir + "/folder -F auid!=unset -F exit=-EACCES -k " + tag + " -k " + tag + "b",
	} {
		things = append(things, target(t, text))
	}
	before := auditctl(t, "-l")
	for _, thing := range things {
		move(t, Rule, thing, absent, present)
		move(t, Rule, thing, absent, present) // killed after it was done, and made again
	}
	if got := strings.Count(auditctl(t, "-l"), tag+"\n"); got < len(things)-1 {
		t.Errorf("auditctl lists %d of %d rules", got, len(things))
	}
	for _, thing := range slices.Backward(things) {
		move(t, Rule, thing, present, absent)
		move(t, Rule, thing, present, absent)
	}
	if after := auditctl(t, "-l"); after != before {
		t.Errorf("auditctl lists\n%s\nand before\n%s", after, before)
	}
}

// Case 22: a watched folder that is deleted takes its rule along. What is gone
// already can be taken back, and the rule's name does not depend on the folder.
func TestARuleWhoseFolderIsGone(t *testing.T) {
	hold(t)
	dir := filepath.Join(t.TempDir(), "folder")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	thing := target(t, "-w "+dir+" -p wa -k "+tag)
	move(t, Rule, thing, absent, present)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	move(t, Rule, thing, present, absent)
	err := Rule.Move(context.Background(), thing, state(t, absent), state(t, present))
	if !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("a rule on a folder that is gone: %v", err)
	}
	// Taken back, it is a conflict: the kernel would refuse it again and again.
	err = Rule.Back(context.Background(), thing, state(t, present), state(t, absent))
	if !remediate.IsConflict(err) || !strings.Contains(err.Error(), "the kernel refuses the rule") {
		t.Errorf("a rule on a folder that is gone, taken back: %v", err)
	}
}

// What an attacker or a defect may write into a journal.
func TestBadTargets(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"", "-D", "-e 2", "-d always,exit -S all", "-A never,exit -S all -F key=x", "-w /etc -p wa", "-a always,exit -F uid=root",
		"-a always,exit -S all -F dir=/etc -F perm=wa extra", "-a always,exit\n-D",
	} {
		if _, err := Rule.Observe(context.Background(), remediate.Thing{Root: "/", Target: name}); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
	thing := remediate.Thing{Root: "/tmp", Target: "-a always,exit -S all -F dir=/etc -F perm=wa"}
	if err := Rule.Preflight(context.Background(), thing, state(t, absent), state(t, present)); err == nil {
		t.Error("a rule is put into the kernel for a file tree")
	}
}

func TestSettings(t *testing.T) {
	hold(t)
	ctx := context.Background()
	for _, c := range []struct {
		name string
		to   uint32
	}{{"backlog_limit", 8193}, {"rate_limit", 1000}, {"failure", 0}, {"backlog_wait_time", 15001}, {"enabled", 1}} {
		thing := remediate.Thing{Root: "/", Target: c.name}
		got, err := Setting.Observe(ctx, thing)
		if err != nil {
			t.Fatal(err)
		}
		before, err := remediate.Decode[SettingState](got)
		if err != nil {
			t.Fatal(err)
		}
		if before.Value == c.to {
			continue
		}
		t.Cleanup(func() { // whatever becomes of the test
			if err := Setting.Move(ctx, thing, state(t, SettingState{c.to}), got); err != nil {
				t.Error(err)
			}
		})
		move(t, Setting, thing, before, SettingState{c.to})
		move(t, Setting, thing, before, SettingState{c.to})
		if list := auditctl(t, "-s"); !strings.Contains(list, c.name+" "+strconv.Itoa(int(c.to))+"\n") {
			t.Errorf("auditctl -s does not show %s %d:\n%s", c.name, c.to, list)
		}
		err = Setting.Move(ctx, thing, state(t, SettingState{c.to + 17}), state(t, before))
		if !remediate.IsConflict(err) {
			t.Errorf("%s changed by somebody else: %v, want a conflict", c.name, err)
		}
		move(t, Setting, thing, SettingState{c.to}, before)
	}
}

// Neither can be undone, so neither is done.
func TestSettingsThatAreNeverMade(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"enabled", "failure", "nonsense"} {
		thing := remediate.Thing{Root: "/", Target: name}
		if name != "nonsense" {
			if err := Setting.Preflight(context.Background(), thing, state(t, SettingState{1}), state(t, SettingState{2})); err == nil {
				t.Errorf("%s 2 passes the preflight", name)
			}
			continue
		}
		if err := Setting.Move(context.Background(), thing, state(t, SettingState{1}), state(t, SettingState{0})); err == nil {
			t.Error("a setting that is none is taken")
		}
	}
}

// In a user namespace the kernel answers nobody: case 26. The error says so and
// nothing is taken for done.
func TestInAContainer(t *testing.T) {
	if os.Getenv("HOSTGUARD_IN_CONTAINER") != "" {
		thing := remediate.Thing{Root: "/", Target: "-a always,exit -S all -F dir=/etc -F perm=wa -F key=" + tag}
		for what, err := range map[string]error{
			"observe":   second(Rule.Observe(context.Background(), thing)),
			"preflight": Rule.Preflight(context.Background(), thing, state(t, absent), state(t, present)),
			"move":      Rule.Move(context.Background(), thing, state(t, absent), state(t, present)),
		} {
			var refused *RefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), "container") {
				t.Errorf("%s: %v", what, err)
			}
		}
		return
	}
	lab.Need(t, lab.Audit)
	cmd := exec.Command(os.Args[0], "-test.run=^TestInAContainer$", "-test.v")
	cmd.Env = append(os.Environ(), "HOSTGUARD_IN_CONTAINER=1")
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestInAContainer") {
		t.Errorf("%v\n%s", err, out)
	}
}

func second(_ remediate.State, err error) error { return err }

func auditctl(t *testing.T, args ...string) string {
	t.Helper()
	r := lab.Exec(t, append([]string{"/sbin/auditctl"}, args...)...)
	if r.Code != 0 {
		t.Fatalf("auditctl %q: exit code %d: %s", args, r.Code, r.Stderr)
	}
	return r.Stdout
}

// Whatever rule the kernel lists has a name that reads back as itself, or none.
func FuzzTarget(f *testing.F) {
	word := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	for _, text := range []string{
		"-a always,exit -S all -F dir=/etc -F perm=wa -F key=x", "-a never,task", `-a always,exit -F path=/a\ b -F perm=x`,
	} {
		if line, err := auditrule.ParseLine(text, auditrule.Pos{}, bare{}); err == nil {
			f.Add(line.Rule.Encode())
		}
	}
	f.Add(word(4))
	f.Fuzz(func(t *testing.T, wire []byte) {
		r, err := auditrule.Decode(wire)
		if err != nil {
			return
		}
		name, err := Target(&r)
		if err != nil {
			return
		}
		back, err := parse(name)
		if err != nil || !back.Equal(&r) {
			t.Errorf("%q is read as %v: %v", name, back, err)
		}
	})
}
