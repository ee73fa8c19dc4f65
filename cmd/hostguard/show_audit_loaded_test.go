package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

// What show audit --loaded prints is what auditctl -l prints, for rules of
// every form; HOSTGUARD_AUDIT_CASES says how many. None of them matches
// anything but files of the test.
func TestLoadedIsAuditctls(t *testing.T) {
	k := holdAudit(t)
	count := 100
	if n, err := strconv.Atoi(os.Getenv("HOSTGUARD_AUDIT_CASES")); err == nil {
		count = n
	}
	dir := t.TempDir()
	for _, name := range []string{"d", "with space"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(lab.Seed(t), 0))
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	var adds, removes []string
	for i := range count {
		fields := "-F path=" + dir + pick("/d", "/file", "/with\\ space", "/d/new")
		if random.IntN(2) == 0 {
			fields = "-F dir=" + dir + pick("/d", "/with\\ space", "")
		}
		// Calls without an arch are left out: auditctl prints their numbers as
		// calls of the rule before, whatever its arch is.
		calls := pick("", "-S all ", "-F arch=b64 ", "-F arch=b32 ")
		if strings.HasPrefix(calls, "-F") {
			calls += pick("", "-S all ", "-S open,openat ", "-S connect -S chmod -S 17 ")
		}
		rule := pick("always", "never") + ",exit " + calls + fields +
			pick("", " -F perm=wa", " -F perm=rwxa", " -F perm=x") + pick("", " -F auid!=unset", " -F uid>=1000 -F success=0", " -F exit=-EACCES", " -C auid!=uid") +
			pick(" -F key=", " -k ") + k.key + strconv.Itoa(i) + pick("", " -k "+k.key+"second")
		adds, removes = append(adds, "-a "+rule), append(removes, "-d "+rule)
	}
	load := func(name string, lines []string) {
		t.Helper()
		file := filepath.Join(k.etc, name)
		k.write(file, strings.Join(lines, "\n")+"\n")
		k.must("auditctl", "-R", "/etc/audit/"+name)
	}
	t.Cleanup(func() { load("remove.rules", removes) })
	load("add.rules", adds)
	want, got := k.must("auditctl", "-l"), k.must(k.bin, "show", "audit", "--loaded")
	if got == want {
		if n := strings.Count(want, k.key); n < count {
			t.Errorf("only %d of %d rules are loaded", n, count)
		}
		return
	}
	theirs, ours := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(theirs), len(ours)) {
		if theirs[i] != ours[i] {
			t.Fatalf("rule %d:\nauditctl  %s\nhostguard %s", i, theirs[i], ours[i])
		}
	}
	t.Fatalf("%d rules, auditctl lists %d", len(ours), len(theirs))
}
