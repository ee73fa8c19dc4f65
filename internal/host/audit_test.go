package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/lab"
)

// auditHelper makes this test program ask the kernel and print what came of
// it, for tests that run it elsewhere.
const auditHelper = "HOSTGUARD_TEST_AUDIT_HELPER"

func init() {
	if os.Getenv(auditHelper) != "" {
		_, err := New(Options{}).AuditStatus(context.Background())
		fmt.Println(err)
		os.Exit(0)
	}
}

func TestAuditStatusIsAuditctls(t *testing.T) {
	lab.Need(t, lab.Audit)
	s, err := New(Options{}).AuditStatus(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("/sbin/auditctl", "-s").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("failure %d\n", s.Failure), fmt.Sprintf("rate_limit %d\n", s.RateLimit),
		fmt.Sprintf("backlog_limit %d\n", s.BacklogLimit), fmt.Sprintf("backlog_wait_time %d\n", s.BacklogWaitTime),
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("auditctl does not say %q:\n%s", want, out)
		}
	}
}

// Case 26: in a container the kernel does not answer, and auditctl exits with
// 0; here it is an error that says why.
func TestAuditRefusals(t *testing.T) {
	lab.Need(t, lab.Audit)
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		cmd  *exec.Cmd
		attr *syscall.SysProcAttr
		says string
	}{
		{"26 a pid namespace", exec.Command(os.Args[0]), &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}, "container or another pid namespace: operation not permitted"},
		{"26 a user namespace", exec.Command(os.Args[0]), &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
		}, "container or another user namespace: connection refused"},
		{"no capability", exec.Command(setpriv, "--bounding-set=-audit_control", os.Args[0]), nil, "CAP_AUDIT_CONTROL lacks: operation not permitted"},
		{"another uid", exec.Command(setpriv, "--reuid=65534", "--clear-groups", "--regid=65534", helperCopy(t)), nil, "CAP_AUDIT_CONTROL lacks"},
	} {
		c.cmd.Env = []string{auditHelper + "=1"}
		c.cmd.SysProcAttr = c.attr
		out, err := c.cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.says) {
			t.Errorf("%s: %v %q, want …%s", c.name, err, out, c.says)
		}
	}
}

// Case 23: with audit=0 the kernel has no audit sockets (seen in a virtual
// machine), and the command line says why.
func TestAuditRefusalSaysWhy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cmdline string
		err     error
		says    string
	}{
		{"ro audit=0 quiet", unix.EPROTONOSUPPORT, "audit=0 is on the kernel's command line"},
		{"audit=1 audit=off", unix.EPROTONOSUPPORT, "audit=off is on the kernel's command line"},
		{"audit=0", unix.ECONNREFUSED, "audit=0 is on the kernel's command line"},
		{"audit=0 audit=1", unix.EPROTONOSUPPORT, "no auditing (CONFIG_AUDIT)"},
		{"audit_backlog_limit=0", unix.EAFNOSUPPORT, "no auditing (CONFIG_AUDIT)"},
		{"", unix.ECONNREFUSED, "another user namespace"},
	} {
		h := auditTree(t, map[string]string{"/proc/cmdline": c.cmdline + "\n"})
		if err := h.auditRefusal(c.err); !strings.Contains(err.Error(), c.says) || !errors.Is(err, c.err) {
			t.Errorf("%q, %v: %v", c.cmdline, c.err, err)
		}
	}
}

// helperCopy is this program where every user can run it.
func helperCopy(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "audit-helper-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	data, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = errors.Join(os.Chmod(dir, 0o755), os.WriteFile(dir+"/helper", data, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir + "/helper"
}

