package dockerconf

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

// words of options, sorted: "name=value,value@line".
func show(o Options) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(o)) {
		all = append(all, fmt.Sprintf("%s=%s@%d", name, strings.Join(o[name].Values, ","), o[name].Line))
	}
	return strings.Join(all, " ")
}

func TestParseFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want, err string }{
		"empty":        {"", "", ""},
		"white space":  {" \n\t", "", ""},
		"values":       {"{\n\"data-root\": \"/d\",\n\n\"hosts\": [\"a\", \"b\"],\n\"debug\": true, \"mtu\": 1500}", "data-root=/d@2 debug=true@5 hosts=a,b@4 mtu=1500@5", ""},
		"objects":      {`{"log-opts": {"max-size": "1m", "a": ["x", "y"]}}`, "log-opts=a=x,y,max-size=1m@1", ""},
		"last counts":  {"{\"mtu\": 1,\n\"mtu\": 2}", "mtu=2@2", ""},
		"older name":   {`{"graph": "/g"}`, "data-root=/g@1", ""},
		"null":         {`{"hosts": null, "labels": []}`, "", ""},
		"byte order":   {"\ufeff{}", "", ""},
		"trailing":     {"{}\n{}", "", "d.json:2: something follows"},
		"cut off":      {"{\n\"a\":", "", "d.json:2: it ends too early"},
		"comment":      {"{\n// secret\n}", "", "d.json:2: "},
		"a list":       {"[1]", "", "it is not a JSON object"},
		"not a key":    {"{\n\n1: 2}", "", "d.json:3: "},
		"comma at end": {"{\"a\": 1,\n}", "", "d.json:"},
		"deep":         {`{"a":` + strings.Repeat("[", 20_000), "", "d.json:1: "},
	} {
		got, err := ParseFile("d.json", []byte(c.text))
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: error %v, want %q", name, err, c.err)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case show(got) != c.want:
			t.Errorf("%s: %s, want %s", name, show(got), c.want)
		}
	}
}

func TestParseFlags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                                   "",
		"-H fd:// --containerd=/c.sock":      "containerd=/c.sock@7 hosts=fd://@7",
		"-H a -Hb -H=c --host d --host=e":    "hosts=a,b,c,d,e@7",
		"-D --data-root /d":                  "data-root=/d@7 debug=true@7",
		"-DH fd://":                          "debug=true@7 hosts=fd://@7",
		"-D=false":                           "debug=false@7",
		"--debug --icc=false --live-restore": "debug=true@7 icc=false@7 live-restore=true@7",
		"-g /a --graph /b":                   "data-root=/a,/b@7",
		"--log-opt max-size=1m":              "log-opts=max-size=1m@7",
		"--tlsverify --tlscacert /ca":        "tlscacert=/ca@7 tlsverify=true@7",
		"-H":                                 "error",
		"stray":                              "error",
		"--=x":                               "error",
	} {
		got, err := ParseFlags("unit", 7, strings.Fields(args))
		if text := show(got); err == nil && text != want || err != nil && want != "error" {
			t.Errorf("%q: %s, error %v, want %s", args, text, err, want)
		}
	}
}

