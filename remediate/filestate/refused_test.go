package filestate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mount mounts something for the length of a test.
func mount(t testing.TB, at string, args ...string) {
	t.Helper()
	run(t, append([]string{"mount"}, args...)...)
	t.Cleanup(func() { run(t, "umount", at) })
}

// What holds a path fast, makes it unsafe, or is lacking is refused by name,
// before anything is written; Move refuses it, too, and leaves all as it is.
func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	old := func(t testing.TB, root string) {
		must(t, os.WriteFile(filepath.Join(root, thing), []byte("old\n"), 0o644))
	}
	for _, c := range []struct {
		name    string
		prepare func(t testing.TB, root string)
		is      error // what the error wraps; nil: nothing
		says    string
		taken   bool // Move does it: only the preflight refuses
	}{
		{"a read-only file system", func(t testing.TB, root string) {
			etc := filepath.Join(root, "etc")
			mount(t, etc, "--bind", etc, etc)
			old(t, root)
			run(t, "mount", "-o", "remount,bind,ro", etc)
		}, unix.EROFS, "read-only", false},
		{"an immutable file", func(t testing.TB, root string) {
			old(t, root)
			chattr(t, "i", filepath.Join(root, thing))
		}, unix.EPERM, "it is immutable (chattr +i)", false},
		{"an append-only file", func(t testing.TB, root string) {
			old(t, root)
			chattr(t, "a", filepath.Join(root, thing))
		}, unix.EPERM, "can only be appended to", false},
		{"an immutable folder", func(t testing.TB, root string) {
			old(t, root)
			chattr(t, "i", filepath.Join(root, "etc"))
		}, unix.EPERM, "its folder is immutable", false},
		{"a file that is bind-mounted", func(t testing.TB, root string) {
			old(t, root)
			other := filepath.Join(root, "other")
			must(t, os.WriteFile(other, []byte("old\n"), 0o644))
			mount(t, filepath.Join(root, thing), "--bind", other, filepath.Join(root, thing))
		}, unix.EBUSY, "mount point", false},
		{"a symbolic link", func(t testing.TB, root string) {
			must(t, os.WriteFile(filepath.Join(root, "etc/real"), []byte("old\n"), 0o644), os.Symlink("real", filepath.Join(root, thing)))
		}, ErrConflict, "symbolic link", false},
		{"a FIFO", func(t testing.TB, root string) {
			must(t, unix.Mkfifo(filepath.Join(root, thing), 0o600))
		}, ErrConflict, "FIFO", false},
		{"a folder", func(t testing.TB, root string) { must(t, os.Mkdir(filepath.Join(root, thing), 0o700)) }, ErrConflict, "folder", false},
		{"a file with two names", func(t testing.TB, root string) {
			old(t, root)
			must(t, os.Link(filepath.Join(root, thing), filepath.Join(root, "etc/other")))
		}, ErrConflict, "2 names", false},
		{"somebody else's file", func(t testing.TB, root string) {
			old(t, root)
			must(t, os.Chown(filepath.Join(root, thing), 1000, 0))
		}, nil, "uid 1000", true},
		{"somebody else's folder", func(t testing.TB, root string) {
			old(t, root)
			must(t, os.Chown(filepath.Join(root, "etc"), 1000, 0))
		}, nil, "the folder /etc belongs to uid 1000", false},
		{"a folder that a group can write to", func(t testing.TB, root string) {
			old(t, root)
			must(t, os.Chown(filepath.Join(root, "etc"), 0, 50), os.Chmod(filepath.Join(root, "etc"), 0o775))
		}, nil, "the group 50 can write to the folder /etc", false},
		{"a folder that an access list opens", func(t testing.TB, root string) {
			old(t, root)
			run(t, "setfacl", "-m", "u:12:rwx", filepath.Join(root, "etc"))
		}, nil, "its access list lets them", false},
		{"a folder that everybody can write to", func(t testing.TB, root string) {
			old(t, root)
			must(t, os.Chmod(filepath.Join(root, "etc"), 0o777))
		}, nil, "everybody can write to the folder /etc", false},
		{"a folder as /tmp is", func(t testing.TB, root string) {
			old(t, root)
			must(t, os.Chmod(filepath.Join(root, "etc"), 0o777|os.ModeSticky))
		}, nil, "everybody can make files in the folder /etc", false},
		{"a root that is somebody else's", func(t testing.TB, root string) {
			old(t, root)
			must(t, os.Chown(root, 1000, 0))
		}, nil, "the folder / belongs to uid 1000", false},
		{"a folder that is missing", func(t testing.TB, root string) { must(t, os.Remove(filepath.Join(root, "etc"))) }, os.ErrNotExist, "the folder /etc is missing", false},
		{"other content", func(t testing.TB, root string) {
			must(t, os.WriteFile(filepath.Join(root, thing), []byte("else\n"), 0o644))
		}, ErrConflict, "changed its content", false},
		{"another mode", func(t testing.TB, root string) {
			old(t, root)
			must(t, os.Chmod(filepath.Join(root, thing), 0o600))
		}, ErrConflict, "its mode is 0600 now, and was 0644", false},
		{"another attribute", func(t testing.TB, root string) {
			old(t, root)
			must(t, unix.Setxattr(filepath.Join(root, thing), "user.a", nil, 0))
		}, ErrConflict, "extended attributes", false},
		{"no file", func(testing.TB, string) {}, ErrConflict, "removed it", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := newRoot(t)
			from := NewFile([]byte("old\n"), 0o644, 0, 0)
			c.prepare(t, root)
			before := listing(t, root)
			var pre Preflight
			calls := map[string]error{"the preflight": pre.Check(root, thing, from, from.WithContent([]byte("new\n")))}
			if !c.taken {
				calls["the move"] = Move(root, thing, from, from.WithContent([]byte("new\n")), id)
			}
			for what, err := range calls {
				switch {
				case err == nil:
					t.Errorf("%s takes it", what)
				case c.is != nil && !errors.Is(err, c.is):
					t.Errorf("%s: %v is not %v", what, err, c.is)
				case what == "the preflight" && !strings.Contains(err.Error(), c.says), !strings.HasPrefix(err.Error(), "cannot change /etc/thing: "):
					t.Errorf("%s: %v does not say %q", what, err, c.says)
				}
			}
			if after := listing(t, root); after != before {
				t.Errorf("changed:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

func chattr(t testing.TB, flag, name string) {
	t.Helper()
	run(t, "chattr", "+"+flag, name)
	t.Cleanup(func() { run(t, "chattr", "-"+flag, name) })
}

// In the place of a new file, too.
func TestWhatIsInANewFilesPlace(t *testing.T) {
	t.Parallel()
	for what, make := range map[string]func(name string) error{
		"a file":   func(name string) error { return os.WriteFile(name, nil, 0o600) },
		"a folder": func(name string) error { return os.Mkdir(name, 0o700) },
		"a link":   func(name string) error { return os.Symlink("nowhere", name) },
		"a FIFO":   func(name string) error { return unix.Mkfifo(name, 0o600) },
	} {
		for _, to := range []State{NewFile(nil, 0o644, 0, 0), NewLink("x"), NewFolder(0o755, 0, 0)} {
			root := newRoot(t)
			must(t, make(filepath.Join(root, thing)))
			before := listing(t, root)
			var pre Preflight
			if err := pre.Check(root, thing, State{Type: Absent}, to); !errors.Is(err, ErrConflict) {
				t.Errorf("%s, %s: preflight: %v", what, to.Type, err)
			}
			if err := Move(root, thing, State{Type: Absent}, to, id); !errors.Is(err, ErrConflict) {
				t.Errorf("%s, %s: %v", what, to.Type, err)
			}
			if after := listing(t, root); after != before {
				t.Errorf("%s, %s: changed:\n%s\nbefore:\n%s", what, to.Type, after, before)
			}
		}
	}
}

// The host's own links lead on within the tree, and never out of it.
func TestLinksOnTheWay(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	must(t, os.MkdirAll(filepath.Join(root, "usr/etc/deep"), 0o755),
		os.Symlink("/usr/../usr/etc", filepath.Join(root, "absolute")),
		os.Symlink("../../../../usr/etc", filepath.Join(root, "etc/up")),
		os.Symlink("loop", filepath.Join(root, "loop")),
		os.Symlink("..", filepath.Join(root, "usr/etc/deep/back")))
	for i, name := range []string{"/absolute/a", "/etc/up/b", "/usr/etc/deep/back/c", "/etc/up/deep/back/../etc/d"} {
		to := NewFile([]byte{byte(i)}, 0o644, 0, 0)
		err := Move(root, name, State{Type: Absent}, to, id)
		if strings.Contains(name, "..") {
			if err == nil || !strings.Contains(err.Error(), "no clean, absolute path") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		must(t, err)
		if _, err := os.Lstat(filepath.Join(root, "usr/etc", filepath.Base(name))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Observe(root, "/loop/a"); !errors.Is(err, unix.ELOOP) || !strings.HasPrefix(fmt.Sprint(err), "cannot look at /loop/a: /loop") {
		t.Errorf("a loop: %v", err)
	}
	if s, err := Observe(root, "/nowhere/a"); err != nil || s.Type != Absent {
		t.Errorf("no folder: %v %v", s, err)
	}
	// Whoever owns a folder could turn its links.
	must(t, os.Chown(filepath.Join(root, "etc"), 1000, 0))
	if _, err := Observe(root, "/etc/up/b"); err == nil || !strings.Contains(err.Error(), "/etc/up is a symbolic link, and the folder /etc belongs to uid 1000") {
		t.Errorf("somebody's link: %v", err)
	}
	// As in /tmp: root's entries are root's there.
	must(t, os.Chown(filepath.Join(root, "etc"), 0, 0), os.Chmod(filepath.Join(root, "etc"), 0o777|os.ModeSticky))
	if _, err := Observe(root, "/etc/up/b"); err != nil {
		t.Errorf("root's link in a sticky folder: %v", err)
	}
	must(t, os.Lchown(filepath.Join(root, "etc/up"), 1000, 0))
	if _, err := Observe(root, "/etc/up/b"); err == nil || !strings.Contains(err.Error(), "everybody can make files") {
		t.Errorf("somebody's link in a sticky folder: %v", err)
	}
}

// Modes are repaired also in folders of others: what is opened stays what it
// is, whatever happens to its name.
func TestMetadataInSomebodysFolder(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	full := filepath.Join(root, thing)
	must(t, os.WriteFile(full, make([]byte, MaxContent+1), 0o644), os.Chown(full, 1000, 1000), os.Chown(filepath.Dir(full), 1000, 1000))
	from := see(t, root, thing, FileMeta)
	to := from.WithMeta(numbers(0o600, 1000, 1000))
	var pre Preflight
	must(t, pre.Check(root, thing, from, to), Move(root, thing, from, to, id))
	if got := see(t, root, thing, FileMeta); !got.Equal(to) {
		t.Errorf("%+v", got)
	}
	must(t, os.Rename(full, full+"2"), os.Symlink("thing2", full))
	if err := Move(root, thing, to, from, id); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a link: %v", err)
	}
	must(t, os.Remove(full), os.Link(full+"2", full))
	if err := Move(root, thing, to, from, id); err == nil || !strings.Contains(err.Error(), "2 names") {
		t.Errorf("two names: %v", err)
	}
	must(t, os.Remove(full), unix.Mkfifo(full, 0o600))
	if err := Move(root, thing, to, from, id); err == nil || !strings.Contains(err.Error(), "FIFO") {
		t.Errorf("a FIFO: %v", err)
	}
}

// A transaction as a whole must fit: the old files stay until it commits.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, options, says string }{
		{"no space", "size=64k", "KiB are free"},
		{"no inodes", "size=4m,nr_inodes=7", "inodes are free"},
	} {
		root := newRoot(t)
		etc := filepath.Join(root, "etc")
		mount(t, etc, "-t", "tmpfs", "-o", c.options+",mode=755", "tmpfs", etc)
		old := NewFile([]byte("old\n"), 0o644, 0, 0)
		var steps []order
		for i := range 5 {
			name := fmt.Sprintf("/etc/%d", i)
			must(t, os.WriteFile(filepath.Join(root, name), []byte("old\n"), 0o644))
			steps = append(steps, order{Root: root, Name: name, From: old, To: old.WithContent([]byte(strings.Repeat("n", 10_000)))})
		}
		before := listing(t, root)
		var pre Preflight
		fits := 0
		var err error
		for _, o := range steps {
			if err = pre.Check(root, o.Name, o.From, o.To); err != nil {
				break
			}
			fits++
		}
		if fits == 0 || !errors.Is(err, unix.ENOSPC) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: the preflight takes %d: %v", c.name, fits, err)
		}
		// Without the preflight it is Move that fails, and all goes back although the
		// disk is full.
		if c.name == "no space" {
			must(t, os.WriteFile(filepath.Join(etc, "filler"), make([]byte, 12<<10), 0o644))
			before = listing(t, root)
		}
		done := 0
		for _, o := range steps {
			if err = o.do("move"); err != nil {
				break
			}
			done++
		}
		if done == 0 || !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%s: %d moves: %v", c.name, done, err)
		}
		for _, o := range steps[:done+1] {
			must(t, o.do("back"))
		}
		if after := listing(t, root); after != before {
			t.Errorf("%s: changed:\n%s\nbefore:\n%s", c.name, after, before)
		}
	}
}

// A folder that the same transaction makes counts as there.
func TestAFileInAFolderToBeMade(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	absent := State{Type: Absent}
	var pre Preflight
	must(t, pre.Check(root, "/etc/d", absent, NewFolder(0o755, 0, 0)),
		pre.Check(root, "/etc/d/e", absent, NewFolder(0o755, 0, 0)),
		pre.Check(root, "/etc/d/e/f", absent, NewFile(nil, 0o644, 0, 0)))
	if err := pre.Check(root, "/etc/g/f", absent, NewFile(nil, 0o644, 0, 0)); err == nil {
		t.Error("a folder that nobody makes counts as there")
	}
}

// A folder into which somebody put something stays.
func TestAFolderThatIsInUse(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	to := NewFolder(0o755, 0, 0)
	must(t, Move(root, thing, State{Type: Absent}, to, id))
	must(t, os.WriteFile(filepath.Join(root, thing, "x"), nil, 0o600))
	if err := Back(root, thing, State{Type: Absent}, to, id); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "put something into the folder") {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(root, thing, "x")); err != nil {
		t.Error(err)
	}
}

// Temporary names are such that no daemon reads them, and the same each time.
func TestNames(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"a", "50-cloud.conf", strings.Repeat("x", 255), strings.Repeat("x", 254) + "y"} {
		n, err := namesFor(base, strings.Repeat("i", 64))
		must(t, err)
		for _, name := range []string{n.part, n.temp, n.kept + ".99~"} {
			if len(name) > maxName || name[0] != '.' || name[len(name)-1] != '~' {
				t.Errorf("%q: %q", base, name)
			}
		}
	}
	a, _ := namesFor(strings.Repeat("x", 255), id)
	b, _ := namesFor(strings.Repeat("x", 254)+"y", id)
	if a.temp == b.temp {
		t.Error("two files have one temporary name")
	}
	for _, bad := range []string{"", "../x", "a b", strings.Repeat("i", 65)} {
		if _, err := namesFor("a", bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// A program that has the file open for writing is waited for, and not for ever.
func TestAFileThatIsOpenForWriting(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	full := filepath.Join(root, thing)
	must(t, os.WriteFile(full, []byte("old\n"), 0o644))
	from := see(t, root, thing, File)
	to := from.WithContent([]byte("new\n"))
	writer, err := os.OpenFile(full, os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	var pre Preflight
	if err := pre.Check(root, thing, from, to); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "open for writing") {
		t.Errorf("the preflight: %v", err)
	}
	timer := time.AfterFunc(patience/10, func() { writer.Close() })
	defer timer.Stop()
	must(t, Move(root, thing, from, to, id))
}

// An editor had the file open before the exchange, as far as nothing could see:
// it was an mmap, a file system without leases, or a slow open. What it writes
// is found before the commit, and put back in its place; what it writes later
// still is kept.
func TestAnEditorWritesToWhatWasTakenOut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		write func(t testing.TB, displaced string) (stop func())
	}{
		{"and closes it", func(t testing.TB, displaced string) func() {
			must(t, os.WriteFile(displaced, []byte("edited\n"), 0o644))
			return func() {}
		}},
		{"and has it still open", func(t testing.TB, displaced string) func() {
			f, err := os.OpenFile(displaced, os.O_WRONLY|os.O_APPEND, 0)
			must(t, err)
			return func() { f.WriteString("edited\n"); f.Close() }
		}},
	} {
		for _, to := range []State{{Type: Absent}, NewFile([]byte("new\n"), 0o644, 0, 0)} {
			t.Run(c.name+", to "+string(to.Type), func(t *testing.T) {
				t.Parallel()
				root := newRoot(t)
				full := filepath.Join(root, thing)
				must(t, os.WriteFile(full, []byte("old\n"), 0o644))
				from := see(t, root, thing, File)
				must(t, Move(root, thing, from, to, id))
				n, _ := namesFor("thing", id)
				stop := c.write(t, filepath.Join(root, "etc", n.temp))
				if err := Settle(root, thing, from, to, id); !errors.Is(err, ErrConflict) {
					t.Errorf("settle: %v", err)
				}
				err := Clean(root, thing, from, to, id)
				var conflict *Conflict
				if !errors.As(err, &conflict) || conflict.Kept == "" {
					t.Fatalf("clean: %v", err)
				}
				must(t, os.Rename(filepath.Join(root, conflict.Kept), filepath.Join(root, "etc", n.temp)))
				err = Back(root, thing, from, to, id)
				stop()
				data, readErr := os.ReadFile(full)
				if readErr != nil || !strings.HasSuffix(string(data), "edited\n") {
					t.Errorf("back: %v; the file is %q (%v)", err, data, readErr)
				}
			})
		}
	}
}