// auditTree makes a file tree; the content "-> x" makes a link.
func auditTree(t *testing.T, files map[string]string) *Host {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		file := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		switch target, isLink := strings.CutPrefix(content, "-> "); {
		case err != nil:
		case isLink:
			err = os.Symlink(target, file)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(file, 0o755)
		default:
			err = os.WriteFile(file, []byte(content), 0o640)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return New(Options{Root: root})
}

const auditdUnit = "[Service]\nType=forking\nExecStart=/sbin/auditd\nExecStartPost=-/sbin/augenrules --load\n#ExecStartPost=-/sbin/auditctl -R /etc/audit/audit.rules\n"

func TestAuditFilesOfATree(t *testing.T) {
	t.Parallel()
	h := auditTree(t, map[string]string{
		"/lib/systemd/system/auditd.service": auditdUnit,
		"/etc/audit/rules.d/10-b.rules":      "-w /etc/docker -p wa -k docker\n-w /run/containerd -p wa\n-w /late -p wa\n",
		"/etc/audit/rules.d/9-a.rules":       "-D\n-b 8192\n-a always,exit -F auid=root -S all\n",
		"/etc/audit/rules.d/x.conf":          "nonsense\n",
		"/etc/audit/rules.d/dir.rules/":      "",
		"/etc/audit/rules.d/dangling.rules":  "-> /nowhere",
		"/etc/passwd":                        "root:x:0:0::/root:/bin/bash\n",
		"/etc/docker/":                       "",
		"/run/containerd/":                   "",
		"/late/":                             "",
		"/usr/bin/awk":                       "-> /etc/alternatives/awk",
		"/etc/alternatives/awk":              "-> /usr/bin/mawk",
		"/usr/bin/mawk":                      "",
	})
	f, err := h.AuditFiles(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Loaders) != 1 || !f.Loaders[0].Augenrules || f.Loaders[0].Line != 4 || f.Persisted() != AuditRulesDir {
		t.Errorf("loaders: %+v", f.Loaders)
	}
	if !f.HasDir || f.HasFile || !f.Stale {
		t.Errorf("folder %v, file %v, stale %v", f.HasDir, f.HasFile, f.Stale)
	}
	if len(f.Boot.Rules) != 2 || f.Boot.Stopped == nil || f.Boot.Stopped.Pos.Line != 2 || f.Boot.NotRead != 1 {
		t.Errorf("22 the boot loads %d rules and stops at %v", len(f.Boot.Rules), f.Boot.Stopped)
	}
	if place, tree := f.Boot.Rules[1].Place(); place != "/etc/docker" || !tree {
		t.Errorf("the folder is one in the tree: %v %v", place, tree)
	}
}

func TestAuditFilesLoaders(t *testing.T) {
	t.Parallel()
	const generated = "## This file is automatically generated from /etc/audit/rules.d\n\n\n\n-w /etc -p wa\n\n"
	rules := map[string]string{"/etc/audit/rules.d/a.rules": "-w /etc -p wa\n", "/etc/audit/audit.rules": generated, "/etc/audit/other.rules": "-w /opt -p wa\n", "/opt/": ""}
	for name, c := range map[string]struct {
		units     map[string]string
		loaders   int
		rules     int
		persisted string
	}{
		"augenrules":           {map[string]string{"/lib/systemd/system/auditd.service": auditdUnit}, 1, 1, AuditRulesDir},
		"audit 4":              {map[string]string{"/lib/systemd/system/audit-rules.service": "[Service]\nExecStart=/sbin/augenrules --load\n", "/lib/systemd/system/auditd.service": "[Service]\nExecStart=/sbin/auditd\n"}, 1, 1, AuditRulesDir},
		"auditctl":             {map[string]string{"/etc/systemd/system/auditd.service": "[Service]\nExecStartPost=-/sbin/auditctl -R /etc/audit/other.rules\n", "/lib/systemd/system/auditd.service": auditdUnit}, 1, 1, "/etc/audit/other.rules"},
		"a drop-in takes it":   {map[string]string{"/lib/systemd/system/auditd.service": auditdUnit, "/etc/systemd/system/auditd.service.d/x.conf": "[Service]\nExecStartPost=\n"}, 0, 0, AuditRulesFile},
		"a mask":               {map[string]string{"/lib/systemd/system/auditd.service": auditdUnit, "/etc/systemd/system/auditd.service": "-> /dev/null", "/dev/null": "-> /dev/zero-length/"}, 0, 0, AuditRulesFile},
		"nothing is installed": {nil, 0, 0, AuditRulesFile},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{}
			for _, m := range []map[string]string{rules, c.units} {
				for k, v := range m {
					files[k] = v
				}
			}
			if name == "a mask" {
				delete(files, "/dev/null")
				files["/dev/null/"] = ""
			}
			f, err := auditTree(t, files).AuditFiles(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(f.Loaders) != c.loaders || len(f.Boot.Rules) != c.rules || f.Persisted() != c.persisted || f.Stale {
				t.Errorf("%d loaders, %d rules, persisted in %s, stale %v", len(f.Loaders), len(f.Boot.Rules), f.Persisted(), f.Stale)
			}
		})
	}
}

