package docker

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/hostguard/hostguard/internal/host"
)

// tree is a host made of a folder.
func tree(t *testing.T, files map[string]string) *host.Host {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return host.New(host.Options{Root: root})
}

// TestResolve: docker's socket is found by its other names while it is not there.
func TestResolve(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, dir := range []string{"run", "var", "opt"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"var/run": "/run", "opt/sock": "../var/run/docker.sock", "opt/a": "b", "opt/b": "a"} {
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	h := host.New(host.Options{Root: root})
	for name, want := range map[string]string{
		"/var/run/docker.sock": "/run/docker.sock", "/opt/sock": "/run/docker.sock", "/var/run": "/run",
		"/opt/new/folder/": "/opt/new/folder", "/": "/",
	} {
		if real, err := resolve(h, name, 0); err != nil || real != want {
			t.Errorf("%s: %s, %v; want %s", name, real, err, want)
		}
	}
	if real, err := resolve(h, "/opt/a", 0); err == nil {
		t.Errorf("a circle leads to %s", real)
	}
}

func parse(s string) netip.Addr { return netip.MustParseAddr(s) }

func parsePort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
