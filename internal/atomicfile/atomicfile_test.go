package atomicfile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	f, err := Create(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	f.Abort()
}

func put(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// want checks a file's content and mode, and that its folder holds only names.
func want(t *testing.T, path, content string, mode fs.FileMode, names ...string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil || string(data) != content {
		t.Errorf("%s holds %q, %v; want %q", path, data, err, content)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != mode {
		t.Errorf("%s: %v, %v; want mode %v", path, info.Mode(), err, mode)
	}
	wantOnly(t, filepath.Dir(path), append(names, filepath.Base(path))...)
}

func wantOnly(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(names) {
		t.Errorf("%s holds %v, %v; want %v", dir, entries, err, names)
	}
}

func TestNewFileIsPrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "report.json")
	write(t, path, "{}")
	want(t, path, "{}", 0o600)
	if long := filepath.Join(t.TempDir(), strings.Repeat("x", 255)); true {
		write(t, long, "longest name")
		want(t, long, "longest name", 0o600)
	}
}

func TestRelativePath(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "report.json", "{}")
	want(t, "report.json", "{}", 0o600)
}

func TestOwnFileKeepsItsMode(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "report.json")
	put(t, path, "old", 0o640|fs.ModeSetgid)
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 0, 4242); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Create(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f.Write([]byte("new"))
	if data, _ := os.ReadFile(path); string(data) != "old" {
		t.Errorf("before Commit the file holds %q", data)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	want(t, path, "new", 0o640)
	var st unix.Stat_t
	if unix.Stat(path, &st); os.Geteuid() == 0 && st.Gid != 4242 {
		t.Errorf("the group is %d, want 4242", st.Gid)
	}
}

// A file that others own or have another name for tells nothing about who
// shall read the new one.
func TestForeignFileGivesNoMode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "report.json"), filepath.Join(dir, "link")
	put(t, path, "old", 0o666)
	if err := os.Link(path, link); err != nil {
		t.Fatal(err)
	}
	write(t, path, "new")
	want(t, path, "new", 0o600, "link")
	if data, _ := os.ReadFile(link); string(data) != "old" {
		t.Errorf("the other name now holds %q", data)
	}
	if os.Geteuid() != 0 {
		return
	}
	foreign := filepath.Join(t.TempDir(), "report.json")
	put(t, foreign, "old", 0o666)
	if err := os.Chown(foreign, 4242, 4242); err != nil {
		t.Fatal(err)
	}
	write(t, foreign, "new")
	want(t, foreign, "new", 0o600)
}

func TestRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	put(t, at("file"), "old", 0o600)
	for _, err := range []error{
		os.Symlink(at("file"), at("link")),
		os.Symlink(at("absent"), at("dangling")),
		os.Mkdir(at("folder"), 0o700),
		unix.Mkfifo(at("fifo"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ path, want string }{
		{at("link"), "it is a symbolic link: name the file that it leads to"},
		{at("dangling"), "it is a symbolic link: name the file that it leads to"},
		{at("folder"), "it is a folder"},
		{at("folder") + "/", "it is a folder"},
		{at("folder") + "/..", "it is a folder"},
		{"/", "it is a folder"},
		{"", "it is a folder"},
		{at("fifo"), "it is not a regular file"},
		{at("nowhere/file"), "no such file or directory"},
		{at("file/file"), "not a directory"},
		{at(strings.Repeat("x", 256)), "file name too long"},
		{at("a\x00b"), "invalid argument"},
		{"/proc/report.json", "no such file or directory"},
	} {
		f, err := Create(c.path, 0o600)
		if f != nil || err == nil || err.Error() != "cannot write "+c.path+": "+c.want {
			t.Errorf("Create(%q): %v, want %s", c.path, err, c.want)
		}
	}
	want(t, at("file"), "old", 0o600, "link", "dangling", "folder", "fifo")
}

func TestAbortLeavesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "report.json")
	f, err := Create(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f.Write([]byte("half"))
	f.Abort()
	f.Abort()
	wantOnly(t, filepath.Dir(path))
}

func TestFailedCommitKeepsTheOldFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "report.json")
	f, err := Create(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil { // somebody was faster
		t.Fatal(err)
	}
	if err := f.Commit(); err == nil || !strings.HasPrefix(err.Error(), "cannot write "+path+": ") {
		t.Errorf("Commit over a folder: %v", err)
	}
	wantOnly(t, filepath.Dir(path), "report.json")
}

// The folder is held open: when its path leads elsewhere at Commit, the file
// still goes where Create looked.
func TestFolderReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	here, there := filepath.Join(dir, "here"), filepath.Join(dir, "there")
	os.Mkdir(here, 0o700)
	f, err := Create(filepath.Join(here, "report.json"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	os.Rename(here, filepath.Join(dir, "moved"))
	os.Mkdir(there, 0o700)
	os.Symlink(there, here)
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	wantOnly(t, there)
	wantOnly(t, filepath.Join(dir, "moved"), "report.json")
}

// What the mode does not show is found out before anything is written.
func TestMounts(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"mounted", "source"} {
		put(t, at(name), "old", 0o600)
	}
	for _, name := range []string{"readonly", "small"} {
		os.Mkdir(at(name), 0o700)
	}
	put(t, at("readonly/file"), "old", 0o600)

	inOwnMounts(t, func() error {
		if err := errors.Join(
			unix.Mount(at("source"), at("mounted"), "", unix.MS_BIND, ""),
			unix.Mount(at("readonly"), at("readonly"), "", unix.MS_BIND, ""),
			unix.Mount("", at("readonly"), "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""),
			unix.Mount("tmpfs", at("small"), "tmpfs", 0, "size=16k"),
		); err != nil {
			return err
		}
		for path, want := range map[string]string{
			at("mounted"):       "it is a mount point, which cannot be replaced: name a file in a folder",
			at("readonly/file"): "read-only file system",
			at("readonly/new"):  "read-only file system",
		} {
			if f, err := Create(path, 0o600); f != nil || err == nil || err.Error() != "cannot write "+path+": "+want {
				t.Errorf("Create(%q): %v, want %s", path, err, want)
			}
		}
		full := at("small/report.json")
		put(t, full, "old", 0o600)
		f, err := Create(full, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(bytes.Repeat([]byte("x"), 64<<10))
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("writing to a full disk: %v", err)
		}
		f.Abort()
		want(t, full, "old", 0o600)
		return nil
	})
}

// inOwnMounts runs f where its mounts are seen by nobody else and end with it.
func inOwnMounts(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its namespace
		err := unix.Unshare(unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
