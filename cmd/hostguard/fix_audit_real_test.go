package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/lab"
)

// withState gives the programs that run starts a state folder and a tmpfiles.d
// of their own.
func (k *kernelAudit) withState() {
	k.t.Helper()
	const state, made = "/var/lib/hostguard", "/etc/tmpfiles.d"
	err := os.Mkdir(state, 0o700)
	if err != nil && !os.IsExist(err) {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() {
		k.enter = nil // what it mounts goes with the test
		if err == nil {
			os.Remove(state)
		}
	})
	own, conf := k.t.TempDir(), k.t.TempDir()
	for _, err := range []error{os.Chmod(own, 0o700), os.Chmod(conf, 0o755), os.CopyFS(conf, os.DirFS(made))} {
		if err != nil {
			k.t.Fatal(err)
		}
	}
	k.enter = []string{"unshare", "-m", "sh", "-c", `mount --bind "$1" ` + state + ` && mount --bind "$2" ` + made + ` && shift 2 && exec "$@"`, "sh", own, conf}
}

// auditd runs the real one until the test ends; it writes to a file of the test.
func (k *kernelAudit) auditd(settings string) (log string) {
	k.t.Helper()
	dir, err := os.MkdirTemp("/var/log", "hostguard-test-")
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { os.RemoveAll(dir) })
	log = dir + "/audit.log"
	plugins := k.etc + "/plugins.d"
	if err := os.Mkdir(plugins, 0o750); err != nil {
		k.t.Fatal(err)
	}
	k.write(k.etc+"/auditd.conf", "log_file = "+log+"\nplugin_dir = "+plugins+"\nlog_format = RAW\nflush = NONE\nmax_log_file = 8\nnum_logs = 5\n"+
		"max_log_file_action = ROTATE\nspace_left = 2\nadmin_space_left = 1\nspace_left_action = SYSLOG\n"+settings)
	cmd := exec.Command("/sbin/auditd", "-n", "-c", k.etc)
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		data, _ := os.ReadFile(log)
		if strings.Contains(string(data), "type=DAEMON_START") && strings.Contains(k.must("auditctl", "-s"), "enabled 1") {
			return log
		}
		if time.Now().After(deadline) {
			k.t.Fatalf("auditd does not begin: %s", data)
		}
	}
}

// fix runs fix for some rules.
func (k *kernelAudit) fix(connector string, rules ...string) (*fixResult, int) {
	k.t.Helper()
	out, stderr, code := k.hostguard("fix", "--format", "json", "--only", strings.Join(rules, ","), "--connector", connector)
	var r fixResult
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		k.t.Fatalf("%v: exit code %d, %s\n%s", err, code, out, stderr)
	}
	return &r, code
}

// files is what is in the test's /etc/audit.
func (k *kernelAudit) files() string {
	k.t.Helper()
	return lab.Exec(k.t, "sh", "-c", `cd "$0" && find . -printf '%p %y %m %U:%G\n' | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum`, k.etc).Stdout
}

