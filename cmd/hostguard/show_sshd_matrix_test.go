package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lab"
)

// matrixAnswer is what a test reads of show sshd --matrix --format json.
type matrixAnswer struct {
	SchemaVersion string            `json:"schema_version"`
	Points        []json.RawMessage `json:"points"`
	Accounts      []struct {
		Name     string `json:"name"`
		CanLogIn bool   `json:"can_log_in"`
	} `json:"accounts"`
	Cells []struct {
		Account string `json:"account"`
		Keys    *int   `json:"keys"`
	} `json:"cells"`
	NotJudged []string `json:"not_judged"`
}

func askMatrix(t *testing.T, text string) matrixAnswer {
	t.Helper()
	var a matrixAnswer
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	if a.SchemaVersion != matrixSchema {
		t.Errorf("schema version %q", a.SchemaVersion)
	}
	return a
}

// inOwnEtc runs a shell script with a /etc that is its own, in which accounts
// come from nss-systemd(8), too.
func inOwnEtc(t *testing.T, script string) lab.Result {
	t.Helper()
	lab.Need(t, lab.Root, lab.SSHD)
	matches, err := filepath.Glob("/usr/lib/*/libnss_systemd.so.2")
	if err != nil || len(matches) == 0 {
		if os.Getenv("HOSTGUARD_REQUIRE") != "" {
			t.Fatal("libnss-systemd is not installed")
		}
		t.Skip("no second source of accounts: libnss-systemd is not installed")
	}
	dir := t.TempDir()
	setup := fmt.Sprintf(`mount -t tmpfs none %[1]s
mkdir %[1]s/upper %[1]s/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=%[1]s/upper,workdir=%[1]s/work /etc
mkdir -p /etc/userdb
record='{"userName":"eve","uid":5000,"gid":5001,"homeDirectory":"/home/eve","shell":"/bin/sh"}'
printf %%s "$record" > /etc/userdb/eve.user
printf %%s "$record" > /etc/userdb/5000.user
printf %%s '{"groupName":"staff-x","gid":5001}' > /etc/userdb/5001.group
printf 'passwd: files systemd\ngroup: files systemd\n' > /etc/nsswitch.conf
`, dir)
	r, err := lab.Command{Args: []string{"unshare", "--mount", "sh", "-euc", setup + script}}.Run()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// An account that only the system's resolver knows is in the matrix, by its
// groups too, and what is not known of it is said.
func TestMatrixOfAccountsFromElsewhere(t *testing.T) {
	t.Parallel()
	bin := lab.Binary(t)
	r := inOwnEtc(t, "printf 'UsePAM yes\\nAllowGroups staff-*\\n' > /etc/ssh/sshd_config; mkdir -p /run/sshd; exec "+bin+" show sshd --matrix --user eve --format json")
	if r.Code != 0 {
		t.Fatalf("code %d: %s", r.Code, r.Stderr)
	}
	a := askMatrix(t, r.Stdout)
	if len(a.Accounts) != 1 || !a.Accounts[0].CanLogIn || len(a.Cells) == 0 || a.Cells[0].Keys != nil {
		t.Errorf("eve: %+v", a)
	}
	if !strings.Contains(strings.Join(a.NotJudged, "\n"), "accounts from systemd in /etc/nsswitch.conf") {
		t.Errorf("not judged: %q", a.NotJudged)
	}
}

// A directory service that does not answer costs a moment, and is named.
func TestMatrixWithoutAnswerOfTheResolver(t *testing.T) {
	t.Parallel()
	bin := lab.Binary(t)
	started := time.Now()
	r := inOwnEtc(t, "printf '#!/bin/sh\\nsleep 60\\n' > /etc/silent; chmod 755 /etc/silent; mount --bind /etc/silent /usr/bin/getent; exec "+bin+" show sshd --matrix --format json")
	if r.Code != exitIncomplete || !strings.Contains(r.Stderr, "no answer within") {
		t.Errorf("code %d: %s", r.Code, r.Stderr)
	}
	if took := time.Since(started); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	askMatrix(t, r.Stdout)
}

// Fifty thousand accounts: bounded memory and time, every cell written.
func TestMatrixOfManyAccounts(t *testing.T) {
	t.Parallel()
	const accounts = 50_000
	root := t.TempDir()
	var passwd, group, shadow strings.Builder
	for i := range accounts {
		fmt.Fprintf(&passwd, "user%d:x:%d:%d::/home/user%d:/bin/sh\n", i, i+1000, i+1000, i)
		fmt.Fprintf(&group, "user%d:x:%d:\n", i, i+1000)
		fmt.Fprintf(&shadow, "user%d:$y$j9T$x$y:19000:0:99999:7:::\n", i)
	}
	for name, text := range map[string]string{
		"etc/passwd": passwd.String(), "etc/group": group.String(), "etc/shadow": shadow.String(), "bin/sh": "#!",
		"usr/sbin/sshd":       "\x7fELF\x00OpenSSH_9.2p1 Debian-2\x00libpam.so.0\x00",
		"etc/ssh/sshd_config": "Match Address 10.0.0.0/8\nPasswordAuthentication no\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h := host.New(host.Options{Root: root})
	m, err := lookAtMatrix(t.Context(), h, &showSSHDOptions{})
	if err != nil || m.unseen() != nil {
		t.Fatal(err, m.unseen())
	}
	var text strings.Builder
	if err := m.writeText(&text); err != nil {
		t.Fatal(err)
	}
	if written := new(countingWriter); m.writeJSON(written) != nil || written.lines < accounts*len(m.servers[0].Points) {
		t.Errorf("JSON has %d lines", written.lines)
	}
	if !strings.Contains(text.String(), "and 49994 more") {
		t.Errorf("the accounts are not put together:\n%.2000s", text.String())
	}
}

// countingWriter counts lines.
type countingWriter struct{ lines int }

func (w *countingWriter) Write(p []byte) (int, error) {
	w.lines += bytes.Count(p, []byte("\n"))
	return len(p), nil
}
