package reports

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/printable"
	"github.com/hostguard/hostguard/rules"
)

func schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("report.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("report.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t testing.TB, s *jsonschema.Schema, data []byte) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("not JSON: %v\n%.2000s", err, data)
	}
	if err := s.Validate(doc); err != nil {
		t.Fatalf("against the schema: %v\n%.2000s", err, data)
	}
}

func TestJSONGolden(t *testing.T) {
	t.Parallel()
	golden(t, "not-ready.json", render(t, WriteJSON, fixture(), Options{Color: true, Quiet: true, Width: 3}))
	golden(t, "nothing.json", render(t, WriteJSON, Input{}, Options{}))
}

func TestJSONFitsSchema(t *testing.T) {
	t.Parallel()
	s := schema(t)
	for _, v := range variants {
		in := fixture()
		v.edit(&in)
		validate(t, s, render(t, WriteJSON, in, Options{}))
	}
	in := fixture()
	in.Outcomes[0].Finding.Evidence[0].Line = -1
	validate(t, s, render(t, WriteJSON, in, Options{}))
	if !testing.Short() {
		validate(t, s, render(t, WriteJSON, many(100_000), Options{})) // case 40
	}
}

// The schema refuses what no report should hold.
func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	s := schema(t)
	good := render(t, WriteJSON, fixture(), Options{})
	for _, c := range []struct{ name, old, new string }{
		{"an unknown key", `"verdict":`, `"vredict": 1, "verdict":`},
		{"an unknown key in a finding", `"waiver": null`, `"waiver": null, "note": ""`},
		{"another verdict", `"NOT READY"`, `"FINE"`},
		{"another version", `"schema_version": "1.0"`, `"schema_version": "2.0"`},
		{"a missing field", `"euid": 0,`, ``},
		{"another status", `"status": "fail"`, `"status": "failed"`},
		{"an error with a pass", `"status": "error"`, `"status": "pass"`},
		{"an error without a reason", `"status": "pass"`, `"status": "error"`},
		{"a date that is none", `2026-03-14T22:01:02.345Z`, `yesterday`},
		{"a right-to-left override", `"edge-01"`, `"edge\u202e01"`},
	} {
		bad := strings.Replace(string(good), c.old, c.new, 1)
		if bad == string(good) {
			t.Errorf("%s: the report has no %s", c.name, c.old)
			continue
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(bad))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if s.Validate(doc) == nil {
			t.Errorf("%s: the schema takes it", c.name)
		}
	}
}

// Every field of the Go value is in the schema and the other way round, with
// its type, and is required there exactly when the writer never leaves it out.
func TestSchemaMirrorsReport(t *testing.T) {
	t.Parallel()
	var root map[string]any
	if err := json.Unmarshal(Schema, &root); err != nil {
		t.Fatal(err)
	}
	defs := root["$defs"].(map[string]any)
	used := map[string]bool{}
	var compare func(path string, typ reflect.Type, node map[string]any)
	compare = func(path string, typ reflect.Type, node map[string]any) {
		if ref, ok := node["$ref"].(string); ok {
			name := strings.TrimPrefix(ref, "#/$defs/")
			used[name] = true
			node = defs[name].(map[string]any)
		}
		if typ.Kind() == reflect.Pointer && typ.Elem().NumField() > 0 { // absent when nil
			typ = typ.Elem()
		}
		var kind string
		switch {
		case typ == reflect.TypeFor[*struct{}]():
			kind = "null"
		case typ.Kind() == reflect.Struct && typ.NumField() > 0 && typ.Field(0).Tag.Get("json") != "":
			kind = "object"
		case typ.Kind() == reflect.Slice:
			kind = "array"
		case typ.Kind() == reflect.Bool:
			kind = "boolean"
		case typ.Kind() == reflect.Int:
			kind = "integer"
		case typ.Kind() == reflect.Float64:
			kind = "number"
		default: // also what marshals itself as text: time, status, severity, level
			kind = "string"
		}
		if node["type"] != kind && node["enum"] == nil && node["const"] == nil {
			t.Errorf("%s is %v, the schema says %v", path, kind, node["type"])
		}
		switch kind {
		case "array":
			compare(path+"[]", typ.Elem(), node["items"].(map[string]any))
		case "object":
			if node["additionalProperties"] != false {
				t.Errorf("%s: the schema allows other properties", path)
			}
			properties := node["properties"].(map[string]any)
			var required, names []string
			for i := range typ.NumField() {
				name, option, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
				names = append(names, name)
				if option == "" {
					required = append(required, name)
				}
				if p, ok := properties[name].(map[string]any); ok {
					compare(path+"."+name, typ.Field(i).Type, p)
				} else {
					t.Errorf("%s.%s is not in the schema", path, name)
				}
			}
			for name := range properties {
				if !slices.Contains(names, name) {
					t.Errorf("%s.%s is only in the schema", path, name)
				}
			}
			var schemaRequired []string
			for _, name := range node["required"].([]any) {
				schemaRequired = append(schemaRequired, name.(string))
			}
			if diff := cmp.Diff(required, schemaRequired); diff != "" {
				t.Errorf("%s: what is required differs (-report +schema):\n%s", path, diff)
			}
		}
	}
	compare("report", reflect.TypeFor[Report](), root)
	for name := range defs {
		if !used[name] {
			t.Errorf("$defs/%s describes nothing", name)
		}
	}
	if typ := reflect.TypeFor[Report](); typ.Field(typ.NumField()-1).Name != "Findings" {
		t.Error("WriteJSON needs the findings to be the last field")
	}
}

