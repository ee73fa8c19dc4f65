package filestate

import (
	"os"

	"path/filepath"

	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

const id = "20260301T120000-1a2b"

// newRoot is a tree of root's with the folder etc.
func newRoot(t testing.TB) string {
	t.Helper()
	lab.Need(t, lab.Root)
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

func write(t testing.TB, root, name, content string) string {
	t.Helper()
	full := filepath.Join(root, name)
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return full
}

func see(t testing.TB, root, name string, as Type) State {
	t.Helper()
	var s State
	var err error
	if as == FileMeta || as == FolderMeta {
		s, err = ObserveMeta(root, name)
	} else {
		s, err = observe(root, name, as)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAFileIsReplacedAndGivenBack(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	write(t, root, "etc/a.conf", "old\n")
	from := see(t, root, "/etc/a.conf", File)
	to := from.WithContent([]byte("new\n"))
	if err := Move(root, "/etc/a.conf", from, to, id); err != nil {
		t.Fatal(err)
	}
	if err := Settle(root, "/etc/a.conf", from, to, id); err != nil {
		t.Fatal(err)
	}
	if got := see(t, root, "/etc/a.conf", File); !got.Equal(to) {
		t.Errorf("%+v", got)
	}
	if err := Back(root, "/etc/a.conf", from, to, id); err != nil {
		t.Fatal(err)
	}
	if got := see(t, root, "/etc/a.conf", File); !got.Equal(from) {
		t.Errorf("%+v", got)
	}
	entries, err := os.ReadDir(filepath.Join(root, "etc"))
	if err != nil || len(entries) != 1 {
		t.Errorf("%v %v", entries, err)
	}
}
