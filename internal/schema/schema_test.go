package schema

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/hostguard/hostguard/internal/quantity"
	"github.com/hostguard/hostguard/internal/strictyaml"
)

type inner struct {
	Unit string `yaml:"unit" required:"true" doc:"A unit."`
}

type sample struct {
	Name  string            `yaml:"name" required:"true" doc:"Its name."`
	On    bool              `yaml:"on"`
	Count uint8             `yaml:"count"`
	Far   int               `yaml:"far"`
	Share float64           `yaml:"share"`
	Age   quantity.Duration `yaml:"age"`
	Size  quantity.Bytes    `yaml:"size"`
	Full  quantity.Percent  `yaml:"full"`
	List  []inner           `yaml:"list"`
	Map   map[string]int    `yaml:"map"`
	Watch *inner            `yaml:"watch"`
	Node  strictyaml.Node   `yaml:"node"`
}

// What hostguard accepts the schema accepts too, and of what it refuses for
// its form the schema accepts nothing.
func TestSchemaAgreesWithDecode(t *testing.T) {
	t.Parallel()
	s := compile(t, Named{}.Of(reflect.TypeFor[sample](), nil))
	for text, good := range map[string]bool{
		"name: a":                            true,
		"{}":                                 false,
		"{name: a, other: 1}":                false,
		"{name: 5}":                          false,
		"{name: a, on: true}":                true,
		"{name: a, on: yes}":                 false,
		"{name: a, count: 5}":                true,
		"{name: a, count: -5}":               false,
		"{name: a, far: -5}":                 true,
		"{name: a, far: 1.5}":                false,
		"{name: a, share: 1}":                true,
		"{name: a, share: 1.5}":              true,
		"{name: a, share: x}":                false,
		"{name: a, age: 60d}":                true,
		"{name: a, age: 1h30m}":              true,
		"{name: a, age: 500ms}":              true,
		"{name: a, age: 0}":                  true,
		"{name: a, age: 60}":                 false,
		"{name: a, age: 60 days}":            false,
		"{name: a, size: 4096}":              true,
		"{name: a, size: 2GiB}":              true,
		"{name: a, size: 2GB}":               false,
		"{name: a, full: 85%}":               true,
		"{name: a, full: 85}":                false,
		"{name: a, list: [{unit: x}]}":       true,
		"{name: a, list: [{}]}":              false,
		"{name: a, list: {unit: x}}":         false,
		"{name: a, map: {x: 1}}":             true,
		"{name: a, map: {x: y}}":             false,
		"{name: a, watch: {unit: x}}":        true,
		"{name: a, watch: {unit: x, of: y}}": false,
		"{name: a, watch: }":                 false,
		"{name: a, node: [any, {thing: 1}]}": true,
	} {
		n, err := strictyaml.Parse("f", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Decode(&sample{}); (err == nil) != good {
			t.Errorf("Decode of %s: %v", text, err)
		}
		if err := s.Validate(n.Plain()); (err == nil) != good {
			t.Errorf("schema on %s: %v", text, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	got := Named{}.Of(reflect.TypeFor[sample](), sample{Name: "n", Age: quantity.Duration(1e9), List: []inner{{"u"}}})
	properties := got["properties"].(Object)
	for key, want := range map[string]any{"name": "n", "age": "1s", "list": []any{Object{"unit": "u"}}} {
		if diff := cmp.Diff(want, properties[key].(Object)["default"]); diff != "" {
			t.Errorf("default of %s (-want +got):\n%s", key, diff)
		}
	}
	if doc := properties["name"].(Object)["description"]; doc != "Its name." {
		t.Errorf("description = %v", doc)
	}
}

func compile(t *testing.T, s Object) *jsonschema.Schema {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("s.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("s.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}
