package host

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

// Lines that people and tools do not write, and that the C library takes for
// accounts all the same, or does not.
const (
	oddPasswd = "short:x:0:0\nsix:x:2001:0::/home\nspace:x: 0:0::/:/bin/sh\nplus:x:+0:0::/:/bin/sh\nminus:x:-0:0::/:/bin/sh\nhex:x:0x0:0::/:/bin/sh\n" +
		"zeros:x:000:0::/:/bin/sh\nbig:x:4294967296:0::/:/bin/sh\nneg:x:-1:0::/:/bin/sh\nafter:x:0 :0::/:/bin/sh\n \t\vlead:x:0:0::/:/bin/sh\nnouid:x::0::/:/bin/sh\n" +
		"hash#:x:7:0::/:/bin/sh\n#comment:x:7:0::/:/bin/sh\nthree:x:0\nextra:x:5:0::/:/bin/sh:more\ntab:x:\t0:0::/:/bin/sh\ncr:x:0:0::/:/bin/sh\r\n" +
		"gid:x:9: 0::/:/bin/sh\ntwice:x:x:0::/:/bin/sh\ntwice:x:11:0::/:/bin/sh\nlast:x:77:0::/:/bin/sh"
	oddGroup = "short:x:3000\nspace:x: 3001:root\nempty:x::root\nblank:x:3002:\troot , bin\nmissing:x:3004:root,,bin\ntwo:x:3005:root bin\nsign:x:+3006:bin\ncr:x:3007:bin\r\n"
)

// getent answers from the given files in a mount namespace of its own.
func getent(t *testing.T, dir string, args ...string) string {
	t.Helper()
	script := `for f in passwd group; do mount --bind "$0/$f" /etc/$f || exit 99; done; exec "$@"`
	out, err := exec.Command("unshare", append([]string{"--mount", "sh", "-c", script, dir}, args...)...).Output()
	if code := err; code != nil && len(out) == 0 && strings.Contains(code.Error(), "99") {
		t.Fatalf("cannot ask getent: %v", err)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// An account that the C library sees and hostguard does not would be judged by
// nobody: a line of four words is enough for one.
func TestAccountsAreThoseOfTheCLibrary(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	dir := t.TempDir()
	for name, content := range map[string]string{
		"passwd": "root:x:0:0:root:/root:/bin/sh\nbin:x:2:2:bin:/bin:/usr/sbin/nologin\n" + oddPasswd,
		"group":  "root:x:0:\nbin:x:2:\n" + oddGroup,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	a := parseAccounts([]byte("root:x:0:0:root:/root:/bin/sh\nbin:x:2:2:bin:/bin:/usr/sbin/nologin\n"+oddPasswd), []byte("root:x:0:\nbin:x:2:\n"+oddGroup), nil, nil)

	script := `for u in short six space plus minus hex zeros big neg after lead nouid 'hash#' '#comment' three extra tab cr gid twice last; do
		printf '%s=' "$u"; id -u "$u" 2>/dev/null || echo; done`
	for line := range strings.SplitSeq(getent(t, dir, "sh", "-c", script), "\n") {
		name, want, _ := strings.Cut(line, "=")
		got := ""
		if u := a.User(name); u != nil {
			got = fmt.Sprint(u.UID)
		}
		if got != want {
			t.Errorf("the uid of %s is %q, to the C library %q", name, got, want)
		}
	}
	for _, name := range []string{"short", "six", "lead", "cr"} {
		u := a.User(name)
		if u == nil {
			continue // said above
		}
		got := fmt.Sprintf("%s:x:%d:%d::%s:%s", u.Name, u.UID, u.GID, u.Home, u.Shell)
		if want := getent(t, dir, "getent", "passwd", name); got != want {
			t.Errorf("%s is %q, to the C library %q", name, got, want)
		}
	}
	for _, name := range []string{"root", "bin"} {
		if got, want := strings.Join(a.GroupsOf(name), " "), getent(t, dir, "id", "-Gn", name); got != want {
			t.Errorf("the groups of %s are %q, to the C library %q", name, got, want)
		}
	}
	for _, name := range []string{"short", "space", "empty", "blank", "missing", "two", "sign", "cr"} {
		if got, want := a.Group(name) != nil, getent(t, dir, "getent", "group", name) != ""; got != want {
			t.Errorf("the group %s is there: %v, to the C library: %v", name, got, want)
		}
	}
}
