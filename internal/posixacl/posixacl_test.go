package posixacl

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
)

func entry(tag, perm byte, id byte) []byte { return []byte{tag, 0, perm, 0, id, 0, 0, 0} }

var (
	nobody = []byte{0xff, 0xff, 0xff, 0xff}
	// u::rw-, u:5:rw-, g::r--, g:4:rwx, m::r-x, o::---
	whole = slices.Concat([]byte{2, 0, 0, 0},
		[]byte{1, 0, 6, 0}, nobody, entry(2, 6, 5), []byte{4, 0, 4, 0}, nobody, entry(8, 7, 4), []byte{16, 0, 5, 0}, nobody, []byte{32, 0, 0, 0}, nobody)
)

func TestParse(t *testing.T) {
	t.Parallel()
	list, err := Parse(whole)
	if err != nil {
		t.Fatal(err)
	}
	if got := list.Group(); got != 4 {
		t.Errorf("the owning group may %o", got)
	}
	if diff := cmp.Diff([]Entry{{User, 4, 5}, {Group, 5, 4}}, list.Named()); diff != "" {
		t.Errorf("named, the mask taken off (-want +got):\n%s", diff)
	}
	var none List
	if none.Named() != nil || none.Group() != 0 {
		t.Error("no list gives something")
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for name, value := range map[string][]byte{
		"empty": {}, "another version": {3, 0, 0, 0}, "cut": whole[:len(whole)-1],
		"a tag": append(slices.Clone(whole), entry(3, 0, 0)...), "permissions": append(slices.Clone(whole), entry(2, 8, 0)...),
	} {
		if list, err := Parse(value); err == nil {
			t.Errorf("%s: read as %v", name, list)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(whole)
	f.Fuzz(func(t *testing.T, value []byte) {
		list, err := Parse(value)
		if err != nil {
			return
		}
		for _, e := range list.Named() {
			if e.Perm > 7 {
				t.Errorf("%v", e)
			}
		}
	})
}

// What is read of lists that setfacl made is what getfacl prints as effective.
func TestGetfaclAgrees(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.ACL)
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	words := []string{"---", "r--", "rw-", "r-x", "rwx", "-w-", "--x"}
	word := func() string { return words[random.IntN(len(words))] }
	var files []string
	for i := range 150 {
		file := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(file, nil, 0o640); err != nil {
			t.Fatal(err)
		}
		spec := fmt.Sprintf("u::%s,g::%s,o::%s", word(), word(), word())
		for range random.IntN(4) {
			spec += fmt.Sprintf(",u:%d:%s,g:%d:%s", random.IntN(70000), word(), random.IntN(70000), word())
		}
		if random.IntN(2) == 0 {
			spec += ",m::" + word()
		}
		if r := lab.Exec(t, "setfacl", "--set", spec, file); r.Code != 0 {
			t.Fatalf("setfacl %s: %s", spec, r.Stderr)
		}
		files = append(files, file)
	}
	out := lab.Exec(t, append([]string{"getfacl", "--numeric", "--absolute-names", "--all-effective"}, files...)...)
	if out.Code != 0 {
		t.Fatal(out.Stderr)
	}
	blocks := strings.Split(strings.TrimSpace(out.Stdout), "\n\n")
	if len(blocks) != len(files) {
		t.Fatalf("getfacl printed %d blocks for %d files", len(blocks), len(files))
	}
	lists := 0
	for i, block := range blocks {
		var buf [1024]byte
		n, err := unix.Getxattr(files[i], Access, buf[:])
		if err == unix.ENODATA {
			continue // the mode says all
		}
		if err != nil {
			t.Fatal(err)
		}
		list, err := Parse(buf[:n])
		if err != nil {
			t.Fatal(err)
		}
		lists++
		got := map[string]bool{"group::" + rwx(list.Group()): true}
		for _, e := range list.Named() {
			got[fmt.Sprintf("%s:%d:%s", map[Tag]string{User: "user", Group: "group"}[e.Tag], e.ID, rwx(e.Perm))] = true
		}
		want := map[string]bool{}
		for line := range strings.Lines(block) {
			if who, effective, found := strings.Cut(strings.TrimSpace(line), "#effective:"); found && !strings.HasPrefix(line, "user::") {
				who = strings.TrimSpace(who)
				want[who[:strings.LastIndex(who, ":")+1]+effective] = true
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-getfacl +got):\n%s", block, diff)
		}
	}
	if lists < 100 {
		t.Errorf("only %d of %d files have a list", lists, len(files))
	}
}

func rwx(perm uint8) string {
	return string([]byte{"-r"[perm>>2&1], "-w"[perm>>1&1], "-x"[perm&1]})
}
