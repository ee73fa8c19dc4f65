package keyledger

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"
)

// Problem is what shows that a ledger is not as it was written.
type Problem struct {
	File string // one of the ledger's files
	Line int    // 1-based, 0: the whole file
	What string // follows "line 3 "
}

func (p *Problem) Error() string {
	if p.Line == 0 {
		return p.File + " " + p.What
	}
	return fmt.Sprintf("%s:%d: the line %s", p.File, p.Line, p.What)
}

// Files are a ledger's files. A file that is absent is nil.
type Files struct {
	Ledger, Checkpoints io.Reader
	Signers             []byte // of SignersFile
}

// Ledger is a ledger that was read and found unchanged since it was written.
type Ledger struct {
	Sequence int   // the number of events, unsigned ones included
	Head     Hash  // of the last event, zero when there is none
	Signed   int   // how many events the signatures cover; those after are unsigned
	Size     int64 // bytes of the events
	Torn     int64 // bytes that follow them: a write that did not come to its end
	State    *State
	Signer   string    // fingerprint of the key that made the last signature
	SignedAt time.Time // when, by its own word

	// Checkpoints are as many as there are; CheckpointSize and TornCheckpoint
	// are bytes like Size and Torn.
	Checkpoints    int
	CheckpointSize int64
	TornCheckpoint int64

	checkpointHead Hash // of the last checkpoint's line
	hashes         []Hash
	lastPoint      int // the event of the last checkpoint met while reading
}

// Find returns the number of the event whose hash is h, 0 for the hash of no
// event: a ledger with the head h, and one that had it, differ in later events
// only.
func (l *Ledger) Find(h Hash) int {
	for i := range l.hashes {
		if l.hashes[i] == h {
			return i + 1
		}
	}
	return 0
}

// HeadOf returns the hash of an event, zero when there is no such event.
func (l *Ledger) HeadOf(sequence int) Hash {
	if sequence < 1 || sequence > len(l.hashes) {
		return Hash{}
	}
	return l.hashes[sequence-1]
}

// Unsigned is how many events follow the last signature: an append that did not
// come to its end. They do not count before they are signed.
func (l *Ledger) Unsigned() int { return l.Sequence - l.Signed }

// Options say how to read.
type Options struct {
	// EverySignature checks each checkpoint's signature. The last one alone
	// covers all lines of both files that it has before it.
	EverySignature bool
	Visit          func(*Event) // called for each event in turn, when not nil, before all is known to be right
}

// ErrUnstarted is Read's error for files that hold no event and no checkpoint.
var ErrUnstarted = errors.New("there is no key ledger")

// Read reads a ledger and proves that it is whole. What shows that it is not is
// a *Problem; other errors are those of the readers.
//
// An append writes events, then their checkpoint. One that was cut off leaves
// events without checkpoint, or a last line without its end: that is no problem,
// and does not count (Torn, Unsigned, TornCheckpoint).
func Read(files Files, o Options) (*Ledger, error) {
	l := &Ledger{State: newState()}
	points, err := l.readCheckpoints(newLineReader(CheckpointsFile, files.Checkpoints), files.Signers, o)
	if err != nil {
		return nil, err
	}
	if err := l.readEvents(newLineReader(LedgerFile, files.Ledger), points, o); err != nil {
		return nil, err
	}
	if l.Sequence == 0 && l.Torn == 0 && l.Checkpoints == 0 && l.TornCheckpoint == 0 {
		return nil, ErrUnstarted
	}
	return l, nil
}

// lineReader reads lines and remembers how much of the file they are.
type lineReader struct {
	file  string
	in    *bufio.Reader
	size  int64 // of the complete lines
	lines int   // complete ones
	torn  int64 // bytes after the last newline

	endChanged bool // another byte stands in the place of the last newline: no write leaves that
}

func newLineReader(file string, r io.Reader) *lineReader {
	if r == nil {
		r = bytes.NewReader(nil)
	}
	return &lineReader{file: file, in: bufio.NewReaderSize(r, maxLine)}
}

// next returns the next complete line with its newline, which is valid until
// the next call; nil at the end.
func (r *lineReader) next() ([]byte, error) {
	data, err := r.in.ReadSlice('\n')
	switch {
	case err == nil:
		r.lines++
		r.size += int64(len(data))
		if r.size > MaxFile {
			return nil, fmt.Errorf("cannot read %s: it is larger than %d MiB", r.file, MaxFile>>20)
		}
		return data, nil
	case errors.Is(err, io.EOF):
		r.torn = int64(len(data))
		r.endChanged = len(data) > 2 && string(data[len(data)-3:len(data)-1]) == "\"}" && data[len(data)-1] != 0
		return nil, nil
	case errors.Is(err, bufio.ErrBufferFull):
		rest, err := io.Copy(io.Discard, io.LimitReader(r.in, MaxFile))
		if err == nil && bytes.IndexByte(data, 0) >= 0 && rest < MaxFile { // as a power cut leaves it
			r.torn = int64(len(data)) + rest
			return nil, nil
		}
		return nil, &Problem{r.file, r.lines + 1, "is longer than any that hostguard writes"}
	}
	return nil, fmt.Errorf("cannot read %s: %w", r.file, err)
}

// point is what is kept of a checkpoint to hold the ledger against.
type point struct {
	sequence int
	head     Hash
}