// What fix does about the rules of what must be recorded, in the real kernel
// beside the real auditd: they pass, an administrator's rule stays where it
// was, a fresh process is recorded, a second fix does nothing, and undo leaves
// files and kernel as they were.
func TestFixRecordsWhatMustBeRecorded(t *testing.T) {
	lab.Need(t, lab.Docker) // its programs
	k := holdAudit(t)
	k.withState()
	// The two are mounts here, of which nothing tells whether the boot has them;
	// without systemd nothing tells which time daemon runs.
	left := []string{"AUD-030", "AUD-032", "AUD-034"}
	watches := slices.DeleteFunc(k.watches(), func(rule string) bool { return slices.Contains(left, rule) })
	connector := k.folder()
	k.write(connector+"/docker-compose.yml", "services: {ecc: {image: x, volumes: ['./conf:/config']}}\n")
	k.write(connector+"/.env", "A=b\n")
	if err := os.Mkdir(connector+"/conf", 0o755); err != nil {
		t.Fatal(err)
	}
	theirs := "-w /etc/hostname -p wa -k " + k.key + "theirs"
	k.write(k.etc+"/rules.d/audit.rules", "-D\n-b 8192\n-f 1\n\n"+theirs+"\n")
	log := k.auditd("")
	k.must("augenrules")
	k.must(append([]string{"auditctl"}, strings.Fields(theirs)...)...)
	held, files := k.must("auditctl", "-l"), k.files()

	asked := append(slices.Clone(watches), "AUD-006")
	dry, stderr, _ := k.hostguard("plan", "--only", strings.Join(asked, ","), "--connector", connector)
	if !strings.Contains(dry, "+-w "+connector+" -p wa -k ") || k.must("auditctl", "-l") != held || k.files() != files {
		t.Errorf("the plan shows no rule for the connector, or does something: %s%s", dry, stderr)
	}
	first, code := k.fix(connector, asked...)
	if first.Outcome != applied {
		t.Fatalf("%s with exit code %d: %s", first.Outcome, code, first.Error)
	}
	open := map[string]bool{}
	for _, task := range first.Person {
		for _, rule := range task.Rules {
			open[rule] = true
		}
	}
	for _, f := range first.After.Findings {
		// Before docker ran for the first time it has no data here, which is said.
		if f.Status != checks.Pass && f.Status != checks.NotApplicable && !(open[f.Rule] && f.Rule == "AUD-022") {
			t.Errorf("%s is %v after fix: %s", f.Rule, f.Status, findingText(first.After, f.Rule))
		}
	}
	if now := k.must("auditctl", "-l"); !strings.HasPrefix(now, strings.TrimSuffix(held, "\n")) || !strings.Contains(now, connector) {
		t.Errorf("the kernel holds\n%s\nand before\n%s", now, held)
	}
	if out := k.must("augenrules", "--check"); !strings.Contains(out, "No change") {
		t.Errorf("augenrules would write another audit.rules: %s", out)
	}
	flights, _, _ := k.flights(connector + "/.env")
	if f := flights[connector+"/.env"]; f.Result != recorded {
		t.Errorf("an event in the connector's folder: %+v", f)
	}
	if data, _ := os.ReadFile(log); !strings.Contains(string(data), connector) {
		t.Error("auditd did not write the event of the connector's folder")
	}

	done, kernel := k.files(), k.must("auditctl", "-l")
	if second, code := k.fix(connector, asked...); second.Outcome != nothingToDo {
		t.Errorf("a second fix: %s with exit code %d: %+v", second.Outcome, code, second.Steps)
	}
	if k.files() != done || k.must("auditctl", "-l") != kernel {
		t.Error("a second fix changed something")
	}
	if out, stderr, code := k.run(k.bin, "undo"); code != exitOK {
		t.Errorf("undo: exit code %d: %s%s", code, out, stderr)
	}
	if after := k.must("auditctl", "-l"); after != held {
		t.Errorf("after undo the kernel holds\n%s\nand before\n%s", after, held)
	}
	if after := k.files(); after != files {
		t.Errorf("after undo:\n%s\nbefore:\n%s", after, files)
	}
}

// The kernel's switches, and the lines that set them at the next boot.
func TestFixSetsTheKernelsSwitches(t *testing.T) {
	k := holdAudit(t)
	k.withState()
	k.write(k.etc+"/rules.d/audit.rules", "-D\n## ours\n-b 64\n-f 1\n")
	k.auditd("")
	k.must("augenrules")
	before := strings.Fields(k.must("auditctl", "-s"))
	limit := before[slices.Index(before, "backlog_limit")+1]
	t.Cleanup(func() { k.must("auditctl", "-b", limit, "-f", "1") })
	k.must("auditctl", "-b", "64", "-f", "0")
	files, status := k.files(), switchesOf(k)
	for _, c := range []struct{ rule, wants string }{{"AUD-004", "failure 1"}, {"AUD-003", "backlog_limit 8192"}} {
		r, code := k.fix(k.folder(), c.rule)
		if r.Outcome != applied || !strings.Contains(k.must("auditctl", "-s"), c.wants+"\n") {
			t.Errorf("%s: %s with exit code %d: %s\n%s", c.rule, r.Outcome, code, r.Error, k.must("auditctl", "-s"))
		}
	}
	if data, _ := os.ReadFile(k.etc + "/rules.d/audit.rules"); string(data) != "-D\n## ours\n-b 8192\n-f 1\n" {
		t.Errorf("audit.rules is\n%s", data)
	}
	for range 2 {
		if out, stderr, code := k.run(k.bin, "undo"); code != exitOK {
			t.Errorf("undo: exit code %d: %s%s", code, out, stderr)
		}
	}
	if after := switchesOf(k); after != status || k.files() != files {
		t.Errorf("after undo %s, before %s", after, status)
	}
}

