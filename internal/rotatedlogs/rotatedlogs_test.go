package rotatedlogs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
)

func TestDay(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"dataapp-2026-01-31.0.gz":         "2026-01-31",
		"ucapp-provider-2024-02-29.12.gz": "2024-02-29",
		"2026-01-31.gz":                   "2026-01-31",
		"a-2026-02-30-2026-01-31.gz":      "2026-01-31",
		"a-2026-02-30.gz":                 "",
		"a-12026-01-31.gz":                "",
		"a-2026-01-311.gz":                "",
		"a-2026-01-31.log":                "",
		"true_connector_audit.log":        "",
		"a-2026-01-31.gz.tmp":             "",
		".gz":                             "",
	} {
		if got, ok := Day(name); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", name, got, ok)
		}
	}
}

// Two logs never have one name, and a copy's day is its log's.
func FuzzCopyName(f *testing.F) {
	f.Add("ecc", "log/a-2026-01-31.gz", "ecc", "log/a_2026-01-31.gz")
	f.Add("a+b", "c-2026-01-31.gz", "a", "b/c-2026-01-31.gz")
	f.Fuzz(func(t *testing.T, owner1, log1, owner2, log2 string) {
		for _, log := range []string{log1, log2} {
			if !plain(log) || log == "" || strings.Contains(log, "//") {
				return
			}
		}
		if !IsOwner(owner1) || !IsOwner(owner2) {
			return
		}
		a, b := CopyName(owner1, log1), CopyName(owner2, log2)
		if (a == b) != (owner1 == owner2 && log1 == log2) {
			t.Errorf("%q of %q and %q of %q: %q, %q", log1, owner1, log2, owner2, a, b)
		}
		if strings.ContainsAny(a, "/\x00") || a[0] == '.' {
			t.Errorf("%q is no name", a)
		}
		day, ok := Day(filepath.Base(log1))
		if got, found := CopyDay(a); filepath.Base(log1) != "." && (got != day || found != ok) {
			t.Errorf("the day of %q: %q, of the log: %q", a, got, day)
		}
	})
}

