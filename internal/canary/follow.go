package canary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/elastic/go-libaudit/v2/auparse"
)

// follower reads what auditd adds to its log.
type follower struct {
	name string
	log  *os.File
	rest []byte // of a line that is not whole yet
}

// longestLine bounds a line of the log.
const longestLine = 64 << 10

// Follow reads auditd's log from its end on: where the kernel's group of
// readers cannot be joined.
func Follow(name string) (Source, error) {
	f, err := os.Open(name)
	if err == nil {
		_, err = f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot follow auditd's log: %w", err)
	}
	return &follower{name: name, log: f}, nil
}

func (f *follower) Close() error { return f.log.Close() }

func (f *follower) wait(ctx context.Context, pid int, inode uint64) (*Event, error) {
	e := ear{pid: pid, inode: inode}
	buffer := make([]byte, 32<<10)
	for {
		n, err := f.log.Read(buffer)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("cannot follow auditd's log: %w", err)
		}
		if event := f.lines(buffer[:n], &e); event != nil {
			return event, nil
		}
		if n > 0 {
			continue
		}
		rotated, err := f.rotated()
		if err != nil {
			return nil, fmt.Errorf("cannot follow auditd's log: %w", err)
		}
		if rotated {
			continue
		}
		if ctx.Err() != nil {
			return nil, nil
		}
		time.Sleep(pause)
	}
}

// lines hears the whole lines of what was read so far.
func (f *follower) lines(more []byte, e *ear) *Event {
	f.rest = append(f.rest, more...)
	for {
		line, rest, whole := bytes.Cut(f.rest, []byte("\n"))
		if !whole {
			if len(f.rest) > longestLine {
				f.rest = nil
			}
			return nil
		}
		f.rest = rest
		record, err := auparse.ParseLogLine(string(line))
		if err != nil || !e.wants(record.RecordType) {
			continue
		}
		if event := e.hear(record); event != nil {
			return event
		}
	}
}

// rotated goes on with the new log when auditd has begun one.
func (f *follower) rotated() (bool, error) {
	now, err := os.Stat(f.name)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // between the old one and the new one
	}
	old, err2 := f.log.Stat()
	if err := errors.Join(err, err2); err != nil || os.SameFile(now, old) {
		return false, err
	}
	next, err := os.Open(f.name)
	if err != nil {
		return false, err
	}
	f.log.Close()
	f.log, f.rest = next, nil
	return true, nil
}