// readCheckpoints reads the checkpoints, each of which must follow the one
// before, and verifies the last one's signature.
func (l *Ledger) readCheckpoints(in *lineReader, allowed []byte, o Options) ([]point, error) {
	var points []point
	var signers []Signer
	var last checkpoint
	for {
		data, err := in.next()
		if err != nil {
			return nil, err
		}
		if data == nil {
			break
		}
		if signers == nil {
			var bad *Problem
			if signers, bad = parseSigners(allowed); bad != nil {
				return nil, bad
			}
		}
		problem := func(format string, args ...any) error {
			return &Problem{CheckpointsFile, in.lines, fmt.Sprintf(format, args...)}
		}
		c, err := parseCheckpoint(data[:len(data)-1])
		hash := Hash(sha256.Sum256(data))
		switch {
		case err != nil:
			return nil, problem("is no checkpoint: %v", err)
		case c.previous != l.checkpointHead:
			return nil, &Problem{CheckpointsFile, changedCheckpoint(in.lines, &last, &c, signers), "was changed, or lines were moved or taken out"}
		case c.sequence <= l.Signed:
			return nil, problem("goes back from event %d to %d", l.Signed, c.sequence)
		}
		if o.EverySignature {
			if _, err := verify(signers, c.message(), c.signature); err != nil {
				return nil, problem("does not hold: %v", err)
			}
		}
		last, l.checkpointHead, l.Signed = c, hash, c.sequence
		points = append(points, point{c.sequence, c.head})
	}
	l.Checkpoints, l.CheckpointSize, l.TornCheckpoint = in.lines, in.size, in.torn
	if in.endChanged {
		return nil, &Problem{CheckpointsFile, in.lines + 1, "was changed: it is whole but for its end"}
	}
	if len(points) == 0 {
		return nil, nil
	}
	signer, err := verify(signers, last.message(), last.signature)
	if err != nil {
		return nil, &Problem{CheckpointsFile, in.lines, fmt.Sprintf("does not hold: %v", err)}
	}
	l.SignedAt, l.Signer = last.time, signer.Fingerprint()
	return points, nil
}

// changedCheckpoint says which of two checkpoints that do not fit together was
// changed, by their signatures: the one just read with this number, or the one
// before it. Where both hold they stand in the wrong place.
func changedCheckpoint(number int, before, c *checkpoint, signers []Signer) int {
	if number == 1 {
		return number
	}
	_, err := verify(signers, c.message(), c.signature)
	_, errBefore := verify(signers, before.message(), before.signature)
	if err == nil && errBefore != nil {
		return number - 1
	}
	return number
}

// readEvents reads the events, each of which must follow the one before and
// have the hash that a checkpoint says.
func (l *Ledger) readEvents(in *lineReader, points []point, o Options) error {
	var unsigned time.Time // of the events without signature, which are of one append
	for {
		data, err := in.next()
		if err != nil {
			return err
		}
		if data == nil {
			break
		}
		e, err := parseEvent(data[:len(data)-1])
		hash := Hash(sha256.Sum256(data))
		var bad *Problem
		switch {
		case err != nil:
			bad = &Problem{LedgerFile, in.lines, fmt.Sprintf("is no event: %v", err)}
		case e.Sequence != in.lines:
			bad = &Problem{LedgerFile, in.lines, fmt.Sprintf("is event %d: lines were moved, taken out or put in", e.Sequence)}
		case e.Previous != l.Head:
			bad = &Problem{LedgerFile, l.changedOf(in, hash, points), "was changed after it was written"}
		case len(points) > 0 && points[0].sequence == e.Sequence && points[0].head != hash:
			bad = &Problem{LedgerFile, in.lines, "was changed after it was signed"}
		}
		if bad != nil {
			if torn, ok := l.tornAt(in, data, len(points)); ok {
				l.Torn = torn
				return nil
			}
			return bad
		}
		earlier := l.lastPoint
		switch {
		case len(points) > 0:
			if points[0].sequence == e.Sequence {
				points, l.lastPoint = points[1:], e.Sequence
			}
		case unsigned.IsZero():
			unsigned = e.Time
		case !e.Time.Equal(unsigned):
			return &Problem{LedgerFile, in.lines, fmt.Sprintf("belongs to another append than line %d, and neither is signed: checkpoints were taken out of %s", l.Signed+1, CheckpointsFile)}
		}
		l.Sequence, l.Head, l.Size = in.lines, hash, in.size
		l.hashes = append(l.hashes, hash)
		if e.Sequence <= l.Signed {
			l.State.apply(&e, earlier)
		}
		if o.Visit != nil {
			o.Visit(&e)
		}
	}
	if len(points) > 0 {
		return &Problem{LedgerFile, in.lines + 1, fmt.Sprintf("is missing or cut short: %d events were signed", l.Signed)}
	}
	l.Torn = in.torn
	return nil
}

// changedOf says which of two lines that do not fit together was changed: the
// one just read, whose hash is given, or the one before it. It may read on.
func (l *Ledger) changedOf(in *lineReader, hash Hash, points []point) int {
	number := in.lines
	if number == 1 || l.lastPoint == number-1 { // the one before is as it was signed
		return number
	}
	if len(points) > 0 && points[0].sequence == number {
		if points[0].head == hash {
			return number - 1
		}
		return number
	}
	if data, err := in.next(); err == nil && data != nil {
		if e, err := parseEvent(data[:len(data)-1]); err == nil && e.Previous == hash {
			return number - 1 // as it was when the line after it was written
		}
	}
	return number
}

// tornAt reports whether a line that makes no sense is the leaving of a power
// cut in the middle of the last append: nothing from there on is signed, and
// blocks that were never written read as zeros.
func (l *Ledger) tornAt(in *lineReader, data []byte, points int) (int64, bool) {
	if points > 0 || bytes.IndexByte(data, 0) < 0 {
		return 0, false
	}
	rest, err := io.Copy(io.Discard, io.LimitReader(in.in, MaxFile))
	return int64(len(data)) + rest, err == nil && rest < MaxFile
}
