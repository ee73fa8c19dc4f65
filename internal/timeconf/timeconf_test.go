package timeconf

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/internal/lab"
)

// tree is a file tree in memory; a file's content "-> TARGET" makes it a link.
type tree map[string]string

func (t tree) fs() fstest.MapFS {
	m := fstest.MapFS{}
	for name, content := range t {
		m[strings.TrimPrefix(name, "/")] = &fstest.MapFile{Data: []byte(content)}
	}
	return m
}

func (t tree) ReadFile(name string) ([]byte, error) {
	return fs.ReadFile(t.fs(), strings.TrimPrefix(name, "/"))
}

func (t tree) ReadDir(name string) ([]fs.DirEntry, error) {
	return fs.ReadDir(t.fs(), strings.Trim(name, "/"))
}

func (t tree) Glob(pattern string) ([]string, error) {
	found, err := fs.Glob(t.fs(), strings.TrimPrefix(pattern, "/"))
	for i := range found {
		found[i] = "/" + found[i]
	}
	return found, err
}

func (t tree) Readlink(name string) (string, error) {
	if target, found := strings.CutPrefix(t[name], "-> "); found {
		return target, nil
	}
	return "", errors.New("not a link")
}

// real is the machine's own file system.
type real struct{}

func (real) ReadFile(name string) ([]byte, error)       { return os.ReadFile(name) }
func (real) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }
func (real) Readlink(name string) (string, error)       { return os.Readlink(name) }

// Glob is without dotfiles, as glob(3) is.
func (real) Glob(pattern string) ([]string, error) {
	found, err := filepath.Glob(pattern)
	return slices.DeleteFunc(found, func(name string) bool { return strings.HasPrefix(path.Base(name), ".") }), err
}

func sourceList(sources []Source) []string {
	var out []string
	for _, s := range sources {
		line := fmt.Sprintf("%s:%d %s %s", s.File, s.Line, s.Kind, s.Name)
		if s.Port != 0 {
			line += fmt.Sprintf(" port %d", s.Port)
		}
		if s.Offline {
			line += " offline"
		}
		if s.NoSelect {
			line += " noselect"
		}
		out = append(out, line)
	}
	return out
}

