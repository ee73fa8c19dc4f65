package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/remediate/transaction"
)

// Whoever repeats an undo that was cut off means the same transaction, and not
// the one before it.
func TestAnUndoThatIsRepeatedTakesBackOne(t *testing.T) {
	t.Parallel()
	c := newCrashTree(t)
	for _, rule := range []string{"AUD-001", "AUD-010"} {
		if out, code := c.run(t, []string{"hostguard", "fix", "--root", c.mount, "--only", rule}); !strings.Contains(out, "Done: ") {
			t.Fatalf("fix of %s: %d %s", rule, code, out)
		}
	}
	points := c.copy(t).pointsOf(t, "undo")
	i := slices.IndexFunc(points, func(p point) bool { return p.call == "unlinkat" || p.call == "renameat2" })
	if i < 0 {
		t.Fatalf("undo moves nothing: %v", points)
	}
	if out, _, hit := c.inject(t, "undo", points[i], kill); !hit {
		t.Fatalf("undo was not killed: %s", out)
	}
	if out, code := c.hostguard(t, "undo"); code != exitOK || strings.Count(out, "Taken back: ") != 1 {
		t.Errorf("undo: %d %s", code, out)
	}
	history, err := (&transaction.Engine{Root: c.root, Now: time.Now}).History()
	if err != nil || len(history) != 2 || history[0].State != transaction.Committed || history[1].State != transaction.Undone {
		t.Errorf("history: %+v %v", history, err)
	}
}

// What an administrator has removed together with its folder is no reason to
// leave the rest as fix made it.
func TestUndoAfterAFolderWasRemoved(t *testing.T) {
	t.Parallel()
	c := newCrashTree(t)
	if out, code := c.hostguard(t, "fix"); !strings.Contains(out, "Done: ") {
		t.Fatalf("fix: %d %s", code, out)
	}
	if err := os.RemoveAll(filepath.Join(c.root, "etc/audit/rules.d")); err != nil {
		t.Fatal(err)
	}
	if out, code := c.hostguard(t, "undo"); code != exitOK && code != exitLeft || !strings.Contains(out, "Taken back: ") {
		t.Errorf("undo: %d %s", code, out)
	}
	now := c.tree(t)
	for _, name := range changes(c.before, now) {
		if !strings.HasPrefix(name, "/etc/audit/rules.d") {
			t.Errorf("%s: %q, and before %q", name, now[name], c.before[name])
		}
	}
	history, err := (&transaction.Engine{Root: c.root, Now: time.Now}).History()
	if err != nil || len(history) != 1 || history[0].State != transaction.Undone {
		t.Errorf("history: %+v %v", history, err)
	}
}