func switchesOf(k *kernelAudit) string {
	words := strings.Fields(k.must("auditctl", "-s"))
	var all []string
	for _, name := range []string{"enabled", "failure", "backlog_limit", "rate_limit"} {
		all = append(all, name, words[slices.Index(words, name)+1])
	}
	return strings.Join(all, " ")
}

// A boot loads what an administrator's files hold. A rule that fix had loaded
// from them before is theirs from then on, and undo leaves it to them.
func TestUndoAfterABootLeavesWhatItLoaded(t *testing.T) {
	k := holdAudit(t)
	k.withState()
	theirs := "-w /etc/hostname -p wa -k " + k.key + "theirs"
	k.write(k.etc+"/rules.d/audit.rules", "-D\n-b 8192\n-f 1\n\n"+theirs+"\n")
	k.auditd("")
	k.must("augenrules")
	files := k.files()
	if r, code := k.fix(k.folder(), "AUD-006", "AUD-031"); r.Outcome != applied {
		t.Fatalf("%s with exit code %d: %s", r.Outcome, code, r.Error)
	}
	if held := k.must("auditctl", "-l"); !strings.Contains(held, theirs) || !strings.Contains(held, "-w /etc/ssh ") {
		t.Fatalf("the kernel holds\n%s", held)
	}

	// A host that booted just now, in a time namespace: less than a second ago,
	// since offsets are whole seconds.
	for done := time.Now(); time.Since(done) < 1100*time.Millisecond; {
		time.Sleep(100 * time.Millisecond)
	}
	uptime, _, _ := strings.Cut(k.must("cat", "/proc/uptime"), ".")
	out, stderr, code := k.run("unshare", "--time", "--boottime", "-"+uptime, "--fork", k.bin, "undo")
	if code != exitOK || k.files() != files {
		t.Errorf("undo: exit code %d: %s%s", code, out, stderr)
	}
	if held := k.must("auditctl", "-l"); held != theirs+"\n" {
		t.Errorf("after undo the kernel holds\n%s", held)
	}
}

// auditd.conf is changed on its lines, and auditd itself says that it read it.
func TestFixHasAuditdReadItsConfiguration(t *testing.T) {
	k := holdAudit(t)
	k.withState()
	log := k.auditd("# a full disk\nadmin_space_left_action = SYSLOG\ndisk_full_action = HALT\ndisk_error_action = SYSLOG\n")
	files := k.files()
	reread := func() int {
		data, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(data), "op=reconfigure state=changed")
	}
	r, code := k.fix(k.folder(), "AUD-005")
	if r.Outcome != applied || code != exitOK || reread() != 1 {
		t.Errorf("%s with exit code %d: %s; auditd read its configuration again %d times: %+v", r.Outcome, code, r.Error, reread(), r.Person)
	}
	data, err := os.ReadFile(filepath.Join(k.etc, "auditd.conf"))
	if err != nil || !strings.HasSuffix(string(data), "# a full disk\nadmin_space_left_action = SYSLOG\ndisk_full_action = SUSPEND\ndisk_error_action = SYSLOG\n") {
		t.Errorf("%v\n%s", err, data)
	}
	if r, _ := k.fix(k.folder(), "AUD-005"); r.Outcome != nothingToDo || reread() != 1 {
		t.Errorf("a second fix: %s, and auditd read it %d times", r.Outcome, reread())
	}
	if out, stderr, code := k.run(k.bin, "undo"); code != exitOK || reread() != 2 {
		t.Errorf("undo: exit code %d, read %d times: %s%s", code, reread(), out, stderr)
	}
	if after := k.files(); after != files {
		t.Errorf("after undo:\n%s\nbefore:\n%s", after, files)
	}
}

// An auditd that wrote nothing writes, and undo ends although it says nothing
// any more.
func TestFixLetsAuditdWriteAndUndoEnds(t *testing.T) {
	k := holdAudit(t)
	k.withState()
	log := k.auditd("admin_space_left_action = SYSLOG\ndisk_full_action = SUSPEND\ndisk_error_action = SYSLOG\n")
	conf := filepath.Join(k.etc, "auditd.conf")
	data, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	k.write(conf, string(data)+"write_logs = no\n")
	words := strings.Fields(k.must("auditctl", "-s"))
	lab.Exec(t, "kill", "-HUP", words[slices.Index(words, "pid")+1])
	time.Sleep(time.Second) // nothing tells that it was read
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	files := k.files()
	if r, code := k.fix(k.folder(), "AUD-005"); r.Outcome != applied || code != exitOK {
		t.Errorf("%s with exit code %d: %s", r.Outcome, code, r.Error)
	}
	if data, err := os.ReadFile(log); !strings.Contains(string(data), "op=reconfigure state=changed") {
		t.Errorf("auditd wrote %q %v", data, err)
	}
	if out, stderr, code := k.run(k.bin, "undo"); code != exitOK {
		t.Errorf("undo: exit code %d: %s%s", code, out, stderr)
	}
	if after := k.files(); after != files {
		t.Errorf("after undo:\n%s\nbefore:\n%s", after, files)
	}
}

