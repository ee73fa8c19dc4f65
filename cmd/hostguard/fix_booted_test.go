package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/lab"
	mending "github.com/hostguard/hostguard/remediate/all"
	"github.com/hostguard/hostguard/rules"
)

// fixed runs fix on the host and returns its result and exit code.
func fixed(t *testing.T, h testHost, args ...string) (*fixResult, int) {
	t.Helper()
	result := h.Run(slices.Concat([]string{"hostguard", "fix", "--format", "json"}, patience(h), args)...)
	var r fixResult
	if err := json.Unmarshal([]byte(result.Stdout), &r); err != nil {
		t.Fatalf("cannot read the result: %v\n%s%s", err, result.Stdout, result.Stderr)
	}
	return &r, result.Code
}

// observed is what fix may change on a host: by path what a file is, and by unit
// how it stands.
type observed map[string]string

// where fix works, and what moves there by itself.
var (
	observedFolders = []string{"/etc", "/opt", "/srv", "/usr/local", "/home", "/root", "/var/spool/cron", "/var/lib", "/var/log"}
	restless        = []string{"/var/lib/hostguard/tx", "/var/lib/hostguard/watch-storage", "/var/lib/docker", "/var/lib/containerd", "/var/lib/systemd", "/var/lib/chrony", "/var/lib/private", "/var/log"}
)

// observe describes the host: content, owner, mode, access lists and other
// attributes of every file, and the state of every unit.
func observe(t *testing.T, h *lab.Host) observed {
	t.Helper()
	seen := observed{}
	for _, folder := range observedFolders {
		err := filepath.WalkDir(h.Path(folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name := strings.TrimPrefix(path, strings.TrimSuffix(h.Path("/"), "/"))
			if slices.Contains(restless, name) && name != "/var/log" {
				return filepath.SkipDir
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			content := func(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }
			if strings.HasPrefix(name, "/var/log/") { // only who may read it
				content = nil
			}
			seen[name], err = described(t, path, info, content)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(h.Must("systemctl", "list-unit-files", "--plain", "--no-legend")) {
		f := strings.Fields(line)
		seen["enabled "+f[0]] = f[1]
	}
	for line := range strings.Lines(h.Must("systemctl", "list-units", "--all", "--plain", "--no-legend", "--type=service,socket,timer,path")) {
		f := strings.Fields(line)
		switch {
		case f[2] == "active" && strings.HasSuffix(f[0], ".timer"):
			seen["active "+f[0]] = "waiting" // or its service runs just now
		case f[2] == "active":
			seen["active "+f[0]] = f[3]
		}
	}
	maps.DeleteFunc(seen, func(name, _ string) bool { // they come and go by themselves
		return strings.HasPrefix(name, "active systemd-") || strings.HasPrefix(name, "active user") || strings.HasPrefix(name, "active session")
	})
	return seen
}

// described is what a path is: mode, owner and attributes, where a link leads,
// and of a file what content makes of its content; nil: it is not read.
func described(t *testing.T, path string, info fs.FileInfo, content func([]byte) string) (string, error) {
	t.Helper()
	st := info.Sys().(*syscall.Stat_t)
	word := fmt.Sprintf("%v %d:%d%s", info.Mode(), st.Uid, st.Gid, attributes(t, path))
	switch {
	case content == nil:
		return word, nil
	case info.Mode().IsRegular():
		data, err := os.ReadFile(path)
		return word + " " + content(data), err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return word + " " + target, err
	}
	return word, nil
}

func attributes(t *testing.T, path string) string {
	t.Helper()
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if err != nil || n == 0 {
		return ""
	}
	var all []string
	for _, name := range strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		if strings.HasPrefix(name, "trusted.") {
			continue // the overlay's own
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf(" %s=%x", name, value[:n]))
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

// allFixes has every breakage mended that a remediator is for, and not only the
// first few of each: see make prove.
const allFixes = "HOSTGUARD_ALL_FIXES"

// A breakage of a rule that has a remediator: fix makes the rule pass, a second
// fix does nothing, and undo brings back the broken host as it was. What fix
// does not do it says.
func TestFixMendsWhatIsBrokenAndUndoBreaksItAgain(t *testing.T) {
	h := bootGood(t)
	mended := map[string]bool{} // by check
	tried := map[string]int{}
	for _, b := range fixable(t) {
		for _, rule := range slices.Sorted(maps.Keys(b.wants)) {
			check := rules.Embedded().Rule(rule).Check
			if _, found := mending.For(check); !found || b.wants[rule].status != checks.Fail {
				continue
			}
			if tried[check]++; os.Getenv(allFixes) == "" && (mended[check] && tried[check] > 2 || tried[check] > 6) {
				continue
			}
			t.Run(b.name+"/"+rule, func(t *testing.T) {
				h := h.For(t)
				defer b.undo(h)
				b.apply(h)
				if fixAndUndo(t, h, rule) {
					mended[check] = true
				}
			})
		}
	}
	for _, family := range mending.Families {
		for _, r := range family {
			if !mended[r.Check] && provenElsewhere[r.Check] == "" {
				t.Errorf("no breakage shows that the remediator of %s mends anything", r.Check)
			}
		}
	}
}

// provenElsewhere are the checks whose remediators a container cannot prove.
var provenElsewhere = map[string]string{
	// A container cannot ask the kernel: TestFixRecordsWhatMustBeRecorded, and in a machine TestAcceptanceFix.
	"audit-watch":      "the kernel's audit",
	"audit-rules-load": "the kernel's audit",
	"audit-daemon":     "the kernel's audit",
	"audit-status":     "the kernel's audit",
}

// fixAndUndo mends a rule and takes that back. Reports whether it was mended.
func fixAndUndo(t *testing.T, h *lab.Host, rule string) bool {
	t.Helper()
	broken := observe(t, h)
	first, code := fixed(t, h, "--only", rule)
	text, _ := json.MarshalIndent(struct{ *fixResult }{first}, "", " ")
	if first.Outcome == nothingToDo {
		if len(first.Person)+len(first.Pending) == 0 {
			t.Errorf("it is not mended, and nobody is told what to do: %s", text)
		}
		if diff := cmp.Diff(broken, observe(t, h)); diff != "" {
			t.Errorf("it did nothing, and yet (-before +after):\n%s", diff)
		}
		return false
	}
	if first.Outcome != applied {
		t.Errorf("%s with exit code %d: %s", first.Outcome, code, first.Error)
		return false
	}
	mended := statuses(first.After)[rule] == checks.Pass
	if !mended && len(first.Person)+len(first.Pending) == 0 {
		t.Errorf("%s is %v, and nobody is told why", rule, statuses(first.After)[rule])
	}
	done := observe(t, h)
	second, _ := fixed(t, h, "--only", rule)
	if second.Outcome != nothingToDo {
		t.Errorf("a second fix: %s %+v", second.Outcome, second.Steps)
	}
	if diff := cmp.Diff(done, observe(t, h)); diff != "" {
		t.Errorf("a second fix changed (-before +after):\n%s", diff)
	}
	if r := h.Run("hostguard", "undo"); r.Code != exitOK {
		t.Errorf("undo: exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if diff := cmp.Diff(broken, observe(t, h)); diff != "" {
		t.Errorf("after undo (-before fix +after undo):\n%s", diff)
	}
	return mended
}

// fixable are all breakages that a container knows.
func fixable(*testing.T) []breakage { return breakages() }
