package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestFilesBelow(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	outside := t.TempDir()
	for _, dir := range []string{"log/d", "data"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.WriteFile(filepath.Join(root, "log/d/a"), nil, 0o604),
		os.WriteFile(filepath.Join(outside, "secret"), nil, 0o600),
		unix.Mkfifo(filepath.Join(root, "log/p"), 0o600),
		os.Symlink(outside, filepath.Join(root, "log/out")),
		os.Symlink("/log", filepath.Join(root, "data/log")),
		os.Symlink(outside, filepath.Join(root, "data/out")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	h := New(Options{Root: root})
	found, err := h.FilesBelow(t.Context(), "/data/log", 100)
	var paths []string
	for _, m := range found {
		paths = append(paths, fmt.Sprintf("%s %o", m.Path, m.Perm))
	}
	if got := strings.Join(paths, ", "); err != nil || got != "/data/log/d 755, /data/log/d/a 604, /data/log/out 777, /data/log/p 600" {
		t.Errorf("found %s, %v", got, err)
	}
	if _, err := h.FilesBelow(t.Context(), "/data/out", 100); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a link out of the tree was followed: %v", err)
	}
	if found, err := h.FilesBelow(t.Context(), "/log", 2); !errors.Is(err, ErrTooMany) || len(found) != 2 {
		t.Errorf("%d found, %v", len(found), err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := h.FilesBelow(ctx, "/log", 100); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("a walk that was called off: %v", err)
	}
	if m, err := h.FileMode("/log/out"); err != nil || !m.IsLink() {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := h.TargetMode("/data/log"); err != nil || !m.IsDir() || m.Perm != 0o755 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestFilesBelowIsBounded(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	deep := root
	for range maxTreeDepth + 2 {
		deep += "/d"
	}
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Root: root}).FilesBelow(t.Context(), "/", 1000); err == nil || !strings.Contains(err.Error(), "inside each other") {
		t.Errorf("a deep tree: %v", err)
	}
}

// Logs are rotated while they are looked at: that is no error.
func TestFilesBelowWhileTheyChange(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	h := New(Options{Root: root})
	done := make(chan struct{})
	t.Cleanup(func() { <-done })
	go func() {
		defer close(done)
		for i, end := 0, time.Now().Add(300*time.Millisecond); time.Now().Before(end); i++ {
			dir := fmt.Sprintf("%s/%d", root, i%50)
			_ = os.Mkdir(dir, 0o755)
			_ = os.WriteFile(dir+"/log", nil, 0o600)
			_ = os.Rename(dir+"/log", dir+"/log.1")
			_ = os.RemoveAll(fmt.Sprintf("%s/%d", root, (i+25)%50))
		}
	}()
	for {
		if _, err := h.FilesBelow(t.Context(), "/", 1000); err != nil {
			t.Fatal(err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}
