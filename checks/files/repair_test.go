package files

import (
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/host"
)

// What a container's user would not get at any more is left to a person.
func TestRepairOfSecrets(t *testing.T) {
	t.Parallel()
	users := []string{"root", "65534"}
	for name, c := range map[string]struct {
		uid, perm uint32
		mounted   bool
		left      string // of what a person is told; empty: the mode is narrowed
	}{
		"a file for compose, of root":                    {0, 0o644, false, ""},
		"a file for compose, of the folder's owner":      {1000, 0o664, false, ""},
		"of the container's user":                        {65534, 0o444, true, ""},
		"of root, mounted, and read by everybody":        {0, 0o644, true, "chown 65534:root"},
		"of the folder's owner, and read by everybody":   {1000, 0o604, true, "chmod 0440"},
		"of root, mounted, and written by its group":     {0, 0o660, true, ""},
		"of root, mounted, and only written by everyone": {0, 0o642, true, ""},
		"of somebody else":                               {1001, 0o640, false, "belongs to bob"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _ := tree(t, nil)
			accounts, err := h.Accounts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var r Repair
			want := access{Owner: []string{"root", "65534", "1000"}, Mode: 0o640}
			r.addSecret(thing{FileMode: host.FileMode{Path: "/f", UID: c.uid, Perm: c.perm}, named: true}, c.mounted, users, want, newNames(accounts))
			got := r.Files[0]
			if (got.Left == "") != (c.left == "") || !strings.Contains(got.Left, c.left) {
				t.Errorf("left: %q, want %q", got.Left, c.left)
			}
			if got.Left == "" && (got.Owner != nil || got.Group != nil || got.Perm != 0o640) {
				t.Errorf("more than the mode would change, or less: %+v", got)
			}
		})
	}
	t.Run("a link", func(t *testing.T) {
		var r Repair
		r.addSecret(thing{FileMode: host.FileMode{Path: "/f"}, gone: true, link: true}, true, users, access{}, names{})
		if got := r.Files[0]; got.Stray || !strings.Contains(got.Left, "mount the file itself") {
			t.Errorf("%+v", got)
		}
	})
}
