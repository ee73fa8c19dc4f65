package auditrule

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

func merge(awk Awk, files ...string) string {
	var sources []Source
	for i := 0; i < len(files); i += 2 {
		sources = append(sources, Source{Name: files[i], Path: "/etc/audit/rules.d/" + files[i], Data: []byte(files[i+1])})
	}
	lines := strings.Split(string(Merge(sources, awk).Bytes()), "\n")
	return strings.Join(lines[1:len(lines)-1], "|")
}

// Case 16 of the cases a host auditor gets wrong: how rules.d becomes one file.
func TestMerge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ got, want string }{
		"16 natural order":            {merge(Gawk, "10-b.rules", "b\n", "9-a.rules", "a\n"), "|||a|b|"},
		"16 conf and dotfiles do not": {merge(Gawk, "a.conf", "x\n", ".b.rules", "y\n", "c.rules", "z\n"), "|||z|"},
		"16 hoisted lines":            {merge(Gawk, "a.rules", "w\n-e 1\n-D\n-f 1\n-b 8\n", "b.rules", "-b 9\n-e 2\nx\n"), "-D|-b 9|-f 1|w|x|-e 2"},
		"16 glue":                     {merge(Gawk, "a.rules", "-w /a", "b.rules", "-w /b\nc\n"), "|||-w /a-w /b|c|"},
		"16 gawk hoists indented":     {merge(Gawk, "a.rules", "  -e 2\n # no\n-w /a\n"), "|||-w /a|  -e 2"},
		"16 mawk does not":            {merge(Mawk, "a.rules", "  -e 2\n # kept\n-w /a\n"), "|||  -e 2| # kept|-w /a|"},
		"mawk takes s for space":      {merge(Mawk, "a.rules", "s-e 2\ns#x\n-Ds\n"), "-Ds|||s-e 2"},
		"-D with a key stays":         {merge(Gawk, "a.rules", "-w /a\n-D -k x\n"), "|||-w /a|-D -k x|"},
		"nothing":                     {merge(Gawk), "|||"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", name, c.got, c.want)
		}
	}
}

// Case 16: of several switches the last one holds; the others are named.
func TestMergeNamesOverriddenSwitches(t *testing.T) {
	t.Parallel()
	m := Merge([]Source{
		{Name: "a.rules", Path: "a", Data: []byte("-D\n-b 64\n-e 1\n-w /a\n")},
		{Name: "b.rules", Path: "b", Data: []byte("-b 8192\n-e 2\n-f 1\n")},
	}, Gawk)
	var got []string
	for _, l := range m.Overridden {
		got = append(got, l.Pos.String()+" "+l.Text)
	}
	if want := "a:2 -b 64|a:3 -e 1"; strings.Join(got, "|") != want {
		t.Errorf("%q, want %s", got, want)
	}
}

func TestMergeSaysWhereLinesComeFrom(t *testing.T) {
	t.Parallel()
	m := Merge([]Source{
		{Name: "9-a.rules", Path: "/d/9-a.rules", Data: []byte("# c\n-w /a\n-e 1")},
		{Name: "10-b.rules", Path: "/d/10-b.rules", Data: []byte("-w /glued\n-w /b\n")},
	}, Gawk)
	var got []string
	for _, l := range m.Lines {
		if l.Text != "" {
			got = append(got, l.Pos.String()+" "+l.Text)
		}
	}
	want := "kernel audit rule " + generatedHeader + "|/d/9-a.rules:2 -w /a|/d/10-b.rules:2 -w /b|/d/9-a.rules:3 -e 1-w /glued"
	if strings.Join(got, "|") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "|"), want)
	}
}

func TestMergeDoubts(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b.rules", "x*.rules", "é.rules"} {
		if m := Merge([]Source{{Name: name, Data: []byte("-w /a\n")}}, Gawk); len(m.Doubts) == 0 {
			t.Errorf("%q raises no doubt", name)
		}
	}
}

// TestMergeEqualsAugenrules runs the real augenrules on generated folders, in
// a private mount namespace over a copy, with gawk and with mawk.
func TestMergeEqualsAugenrules(t *testing.T) {
	lab.Need(t, lab.Audit)
	g := newGenerator(t)
	for _, awk := range []struct {
		name string
		kind Awk
	}{{"gawk", Gawk}, {"mawk", Mawk}} {
		program, err := exec.LookPath("/usr/bin/" + awk.name)
		if err != nil {
			t.Logf("no %s here", awk.name)
			continue
		}
		for i := range cases(t, 15) {
			dir := t.TempDir()
			must := func(err error) {
				if err != nil {
					t.Helper()
					t.Fatal(err)
				}
			}
			must(os.MkdirAll(dir+"/audit/rules.d", 0o750))
			must(os.Mkdir(dir+"/bin", 0o755))
			must(os.Symlink(program, dir+"/bin/awk"))
			var sources []Source
			for range g.IntN(8) {
				name := g.fileName()
				data := []byte(g.folderText())
				path := filepath.Join(dir, "audit/rules.d", name)
				if _, err := os.Lstat(path); err == nil {
					continue
				}
				must(os.WriteFile(path, data, 0o640))
				sources = append(sources, Source{Name: name, Path: path, Data: data})
			}
			cmd := exec.Command("unshare", "-m", "sh", "-c", `mount --bind "$0/audit" /etc/audit && exec /sbin/augenrules`, dir)
			cmd.Env = []string{"PATH=" + dir + "/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("augenrules: %v %s", err, out)
			}
			real, err := os.ReadFile(dir + "/audit/audit.rules")
			must(err)
			m := Merge(sources, awk.kind)
			if !bytes.Equal(real, m.Bytes()) && len(m.Doubts) == 0 {
				var names []string
				for _, s := range sources {
					names = append(names, fmt.Sprintf("%q: %q", s.Name, s.Data))
				}
				t.Errorf("%s, folder %d: %s\n augenrules %q\n merge      %q", awk.name, i, strings.Join(names, "\n"), real, m.Bytes())
			}
		}
	}
}

func (g *generator) fileName() string {
	return g.pick("", "", "0", "00", "9-", "10-", "010-", "1.2-", "1.10-", "a~", ".", "_", "-", "Z") +
		g.pick("a", "audit", "b.x", "c.1", "B", "99", "z", "a b", "rules", "x~1", "x.y~2") +
		g.pick(".rules", ".rules", ".rules", ".conf", ".rules.bak", "", ".rules2", "1.rules", ".1.rules", ".z.rules")
}

func (g *generator) folderText() string {
	var b strings.Builder
	for range g.IntN(7) {
		b.WriteString(g.pick("", " ", "\t", "s", "  ", "\f") +
			g.pick("-e 1", "-e 2", "-D", "-D ", "-D\t", "-D -k x", "-f 1", "-f 2", "-b 8192", "-b", "--backlog_wait_time 9", "# comment", "#", "-w /etc -p wa",
				"-extra", "", "\r", "-w /x \\", "--loginuid-immutable", "-i", "-D s"))
		b.WriteString(g.pick("\n", "\n", "\n", "\n", "\n\n", "\r\n", ""))
	}
	return b.String()
}
