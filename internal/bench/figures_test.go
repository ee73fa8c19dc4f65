// Package bench measures hostguard as whole processes on a booted host:
// `make bench`. Its figures are ratios within one run; none of them is a test.
package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/hostguard/hostguard/internal/lab"
)

// figures mirrors what stopwatch prints.
type figures struct {
	Command                []string
	WallMS, CPUMS, PeakKiB float64
}

const (
	runs   = "20"
	rounds = 3 // of each measurement of growth
)

func TestFigures(t *testing.T) {
	if os.Getenv("HOSTGUARD_BENCH") == "" {
		t.Skip("figures, not a test: make bench")
	}
	lab.Need(t, lab.Booted, lab.Audit)
	tools := build(t)
	hostguard := lab.Binary(t)
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...any) {
		for _, c := range cells {
			if f, ok := c.(float64); ok {
				c = fmt.Sprintf("%.2f", f)
			}
			fmt.Fprint(table, c, "\t")
		}
		fmt.Fprintln(table)
	}
	row("load "+load(t), "", "", "", "", "")
	row("on a booted host", "wall ms", "cpu ms", "peak MiB", "x baseline", "goal")
	show := func(name string, f figures, base figures, goal string) {
		row(name, f.WallMS, f.CPUMS, f.PeakKiB/1024, f.WallMS/base.WallMS, goal)
	}

	h := lab.Boot(t, lab.Good)
	h.Install(hostguard, "/usr/local/bin/hostguard")
	h.Install(filepath.Join(tools, "stopwatch"), "/usr/local/bin/stopwatch")
	h.Install(filepath.Join(tools, "empty"), "/usr/local/bin/empty")
	inside := func(commands ...string) []figures {
		t.Helper()
		return parse(t, h.Must(stopwatch("/usr/local/bin/stopwatch", commands)...))
	}
	const check, sshd = "/usr/local/bin/hostguard check", "/usr/sbin/sshd -T"
	checkInside := func() figures { return inside(check)[0] }

	f := inside("/usr/local/bin/empty", "/usr/local/bin/hostguard --help", sshd, check)
	show("empty Go program", f[0], f[0], "")
	show("hostguard --help", f[1], f[0], "<= 5 x empty")
	show("sshd -T", f[2], f[2], "")
	show("check, 0 containers", f[3], f[2], "<= 4 x sshd -T, <= 24 MiB")

	h.ImportBusybox("lab/busybox:1")
	run := func(n int) {
		for i := range n {
			h.Must("docker", "run", "--detach", "--name", fmt.Sprintf("c%d", i), "--network", "none", "lab/busybox:1", "sleep", "1000000")
		}
	}
	remove := func(n int) {
		for i := range n {
			h.Must("docker", "rm", "--force", fmt.Sprintf("c%d", i))
		}
	}
	const containers = 20
	run(containers)
	f = inside(sshd, check)
	show("sshd -T", f[0], f[0], "")
	show(fmt.Sprintf("check, %d containers", containers), f[1], f[0], "<= 4 x sshd -T, <= 24 MiB")
	remove(containers)

	perContainer := growth(containers, checkInside, run, remove)
	// Each is asked for by itself; those that do not run are asked for like the others.
	const many = 200
	h.Must("sh", "-c", fmt.Sprintf("for i in $(seq 0 %d); do docker create --name c$i --network none lab/busybox:1 sleep 1000000; done", many-1))
	with := checkInside()
	remove(many)
	without := checkInside()
	row(fmt.Sprintf("check, %d containers more", many), with.WallMS-without.WallMS, with.CPUMS-without.CPUMS, (with.PeakKiB-without.PeakKiB)/1024, "", "<= 100 ms")
	perProcess := growth(500, checkInside, func(n int) {
		h.Must("systemd-run", "--unit=bench-sleepers", "/bin/sh", "-c", fmt.Sprintf("for i in $(seq %d); do sleep 1000000 & done; wait", n))
	}, func(int) { h.Must("systemctl", "stop", "bench-sleepers") })
	original := map[string]string{}
	for _, file := range []string{"/etc/passwd", "/etc/shadow", "/etc/group"} {
		original[file] = h.ReadFile(file)
	}
	perAccount := growth(10_000, checkInside, func(n int) { addAccounts(h, n) }, func(int) {
		for file, content := range original {
			h.WriteFile(file, content)
		}
	})
	h.Stop()

	// A container's kernel does not list audit rules: this part runs here, with
	// the rules on disk, too.
	rules := auditRules(t, 1000)
	here := func() []figures {
		t.Helper()
		r := lab.Exec(t, rules.see(stopwatch(filepath.Join(tools, "stopwatch"), []string{
			"/usr/sbin/auditctl -l", hostguard + " check", hostguard + " check --skip audit", hostguard + " check --only audit",
		}))...)
		if r.Code != 0 {
			t.Fatalf("stopwatch: %s", r.Stderr)
		}
		return parse(t, r.Stdout)
	}
	row("", "", "", "", "", "")
	row("audit, on this machine", "wall ms", "cpu ms", "peak MiB", "x baseline", "goal")
	for _, n := range []int{0, rules.n} {
		if n > 0 {
			rules.load(n)
		}
		f = here()
		show(fmt.Sprintf("auditctl -l, %d rules more", n), f[0], f[0], "")
		show("check", f[1], f[0], "")
		show("check --skip audit", f[2], f[0], "")
		part := figures{WallMS: f[1].WallMS - f[2].WallMS, CPUMS: f[1].CPUMS - f[2].CPUMS, PeakKiB: f[1].PeakKiB - f[2].PeakKiB}
		goal := ""
		if n > 0 {
			goal = "<= 2 x auditctl -l"
			rules.unload(n)
		}
		show("  the audit part of check", part, f[0], goal)
		show("check --only audit", f[3], f[0], "")
	}
	perRule := growth(rules.n, func() figures { return here()[3] }, rules.load, rules.unload)

	row("", "", "", "", "", "")
	row("growth for each", "wall us", "cpu us", "", "", "goal, wall")
	row("container", perContainer.WallMS, perContainer.CPUMS, "", "", "<= 500")
	row("process", perProcess.WallMS, perProcess.CPUMS, "", "", "<= 80")
	row("audit rule", perRule.WallMS, perRule.CPUMS, "", "", "<= 15")
	row("account", perAccount.WallMS, perAccount.CPUMS, "", "", "<= 5")
	table.Flush()
	fmt.Print("\n", out.String(), "\n")
}

