package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Bounds of a file. A rule file or configuration is a hundredth of these.
const (
	MaxSize   = 1 << 20 // bytes
	maxDepth  = 32      // lists and maps inside each other
	maxErrors = 100     // reported for one file
)

// Parse reads one YAML document. The file's name is for messages only. An
// empty document yields an Absent node. The error is Errors.
func Parse(file string, data []byte) (Node, error) {
	whole := Node{File: file}
	if err := plainUTF8(data); err != nil {
		return whole, Errors{err.at(file)}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, next yaml.Node
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		return whole, nil
	} else if err != nil {
		return whole, Errors{syntaxError(file, err)}
	}
	if err := decoder.Decode(&next); err == nil {
		return whole, Errors{{file, next.Line, next.Column, "a second document begins here: a file holds one"}}
	} else if !errors.Is(err, io.EOF) {
		return whole, Errors{syntaxError(file, err)}
	}
	c := converter{file: file}
	root := c.convert(doc.Content[0], 0)
	if root.Kind == Null {
		root.Kind = Absent
	}
	return root, c.errs.OrNil()
}

// plainUTF8 refuses what yaml.v3 would decode or choke on.
func plainUTF8(data []byte) *Error {
	switch {
	case len(data) > MaxSize:
		return &Error{Msg: fmt.Sprintf("the file is larger than %d bytes", MaxSize)}
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return &Error{Line: 1, Column: 1, Msg: "the file begins with a byte order mark: save it as UTF-8 without one"}
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return &Error{Line: 1, Column: 1, Msg: "the file is UTF-16: save it as UTF-8"}
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 || r == 0 {
			before := data[:i]
			return &Error{
				Line:   1 + bytes.Count(before, []byte("\n")),
				Column: 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]),
				Msg:    fmt.Sprintf("the byte 0x%02x is not UTF-8 text", data[i]),
			}
		}
		i += size
	}
	return nil
}

func (e *Error) at(file string) Error {
	e.File = file
	return *e
}

var yamlError = regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`)

// syntaxError gives yaml.v3's message its place; the library knows the line
// only, and sometimes not even that.
func syntaxError(file string, err error) Error {
	m := yamlError.FindStringSubmatch(err.Error())
	if m == nil {
		return Error{File: file, Msg: "not YAML: " + err.Error()}
	}
	line, _ := strconv.Atoi(m[1])
	return Error{File: file, Line: line, Msg: "not YAML: " + m[2]}
}

type converter struct {
	file string
	errs Errors
}

func (c *converter) errorf(at *yaml.Node, format string, args ...any) {
	if len(c.errs) < maxErrors {
		c.errs = append(c.errs, Error{c.file, at.Line, at.Column, fmt.Sprintf(format, args...)})
	}
}

func (c *converter) convert(y *yaml.Node, depth int) Node {
	n := Node{File: c.file, Line: y.Line, Column: y.Column}
	switch {
	case y.Kind == yaml.AliasNode:
		c.errorf(y, "an alias (*%s) is not accepted here: write the value out", y.Value)
		return n
	case y.Anchor != "":
		c.errorf(y, "an anchor (&%s) is not accepted here", y.Anchor)
		return n
	case y.Style&yaml.TaggedStyle != 0:
		c.errorf(y, "an explicit tag (%s) is not accepted here", y.Tag)
		return n
	case depth > maxDepth:
		c.errorf(y, "more than %d lists and mappings inside each other", maxDepth)
		return n
	}
	switch y.Kind {
	case yaml.SequenceNode:
		n.Kind = List
		for _, item := range y.Content {
			n.Items = append(n.Items, c.convert(item, depth+1))
		}
	case yaml.MappingNode:
		n.Kind = Map
		c.convertMap(&n, y, depth)
	default:
		n.Kind, n.Text = scalarKind(y), y.Value
	}
	return n
}

func (c *converter) convertMap(n *Node, y *yaml.Node, depth int) {
	first := make(map[string]int, len(y.Content)/2)
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Tag == "!!null" {
			c.errorf(key, "a key must be a word")
			continue
		}
		if key.Tag == "!!merge" {
			c.errorf(key, "a merge key (<<) is not accepted here: write the values out")
			continue
		}
		k := c.convert(key, depth+1)
		k.Kind, k.Text = Text, key.Value
		if line, seen := first[key.Value]; seen {
			c.errorf(key, "the key %q is given twice: first on line %d", key.Value, line)
			continue
		}
		first[key.Value] = key.Line
		n.Items = append(n.Items, k, c.convert(value, depth+1))
	}
}

func scalarKind(y *yaml.Node) Kind {
	switch y.Tag {
	case "!!null":
		return Null
	case "!!bool":
		return Bool
	case "!!int":
		return Int
	case "!!float":
		return Float
	}
	return Text
}
