package jobstate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/remediate/flock"
)

type memory struct {
	Count int    `json:"count"`
	Text  string `json:"text"`
}

// rootFolder is a tree with the folder that hostguard's own lies in.
func rootFolder(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "var/lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

func opened(t *testing.T, root string) *State {
	t.Helper()
	s, err := Open(root, "job")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run is one run of a job that counts its runs. It returns the count that it
// found, and what was said of it.
func run(t *testing.T, root string) (count int, notes []string) {
	t.Helper()
	s := opened(t, root)
	defer s.Close()
	var m memory
	notes = s.Load(&m)
	if err := s.Save(memory{m.Count + 1, strings.Repeat("x", 100*(m.Count%7))}); err != nil {
		t.Fatal(err)
	}
	if err := s.Succeed(time.Now()); err != nil {
		t.Fatal(err)
	}
	return m.Count, notes
}

func TestRunsFollowEachOther(t *testing.T) {
	t.Parallel()
	root := rootFolder(t)
	for i := range 20 {
		if n, notes := run(t, root); n != i || notes != nil {
			t.Fatalf("run %d found %d, %q", i, n, notes)
		}
	}
	entries, err := os.ReadDir(filepath.Join(root, Path("job")))
	if err != nil || len(entries) != 3 {
		t.Errorf("%v, %v", entries, err)
	}
	for _, e := range entries {
		if info, _ := e.Info(); info.Mode() != 0o600 {
			t.Errorf("%s: %v", e.Name(), info.Mode())
		}
	}
}

func TestTwoRunsDoNotMeet(t *testing.T) {
	t.Parallel()
	root := rootFolder(t)
	first := opened(t, root)
	_, err := Open(root, "job")
	if locked := (*flock.LockedError)(nil); !errors.As(err, &locked) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("a second run: %v", err)
	}
	if other, err := Open(root, "other"); err != nil {
		t.Errorf("another job: %v", err)
	} else {
		other.Close()
	}
	first.Close()
	opened(t, root).Close()
}

// A run that is killed while it writes leaves the slot cut off at any byte, or
// with the rest of an older one behind it: the next run finds the state before.
func TestCutOffAtEveryByte(t *testing.T) {
	t.Parallel()
	for _, rest := range []string{"nothing", "old"} {
		root := rootFolder(t)
		run(t, root)
		run(t, root)
		slot := filepath.Join(root, Path("job"), slots[0])
		old, err := os.ReadFile(slot)
		if err != nil {
			t.Fatal(err)
		}
		run(t, root) // writes that slot again
		whole, err := os.ReadFile(slot)
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(filepath.Join(root, Path("job"), slots[1]))
		if err != nil {
			t.Fatal(err)
		}
		for cut := range len(whole) {
			torn := whole[:cut:cut]
			if rest == "old" && cut < len(old) {
				torn = append(torn, old[cut:]...)
			}
			if err := os.WriteFile(slot, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			s := opened(t, root)
			var m memory
			notes := s.Load(&m)
			s.Close()
			if m.Count != 2 && !(m.Count == 3 && cut == len(whole)-1) || m.Count == 3 && len(notes) > 0 {
				t.Fatalf("cut at %d of %d, then %s: found %d, %q", cut, len(whole), rest, m.Count, notes)
			}
		}
		if got, _ := os.ReadFile(filepath.Join(root, Path("job"), slots[1])); string(got) != string(other) {
			t.Error("reading has written")
		}
	}
}

// What is damaged or foreign is said, and the job starts anew.
func TestForeignStateStartsAnew(t *testing.T) {
	t.Parallel()
	both := func(put func(t *testing.T, path string)) func(t *testing.T, root string) {
		return func(t *testing.T, root string) {
			for _, slot := range slots {
				path := filepath.Join(root, Path("job"), slot)
				os.Remove(path)
				put(t, path)
			}
		}
	}
	text := func(s string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, tt := range map[string]struct {
		put  func(t *testing.T, root string)
		want string
	}{
		"noise":     {both(text("\x00\xff\x1b[2J")), "damaged or not hostguard's"},
		"empty":     {both(text("")), "damaged"},
		"too large": {both(func(t *testing.T, path string) { text("")(t, path); os.Truncate(path, 100<<30) }), "damaged"},
		"a FIFO":    {both(func(t *testing.T, path string) { unix.Mkfifo(path, 0o600) }), "no regular file"},
		"a link":    {both(func(t *testing.T, path string) { os.Symlink("/etc/passwd", path) }), "symbolic links"},
		"of another job": {func(t *testing.T, root string) {
			s, err := Open(root, "other")
			if err != nil {
				t.Fatal(err)
			}
			s.Save(memory{7, ""})
			s.Close()
			data, _ := os.ReadFile(filepath.Join(root, Path("other"), slots[0]))
			both(text(string(data)))(t, root)
		}, `state of "other"`},
		"of another version": {func(t *testing.T, root string) {
			s, _ := Open(root, "job")
			s.serial = 10
			s.Save(map[string]int{"later": 1})
			s.Close()
		}, "cannot understand"},
		"writable by others": {both(func(t *testing.T, path string) { text("x")(t, path); os.Chmod(path, 0o622) }), "root alone"},
	} {
		root := rootFolder(t)
		run(t, root)
		tt.put(t, root)
		n, notes := run(t, root)
		if said := strings.Join(notes, "\n"); n != 0 || !strings.Contains(said, tt.want) {
			t.Errorf("%s: found %d, %q, want %q", name, n, said, tt.want)
		}
		if n, notes := run(t, root); n != 1 {
			t.Errorf("%s: then found %d, %q", name, n, notes)
		}
	}
	passwd, err := os.Lstat("/etc/passwd")
	if err != nil || passwd.Mode().Perm()&0o044 == 0 {
		t.Errorf("a link was followed: %v, %v", passwd, err)
	}
}

// On a file system that is full what was taken before is enough.
func TestFullFileSystem(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	root := rootFolder(t)
	if err := unix.Mount("tmpfs", filepath.Join(root, "var/lib"), "tmpfs", 0, "size=1m,mode=0755"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(filepath.Join(root, "var/lib"), unix.MNT_DETACH)
	run(t, root)
	run(t, root)
	f, err := os.Create(filepath.Join(root, "var/lib/fill"))
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	f.Close()
	for i := 2; i < 12; i++ {
		if n, notes := run(t, root); n != i || notes != nil {
			t.Fatalf("run %d found %d, %q", i, n, notes)
		}
	}
}
