package files

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/checks/files"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/posixacl"
	"github.com/hostguard/hostguard/remediate/filestate"
)

// who are accounts with their groups; nobody of them is root.
var who = []struct{ uid, gid uint32 }{{1000, 1000}, {1001, 1000}, {1002, 2000}, {1003, 2001}, {1004, 3000}}

// may is what the kernel lets an account do, see acl(5).
func may(t *testing.T, s filestate.State, uid, gid uint32) uint32 {
	t.Helper()
	value, ok := s.Xattrs[posixacl.Access]
	if uid == s.UID {
		return s.Mode >> 6 & 7
	}
	if !ok {
		if gid == s.GID {
			return s.Mode >> 3 & 7
		}
		return s.Mode & 7
	}
	list, err := posixacl.Parse(value)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Named() {
		if e.Tag == posixacl.User && e.ID == uid {
			return uint32(e.Perm)
		}
	}
	var byGroup uint32
	in := false
	if gid == s.GID {
		byGroup, in = uint32(list.Group()), true
	}
	for _, e := range list.Named() {
		if e.Tag == posixacl.Group && e.ID == gid {
			byGroup, in = byGroup|uint32(e.Perm), true
		}
	}
	if in {
		return byGroup
	}
	return s.Mode & 7
}

// Random modes and access lists, made by setfacl: nobody gets more than before,
// nobody keeps what is not allowed, the kernel takes the list, and doing it
// again changes nothing.
func TestNarrowingOnlyTakesAway(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root, lab.ACL)
	random := rand.New(rand.NewPCG(3, 4))
	dir := t.TempDir()
	for i := range 150 {
		name := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var entries []string
		for _, e := range []string{"u:1001", "u:1002", "g:2000", "g:2001", "m:"} {
			if random.IntN(2) == 0 {
				entries = append(entries, fmt.Sprintf("%s:%o", e, random.IntN(8)))
			}
		}
		if err := os.Chown(name, 1000, 1000); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, os.FileMode(random.IntN(0o1000))); err != nil {
			t.Fatal(err)
		}
		if len(entries) > 0 {
			if out, err := exec.Command("setfacl", "-m", strings.Join(entries, ","), name).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		before, err := filestate.ObserveMeta("/", name)
		if err != nil {
			t.Fatal(err)
		}
		want := files.Narrow{Path: name, Perm: uint32(random.IntN(0o1000))}
		for _, e := range []files.Entry{{Tag: posixacl.User, ID: 1001}, {Tag: posixacl.Group, ID: 2000}} {
			if random.IntN(2) == 0 {
				want.Named = append(want.Named, e)
			}
		}
		after, err := narrowed(before, want)
		if err != nil {
			t.Fatal(err)
		}
		describe := fmt.Sprintf("%04o %q by %04o %v", before.Mode, entries, want.Perm, want.Named)
		if after.Mode&^want.Perm != 0 {
			t.Errorf("%s: mode %04o", describe, after.Mode)
		}
		for _, w := range who {
			had, has := may(t, before, w.uid, w.gid), may(t, after, w.uid, w.gid)
			if has&^had != 0 {
				t.Errorf("%s: %d:%d may %o and could %o", describe, w.uid, w.gid, has, had)
			}
		}
		if !after.Equal(before) {
			if err := filestate.Move("/", name, before, after, fmt.Sprintf("t%d", i)); err != nil {
				t.Errorf("%s: %v", describe, err)
				continue
			}
		}
		now, err := filestate.ObserveMeta("/", name)
		if err != nil || !now.Equal(after) {
			t.Errorf("%s: the kernel made something else of it: %+v, %v", describe, now, err)
		}
		if again, err := narrowed(now, want); err != nil || !again.Equal(now) {
			t.Errorf("%s: again it changes: %+v", describe, again)
		}
	}
}
