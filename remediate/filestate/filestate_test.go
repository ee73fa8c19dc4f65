package filestate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/posixacl"
)

const id = "20260301T120000-1a2b"

const helperVariable = "HOSTGUARD_FILESTATE_HELPER"

// order is what a process of its own is to do, so that it can be killed.
type order struct {
	Do         string // move, back, settle, clean
	Root, Name string
	From, To   State
}

func (o order) run() error {
	calls := map[string]func(root, name string, from, to State, id string) error{"move": Move, "back": Back, "settle": Settle, "clean": Clean}
	return calls[o.Do](o.Root, o.Name, o.From, o.To, id)
}

func init() {
	if os.Getenv(helperVariable) != "" {
		runtime.LockOSThread() // strace counts calls by thread
	}
}

func TestMain(m *testing.M) {
	text := os.Getenv(helperVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var o order
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = o.run()
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("done")
	os.Exit(0)
}

// newRoot is a tree of root's with the folder etc.
func newRoot(t testing.TB) string {
	t.Helper()
	lab.Need(t, lab.Root)
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v: %s", args, err, out)
	}
}

// see is what name is now.
func see(t testing.TB, root, name string, as Type) State {
	t.Helper()
	var s State
	var err error
	if as == FileMeta || as == FolderMeta {
		s, err = ObserveMeta(root, name)
	} else {
		s, err = observe(root, name, as)
	}
	must(t, err)
	return s
}

// listing is everything in a tree, with all metadata but times.
func listing(t testing.TB, root string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		rel, _ := filepath.Rel(root, name)
		fmt.Fprintf(&b, "%s %v %d:%d", rel, info.Mode(), st.Uid, st.Gid)
		buffer := make([]byte, 64<<10)
		n, err := unix.Llistxattr(name, buffer)
		if err != nil {
			return err
		}
		attributes := strings.Split(strings.TrimSuffix(string(buffer[:n]), "\x00"), "\x00")
		slices.Sort(attributes)
		for _, attribute := range attributes {
			if attribute != "" {
				value := make([]byte, 64<<10)
				n, err := unix.Lgetxattr(name, attribute, value)
				if err != nil {
					return err
				}
				fmt.Fprintf(&b, " %s=%x", attribute, value[:n])
			}
		}
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %q", data)
		case info.Mode().Type() == fs.ModeSymlink:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " -> %q", target)
		}
		b.WriteByte('\n')
		return nil
	}))
	return b.String()
}

// A scenario is one move of /etc/thing.
type scenario struct {
	name    string
	prepare func(t testing.TB, thing string)
	as      Type
	to      func(from State) State
}

const thing = "/etc/thing"

func rich(t testing.TB, name string) {
	t.Helper()
	must(t, os.WriteFile(name, []byte("old\n"), 0o600),
		unix.Setxattr(name, "user.note", []byte("keep\x00me"), 0),
		os.Chown(name, 0, 42))
	bind := append([]byte{1, 0, 0, 2, 0, 4}, make([]byte, 14)...) // cap_net_bind_service=ep, see linux/capability.h
	must(t, unix.Setxattr(name, "security.capability", bind, 0))
	run(t, "setfacl", "-m", "u:12:rw,g:34:r", name)
	must(t, os.Chmod(name, 0o4764|os.ModeSetuid), os.Chtimes(name, time.Time{}, time.Date(2021, 2, 3, 4, 5, 6, 789, time.UTC)))
}

func numbers(mode, uid, gid uint32) Meta { return Meta{Mode: &mode, UID: &uid, GID: &gid} }

var scenarios = []scenario{
	{"a new file", func(t testing.TB, name string) {
		run(t, "setfacl", "-d", "-m", "u:12:rwx", filepath.Dir(name)) // what is made inherits a list
	}, File, func(State) State { return NewFile([]byte("new\n"), 0o640, 0, 42) }},
	{"a file is replaced", rich, File, func(from State) State { return from.WithContent([]byte("new\n")) }},
	{"a file is replaced with other metadata", rich, File, func(from State) State {
		return from.WithContent(nil).WithMeta(Meta{NoAccess: true}).WithMeta(numbers(0o600, 0, 0))
	}},
	{"a file is removed", rich, File, func(State) State { return State{Type: Absent} }},
	{"a new link", func(testing.TB, string) {}, Link, func(State) State { return NewLink("/lib/systemd/system/x.service") }},
	{"a link is replaced", func(t testing.TB, name string) { must(t, os.Symlink("a", name), os.Lchown(name, 1, 1)) }, Link, func(State) State { return NewLink("/dev/null") }},
	{"a link is removed", func(t testing.TB, name string) { must(t, os.Symlink("a", name)) }, Link, func(State) State { return State{Type: Absent} }},
	{"a new folder", func(t testing.TB, name string) {
		run(t, "setfacl", "-d", "-m", "u:12:rwx", filepath.Dir(name))
	}, Folder, func(State) State { return NewFolder(0o2750, 0, 42) }},
	{"a folder is removed", func(t testing.TB, name string) {
		must(t, os.Mkdir(name, 0o700), os.Chown(name, 7, 7))
		run(t, "setfacl", "-m", "u:12:rwx", "-m", "d:g:7:rx", name)
	}, Folder, func(State) State { return State{Type: Absent} }},
	{"a file's metadata", rich, FileMeta, func(from State) State {
		return from.WithMeta(Meta{NoAccess: true}).WithMeta(numbers(0o2640, 5, 6))
	}},
	{"a file's mode, under its access list", rich, FileMeta, func(from State) State { return from.WithMeta(numbers(0o640, 0, 42)) }},
	{"a folder's metadata", func(t testing.TB, name string) {
		must(t, os.Mkdir(name, 0o777), os.Chmod(name, 0o777))
		run(t, "setfacl", "-m", "u:12:rwx", "-m", "d:g:7:rx", name)
	}, FolderMeta, func(from State) State { return from.WithMeta(numbers(0o1750, 3, 4)) }},
}

