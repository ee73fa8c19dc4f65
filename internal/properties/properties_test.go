package properties

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/hostguard/hostguard/internal/lab"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"separators":                     {"a=1\nb:2\nc 3\nd\t=\t4\ne = : 5\nf", "1 a=1|2 b=2|3 c=3|4 d=4|5 e=: 5|6 f="},
		"comments and blank lines":       {"# a=1\n ! b=2\n\n \t\nc=#3", "5 c=#3"},
		"the last of a key counts":       {"a=1\na=2", "1 a=1|2 a=2"},
		"continuation":                   {"a=1,\\\n   2,\\\r\n\t3\nb=4", "1 a=1,2,3|4 b=4"},
		"a comment does not go on":       {"# x \\\na=1", "2 a=1"},
		"a hash in a continued line":     {"a=1\\\n#2", "1 a=1#2"},
		"an escaped backslash ends it":   {"a=1\\\\\nb=2", "1 a=1\\|2 b=2"},
		"a blank line ends continuation": {"a=1\\\n\n b=2", "1 a=1|3 b=2"},
		"old Mac line ends":              {"a=1\rb=2\r\rc=3", "1 a=1|2 b=2|4 c=3"},
		"escapes":                        {`a\ b\=c\:d=\t\n\q\u0041`, "1 a b=c:d=\t\nqA"},
		"ISO 8859-1":                     {"a=\xe9", "1 a=é"},
		"surrogates":                     {`a=\uD83D\uDE00 \uD83D`, "1 a=😀 �"},
		"a backslash at the end":         {`a=b\`, "1 a=b"},
		"nothing but a separator":        {"=x", "1 =x"},
		"a continued line at the end":    {"a=1\n\\\n", "1 a=1|2 ="},
	} {
		f, err := Parse("f", []byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, p := range f.All {
			got = append(got, fmt.Sprintf("%d %s=%s", p.Line, p.Key, p.Value))
		}
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("%s: %q, want %q", name, s, c.want)
		}
	}
	for _, text := range []string{`a=\u12`, "x=1\na=\\u12g4", `a=\u+123`} {
		if _, err := Parse("f", []byte(text)); !errors.Is(err, errEscape) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestAgainstJava reads generated files beside java.util.Properties.
func TestAgainstJava(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Java)
	dir := t.TempDir()
	if out, err := exec.Command("javac", "-d", dir, "testdata/Load.java").CombinedOutput(); err != nil {
		t.Fatalf("javac: %v\n%s", err, out)
	}
	rng := rand.New(rand.NewPCG(lab.Seed(t), 6))
	pieces := []string{"a", "b", "k.x", "=", ":", " ", "\t", "\f", "\\", "\\\\", "\n", "\r", "\r\n", "#", "!", "\\u0041", "\\u00", "\\uD83D\\uDE00", "\\uD83D", "\\n", "\\t", "\xe9", "\x00", "  ", "\\\n", "\\\r\n"}
	var names, want []string
	for i := range 3000 {
		var text strings.Builder
		for range rng.IntN(24) {
			text.WriteString(pieces[rng.IntN(len(pieces))])
		}
		name := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(name, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
		want = append(want, inHex([]byte(text.String())))
	}
	java := exec.Command("java", "-Xshare:auto", "-cp", dir, "Load")
	java.Stdin = strings.NewReader(strings.Join(names, "\n"))
	out, err := java.Output()
	if err != nil {
		t.Fatalf("java: %v", err)
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(got) != len(want) {
		t.Fatalf("java answers for %d files of %d", len(got), len(want))
	}
	refused := 0
	for i := range got {
		if got[i] == "refused" {
			refused++
		}
		if got[i] != want[i] {
			text, _ := os.ReadFile(names[i])
			t.Errorf("%q:\njava %s\nhere %s", text, got[i], want[i])
		}
	}
	if refused == 0 || refused == len(got) {
		t.Errorf("%d of %d files refused", refused, len(got))
	}
}

// inHex writes what is read the way Load.java does.
func inHex(data []byte) string {
	f, err := Parse("f", data)
	if err != nil {
		return "refused"
	}
	var all []string
	for key := range f.last {
		p, _ := f.Get(key)
		all = append(all, hex(key)+"="+hex(p.Value))
	}
	slices.Sort(all)
	return "read " + strings.Join(all, " ")
}

func hex(s string) string {
	out := ""
	for _, u := range utf16.Encode([]rune(s)) {
		out += fmt.Sprintf("%04x", u)
	}
	return out
}

func TestExpand(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"a": "1", "b": "${a}2", "name": "a", "loop": "x${loop}", "l1": "${l2}", "l2": "${l1}", "empty": "", "a:b": "both", "brace": "}",
		"unset.inner": "${nowhere}",
	}
	for i := range 40 {
		values[fmt.Sprintf("w%d", i)] = fmt.Sprintf("${w%d}${w%d}", i+1, i+1)
		values[fmt.Sprintf("d%d", i)] = fmt.Sprintf("${d%d}", i+1)
	}
	values["w20"], values["w41"] = "", ""
	lookup := func(name string) (string, bool) { v, ok := values[name]; return v, ok }
	for value, want := range map[string]string{
		"":                         "",
		"plain $a {a} $":           "plain $a {a} $",
		"${a}-${b}":                "1-12",
		"${${name}}":               "1",
		"${none:x}":                "x",
		"${none:${b}y}":            "12y",
		"${none:}":                 "",
		"${empty:x}":               "",
		"${a:b}":                   "both",
		"${none:{x}}":              "{x}",
		"open ${a":                 "open ${a",
		"${none}":                  "error: has no value",
		"${none:${none}}":          "error: has no value",
		"${unset.inner:x}":         "error: has no value",
		"${loop}":                  "error: stands for itself",
		"${l1}":                    "error: stands for itself",
		"${d0}":                    "error: within each other",
		"${w0}":                    "error: leads to more",
		strings.Repeat("${a}", 20): strings.Repeat("1", 20),
	} {
		got, err := Expand(value, lookup)
		if part, fails := strings.CutPrefix(want, "error: "); fails {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q, %v; want an error with %q", value, got, err, part)
			}
		} else if got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", value, got, err, want)
		}
	}
	if _, err := Expand(strings.Repeat("${big}", 8), func(string) (string, bool) { return strings.Repeat("x", 10_000), true }); err == nil {
		t.Error("a value grew without bound")
	}
}

func TestVariableOf(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"application.isEnabledDapsInteraction": "APPLICATION_ISENABLEDDAPSINTERACTION",
		"server.ssl.key-store":                 "SERVER_SSL_KEYSTORE",
		"my.service[0].other":                  "MY_SERVICE_0_OTHER",
	} {
		if got := VariableOf(key); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a=1\\\n2\n#x\nb:\\u0041 ${a}\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("f", []byte(text))
		if err != nil {
			return
		}
		for i, p := range file.All {
			if p.Line < 1 || i > 0 && p.Line <= file.All[i-1].Line {
				t.Errorf("%q: lines out of order", text)
			}
			_, _ = Expand(p.Value, func(name string) (string, bool) {
				p, found := file.Get(name)
				return p.Value, found
			})
		}
	})
}
