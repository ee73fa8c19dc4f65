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

func parse(s string) netip.Addr { return netip.MustParseAddr(s) }

func parsePort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
