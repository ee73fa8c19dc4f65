package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

// kernelAudit is this machine's audit, held by one test at a time. Auditing is
// on until the test ends, and of the rules those that bear its keys are
// removed then; all others stay.
type kernelAudit struct {
	t    *testing.T
	key  string // what the keys of the test's rules begin with
	etc  string // what is /etc/audit for the programs that run starts
	conf string // hostguard.yaml with these keys
	bin  string

	enter []string // what programs are started with
}

func holdAudit(t *testing.T) *kernelAudit {
	t.Helper()
	lab.LockAudit(t)
	k := &kernelAudit{t: t, key: fmt.Sprintf("hgtest%d-", os.Getpid()), etc: t.TempDir(), bin: lab.Binary(t)}
	if err := os.MkdirAll(k.etc+"/rules.d", 0o750); err != nil {
		t.Fatal(err)
	}
	k.conf = filepath.Join(t.TempDir(), "hostguard.yaml")
	parameters := "parameters:\n"
	for i, rule := range k.watches() {
		parameters += fmt.Sprintf("  %s: {key: %s%d}\n", rule, k.key, i)
	}
	k.write(k.conf, parameters)
	enabled := strings.HasPrefix(k.must("auditctl", "-s"), "enabled 1")
	t.Cleanup(func() {
		for line := range strings.Lines(k.must("auditctl", "-l")) {
			if line = strings.TrimSpace(line); strings.Contains(line, k.key) {
				words := strings.Fields(strings.Replace(strings.Replace(line, "-w ", "-W ", 1), "-a ", "-d ", 1))
				k.must(append([]string{"auditctl"}, words...)...)
			}
		}
		if !enabled {
			k.must("auditctl", "-e", "0")
		}
		if after := k.must("auditctl", "-l"); strings.Contains(after, k.key) {
			t.Errorf("rules are left in the kernel:\n%s", after)
		}
	})
	k.must("auditctl", "-e", "1")
	return k
}