// tree makes a volume, and something outside of it.
func tree(t *testing.T) (root *os.File, outside string) {
	t.Helper()
	dir, outside := t.TempDir(), t.TempDir()
	write(t, filepath.Join(outside, "secret-2026-01-31.gz"), "outside")
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root, outside
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFindTakesLogsAndRefusesWhatIsPlanted(t *testing.T) {
	t.Parallel()
	root, outside := tree(t)
	at := func(name string) string { return filepath.Join(root.Name(), name) }
	write(t, at("log/ecc/a-2026-01-31.0.gz"), "one")
	write(t, at("b-2026-01-30.gz"), "two")
	write(t, at("log/ecc/a.log"), "live")
	write(t, at("a-2026-01-31.gz/b-2026-01-31.gz"), "in a folder of such a name")
	must(t, os.Symlink(outside+"/secret-2026-01-31.gz", at("link-2026-01-31.gz")))
	must(t, os.Symlink(outside, at("folder")))
	must(t, os.Symlink("/proc/self/root", at("magic")))
	must(t, unix.Mkfifo(at("fifo-2026-01-31.gz"), 0o666))
	write(t, at("one-2026-01-31.gz"), "x")
	must(t, os.Link(at("one-2026-01-31.gz"), at("two-2026-01-31.gz")))
	write(t, at("big-2026-01-31.gz"), "")
	must(t, os.Truncate(at("big-2026-01-31.gz"), 100<<30))
	write(t, at("odd\x1b[2J\n-2026-01-31.gz"), "x")
	write(t, at("a+b-2026-01-31.gz"), "x")

	logs, refused, err := Find(t.Context(), root, Usual)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range logs {
		names = append(names, l.Path+" "+l.Day)
	}
	if want := []string{"a-2026-01-31.gz/b-2026-01-31.gz 2026-01-31", "b-2026-01-30.gz 2026-01-30", "log/ecc/a-2026-01-31.0.gz 2026-01-31"}; !slices.Equal(names, want) {
		t.Errorf("found %q, want %q", names, want)
	}
	for name, why := range map[string]string{
		"link-2026-01-31.gz": "symbolic link", "fifo-2026-01-31.gz": "not a regular file", "one-2026-01-31.gz": "hard link", "two-2026-01-31.gz": "hard link",
		"big-2026-01-31.gz": "107374182400 bytes", "odd\x1b[2J\n-2026-01-31.gz": "other characters", "a+b-2026-01-31.gz": "other characters",
	} {
		if !slices.ContainsFunc(refused, func(r Refused) bool { return r.Path == name && strings.Contains(r.Why, why) }) {
			t.Errorf("%q is not refused for %q: %q", name, why, refused)
		}
		if f, _, err := Open(root, name, Usual); err == nil {
			f.Close()
			t.Errorf("%q can be opened", name)
		}
	}
	if len(refused) != 7 {
		t.Errorf("refused: %q", refused)
	}
	for _, name := range []string{"folder/secret-2026-01-31.gz", "magic/etc/passwd", "../x-2026-01-31.gz", "/etc/passwd", "log"} {
		if f, _, err := Open(root, name, Usual); err == nil {
			f.Close()
			t.Errorf("%q can be opened", name)
		}
	}
}

func TestFindIsBounded(t *testing.T) {
	t.Parallel()
	root, _ := tree(t)
	at := func(name string) string { return filepath.Join(root.Name(), name) }
	deep := strings.Repeat("d/", 20)
	write(t, at(deep+"a-2026-01-31.gz"), "x")
	for i := range 30 {
		write(t, at(fmt.Sprintf("a-2026-01-31.%d.gz", i)), "x")
	}
	logs, refused, err := Find(t.Context(), root, Limits{Entries: 100, Depth: 16, Logs: 100, Size: 10})
	if err != nil || len(logs) != 30 || len(refused) != 1 || !strings.Contains(refused[0].Why, "folders") {
		t.Errorf("%d logs, %q, %v", len(logs), refused, err)
	}
	for _, l := range []Limits{{Entries: 20, Depth: 16, Logs: 100, Size: 10}, {Entries: 100, Depth: 16, Logs: 20, Size: 10}} {
		if _, _, err := Find(t.Context(), root, l); !errors.Is(err, ErrTooMany) {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

// Another file system in the volume, as a bind mount of /etc would be.
func TestNoOtherFileSystemIsEntered(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	root, _ := tree(t)
	at := filepath.Join(root.Name(), "mounted")
	must(t, os.Mkdir(at, 0o755))
	must(t, unix.Mount("tmpfs", at, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { unix.Unmount(at, unix.MNT_DETACH) })
	write(t, filepath.Join(at, "a-2026-01-31.gz"), "x")
	logs, refused, err := Find(t.Context(), root, Usual)
	if err != nil || len(logs) != 0 || len(refused) != 1 || !strings.Contains(refused[0].Why, "mounted") {
		t.Errorf("%v, %v, %v", logs, refused, err)
	}
	if _, _, err := Open(root, "mounted/a-2026-01-31.gz", Usual); err == nil {
		t.Error("it can be opened")
	}
}

// A log that is swapped with a link all the time, itself or its folder, never
// gives what lies outside.
func TestSwappedLinksGiveNothing(t *testing.T) {
	t.Parallel()
	root, outside := tree(t)
	at := func(name string) string { return filepath.Join(root.Name(), name) }
	const log = "d/secret-2026-01-31.gz"
	write(t, at(log), "inside")
	must(t, os.Symlink(outside, at("other")))
	must(t, os.Symlink(outside+"/secret-2026-01-31.gz", at("link")))
	real, err := os.Open(at("d")) // the swaps themselves must not follow the links
	must(t, err)
	defer real.Close()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				unix.Renameat2(unix.AT_FDCWD, at("d"), unix.AT_FDCWD, at("other"), unix.RENAME_EXCHANGE)
				unix.Renameat2(int(real.Fd()), "secret-2026-01-31.gz", int(root.Fd()), "link", unix.RENAME_EXCHANGE)
			}
		}
	})
	read := 0
	for start := time.Now(); time.Since(start) < time.Second; {
		f, _, err := Open(root, log, Usual)
		if err != nil {
			continue
		}
		buf := make([]byte, 10)
		n, _ := f.Read(buf)
		f.Close()
		if string(buf[:n]) != "inside" {
			t.Fatalf("read %q", buf[:n])
		}
		read++
	}
	close(done)
	wg.Wait()
	t.Logf("read %d times", read)
}
