package unitfile_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/unitfile"
)

// TestStatesAsSystemctl compares the state of every unit of generated trees
// with what systemctl says. HOSTGUARD_UNIT_TREES sets how many trees.
func TestStatesAsSystemctl(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Systemd)
	const systemctl = "/usr/bin/systemctl"
	trees := 60
	if n, err := strconv.Atoi(os.Getenv("HOSTGUARD_UNIT_TREES")); err == nil {
		trees = n
	}
	compared := 0
	for seed := range trees {
		root := t.TempDir()
		log := writeRandomTree(t, root, rand.New(rand.NewPCG(uint64(seed), 1)))
		out, err := exec.Command(systemctl, "--root="+root, "list-unit-files", "--no-pager", "--no-legend", "--full").Output()
		if err != nil {
			t.Fatal(err)
		}
		tree, err := unitfile.Open(host.New(host.Options{Root: root}))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for line := range strings.Lines(string(out)) {
			fields := strings.Fields(line)
			u, err := tree.Unit(fields[0])
			if err != nil {
				t.Errorf("seed %d: %s: %v", seed, fields[0], err)
				continue
			}
			if compared++; u.State != fields[1] {
				t.Errorf("seed %d: %s: systemctl says %s, we say %s %s", seed, fields[0], fields[1], u.State, u.Why)
			}
		}
		for _, name := range []string{"a.service", "t@x.service", "t@y.service", "nope.service"} {
			out, _ := exec.Command(systemctl, "--root="+root, "is-enabled", name).Output()
			want := strings.TrimSpace(string(out))
			u, err := tree.Unit(name)
			if want == "" && err == nil && (u.State == "not-found" || u.State == "bad") {
				continue // systemctl prints why on the other stream
			}
			if compared++; err != nil || u.State != want {
				t.Errorf("seed %d: is-enabled %s: systemctl says %s, we say %s %s %v", seed, name, want, u.State, u.Why, err)
			}
		}
		if t.Failed() {
			t.Logf("the tree of seed %d:\n%s", seed, strings.Join(log, "\n"))
			break
		}
	}
	t.Logf("%d states compared in %d trees", compared, trees)
}

var treeNames = []string{"a.service", "b.service", "c.service", "d.socket", "e.target", "t@.service", "s@.service", "long-dash-name.service"}

// writeRandomTree writes unit files, links, drop-ins and masks that legal
// hosts have, and a few that are broken. It returns what it wrote.
func writeRandomTree(t *testing.T, root string, rnd *rand.Rand) (log []string) {
	dirs := []string{
		"/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/usr/lib/systemd/system",
		"/usr/local/lib/systemd/system", "/run/systemd/generator", "/run/systemd/generator.late", "/run/systemd/transient",
	}
	pick := func(from []string) string { return from[rnd.IntN(len(from))] }
	instance := func(name string) string { return strings.Replace(name, "@.", "@"+pick([]string{"x", "y"})+".", 1) }
	write := func(name, content string) {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(name); err == nil {
			return
		}
		log = append(log, fmt.Sprintf("%s: %q", strings.TrimPrefix(name, root), content))
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, name string) {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if os.Symlink(target, name) == nil {
			log = append(log, fmt.Sprintf("%s -> %s", strings.TrimPrefix(name, root), target))
		}
	}
	var files []string
	for range 3 + rnd.IntN(8) {
		name := pick(treeNames)
		file := filepath.Join(pick(dirs), name)
		var b strings.Builder
		b.WriteString("[Unit]\nDescription=x\n[Service]\nExecStart=/bin/true\n")
		if rnd.IntN(3) > 0 {
			b.WriteString("[Install]\n")
			for _, line := range []string{"WantedBy=multi-user.target", "RequiredBy=e.target", "Also=d.socket", "Alias=al.service", "Alias=al@.service", "DefaultInstance=x", "Alias=%p-x.service"} {
				if rnd.IntN(4) == 0 {
					b.WriteString(line + "\n")
				}
			}
		}
		content := b.String()
		if rnd.IntN(12) == 0 {
			content = ""
		}
		write(file, content)
		files = append(files, file)
	}
	write("/usr/lib/systemd/system/default.target", "[Unit]\nDescription=x\n")
	write("/opt/units/o.service", "[Unit]\n[Install]\nWantedBy=multi-user.target\n")
	for range 2 + rnd.IntN(8) {
		target := pick(files)
		base := filepath.Base(target)
		dir := pick(dirs)
		switch rnd.IntN(9) {
		case 0, 1, 2:
			link(target, filepath.Join(dir, pick([]string{"multi-user.target.wants", "e.target.requires", "a.service.wants"}), instance(base)))
		case 3:
			link(target, filepath.Join(dir, "multi-user.target.wants", pick(treeNames)))
		case 4:
			link("/dev/null", filepath.Join(dir, base))
		case 5:
			link("/opt/units/o.service", filepath.Join(dir, "o.service"))
		case 6:
			link(target, filepath.Join(dir, pick([]string{"al.service", "al@.service", "al@x.service", "t@x.service", "zz.socket", strings.SplitN(base, ".", 2)[0] + "-x.service"})))
		case 7:
			link(base, filepath.Join(dir, "rel"+filepath.Ext(base)))
		case 8:
			write(filepath.Join(dir, base+".d", "x.conf"), "[Install]\nWantedBy=multi-user.target\n")
		}
	}
	if rnd.IntN(3) == 0 {
		link("usr/lib", "/lib")
	}
	return log
}
