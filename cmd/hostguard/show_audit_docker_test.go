package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/internal/lab"
)

// ownDocker is a docker on this machine that is configured, by a unit file too,
// in a mount namespace of the test's own. What runs there takes it for the
// host's.
type ownDocker struct {
	t   *testing.T
	dir string // holds all of its files
	pid int
}

// dockerScript is the script that makes the namespace: mounts are shared in it, as on
// a host that systemd booted, and reach no further.
const dockerScript = `cp -a /etc/systemd/system/. "$0/systemd" && mount --make-rshared / && mount --bind "$0/systemd" /etc/systemd/system && mount --bind "$0/disk" "$0/mnt" &&
exec /usr/sbin/dockerd --config-file="$0/daemon.json" --data-root="$0/data" --exec-root="$0/exec" --pidfile="$0/pid" -H "unix://$0/s" \
--iptables=false --ip6tables=false --bridge=none --storage-driver=vfs`

func startDocker(t *testing.T) *ownDocker {
	t.Helper()
	lab.Need(t, lab.Docker)
	dir, err := os.MkdirTemp("/opt", "hgt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("cannot clean up: %v", err)
		}
	})
	d := &ownDocker{t: t, dir: dir}
	d.write("daemon.json", "{}")
	d.write("disk/vol/x", "")
	d.write("mnt/x", "")
	d.write("systemd/docker.service.d/test.conf", fmt.Sprintf("[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd --config-file=%[1]s/daemon.json "+
		"--data-root=%[1]s/data --exec-root=%[1]s/exec -H unix://%[1]s/s\n", dir))
	cmd := exec.Command("unshare", "-m", "sh", "-c", dockerScript, dir)
	log, err := os.Create(dir + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.pid = cmd.Process.Pid
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) // it ends its containerd by itself
		select {
		case <-ended:
		case <-time.After(15 * time.Second):
			syscall.Kill(-d.pid, syscall.SIGKILL)
			<-ended
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if r := lab.Exec(t, d.enter("docker", "-H", "unix://"+dir+"/s", "version")...); r.Code == 0 {
			return d
		}
		if time.Now().After(deadline) || len(ended) > 0 {
			text, _ := os.ReadFile(dir + "/log")
			t.Fatalf("dockerd does not answer\n%s", text)
		}
	}
}

// enter is a command that runs where the docker does.
func (d *ownDocker) enter(command ...string) []string {
	return append([]string{"nsenter", "--mount", "--target", strconv.Itoa(d.pid)}, command...)
}

func (d *ownDocker) docker(args ...string) {
	d.t.Helper()
	if r := lab.Exec(d.t, d.enter(append([]string{"docker", "-H", "unix://" + d.dir + "/s"}, args...)...)...); r.Code != 0 {
		d.t.Fatalf("docker %q: %s", args, r.Stderr)
	}
}

