package strictyaml

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Unmarshaler is implemented by types that read a node themselves.
type Unmarshaler interface{ UnmarshalNode(Node) error }

// Decode reads the node over the value that into points to, strictly. The
// error is Errors, every one that was found.
//
// Struct fields are named by their `yaml:"name"` tag; `yaml:",inline"` and
// embedded structs lend their fields; a field without the tag is not read. A
// key that is not given leaves its field as it is, unless the field is tagged
// `required:"true"`. Lists and maps replace what was there, structs are read
// key by key. Scalars are string, bool, the integers and floats, and whatever
// implements encoding.TextUnmarshaler. A field of type Node keeps the node.
func (n Node) Decode(into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic("strictyaml: Decode wants a pointer")
	}
	var d decoder
	d.decode(n, v.Elem())
	return d.errs.OrNil()
}

type decoder struct{ errs Errors }

func (d *decoder) errorf(at Node, format string, args ...any) {
	if len(d.errs) < maxErrors {
		d.errs = append(d.errs, at.Errorf(format, args...))
	}
}

var nodeType = reflect.TypeFor[Node]()

func (d *decoder) decode(n Node, v reflect.Value) {
	if v.Type() == nodeType {
		v.Set(reflect.ValueOf(n))
		return
	}
	if n.Kind == Null {
		d.errorf(n, "there is no value: give one, or leave the key out")
		return
	}
	switch custom := v.Addr().Interface().(type) {
	case Unmarshaler:
		d.errs.Add(n, custom.UnmarshalNode(n))
		return
	case encoding.TextUnmarshaler:
		if n.Kind == List || n.Kind == Map {
			d.errorf(n, "want a single value, got %s", n.is())
		} else if n.Kind != Absent {
			d.errs.Add(n, custom.UnmarshalText([]byte(n.Text)))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.decodeStruct(n, v)
	case reflect.Pointer:
		fresh := reflect.New(v.Type().Elem())
		if !v.IsNil() {
			fresh.Elem().Set(v.Elem()) // the old one may be shared
		}
		d.decode(n, fresh.Elem())
		v.Set(fresh)
	case reflect.Slice:
		if d.is(n, List, "a list") {
			fresh := reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items))
			for i, item := range n.Items {
				d.decode(item, fresh.Index(i))
			}
			v.Set(fresh)
		}
	case reflect.Map:
		if d.is(n, Map, "a mapping") {
			fresh := reflect.MakeMapWithSize(v.Type(), len(n.Items)/2)
			for i := 0; i+1 < len(n.Items); i += 2 {
				value := reflect.New(v.Type().Elem()).Elem()
				d.decode(n.Items[i+1], value)
				fresh.SetMapIndex(reflect.ValueOf(n.Items[i].Text).Convert(v.Type().Key()), value)
			}
			v.Set(fresh)
		}
	default:
		d.decodeScalar(n, v)
	}
}

// is reports whether the node has the kind, and an error when it has not. An
// Absent node, the root of an empty file, has no kind and no error.
func (d *decoder) is(n Node, want Kind, name string) bool {
	if n.Kind != want && n.Kind != Absent {
		d.errorf(n, "want %s, got %s", name, n.is())
	}
	return n.Kind == want
}

func (d *decoder) decodeStruct(n Node, v reflect.Value) {
	if n.Kind != Map && n.Kind != Absent {
		d.errorf(n, "want a mapping, got %s", n.is())
		return
	}
	fields := FieldsOf(v.Type())
	for i := 0; i+1 < len(n.Items); i += 2 {
		key, value := n.Items[i], n.Items[i+1]
		at := slices.IndexFunc(fields, func(f Field) bool { return f.Name == key.Text })
		if at < 0 {
			names := make([]string, len(fields))
			for i, f := range fields {
				names[i] = f.Name
			}
			d.errorf(key, "unknown key %q%s", key.Text, Suggest(key.Text, names))
			continue
		}
		if value.Kind == Null {
			value.Line, value.Column = key.Line, key.Column
		}
		d.decode(value, v.FieldByIndex(fields[at].Index))
	}
	for _, f := range fields {
		if f.Required && n.Get(f.Name).Kind == Absent {
			d.errorf(n, "missing key %q", f.Name)
		}
	}
}

