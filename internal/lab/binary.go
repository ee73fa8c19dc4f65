package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Binary returns the path of a static hostguard, built from this tree once per
// test process.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildBinary = sync.OnceValues(func() (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	dir, err := newWorkdir("bin")
	if err != nil {
		return "", err
	}
	// The go command of whoever runs the test, with its caches and settings.
	goCommand, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("cannot build hostguard: %w", err)
	}
	path := filepath.Join(dir.path, "hostguard")
	_, err = Command{
		Args:    []string{goCommand, "build", "-trimpath", "-o", path, "./cmd/hostguard"},
		Env:     append(os.Environ(), "CGO_ENABLED=0"),
		Dir:     root,
		Timeout: 5 * time.Minute,
	}.must()
	return path, err
})

// moduleRoot is the folder of go.mod, above the folder a test runs in.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cannot find the module: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("cannot find the module: no go.mod above the test")
		}
		dir = parent
	}
}