// watches are the rules about what must be recorded.
func (k *kernelAudit) watches() []string {
	k.t.Helper()
	var rules []struct{ ID, Check string }
	if err := json.Unmarshal([]byte(lab.Exec(k.t, k.bin, "list", "rules", "--format", "json").Stdout), &rules); err != nil {
		k.t.Fatal(err)
	}
	var ids []string
	for _, r := range rules {
		if r.Check == "audit-watch" {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

func (k *kernelAudit) write(file, text string) {
	k.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

// run runs a program that sees the test's /etc/audit, and which exit code it gave.
func (k *kernelAudit) run(args ...string) (stdout, stderr string, code int) {
	k.t.Helper()
	r := lab.Exec(k.t, append(append(slices.Clone(k.enter), "unshare", "-m", "sh", "-c", `mount --bind "$0" /etc/audit && exec "$@"`, k.etc), args...)...)
	return r.Stdout, r.Stderr, r.Code
}

func (k *kernelAudit) must(args ...string) string {
	k.t.Helper()
	stdout, stderr, code := k.run(args...)
	if code != 0 {
		k.t.Fatalf("%q: exit code %d\n%s%s", args, code, stdout, stderr)
	}
	return stdout
}

// hostguard runs hostguard with the test's keys.
func (k *kernelAudit) hostguard(args ...string) (stdout, stderr string, code int) {
	k.t.Helper()
	return k.run(append(append([]string{k.bin}, args...), "--config", k.conf)...)
}

// findings are the statuses of a check of some rules.
func (k *kernelAudit) findings(connector string, rules ...string) map[string]string {
	k.t.Helper()
	out, stderr, _ := k.hostguard("check", "--format", "json", "--only", strings.Join(rules, ","), "--connector", connector)
	var report struct {
		Findings []struct {
			Rule, Status string
			Error        string
			Evidence     []struct{ Source, Key, Got string }
		}
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		k.t.Fatalf("%v\n%s", err, stderr)
	}
	statuses := map[string]string{}
	for _, f := range report.Findings {
		statuses[f.Rule] = f.Status
		if f.Status != "pass" {
			k.t.Logf("%s %s %s %+v", f.Rule, f.Status, f.Error, f.Evidence)
		}
	}
	return statuses
}

// The rules that show audit --missing prints, loaded by the real auditctl into
// the real kernel, make every rule about what must be recorded pass.
func TestMissingRulesMakeTheHostPass(t *testing.T) {
	lab.Need(t, lab.Docker) // its programs
	k := holdAudit(t)
	// /etc/audit is a mount here, of which nothing tells whether the boot has it;
	// without systemd nothing tells which time daemon runs.
	watches := slices.DeleteFunc(k.watches(), func(rule string) bool { return rule == "AUD-030" || rule == "AUD-032" })
	connector, err := os.MkdirTemp("/opt", "hostguard-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(connector) })
	elsewhere, err := os.MkdirTemp("/opt", "hostguard-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(elsewhere) })
	k.write(connector+"/docker-compose.yml", "services: {ecc: {image: x, volumes: ['./conf:/config', '"+elsewhere+"/my data:/data']}}\n")
	k.write(connector+"/.env", "A=b\n")
	for _, dir := range []string{connector + "/conf", elsewhere + "/my data"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}

	missing, stderr, code := k.hostguard("show", "audit", "--missing", "--connector", connector)
	if code != 0 && code != 3 {
		t.Fatalf("--missing: exit code %d\n%s", code, stderr)
	}
	t.Log(missing, stderr)
	const file = "/rules.d/50-hostguard.rules"
	k.write(k.etc+file, missing)
	k.must("augenrules") // writes audit.rules, and loads nothing
	k.must("auditctl", "-R", "/etc/audit"+file)

	statuses := k.findings(connector, watches...)
	open := func(rule string) bool { return strings.Contains(stderr, "no rule closes "+rule+",") }
	for _, rule := range watches {
		// Before docker ran for the first time it has no data here, which is said.
		if got := statuses[rule]; got != "pass" && got != "not-applicable" && !open(rule) || open(rule) && rule != "AUD-022" {
			t.Errorf("%s: %q, open: %v", rule, got, open(rule))
		}
	}

	if again, _, _ := k.hostguard("show", "audit", "--missing", "--connector", connector); strings.Contains("\n"+again, "\n-") {
		t.Errorf("asked again, rules are still missing:\n%s", again)
	}
	if got, want := k.must(k.bin, "show", "audit", "--loaded"), k.must("auditctl", "-l"); got != want {
		t.Errorf("--loaded:\n%s\nauditctl -l:\n%s", got, want)
	}
	out, stderr, code := k.hostguard("show", "audit", "--format", "json")
	var picture struct {
		Rules []struct {
			State, Rule string
			RulesD      struct{ File string } `json:"rules_d"`
		}
		Stale bool
	}
	if err := json.Unmarshal([]byte(out), &picture); err != nil || code != 0 {
		t.Fatalf("show audit: %v, exit code %d %s", err, code, stderr)
	}
	ours := 0
	for _, r := range picture.Rules {
		if r.RulesD.File != "" {
			ours++
			if r.State != "in all three" {
				t.Errorf("%s: %s", r.Rule, r.State)
			}
		}
	}
	if proposed := strings.Count("\n"+missing, "\n-"); ours != proposed || picture.Stale {
		t.Errorf("%d rules in rules.d, %d were proposed, stale: %v", ours, proposed, picture.Stale)
	}
}

// A rule that is taken out of one of the three places is found there.
func TestPictureOfTheKernel(t *testing.T) {
	k := holdAudit(t)
	var rules []string
	for i := range 4 {
		rules = append(rules, fmt.Sprintf("-w /etc/hostname -p wa -k %s%d", k.key, i))
	}
	file := k.etc + "/rules.d/50-test.rules"
	k.write(file, strings.Join(rules[:3], "\n")+"\n")
	k.must("augenrules")
	k.write(k.etc+"/audit.rules", strings.Join([]string{rules[0], rules[1]}, "\n")+"\n")
	for _, at := range []int{0, 2, 3} {
		k.must(append([]string{"auditctl"}, strings.Fields(rules[at])...)...)
	}
	out, stderr, code := k.hostguard("show", "audit")
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	for at, state := range []string{"in all three", "not loaded", "stale", "not persisted"} {
		lines := slices.DeleteFunc(strings.Split(out, "\n"), func(l string) bool { return !strings.HasSuffix(l, "  "+rules[at]) || strings.HasPrefix(l, " ") })
		if len(lines) != 1 || !strings.HasPrefix(lines[0], state) {
			t.Errorf("%s: %q, want %s", rules[at], lines, state)
		}
	}
}
