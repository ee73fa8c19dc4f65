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

const runs = "20"

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

	f := inside("/usr/local/bin/empty", "/usr/local/bin/hostguard --help", sshd, check)
	show("empty Go program", f[0], f[0], "")
	show("hostguard --help", f[1], f[0], "<= 5 x empty")
	show("sshd -T", f[2], f[2], "")
	show("check, 0 containers", f[3], f[2], "<= 4 x sshd -T, <= 24 MiB")
	before := f[3]

	const containers = 20
	h.ImportBusybox("lab/busybox:1")
	for i := range containers {
		h.Must("docker", "run", "--detach", "--name", fmt.Sprintf("c%d", i), "--network", "none", "lab/busybox:1", "sleep", "1000000")
	}
	f = inside(sshd, check)
	show("sshd -T", f[0], f[0], "")
	show(fmt.Sprintf("check, %d containers", containers), f[1], f[0], "<= 4 x sshd -T")
	perContainer := (f[1].WallMS - before.WallMS) / containers
	for i := range containers {
		h.Must("docker", "rm", "--force", fmt.Sprintf("c%d", i))
	}

	const processes = 500
	before = inside(check)[0]
	h.Must("systemd-run", "--unit=bench-sleepers", "/bin/sh", "-c", fmt.Sprintf("for i in $(seq %d); do sleep 1000000 & done; wait", processes))
	perProcess := 1000 * (inside(check)[0].WallMS - before.WallMS) / processes
	h.Must("systemctl", "stop", "bench-sleepers")

	const accounts = 10_000
	before = inside(check)[0]
	addAccounts(h, accounts)
	perAccount := 1000 * (inside(check)[0].WallMS - before.WallMS) / accounts
	h.Stop()

	// A container's kernel does not list audit rules: this part runs here.
	const rules = 1000
	here := func() []figures {
		t.Helper()
		r := lab.Exec(t, stopwatch(filepath.Join(tools, "stopwatch"), []string{"/usr/sbin/auditctl -l", hostguard + " check --only audit"})...)
		if r.Code != 0 {
			t.Fatalf("stopwatch: %s", r.Stderr)
		}
		return parse(t, r.Stdout)
	}
	f = here()
	row("", "", "", "", "", "")
	row("audit part, on this machine", "wall ms", "cpu ms", "peak MiB", "x baseline", "goal")
	show("auditctl -l", f[0], f[0], "")
	show("check --only audit", f[1], f[0], "")
	before = f[1]
	loadRules(t, rules)
	f = here()
	show(fmt.Sprintf("auditctl -l, %d rules more", rules), f[0], f[0], "")
	show(fmt.Sprintf("check --only audit, %d rules more", rules), f[1], f[0], "")
	perRule := 1000 * (f[1].WallMS - before.WallMS) / rules

	row("", "", "", "", "", "")
	row("growth of the wall time", "each", "", "", "", "goal")
	row("container", fmt.Sprintf("%.2f ms", perContainer), "", "", "", "<= 0.5 ms")
	row("process", fmt.Sprintf("%.1f us", perProcess), "", "", "", "<= 80 us")
	row("audit rule", fmt.Sprintf("%.1f us", perRule), "", "", "", "<= 15 us")
	row("account", fmt.Sprintf("%.1f us", perAccount), "", "", "", "<= 5 us")
	table.Flush()
	fmt.Print("\n", out.String(), "\n")
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

// loadRules adds n audit rules to the kernel and takes them away afterwards.
func loadRules(t *testing.T, n int) {
	t.Helper()
	rules := func(verb string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%s always,exit -F dir=/usr -F perm=wa -F key=hostguard-bench-%d\n", verb, i)
		}
		return b.String()
	}
	load := func(verb string) {
		file := filepath.Join(t.TempDir(), "bench.rules")
		if err := os.WriteFile(file, []byte(rules(verb)), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := lab.Exec(t, "auditctl", "-R", file); r.Code != 0 {
			t.Errorf("cannot load rules: %s", r.Stderr)
		}
	}
	t.Cleanup(func() { load("-d") })
	load("-a")
}
