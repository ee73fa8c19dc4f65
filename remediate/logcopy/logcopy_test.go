package logcopy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/rotatedlogs"
	"github.com/hostguard/hostguard/remediate/flock"
)

var now = time.Date(2026, 2, 3, 12, 0, 0, 0, time.Local)

// helperVariable makes this program copy from the place that it names.
const helperVariable = "HOSTGUARD_LOGCOPY"

func TestMain(m *testing.M) {
	if base := os.Getenv(helperVariable); base != "" {
		s := place{base: base}
		r, err := Run(context.Background(), s.options(), s.sources())
		if err == nil && len(r.Failed) > 0 {
			err = errors.New(r.Failed[0].Why)
		}
		fmt.Println("done", err == nil, err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const gid = 4

// place is a host's tree with a volume and a folder for copies.
type place struct{ base string }

func (p place) root() string           { return filepath.Join(p.base, "root") }
func (p place) copies() string         { return filepath.Join(p.root(), "srv/logs") }
func (p place) volume(s string) string { return filepath.Join(p.base, "volume", s) }

func newPlace(t *testing.T) place {
	t.Helper()
	lab.Need(t, lab.Root)
	p := place{t.TempDir()}
	must(t, os.MkdirAll(filepath.Join(p.root(), "srv"), 0o755))
	must(t, os.Chmod(p.root(), 0o755))
	must(t, os.Mkdir(p.volume(""), 0o755))
	return p
}

func (p place) options() Options {
	return Options{Root: p.root(), Dir: "/srv/logs", GID: gid, Now: now, MaxTotal: 1 << 30, Limits: rotatedlogs.Usual}
}

func (p place) sources() []Source {
	root, err := os.Open(p.volume(""))
	if err != nil {
		panic(err)
	}
	defer root.Close()
	logs, _, err := rotatedlogs.Find(context.Background(), root, rotatedlogs.Usual)
	if err != nil {
		panic(err)
	}
	return []Source{{Owner: "ecc", Logs: logs, Open: func() (*os.File, error) { return os.Open(p.volume("")) }}}
}

func (p place) log(t *testing.T, name, text string) {
	t.Helper()
	at := p.volume(name)
	must(t, os.MkdirAll(filepath.Dir(at), 0o755))
	must(t, os.WriteFile(at, []byte(text), 0o600))
	must(t, os.Chtimes(at, now, now.Add(-time.Hour)))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// seen lists the folder: name, mode, group and content.
func (p place) seen(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(p.copies())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	must(t, err)
	var list []string
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		data, err := os.ReadFile(filepath.Join(p.copies(), e.Name()))
		must(t, err)
		if len(data) > 100 {
			data = fmt.Appendf(nil, "%d of %c", len(data), data[0])
		}
		list = append(list, fmt.Sprintf("%s %04o %d %s", e.Name(), info.Mode().Perm(), info.Sys().(*syscall.Stat_t).Gid, data))
	}
	return list
}

func wants(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%q, want\n%q", what, got, want)
	}
}

func TestCopies(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.log(t, "log/a-2026-02-02.0.gz", "yesterday")
	p.log(t, "log/a-2026-01-20.0.gz", "missed")
	p.log(t, "log/a-2026-02-03.0.gz", "today")
	p.log(t, "log/a-2026-02-01.0.gz", "fresh")
	must(t, os.Chtimes(p.volume("log/a-2026-02-01.0.gz"), now, now.Add(-time.Second)))

	o := p.options()
	o.DryRun = true
	r, err := Run(t.Context(), o, p.sources())
	if err != nil || !r.Made || len(r.Copied) != 2 || p.seen(t) != nil {
		t.Errorf("a dry run: %+v, %v", r, err)
	}
	r, err = Run(t.Context(), p.options(), p.sources())
	if err != nil || len(r.Copied) != 2 || len(r.Waiting) != 1 || r.Present != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	want := []string{"ecc+log+a-2026-01-20.0.gz 0440 4 missed", "ecc+log+a-2026-02-02.0.gz 0440 4 yesterday"}
	wants(t, "copies", p.seen(t), want)
	var st unix.Stat_t
	must(t, unix.Stat(p.copies(), &st))
	if st.Mode&0o7777 != 0o750 || st.Uid != 0 || st.Gid != gid {
		t.Errorf("the folder is %04o %d:%d", st.Mode&0o7777, st.Uid, st.Gid)
	}

	// A copy stays as it is, whatever becomes of its log.
	p.log(t, "log/a-2026-02-02.0.gz", "changed afterwards")
	r, err = Run(t.Context(), p.options(), p.sources())
	if err != nil || r.Present != 1 || len(r.Refused) != 1 || len(r.Copied) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	wants(t, "copies after a log was changed", p.seen(t), want)

	// Old ones go, other files stay, and what is gone is not copied again.
	must(t, os.WriteFile(filepath.Join(p.copies(), "notes-2020-01-01.gz"), nil, 0o600))
	o = p.options()
	o.Keep = 10
	r, err = Run(t.Context(), o, p.sources())
	if err != nil || !slices.Equal(r.Removed, []string{"ecc+log+a-2026-01-20.0.gz"}) || len(r.Copied) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	wants(t, "kept", p.seen(t), []string{want[1], "notes-2020-01-01.gz 0600 0 "})
}

func TestBounds(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for i := range 4 {
		p.log(t, fmt.Sprintf("a-2026-02-01.%d.gz", i), "0123456789")
	}
	o := p.options()
	o.MaxTotal = 25
	for _, want := range []int{2, 4, 4} {
		if _, err := Run(t.Context(), o, p.sources()); err != nil {
			t.Fatal(err)
		}
		if got := len(p.seen(t)); got != want {
			t.Errorf("%d copies, want %d", got, want)
		}
	}
	p.log(t, "b-2026-02-01.0.gz", "0123456789")
	o.MinFree = 1 << 60
	if r, err := Run(t.Context(), o, p.sources()); err != nil || len(r.Failed) != 1 || !strings.Contains(r.Failed[0].Why, "free") {
		t.Errorf("a full file system: %+v, %v", r, err)
	}
}

// Who fills his own volume, be it with holes, keeps nobody else's logs from being
// copied.
func TestOneVolumeDoesNotKeepOthersWaiting(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for i := range 9 {
		p.log(t, fmt.Sprintf("a-2026-01-01.%d.gz", i), "0123456789")
	}
	evil := p.sources()[0]
	evil.Owner = "evil"
	other := place{base: t.TempDir()}
	other.log(t, "b-2026-02-01.0.gz", "x")
	other.log(t, "b-2026-02-02.0.gz", "0123456789012345678901234567890")
	o := p.options()
	o.MaxTotal = 25
	r, err := Run(t.Context(), o, []Source{evil, other.sources()[0]})
	if err != nil || len(r.Copied) != 3 || r.Copied[1].Owner != "ecc" {
		t.Errorf("copied %+v, %v", r.Copied, err)
	}
	if len(r.Waiting) != 7 {
		t.Errorf("waiting: %+v", r.Waiting)
	}
	// What is larger than a run copies would wait for ever.
	if len(r.Refused) != 1 || r.Refused[0].Why != "it has 31 bytes, and one run copies 25 at most" {
		t.Errorf("refused: %+v", r.Refused)
	}
}

// Access lists of the folders do not come to life in copies.
func TestNoAccessListIsInherited(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.ACL)
	p := newPlace(t)
	p.log(t, "a-2026-02-01.gz", "x")
	for _, dir := range []string{"srv", "srv/logs"} {
		if dir == "srv/logs" {
			must(t, os.Remove(p.copies()+"/ecc+a-2026-02-01.gz"))
		}
		if out, err := exec.Command("setfacl", "-d", "-m", "u:1234:rwx", filepath.Join(p.root(), dir)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if _, err := Run(t.Context(), p.options(), p.sources()); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("getfacl", "-c", p.copies()+"/ecc+a-2026-02-01.gz").CombinedOutput()
		if err != nil || strings.Contains(string(out), "1234") {
			t.Errorf("%s: %v: %s", dir, err, out)
		}
	}
}

func TestFoldersThatAreNotTrusted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(t *testing.T, p place, o *Options)
		says    string
	}{
		"a link":       {func(t *testing.T, p place, _ *Options) { must(t, os.Symlink("/tmp", p.copies())) }, "links are not followed"},
		"a link above": {func(t *testing.T, p place, o *Options) { must(t, os.Symlink("srv", p.root()+"/s")); o.Dir = "/s/logs" }, "links are not followed"},
		"a user's": {func(t *testing.T, p place, _ *Options) {
			must(t, os.Mkdir(p.copies(), 0o755))
			must(t, os.Chown(p.copies(), 1000, 0))
		}, "belongs to uid 1000"},
		"below a user's":   {func(t *testing.T, p place, _ *Options) { must(t, os.Chown(p.root()+"/srv", 1000, 0)) }, "/srv: it belongs to uid 1000"},
		"everybody's":      {func(t *testing.T, p place, _ *Options) { must(t, os.Chmod(p.root()+"/srv", 0o1777)) }, "others than root can write"},
		"a file":           {func(t *testing.T, p place, _ *Options) { must(t, os.WriteFile(p.copies(), nil, 0o600)) }, "not a folder"},
		"a FIFO":           {func(t *testing.T, p place, _ *Options) { must(t, unix.Mkfifo(p.copies(), 0o600)) }, "not a folder"},
		"in a volume":      {func(_ *testing.T, _ place, o *Options) { o.Apart = []string{"/srv"} }, "apart from /srv"},
		"around a volume":  {func(_ *testing.T, _ place, o *Options) { o.Apart = []string{"/srv/logs/v"} }, "apart from"},
		"the root":         {func(_ *testing.T, _ place, o *Options) { o.Dir = "/" }, "absolute path"},
		"relative":         {func(_ *testing.T, _ place, o *Options) { o.Dir = "srv/logs" }, "absolute path"},
		"two levels short": {func(_ *testing.T, _ place, o *Options) { o.Dir = "/srv/x/logs" }, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.log(t, "a-2026-02-01.gz", "x")
			o := p.options()
			c.prepare(t, p, &o)
			if r, err := Run(t.Context(), o, p.sources()); err == nil || !strings.Contains(err.Error(), c.says) || len(r.Copied) > 0 {
				t.Errorf("%v, %+v, want %q", err, r, c.says)
			}
		})
	}
}

func TestTwoRunsAtOnce(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.log(t, "a-2026-02-01.gz", "x")
	if _, err := Run(t.Context(), p.options(), nil); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(p.copies())
	must(t, err)
	defer dir.Close()
	must(t, flock.Take(dir))
	var locked *flock.LockedError
	if _, err := Run(t.Context(), p.options(), p.sources()); !errors.As(err, &locked) {
		t.Errorf("%v", err)
	}
	if got := p.seen(t); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// A log that grows while it is read waits.
func TestALogThatGrows(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.log(t, "a-2026-02-01.gz", "x")
	sources := p.sources() // looked at, and then
	f, err := os.OpenFile(p.volume("a-2026-02-01.gz"), os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	f.WriteString("more")
	f.Close()
	if r, err := Run(t.Context(), p.options(), sources); err != nil || len(r.Waiting) != 1 || len(p.seen(t)) != 0 {
		t.Errorf("%+v, %v, %q", r, err, p.seen(t))
	}
}