func TestJSONRoundTrip(t *testing.T) {
	t.Parallel()
	for _, v := range variants {
		in := fixture()
		v.edit(&in)
		want := New(in)
		if diff := cmp.Diff(want, parse(t, render(t, WriteJSON, in, Options{}))); diff != "" {
			t.Errorf("%s: what was read is not what was written (-want +got):\n%s", v.name, diff)
		}
	}
}

func parse(t testing.TB, data []byte) *Report {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var r Report
	if err := d.Decode(&r); err != nil {
		t.Fatalf("cannot read the report back: %v\n%.2000s", err, data)
	}
	return &r
}

// nasty is case 39 of the hard cases and its neighbours.
const nasty = "\x1b[2J\x1b]0;x\a \u202etxt \u009b2J <script>alert(1)</script> \"}\n=cmd() \xff\xc3 \u2028 \u200b \\x41 \x00 \r &amp; ]]> \u0430"

// hostile puts nasty strings wherever a host, a user or a rule file has a say.
func hostile(in *Input) {
	for _, s := range []*string{&in.Version, &in.Commit, &in.Host.Hostname, &in.Host.OS.ID, &in.Host.OS.Version, &in.Host.OS.Name,
		&in.Host.Kernel, &in.Host.Arch, &in.Host.Container, &in.Root, &in.Profile.Name, &in.Profile.Title, &in.Profile.Digest} {
		*s = nasty
	}
	in.Ledger.Path = nasty
	in.Only, in.Skip = []string{nasty}, []string{nasty}
	in.Interrupted = errors.New(nasty)
	for i := range in.Outcomes {
		o := &in.Outcomes[i]
		r := *o.Rule
		r.Title, r.Rationale, r.Check, r.Source, r.Tags = nasty, nasty, nasty, []string{nasty}, []string{nasty}
		r.References = []rules.Reference{{Framework: nasty, ID: nasty}}
		r.Remediation.Hint = nasty
		o.Rule = &r
		o.Finding.Reason = nasty
		o.Finding.Evidence = []checks.Evidence{{Source: nasty, Key: nasty, Want: nasty, Got: nasty}}
		if o.Finding.Err != nil {
			o.Finding.Err = errors.New(nasty)
		}
	}
}

// Case 39, in every format there is: nothing that a terminal, a log or a
// browser could take for more than text.
func TestHostileStringsInEveryFormat(t *testing.T) {
	t.Parallel()
	in := fixture()
	hostile(&in)
	eachString(reflect.ValueOf(New(in)), func(path, s string) {
		if !printable.IsText(s) || strings.Contains(s, "\n") && !strings.HasSuffix(path, ".Hint") {
			t.Errorf("%s holds %q", path, s)
		}
	}, "report")
	for name, write := range Writers {
		for _, o := range []Options{{}, {Quiet: true}, {Verbose: true, Width: 40}} {
			out := string(render(t, write, in, o))
			if !printable.IsText(out) {
				t.Errorf("%s, %+v: %.300q", name, o, out)
			}
			for i := range len(out) {
				if c := out[i]; c != '\n' && (c < ' ' || c > '~') && name == "json" {
					t.Fatalf("%s, %+v: byte %#x", name, o, c)
				}
			}
		}
	}
}

