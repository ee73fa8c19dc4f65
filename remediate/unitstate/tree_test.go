package unitstate

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/host"
)

// In a file tree units are enabled and disabled by their links alone, and the
// tree itself decides where absolute links lead.
func TestFileTree(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := func(text, name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(text, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	const service = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
	write("/usr/lib/systemd/system/default.target", "[Unit]\nRequires=multi-user.target\n")
	write("/usr/lib/systemd/system/multi-user.target", "[Unit]\n")
	write("/usr/lib/systemd/system/web.service", service)
	write("/usr/lib/systemd/system/time.service", service+"Alias=clock.service\n")
	link("/usr/lib/systemd/system/web.service", "/etc/systemd/system/multi-user.target.wants/web.service")
	write("/etc/init.d/old", "#!/bin/sh\n")
	link("../init.d/old", "/etc/rc2.d/S01old")
	link("../init.d/old", "/etc/rc0.d/K01old")

	list := func() string {
		out, err := exec.Command("/usr/bin/find", root, "-printf", `%P %y %m %U %l\n`).Output()
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(out), "\n")
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	before := list()
	plan, err := Make(t.Context(), host.New(host.Options{Root: root}), map[string]Want{"web.service": Off, "time.service": On, "old.service": Off}, nil)
	if err != nil || len(plan.Moves) != 3 || len(plan.Refusals) > 0 {
		t.Fatalf("%+v, %v", plan, err)
	}
	a := New(root)
	for _, m := range plan.Moves {
		if err := a.Preflight(t.Context(), m.Before, m.After); err != nil {
			t.Error(err)
		}
		if err := a.Move(t.Context(), m.Target, m.Before, m.After); err != nil {
			t.Error(err)
		}
	}
	after := list()
	for _, want := range []string{
		"etc/systemd/system/clock.service l 777 0 /usr/lib/systemd/system/time.service",
		"etc/systemd/system/multi-user.target.wants/time.service l 777 0 /usr/lib/systemd/system/time.service",
		"etc/rc2.d/K01old l 777 0 ../init.d/old",
	} {
		if !strings.Contains(after, want) {
			t.Errorf("there is no %s in\n%s", want, after)
		}
	}
	for _, gone := range []string{"wants/web.service", "rc2.d/S01old"} {
		if strings.Contains(after, gone) {
			t.Errorf("%s is still there", gone)
		}
	}
	for _, m := range slices.Backward(plan.Moves) {
		if err := a.Back(t.Context(), m.Target, m.Before, m.After); err != nil {
			t.Error(err)
		}
	}
	if back := list(); back != before {
		t.Errorf("not as before:\n%s", diff(t, before, back))
	}
}

// A unit whose file is only about to be written can be enabled with it.
func TestUnitThatIsAboutToBeWritten(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "/etc/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"default.target": "[Unit]\nWants=timers.target\n", "timers.target": "[Unit]\n"} {
		if err := os.WriteFile(filepath.Join(root, "/etc/systemd/system", name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string][]byte{"/etc/systemd/system/new.timer": []byte("[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n")}
	plan, err := Make(t.Context(), host.New(host.Options{Root: root}), map[string]Want{"new.timer": On}, files)
	if err != nil || len(plan.Moves) != 1 || !slices.Contains(Describe(plan.Moves[0].Before, plan.Moves[0].After), "make the link /etc/systemd/system/timers.target.wants/new.timer -> /etc/systemd/system/new.timer") {
		t.Errorf("%+v, %v", plan, err)
	}
	plan, err = Make(t.Context(), host.New(host.Options{Root: root}), map[string]Want{"new.timer": On}, nil)
	if err != nil || len(plan.Refusals) != 1 {
		t.Errorf("without its file: %+v, %v", plan, err)
	}
}

// Without systemd nobody starts a unit: a plan that counted on it would be made,
// not help, and be taken back.
func TestNothingIsStartedWithoutSystemd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		running, systemd bool
		want             Want
		refused          bool
	}{
		{true, false, On, true},
		{true, false, Want{Enabled: On.Enabled}, false},
		{true, true, On, false},
		{false, false, On, false}, // a tree's next boot starts it
	} {
		if err := answerable(c.running, c.systemd, map[string]Want{"x.service": c.want}); (err != nil) != c.refused {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
