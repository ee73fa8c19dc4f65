package ledgerfile

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/keyledger"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/remediate/flock"
)

const helperVariable = "HOSTGUARD_LEDGER_APPEND"

// In a process of its own, so that it can be killed: helperVariable names a
// root, and the process appends two events to the ledger there.
func init() {
	if root := os.Getenv(helperVariable); root != "" {
		runtime.LockOSThread() // strace counts calls by thread
	}
}

func TestMain(m *testing.M) {
	if root := os.Getenv(helperVariable); root != "" {
		if err := appendTwo(root); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("done")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// twoKeys are events that differ from those of another n.
func twoKeys(n int) []keyledger.Event {
	var events []keyledger.Event
	for i := range 2 {
		key := fmt.Sprintf("SHA256:%043d", 10*n+i)
		events = append(events, keyledger.Event{Kind: keyledger.Enrolled, Account: "operator", Key: key, Person: "Olivia", By: "uid 0", Reason: "test"})
	}
	return events
}

func appendTwo(root string) error {
	s, err := Open(root, true, now)
	if err != nil {
		return err
	}
	defer s.Close()
	n := 0
	if s.Ledger != nil {
		n = s.Ledger.Sequence
	}
	return s.Append(twoKeys(n), now.Add(time.Duration(n)*time.Hour))
}

func newRoot(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "var/lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

// seen reads a ledger as check does, without lock and without writing.
func seen(t testing.TB, root string) (*keyledger.Ledger, error) {
	t.Helper()
	var files keyledger.Files
	dir := filepath.Join(root, keyledger.Dir)
	if f, err := os.Open(filepath.Join(dir, keyledger.LedgerFile)); err == nil {
		defer f.Close()
		files.Ledger = f
	}
	if f, err := os.Open(filepath.Join(dir, keyledger.CheckpointsFile)); err == nil {
		defer f.Close()
		files.Checkpoints = f
	}
	files.Signers, _ = os.ReadFile(filepath.Join(dir, keyledger.SignersFile))
	return keyledger.Read(files, keyledger.Options{EverySignature: true})
}

// whole wants n events, all of them signed.
func whole(t testing.TB, root string, n int) {
	t.Helper()
	l, err := seen(t, root)
	if err != nil {
		t.Fatal(err)
	}
	if l.Sequence != n || l.Signed != n || l.Torn != 0 || l.TornCheckpoint != 0 {
		t.Errorf("%d events, %d of them signed, %d and %d bytes torn; want %d whole", l.Sequence, l.Signed, l.Torn, l.TornCheckpoint, n)
	}
}

func TestAppend(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	root := newRoot(t)
	if _, err := Open(root, false, now); !errors.Is(err, ErrUnstarted) {
		t.Errorf("no folder: %v", err)
	}
	for n := range 5 {
		if err := appendTwo(root); err != nil {
			t.Fatal(err)
		}
		whole(t, root, 2*n+2)
	}
	for name, mode := range map[string]os.FileMode{
		"": 0o700, "..": 0o700, keyledger.LedgerFile: 0o600, keyledger.CheckpointsFile: 0o600, keyledger.SigningKeyFile: 0o600, keyledger.SignersFile: 0o644,
	} {
		info, err := os.Lstat(filepath.Join(root, keyledger.Dir, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q: %v, want %v (%v)", name, info.Mode(), mode, err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(root, keyledger.Dir))
	if err != nil || len(entries) != 4 {
		t.Errorf("the folder holds %v (%v)", entries, err)
	}
}

func TestASecondWriterIsToldWhoTheFirstIs(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	root := newRoot(t)
	first, err := Open(root, true, now)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(root, true, now)
	var locked *flock.LockedError
	if !errors.As(err, &locked) || !strings.Contains(locked.Holder, fmt.Sprintf("process %d ", os.Getpid())) {
		t.Errorf("a second writer: %v", err)
	}
	first.Close()
	second, err := Open(root, true, now)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

// Anybody can have a lock on a file with the same number elsewhere, and name
// his process as he likes.
func TestTheHolderIsSaidShortly(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	root := newRoot(t)
	first, err := Open(root, true, now)
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	holder := exec.Command("flock", filepath.Join(root, keyledger.Dir), "bash", "-c", "echo; read x", strings.Repeat("\x1b[2J", 10000))
	in, err1 := holder.StdinPipe()
	out, err2 := holder.StdoutPipe()
	if err := errors.Join(err1, err2, holder.Start()); err != nil {
		t.Fatal(err)
	}
	defer holder.Wait()
	defer in.Close()
	out.Read(make([]byte, 1))
	_, err = Open(root, true, now)
	var locked *flock.LockedError
	if !errors.As(err, &locked) || !strings.HasPrefix(locked.Holder, fmt.Sprintf("process %d flock", holder.Process.Pid)) || len(locked.Holder) > 1000 || strings.Contains(locked.Holder, "\x1b") {
		t.Errorf("a second writer: %.1000q", fmt.Sprint(err))
	}
}

// What is not as this package leaves it is refused, and not touched.
func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	for what, change := range map[string]func(dir string) error{
		"the signing key is gone": func(dir string) error { return os.Remove(filepath.Join(dir, keyledger.SigningKeyFile)) },
		"the signers are gone":    func(dir string) error { return os.Remove(filepath.Join(dir, keyledger.SignersFile)) },
		"the ledger is gone":      func(dir string) error { return os.Remove(filepath.Join(dir, keyledger.LedgerFile)) },
		"another's signing key": func(dir string) error {
			other := newRoot(t)
			if err := appendTwo(other); err != nil {
				return err
			}
			return os.Rename(filepath.Join(other, keyledger.Dir, keyledger.SigningKeyFile), filepath.Join(dir, keyledger.SigningKeyFile))
		},
		"the folder is writable by others": func(dir string) error { return os.Chmod(dir, 0o777) },
		"the folder is somebody's":         func(dir string) error { return os.Chown(dir, 1000, 1000) },
		"the ledger is a link": func(dir string) error {
			name := filepath.Join(dir, keyledger.LedgerFile)
			return errors.Join(os.Rename(name, name+"2"), os.Symlink(name+"2", name))
		},
		"the ledger is a FIFO": func(dir string) error {
			name := filepath.Join(dir, keyledger.LedgerFile)
			return errors.Join(os.Remove(name), unix.Mkfifo(name, 0o600))
		},
		"the folder is a link": func(dir string) error {
			return errors.Join(os.Rename(dir, dir+"2"), os.Symlink(dir+"2", dir))
		},
		"a flipped bit": func(dir string) error {
			name := filepath.Join(dir, keyledger.LedgerFile)
			data, err := os.ReadFile(name)
			data[300] ^= 1
			return errors.Join(err, os.WriteFile(name, data, 0o600))
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			root := newRoot(t)
			if err := appendTwo(root); err != nil {
				t.Fatal(err)
			}
			if err := change(filepath.Join(root, keyledger.Dir)); err != nil {
				t.Fatal(err)
			}
			before := contents(t, root)
			if err := appendTwo(root); err == nil {
				t.Error("taken")
			} else {
				t.Log(err)
			}
			if after := contents(t, root); after != before {
				t.Errorf("changed:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// contents are the regular files of a tree.
func contents(t testing.TB, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%s %q\n", path, data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Every state that a crash or a power cut can leave of an append is completed:
// each prefix of the events, and all events with each prefix of the checkpoint;
// and with zeros in the place of what was not yet on the disk.
func TestEveryTornAppendIsCompleted(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	root := newRoot(t)
	dir := filepath.Join(root, keyledger.Dir)
	read := func() (events, checkpoints []byte) {
		events, err1 := os.ReadFile(filepath.Join(dir, keyledger.LedgerFile))
		checkpoints, err2 := os.ReadFile(filepath.Join(dir, keyledger.CheckpointsFile))
		if err := errors.Join(err1, err2); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return events, checkpoints
	}
	for _, before := range []int{0, 2} {
		oldEvents, oldCheckpoints := read()
		if err := appendTwo(root); err != nil {
			t.Fatal(err)
		}
		events, checkpoints := read()
		lines := strings.SplitAfter(string(events), "\n")
		first := len(strings.Join(lines[:before+1], ""))
		try := func(what string, haveEvents, haveCheckpoints []byte, want int) {
			t.Helper()
			err1 := os.WriteFile(filepath.Join(dir, keyledger.LedgerFile), haveEvents, 0o600)
			err2 := os.WriteFile(filepath.Join(dir, keyledger.CheckpointsFile), haveCheckpoints, 0o600)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			if l, err := seen(t, root); err != nil && !errors.Is(err, keyledger.ErrUnstarted) {
				t.Fatalf("%s: check sees %v", what, err)
			} else if l != nil && l.Signed != before && l.Signed != before+2 {
				t.Fatalf("%s: %d events count", what, l.Signed)
			}
			s, err := Open(root, true, now)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			s.Close()
			if want == 0 {
				if s.Ledger != nil {
					t.Fatalf("%s: %d events", what, s.Ledger.Sequence)
				}
				return
			}
			if s.Ledger == nil || s.Ledger.Sequence != want || s.Ledger.Unsigned() != 0 {
				t.Fatalf("%s: %+v, want %d events", what, s.Ledger, want)
			}
		}
		step := 23
		if os.Getenv("HOSTGUARD_LEDGER_FLIPS") == "1" { // as in keyledger: everything
			step = 1
		}
		for n := len(oldEvents); n < len(events); n += step {
			want := before
			if n >= first {
				want++
			}
			try(fmt.Sprintf("%d bytes of the events", n), events[:n], oldCheckpoints, want)
			if n%3 == 0 { // what was not yet on the disk
				zeros := append(append([]byte(nil), events[:n]...), make([]byte, len(events)-n)...)
				try(fmt.Sprintf("zeros from byte %d of the events", n), zeros, oldCheckpoints, want)
			}
		}
		for n := len(oldCheckpoints); n < len(checkpoints); n += step {
			try(fmt.Sprintf("%d bytes of the checkpoints", n), events, checkpoints[:n], before+2)
		}
		// And the block before, which held zeros, with what follows it.
		gap := append([]byte(nil), events...)
		clear(gap[len(oldEvents) : len(oldEvents)+100])
		try("zeros before the end", gap, oldCheckpoints, before)
		try("as it was", events, checkpoints, before+2)
	}
	whole(t, root, 4)
	if err := appendTwo(root); err != nil {
		t.Fatal(err)
	}
	whole(t, root, 6)
}
