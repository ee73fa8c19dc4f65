// Package properties reads Java's .properties files as java.util.Properties
// does (its load method documents the format), and expands Spring's ${…} in
// their values.
package properties

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
)

// Property is one key with its value, unescaped, and the line it begins on.
type Property struct {
	Key, Value string
	Line       int
}

// File is what a .properties file says.
type File struct {
	Name string
	All  []Property // in the file's order, repeated keys too

	last map[string]int // where in All a key's deciding value is
}

// Get returns a key's property. Of several the last counts.
func (f *File) Get(key string) (Property, bool) {
	i, found := f.last[key]
	if !found {
		return Property{}, false
	}
	return f.All[i], true
}

// Parse reads a file's content: ISO 8859-1, as load and Spring Boot read it.
// The error names file and line of an escape that Java refuses.
func Parse(name string, data []byte) (*File, error) {
	f := &File{Name: name, last: map[string]int{}}
	r := reader{data: data, line: 1}
	for r.next() {
		key, value, err := split(r.logical)
		if err != nil {
			return nil, fmt.Errorf("cannot read %s:%d: %w", name, r.start, err)
		}
		f.last[key] = len(f.All)
		f.All = append(f.All, Property{Key: key, Value: value, Line: r.start})
	}
	return f, nil
}

// reader joins natural lines to logical ones.
type reader struct {
	data []byte
	at   int
	line int // of at, from 1

	logical []byte // without leading space, escapes still in it
	start   int    // its first line
}

func (r *reader) next() bool {
	r.logical = r.logical[:0]
	for r.at < len(r.data) {
		if len(r.logical) == 0 {
			r.start = r.line
		}
		text := trimLeft(r.natural())
		if len(r.logical) == 0 && (len(text) == 0 || text[0] == '#' || text[0] == '!') {
			continue // blank, or a comment; neither goes on in the next line
		}
		if continues(text) {
			r.logical = append(r.logical, text[:len(text)-1]...)
			if r.at == len(r.data) && !bytes.HasSuffix(r.data, []byte("\r\n")) {
				return true // nothing may be there, and Java makes a property of it
			}
			continue
		}
		r.logical = append(r.logical, text...)
		return true
	}
	return len(r.logical) > 0
}

// natural takes one line off the data, without its end.
func (r *reader) natural() []byte {
	rest := r.data[r.at:]
	end := bytes.IndexAny(rest, "\r\n")
	if end < 0 {
		end = len(rest)
	}
	r.at += end
	if r.at < len(r.data) {
		r.line++
		if r.data[r.at] == '\r' && r.at+1 < len(r.data) && r.data[r.at+1] == '\n' {
			r.at++
		}
		r.at++
	}
	return rest[:end]
}

// continues: an odd number of backslashes ends the line.
func continues(text []byte) bool {
	n := 0
	for n < len(text) && text[len(text)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\f' }

func trimLeft(text []byte) []byte {
	for len(text) > 0 && isSpace(text[0]) {
		text = text[1:]
	}
	return text
}

// split cuts a logical line at the first space, = or : that is not escaped.
func split(text []byte) (key, value string, err error) {
	end := 0
	for end < len(text) && !isSpace(text[end]) && text[end] != '=' && text[end] != ':' {
		if text[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end, len(text))
	rest := trimLeft(text[end:])
	if len(rest) > 0 && (rest[0] == '=' || rest[0] == ':') {
		rest = trimLeft(rest[1:])
	}
	if key, err = unescape(text[:end]); err != nil {
		return "", "", err
	}
	value, err = unescape(rest)
	return key, value, err
}

var errEscape = errors.New(`\u wants four hexadecimal digits`)

// unescape reads \t \n \r \f and \uXXXX; any other escaped character is itself.
// Surrogates that do not pair become U+FFFD.
func unescape(text []byte) (string, error) {
	units := make([]uint16, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c != '\\' || i+1 == len(text) {
			units = append(units, uint16(c))
			continue
		}
		i++
		switch text[i] {
		case 't':
			units = append(units, '\t')
		case 'n':
			units = append(units, '\n')
		case 'r':
			units = append(units, '\r')
		case 'f':
			units = append(units, '\f')
		case 'u':
			if i+4 >= len(text) {
				return "", errEscape
			}
			n, err := strconv.ParseUint(string(text[i+1:i+5]), 16, 16)
			if err != nil {
				return "", errEscape
			}
			units = append(units, uint16(n))
			i += 4
		default:
			units = append(units, uint16(text[i]))
		}
	}
	return string(utf16.Decode(units)), nil
}