func TestSources(t *testing.T) {
	t.Parallel()
	chrony := func(t tree) (*Config, error) { return Chrony(t, "/etc/chrony/chrony.conf") }
	ntpsec := func(t tree) (*Config, error) { return NTPD(t, "/etc/ntpsec/ntp.conf", true) }
	ntp := func(t tree) (*Config, error) { return NTPD(t, "/etc/ntp.conf", false) }
	open := func(t tree) (*Config, error) { return OpenNTPD(t, "/etc/openntpd/ntpd.conf") }
	tests := map[string]struct {
		read     func(tree) (*Config, error)
		files    tree
		want     []string
		problems int
	}{
		"chrony: a plain file": {chrony, tree{"/etc/chrony/chrony.conf": "# server no\npool 2.debian.pool.ntp.org iburst\nSERVER  10.0.0.1 Port 1123 OFFLINE\n! peer no\n  % no\n;no\npeer p noselect\n"},
			[]string{"/etc/chrony/chrony.conf:2 pool 2.debian.pool.ntp.org", "/etc/chrony/chrony.conf:3 server 10.0.0.1 port 1123 offline", "/etc/chrony/chrony.conf:7 peer p noselect"}, 0},
		"chrony: confdir takes the first of equal names, in lexical order of names": {chrony, tree{
			"/etc/chrony/chrony.conf": "confdir /a /b /absent\nserver last", "/a/10.conf": "server a10", "/b/10.conf": "server b10", "/b/05.conf": "server b05", "/a/9.conf": "server a9", "/a/.0.conf": "server no", "/a/x.cfg": "server no"},
			[]string{"/b/05.conf:1 server b05", "/a/10.conf:1 server a10", "/a/9.conf:1 server a9", "/etc/chrony/chrony.conf:2 server last"}, 0},
		"chrony: a sourcedir file ends at a line without newline, other directives are skipped": {chrony, tree{
			"/etc/chrony/chrony.conf": "sourcedir /run/chrony-dhcp\n", "/run/chrony-dhcp/eth0.sources": "server dhcp1 iburst\nrefclock PHC /dev/ptp0\nserver\nserver dhcp2 iburst"},
			[]string{"/run/chrony-dhcp/eth0.sources:1 server dhcp1"}, 0},
		"chrony: include wants a plain name to exist": {chrony, tree{"/etc/chrony/chrony.conf": "include /etc/chrony/none/*.conf\ninclude /none\n"}, nil, 1},
		"chrony: a file that includes itself ends": {chrony, tree{"/etc/chrony/chrony.conf": "server a\ninclude /etc/chrony/chrony.conf\n"},
			slices.Repeat([]string{"/etc/chrony/chrony.conf:1 server a"}, chronyMaxInclude+1), 1},
		"chrony: reference clocks":         {chrony, tree{"/etc/chrony/chrony.conf": "refclock PHC /dev/ptp0 poll 3\nrefclock SHM\n"}, []string{"/etc/chrony/chrony.conf:1 refclock PHC /dev/ptp0"}, 1},
		"chrony: a server without a name":  {chrony, tree{"/etc/chrony/chrony.conf": "server\n"}, nil, 1},
		"chrony: an overlong line":         {chrony, tree{"/etc/chrony/chrony.conf": "server a" + strings.Repeat(" ", 3000) + "iburst\n"}, nil, 1},
		"chrony: a port that is none":      {chrony, tree{"/etc/chrony/chrony.conf": "server a port 99999\n"}, nil, 1},
		"chrony: no newline at the end":    {chrony, tree{"/etc/chrony/chrony.conf": "server a"}, []string{"/etc/chrony/chrony.conf:1 server a"}, 0},
		"chrony: carriage returns":         {chrony, tree{"/etc/chrony/chrony.conf": "server a\r\n"}, []string{"/etc/chrony/chrony.conf:1 server a"}, 0},
		"ntpd: comments, quotes and flags": {ntp, tree{"/etc/ntp.conf": "server -4 a iburst # b\npool \"p q\"\nrestrict source\n#server no\npeer x noselect\nserver \"unclosed\nSERVER no\n"}, []string{"/etc/ntp.conf:1 server a", "/etc/ntp.conf:2 pool p q", "/etc/ntp.conf:5 peer x noselect", "/etc/ntp.conf:6 server unclosed"}, 0},
		"ntpd: clocks of the machine": {ntp, tree{"/etc/ntp.conf": "server 127.127.1.0\nserver 127.127.28.0\nrefclock local\nrefclock shm unit 0\nbroadcastclient\n"},
			[]string{"/etc/ntp.conf:1 local 127.127.1.0", "/etc/ntp.conf:2 refclock 127.127.28.0", "/etc/ntp.conf:3 local local", "/etc/ntp.conf:4 refclock shm", "/etc/ntp.conf:5 broadcast broadcastclient"}, 0},
		"ntpd: includefile, relative and absent": {ntp, tree{"/etc/ntp.conf": "includefile ntp/more\nincludefile /absent\n", "/etc/ntp/more": "server m\nincludefile /etc/ntp/more\n"},
			slices.Repeat([]string{"/etc/ntp/more:1 server m"}, ntpMaxInclude), 2},
		"ntpsec: a folder included, and ntp.d beside the file": {ntpsec, tree{"/etc/ntpsec/ntp.conf": "includefile /inc\nserver a\n", "/inc/x.conf": "server x", "/inc/y": "server no", "/etc/ntpsec/ntp.d/1.conf": "server d"},
			[]string{"/inc/x.conf:1 server x", "/etc/ntpsec/ntp.conf:2 server a", "/etc/ntpsec/ntp.d/1.conf:1 server d"}, 0},
		"openntpd": {open, tree{"/etc/openntpd/ntpd.conf": "#server no\nservers pool.ntp.org weight 5\nserver a\nsensor *\nlisten on *\nserver\n"},
			[]string{"/etc/openntpd/ntpd.conf:2 pool pool.ntp.org", "/etc/openntpd/ntpd.conf:3 server a", "/etc/openntpd/ntpd.conf:4 refclock *"}, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := tt.read(tt.files)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, sourceList(c.Sources)); diff != "" {
				t.Errorf("sources (-want +got):\n%s", diff)
			}
			if len(c.Problems) != tt.problems {
				t.Errorf("problems %v, want %d", c.Problems, tt.problems)
			}
		})
	}
}

