package strictyaml

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
)

// Plain returns the node as plain Go values: string, bool, json.Number, nil,
// []any and map[string]any.
func (n Node) Plain() any {
	switch n.Kind {
	case Absent, Null:
		return nil
	case Bool:
		return n.Text == "true" || n.Text == "True" || n.Text == "TRUE"
	case Int, Float:
		return json.Number(n.Text)
	case List:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = item.Plain()
		}
		return list
	case Map:
		m := make(map[string]any, len(n.Items)/2)
		for i := 0; i+1 < len(n.Items); i += 2 {
			m[n.Items[i].Text] = n.Items[i+1].Plain()
		}
		return m
	}
	return n.Text
}

// Plain returns a value that Decode could have read as the plain values it
// would read it from: of a struct the keys, of what marshals to text its text.
func Plain(value any) any { return plain(reflect.ValueOf(value)) }

func plain(v reflect.Value) any {
	if !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil
	}
	switch custom := v.Interface().(type) {
	case Node:
		return custom.Plain()
	case encoding.TextMarshaler:
		text, err := custom.MarshalText()
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
	switch v.Kind() {
	case reflect.Pointer:
		return plain(v.Elem())
	case reflect.Struct:
		m := map[string]any{}
		for _, f := range FieldsOf(v.Type()) {
			m[f.Name] = plain(v.FieldByIndex(f.Index))
		}
		return m
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plain(v.Index(i))
		}
		return list
	case reflect.Map:
		m := map[string]any{}
		for k, e := range v.Seq2() {
			m[k.String()] = plain(e)
		}
		return m
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return v.Bool()
	}
	return json.Number(fmt.Sprint(v))
}
