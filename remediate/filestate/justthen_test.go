package filestate

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
)

// stoppedAt runs an order, stops it right after its nth call of a kind, and has
// it go on after meanwhile. It returns what the process printed.
func stoppedAt(t *testing.T, o order, call string, n int, meanwhile func()) string {
	t.Helper()
	text, err := json.Marshal(o)
	must(t, err)
	trace := filepath.Join(t.TempDir(), "trace")
	var out strings.Builder
	cmd := exec.Command("/usr/bin/strace", "-f", "-q", "-o", trace, "-e", "trace="+call, "-e", "inject="+call+":signal=STOP:when="+strconv.Itoa(n), os.Args[0])
	cmd.Env = append(os.Environ(), helperVariable+"="+string(text))
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stopped := regexp.MustCompile(`(?m)^(\d+) +--- stopped by SIGSTOP`)
	for {
		select {
		case err := <-ended:
			t.Fatalf("it does not stop at %s %d: %v %s", call, n, err, out.String())
		case <-time.After(5 * time.Millisecond):
		}
		data, _ := os.ReadFile(trace)
		if m := stopped.FindSubmatch(data); m != nil {
			meanwhile()
			pid, err := strconv.Atoi(string(m[1]))
			must(t, err, unix.Kill(pid, unix.SIGCONT))
			break
		}
	}
	var exit *exec.ExitError
	if err := <-ended; err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String()
}

// Somebody makes, saves or removes the file when all is compared and written,
// right before it gets its name: his version stays.
func TestAFileThatIsSavedJustThen(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Strace)
	for _, c := range []struct {
		name      string
		old       string
		meanwhile func(t *testing.T, full string)
		want      string
	}{
		{"made", "", func(t *testing.T, full string) { must(t, os.WriteFile(full, []byte("theirs\n"), 0o644)) }, "theirs\n"},
		{"saved", "old\n", func(t *testing.T, full string) {
			must(t, os.WriteFile(full+".editor", []byte("theirs\n"), 0o644), os.Rename(full+".editor", full))
		}, "theirs\n"},
		{"saved as it was, with another mode", "old\n", func(t *testing.T, full string) {
			must(t, os.WriteFile(full+".editor", []byte("old\n"), 0o600), os.Rename(full+".editor", full))
		}, "old\n"},
		{"removed", "old\n", func(t *testing.T, full string) { must(t, os.Remove(full)) }, ""},
		{"replaced by a FIFO", "old\n", func(t *testing.T, full string) { must(t, os.Remove(full), unix.Mkfifo(full, 0o600)) }, "FIFO"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := order{Do: "move", Root: newRoot(t), Name: thing, From: State{Type: Absent}, To: NewFile([]byte("ours\n"), 0o644, 0, 0)}
			full := filepath.Join(o.Root, thing)
			if c.old != "" {
				must(t, os.WriteFile(full, []byte(c.old), 0o644))
				o.From = see(t, o.Root, thing, File)
			}
			out := stoppedAt(t, o, "fsync", 1, func() { c.meanwhile(t, full) })
			if strings.Contains(out, "done") {
				t.Errorf("it is done: %s", out)
			}
			if err := o.do("back"); c.name != "made" && !errors.Is(err, ErrConflict) {
				t.Errorf("back: %v", err)
			}
			entries, err := os.ReadDir(filepath.Dir(full))
			must(t, err)
			got, kept := "", 0
			for _, e := range entries {
				switch {
				case e.Type()&os.ModeNamedPipe != 0 && e.Name() == "thing":
					got = "FIFO"
				case e.Name() == "thing":
					data, err := os.ReadFile(full)
					must(t, err)
					got = string(data)
				case strings.HasSuffix(e.Name(), ".kept~"):
					kept++
				default:
					t.Errorf("%s is left", e.Name())
				}
			}
			if got != c.want || kept > 1 {
				t.Errorf("the file is %q, want %q; %d are kept: %s", got, c.want, kept, out)
			}
		})
	}
}
