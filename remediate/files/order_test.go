package files

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/checks/files"
	"github.com/hostguard/hostguard/internal/config"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/filestate"
)

// A folder and a file in it that are both somebody's: one plan mends both, the
// folder first, whichever was found first. After that there is nothing to do.
func TestAFolderIsClosedBeforeWhatLiesInIt(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	owner := new(uint32)
	folder := files.Narrow{Path: "/var/log/app", Owner: owner, Perm: 0o755}
	file := files.Narrow{Path: "/var/log/app/a.log", Owner: owner, Perm: 0o640}
	for name, found := range map[string]struct {
		list  []files.Narrow
		want  []string
		tasks int
	}{
		"the folder first":          {[]files.Narrow{folder, file}, []string{"/var/log/app", "/var/log/app/a.log"}, 0},
		"the file first":            {[]files.Narrow{file, folder}, []string{"/var/log/app", "/var/log/app/a.log"}, 0},
		"the folder stays as it is": {[]files.Narrow{file}, []string{"/var/log/app/a.log"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			at := filepath.Join(root, "/var/log/app")
			if err := os.MkdirAll(at, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, data := range map[string]string{"etc/machine-id": "0123456789abcdef0123456789abcdef\n", "var/log/app/a.log": ""} {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(root, name), []byte(data), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{at, at + "/a.log"} {
				if err := os.Chown(name, 1000, 0); err != nil {
					t.Fatal(err)
				}
			}
			plan := func() *remediate.Plan {
				var findings []checks.Finding
				for _, n := range found.list { // each of a rule of its own
					v := checks.Failed("it lets in too many")
					v.Repair = files.Repair{Files: []files.Narrow{n}}
					findings = append(findings, checks.Finding{Rule: n.Path, Verdict: v})
				}
				w := remediate.Collect(findings, func(string) string { return "file-mode" }, func(string) string { return "" }, Remediators, nil, &config.Config{})
				p, err := remediate.Resolve(t.Context(), host.New(host.Options{Root: root}), w)
				if err != nil {
					t.Fatal(err)
				}
				return p
			}
			p := plan()
			var targets []string
			for _, s := range p.Steps {
				targets = append(targets, s.Target)
				if err := filestate.ModeKind.Move(t.Context(), remediate.Thing{Root: root, Target: s.Target, Mark: "t"}, s.Before, s.After); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(found.want, targets); diff != "" || len(p.Person) != found.tasks {
				t.Errorf("steps (-want +got):\n%s\nfor a person: %v", diff, p.Person)
			}
			if again := plan(); !again.Empty() {
				t.Errorf("a second plan moves %s", again.Steps[0].Target)
			}
		})
	}
}
