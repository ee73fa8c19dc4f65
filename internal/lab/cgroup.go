package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// cgroupRoot is where this machine mounts the version 2 hierarchy: the only one,
// or beside version 1.
func cgroupRoot() (string, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("cannot find the cgroup hierarchy: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		if fields := strings.Fields(before); strings.HasPrefix(after, "cgroup2 ") && len(fields) > 4 {
			return fields[4], nil
		}
	}
	return "", errors.New("cannot find the cgroup hierarchy: no cgroup2 is mounted")
}

// makeCgroup makes a cgroup for one test host and opens its folder, so that a
// process can be started inside it.
func makeCgroup(name string) (*os.File, error) {
	root, err := cgroupRoot()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(root, name)
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("cannot make a cgroup: %w", err)
	}
	return os.Open(path)
}

// removeCgroup kills every process in the named cgroup and below and removes
// it. A name that is not there is nothing to do.
func removeCgroup(name string) error {
	root, err := cgroupRoot()
	if err != nil {
		return nil // none was ever made
	}
	path := filepath.Join(root, name)
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	if err := os.WriteFile(filepath.Join(path, "cgroup.kill"), []byte("1"), 0); err != nil {
		return fmt.Errorf("cannot end the processes of %s: %w", name, err)
	}
	empty := func() bool {
		events, err := os.ReadFile(filepath.Join(path, "cgroup.events"))
		return err != nil || strings.Contains(string(events), "populated 0")
	}
	if !poll(10*time.Second, empty) {
		return fmt.Errorf("cannot end the processes of %s: some live on", name)
	}
	var groups []string
	_ = filepath.WalkDir(path, func(group string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			groups = append(groups, group)
		}
		return nil
	})
	for i := len(groups) - 1; i >= 0; i-- {
		if err := os.Remove(groups[i]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove a cgroup: %w", err)
		}
	}
	return nil
}

// poll asks every few milliseconds until done says yes or the time is over.
func poll(timeout time.Duration, done func() bool) bool {
	for deadline := time.Now().Add(timeout); ; time.Sleep(5 * time.Millisecond) {
		if done() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}