func TestAnAbsentFileIsAnError(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func() error{
		"chrony":   func() error { _, err := Chrony(tree{}, "/etc/chrony.conf"); return err },
		"ntpd":     func() error { _, err := NTPD(tree{}, "/etc/ntp.conf", true); return err },
		"openntpd": func() error { _, err := OpenNTPD(tree{}, "/etc/ntpd.conf"); return err },
	} {
		if err := read(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: error %v, want that the file does not exist", name, err)
		}
	}
}

func TestTimesyncd(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		files         tree
		ntp, fallback []string
		fallbackSet   bool
	}{
		"nothing configured": {tree{"/etc/systemd/timesyncd.conf": "[Time]\n#NTP=\n#FallbackNTP=a b\n"}, nil, nil, false},
		"no file at all":     {tree{}, nil, nil, false},
		"lists accumulate over drop-ins in order of names": {tree{
			"/etc/systemd/timesyncd.conf": "[Time]\nNTP=main\n", "/usr/lib/systemd/timesyncd.conf.d/20-b.conf": "[Time]\nNTP=b main\n", "/run/systemd/timesyncd.conf.d/10-a.conf": "[Time]\nNTP=a\n"},
			[]string{"/etc/systemd/timesyncd.conf:2 server main", "/run/systemd/timesyncd.conf.d/10-a.conf:2 server a", "/usr/lib/systemd/timesyncd.conf.d/20-b.conf:2 server b"}, nil, false},
		"an empty assignment resets": {tree{"/etc/systemd/timesyncd.conf": "[Time]\nNTP=main\nFallbackNTP=f\n", "/etc/systemd/timesyncd.conf.d/x.conf": "[Time]\nNTP=\nNTP=x\nFallbackNTP=\n"},
			[]string{"/etc/systemd/timesyncd.conf.d/x.conf:3 server x"}, nil, true},
		"the file in /etc wins over its namesake": {tree{"/etc/systemd/timesyncd.conf.d/x.conf": "[Time]\nNTP=etc\n", "/run/systemd/timesyncd.conf.d/x.conf": "[Time]\nNTP=run\n"},
			[]string{"/etc/systemd/timesyncd.conf.d/x.conf:2 server etc"}, nil, false},
		"a link to /dev/null masks": {tree{"/etc/systemd/timesyncd.conf.d/x.conf": "-> /dev/null", "/usr/lib/systemd/timesyncd.conf.d/x.conf": "[Time]\nNTP=lib\n"}, nil, nil, false},
		"other sections, spaces, continued lines": {tree{"/etc/systemd/timesyncd.conf": "NTP=no\n[Other]\nNTP=no\n[Time]\n NTP = a \\\n# comment\n  b\n;NTP=no\nntp=no\n"},
			[]string{"/etc/systemd/timesyncd.conf:5 server a", "/etc/systemd/timesyncd.conf:5 server b"}, nil, false},
		"fallback": {tree{"/etc/systemd/timesyncd.conf": "[Time]\nFallbackNTP=f g\n"}, nil, []string{"/etc/systemd/timesyncd.conf:2 server f", "/etc/systemd/timesyncd.conf:2 server g"}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := Timesyncd(tt.files)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.ntp, sourceList(c.NTP)); diff != "" {
				t.Errorf("NTP (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.fallback, sourceList(c.Fallback)); diff != "" {
				t.Errorf("FallbackNTP (-want +got):\n%s", diff)
			}
			if c.FallbackSet != tt.fallbackSet {
				t.Errorf("FallbackSet %v, want %v", c.FallbackSet, tt.fallbackSet)
			}
		})
	}
}

