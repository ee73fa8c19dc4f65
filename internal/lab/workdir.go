package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// workdir is a folder of temporary files, mounts below it and a cgroup of its
// name, all owned by this test process. The process holds a lock on it while it
// lives, so a folder whose lock is free was left by a killed test: newWorkdir
// removes such leftovers first. Nothing else is ever removed.
type workdir struct {
	path string
	lock *os.File // held, never released before the process ends or remove is called
}

const workdirPrefix = "hostguard-lab-"

// locks are those of all folders of this process. One that nothing refers to
// any more would be collected, closed, and with that let go.
var locks struct {
	sync.Mutex
	held []*os.File
}

// sweepOnce removes the leftovers of killed tests at this process's first use.
var sweepOnce sync.Once

// newWorkdir makes a folder below the system's temporary folder. kind is a word
// that tells a person what it is for.
func newWorkdir(kind string) (*workdir, error) {
	sweepOnce.Do(sweep)
	path, err := os.MkdirTemp("", workdirPrefix+kind+"-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder for the lab: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder for the lab: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	locks.Lock()
	locks.held = append(locks.held, lock)
	locks.Unlock()
	// Daemons of test hosts with other user ids pass through it.
	if err := os.Chmod(path, 0o711); err != nil {
		return nil, fmt.Errorf("cannot make a folder for the lab: %w", err)
	}
	return &workdir{path: path, lock: lock}, nil
}

// join returns a path inside the folder.
func (w *workdir) join(elem ...string) string {
	return filepath.Join(append([]string{w.path}, elem...)...)
}

// remove ends what runs in the folder's cgroup, unmounts what is mounted below
// the folder and deletes it.
func (w *workdir) remove() error {
	err := removeWork(w.path)
	w.lock.Close()
	return err
}

// sweep removes every lab folder that no living process holds.
func sweep() {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), workdirPrefix+"*"))
	for _, path := range left {
		lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR, 0)
		if err != nil {
			continue // being made, or not ours
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			if err := removeWork(path); err != nil {
				fmt.Fprintf(os.Stderr, "lab: cannot remove what an earlier test left: %v\n", err)
			}
		}
		lock.Close()
	}
}

func removeWork(path string) error {
	if err := removeCgroup(filepath.Base(path)); err != nil {
		return err
	}
	mounted, err := mountsBelow(path)
	if err != nil {
		return err
	}
	for _, point := range mounted {
		if err := unix.Unmount(point, unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("cannot unmount %s: %w", point, err)
		}
	}
	// nspawn keeps one folder per machine there and leaves it when /run is on disk.
	_ = os.Remove("/run/systemd/nspawn/propagate/" + filepath.Base(path))
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("cannot remove %s: %w", path, err)
	}
	return nil
}

// mountsBelow lists the mount points below a folder, the innermost first.
func mountsBelow(dir string) ([]string, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot list mounts: %w", err)
	}
	defer file.Close()
	var points []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			points = append(points, fields[4])
		}
	}
	sort.Slice(points, func(i, j int) bool { return len(points[i]) > len(points[j]) })
	return points, lines.Err()
}
