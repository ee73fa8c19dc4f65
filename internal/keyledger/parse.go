package keyledger

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf16"
)

// line reads one line from the left. The form is fixed, down to the order of
// the fields and the escapes: no two programs can read it differently.
type line struct {
	rest []byte
	err  error
}

func (l *line) fail(format string, args ...any) {
	if l.err == nil {
		l.err = fmt.Errorf(format, args...)
	}
}

// expect takes a fixed piece.
func (l *line) expect(piece string) {
	if l.err != nil {
		return
	}
	if len(l.rest) < len(piece) || string(l.rest[:len(piece)]) != piece {
		l.fail("%q is missing where it should stand", piece)
		return
	}
	l.rest = l.rest[len(piece):]
}

// take takes n bytes.
func (l *line) take(n int) []byte {
	if l.err == nil && len(l.rest) < n {
		l.fail("the line is cut short")
	}
	if l.err != nil {
		return nil
	}
	b := l.rest[:n]
	l.rest = l.rest[n:]
	return b
}

func (l *line) number() int {
	n := 0
	for n < len(l.rest) && l.rest[n] >= '0' && l.rest[n] <= '9' {
		n++
	}
	digits := string(l.take(n))
	value, err := strconv.ParseInt(digits, 10, 32)
	if l.err == nil && (err != nil || digits[0] == '0') {
		l.fail("%q is no sequence number", digits)
	}
	return int(value)
}

func (l *line) hash() Hash {
	text := string(l.take(64))
	if l.err != nil {
		return Hash{}
	}
	h, err := ParseHash(text)
	if err != nil {
		l.err = err
	}
	return h
}

func (l *line) time() time.Time {
	text := string(l.take(len(timeForm)))
	if l.err != nil {
		return time.Time{}
	}
	t, err := time.Parse(timeForm, text)
	if err != nil {
		l.fail("%q is no time", text)
	}
	return t
}

// plain takes what stands before the next quotation mark.
func (l *line) plain() []byte {
	for i, c := range l.rest {
		if c == '"' {
			return l.take(i)
		}
	}
	l.fail("a quotation mark is missing")
	return nil
}

// text takes a JSON string in the spelling of appendText.
func (l *line) text() string {
	l.expect(`"`)
	for i, c := range l.rest { // most need no second look
		if c == '"' {
			s := string(l.take(i))
			l.expect(`"`)
			return s
		}
		if c == '\\' || c < ' ' || c > '~' {
			break
		}
	}
	var out []rune
	for l.err == nil {
		c := l.take(1)
		switch {
		case c == nil:
		case c[0] == '"':
			return string(out)
		case c[0] == '\\':
			out = append(out, l.escaped())
		case c[0] < ' ' || c[0] > '~':
			l.fail("the byte %#02x is not ASCII", c[0])
		default:
			out = append(out, rune(c[0]))
		}
	}
	return ""
}

// escaped takes what follows a backslash.
func (l *line) escaped() rune {
	switch c := l.take(1); {
	case c == nil:
	case c[0] == '"' || c[0] == '\\':
		return rune(c[0])
	case c[0] == 'u':
		r := l.unit()
		if utf16.IsSurrogate(r) {
			l.expect(`\u`)
			if r = utf16.DecodeRune(r, l.unit()); r == 0xfffd {
				l.fail("an escape is no character")
			}
		}
		if r >= ' ' && r <= '~' {
			l.fail("an escape stands for a character that needs none")
		}
		return r
	default:
		l.fail(`there is no escape \%c`, c[0])
	}
	return 0
}

func (l *line) unit() rune {
	var r rune
	for _, c := range l.take(4) {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		default:
			l.fail("an escape has the digit %q", c)
		}
	}
	return r
}

func (l *line) end() error {
	if l.err == nil && len(l.rest) > 0 {
		l.fail("something follows the end of the object")
	}
	return l.err
}

// parseEvent reads a line without its newline. What it takes, AppendLine gives
// back byte for byte.
func parseEvent(data []byte) (Event, error) {
	var e Event
	l := line{rest: data}
	l.expect(`{"seq":`)
	e.Sequence = l.number()
	l.expect(`,"prev":"`)
	e.Previous = l.hash()
	l.expect(`","time":"`)
	e.Time = l.time()
	l.expect(`","event":"`)
	e.Kind = kindOf(l.plain())
	if l.err == nil && e.Kind == 0 {
		l.fail("there is no such event")
	}
	l.expect(`"`)
	for _, f := range e.texts() {
		l.expect(`,"`)
		l.expect(f.name)
		l.expect(`":`)
		*f.text = l.text()
	}
	l.expect(`}`)
	if err := l.end(); err != nil {
		return e, err
	}
	return e, e.Validate()
}

func kindOf(name []byte) Kind {
	for k := Enrolled; int(k) < len(kindNames); k++ {
		if string(name) == kindNames[k] {
			return k
		}
	}
	return 0
}

// parseCheckpoint reads a line without its newline. What it takes, appendLine
// gives back byte for byte.
func parseCheckpoint(data []byte) (checkpoint, error) {
	var c checkpoint
	l := line{rest: data}
	l.expect(`{"seq":`)
	c.sequence = l.number()
	l.expect(`,"head":"`)
	c.head = l.hash()
	l.expect(`","prev":"`)
	c.previous = l.hash()
	l.expect(`","time":"`)
	c.time = l.time()
	l.expect(`","signature":"`)
	text := l.plain()
	l.expect(`"}`)
	if err := l.end(); err != nil {
		return c, err
	}
	var err error
	if c.signature, err = base64.StdEncoding.Strict().DecodeString(string(text)); err != nil {
		return c, errors.New("its signature is not base64")
	}
	if base64.StdEncoding.EncodedLen(len(c.signature)) != len(text) {
		return c, errors.New("its signature is not base64") // the decoder passes over line ends
	}
	return c, nil
}
