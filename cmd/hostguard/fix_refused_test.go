package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// must runs a program of the machine.
func must(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v: %s", args, err, out)
	}
}

// onItsOwn puts a folder of the tree on a file system of its own, until the test ends.
func (c crashTree) onItsOwn(t *testing.T, name, options string) {
	t.Helper()
	full := filepath.Join(c.root, name)
	away := t.TempDir()
	must(t, "cp", "-a", full+"/.", away)
	must(t, "mount", "-t", "tmpfs", "-o", options, "tmpfs", full)
	t.Cleanup(func() { must(t, "umount", full) })
	must(t, "cp", "-a", away+"/.", full)
}

// fill leaves no room in a folder.
func fill(t *testing.T, folder string) {
	t.Helper()
	f, err := os.Create(filepath.Join(folder, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
}

// What stands in the way is found before the first write: fix says it in one
// line that names it, ends with 3, and nothing is changed.
func TestFixIsRefusedBeforeItWrites(t *testing.T) {
	t.Parallel()
	base := newCrashTree(t)
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, c crashTree)
		says    string
	}{
		{"no space for the journal", func(t *testing.T, c crashTree) {
			c.onItsOwn(t, "var/lib/hostguard", "size=200k,mode=700")
			fill(t, filepath.Join(c.root, "var/lib/hostguard"))
		}, "cannot begin a transaction in /var/lib/hostguard/tx: "},
		{"no inodes for the journal", func(t *testing.T, c crashTree) {
			c.onItsOwn(t, "var/lib/hostguard", "size=4m,nr_inodes=8,mode=700")
		}, "no space left on device"},
		{"no space for a file", func(t *testing.T, c crashTree) {
			c.onItsOwn(t, "etc/audit", "size=100k,mode=755")
			fill(t, filepath.Join(c.root, "etc/audit"))
		}, "cannot change /etc/audit/"},
		{"a read-only file system", func(t *testing.T, c crashTree) {
			full := filepath.Join(c.root, "etc/audit")
			must(t, "mount", "--bind", full, full)
			t.Cleanup(func() { must(t, "umount", full) })
			must(t, "mount", "-o", "remount,bind,ro", full)
		}, "mounted read-only"},
		{"an immutable file", func(t *testing.T, c crashTree) {
			full := filepath.Join(c.root, "etc/audit/audit.rules")
			must(t, "chattr", "+i", full)
			t.Cleanup(func() { must(t, "chattr", "-i", full) })
		}, "cannot change /etc/audit/audit.rules: operation not permitted: it is immutable (chattr +i)"},
		{"a bind-mounted file", func(t *testing.T, c crashTree) {
			full := filepath.Join(c.root, "etc/audit/audit.rules")
			must(t, "cp", "-a", full, c.dir+"/other")
			must(t, "mount", "--bind", c.dir+"/other", full)
			t.Cleanup(func() { must(t, "umount", full) })
		}, "cannot change /etc/audit/audit.rules: device or resource busy: it is a mount point"},
		{"a read-only folder of units", func(t *testing.T, c crashTree) {
			full := filepath.Join(c.root, "etc/systemd/system")
			must(t, "mount", "--bind", full, full)
			t.Cleanup(func() { must(t, "umount", full) })
			must(t, "mount", "-o", "remount,bind,ro", full)
		}, "cannot change /etc/systemd/system/multi-user.target.wants/auditd.service: the file system of /etc/systemd/system/multi-user.target.wants is read-only"},
		{"an immutable folder of units", func(t *testing.T, c crashTree) {
			full := filepath.Join(c.root, "etc/systemd/system/multi-user.target.wants")
			must(t, "chattr", "+i", full)
			t.Cleanup(func() { must(t, "chattr", "-i", full) })
		}, "cannot change /etc/systemd/system/multi-user.target.wants/auditd.service: the folder /etc/systemd/system/multi-user.target.wants is immutable"},
		{"a folder of units that others can write", func(t *testing.T, c crashTree) {
			must(t, "chmod", "777", filepath.Join(c.root, "etc/systemd/system/multi-user.target.wants"))
		}, "the folder /etc/systemd/system/multi-user.target.wants can be changed by others than root"},
		{"somebody else's folder", func(t *testing.T, c crashTree) {
			must(t, "chown", "1000", filepath.Join(c.root, "etc/audit/rules.d"))
		}, "the folder /etc/audit/rules.d belongs to uid 1000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := base.copy(t)
			test.prepare(t, c)
			before := c.tree(t)
			// Mounts are the test's own: fix sees them where they are.
			out, code := c.runAt(t, []string{"hostguard", "fix", "--root", c.root, "--only", crashArgs[1]})
			if code != exitFailed || !strings.Contains(out, test.says) {
				t.Errorf("%d, want %q: %s", code, test.says, out)
			}
			if diff := cmp.Diff(before, c.tree(t)); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
			entries, err := os.ReadDir(filepath.Join(c.root, "var/lib/hostguard/tx"))
			if len(entries) > 0 || err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a transaction began: %v %v", entries, err)
			}
		})
	}
}
