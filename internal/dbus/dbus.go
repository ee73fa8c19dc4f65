// Package dbus asks questions over D-Bus and does nothing else: no services, no
// signals, no file descriptors. What a question changes is its asker's affair:
// no check names a method that changes anything. It speaks what the D-Bus specification calls
// protocol version 1, with messages in this machine's byte order.
//
// It is there because questions to systemd were a quarter of a whole audit:
// many go out in one write here, and an answer is read without reflection and
// no further than it is wanted.
package dbus

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bounds of what is read.
const (
	maxMessage = 16 << 20 // bytes of one message; a list of 1,000 units is 200 KiB
	maxLine    = 4 << 10  // bytes of one line of the greeting
)

// Error is an error that the other side answered.
type Error struct {
	Name    string // "org.freedesktop.DBus.Error.FileNotFound"
	Message string // for people; may be empty
}

func (e Error) Error() string {
	if e.Message != "" {
		return e.Message
	}
	return e.Name
}

// Call is one question: a method and its arguments, which are strings.
type Call struct {
	Destination string // a name on the bus
	Path        string // an object
	Interface   string
	Member      string // the method
	Args        []string
}

// Conn is a connection that several goroutines can ask over at once.
type Conn struct {
	conn *net.UnixConn

	mu      sync.Mutex
	serial  uint32
	waiting map[uint32]waiter
	err     error // why the connection ended
}

// waiter is who waits for an answer, and which of his it is.
type waiter struct {
	answers chan<- indexed
	index   int
}

type indexed struct {
	Answer
	index int
}

// Answer is what came of a question.
type Answer struct {
	Body Decoder
	Err  error // why there is none: an Error when the other side said so
}

// Dial connects to a program that listens at a socket.
func Dial(ctx context.Context, socket string) (*Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	c := &Conn{conn: conn.(*net.UnixConn), waiting: map[uint32]waiter{}}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) }) // wakes what waits
	in := bufio.NewReaderSize(conn, 16<<10)
	err = c.greet(in)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	go c.read(in)
	return c, nil
}

// DialBus is Dial for a message bus, which gives each connection a name first.
func DialBus(ctx context.Context, socket string) (*Conn, error) {
	c, err := Dial(ctx, socket)
	if err != nil {
		return nil, err
	}
	const bus = "org.freedesktop.DBus"
	if _, err := c.Ask(ctx, Call{Destination: bus, Path: "/org/freedesktop/DBus", Interface: bus, Member: "Hello"}); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// greet says who we are: the kernel vouches for it. As sd-bus does, all is
// written at once. The answer comes when the other side has read BEGIN: a
// message that it reads together with BEGIN would lie until the next one.
func (c *Conn) greet(in *bufio.Reader) error {
	uid := hex.EncodeToString([]byte(strconv.Itoa(os.Geteuid())))
	if _, err := c.conn.Write([]byte("\x00AUTH EXTERNAL " + uid + "\r\nBEGIN\r\n")); err != nil {
		return err
	}
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if said := strings.TrimSpace(string(line[:min(len(line), maxLine)])); !strings.HasPrefix(said, "OK") {
		return fmt.Errorf("it does not let us in: %.100q", said)
	}
	return nil
}

// Close ends the connection.
func (c *Conn) Close() { c.end(net.ErrClosed) }

// Ask asks one question and returns what was answered.
func (c *Conn) Ask(ctx context.Context, call Call) (*Decoder, error) {
	answer := c.AskAll(ctx, call)[0]
	return &answer.Body, answer.Err
}

// AskAll asks several questions in one write and returns the answer to each.
func (c *Conn) AskAll(ctx context.Context, calls ...Call) []Answer {
	answers := make([]Answer, len(calls))
	came := make([]bool, len(calls))
	none := func(err error) []Answer {
		for i := range answers {
			if !came[i] {
				answers[i].Err = err
			}
		}
		return answers
	}
	coming := make(chan indexed, len(calls)) // who reads never waits for who asks
	if err := c.send(ctx, calls, coming); err != nil {
		return none(err)
	}
	for range calls {
		select {
		case a := <-coming:
			answers[a.index], came[a.index] = a.Answer, true
		case <-ctx.Done():
			return none(context.Cause(ctx))
		}
	}
	return answers
}

func (c *Conn) send(ctx context.Context, calls []Call, answers chan<- indexed) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	var out []byte
	for i, call := range calls {
		if c.serial++; c.serial == 0 {
			c.serial = 1
		}
		out = appendCall(out, c.serial, call)
		c.waiting[c.serial] = waiter{answers, i}
	}
	deadline, _ := ctx.Deadline() // none: the zero time, which is none here too
	c.conn.SetWriteDeadline(deadline)
	if _, err := c.conn.Write(out); err != nil {
		err = fmt.Errorf("cannot ask: %w", err)
		c.endLocked(err) // a message may be cut in half
		return err
	}
	return nil
}