func eachString(v reflect.Value, visit func(path, s string), path string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			eachString(v.Elem(), visit, path)
		}
	case reflect.String:
		visit(path, v.String())
	case reflect.Slice:
		for i := range v.Len() {
			eachString(v.Index(i), visit, path+"[]")
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				eachString(v.Field(i), visit, path+"."+v.Type().Field(i).Name)
			}
		}
	}
}

// Case 40: a hundred thousand findings are written without a copy of them.
func TestLargeReportNeedsLittleMore(t *testing.T) {
	r := New(many(100_000))
	for name, write := range Writers {
		before, peak := heap(), int64(0)
		writes := 0
		err := write(writerFunc(func(p []byte) (int, error) {
			if writes++; writes%300 == 0 {
				peak = max(peak, heap()-before)
			}
			return len(p), nil
		}), r, Options{})
		if err != nil || writes < 300 || peak > 8<<20 {
			t.Errorf("%s: %v; %d KiB more while writing", name, err, peak>>10)
		}
	}
	runtime.KeepAlive(r)
}

// heap is what is in use, garbage not counted.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A string and a flood of evidence are cut, and it is said.
func TestBounds(t *testing.T) {
	t.Parallel()
	in := fixture()
	list := make([]checks.Evidence, maxEvidence+5)
	for i := range list {
		list[i] = checks.Evidence{Source: "s", Want: "w", Got: strings.Repeat("x", 1<<10)}
	}
	list[0].Got = strings.Repeat("y", 1<<20)
	in.Outcomes[2].Finding.Evidence = list
	f := New(in).Findings[2]
	if n := len(f.Evidence); n != maxEvidence+1 || f.Evidence[n-1].Got != "5" {
		t.Errorf("%d pieces of evidence, the last %+v", n, f.Evidence[n-1])
	}
	if got := f.Evidence[0].Got; len(got) > maxText+50 || !strings.HasSuffix(got, " more bytes]") {
		t.Errorf("a value of %d bytes: ...%s", len(got), got[len(got)-40:])
	}
}

func FuzzReport(f *testing.F) {
	f.Add(nasty, nasty, nasty, nasty, 1, uint8(2))
	f.Add("", "", "", "", -1, uint8(5))
	f.Add("a", `\`, "\\n", "\n", 0, uint8(77))
	s := schema(f)
	f.Fuzz(func(t *testing.T, source, key, reason, failure string, line int, status uint8) {
		in := fixture()
		in.Outcomes[0].Finding.Verdict = checks.Verdict{Status: checks.Status(status), Reason: reason,
			Evidence: []checks.Evidence{{Source: source, Line: line, Key: key, Want: key, Got: source}}}
		if failure != "" {
			in.Outcomes[0].Finding.Err = errors.New(failure)
		}
		in.Outcomes[1].Rule.Title, in.Outcomes[1].Rule.Remediation.Hint = reason, failure
		in.Host.Hostname = key
		data := render(t, WriteJSON, in, Options{})
		validate(t, s, data)
		if diff := cmp.Diff(New(in), parse(t, data)); diff != "" {
			t.Errorf("what was read is not what was written:\n%s", diff)
		}
		if text := string(render(t, WriteText, in, Options{Verbose: true})); !printable.IsText(text) {
			t.Errorf("the text holds what is not printable: %q", text)
		}
	})
}

func BenchmarkJSON(b *testing.B) {
	r := New(many(100))
	b.ReportAllocs()
	for b.Loop() {
		WriteJSON(io.Discard, r, Options{})
	}
}

func BenchmarkText(b *testing.B) {
	r := New(many(100))
	b.ReportAllocs()
	for b.Loop() {
		WriteText(io.Discard, r, Options{})
	}
}
