package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/hostguard/hostguard/internal/lazyregexp"
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
		return whole, Errors{syntaxError(file, data, err)}
	}
	if err := decoder.Decode(&next); err == nil {
		return whole, Errors{{file, next.Line, next.Column, "a second document begins here: a file holds one"}}
	} else if !errors.Is(err, io.EOF) {
		return whole, Errors{syntaxError(file, data, err)}
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
		line, column := 0, 0
		if r == utf8.RuneError && size == 1 || !isYAML(r) {
			line, column = position(data, i)
		}
		switch {
		case r == utf8.RuneError && size == 1:
			return &Error{Line: line, Column: column, Msg: fmt.Sprintf("the byte 0x%02x is not UTF-8 text", data[i])}
		case !isYAML(r):
			return &Error{Line: line, Column: column, Msg: fmt.Sprintf("the control character %U has no place in YAML", r)}
		}
		i += size
	}
	return nil
}

// isYAML reports whether a character may stand in a YAML stream (YAML 1.2,
// c-printable).
func isYAML(r rune) bool {
	switch {
	case r < 0x20:
		return r == '\t' || r == '\n' || r == '\r'
	case r >= 0x7f && r < 0xa0:
		return r == 0x85
	}
	return r != 0xfeff && r != 0xfffe && r != 0xffff
}

// position is the line and column, both from 1, of an offset.
func position(data []byte, at int) (line, column int) {
	before := data[:at]
	return 1 + bytes.Count(before, []byte("\n")), 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
}

func (e *Error) at(file string) Error {
	e.File = file
	return *e
}

var (
	yamlError     = lazyregexp.New(`(?s)^yaml: (?:line \d+: )?(.*)$`)
	unknownAnchor = lazyregexp.New(`^unknown anchor '(.*)' referenced$`)
)

// syntaxError gives yaml.v3's message its place. The library names the line
// at which the enclosing mapping begins, one before, or none: the line at fault
// is the last of the shortest beginning of the file that has the same error.
func syntaxError(file string, data []byte, err error) Error {
	msg := syntaxMessage(err)
	if m := unknownAnchor().FindStringSubmatch(msg); m != nil {
		at := max(0, bytes.Index(data, []byte("*"+m[1])))
		line, column := position(data, at)
		return Error{file, line, column, fmt.Sprintf("an alias (*%s) is not accepted here: write the value out", m[1])}
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	line := 1 + sort.Search(len(lines)-1, func(i int) bool {
		var n yaml.Node
		err := yaml.Unmarshal(bytes.Join(lines[:i+1], nil), &n)
		return err != nil && syntaxMessage(err) == msg
	})
	return Error{File: file, Line: line, Msg: "not YAML: " + msg}
}

func syntaxMessage(err error) string {
	if m := yamlError().FindStringSubmatch(err.Error()); m != nil {
		return m[1]
	}
	return err.Error()
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
