package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
)

// tree makes a file tree: "path/" is a folder, "path -> target" a link, else
// a file holding its own path.
func tree(t *testing.T, entries ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, e := range entries {
		name, target, isLink := strings.Cut(e, " -> ")
		full := filepath.Join(root, name)
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		switch {
		case isLink:
			must(t, os.Symlink(target, full))
		case strings.HasSuffix(name, "/"):
			must(t, os.MkdirAll(full, 0o755))
		default:
			must(t, os.WriteFile(full, []byte(name), 0o644))
		}
	}
	return root
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLinksResolveInsideTheRoot(t *testing.T) {
	t.Parallel()
	root := tree(t,
		"etc/real",
		"etc/absolute -> /etc/real",
		"etc/climbing -> ../../../../etc/real",
		"etc/loop -> /etc/loop",
		"etc/passwd-of-the-machine -> /etc/only-outside",
		"run/sub/file",
		"var/run -> /run",
	)
	h := New(Options{Root: root})
	for name, want := range map[string]string{
		"/etc/real":         "etc/real",
		"/etc/absolute":     "etc/real",
		"/etc/climbing":     "etc/real",
		"/../../etc/real":   "etc/real",
		"/var/run/sub/file": "run/sub/file",
	} {
		got, err := h.ReadFile(name)
		if err != nil || string(got) != want {
			t.Errorf("ReadFile(%s) = %q, %v; want %q", name, got, err, want)
		}
	}
	if _, err := h.ReadFile("/etc/loop"); err == nil {
		t.Error("a link to itself was read")
	}
	if _, err := h.ReadFile("/etc/passwd-of-the-machine"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link to what the tree lacks: %v, want not-exist", err)
	}
	if real, err := h.Resolve("/var/run/sub/file"); err != nil || real != "/run/sub/file" {
		t.Errorf("Resolve = %q, %v; want /run/sub/file", real, err)
	}
}

func TestReadingNeverBlocksAndIsBounded(t *testing.T) {
	t.Parallel()
	root := tree(t, "dir/", "small")
	must(t, unix.Mkfifo(filepath.Join(root, "fifo"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "huge"), nil, 0o644))
	must(t, os.Truncate(filepath.Join(root, "huge"), 100<<30))
	live := New(Options{})
	mounted := New(Options{Root: root})
	for _, c := range []struct {
		name string
		want error
	}{
		{"/fifo", ErrNotRegular},
		{"/dir", ErrNotRegular},
		{"/huge", ErrTooLarge},
		{"/absent", fs.ErrNotExist},
	} {
		if _, err := mounted.ReadFile(c.name); !errors.Is(err, c.want) {
			t.Errorf("mounted %s: %v, want %v", c.name, err, c.want)
		} else if strings.Contains(err.Error(), root) {
			t.Errorf("mounted %s: the error names a path outside the tree: %v", c.name, err)
		}
		if _, err := live.ReadFile(filepath.Join(root, c.name)); !errors.Is(err, c.want) {
			t.Errorf("live %s: %v, want %v", c.name, err, c.want)
		}
		if _, _, err := live.ReadUntrusted(root, c.name[1:], MaxFile); !errors.Is(err, c.want) {
			t.Errorf("untrusted %s: %v, want %v", c.name, err, c.want)
		}
	}
}

// A device in a user's or an image's folder is not even opened: this one has no
// driver, which only the attempt would tell.
func TestDevicesAreNotOpened(t *testing.T) {
	lab.Need(t, lab.Root)
	t.Parallel()
	root := tree(t, "dir/")
	must(t, unix.Mknod(filepath.Join(root, "device"), unix.S_IFCHR|0o666, int(unix.Mkdev(250, 250))))
	if _, _, err := New(Options{}).ReadUntrusted(root, "device", 100); !errors.Is(err, ErrNotRegular) {
		t.Errorf("below a user's folder: %v", err)
	}
	if _, err := New(Options{Root: root}).ReadFile("/device"); !errors.Is(err, ErrNotRegular) {
		t.Errorf("in a tree: %v", err)
	}
}

func TestUntrustedFilesAreReadWithoutLinks(t *testing.T) {
	t.Parallel()
	root := tree(t, "home/plain", "home/sub/deep", "home/link -> plain", "home/away -> /etc/passwd", "home/linked -> sub", "secret")
	must(t, os.Link(filepath.Join(root, "secret"), filepath.Join(root, "home/hard")))
	h := New(Options{})
	home := filepath.Join(root, "home")
	for _, rel := range []string{"plain", "sub/deep"} {
		if data, info, err := h.ReadUntrusted(home, rel, 100); err != nil || string(data) != "home/"+rel || info.Size() != int64(len(data)) {
			t.Errorf("%s: %q, %v", rel, data, err)
		}
	}
	for _, rel := range []string{"link", "away", "linked/deep", "hard", "../secret", "sub/../../secret", "/etc/passwd"} {
		if data, _, err := h.ReadUntrusted(home, rel, 100); err == nil || data != nil {
			t.Errorf("%s was read: %q", rel, data)
		}
	}
}

func TestGlob(t *testing.T) {
	t.Parallel()
	root := tree(t, "etc/d/10-b.conf", "etc/d/9-a.conf", "etc/d/.hidden.conf", "etc/d/x.bak", "etc/e/1.conf", "etc/file", "etc/ld -> /etc/d", "etc/d/dangling.conf -> /nowhere")
	for _, h := range []*Host{New(Options{Root: root}), New(Options{})} {
		base := ""
		if h.Running() {
			base = root
		}
		for pattern, want := range map[string][]string{
			"/etc/d/*.conf":     {"/etc/d/10-b.conf", "/etc/d/9-a.conf", "/etc/d/dangling.conf"},
			"/etc/[de]/*.conf":  {"/etc/d/10-b.conf", "/etc/d/9-a.conf", "/etc/d/dangling.conf", "/etc/e/1.conf"},
			"/etc/d/.h*":        {"/etc/d/.hidden.conf"},
			"/etc/d/x.bak":      {"/etc/d/x.bak"},
			"/etc/none/*.conf":  nil,
			"/etc/file/*.conf":  nil,
			"/etc/d/nothing":    nil,
			"/etc/file/nothing": nil,
		} {
			got, err := h.Glob(base + pattern)
			for i := range got {
				got[i] = strings.TrimPrefix(got[i], base)
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("running=%v Glob(%s) = %q, %v; want %q", h.Running(), pattern, got, err, want)
			}
		}
	}
	mounted := New(Options{Root: root})
	if got, err := mounted.Glob("/etc/ld/*.bak"); err != nil || !slices.Equal(got, []string{"/etc/ld/x.bak"}) {
		t.Errorf("through an absolute link: %q, %v", got, err)
	}
	if _, err := mounted.Glob("etc/*"); err == nil {
		t.Error("a relative pattern was expanded")
	}
	if _, err := mounted.Glob("/etc/d/[x"); err == nil {
		t.Error("a malformed pattern was expanded")
	}
}

func TestLstatAndReadlinkLookAtTheLinkItself(t *testing.T) {
	t.Parallel()
	root := tree(t, "a/file", "a/link -> /a/file", "b -> /a")
	h := New(Options{Root: root})
	info, err := h.Lstat("/b/link")
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("Lstat(/b/link) = %v, %v; want a link, reached through a linked parent", info, err)
	}
	if target, err := h.Readlink("/b/link"); err != nil || target != "/a/file" {
		t.Errorf("Readlink = %q, %v", target, err)
	}
	if info, err := h.Stat("/b/link"); err != nil || !info.Mode().IsRegular() {
		t.Errorf("Stat = %v, %v; want the file", info, err)
	}
}

// Units are named with backslashes by systemd-escape(1).
func TestGlobOfANameWithSpecialCharacters(t *testing.T) {
	t.Parallel()
	h := New(Options{Root: tree(t, `etc/a\x2db*[?].d/x.conf`, "etc/ax2dbbq.d/y.conf")})
	found, err := h.Glob("/etc/" + literally(`a\x2db*[?].d`) + "/*.conf")
	if want := []string{`/etc/a\x2db*[?].d/x.conf`}; err != nil || !slices.Equal(found, want) {
		t.Errorf("%q %v, want %q", found, err, want)
	}
}