func (d *ownDocker) write(name, text string) {
	d.t.Helper()
	file := filepath.Join(d.dir, name)
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	if err == nil {
		err = os.WriteFile(file, []byte(text), 0o644)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// three starts the three containers of threeCompose, of which the paths are
// below the docker's folder.
func (d *ownDocker) three() {
	d.t.Helper()
	for _, file := range []string{"elsewhere/x", "ext/x", "single.properties", "three/conf/x", "three/.env"} {
		d.write(file, "a=b\n")
	}
	d.write("three/docker-compose.yml", strings.ReplaceAll(threeCompose, "/srv/", d.dir+"/"))
	archive := d.dir + "/image"
	for _, script := range []string{
		"mkdir -p $0/bin && cp /bin/busybox $0/bin/sleep", "tar -C $0 -c . | docker -H unix://$0/../s import - lab/busybox:1",
	} {
		if r := lab.Exec(d.t, d.enter("sh", "-c", script, archive)...); r.Code != 0 {
			d.t.Fatal(r.Stderr)
		}
	}
	for name, device := range map[string]string{"outside": "/ext", "mounted": "/mnt/vol"} {
		d.docker("volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", "device="+d.dir+device, name)
	}
	for service, mounts := range map[string][]string{
		"a": {d.dir + "/three/conf:/config", "three_named:/data"},
		"b": {d.dir + "/elsewhere:/x", "outside:/data"},
		"c": {d.dir + "/single.properties:/p", "mounted:/data"},
	} {
		args := []string{
			"run", "--detach", "--network", "none", "--name", "three_" + service, "--label", "com.docker.compose.project=three",
			"--label", "com.docker.compose.project.working_dir=" + d.dir + "/three", "--label", "com.docker.compose.service=" + service,
			"--label", "com.docker.compose.project.config_files=" + d.dir + "/three/docker-compose.yml",
		}
		for _, m := range mounts {
			args = append(args, "--volume", m)
		}
		d.docker(append(args, "lab/busybox:1", "/bin/sleep", "1000000")...)
	}
	d.t.Cleanup(func() { d.docker("rm", "--force", "three_a", "three_b", "three_c") })
}

// In the real kernel, beside three running containers: with the rules that show
// audit --missing prints all is recorded; of each bind mount, the named volume,
// the external volume that lies elsewhere and the one on a mount of its own the
// rule is deleted alone, and no other path than those that it is for is missed.
func TestEachDeletedRuleIsFoundAlone(t *testing.T) {
	k := holdAudit(t)
	d := startDocker(t)
	d.three()
	k.enter = d.enter()
	t.Cleanup(func() { k.enter = nil })
	// A rule on all of docker's data would hide a missing one on its volumes.
	conf, err := os.ReadFile(k.conf)
	if err != nil {
		t.Fatal(err)
	}
	k.write(k.conf, strings.NewReplacer("AUD-014: {", "AUD-014: {discover: [], paths: ["+d.dir+"/three], ",
		"AUD-015: {", "AUD-015: {discover: [], paths: ["+d.dir+"/three], ").Replace(string(conf)))

	// What runs on this machine beside is not the matter.
	ours := func(path string) bool { return strings.HasPrefix(path, d.dir+"/") }
	short := func(path string) string { return strings.TrimPrefix(path, d.dir) }
	missing, stderr, _ := k.hostguard("show", "audit", "--missing", "--connector", d.dir+"/three")
	var rules []string
	for line := range strings.Lines(missing) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "-w" && ours(words[1]) {
			rules = append(rules, strings.TrimSuffix(line, "\n"))
		}
	}
	// Without systemd nothing tells that the mount is there when the rules are
	// loaded at boot, so none is proposed on it.
	if strings.Contains(strings.Join(rules, "\n"), "/mnt/vol ") {
		t.Errorf("a rule is about a mount that may not be there:\n%s", missing)
	}
	rules = append(rules, fmt.Sprintf("-w %s/mnt/vol -p wa -k %smnt", d.dir, k.key))
	k.write(k.etc+"/rules.d/50-hostguard.rules", strings.Join(rules, "\n")+"\n")
	k.must("augenrules")
	k.must("auditctl", "-R", "/etc/audit/rules.d/50-hostguard.rules")

	gaps := func() (kernel, boot []string) {
		t.Helper()
		out, stderr, _ := k.hostguard("show", "audit", "--coverage", "--format", "json", "--connector", d.dir+"/three")
		var shown shownCoverage
		if err := json.Unmarshal([]byte(out), &shown); err != nil {
			t.Fatalf("%v: %s", err, stderr)
		}
		for _, p := range shown.Paths {
			if !ours(p.Path) || strings.HasPrefix(p.Path, d.dir+"/exec") || p.Path == d.dir+"/s" || p.Path == d.dir+"/daemon.json" {
				continue // the daemon's own, of which not all that is asked for is a watch
			}
			if p.Kernel == nil || p.Kernel.Answer != "covered" {
				kernel = append(kernel, short(p.Path))
			}
			if p.NextBoot.Answer != "covered" {
				boot = append(boot, short(p.Path))
			}
		}
		slices.Sort(kernel)
		return slices.Compact(kernel), boot
	}
	if kernel, boot := gaps(); len(kernel)+len(boot) > 0 {
		t.Fatalf("with the rules that --missing prints %v is not recorded, %v at the next boot\n%s%s", kernel, boot, missing, stderr)
	}
	for watch, want := range map[string][]string{
		"/three":             {"/three", "/three/.env", "/three/conf", "/three/docker-compose.yml"},
		"/data/volumes":      {"/data/volumes"},
		"/elsewhere":         {"/elsewhere"},
		"/single.properties": {"/single.properties"},
		"/ext":               {"/ext"},
		"/mnt/vol":           {"/mnt/vol"},
	} {
		at := slices.IndexFunc(rules, func(r string) bool { return strings.HasPrefix(r, "-w "+d.dir+watch+" ") })
		if at < 0 {
			t.Errorf("--missing has no rule on %s:\n%s", watch, missing)
			continue
		}
		words := strings.Fields(rules[at])
		k.must(append([]string{"auditctl", "-W"}, words[1:]...)...)
		kernel, boot := gaps()
		if diff := cmp.Diff(want, kernel); diff != "" || len(boot) > 0 {
			t.Errorf("without the rule on %s (-want +got):\n%s%v at the next boot", watch, diff, boot)
		}
		failed := []string{}
		for rule, status := range k.findings(d.dir+"/three", "AUD-020", "AUD-021", "AUD-022") {
			if status != "pass" {
				failed = append(failed, rule+" "+status)
			}
		}
		slices.Sort(failed)
		wantFailed := []string{"AUD-022 fail"}
		switch watch {
		case "/three":
			wantFailed = []string{"AUD-020 fail", "AUD-021 fail"}
		case "/elsewhere", "/single.properties":
			wantFailed = []string{"AUD-021 fail"}
		}
		if diff := cmp.Diff(wantFailed, failed); diff != "" {
			t.Errorf("without the rule on %s (-want +got):\n%s", watch, diff)
		}
		k.must(append([]string{"auditctl"}, words...)...)
	}
	if kernel, boot := gaps(); len(kernel)+len(boot) > 0 {
		t.Errorf("with all rules again %v is not recorded, %v at the next boot", kernel, boot)
	}
}
