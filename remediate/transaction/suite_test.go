package transaction

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The suite is tested itself: with one of the things that transactions stand on
// taken out of the program, by an overlay of the build, a test fails that is
// named here. It builds a dozen times: make prove asks for it.
func TestTheSuiteSeesWhatIsMissing(t *testing.T) {
	if os.Getenv("HOSTGUARD_SUITE") == "" {
		t.Skip("make prove")
	}
	for _, c := range []struct {
		missing   string
		file      string // below remediate/
		old, new  string
		pkg, test string
	}{
		{"the fsync of a new file", "filestate/write.go", "if err := f.Sync(); err != nil {", "if err := error(nil); err != nil {", "remediate/filestate", "TestWhatIsDurableWhen"},
		{"the fsync of its folder", "filestate/move.go", "if err := p.dir.Sync(); err != nil {", "if err := error(nil); err != nil {", "remediate/filestate", "TestWhatIsDurableWhen"},
		{"the exchange's check", "filestate/move.go", "err = p.tookOut(n.temp, from, old)\n", "err = nil\n", "remediate/filestate", "TestAFileThatIsSavedJustThen"},
		{"the look for late writers", "filestate/back.go", "return p.tookOut(n.temp, from, nil)", "_ = n; return nil", "remediate/filestate", "TestAnEditorWritesToWhatWasTakenOut"},
		{"the look at what is deleted", "filestate/back.go", "case !held.Equal(from) && !held.Equal(to):", "case false:", "remediate/filestate", "TestAnEditorWritesToWhatWasTakenOut"},
		{"the lease", "filestate/lease.go", "if !errors.Is(err, unix.EAGAIN) {", "if true || !errors.Is(err, unix.EAGAIN) {", "remediate/filestate", "TestAFileThatIsOpenForWriting"},
		{"a new file's own place", "filestate/move.go", "p.rename(n.part, p.base, unix.RENAME_NOREPLACE)", "p.rename(n.part, p.base, 0)", "remediate/filestate", "TestAFileThatIsSavedJustThen"},
		{"the owner of folders", "filestate/place.go", "case !trusted(st.Uid):", "case false:", "remediate/filestate", "TestWhatIsRefused"},
		{"the lock", "flock/flock.go", "unix.LOCK_EX|", "unix.LOCK_SH|", "cmd/hostguard", "TestTwoFixesAtOnce"},
		{"the journal's fsync", "statedir/statedir.go", "if err := f.Sync(); err != nil {\n\t\treturn fmt.Errorf(\"cannot make", "if err := error(nil); err != nil {\n\t\treturn fmt.Errorf(\"cannot make", "cmd/hostguard", "TestTheJournalIsAhead"},
		{"the record before a move", "transaction/apply.go", "if err := j.write(moving, n, \"\"); err != nil {", "if err := error(nil); err != nil {", "cmd/hostguard", "TestTheJournalIsAhead"},
		{"the re-check", "transaction/apply.go", "if err := recheck(ctx, rules); err != nil {", "if err := error(nil); err != nil {", "remediate/transaction", "TestEveryFailureIsTakenBack"},
		{"the last look before the commit", "transaction/apply.go", "return k.Settle(whole, thing, s.Before, s.After)", "return nil", "remediate/transaction", "TestEveryFailureIsTakenBack"},
	} {
		t.Run(c.missing, func(t *testing.T) {
			file, err := filepath.Abs(filepath.Join("..", c.file))
			if err != nil {
				t.Fatal(err)
			}
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Count(source, []byte(c.old)) == 0 {
				t.Fatalf("%s has no %q any more", c.file, c.old)
			}
			without := filepath.Join(t.TempDir(), "without.go")
			overlay := filepath.Join(t.TempDir(), "overlay.json")
			data, err := json.Marshal(map[string]map[string]string{"Replace": {file: without}})
			if err != nil {
				t.Fatal(err)
			}
			for name, content := range map[string][]byte{without: bytes.ReplaceAll(source, []byte(c.old), []byte(c.new)), overlay: data} {
				if err := os.WriteFile(name, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.Command("go", "test", "-count", "1", "-vet", "off", "-overlay", overlay, "-run", "^"+c.test+"$", "../../"+c.pkg).CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: "+c.test) {
				t.Errorf("%s does not see it: %v\n%s", c.test, err, out)
			}
		})
	}
}
