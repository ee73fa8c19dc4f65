package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hostguard/hostguard/internal/host"
)

func TestDiscoverSSHGroup(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config string
		want   []string
		fails  bool
	}{
		"one group":      {"AllowGroups ssh_login_group\n", []string{"ssh_login_group"}, false},
		"none":           {"PasswordAuthentication no\n", nil, false},
		"a pattern":      {"AllowGroups ssh-*\n", nil, false},
		"several groups": {"AllowGroups a b\n", []string{"a", "b"}, true},
		"only in Match":  {"Match Address 10.0.0.0/8\n  AllowGroups a\n", nil, false},
		"refused":        {"NoSuchKeyword yes\n", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for file, text := range map[string]string{
				"etc/ssh/sshd_config":                c.config,
				"usr/sbin/sshd":                      "OpenSSH_9.2p1 Debian-2",
				"usr/lib/systemd/system/ssh.service": "[Service]\nExecStart=/usr/sbin/sshd -D\n",
			} {
				path := filepath.Join(root, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			d, err := sshGroup(t.Context(), host.New(host.Options{Root: root}))
			if (err != nil) != c.fails || !slices.Equal(d.Values, c.want) {
				t.Errorf("found %q, %v; want %q", d.Values, err, c.want)
			}
		})
	}
}
