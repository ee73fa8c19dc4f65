// Package valuefile finds settings by their keys in files of the usual formats:
// Java properties, KEY=VALUE, ini, JSON and YAML. Files may be anybody's: what
// they expand to is bounded. Values may be secrets: errors name lines, never
// what stands there.
package valuefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/hostguard/hostguard/internal/properties"
)

// A Value is one setting of a file. In what is nested its key has the keys on the
// way, joined by dots, and numbers of lists: "servers[0].tls.min".
type Value struct {
	Key, Text string
	Line      int
}

// Formats are those that Read knows.
var Formats = []string{"properties", "keyvalue", "ini", "json", "yaml"}

// Bounds of what a file may say: aliases name the same many times.
const (
	maxValues = 20_000
	maxDepth  = 32
	maxKey    = 4096
)

var errMuch = fmt.Errorf("it says more than %d things, or is nested deeper than %d", maxValues, maxDepth)

// Read returns all settings of a file in its order. Of several with one key the
// last counts.
func Read(format, name string, data []byte) ([]Value, error) {
	var values []Value
	var err error
	switch format {
	case "properties":
		var f *properties.File
		if f, err = properties.Parse(name, data); err != nil {
			return nil, err
		}
		for _, p := range f.All {
			values = append(values, Value{p.Key, p.Value, p.Line})
		}
	case "keyvalue", "ini":
		values = lines(data, format == "ini")
	case "json":
		values, err = JSON(data)
	case "yaml":
		values, err = YAML(data)
	default:
		return nil, fmt.Errorf("%q is none of the formats %s", format, strings.Join(Formats, ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	return values, nil
}

// Last returns the value that counts for a key.
func Last(values []Value, key string) (Value, bool) {
	for i := len(values) - 1; i >= 0; i-- {
		if values[i].Key == key {
			return values[i], true
		}
	}
	return Value{}, false
}

// lines reads KEY=VALUE, one a line. Blanks around both go, and one pair of
// quotes; what begins with # or ; is a comment. In an ini file a line [SECTION]
// puts "SECTION." before the keys after it.
func lines(data []byte, sections bool) []Value {
	var values []Value
	section, line := "", 0
	for raw := range bytes.Lines(data) {
		line++
		text := strings.TrimSpace(string(raw))
		if text == "" || text[0] == '#' || text[0] == ';' {
			continue
		}
		if sections && text[0] == '[' && strings.HasSuffix(text, "]") {
			section = strings.TrimSpace(text[1:len(text)-1]) + "."
			continue
		}
		key, value, assigned := strings.Cut(text, "=")
		if !assigned {
			continue
		}
		value = strings.TrimSpace(value)
		if n := len(value); n > 1 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		values = append(values, Value{section + strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(key), "export ")), value, line})
	}
	return values
}

// JSON flattens a JSON text; null is an empty text.
func JSON(data []byte) ([]Value, error) {
	j := jsonReader{data: data, decoder: json.NewDecoder(bytes.NewReader(data))}
	j.decoder.UseNumber()
	if err := j.value("", 0); err != nil {
		return nil, err
	}
	if _, err := j.decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON text")
	}
	return j.values, nil
}

type jsonReader struct {
	data    []byte
	decoder *json.Decoder
	values  []Value
	line    int // of counted
	counted int64
	things  int
}

func (j *jsonReader) value(key string, depth int) error {
	if j.things++; j.things > maxValues || depth > maxDepth || len(key) > maxKey {
		return errMuch
	}
	token, err := j.decoder.Token()
	if err != nil {
		return errors.New("it is not JSON") // JSON's own message quotes it
	}
	delim, nested := token.(json.Delim)
	if !nested {
		offset := j.decoder.InputOffset()
		j.line += bytes.Count(j.data[j.counted:offset], []byte("\n"))
		j.counted = offset
		text := ""
		if token != nil {
			text = fmt.Sprint(token)
		}
		j.values = append(j.values, Value{key, text, j.line + 1})
		return nil
	}
	for i := 0; j.decoder.More(); i++ {
		within := key + "[" + strconv.Itoa(i) + "]"
		if delim == '{' {
			name, err := j.decoder.Token()
			if err != nil {
				return errors.New("it is not JSON")
			}
			within = join(key, fmt.Sprint(name))
		}
		if err := j.value(within, depth+1); err != nil {
			return err
		}
	}
	if _, err := j.decoder.Token(); err != nil {
		return errors.New("it is not JSON")
	}
	return nil
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// YAML flattens the documents of a YAML text; null is an empty text.
func YAML(data []byte) ([]Value, error) {
	f := yamlReader{}
	for d := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return f.values, nil
		}
		if err != nil {
			return nil, errors.New("it is not YAML") // YAML's own message quotes it
		}
		for _, n := range doc.Content {
			if err := f.add("", n, 0); err != nil {
				return nil, err
			}
		}
	}
}

type yamlReader struct {
	values []Value
	things int
}

func (f *yamlReader) add(key string, n *yaml.Node, depth int) error {
	if f.things++; f.things > maxValues || depth > maxDepth || len(key) > maxKey {
		return errMuch
	}
	switch n.Kind {
	case yaml.AliasNode:
		return f.add(key, n.Alias, depth+1)
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Tag == "!!merge" {
				return errors.New("its merge keys are not understood by this version of hostguard")
			}
			if err := f.add(join(key, n.Content[i].Value), n.Content[i+1], depth+1); err != nil {
				return err
			}
		}
	case yaml.SequenceNode:
		for i, e := range n.Content {
			if err := f.add(key+"["+strconv.Itoa(i)+"]", e, depth+1); err != nil {
				return err
			}
		}
	case yaml.ScalarNode:
		text := n.Value
		if n.Tag == "!!null" {
			text = ""
		}
		f.values = append(f.values, Value{key, text, n.Line})
	}
	return nil
}
