package host

import (
	"context"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestIdentityOfTree(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, content := range map[string]string{
		"etc/hostname":       "edge-01\n",
		"etc/machine-id":     "00112233445566778899aabbccddeeff\n",
		"usr/lib/os-release": "# a comment\nID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME='Debian GNU/Linux 12'\nHOME_URL=x\n",
		".dockerenv":         "",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := New(Options{Root: root}).Identity(t.Context())
	want := Identity{
		Hostname: "edge-01",
		OS:       OSRelease{ID: "debian", Version: "12", Name: "Debian GNU/Linux 12"},
	}
	if raw, _ := hex.DecodeString(got.Machine); len(raw) != 16 || strings.Contains(got.Machine, "0011") {
		t.Errorf("Machine = %q, want 16 bytes that are not the machine id", got.Machine)
	}
	got.Machine = ""
	if err != nil || got != want {
		t.Errorf("Identity() = %+v, %v; want %+v", got, err, want)
	}
}

func TestIdentityOfEmptyTree(t *testing.T) {
	t.Parallel()
	got, err := New(Options{Root: t.TempDir()}).Identity(t.Context())
	if err != nil || got != (Identity{}) {
		t.Errorf("Identity() = %+v, %v; want nothing and no error", got, err)
	}
}

func TestIdentityOfRunningHost(t *testing.T) {
	t.Parallel()
	got, err := New(Options{}).Identity(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		got  string
		args []string
	}{
		{got.Hostname, []string{"uname", "-n"}},
		{got.Kernel, []string{"uname", "-r"}},
		{got.Arch, []string{"uname", "-m"}},
		{got.Machine, []string{"systemd-id128", "machine-id", "--app-specific=" + hex.EncodeToString(application[:])}},
		{got.OS.Name, []string{"sh", "-c", `. /etc/os-release; echo "$PRETTY_NAME"`}},
	} {
		if _, err := exec.LookPath(c.args[0]); err != nil {
			continue
		}
		out, err := exec.Command(c.args[0], c.args[1:]...).Output()
		if err != nil {
			t.Errorf("%v: %v", c.args, err)
		}
		if want := strings.TrimSpace(string(out)); c.got != want {
			t.Errorf("Identity has %q, %v says %q", c.got, c.args, want)
		}
	}
}

func TestUnquoteShell(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		``: ``, `"`: `"`, `debian`: `debian`, `"a b"`: `a b`, `'a "b"'`: `a "b"`,
		`"a \"b\" \$ \\ \n"`: `a "b" $ \ \n`, `"open`: `"open`,
	} {
		if got := unquoteShell(in); got != want {
			t.Errorf("unquoteShell(%s) = %s, want %s", in, got, want)
		}
	}
}

func FuzzParseOSRelease(f *testing.F) {
	f.Add("ID=debian\nVERSION_ID=\"12\"\n")
	f.Add("ID='\n=\x00\"\\")
	f.Fuzz(func(t *testing.T, text string) {
		if r := parseOSRelease(text); len(r.ID)+len(r.Version)+len(r.Name) > len(text) {
			t.Errorf("parseOSRelease(%q) = %q: longer than its source", text, r)
		}
	})
}