// auditctl does not read a file that others could have written.
func TestAuditFilesOfOthers(t *testing.T) {
	t.Parallel()
	h := auditTree(t, map[string]string{
		"/lib/systemd/system/auditd.service": auditdUnit, "/etc/audit/rules.d/a.rules": "-w /etc -p wa\n", "/etc/audit/audit.rules": "-w /etc -p wa\n",
	})
	if err := os.Chmod(filepath.Join(h.Root(), AuditRulesFile), 0o646); err != nil {
		t.Fatal(err)
	}
	f, err := h.AuditFiles(t.Context())
	if err != nil || f.Problem == "" || len(f.Boot.Rules) != 0 {
		t.Errorf("%q, %d rules, %v", f.Problem, len(f.Boot.Rules), err)
	}
}

// A rules file that is no file is not skipped: what it would hold is not known.
func TestAuditFilesBadInput(t *testing.T) {
	t.Parallel()
	h := auditTree(t, map[string]string{"/etc/audit/rules.d/a.rules": "-w /etc\n", "/etc/audit/rules.d/loop.rules": "-> loop.rules"})
	if _, err := h.AuditFiles(t.Context()); err == nil {
		t.Error("a link loop is taken")
	}
	h = auditTree(t, map[string]string{"/etc/audit/rules.d/": ""})
	if err := unix.Mkfifo(filepath.Join(h.Root(), "/etc/audit/rules.d/fifo.rules"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.AuditFiles(t.Context()); !errors.Is(err, ErrNotRegular) {
		t.Errorf("a FIFO: %v", err)
	}
}

func TestAuditdConf(t *testing.T) {
	t.Parallel()
	conf, err := auditTree(t, map[string]string{AuditdConfFile: "space_left = 1\nspace_left_action = SYSLOG\n"}).AuditdConf(t.Context())
	if err != nil || !conf.Exists || conf.Get("space_left_action").Value != "SYSLOG" {
		t.Errorf("%+v %v", conf, err)
	}
	if conf, err := auditTree(t, nil).AuditdConf(t.Context()); err != nil || conf.Exists || conf.Get("disk_full_action").Value != "ignore" {
		t.Errorf("without a file: %+v %v", conf, err)
	}
	const space = "space_left = 2\nadmin_space_left = 1\n"
	for _, c := range []struct {
		name, conf string
		more       map[string]string
		refused    int // line; -1: auditd takes it; -2: cannot be told
	}{
		{"a line that auditd refuses", "nonsense = 1\n", nil, 1},
		{"limits that auditd refuses", "admin_space_left = 5\nspace_left = 5\n", nil, 2},
		{"a program", space + "disk_full_action = exec /p\n", map[string]string{"/p": "x"}, 3},
		{"no program", space + "disk_full_action = exec /p\n", nil, 3},
		{"a folder as program", space + "disk_full_action = exec /p\n", map[string]string{"/p/": ""}, 3},
		{"a log", space + "log_file = /var/l/a\n", map[string]string{"/var/l/": ""}, -1},
		{"no folder for the log", space + "log_file = /var/l/a\n", nil, 3},
		{"a folder as log", space + "log_file = /var/l/a\n", map[string]string{"/var/l/a/": ""}, 3},
		{"a group and a log in /var/log", space + "log_group = adm\nlog_file = /var/log/a\n", map[string]string{"/var/log/": "", "/etc/group": "adm:x:4:\n"}, 4},
		{"a group", space + "log_group = adm\n", map[string]string{"/etc/group": "adm:x:4:\n"}, -1},
		{"a group that may be elsewhere", space + "log_group = adm\n", map[string]string{"/etc/group": "root:x:0:\n"}, -2},
	} {
		files := map[string]string{AuditdConfFile: c.conf}
		maps.Copy(files, c.more)
		_, err := auditTree(t, files).AuditdConf(t.Context())
		var refused *auditrule.LineError
		got := -1
		if errors.As(err, &refused) {
			got = refused.Pos.Line
		} else if err != nil {
			got = -2
		}
		if got != c.refused {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestVanishes(t *testing.T) {
	t.Parallel()
	h := auditTree(t, map[string]string{
		"/run/made/deep/": "", "/run/gone/": "", "/etc/x/": "", "/var/run": "-> /run",
		"/usr/lib/tmpfiles.d/a.conf": "d /run/made/deep 0755 root root -\nr /run/gone\nd /run/later/deep\nf /run/later/file\n",
		"/usr/lib/tmpfiles.d/b.conf": "d /run/gone\n", "/etc/tmpfiles.d/b.conf": "# hides the other one\n",
	})
	p, err := h.auditPathFacts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"/run": false, "/run/made": false, "/run/made/deep": false, "/run/gone": true, "/run/never/was": true, "/var/run/gone": true, "/etc/x": false,
	} {
		if got, err := p.seen.Vanishes(name); got != want || err != nil {
			t.Errorf("22 %s: %v %v", name, got, err)
		}
	}
	for name, want := range map[string]auditrule.FileKind{
		"/run/later": auditrule.Dir, "/run/later/deep": auditrule.Dir, "/run/later/file": auditrule.Absent, "/run/never": auditrule.Absent,
	} {
		if got, err := p.Lstat(name); got != want || err != nil {
			t.Errorf("22 %s, which an image's boot makes: kind %v, want %v, error %v", name, got, want, err)
		}
	}
}

// Docker mounts a volume that lies elsewhere into its folder of volumes.
func TestMountsOfVolumes(t *testing.T) {
	t.Parallel()
	for point, want := range map[string]bool{
		"/var/lib/docker/volumes/x/_data": true, "/srv/d/volumes/tc_data/_data": true, "/var/lib/docker/volumes": false,
		"/var/lib/docker/volumes/x": false, "/var/lib/docker/volumes/x/_data/y": false, "/_data": false, "/srv/_data": false,
	} {
		if ofVolume(point) != want {
			t.Errorf("%s: %v", point, !want)
		}
	}
}

func TestMountUnit(t *testing.T) {
	t.Parallel()
	for point, want := range map[string]string{"/var/lib/docker": "var-lib-docker.mount", "/srv/a-b": `srv-a\x2db.mount`, "/mnt/.x y": `mnt-.x\x20y.mount`} {
		if got := mountUnit(point); got != want {
			t.Errorf("%s: %s, want %s", point, got, want)
		}
	}
}

func TestMountsOfContainers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		point, kind string
		container   bool
	}{
		{"/var/lib/docker/overlay2/0f/merged", "overlay", true},
		{"/srv/docker/overlay2/0f/merged", "overlay", true},
		{"/var/lib/docker/containers/0f/mounts/shm", "tmpfs", true},
		{"/run/docker/netns/0f", "nsfs", true},
		{"/run/containerd/io.containerd.runtime.v2.task/moby/0f/rootfs", "overlay", true},
		{"/var/lib/docker", "ext4", false},
		{"/var/lib/docker/volumes/x/_data", "ext4", false},
		{"/var/lib/docker/volumes/x/_data", "tmpfs", false},
		{"/opt/tc/containers", "tmpfs", false},
	} {
		if got := ofContainer(Mount{Point: c.point, Type: c.kind}); got != c.container {
			t.Errorf("%s (%s): %v", c.point, c.kind, got)
		}
	}
}

var _ auditrule.Paths = (*auditPaths)(nil)
