package canary

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
)

// This test program is the fresh process, too.
func TestMain(m *testing.M) {
	Child()
	os.Exit(m.Run())
}

// What opening would disturb is refused, and never opened.
func TestInspectRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.WriteFile(in("file"), []byte("x"), 0o640), os.WriteFile(in("program"), []byte("x"), 0o755), unix.Mkfifo(in("fifo"), 0o600),
		os.Symlink("file", in("link")), os.Symlink("fifo", in("link to a fifo")), os.Symlink("loop", in("loop")), os.Mkdir(in("folder"), 0o755),
		os.Symlink("/dev/null", in("link to a device")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		in("file"): "", in("link"): "", in("program"): "executable", in("fifo"): "FIFO", in("link to a fifo"): "FIFO", in("folder"): "folder",
		in("link to a device"): "device", in("loop"): "too many links", in("none"): "no such file", in("file") + "/x": "not a directory",
		"/dev/null": "device", "/proc/self/comm": "file system", "/proc/sys/kernel/hostname": "file system", "/proc/self/fd/0": "",
	} {
		if name == "/proc/self/fd/0" {
			continue // whatever it leads to
		}
		f, err := Inspect(name)
		switch {
		case want == "" && err != nil && strings.Contains(err.Error(), "file system"):
			t.Logf("%s: %v", t.TempDir(), err) // of the tests' folder
		case (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want):
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		if err == nil {
			if f.Path != in("file") {
				t.Errorf("%s leads to %s", name, f.Path)
			}
			f.Close()
		}
	}
}

func TestImmutableIsRefused(t *testing.T) {
	t.Parallel()
	stat := unix.Statx_t{Mode: unix.S_IFREG | 0o600, Attributes: unix.STATX_ATTR_IMMUTABLE}
	if why := refusal(&stat); !strings.Contains(why, "immutable") {
		t.Error(why)
	}
	stat.Attributes = unix.STATX_ATTR_APPEND // it is opened for appending
	if why := refusal(&stat); why != "" {
		t.Error(why)
	}
}

const records = `type=SYSCALL msg=audit(1700000000.123:41): arch=c000003e syscall=257 success=yes exit=3 items=1 ppid=1 pid=77 auid=1000 uid=0 comm="x" exe="/x" subj=unconfined key="docker"
type=PATH msg=audit(1700000000.123:41): item=0 name="daemon.json" inode=5 dev=fe:00 mode=0100644 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL
`

// The event is the process's and about the file.
func TestFollow(t *testing.T) {
	t.Parallel()
	call := func(serial, pid int, key string) string {
		return fmt.Sprintf("type=SYSCALL msg=audit(1700000000.123:%d): arch=c000003e syscall=257 success=yes exit=3 items=1 ppid=1 pid=%d auid=1000 comm=\"x\" exe=\"/x\" key=%s\n", serial, pid, key)
	}
	path := func(serial, inode int) string {
		return fmt.Sprintf("type=PATH msg=audit(1700000000.123:%d): item=0 name=\"f\" inode=%d dev=fe:00 mode=0100644 nametype=NORMAL\n", serial, inode)
	}
	for name, c := range map[string]struct{ log, want string }{
		"the event":          {records, "1700000000.123:41 [docker]"},
		"another process":    {call(1, 78, `"k"`) + path(1, 5), ""},
		"another file":       {call(1, 77, `"k"`) + path(1, 6), ""},
		"of two events":      {call(1, 77, `"a"`) + call(2, 77, `"b"`) + path(1, 6) + path(2, 5), "1700000000.123:2 [b]"},
		"no key":             {call(1, 77, "(null)") + path(1, 5), "1700000000.123:1 []"},
		"several keys":       {call(1, 77, "646F636B657201747275") + path(1, 5), "1700000000.123:1 [docker tru]"},
		"enriched":           {strings.TrimSuffix(call(1, 77, `"k"`), "\n") + "\x1dARCH=x86_64 SYSCALL=openat AUID=\"root\"\n" + path(1, 5), "1700000000.123:1 [k]"},
		"no call":            {path(1, 5), ""},
		"other lines":        {"garbage\n\xff\x00\ntype=CWD msg=audit(1700000000.123:41): cwd=\"/\"\n" + records, "1700000000.123:41 [docker]"},
		"a line too long":    {strings.Repeat("x", 3*longestLine) + "\n" + records, "1700000000.123:41 [docker]"},
		"an unfinished line": {strings.TrimSuffix(records, "\n"), ""},
		"nothing":            {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "audit.log")
			if err := os.WriteFile(file, []byte(records), 0o600); err != nil { // before: not ours
				t.Fatal(err)
			}
			s, err := Follow(file)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			appendTo(t, file, c.log)
			ctx, cancel := context.WithTimeout(t.Context(), pause/2)
			defer cancel()
			e, err := s.wait(ctx, 77, 5)
			got := ""
			if e != nil {
				got = fmt.Sprintf("%s %v", e.ID, e.Keys)
			}
			if err != nil || got != c.want {
				t.Errorf("%q %v, want %q", got, err, c.want)
			}
		})
	}
}

