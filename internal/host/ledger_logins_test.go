package host

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func acceptedLine(day, account, from, key string) string {
	return day + " 10:00:00 tc-1 sshd[7]: Accepted publickey for " + account + " from " + from + " port 9 ssh2: ED25519 " + key + "\n"
}

// The last login of each key is found over rotated and packed logs, beside what
// users can put into such a file or in its place.
func TestAcceptedLoginsOfLogFiles(t *testing.T) {
	t.Parallel()
	const key, other = "SHA256:R5qCw8pXHHjr5iqZJTpMlo2QOuFlfEq5p1kVPqCZrEs", "SHA256:86wuaZfhRL2QHHEdgWE0MmHv1SSZQ5IUqYCVmNTSqsA"
	packed := func(text string) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write([]byte(text)); err != nil || w.Close() != nil {
			t.Fatal("cannot pack")
		}
		return b.Bytes()
	}
	written := time.Date(2026, 4, 2, 12, 0, 0, 0, time.UTC)
	write := func(t *testing.T, root, name string, data []byte) {
		t.Helper()
		name = filepath.Join(root, "var/log", name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, written, written); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("rotated", func(t *testing.T) {
		t.Parallel()
		root := t.TempDir()
		write(t, root, "auth.log", []byte(strings.Repeat("x", 200_000)+"\n"+acceptedLine("Apr  1", "operator", "192.0.2.1", key)+"\x1b[2J\xff\n"+
			strings.TrimSuffix(acceptedLine("Apr  2", "operator", "192.0.2.99", key), "\n"))) // a line still being written
		write(t, root, "auth.log.1", []byte(acceptedLine("Mar  1", "operator", "192.0.2.2", key)+acceptedLine("Mar  2", "root", "192.0.2.3", key)))
		write(t, root, "auth.log.2.gz", packed(acceptedLine("Dec 24", "operator", "192.0.2.4", other)))
		l, err := New(Options{Root: root}).AcceptedLogins(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for at, want := range map[LoginKey]string{
			{"operator", key}:   "2026-04-01 192.0.2.1",
			{"root", key}:       "2026-03-02 192.0.2.3",
			{"operator", other}: "2025-12-24 192.0.2.4",
			{"root", other}:     "0001-01-01 ",
		} {
			if got := l.Last[at].Time.Format(time.DateOnly) + " " + l.Last[at].From; got != want {
				t.Errorf("%v: %s, want %s", at, got, want)
			}
		}
		if l.Source != "/var/log/auth.log" || l.Forged == "" {
			t.Errorf("from %q, forged %q", l.Source, l.Forged)
		}
	})
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		l, err := New(Options{Root: t.TempDir()}).AcceptedLogins(t.Context())
		if err != nil || len(l.Last) != 0 || l.Source == "" {
			t.Errorf("%+v, %v", l, err)
		}
	})
	t.Run("a FIFO", func(t *testing.T) {
		t.Parallel()
		root := t.TempDir()
		write(t, root, "x", nil)
		if err := unix.Mkfifo(filepath.Join(root, "var/log/auth.log"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Options{Root: root}).AcceptedLogins(t.Context()); err == nil || !strings.Contains(err.Error(), "/var/log/auth.log") {
			t.Errorf("a FIFO: %v", err)
		}
	})
	t.Run("a packed file that grows without end", func(t *testing.T) {
		t.Parallel()
		root := t.TempDir()
		write(t, root, "auth.log.1.gz", packed(strings.Repeat("\x00", 100<<20)))
		if _, err := New(Options{Root: root}).AcceptedLogins(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("100 GB", func(t *testing.T) {
		t.Parallel()
		root := t.TempDir()
		write(t, root, "auth.log", []byte(acceptedLine("Apr  1", "operator", "192.0.2.1", key)))
		if err := os.Truncate(filepath.Join(root, "var/log/auth.log"), 100<<30); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Options{Root: root}).AcceptedLogins(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