func (d *decoder) decodeScalar(n Node, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		switch n.Kind {
		case Text:
			v.SetString(n.Text)
		case Bool, Int, Float:
			d.errorf(n, "want text, got %s: put it in quotes", n.is())
		default:
			d.is(n, Text, "text")
		}
	case reflect.Bool:
		if d.is(n, Bool, "true or false") {
			v.SetBool(strings.EqualFold(n.Text, "true"))
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if d.is(n, Int, "a whole number") {
			i, err := strconv.ParseInt(n.Text, 10, v.Type().Bits())
			if err != nil || !plainNumber(n.Text) {
				d.errorf(n, "want a whole number in decimal of at most %d bits, got %q", v.Type().Bits(), n.Text)
				return
			}
			v.SetInt(i)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if d.is(n, Int, "a whole number") {
			u, err := strconv.ParseUint(n.Text, 10, v.Type().Bits())
			if err != nil || !plainNumber(n.Text) {
				d.errorf(n, "want a whole number in decimal, 0 or more, of at most %d bits, got %q", v.Type().Bits(), n.Text)
				return
			}
			v.SetUint(u)
		}
	case reflect.Float32, reflect.Float64:
		if n.Kind == Int || d.is(n, Float, "a number") {
			f, err := strconv.ParseFloat(n.Text, v.Type().Bits())
			if err != nil || f != f || f-f != 0 { // neither NaN nor infinite
				d.errorf(n, "want a decimal number, got %q", n.Text)
				return
			}
			v.SetFloat(f)
		}
	default:
		panic(fmt.Sprintf("strictyaml: a field cannot have type %v", v.Type()))
	}
}

// plainNumber refuses 0600, which YAML 1.1 reads as octal and people as they please.
func plainNumber(s string) bool {
	digits := strings.TrimLeft(s, "+-")
	return digits == "0" || !strings.HasPrefix(digits, "0")
}

// Field is one key of a struct as Decode reads it. Schemas and pages of
// documentation are made from the same list.
type Field struct {
	Name     string // the key
	Doc      string // the doc tag
	Required bool
	Type     reflect.Type
	Index    []int // for reflect's FieldByIndex
}

var fieldCache sync.Map // reflect.Type → []Field

// FieldsOf lists the keys of a struct type in the order of its fields.
func FieldsOf(t reflect.Type) []Field {
	if cached, ok := fieldCache.Load(t); ok {
		return cached.([]Field)
	}
	var fields []Field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case options == "inline" || f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			for _, inner := range FieldsOf(f.Type) {
				inner.Index = append([]int{i}, inner.Index...)
				fields = append(fields, inner)
			}
		case name != "" && name != "-" && f.IsExported():
			fields = append(fields, Field{name, f.Tag.Get("doc"), f.Tag.Get("required") == "true", f.Type, []int{i}})
		}
	}
	fieldCache.Store(t, fields)
	return fields
}

// Suggest ends an "unknown …" message: the known word that was meant, when
// one is near, else what is known, when that is not much.
func Suggest(word string, known []string) string {
	best, distance := "", 1+max(1, len(word)/3)
	for _, k := range slices.Sorted(slices.Values(known)) {
		if d := editDistance(strings.ToLower(word), strings.ToLower(k)); d < distance {
			best, distance = k, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf(": did you mean %q?", best)
	case len(known) == 0:
		return ": none is known here"
	case len(known) <= 15:
		return ": known are " + strings.Join(known, ", ")
	}
	return ""
}

// editDistance is the number of letters to insert, drop, change or swap with
// their neighbour to make b of a; words over 64 letters are far from anything.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
