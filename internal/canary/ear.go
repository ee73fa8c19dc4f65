package canary

import (
	"fmt"
	"strconv"
	"time"

	"github.com/elastic/go-libaudit/v2/auparse"
)

// Event is the record of a system call on the file.
type Event struct {
	ID   string // "1700000000.123:456": what ausearch shows as msg=audit(ID)
	Keys []string
}

// ear knows the event that is waited for among others: the call is the
// process's and one of its paths is the file. The kernel writes the record of
// the call before those of its paths.
type ear struct {
	pid   int
	inode uint64
	calls map[uint32]Event // the process's, by serial number
}

// wants reports whether a kind of record matters.
func (e *ear) wants(kind auparse.AuditMessageType) bool {
	return kind == auparse.AUDIT_SYSCALL || kind == auparse.AUDIT_PATH
}

// hear takes a record in and returns the event once it is whole.
func (e *ear) hear(record *auparse.AuditMessage) *Event {
	data, err := record.Data()
	if err != nil {
		return nil
	}
	switch record.RecordType {
	case auparse.AUDIT_SYSCALL:
		if data["pid"] != strconv.Itoa(e.pid) {
			return nil
		}
		keys, err := record.Tags()
		if err != nil {
			return nil
		}
		if e.calls == nil {
			e.calls = map[uint32]Event{}
		}
		at := record.Timestamp
		e.calls[record.Sequence] = Event{
			ID: fmt.Sprintf("%d.%03d:%d", at.Unix(), at.Nanosecond()/int(time.Millisecond), record.Sequence), Keys: keys,
		}
	case auparse.AUDIT_PATH:
		event, ours := e.calls[record.Sequence]
		if ours && data["inode"] == strconv.FormatUint(e.inode, 10) {
			return &event
		}
	}
	return nil
}
