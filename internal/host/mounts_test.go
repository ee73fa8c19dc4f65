package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
)

func TestParseMountinfo(t *testing.T) {
	t.Parallel()
	text := `22 27 0:21 / /proc rw,relatime - proc proc rw
36 35 98:0 /mnt1 /mnt\0402\134x rw,noatime master:1 shared:2 - ext3 /dev/my\040disk rw,errors=continue
40 22 0:5 / / rw - fuse.sshfs u@h:/ rw,user_id=0
`
	got, err := parseMountinfo([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []Mount{
		{22, "0:21", "/", "/proc", "proc", "proc", "rw,relatime,rw"},
		{36, "98:0", "/mnt1", `/mnt 2\x`, "ext3", "/dev/my disk", "rw,noatime,rw,errors=continue"},
		{40, "0:5", "/", "/", "fuse.sshfs", "u@h:/", "rw,rw,user_id=0"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []string{"x\n", "36 35 98:0 / /mnt rw\n", "a 35 98:0 / /mnt rw - ext4 d rw\n", "36 35 98:0 / - ext4 d rw\n"} {
		if got, err := parseMountinfo([]byte(bad)); err == nil {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
}

func FuzzParseMountinfo(f *testing.F) {
	f.Add([]byte("36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		mounts, err := parseMountinfo(data)
		if err == nil && len(mounts) < bytes.Count(data, []byte("\n")) {
			t.Errorf("%d mounts of %q", len(mounts), data)
		}
	})
}

// mountFor mounts a file system for the test and returns its folder.
func mountFor(t *testing.T, kind, options string) string {
	t.Helper()
	lab.Need(t, lab.Root)
	dir := filepath.Join(t.TempDir(), "with space")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("lab", dir, kind, 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestCapacity(t *testing.T) {
	t.Parallel()
	dir := mountFor(t, "tmpfs", "size=1m,nr_inodes=100")
	if err := os.WriteFile(filepath.Join(dir, "half"), make([]byte, 512<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	h := New(Options{})
	c, err := h.Capacity(t.Context(), filepath.Join(dir, "not/yet/there"))
	if err != nil {
		t.Fatal(err)
	}
	want := Capacity{Mount: c.Mount, Path: dir, Size: 1 << 20, Used: 512 << 10, Available: 512 << 10, Inodes: 100, FreeInodes: 98}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if c.Mount.Point != dir || c.Mount.Type != "tmpfs" || c.Mount.Source != "lab" {
		t.Errorf("mount %+v", c.Mount)
	}

	bound := filepath.Join(t.TempDir(), "bound")
	if err := os.Mkdir(bound, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(dir, bound, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(bound, unix.MNT_DETACH) })
	again, err := New(Options{}).Capacity(t.Context(), bound)
	if err != nil || again.Mount.Device != c.Mount.Device || again.Mount.Point != bound {
		t.Errorf("a bind mount: %+v, %v", again.Mount, err)
	}
}

// TestCapacityUnderAnotherMount pins that a mount which hides another is the
// one that is measured.
func TestCapacityUnderAnotherMount(t *testing.T) {
	t.Parallel()
	dir := mountFor(t, "tmpfs", "size=1m")
	if err := unix.Mount("over", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	c, err := New(Options{}).Capacity(t.Context(), dir)
	if err != nil || c.Size != 2<<20 || c.Mount.Source != "over" {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestCapacityAgainstDF compares all local file systems with df.
func TestCapacityAgainstDF(t *testing.T) {
	t.Parallel()
	h := New(Options{})
	out, err := exec.Command("/usr/bin/df", "-B1", "--local", "--output=target,used,avail,itotal,iavail,fstype").Output()
	if err != nil && len(out) == 0 {
		t.Fatal(err)
	}
	compared := 0
	for _, line := range strings.Split(string(out), "\n")[1:] {
		f := strings.Fields(line)
		if len(f) != 6 {
			continue
		}
		c, err := h.Capacity(t.Context(), f[0])
		if err != nil {
			continue // gone meanwhile: other tests mount and unmount
		}
		inodes := func(s string) uint64 { n, _ := strconv.ParseUint(s, 10, 64); return n } // "-" where there are none
		near := func(a, b uint64) bool { return max(a, b)-min(a, b) <= 64<<20 }
		used, avail := inodes(f[1]), inodes(f[2])
		if c.Mount.Type != f[5] || !near(c.Used, used) || !near(c.Available, avail) || !near(c.Inodes, inodes(f[3])) {
			t.Errorf("df: %s\nwe: %+v", line, c)
		}
		compared++
	}
	if compared == 0 {
		t.Errorf("nothing to compare with:\n%s", out)
	}
}

// TestCapacityOfWhatHangs measures a file system whose server never answers,
// as a stale network mount does not.
func TestCapacityOfWhatHangs(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("needs /dev/fuse: %v", err)
	}
	dir := mountFor(t, "fuse", fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd))
	t.Cleanup(func() { unix.Close(fd) }) // frees whoever waits
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("nothing within 100ms"))
	defer cancel()
	start := time.Now()
	_, err = New(Options{}).Capacity(ctx, dir)
	if err == nil || !strings.Contains(err.Error(), "does not answer: nothing within 100ms") || time.Since(start) > 10*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}

func TestCapacityOfALinkThatLeadsNowhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Symlink("/no/such/folder", filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	if c, err := New(Options{}).Capacity(t.Context(), filepath.Join(dir, "data/x")); err == nil {
		t.Errorf("measured %+v: it says nothing of the link's target", c)
	}
}

func TestMountOfWithoutTheKernelsWord(t *testing.T) {
	t.Parallel()
	mounts := []Mount{{ID: 1, Point: "/"}, {ID: 2, Point: "/var"}, {ID: 3, Point: "/var/lib"}, {ID: 4, Point: "/var/lib"}}
	for path, want := range map[string]int{"/": 1, "/variable": 1, "/var": 2, "/var/lib/docker": 4} {
		if m, err := mountOf(mounts, -1, path); err != nil || m.ID != want {
			t.Errorf("%s: %+v, %v, want mount %d", path, m, err, want)
		}
	}
}