// TestFlagsOfDockerd: every flag of the installed dockerd that takes no value
// is known as such by not swallowing the flag after it.
func TestFlagsOfDockerd(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Docker)
	help, err := exec.Command("/usr/sbin/dockerd", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(help), "\n") {
		line = strings.TrimSpace(line)
		short, rest, found := strings.Cut(line, ", --")
		if !found || len(short) != 2 || short[0] != '-' {
			continue
		}
		fields := strings.Fields(rest)
		takesValue := len(fields) > 1 && slices.Contains([]string{"string", "int", "list", "strings", "bytes", "float"}, fields[1])
		if isSwitch := strings.Contains(shortSwitches, short[1:]); isSwitch == takesValue {
			t.Errorf("%s (--%s): taken for a switch: %v", short, fields[0], isSwitch)
		}
		if name, known := flagNames[short[1:]]; !known && short != "-v" && short != "-h" {
			t.Errorf("%s (--%s) is not known", short, fields[0])
		} else if known && name != fields[0] && name != fields[0]+"s" {
			t.Errorf("%s is %s here and --%s in dockerd", short, name, fields[0])
		}
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	file, _ := ParseFile("d.json", []byte(`{"data-root": "/f", "hosts": ["a"], "runtimes": {"x": {}}, "mtu": 1}`))
	flags, _ := ParseFlags("unit", 3, []string{"-H", "b", "--data-root=/g", "--add-runtime=y=z", "--icc=false"})
	merged, both := Merge(file, flags)
	if got, want := show(merged), "data-root=/g@3 hosts=b@3 icc=false@3 mtu=1@1 runtimes=y=z@3"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if !slices.Equal(both, []string{"data-root", "hosts"}) {
		t.Errorf("in both: %v", both)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	files := map[string]string{"/env": "# c\nOPTS=\"-D --mtu=1 \\\n--x\"\nexport ONE='a b'\nbad line\n", "/more": "ONE=later\n"}
	read := func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	for name, c := range map[string]struct {
		units []string
		want  string // arguments joined by |, and @line of the file
		err   string
	}{
		"plain":             {[]string{"[Service]\nExecStart=/d -H fd://"}, "/d|-H|fd://@0:2", ""},
		"other sections":    {[]string{"[Unit]\nExecStart=/no\n[Service]\n# ExecStart=/no\n; ExecStart=/no\nExecStart=/d\n[Install]\nExecStart=/no"}, "/d@0:6", ""},
		"continued":         {[]string{"[Service]\nExecStart=/d \\\n  -a \\\n# comment\n  -b"}, "/d|-a|-b@0:2", ""},
		"reset by drop-in":  {[]string{"[Service]\nExecStart=/d -a", "[Service]\nExecStart=\nExecStart=/d -b"}, "/d|-b@1:3", ""},
		"two":               {[]string{"[Service]\nExecStart=/d -a", "[Service]\nExecStart=/d -b"}, "", "2 ExecStart= are set, the last at 1:2"},
		"none":              {[]string{"[Service]\nType=notify"}, "", "no ExecStart="},
		"relative":          {[]string{"[Service]\nExecStart=d"}, "", "absolute path"},
		"prefixes":          {[]string{"[Service]\nExecStart=-!/d -a"}, "/d|-a@0:2", ""},
		"another name":      {[]string{"[Service]\nExecStart=@/d shown -a"}, "/d|-a@0:2", ""},
		"quotes":            {[]string{"[Service]\nExecStart=\"/d\" '-a b' \"\" x\\ y %%"}, "/d|-a b||x y|%@0:2", ""},
		"variables":         {[]string{"[Service]\nEnvironment=A=1 \"B=2 3\"\nExecStart=/d $B ${B} x${A}y $A$A $$A $UNSET ${UNSET}"}, "/d|2|3|2 3|x1y|$A$A|$A|@0:3", ""},
		"environment file":  {[]string{"[Service]\nEnvironment=ONE=1\nEnvironmentFile=/env\nExecStart=/d $OPTS ${ONE}"}, "/d|-D|--mtu=1|--x|a b@0:4", ""},
		"a later file wins": {[]string{"[Service]\nEnvironmentFile=/env\nExecStart=/d ${ONE}", "[Service]\nEnvironmentFile=-/more"}, "/d|later@0:3", ""},
		"optional file":     {[]string{"[Service]\nEnvironmentFile=-/absent\nExecStart=/d"}, "/d@0:3", ""},
		"needed file":       {[]string{"[Service]\nEnvironmentFile=/absent\nExecStart=/d"}, "", "cannot read what 0:2 names"},
		"backslash at end":  {[]string{"[Service]\nExecStart=/d\n\\"}, "/d@0:2", ""},
	} {
		var units []UnitFile
		for i, text := range c.units {
			units = append(units, UnitFile{fmt.Sprint(i), []byte(text)})
		}
		got, err := CommandLine(units, read)
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", name, err, c.err)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		default:
			if text := fmt.Sprintf("%s@%s:%d", strings.Join(got.Args, "|"), got.File, got.Line); text != c.want {
				t.Errorf("%s: %s, want %s", name, text, c.want)
			}
		}
	}
	denied := func(string) ([]byte, error) { return nil, errors.New("permission denied") }
	if _, err := CommandLine([]UnitFile{{"u", []byte("[Service]\nEnvironmentFile=-/x\nExecStart=/d")}}, denied); err == nil {
		t.Error("an environment file that cannot be read was passed over")
	}
}

