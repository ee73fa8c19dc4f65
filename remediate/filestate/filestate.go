// Package filestate changes files, folders and symbolic links of a host as
// root: durably, reversibly, and without losing what somebody else writes at
// the same moment. No check reaches it.
//
// Everything is a move of one path from one [State] to another. Undoing a move
// is the same move the other way; a move that was cut off is taken back by
// [Back]. A transaction calls, for each of its steps:
//
//	(*Preflight).Check   before the first write: would it be refused?
//	Move                 the change, durable when it returns
//	Back                 takes a Move back that failed, was cut off, or is not wanted any more
//	Settle               is all still as Move left it, and nobody writes to what it took out?
//	Clean                after the commit: removes what Move took out
//
// A file is replaced as follows. The new one is written beside it under the
// name NAME.part, with owner, mode and extended attributes, and fsynced; it is
// then renamed to NAME.temp and exchanged with the file (rename(2),
// RENAME_EXCHANGE), and the folder is fsynced. What is then under NAME.temp is
// what really was in place: if that is not the state that the change was
// planned against, it is put back. It is kept until Clean, since an editor that
// had it open may still write to it.
//
// While a file is compared and exchanged, a lease (fcntl(2), F_SETLEASE) keeps
// others from opening it for writing, where the file system has leases.
//
// Nothing is ever deleted that is not, byte for byte, the state before or the
// state after: whatever else turns up is left in place or, when two versions
// claim one name, kept beside it and named in the error.
//
// The time of the last change (mtime) is not part of a state's identity. It is
// kept with it, so that a file that gets its old content back gets its old time
// back, too. File attributes of chattr(1) other than those that forbid a
// change are not carried over.
package filestate

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// MaxContent is the size in bytes of the largest file that is changed.
const MaxContent = 1 << 20

// ErrConflict marks a path that is in another state than the one it was to be
// moved from: somebody else changed it. What he wrote is kept.
var ErrConflict = errors.New("somebody else changed it")

// Conflict is an ErrConflict with the details.
type Conflict struct {
	Path string // in the host
	Why  string
	Kept string // the path where a version is kept that had no place; empty: none
}

func (c *Conflict) Error() string {
	text := fmt.Sprintf("cannot change %s: %s", c.Path, c.Why)
	if c.Kept != "" {
		text += "; what was saved there is kept as " + c.Kept
	}
	return text
}

// Is makes errors.Is(err, ErrConflict) true.
func (c *Conflict) Is(target error) bool { return target == ErrConflict }

// names are what a move calls its files. They begin with a dot and end with a
// tilde, which keeps them from every daemon that reads a folder: those want a
// suffix (sshd, rsyslog, systemd, augenrules), no dot in the name (cron,
// run-parts, sudo), or leave out backups (logrotate).
type names struct {
	part string // being written
	temp string // complete, and after the exchange: what was taken out
	kept string // what somebody else wrote, and for which there was no place
}

// maxName is the longest name of a file, see path_resolution(7).
const maxName = 255

// namesFor returns the names that the transaction id uses for base. They are
// always the same: recovery finds them.
func namesFor(base, id string) (names, error) {
	if id == "" || len(id) > 64 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
		return names{}, fmt.Errorf("%q cannot name a transaction: want 1 to 64 letters, digits and dashes", id)
	}
	const longest = len("..hostguard-.kept.99~")
	if len(base) > maxName-longest-len(id) {
		sum := sha256.Sum256([]byte(base))
		base = fmt.Sprintf("%s-%x", base[:32], sum[:8])
	}
	stem := "." + base + ".hostguard-" + id
	return names{part: stem + ".part~", temp: stem + "~", kept: stem + ".kept"}, nil
}

// bare takes the operation and the path off an error: ours says both.
func bare(err error) error {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		return inner.Err
	}
	return err
}

// retry calls again what a signal interrupted: Go's runtime sends some.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
