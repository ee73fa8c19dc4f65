package keys

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/checks/ssh"
	"github.com/hostguard/hostguard/internal/keyledger"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/ledgerfile"
)

const fingerprint = "SHA256:ryaW2gUuYVqaJmRePW4sg8BnpxlJj5r8ZsHv0/0Qwrs"

func TestPropose(t *testing.T) {
	t.Parallel()
	keys := []keyledger.Present{{Account: "operator", Key: fingerprint}}
	for name, c := range map[string]struct {
		repair          any
		changes, person int
	}{
		"no ledger yet":                     {ssh.Unrecorded{Keys: keys}, 1, 0},
		"a key that a ledger does not know": {ssh.Unrecorded{Started: true}, 0, 1},
		"a file that cannot be read":        {ssh.Unrecorded{Keys: keys, Unseen: true}, 0, 1},
		"nothing told":                      {nil, 0, 0},
	} {
		p := propose(remediate.Case{Finding: checks.Finding{Verdict: checks.Verdict{Status: checks.Fail, Repair: c.repair}}})
		if len(p.Changes) != c.changes || len(p.Person) != c.person {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func newRoot(t *testing.T) remediate.Thing {
	t.Helper()
	lab.Need(t, lab.Root)
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "var/lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	return remediate.Thing{Root: root, Target: keyledger.Dir, Mark: "m"}
}

func TestTheLedgerIsStartedAndTakenBack(t *testing.T) {
	t.Parallel()
	thing := newRoot(t)
	from, err := observe(thing.Root)
	if err != nil {
		t.Fatal(err)
	}
	to := started([]keyledger.Present{{Account: "operator", Key: fingerprint}, {Account: "an other", Key: fingerprint}})
	for range 2 {
		if err := start(thing, from, to); err != nil {
			t.Fatal(err)
		}
		now, err := observe(thing.Root)
		if err != nil || now.Events != 2 || strings.Join(now.Keys, "|") != strings.Join(to.Keys, "|") {
			t.Errorf("%+v %v, want %+v", now, err, to)
		}
		if err := start(thing, from, to); !remediate.IsConflict(err) {
			t.Errorf("started twice: %v", err)
		}
		for range 2 {
			if err := takeBack(thing, from, to); err != nil {
				t.Error(err)
			}
		}
		if now, err := observe(thing.Root); err != nil || now.Folder || len(now.Files) > 0 {
			t.Errorf("after taking it back: %+v %v", now, err)
		}
	}
}

// What was written into the ledger since is nobody's to take back.
func TestALedgerThatHasGrownStays(t *testing.T) {
	t.Parallel()
	thing := newRoot(t)
	from, _ := observe(thing.Root)
	to := started([]keyledger.Present{{Account: "operator", Key: fingerprint}})
	if err := start(thing, from, to); err != nil {
		t.Fatal(err)
	}
	store, err := ledgerfile.Open(thing.Root, false, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	events, err := store.Ledger.Note(keyledger.Informed, "operator", "", "Olivia", "test", "")
	if err == nil {
		err = store.Append(events, time.Now())
	}
	store.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := takeBack(thing, from, to); !remediate.IsConflict(err) {
		t.Errorf("taken back: %v", err)
	}
	if now, err := observe(thing.Root); err != nil || now.Events != 2 {
		t.Errorf("%+v %v", now, err)
	}
}

// What somebody put beside the ledger stays, and is no reason never to end.
func TestWhatLiesBesideTheLedgerStays(t *testing.T) {
	t.Parallel()
	thing := newRoot(t)
	from, _ := observe(thing.Root)
	to := started([]keyledger.Present{{Account: "operator", Key: fingerprint}})
	if err := start(thing, from, to); err != nil {
		t.Fatal(err)
	}
	note := filepath.Join(thing.Root, keyledger.Dir, "README")
	if err := os.WriteFile(note, []byte("see the wiki"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := takeBack(thing, from, to); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(note); err != nil {
		t.Error(err)
	}
}