func TestListenStreams(t *testing.T) {
	t.Parallel()
	got := ListenStreams([]UnitFile{
		{"a", []byte("[Socket]\nListenStream=/x\n")}, {"b", []byte("[Socket]\nListenStream=\nListenStream=%t/docker.sock\nListenStream=2375\n")},
	})
	if !slices.Equal(got, []Stream{{"/run/docker.sock", "b", 3}, {"2375", "b", 4}}) {
		t.Errorf("%v", got)
	}
}

func TestSetting(t *testing.T) {
	t.Parallel()
	files := []UnitFile{{"a", []byte("[Socket]\nSocketMode=0660\nSocketUser=root\n")}, {"b", []byte("[Unit]\nSocketMode=1\n[Socket]\nSocketMode=0666\nSocketUser=\n")}}
	for key, want := range map[string]string{"SocketMode": "0666 b 4", "SocketUser": "  0", "SocketGroup": "  0"} {
		value, file, line := Setting(files, "Socket", key)
		if got := fmt.Sprintf("%s %s %d", value, file, line); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

func TestTopLevelTOML(t *testing.T) {
	t.Parallel()
	const text = "# root = '/no'\nversion = 2\nroot = \"/data\" # why\n'state'='/s'\nimports = [\"x\"]\nescaped = \"a\\\"b\"\n[grpc]\naddress = \"/no\"\n"
	for key, want := range map[string]string{"root": "/data 3", "state": "/s 4", "imports": " 5", "escaped": " 6", "address": " 0", "absent": " 0"} {
		value, line := TopLevelTOML([]byte(text), key)
		if got := fmt.Sprintf("%s %d", value, line); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

// TestCommandLineAsSystemd compares a command line with what systemd makes of
// the same unit.
func TestCommandLineAsSystemd(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Booted)
	root := t.TempDir()
	dir := filepath.Join(root, "etc/systemd/system")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// A unit that systemd refuses must be refused here, and the reverse.
	for text, valid := range map[string]bool{
		"[Service]\nExecStart=/bin/true\n":                                                true,
		"[Service]\nExecStart=\n":                                                         false,
		"[Service]\nType=notify\nExecStart=/bin/true\nExecStart=/bin/false\n":             false,
		"[Service]\nType=notify\nExecStart=/bin/false\nExecStart=\nExecStart=/bin/true\n": true,
	} {
		name := filepath.Join(dir, "x.service")
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", name).CombinedOutput()
		_, ours := CommandLine([]UnitFile{{"x.service", []byte(text)}}, nil)
		if (err == nil) != valid || (ours == nil) != valid {
			t.Errorf("%q: systemd says %v (%s), this package %v, want valid=%v", text, err, out, ours, valid)
		}
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add([]byte(`{"hosts": ["fd://"], "log-opts": {"a": "b"}}`))
	f.Add([]byte("{\n\"a\": [[{}]],"))
	f.Fuzz(func(t *testing.T, data []byte) {
		options, err := ParseFile("f", data)
		for name, o := range options {
			if err == nil && (len(o.Values) == 0 || o.Line < 1) {
				t.Errorf("%q: %+v", name, o)
			}
		}
	})
}

func FuzzCommandLine(f *testing.F) {
	f.Add("[Service]\nExecStart=/d \\\n $A ${B} \"x\n", "A=1\\\n2\n", "-H fd:// -DH")
	f.Fuzz(func(t *testing.T, unit, env, args string) {
		c, err := CommandLine([]UnitFile{{"u", []byte(unit)}, {"v", []byte("[Service]\nEnvironmentFile=/e\n")}},
			func(string) ([]byte, error) { return []byte(env), nil })
		if err == nil && (len(c.Args) == 0 || c.Line < 1) {
			t.Errorf("%+v", c)
		}
		ParseFlags("u", 1, strings.Fields(args))
		ListenStreams([]UnitFile{{"u", []byte(unit)}})
		TopLevelTOML([]byte(env), "root")
	})
}