// TestChronyAgainstChronyd writes configurations by chance and compares the
// directives in effect with what the real chronyd prints.
func TestChronyAgainstChronyd(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Chrony)
	const chronyd = "/usr/sbin/chronyd"
	rng := rand.New(rand.NewPCG(32, 1))
	accepted := 0
	for i := range 150 {
		dir := t.TempDir()
		write := func(name, content string) {
			full := path.Join(dir, name)
			if err := os.MkdirAll(path.Dir(full), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for _, sub := range []string{"a", "b"} {
			for range rng.IntN(4) {
				write(fmt.Sprintf("%s/%d.conf", sub, rng.IntN(20)), chronyLines(rng, dir, 0))
			}
			write(sub+"/.hidden.conf", "server hidden\n")
		}
		write("chrony.conf", chronyLines(rng, dir, 2))

		name := path.Join(dir, "chrony.conf")
		r := chronyReader{files: real{}, config: &Config{}}
		if err := r.file(name, 0); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(chronyd, "-p", "-f", name).CombinedOutput()
		if (err != nil) != (len(r.config.Problems) > 0) {
			content, _ := os.ReadFile(name)
			t.Fatalf("case %d: chronyd says %v, %s; we found problems %v\n%s", i, err, out, r.config.Problems, content)
		}
		if err != nil {
			continue
		}
		accepted++
		want := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
		if len(out) == 0 {
			want = nil
		}
		if diff := cmp.Diff(want, r.lines); diff != "" {
			t.Fatalf("case %d (-chronyd +ours):\n%s", i, diff)
		}
	}
	if accepted < 50 {
		t.Errorf("chronyd accepted only %d configurations: the comparison says little", accepted)
	}
}

func chronyLines(rng *rand.Rand, dir string, includes int) string {
	var b strings.Builder
	for range 1 + rng.IntN(6) {
		lines := []string{
			fmt.Sprintf("server s%d iburst", rng.IntN(100)), fmt.Sprintf("  POOL\tp%d  maxsources 3 ", rng.IntN(100)),
			fmt.Sprintf("peer q%d offline noselect", rng.IntN(100)), "# server no", "!server no", " ; no", "%no", "",
			"server 192.0.2.1 port 1123", "refclock SHM 0 refid GPS", "driftfile /x", "rtcsync", "server x\r",
		}
		if rng.IntN(12) == 0 {
			lines = []string{"server", "refclock SHM", "include " + dir + "/none*.conf", "include " + dir + "/none"}
		}
		if includes > 0 && rng.IntN(3) == 0 {
			lines = []string{"include " + dir + "/a/*.conf", "confdir " + dir + "/a " + dir + "/b", "confdir " + dir + "/b " + dir + "/a " + dir + "/none",
				"sourcedir " + dir + "/a"}
		}
		b.WriteString(lines[rng.IntN(len(lines))])
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), map[bool]string{true: "\n", false: "x"}[rng.IntN(2) == 0])
}

