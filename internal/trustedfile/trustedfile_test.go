package trustedfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/lab"
)

// The cases that need another owner are made by root only.
func TestRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		needsRoot bool
		make      func(t *testing.T, dir string) // makes dir/file
		want      string                         // part of the error
	}{
		"good":                {make: func(t *testing.T, dir string) { write(t, dir+"/file", 0o644) }},
		"writable by group":   {make: func(t *testing.T, dir string) { write(t, dir+"/file", 0o664) }, want: "file is writable by group or others"},
		"writable by others":  {make: func(t *testing.T, dir string) { write(t, dir+"/file", 0o646) }, want: "file is writable by group or others"},
		"folder writable":     {make: func(t *testing.T, dir string) { write(t, dir+"/file", 0o644); chmod(t, dir, 0o777) }, want: "is writable by group or others"},
		"folder sticky":       {make: func(t *testing.T, dir string) { write(t, dir+"/file", 0o644); chmod(t, dir, 0o777|fs.ModeSticky) }, want: "is writable by group or others"},
		"link to a good file": {make: func(t *testing.T, dir string) { write(t, dir+"/real", 0o644); link(t, "real", dir+"/file") }},
		"link to a bad file":  {make: func(t *testing.T, dir string) { write(t, dir+"/real", 0o666); link(t, "real", dir+"/file") }, want: "real is writable"},
		"link into bad folder": {make: func(t *testing.T, dir string) {
			mkdir(t, dir+"/d", 0o777)
			write(t, dir+"/d/real", 0o644)
			link(t, dir+"/d/real", dir+"/file")
		}, want: "/d is writable"},
		"link through a bad one": {make: func(t *testing.T, dir string) {
			mkdir(t, dir+"/d", 0o777)
			write(t, dir+"/real", 0o644)
			link(t, "../real", dir+"/d/hop")
			link(t, "d/hop", dir+"/file")
		}, want: "/d is writable"},
		"link in a circle": {make: func(t *testing.T, dir string) { link(t, "file", dir+"/file") }, want: "too many symbolic links"},
		"dangling link":    {make: func(t *testing.T, dir string) { link(t, "none", dir+"/file") }, want: "no such file"},
		"absent":           {make: func(*testing.T, string) {}, want: "no such file"},
		"a folder":         {make: func(t *testing.T, dir string) { mkdir(t, dir+"/file", 0o755) }, want: "not a regular file"},
		"a FIFO": {make: func(t *testing.T, dir string) {
			if err := syscall.Mkfifo(dir+"/file", 0o644); err != nil {
				t.Fatal(err)
			}
		}, want: "not a regular file"},
		"too large":        {make: func(t *testing.T, dir string) { write(t, dir+"/file", 0o644); truncate(t, dir+"/file", 1<<30) }, want: "larger than 100 bytes"},
		"somebody else's":  {needsRoot: true, make: func(t *testing.T, dir string) { write(t, dir+"/file", 0o644); chown(t, dir+"/file") }, want: "owned by uid 12345"},
		"folder of others": {needsRoot: true, make: func(t *testing.T, dir string) { write(t, dir+"/file", 0o644); chown(t, dir) }, want: "owned by uid 12345"},
		"link of others": {needsRoot: true, make: func(t *testing.T, dir string) {
			write(t, dir+"/real", 0o644)
			link(t, "real", dir+"/file")
			chown(t, dir+"/file")
		}, want: "owned by uid 12345"},
		"parent of another": {needsRoot: true, make: func(t *testing.T, dir string) { write(t, dir+"/file", 0o644); chown(t, filepath.Dir(dir)) }, want: "owned by uid 12345"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.needsRoot {
				lab.Need(t, lab.Root)
			}
			dir := filepath.Join(t.TempDir(), "dir")
			mkdir(t, dir, 0o755)
			c.make(t, dir)
			start := time.Now()
			data, err := Read(dir+"/file", 100)
			if time.Since(start) > 10*time.Second {
				t.Error("Read waited")
			}
			switch {
			case c.want == "" && (err != nil || string(data) != "text"):
				t.Errorf("Read = %q, %v", data, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error = %v, want …%s…", err, c.want)
			case strings.Contains(c.want, "no such file") && !errors.Is(err, fs.ErrNotExist):
				t.Errorf("error = %v, want fs.ErrNotExist", err)
			}
			want := c.want
			if name == "too large" {
				want = ""
			}
			if err := Check(dir + "/file"); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("Check: %v, want …%s…", err, want)
			}
		})
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "d")
	if _, err := List(dir, ".yaml"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent folder: %v", err)
	}
	mkdir(t, dir, 0o755)
	for _, name := range []string{"b.yaml", "a.yaml", ".hidden.yaml", "c.yml"} {
		write(t, filepath.Join(dir, name), 0o644)
	}
	got, err := List(dir, ".yaml")
	if err != nil || !slices.Equal(got, []string{dir + "/a.yaml", dir + "/b.yaml"}) {
		t.Errorf("List = %q, %v", got, err)
	}
	chmod(t, dir, 0o775)
	if _, err := List(dir, ".yaml"); err == nil {
		t.Error("a folder that the group can write was listed")
	}
}

func write(t *testing.T, name string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	chmod(t, name, mode)
}

func mkdir(t *testing.T, name string, mode fs.FileMode) {
	t.Helper()
	if err := os.Mkdir(name, 0o755); err != nil {
		t.Fatal(err)
	}
	chmod(t, name, mode)
}

func chmod(t *testing.T, name string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

func chown(t *testing.T, name string) {
	t.Helper()
	if err := os.Lchown(name, 12345, 12345); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, name string, size int64) {
	t.Helper()
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
}
