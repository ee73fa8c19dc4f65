package valuefile

import (
	"fmt"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ format, text, want string }{
		"properties":           {"properties", "a=1\nb : \\u0041\\\n  B\n", "1 a=1|2 b=AB"},
		"key and value":        {"keyvalue", "# c=1\nexport A = 'x y'\nB=\"q\"\n[s]\nC=a=b\n", `2 A=x y|3 B=q|5 C=a=b`},
		"ini":                  {"ini", "a=0\n[ s t ]\n;c\nb = 1\n", "1 a=0|4 s t.b=1"},
		"JSON":                 {"json", "{\n\t\"a\": {\"b\": [1, {\"c\": true}]},\n\n\"d\": null}", "2 a.b[0]=1|2 a.b[1].c=true|4 d="},
		"YAML":                 {"yaml", "a:\n  b: [1, {c: yes}]\n---\nd: ~\n", "2 a.b[0]=1|2 a.b[1].c=yes|4 d="},
		"not JSON":             {"json", `{"a": s3cret}`, "cannot read f: it is not JSON"},
		"more than JSON":       {"json", `{} {}`, "something follows"},
		"not YAML":             {"yaml", "a: [s3cret", "cannot read f: it is not YAML"},
		"a merge key":          {"yaml", "x: &x {a: 1}\ny: {<<: *x}", "merge keys"},
		"an anchor in itself":  {"yaml", "a: &a [*a]", "nested deeper"},
		"deep JSON":            {"json", strings.Repeat("[", 10_000), "nested deeper"},
		"a bad escape":         {"properties", `a=s3cret\u1`, "f:1"},
		"an unknown format":    {"toml", "", "none of the formats"},
		"the number of a list": {"json", `["x"]`, "1 [0]=x"},
	} {
		values, err := Read(c.format, "f", []byte(c.text))
		var list []string
		for _, v := range values {
			list = append(list, fmt.Sprintf("%d %s=%s", v.Line, v.Key, v.Text))
		}
		got := strings.Join(list, "|")
		if err != nil {
			got = err.Error()
		}
		if err == nil && got != c.want || !strings.Contains(got, c.want) || strings.Contains(got, "s3cret") {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if v, found := Last([]Value{{"a", "1", 1}, {"a", "2", 2}}, "a"); !found || v.Text != "2" {
		t.Errorf("the last of a key is %v", v)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("json", `{"a": [1, null]}`)
	f.Add("yaml", "a: &a {b: *a}")
	f.Add("ini", "[s\n=]\n\"=\"")
	f.Fuzz(func(t *testing.T, format, text string) {
		values, err := Read(format, "f", []byte(text))
		for _, v := range values {
			if err == nil && v.Line < 1 {
				t.Errorf("%q is on line %d", v.Key, v.Line)
			}
		}
	})
}
