package cronconf

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/internal/lab"
)

func TestParse(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text     string
		system   bool
		want     []string
		problems int
	}{
		"a table of the system":      {"SHELL=/bin/sh\nMAILTO=ops\n# no\n\n*/5 * * * * root /usr/local/sbin/df-watch --all\n", true, []string{"5 root ops /usr/local/sbin/df-watch --all"}, 0},
		"a user's own table":         {"@daily x y\n", false, []string{"1   x y"}, 0},
		"output goes nowhere":        {"MAILTO=\"\"\n* * * * * root x\n", true, []string{"2 root silent x"}, 0},
		"quotes and blanks":          {" 'A B' = \"c \"\n\t * * * * *\troot\tx = y\n", true, []string{"2 root  x = y"}, 0},
		"at boot":                    {"@reboot root x\n", true, []string{"1 root  reboot x"}, 0},
		"no newline at the end":      {"* * * * * root x", true, []string{"1 root  x"}, 1},
		"a bad minute":               {"60 * * * * root x\n* * * * * root y\n", true, []string{"2 root  y"}, 1},
		"no command":                 {"* * * * * root\n", true, nil, 0},
		"no command, blanks":         {"* * * * * \n", false, nil, 0},
		"a percent sign":             {"* * * * * root date +\\%s%in\n", true, []string{"1 root  date +\\%s%in"}, 0},
		"comment after a command":    {"* * * * * root x # y\n", true, []string{"1 root  x # y"}, 0},
		"ten thousand lines and one": {strings.Repeat("#\n", maxLines+1), true, nil, 1},
		"carriage returns":           {"* * * * * root x\r\n", true, []string{"1 root  x\r"}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := Parse([]byte(tt.text), tt.system)
			var got []string
			for _, e := range table.Entries {
				mail := e.MailTo
				if e.Silent {
					mail = "silent"
				}
				if e.Reboot {
					mail += " reboot"
				}
				got = append(got, fmt.Sprintf("%d %s %s %s", e.Line, e.User, mail, e.Command))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
			if len(table.Problems) != tt.problems {
				t.Errorf("problems %v, want %d", table.Problems, tt.problems)
			}
		})
	}
}

func TestReadsName(t *testing.T) { // HARD-CASES 35
	t.Parallel()
	for name, want := range map[string]bool{"df-watch": true, "DF_watch2": true, "df.watch": false, "df-watch.sh": false, ".placeholder": false, "df-watch~": false, "": false, "ä": false} {
		if ReadsName(name) != want {
			t.Errorf("%q: %v, want %v", name, !want, want)
		}
	}
}

// TestParseAgainstCrontab lets Debian's crontab -n say whether tables made by
// chance are well-formed.
func TestParseAgainstCrontab(t *testing.T) {
	t.Parallel()
	root := lab.Tree(t)
	dir := filepath.Join(root, "tables")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(35, 1))
	pick := func(texts ...string) string { return texts[rng.IntN(len(texts))] }
	tables := map[string]string{}
	for i := range 400 {
		line := pick("*", "*/5", "0", "59", "60", "1-5", "5-1", "1,2,30", "0-59/7", "*/0", "5/5", "1,", "-1", "x") + " " +
			pick("*", "*", "23", "24", "*/2") + " " + pick("*", "*", "1", "31", "0", "32", "1-7") + " " +
			pick("*", "*", "jan", "JAN-mar", "12", "13", "0") + " " + pick("*", "*", "7", "0", "mon", "8", "sun", "mon-fri") + pick(" ", "\t") + pick("x", "x y", "x", "")
		switch rng.IntN(8) {
		case 0:
			line = pick("@daily x", "@midnight x", "@foo x", "@reboot x", "@hourly", "A=b", "A = b", "'A B'=c", "# x", "A b")
		}
		name := fmt.Sprint(i)
		tables[name] = line + pick("\n", "\n", "\n", "")
		if err := os.WriteFile(filepath.Join(dir, name), []byte(tables[name]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/bin/sh", "-c", "cd /tables && for f in *; do crontab -n $f >/dev/null 2>&1 && echo $f; done; true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	cmd.Env, cmd.Dir = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, "/"
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	accepted := strings.Fields(string(out))
	for name, text := range tables {
		table := Parse([]byte(text), false)
		if slices.Contains(accepted, name) != (len(table.Problems) == 0) {
			t.Errorf("%q: crontab accepts it: %v; we say %v", text, slices.Contains(accepted, name), table.Problems)
		}
	}
	if len(accepted) < 50 || len(accepted) > 350 {
		t.Errorf("crontab accepted %d of %d tables: the comparison says little", len(accepted), len(tables))
	}
}

func FuzzParse(f *testing.F) {
	f.Add("MAILTO=x\n*/5 * * * * root x\n@daily root y\n", true)
	f.Fuzz(func(t *testing.T, text string, system bool) {
		for _, e := range Parse([]byte(text), system).Entries {
			if e.Line < 1 || e.Command == "" || system && e.User == "" {
				t.Errorf("entry without a place, user or command: %+v", e)
			}
		}
	})
}