// An image is given its rules before its first boot: augenrules itself finds
// nothing to do in it, and undo leaves it as it was.
func TestFixOfAnImagesAudit(t *testing.T) {
	lab.Need(t, lab.Root)
	root, bin := lab.Tree(t), lab.Binary(t)
	snapshot := func() string {
		return lab.Exec(t, "sh", "-c", `cd "$0" && find etc -printf '%p %y %m %U:%G %l\n' | sort && find etc -type f -print0 | sort -z | xargs -0 sha256sum`, root).Stdout
	}
	before := snapshot()
	var r fixResult
	out := lab.Exec(t, bin, "fix", "--root", root, "--only", "AUD-010,AUD-011,AUD-012,AUD-013,AUD-016,AUD-006", "--format", "json")
	if err := json.Unmarshal([]byte(out.Stdout), &r); err != nil || r.Outcome != applied {
		t.Fatalf("%v: exit code %d, %s: %s%s", err, out.Code, r.Outcome, out.Stdout, out.Stderr)
	}
	for _, f := range r.After.Findings {
		if f.Status != checks.Pass && f.Status != checks.NotApplicable {
			t.Errorf("%s is %v: %s", f.Rule, f.Status, findingText(r.After, f.Rule))
		}
	}
	if check := lab.Exec(t, "chroot", root, "/sbin/augenrules", "--check"); !strings.Contains(check.Stdout, "No change") {
		t.Errorf("augenrules would write another audit.rules: %s%s", check.Stdout, check.Stderr)
	}
	if out := lab.Exec(t, bin, "undo", "--root", root); out.Code != exitOK {
		t.Errorf("undo: exit code %d: %s%s", out.Code, out.Stdout, out.Stderr)
	}
	if after := snapshot(); after != before {
		t.Errorf("after undo:\n%s\nbefore:\n%s", after, before)
	}
}

// A fix that is killed between two of its talks with the kernel, wherever that
// is: recover takes out the rules that it had loaded, and no other.
func TestFixKilledWhileItLoadsRules(t *testing.T) {
	k := holdAudit(t)
	k.withState()
	theirs := "-w /etc/hostname -p wa -k " + k.key + "theirs"
	k.write(k.etc+"/rules.d/audit.rules", "-D\n"+theirs+"\n")
	k.auditd("")
	k.must("augenrules")
	k.must(append([]string{"auditctl"}, strings.Fields(theirs)...)...)
	held, files := k.must("auditctl", "-l"), k.files()
	dir, killed, halfway := k.folder(), 0, 0
	// Which thread makes which call is the scheduler's: strace counts each one's.
	for n := 2; n < 60 && halfway < 3; n += 2 {
		when := strconv.Itoa(n)
		out, stderr, code := k.run("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=sendto", "-e", "inject=sendto:signal=SIGKILL:when="+when,
			k.bin, "fix", "--only", "AUD-012,AUD-013,AUD-031,AUD-033", "--connector", dir, "--config", k.conf)
		if code == exitOK {
			t.Logf("there are less than %s calls: %s%s", when, out, stderr)
		} else {
			killed++
		}
		if now := k.must("auditctl", "-l"); now != held {
			halfway++
			if !strings.Contains(now, theirs) {
				t.Errorf("killed at call %s the administrator's rule is gone:\n%s", when, now)
			}
		}
		verb := "recover"
		if code == exitOK {
			verb = "undo"
		}
		if out, stderr, code := k.run(k.bin, verb); code != exitOK && !strings.Contains(stderr, "nothing") {
			t.Errorf("%s after call %s: exit code %d: %s%s", verb, when, code, out, stderr)
		}
		if now := k.must("auditctl", "-l"); now != held || k.files() != files {
			t.Fatalf("after call %s and %s the kernel holds\n%s\nand before\n%s", when, verb, now, held)
		}
	}
	if killed == 0 || halfway == 0 {
		t.Errorf("killed %d times, %d of them with rules loaded: the test shows nothing", killed, halfway)
	}
}
