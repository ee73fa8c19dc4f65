package lab

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// CacheVariable names the environment variable with the folder of what is
// costly to make: the Debian tree, the virtual machine's disk.
const CacheVariable = "HOSTGUARD_LAB_CACHE"

func cacheDir() string {
	if dir := os.Getenv(CacheVariable); dir != "" {
		return dir
	}
	return "/var/cache/hostguard-lab"
}

// product is something costly that is made once and kept under a name that
// holds a hash of everything it is made from, so a changed recipe makes a new one.
type product struct {
	kind    string             // "tree", "disk"
	recipe  []string           // every text that decides what comes out
	produce func(string) error // makes the folder of the given name, which does not exist
}

func (p product) path() string {
	sum := sha256.New()
	for _, text := range p.recipe {
		fmt.Fprintf(sum, "%d\n%s", len(text), text)
	}
	return filepath.Join(cacheDir(), fmt.Sprintf("%s-%x", p.kind, sum.Sum(nil)[:8]))
}

// get returns the folder of the product, made now if it is not there. Other
// processes that want it meanwhile wait. Products of older recipes that nobody
// uses are removed.
func (p product) get() (string, error) {
	path := p.path()
	held := holdOf(path)
	held.Lock()
	defer held.Unlock()
	if held.lock != nil {
		return path, nil
	}
	if err := os.MkdirAll(cacheDir(), 0o755); err != nil {
		return "", fmt.Errorf("cannot make the lab's cache: %w", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", fmt.Errorf("cannot lock the lab's cache: %w", err)
	}
	if err := p.makeOnce(path, lock); err != nil {
		lock.Close()
		return "", err
	}
	held.lock = lock
	return path, nil
}

// hold is this process's use of a product: the lock, once held, is shared with
// other processes until this one ends, and says that the product must stay.
type hold struct {
	sync.Mutex
	lock *os.File
}

var (
	holdsMutex sync.Mutex
	holds      = map[string]*hold{}
)

func holdOf(path string) *hold {
	holdsMutex.Lock()
	defer holdsMutex.Unlock()
	if holds[path] == nil {
		holds[path] = new(hold)
	}
	return holds[path]
}

// makeOnce returns with the product made and a shared lock held.
func (p product) makeOnce(path string, lock *os.File) error {
	for {
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_SH); err != nil {
			return fmt.Errorf("cannot lock the lab's cache: %w", err)
		}
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
			return fmt.Errorf("cannot lock the lab's cache: %w", err)
		}
		if _, err := os.Stat(path); err == nil {
			continue // made by another process meanwhile
		}
		if err := p.make(path); err != nil {
			return err
		}
		p.removeOlder(path)
	}
}

// make produces the folder under a passing name: what is under the final name
// is whole.
func (p product) make(path string) error {
	unfinished := path + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("cannot remove an unfinished %s: %w", p.kind, err)
	}
	start := time.Now()
	fmt.Fprintf(os.Stderr, "lab: making the %s, once\n", p.kind)
	if err := p.produce(unfinished); err != nil {
		return fmt.Errorf("cannot make the lab's %s: %w", p.kind, err)
	}
	fmt.Fprintf(os.Stderr, "lab: made the %s in %.0f s\n", p.kind, time.Since(start).Seconds())
	return os.Rename(unfinished, path)
}

func (p product) removeOlder(current string) {
	all, _ := filepath.Glob(filepath.Join(cacheDir(), p.kind+"-*.lock"))
	for _, lockPath := range all {
		path := strings.TrimSuffix(lockPath, ".lock")
		lock, err := os.OpenFile(lockPath, os.O_RDWR, 0)
		if path == current || err != nil {
			continue
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.RemoveAll(path)
			_ = os.RemoveAll(path + ".new")
			_ = os.Remove(lockPath)
		}
		lock.Close()
	}
}

//go:embed packages.txt
var packageList string

// packages lists the packages for one use, see packages.txt.
func packages(use string) []string {
	var names []string
	for line := range strings.Lines(packageList) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == use {
			names = append(names, fields[1])
		}
	}
	return names
}

//go:embed tree.sh
var treeScript string

// baseTree is the Debian that every test host is a copy of.
func baseTree() (string, error) { return treeProduct().get() }

func treeProduct() product {
	own, next := strings.Join(packages("host"), " "), strings.Join(packages("next"), " ")
	return product{
		kind:    "tree",
		recipe:  []string{treeScript, own, next},
		produce: func(path string) error { return runScript(treeScript, []string{path, own, next}) },
	}
}

// runScript runs one of the lab's scripts with the environment of the test,
// which may say how the network is reached.
func runScript(script string, args []string) error {
	_, err := Command{
		Args:    append([]string{"/bin/sh", "-eu", "-c", script, "sh"}, args...),
		Env:     append(os.Environ(), "PATH="+searchPath, "LC_ALL=C.UTF-8"),
		Timeout: 20 * time.Minute,
	}.must()
	return err
}

// Tree returns a folder that holds a fresh, writable copy of the Debian of the
// test hosts, for tests that read one with --root. It goes with the test.
func Tree(t testing.TB) string {
	t.Helper()
	Need(t, Booted)
	work, root, err := copyTree("tree")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := work.remove(); err != nil {
			t.Error(err)
		}
	})
	return root
}

// copyTree mounts a writable copy of the base tree in a new work folder.
func copyTree(kind string) (*workdir, string, error) {
	base, err := baseTree()
	if err != nil {
		return nil, "", err
	}
	work, err := newWorkdir(kind)
	if err != nil {
		return nil, "", err
	}
	root := work.join("root")
	for _, dir := range []string{root, work.join("upper"), work.join("overlay")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, "", fmt.Errorf("cannot copy the tree: %w", err)
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", base, work.join("upper"), work.join("overlay"))
	if err := unix.Mount("overlay", root, "overlay", 0, options); err != nil {
		return nil, "", fmt.Errorf("cannot copy the tree: cannot mount an overlay on %s: %w", root, err)
	}
	return work, root, nil
}