// growth is what one of n more things costs, in microseconds. Measurements
// with and without them take turns, so that a change of the machine's other
// load falls on both; the median of the differences counts.
func growth(n int, measure func() figures, add, remove func(n int)) figures {
	var wall, cpu []float64
	for range rounds {
		without := measure()
		add(n)
		with := measure()
		remove(n)
		wall = append(wall, with.WallMS-without.WallMS)
		cpu = append(cpu, with.CPUMS-without.CPUMS)
	}
	each := func(differences []float64) float64 {
		slices.Sort(differences)
		return 1000 * differences[len(differences)/2] / float64(n)
	}
	return figures{WallMS: each(wall), CPUMS: each(cpu)}
}

// load is the machine's load: above its number of processors, all wall times
// are too long, and those of parallel programs more so.
func load(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s on %d processors", strings.Fields(string(data))[0], runtime.NumCPU())
}

// build makes the static helpers and returns their folder.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir, "./stopwatch", "./empty")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build: %v\n%s", err, out)
	}
	return dir
}

func stopwatch(path string, commands []string) []string {
	args := []string{path, "-n", runs}
	for _, c := range commands {
		args = append(append(args, "--"), strings.Fields(c)...)
	}
	return args
}

func parse(t *testing.T, lines string) []figures {
	t.Helper()
	var all []figures
	for dec := json.NewDecoder(strings.NewReader(lines)); dec.More(); {
		var f figures
		if err := dec.Decode(&f); err != nil {
			t.Fatalf("cannot read what stopwatch printed: %v\n%s", err, lines)
		}
		all = append(all, f)
	}
	if len(all) == 0 {
		t.Fatal("stopwatch printed nothing")
	}
	return all
}

// addAccounts gives the host n more users, none of whom can log in.
func addAccounts(h *lab.Host, n int) {
	var passwd, shadow, group strings.Builder
	for i := range n {
		id := 100_000 + i
		fmt.Fprintf(&passwd, "bench%d:x:%d:%d::/nonexistent:/usr/sbin/nologin\n", i, id, id)
		fmt.Fprintf(&shadow, "bench%d:!:19000:0:99999:7:::\n", i)
		fmt.Fprintf(&group, "bench%d:x:%d:\n", i, id)
	}
	for file, more := range map[string]string{"/etc/passwd": passwd.String(), "/etc/shadow": shadow.String(), "/etc/group": group.String()} {
		h.WriteFile(file, h.ReadFile(file)+more)
	}
}

// loadedRules are rules in the kernel and on disk.
type loadedRules struct {
	t    *testing.T
	n    int
	text string
	etc  string // is /etc/audit for the programs that see starts
}

// auditRules makes n rules, each of a file that is there. They do not outlive
// the test.
func auditRules(t *testing.T, n int) *loadedRules {
	t.Helper()
	lab.LockAudit(t)
	r := &loadedRules{t: t, n: n, etc: t.TempDir()}
	var b strings.Builder
	count := 0
	err := filepath.WalkDir("/usr/share", func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.ContainsAny(name, " \\") {
			return err
		}
		fmt.Fprintf(&b, "-a always,exit -F path=%s -F perm=wa -F key=hostguard-bench\n", name)
		if count++; count == n {
			return filepath.SkipAll
		}
		return nil
	})
	if err == nil {
		err = os.MkdirAll(r.etc+"/rules.d", 0o750)
	}
	if err != nil || count < n {
		t.Fatalf("%d files for rules: %v", count, err)
	}
	r.text = b.String()
	t.Cleanup(func() { r.pass("-d") })
	return r
}

// see is a command that has the rules on disk.
func (r *loadedRules) see(command []string) []string {
	return append([]string{"unshare", "-m", "sh", "-c", `mount --bind "$0" /etc/audit && exec "$@"`, r.etc}, command...)
}

func (r *loadedRules) load(int) {
	r.t.Helper()
	r.write("rules.d/bench.rules", r.text)
	if r.pass("-a").Code != 0 {
		r.t.Error("cannot load rules")
	}
	if result := lab.Exec(r.t, r.see([]string{"augenrules"})...); result.Code != 0 {
		r.t.Errorf("augenrules: %s", result.Stderr)
	}
}

func (r *loadedRules) unload(int) {
	r.t.Helper()
	r.write("rules.d/bench.rules", "")
	r.write("audit.rules", "")
	if r.pass("-d").Code != 0 {
		r.t.Error("cannot remove rules")
	}
}

func (r *loadedRules) pass(verb string) lab.Result {
	r.t.Helper()
	r.write("pass", strings.ReplaceAll(r.text, "-a always", verb+" always"))
	return lab.Exec(r.t, "auditctl", "-R", r.etc+"/pass")
}

func (r *loadedRules) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.etc, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}