// begun is a scenario's tree, in the state from.
func (s scenario) begun(t testing.TB) order {
	t.Helper()
	o := order{Do: "move", Root: newRoot(t), Name: thing}
	s.prepare(t, filepath.Join(o.Root, thing))
	o.From = see(t, o.Root, thing, s.as)
	o.To = s.to(o.From)
	return o
}

func (o order) do(what string) error {
	o.Do = what
	return o.run()
}

// Every move is taken back before it is cleaned up and after, by Back and by a
// move the other way, and leaves not a trace.
func TestEveryMoveAndItsWayBack(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			o := s.begun(t)
			full := filepath.Join(o.Root, thing)
			before := listing(t, o.Root)
			var pre Preflight
			must(t, pre.Check(o.Root, o.Name, o.From, o.To))
			if got := listing(t, o.Root); got != before {
				t.Fatalf("the preflight wrote:\n%s\nbefore:\n%s", got, before)
			}
			inode := func() uint64 {
				var st unix.Stat_t
				must(t, unix.Lstat(full, &st))
				return st.Ino
			}
			var first uint64
			if s.as == FileMeta || s.as == FolderMeta {
				first = inode()
			}
			must(t, o.do("move"))
			if first != 0 && inode() != first {
				t.Error("metadata were changed, and it is another file")
			}
			if got := see(t, o.Root, thing, kindAfter(s, o)); !got.Equal(o.To) {
				t.Fatalf("after the move: %+v, want %+v", got, o.To)
			}
			if err := o.do("move"); !errors.Is(err, ErrConflict) {
				t.Errorf("a second move: %v", err)
			}
			must(t, o.do("settle"), o.do("back"))
			if got := listing(t, o.Root); got != before {
				t.Fatalf("after the way back:\n%s\nbefore:\n%s", got, before)
			}
			must(t, o.do("back"), o.do("move"), o.do("settle"), o.do("clean"), o.do("clean"))
			if got := listing(t, o.Root); strings.Contains(got, "hostguard") {
				t.Fatalf("after the cleaning:\n%s", got)
			}
			undo := order{Root: o.Root, Name: o.Name, From: o.To, To: o.From}
			must(t, undo.do("move"), undo.do("settle"), undo.do("clean"))
			if got := listing(t, o.Root); got != before {
				t.Fatalf("after the undo:\n%s\nbefore:\n%s", got, before)
			}
			if s.as == File && o.From.Type == File {
				if info, err := os.Stat(full); err != nil || !info.ModTime().Equal(o.From.ModTime) {
					t.Errorf("the old content has the time %v, had %v", info.ModTime(), o.From.ModTime)
				}
			}
			must(t, o.do("move"), o.do("clean"), o.do("back")) // without what was taken out
			if got := listing(t, o.Root); got != before {
				t.Fatalf("after the way back from what is cleaned up:\n%s\nbefore:\n%s", got, before)
			}
		})
	}
}

// kindAfter is how the thing of a scenario is looked at.
func kindAfter(s scenario, o order) Type {
	if o.To.Type == Absent {
		return s.as
	}
	return o.To.Type
}