// read hands out answers until the connection ends.
func (c *Conn) read(in *bufio.Reader) {
	for {
		m, err := readMessage(in)
		if err != nil {
			c.end(fmt.Errorf("the connection ended: %w", err))
			return
		}
		if m.kind != methodReturn && m.kind != methodError {
			continue // a signal
		}
		c.mu.Lock()
		w, expected := c.waiting[m.replyTo]
		delete(c.waiting, m.replyTo)
		c.mu.Unlock()
		if expected {
			w.answers <- indexed{Answer{m.body, m.failure()}, w.index}
		}
	}
}

func (c *Conn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(err)
}

func (c *Conn) endLocked(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	c.conn.Close()
	for _, w := range c.waiting {
		w.answers <- indexed{Answer{Err: err}, w.index}
	}
	clear(c.waiting)
}

// Kinds of messages.
const (
	methodCall   = 1
	methodReturn = 2
	methodError  = 3
)

// Fields of a message's header.
const (
	fieldPath        = 1
	fieldInterface   = 2
	fieldMember      = 3
	fieldErrorName   = 4
	fieldReplySerial = 5
	fieldDestination = 6
	fieldSignature   = 8
)

const (
	flagNoAutoStart = 2
	protocolVersion = 1
	fixedHeader     = 16 // bytes up to the fields
)

// byteOrder is the letter of this machine's byte order.
var byteOrder = map[bool]byte{true: 'l', false: 'B'}[binary.NativeEndian.Uint16([]byte{1, 0}) == 1]

// appendCall appends a message. Its values are aligned from its own start.
func appendCall(out []byte, serial uint32, call Call) []byte {
	start := len(out)
	pad := func(to int) {
		for (len(out)-start)%to != 0 {
			out = append(out, 0)
		}
	}
	text := func(s string) {
		pad(4)
		out = binary.NativeEndian.AppendUint32(out, uint32(len(s)))
		out = append(append(out, s...), 0)
	}
	signature := func(s string) { out = append(append(append(out, byte(len(s))), s...), 0) }
	out = append(out, byteOrder, methodCall, flagNoAutoStart, protocolVersion)
	out = binary.NativeEndian.AppendUint32(out, 0) // the body's length, below
	out = binary.NativeEndian.AppendUint32(out, serial)
	out = binary.NativeEndian.AppendUint32(out, 0) // the fields' length, below
	for _, f := range []struct {
		code             byte
		signature, value string
	}{
		{fieldPath, "o", call.Path},
		{fieldInterface, "s", call.Interface},
		{fieldMember, "s", call.Member},
		{fieldDestination, "s", call.Destination},
	} {
		pad(8)
		out = append(out, f.code)
		signature(f.signature)
		text(f.value)
	}
	if len(call.Args) > 0 {
		pad(8)
		out = append(out, fieldSignature)
		signature("g")
		signature(strings.Repeat("s", len(call.Args)))
	}
	binary.NativeEndian.PutUint32(out[start+12:], uint32(len(out)-start-fixedHeader))
	pad(8)
	body := len(out)
	for _, arg := range call.Args {
		text(arg)
	}
	binary.NativeEndian.PutUint32(out[start+4:], uint32(len(out)-body))
	return out
}

// message is what is kept of a message.
type message struct {
	kind      byte
	replyTo   uint32
	errorName string
	body      Decoder
}

func (m message) failure() error {
	if m.kind != methodError {
		return nil
	}
	e := Error{Name: m.errorName}
	if m.body.Signature == "s" {
		e.Message = m.body.String()
	}
	return e
}

func readMessage(in io.Reader) (message, error) {
	var fixed [fixedHeader]byte
	if _, err := io.ReadFull(in, fixed[:]); err != nil {
		return message{}, err
	}
	if fixed[0] != byteOrder || fixed[3] != protocolVersion {
		return message{}, errors.New("it does not speak D-Bus as this machine does")
	}
	body, fields := binary.NativeEndian.Uint32(fixed[4:]), binary.NativeEndian.Uint32(fixed[12:])
	if body > maxMessage || fields > maxMessage {
		return message{}, fmt.Errorf("a message is over %d bytes", maxMessage)
	}
	padded := (fields + 7) &^ 7
	data := make([]byte, padded+body)
	if _, err := io.ReadFull(in, data); err != nil {
		return message{}, err
	}
	m := message{kind: fixed[1], body: Decoder{data: data[padded:]}}
	for d := (Decoder{data: data[:fields]}); d.more(); {
		d.align(8)
		code := d.Byte()
		switch signature := d.signature(); {
		case code == fieldErrorName && signature == "s":
			m.errorName = d.String()
		case code == fieldReplySerial && signature == "u":
			m.replyTo = d.Uint32()
		case code == fieldSignature && signature == "g":
			m.body.Signature = d.signature()
		default:
			d.Skip(signature)
		}
		if d.err != nil {
			return message{}, fmt.Errorf("a message's header is malformed: %w", d.err)
		}
	}
	return m, nil
}
