// Package schema makes JSON Schemas (draft 2020-12) of the types that
// strictyaml decodes, so that editors know the same keys as hostguard. A
// schema accepts all that hostguard accepts; what only code can say (a title's
// length, a valid host name) it leaves to hostguard lint.
package schema

import (
	"encoding"
	"maps"
	"reflect"

	"github.com/hostguard/hostguard/internal/quantity"
	"github.com/hostguard/hostguard/internal/strictyaml"
)

// Object is a JSON Schema, or a part of one.
type Object = map[string]any

// Draft is the dialect that the schemas are written in.
const Draft = "https://json-schema.org/draft/2020-12/schema"

// Named holds the schemas of types whose form their Go type does not say.
type Named map[reflect.Type]Object

var quantities = Named{
	reflect.TypeFor[quantity.Duration](): {"type": []any{"string", "integer"}, "maximum": 0, "minimum": 0, "pattern": `^([0-9]+[dw]|([0-9]*\.?[0-9]+(ns|us|µs|ms|s|m|h))+|0)$`},
	reflect.TypeFor[quantity.Bytes]():    {"type": []any{"string", "integer"}, "pattern": `^[0-9]+ *([KMGT]iB|B)?$`, "minimum": 0},
	reflect.TypeFor[quantity.Percent]():  {"type": "string", "pattern": `^[0-9.eE+-]+%$`},
}

// Of returns the schema of a type. With defaults, a value of that type, each
// key says its default.
func (named Named) Of(t reflect.Type, defaults any) Object {
	if s, ok := named[t]; ok {
		return maps.Clone(s)
	}
	if s, ok := quantities[t]; ok {
		return maps.Clone(s)
	}
	if t == reflect.TypeFor[strictyaml.Node]() {
		return Object{}
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return Object{"type": []any{"string", "number", "boolean"}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return named.Of(t.Elem(), nil)
	case reflect.Struct:
		return named.ofStruct(t, defaults)
	case reflect.Slice:
		return Object{"type": "array", "items": named.Of(t.Elem(), nil)}
	case reflect.Map:
		return Object{"type": "object", "additionalProperties": named.Of(t.Elem(), nil)}
	case reflect.Bool:
		return Object{"type": "boolean"}
	case reflect.String:
		return Object{"type": "string"}
	case reflect.Float32, reflect.Float64:
		return Object{"type": "number"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Object{"type": "integer", "minimum": 0}
	}
	return Object{"type": "integer"}
}

func (named Named) ofStruct(t reflect.Type, defaults any) Object {
	values, _ := strictyaml.Plain(defaults).(map[string]any)
	properties, required := Object{}, []any{}
	for _, f := range strictyaml.FieldsOf(t) {
		var inner any
		if defaults != nil {
			inner = reflect.ValueOf(defaults).FieldByIndex(f.Index).Interface()
		}
		p := named.Of(f.Type, inner)
		if f.Doc != "" {
			p["description"] = f.Doc
		}
		if values != nil && p["properties"] == nil { // those of a struct say their own
			p["default"] = values[f.Name]
		}
		properties[f.Name] = p
		if f.Required {
			required = append(required, f.Name)
		}
	}
	s := Object{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}