// A journal keeps a state whole, and a changed one is refused.
func TestStateInJSON(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	rich(t, filepath.Join(root, thing))
	file := see(t, root, thing, File)
	for _, s := range []State{
		{Type: Absent}, file, file.WithContent([]byte("\xff\x00\u2028 <x>")), file.WithContent(nil), NewLink("a b"), NewFolder(0o1777, 1, 2),
		see(t, root, thing, FileMeta), see(t, root, "/etc", FolderMeta),
	} {
		data, err := json.Marshal(s)
		must(t, err)
		var got State
		if err := json.Unmarshal(data, &got); err != nil || !got.Equal(s) || !got.ModTime.Equal(s.ModTime) || got.NewLabels != s.NewLabels {
			t.Errorf("%s: %v: %+v, want %+v", data, err, got, s)
		}
	}
	for what, text := range map[string]string{
		"another content":         `{"type":"file","mode":"0644","uid":0,"gid":0,"text":"b","sha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}`,
		"an unknown field":        `{"type":"absent","uid":0,"gid":0,"flags":1}`,
		"an unknown type":         `{"type":"fifo","uid":0,"gid":0}`,
		"a mode too large":        `{"type":"folder","mode":"100644","uid":0,"gid":0}`,
		"a link to nowhere":       `{"type":"link","uid":0,"gid":0}`,
		"nothing that has a mode": `{"type":"absent","mode":"0644","uid":0,"gid":0}`,
	} {
		var s State
		if err := json.Unmarshal([]byte(text), &s); err == nil {
			t.Errorf("%s is taken: %+v", what, s)
		}
	}
}

// chmod(2) and WithMeta agree on what a mode does to an access list.
func TestAModeUnderAnAccessList(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	full := filepath.Join(root, thing)
	rich(t, full)
	for _, mode := range []uint32{0, 0o777, 0o640, 0o604, 0o4711} {
		want := see(t, root, thing, FileMeta).WithMeta(Meta{Mode: &mode})
		must(t, unix.Chmod(full, mode))
		if got := see(t, root, thing, FileMeta); !got.Equal(want) {
			t.Errorf("%04o: %+v, want %+v", mode, got, want)
		}
	}
	want := see(t, root, thing, FileMeta).WithMeta(Meta{NoAccess: true})
	if _, ok := want.Xattrs[posixacl.Access]; ok {
		t.Error("the list stays")
	}
	run(t, "setfacl", "-b", full)
	if got := see(t, root, thing, FileMeta); !got.Equal(want) {
		t.Errorf("without list: %+v, want %+v", got, want)
	}
}

func FuzzState(f *testing.F) {
	for _, s := range []State{{Type: Absent}, NewFile([]byte("a"), 0o644, 0, 0), NewLink("a"), NewFolder(0o755, 0, 0)} {
		data, err := json.Marshal(s)
		must(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var s State
		if json.Unmarshal(data, &s) != nil {
			return
		}
		again, err := json.Marshal(s)
		must(t, err)
		var got State
		if err := json.Unmarshal(again, &got); err != nil || !got.Equal(s) {
			t.Errorf("%s became %s: %v", data, again, err)
		}
		_ = s.WithMeta(Meta{NoAccess: true}).WithMeta(numbers(0o640, 1, 1))
	})
}

// Whoever owns a folder may put another file of root's where a mode is taken
// back, and would be let into it.
func TestAModeIsNotGivenBackToAnotherFile(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	for name, c := range map[string]struct {
		owner    int
		conflict bool
	}{"in a user's folder": {1234, true}, "in a folder of root's": {0, false}} {
		root := t.TempDir()
		dir := filepath.Join(root, "home")
		for _, err := range []error{
			os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "open"), nil, 0o644), os.Chmod(filepath.Join(dir, "open"), 0o644),
			os.WriteFile(filepath.Join(dir, "secret"), []byte("s"), 0o600), os.Chown(dir, c.owner, c.owner),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		from, err := ObserveMeta(root, "/home/open")
		if err != nil {
			t.Fatal(err)
		}
		mode := uint32(0o600)
		to := from.WithMeta(Meta{Mode: &mode})
		for _, f := range []func(string, string, State, State, string) error{Move, Back, Move} {
			if err := f(root, "/home/open", from, to, "t"); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if err := os.Rename(filepath.Join(dir, "secret"), filepath.Join(dir, "open")); err != nil {
			t.Fatal(err)
		}
		if err := Back(root, "/home/open", from, to, "t"); errors.Is(err, ErrConflict) != c.conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A file that somebody put where the planned one lay is not given to a new
// owner, however much the two look alike; its mode can be changed.
func TestAnotherFileIsNotGivenAway(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	for name, c := range map[string]struct {
		want     Meta
		conflict bool
	}{
		"a new owner": {Meta{UID: new(uint32)}, true},
		"a new group": {Meta{GID: new(uint32)}, true},
		"a new mode":  {Meta{Mode: new(uint32)}, false},
	} {
		root := t.TempDir()
		at := filepath.Join(root, "a.log")
		make := func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Chown(path, 1234, 1234))
		}
		if err := errors.Join(make(at), make(at+".new")); err != nil { // both at once: two inodes
			t.Fatal(err)
		}
		from, err := ObserveMeta(root, "/a.log")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(at+".new", at); err != nil {
			t.Fatal(err)
		}
		if err := Move(root, "/a.log", from, from.WithMeta(c.want), "t"); errors.Is(err, ErrConflict) != c.conflict || !c.conflict && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
