package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
)

// flights runs canary and reads what came of its paths.
func (k *kernelAudit) flights(args ...string) (map[string]flight, string, int) {
	k.t.Helper()
	out, stderr, code := k.hostguard(append([]string{"canary", "--format", "json"}, args...)...)
	var list []flight
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		k.t.Fatalf("%v: exit code %d, %q %s", err, code, out, stderr)
	}
	flights := map[string]flight{}
	for _, f := range list {
		flights[f.Path] = f
	}
	return flights, stderr, code
}

func (k *kernelAudit) folder() string {
	k.t.Helper()
	dir, err := os.MkdirTemp("/opt", "hostguard-test-")
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Case 25: the kernel may send one record in a second, and others take it: the
// canary's is lost, which its count of lost records shows.
func TestCanaryWhoseRecordIsLost(t *testing.T) {
	k := holdAudit(t)
	dir := k.folder()
	file, other := dir+"/a.properties", dir+"/other"
	k.write(file, "")
	k.write(other, "")
	k.must("auditctl", "-w", file, "-p", "wa", "-k", k.key+"a")
	k.must("auditctl", "-w", other, "-p", "wa", "-k", k.key+"b")
	before := strings.Fields(k.must("auditctl", "-s"))
	limit := before[7]
	if before[6] != "rate_limit" {
		t.Fatal(before)
	}
	t.Cleanup(func() { k.must("auditctl", "-r", limit) })
	k.must("auditctl", "-r", "1")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // a process that is recorded, since it starts now
		defer close(stopped)
		script := fmt.Sprintf("while :; do : >>%s; done", other)
		noise := exec.Command("sh", "-c", script)
		if err := noise.Start(); err != nil {
			return
		}
		<-stop
		noise.Process.Kill()
		noise.Wait()
	}()
	defer func() { close(stop); <-stopped }()
	time.Sleep(100 * time.Millisecond) // the noise begins
	flights, _, code := k.flights("--wait", "500ms", file)
	if f := flights[file]; f.Result != lost || !strings.Contains(f.Why, "the kernel lost") || code != exitFindings {
		t.Errorf("%+v, exit code %d", f, code)
	}
}

// What must not be opened is refused and said, each alone, and the others are
// tried all the same.
func TestCanaryRefuses(t *testing.T) {
	k := holdAudit(t)
	dir := k.folder()
	k.must("auditctl", "-w", dir, "-p", "wa", "-k", k.key+"a")
	in := func(name string) string { return dir + "/" + name }
	k.write(in("file"), "")
	k.write(in("program"), "")
	for _, err := range []error{
		os.Chmod(in("program"), 0o755), unix.Mkfifo(in("fifo"), 0o600), os.Symlink("file", in("link")), os.Symlink("fifo", in("link-to-fifo")),
		os.Symlink("loop", in("loop")), os.Mkdir(in("folder"), 0o755), os.Symlink("gone", in("dangling")), unix.Mknod(in("device"), unix.S_IFCHR|0o600, 1<<8|3),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	paths := []string{"--wait", "3s", in("file"), in("link"), "/proc/sys/kernel/hostname"}
	wants := map[string]string{
		in("fifo"): "FIFO", in("link-to-fifo"): "FIFO", in("folder"): "folder", in("vanished"): "no such file", in("dangling"): "no such file",
		in("loop"): "too many links", in("program"): "executable", in("device"): "device", "/proc/sys/kernel/hostname": "file system",
	}
	for path := range wants {
		paths = append(paths, path)
	}
	flights, _, code := k.flights(paths...)
	for path, why := range wants {
		if f := flights[path]; f.Result != cannotTell || !strings.Contains(f.Why, why) {
			t.Errorf("%s: %+v", path, f)
		}
	}
	for _, path := range []string{in("file"), in("link")} {
		if f := flights[path]; f.Result != recorded {
			t.Errorf("%s: %+v", path, f)
		}
	}
	if code != exitIncomplete {
		t.Errorf("exit code %d", code)
	}
}

// Case 26: who cannot ask the kernel is told so, and nothing is tried.
func TestCanaryWithoutTheKernel(t *testing.T) {
	k := holdAudit(t)
	program := k.folder() + "/hostguard"
	k.must("install", "-m", "755", k.bin, program)
	k.must("chmod", "755", strings.TrimSuffix(program, "/hostguard"))
	for name, c := range map[string]struct {
		with []string
		says string
	}{
		"not root":            {[]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}, "needs root"},
		"no capability":       {[]string{"setpriv", "--bounding-set=-audit_control", "--inh-caps=-audit_control"}, "CAP_AUDIT_CONTROL lacks"},
		"26 a pid namespace":  {[]string{"unshare", "--pid", "--fork"}, "container or another pid namespace"},
		"26 a user namespace": {[]string{"unshare", "--user", "--map-root-user"}, "container or another user namespace"},
	} {
		stdout, stderr, code := k.run(append(append([]string{}, c.with...), program, "canary", "/etc/hostname")...)
		if code != exitIncomplete || stdout != "" || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit code %d, %q %q", name, code, stdout, stderr)
		}
	}
}

// Where the kernel lets nobody listen (CAP_AUDIT_READ lacks), auditd's log is
// read, by a running auditd that writes it.
func TestCanaryByTheLog(t *testing.T) {
	k := holdAudit(t)
	dir := k.folder()
	file := dir + "/a.properties"
	k.write(file, "")
	k.must("auditctl", "-w", file, "-p", "wa", "-k", k.key+"a")
	log := dir + "/audit.log"
	k.write(k.etc+"/auditd.conf", "log_file = "+log+"\nlog_format = RAW\nflush = INCREMENTAL_ASYNC\nfreq = 1\nlocal_events = yes\nwrite_logs = yes\n"+
		"space_left = 2\nadmin_space_left = 1\ndisk_full_action = SUSPEND\nname_format = NONE\n")
	status := strings.Fields(k.must("auditctl", "-s"))
	t.Cleanup(func() { k.must("auditctl", "-e", "1", "-b", status[9], "-r", status[7]) })
	daemon := exec.Command("unshare", "-m", "sh", "-c", `mount --bind "$0" /etc/audit && exec auditd -n -s nochange`, k.etc)
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		daemon.Process.Signal(unix.SIGTERM)
		daemon.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(k.must("auditctl", "-s"), fmt.Sprintf("\npid %d\n", daemon.Process.Pid)); {
		if time.Now().After(deadline) {
			t.Fatal("auditd does not take the records")
		}
		time.Sleep(20 * time.Millisecond)
	}
	r := lab.Exec(t, "unshare", "-m", "sh", "-c", `mount --bind "$0" /etc/audit && exec setpriv --bounding-set=-audit_read --inh-caps=-audit_read "$@"`, k.etc,
		k.bin, "canary", "--wait", "8s", file)
	if r.Code != exitOK || !strings.Contains(r.Stdout, recorded) || !strings.Contains(r.Stdout, k.key+"a") {
		t.Errorf("exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	r = lab.Exec(t, "unshare", "-m", "sh", "-c", `mount --bind "$0" /etc/audit && rm "$1" && shift && exec setpriv --bounding-set=-audit_read --inh-caps=-audit_read "$@"`, k.etc,
		log, k.bin, "canary", "--wait", "1s", file)
	if r.Code != exitIncomplete || !strings.Contains(r.Stderr, "cannot listen to the kernel's audit") || !strings.Contains(r.Stderr, log) {
		t.Errorf("without a log: exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
}