func appendTo(t *testing.T, file, text string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestFollowRotation(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "audit.log")
	appendTo(t, file, "")
	s, err := Follow(file)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, file, records)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if e, err := s.wait(ctx, 77, 5); err != nil || e == nil {
		t.Errorf("%v %v", e, err)
	}
}

// The fresh process changes nothing of the file: neither content nor times.
func TestFlyChangesNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	appendTo(t, file, "content")
	past := time.Unix(1_000_000_000, 0)
	if err := os.Chtimes(file, past, past); err != nil {
		t.Fatal(err)
	}
	f, err := Inspect(file)
	if err != nil {
		t.Skip(err) // of the tests' folder
	}
	defer f.Close()
	r, err := f.Fly(t.Context(), silence{}, 10*time.Second)
	if err != nil || r.Error != "" || r.PID == 0 || r.PID == os.Getpid() {
		t.Fatalf("%+v %v", r, err)
	}
	data, err := os.ReadFile(file)
	info, err2 := os.Stat(file)
	if err != nil || err2 != nil || string(data) != "content" || !info.ModTime().Equal(past) {
		t.Errorf("%q %v %v %v", data, info.ModTime(), err, err2)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if r, err = f.Fly(t.Context(), silence{}, 10*time.Second); err != nil || !strings.Contains(r.Error, "no such file") {
		t.Errorf("gone: %+v %v", r, err)
	}
}

// A file that becomes a link, or a FIFO, after it was looked at is not followed
// and does not hang.
func TestFlyIsNotLedAstray(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	for _, swap := range []func() error{
		func() error { return os.Symlink("/dev/null", file) },
		func() error { return unix.Mkfifo(file, 0o600) },
	} {
		appendTo(t, file, "")
		f, err := Inspect(file)
		if err != nil {
			t.Skip(err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := swap(); err != nil {
			t.Fatal(err)
		}
		if r, err := f.Fly(t.Context(), silence{}, 10*time.Second); err != nil || r.Error == "" {
			t.Errorf("%+v %v", r, err)
		}
		f.Close()
		os.Remove(file)
	}
}

// silence is a source in which nothing is heard.
type silence struct{}

func (silence) wait(context.Context, int, uint64) (*Event, error) { return nil, nil }
func (silence) Close() error                                      { return nil }

func TestListenNeedsThePrivilege(t *testing.T) {
	lab.Need(t, lab.Root, lab.Audit)
	t.Parallel()
	s, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// Whatever a log holds, nothing panics and nothing but the event is taken.
func FuzzFollow(f *testing.F) {
	f.Add([]byte(records))
	f.Add([]byte("type=SYSCALL msg=audit(1.1:1): pid=77 key=00\ntype=PATH msg=audit(1.1:1): inode=5\n"))
	f.Fuzz(func(t *testing.T, log []byte) {
		source := follower{}
		e := ear{pid: 77, inode: 5}
		if event := source.lines(log, &e); event != nil && !strings.Contains(string(log), "77") {
			t.Errorf("%+v", event)
		}
	})
}
