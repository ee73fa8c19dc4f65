package strictyaml

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/internal/quantity"
)

type inner struct {
	Unit string `yaml:"unit"`
	Max  int    `yaml:"max"`
}

type shared struct {
	Owner string `yaml:"owner"`
}

type sample struct {
	shared
	Name   string            `yaml:"name" required:"true"`
	Active bool              `yaml:"active"`
	Count  uint16            `yaml:"count"`
	Share  float64           `yaml:"share"`
	Age    quantity.Duration `yaml:"age"`
	List   []string          `yaml:"list"`
	Map    map[string]int    `yaml:"map"`
	Watch  inner             `yaml:"watch"`
	Far    *inner            `yaml:"far"`
	Later  Node              `yaml:"later"`
	Hidden string
}

const sampleKeys = ": known are owner, name, active, count, share, age, list, map, watch, far, later"

func TestStrictness(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want string // one error a line
	}{
		"good":                  {"name: a\nactive: true\ncount: 7\nshare: 1.5\nage: 60d\nlist: [x, \"3\"]\nmap: {a: 1}\nwatch: {unit: u}\nowner: o\n", ""},
		"unknown key":           {"name: a\nactvie: true\n", `f:2:1: unknown key "actvie": did you mean "active"?`},
		"unknown nested key":    {"name: a\nwatch:\n  unti: x\n", `f:3:3: unknown key "unti": did you mean "unit"?`},
		"unknown key, far":      {"name: a\nwatch: {zzzzzz: x}\n", `f:2:9: unknown key "zzzzzz": known are unit, max`},
		"field without a tag":   {"name: a\nhidden: x\n", `f:2:1: unknown key "hidden"` + sampleKeys},
		"missing key":           {"active: true\n", `f:1:1: missing key "name"`},
		"empty file":            {"# nothing\n", `f: missing key "name"`},
		"several errors":        {"nmae: a\ncount: x\nlist: 5\n", "f:1:1: unknown key \"nmae\": did you mean \"name\"?\nf:2:8: want a whole number, got \"x\"\nf:3:7: want a list, got the number 5\nf:1:1: missing key \"name\""},
		"duplicate key":         {"name: a\nname: b\n", `f:2:1: the key "name" is given twice: first on line 1`},
		"duplicate in a map":    {"name: a\nmap: {k: 1, k: 2}\n", `f:2:13: the key "k" is given twice: first on line 2`},
		"number for text":       {"name: 22\n", `f:1:7: want text, got the number 22: put it in quotes`},
		"bool for text":         {"name: true\n", `f:1:7: want text, got true: put it in quotes`},
		"no is text":            {"name: no\n", ""},
		"yes is no bool":        {"name: a\nactive: yes\n", `f:2:9: want true or false, got "yes"`},
		"quoted true":           {"name: a\nactive: \"true\"\n", `f:2:9: want true or false, got "true"`},
		"empty value":           {"name:\n", `f:1:1: there is no value: give one, or leave the key out`},
		"null in a list":        {"name: a\nlist: [~]\n", `f:2:8: there is no value: give one, or leave the key out`},
		"number over its bits":  {"name: a\ncount: 70000\n", `f:2:8: want a whole number in decimal, 0 or more, of at most 16 bits, got "70000"`},
		"negative":              {"name: a\ncount: -1\n", `f:2:8: want a whole number in decimal, 0 or more, of at most 16 bits, got "-1"`},
		"octal":                 {"name: a\ncount: 0600\n", `f:2:8: want a whole number in decimal, 0 or more, of at most 16 bits, got "0600"`},
		"not a number":          {"name: a\nshare: .nan\n", `f:2:8: want a decimal number, got ".nan"`},
		"text unmarshaler":      {"name: a\nage: 5\n", `f:2:6: cannot read "5" as a duration: want a number with a unit, such as 500ms, 30s, 12h, 60d or 2w`},
		"list for a scalar":     {"name: a\nage: [1d]\n", `f:2:6: want a single value, got a list`},
		"list for a mapping":    {"name: a\nwatch: [a]\n", `f:2:8: want a mapping, got a list`},
		"mapping for text":      {"name: {a: b}\n", `f:1:7: want text, got a mapping`},
		"anchor":                {"name: &a x\n", `f:1:7: an anchor (&a) is not accepted here`},
		"alias bomb":            {"name: a\nlist: &a [x]\nmap: *a\n", "f:2:7: an anchor (&a) is not accepted here\nf:3:6: an alias (*a) is not accepted here: write the value out"},
		"merge key":             {"name: a\nwatch: {<<: {unit: x}}\n", `f:2:9: a merge key (<<) is not accepted here: write the values out`},
		"explicit tag":          {"name: !!str 5\n", `f:1:7: an explicit tag (!!str) is not accepted here`},
		"two documents":         {"name: a\n---\nname: b\n", `f:2:1: a second document begins here: a file holds one`},
		"list as a key":         {"name: a\n? [a]\n: b\n", `f:2:3: a key must be a word`},
		"root is a list":        {"- name: a\n", `f:1:1: want a mapping, got a list`},
		"byte order mark":       {"\xef\xbb\xbfname: a\n", `f:1:1: the file begins with a byte order mark: save it as UTF-8 without one`},
		"UTF-16":                {"\xff\xfen\x00", `f:1:1: the file is UTF-16: save it as UTF-8`},
		"invalid UTF-8":         {"name: a\nlist: [é\xff]\n", `f:2:9: the byte 0xff is not UTF-8 text`},
		"zero byte":             {"name: a\x00\n", `f:1:8: the control character U+0000 has no place in YAML`},
		"syntax":                {"name: a\n\tx: b\n", `f:2: not YAML: found a tab character that violates indentation`},
		"alias of nothing":      {"name: a\nlist: *x\n", `f:2:7: an alias (*x) is not accepted here: write the value out`},
		"control character":     {"name: a\nlist: [\x07]\n", `f:2:8: the control character U+0007 has no place in YAML`},
		"bad indentation":       {"name: a\nwatch:\n  unit: u\n max: 1\nactive: true\n", `f:4: not YAML: did not find expected key`},
		"open bracket":          {"name: a\nlist: [1, 2\nactive: true\ncount: 1\n", `f:2: not YAML: did not find expected ',' or ']'`},
		"item in a mapping":     {"name: a\nwatch:\n  unit: u\n  - 3\nactive: true\n", `f:4: not YAML: did not find expected key`},
		"too large":             {"name: " + strings.Repeat("a", MaxSize), `f: the file is larger than 1048576 bytes`},
		"too deep":              {"later: " + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "\nname: a\n", `f:1:40: more than 32 lists and mappings inside each other`},
		"thousands deep":        {"later: " + strings.Repeat("[", 20000), `f:1: not YAML: exceeded max depth of 10000`},
		"date is text":          {"name: 2027-01-31\n", ""},
		"key with escape codes": {"name: a\n\"\\e[2J\": b\n", `f:2:1: unknown key "\x1b[2J"` + sampleKeys},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if err := read(c.text, &sample{}); err != nil {
				var es Errors
				if !errors.As(err, &es) {
					t.Fatalf("error is %T, want Errors", err)
				}
				got = es.Error()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func read(text string, into any) error {
	n, err := Parse("f", []byte(text))
	if err != nil {
		return err
	}
	return n.Decode(into)
}

// Several layers of parameters are read over each other: defaults, rule,
// profile, configuration. What is shared with the defaults must stay as it was.
func TestLayers(t *testing.T) {
	t.Parallel()
	defaults := sample{
		Name: "d", List: []string{"d"}, Map: map[string]int{"d": 1},
		Watch: inner{Unit: "d", Max: 1}, Far: &inner{Unit: "d", Max: 1},
	}
	layered := defaults
	if err := read("name: n\nage: 2w\nlist: [a, b]\nmap: {x: 2}\nwatch: {max: 2}\nfar: {max: 2}\n", &layered); err != nil {
		t.Fatal(err)
	}
	want := sample{
		Name: "n", Age: quantity.Duration(14 * 24 * time.Hour), List: []string{"a", "b"}, Map: map[string]int{"x": 2},
		Watch: inner{Unit: "d", Max: 2}, Far: &inner{Unit: "d", Max: 2},
	}
	if !reflect.DeepEqual(layered, want) {
		t.Errorf("layered = %+v, want %+v", layered, want)
	}
	if defaults.Far.Max != 1 || defaults.Map["d"] != 1 || len(defaults.Map) != 1 || defaults.List[0] != "d" {
		t.Errorf("the defaults were changed: %+v", defaults)
	}
}

func TestNodeIsKeptForLater(t *testing.T) {
	t.Parallel()
	var s sample
	if err := read("name: a\nlater:\n  watch: {unit: 5}\n", &s); err != nil {
		t.Fatal(err)
	}
	err := s.Later.Decode(&s)
	want := "f:3:17: want text, got the number 5: put it in quotes\nf:3:3: missing key \"name\""
	if err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
	if got := s.Later.Get("watch", "unit"); got.Place() != "f:3:17" {
		t.Errorf("Get: place %s", got.Place())
	}
	if got := s.Later.Get("watch", "no", "such"); got.Kind != Absent {
		t.Errorf("Get of what is not there: %+v", got)
	}
	var watch struct {
		Unit int `yaml:"unit"`
	}
	if err := s.Later.Get("watch", "unit").Under("unit").Decode(&watch); err != nil || watch.Unit != 5 {
		t.Errorf("Under: %+v, %v", watch, err)
	}
}

func TestSuggest(t *testing.T) {
	t.Parallel()
	known := []string{"severity", "source", "title"}
	for word, want := range map[string]string{
		"sevrity":               `: did you mean "severity"?`,
		"Source":                `: did you mean "source"?`,
		"ttile":                 `: did you mean "title"?`,
		"x":                     ": known are severity, source, title",
		strings.Repeat("a", 99): ": known are severity, source, title",
	} {
		if got := Suggest(word, known); got != want {
			t.Errorf("Suggest(%q) = %q, want %q", word, got, want)
		}
	}
}

// Whatever the bytes, Parse and Decode end, do not panic, and every error has
// the file's name.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"name: a\nwatch: {unit: x}\n", "- a\n- {b: c}\n", "&a [*a]\n", "a: |\n  x\n", "? ? :\n", "---\n...\n---\n", "%YAML 1.1\n", "a: !!binary x\n", "{[",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := Parse("f", data)
		if err == nil {
			err = n.Decode(&sample{})
		}
		var es Errors
		if err != nil && !errors.As(err, &es) {
			t.Fatalf("error is %T, want Errors", err)
		}
		for _, e := range es {
			if e.File != "f" || e.Msg == "" {
				t.Errorf("error without file or message: %+v", e)
			}
		}
	})
}
