// Package strictyaml reads YAML that people write by hand and programs act
// on: everything unknown, doubled, missing or of the wrong type is an error
// with its file, line and column, and all errors are reported at once.
//
// It takes the plain part of YAML 1.2: mappings with text keys, lists and
// scalars. Anchors, aliases, merge keys, explicit tags, several documents and
// encodings other than UTF-8 are refused: no rule or configuration needs them,
// and each has been a way to say one thing and mean another.
package strictyaml

import (
	"fmt"
	"strings"
)

// Kind is what a node holds. The zero value is Absent.
type Kind uint8

// The kinds of nodes. Dates count as Text; so do yes, no, on and off.
const (
	Absent Kind = iota // nothing is there: an empty file, a key that was not given
	Null               // a key without a value, or ~
	Text
	Bool
	Int
	Float
	List
	Map
)

// Node is a piece of a parsed file that remembers where it stands.
type Node struct {
	File         string
	Line, Column int // 1-based
	Kind         Kind
	Text         string // a scalar as written, quotes removed
	Items        []Node // the items of a list; the keys and values of a map, alternating
}

// Get returns the value that a path of keys leads to, and an Absent node when
// there is none.
func (n Node) Get(path ...string) Node {
	for _, key := range path {
		n = n.get(key)
	}
	return n
}

func (n Node) get(key string) Node {
	if n.Kind == Map {
		for i := 0; i+1 < len(n.Items); i += 2 {
			if n.Items[i].Text == key {
				return n.Items[i+1]
			}
		}
	}
	return Node{File: n.File}
}

// Key returns the node of a key itself, for errors about its name.
func (n Node) Key(key string) Node {
	if n.Kind == Map {
		for i := 0; i+1 < len(n.Items); i += 2 {
			if n.Items[i].Text == key {
				return n.Items[i]
			}
		}
	}
	return Node{File: n.File}
}

// Under returns a map that holds n at key, with n's own place.
func (n Node) Under(key string) Node {
	k := Node{File: n.File, Line: n.Line, Column: n.Column, Kind: Text, Text: key}
	return Node{File: n.File, Line: n.Line, Column: n.Column, Kind: Map, Items: []Node{k, n}}
}

// Place is "file:line:column", shortened when the node has no line.
func (n Node) Place() string { return n.Errorf("").place() }

// Errorf returns an error at the node's place.
func (n Node) Errorf(format string, args ...any) Error {
	return Error{File: n.File, Line: n.Line, Column: n.Column, Msg: fmt.Sprintf(format, args...)}
}

// is says what the node holds, for messages.
func (n Node) is() string {
	switch n.Kind {
	case Absent, Null:
		return "nothing"
	case Text:
		return fmt.Sprintf("%q", n.Text)
	case Bool:
		return n.Text
	case Int, Float:
		return "the number " + n.Text
	case List:
		return "a list"
	default:
		return "a mapping"
	}
}

// Error is one thing that is wrong, and where.
type Error struct {
	File         string
	Line, Column int // 1-based; 0 when not known
	Msg          string
}

func (e Error) Error() string {
	if p := e.place(); p != "" {
		return p + ": " + e.Msg
	}
	return e.Msg
}

func (e Error) place() string {
	switch {
	case e.Line > 0 && e.Column > 0:
		return fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column)
	case e.Line > 0:
		return fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	return e.File
}

// Errors are all errors of a file, or of several, in order.
type Errors []Error

func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Add appends err: every single error when it is an Error or Errors, else one
// at the place of at. A nil err adds nothing.
func (es *Errors) Add(at Node, err error) {
	switch e := err.(type) {
	case nil:
	case Errors:
		*es = append(*es, e...)
	case Error:
		*es = append(*es, e)
	default:
		*es = append(*es, at.Errorf("%v", err))
	}
}

// OrNil returns nil as an error when there are no errors.
func (es Errors) OrNil() error {
	if len(es) == 0 {
		return nil
	}
	return es
}