// TestTimesyncdAgainstSystemd compares the order of files with that of
// systemd-analyze cat-config.
func TestTimesyncdAgainstSystemd(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Systemd)
	const analyze = "/usr/bin/systemd-analyze"
	rng := rand.New(rand.NewPCG(32, 2))
	for i := range 20 {
		root := t.TempDir()
		dirs := []string{"etc/systemd", "run/systemd", "usr/lib/systemd", "usr/local/lib/systemd"}
		write := func(name string) {
			full := path.Join(root, name)
			if err := os.MkdirAll(path.Dir(full), 0o755); err != nil {
				t.Fatal(err)
			}
			if rng.IntN(5) == 0 && strings.Contains(name, ".d/") {
				if err := os.Symlink("/dev/null", full); err != nil && !errors.Is(err, fs.ErrExist) {
					t.Fatal(err)
				}
				return
			}
			if _, err := os.Lstat(full); err == nil {
				return
			}
			if err := os.WriteFile(full, []byte("[Time]\nNTP=x\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		write("etc/systemd/timesyncd.conf")
		for range rng.IntN(12) {
			write(fmt.Sprintf("%s/timesyncd.conf.d/%d.conf", dirs[rng.IntN(len(dirs))], rng.IntN(12)))
		}
		out, err := exec.Command(analyze, "--root="+root, "cat-config", "systemd/timesyncd.conf").Output()
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for line := range strings.Lines(string(out)) {
			if name, found := strings.CutPrefix(line, "# "+root); found {
				name = strings.TrimSpace(name)
				if _, err := os.Readlink(path.Join(root, name)); err != nil { // a mask is printed as an empty file
					want = append(want, name)
				}
			}
		}
		c, err := Timesyncd(rooted{root})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, c.Files); diff != "" {
			t.Fatalf("case %d (-systemd +ours):\n%s\n%s", i, diff, out)
		}
	}
}

// rooted is the file tree below a folder.
type rooted struct{ root string }

func (r rooted) ReadFile(name string) ([]byte, error) { return os.ReadFile(path.Join(r.root, name)) }
func (r rooted) ReadDir(name string) ([]fs.DirEntry, error) {
	return os.ReadDir(path.Join(r.root, name))
}
func (r rooted) Readlink(name string) (string, error) { return os.Readlink(path.Join(r.root, name)) }
func (r rooted) Glob(pattern string) ([]string, error) {
	found, err := filepath.Glob(path.Join(r.root, pattern))
	for i := range found {
		found[i] = strings.TrimPrefix(found[i], r.root)
	}
	return found, err
}

func FuzzChrony(f *testing.F) {
	f.Add("server a iburst\ninclude /x\nconfdir /etc\nsourcedir /etc\n", "server b")
	f.Fuzz(func(t *testing.T, main, other string) {
		c, err := Chrony(tree{"/c": main, "/x": other, "/etc/a.conf": other, "/etc/a.sources": other}, "/c")
		checkSources(t, c, err)
	})
}

func FuzzTimesyncd(f *testing.F) {
	f.Add("[Time]\nNTP=a \\\nb\n", "[Time]\nNTP=\n")
	f.Fuzz(func(t *testing.T, main, dropin string) {
		c, err := Timesyncd(tree{"/etc/systemd/timesyncd.conf": main, "/run/systemd/timesyncd.conf.d/x.conf": dropin})
		if err != nil {
			t.Skip(err)
		}
		checkSources(t, &Config{Sources: append(c.NTP, c.Fallback...)}, nil)
	})
}

func FuzzNTPD(f *testing.F) {
	f.Add("server -4 a \"b\" # c\nincludefile x\n", "pool b")
	f.Fuzz(func(t *testing.T, main, other string) {
		c, err := NTPD(tree{"/e/ntp.conf": main, "/e/x": other, "/e/ntp.d/x.conf": other}, "/e/ntp.conf", true)
		checkSources(t, c, err)
		c, err = OpenNTPD(tree{"/e/ntp.conf": main}, "/e/ntp.conf")
		checkSources(t, c, err)
	})
}

// checkSources holds what every parser promises: a place for each source.
func checkSources(t *testing.T, c *Config, err error) {
	t.Helper()
	if err != nil {
		return
	}
	for _, s := range c.Sources {
		if s.Kind == "" || s.File == "" || s.Line < 1 {
			t.Errorf("source without a kind or place: %+v", s)
		}
	}
}
