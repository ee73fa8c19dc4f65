package transaction

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/statedir"
)

// Dir holds a folder for each transaction, named by its id.
const Dir = statedir.Path + "/tx"

// journalFormat is the version of the files in a transaction's folder.
const journalFormat = 1

// Files of a transaction's folder. The log begins when the folder gets its
// name; each of its records is durable before what it announces is done.
const (
	headFile  = "transaction.json"
	logFile   = "log"
	newPrefix = "new-" // of a folder that is being made
)

const (
	maxHead    = 96 << 20
	maxLog     = 4 << 20
	logReserve = 64 << 10 // a rollback on a full disk writes on
)

// Head is what is known of a transaction when it begins.
type Head struct {
	Format  int             `json:"format"`
	ID      string          `json:"id"`
	Started time.Time       `json:"started"`
	Who     string          `json:"who"`
	Version string          `json:"version"` // of hostguard
	Plan    *remediate.Plan `json:"plan"`
}

// event is what a record of the log says.
type event string

const (
	moving     event = "moving"      // the step's move begins
	moved      event = "moved"       // and is done
	activating event = "activating"  // what runs takes up what moved
	committed  event = "committed"   // it holds
	finished   event = "finished"    // and nothing is kept for a rollback any more
	goingBack  event = "going back"  // after a failure, a crash, or by undo
	movedBack  event = "moved back"  // the step
	conflicted event = "conflict"    // the step was not moved back: somebody has changed its target since
	notDone    event = "not done"    // an action failed when all was taken back: "reload x.service: why"
	rolledBack event = "rolled back" // it never held
	undone     event = "undone"      // it held, and was taken back
)

// record is one line of the log. Sum chains the lines to each other and to the
// head, so that a line that somebody changed is seen.
type record struct {
	At    time.Time `json:"at"`
	Event event     `json:"event"`
	Step  int       `json:"step,omitempty"` // from 1
	Why   string    `json:"why,omitempty"`
	Sum   string    `json:"sum"`
}

func (r record) chained(previous string) string {
	r.Sum = previous
	data, err := json.Marshal(r)
	if err != nil {
		panic(err) // times and strings
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// journal is a transaction's folder while it is written.
type journal struct {
	Head
	records []record
	dir     *os.File
	log     *os.File
	size    int64 // of the log's whole records
	sum     string
	now     func() time.Time
}

// begin makes a transaction's folder durable, as the last thing before the
// first move. Where it cannot, nothing is left of it.
func begin(tx *os.File, head Head, now func() time.Time) (*journal, error) {
	j := &journal{Head: head, now: now}
	name := newPrefix + head.ID
	err := j.create(tx, name)
	if err == nil {
		err = unix.Renameat(int(tx.Fd()), name, int(tx.Fd()), head.ID)
	}
	if err == nil {
		err = statedir.Sync(tx)
	}
	if err != nil {
		j.close()
		_ = removeFolder(tx, name) // the next run clears it away, too
		return nil, fmt.Errorf("cannot begin a transaction in %s: %w", Dir, err)
	}
	return j, nil
}

func (j *journal) create(tx *os.File, name string) error {
	if err := unix.Mkdirat(int(tx.Fd()), name, 0o700); err != nil {
		return err
	}
	var err error
	if j.dir, err = openFolder(tx, name); err != nil {
		return err
	}
	data, err := json.Marshal(j.Head)
	if err != nil {
		return err
	}
	head, err := statedir.OpenFile(j.dir, headFile, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	defer head.Close()
	if err := statedir.Reserve(head, 0, int64(len(data))); err != nil {
		return err
	}
	if err := statedir.WriteDurably(head, data); err != nil {
		return err
	}
	j.sum = digest(data)
	if j.log, err = statedir.OpenFile(j.dir, logFile, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_APPEND); err != nil {
		return err
	}
	reserve := int64(logReserve + 1024*len(j.Plan.Steps))
	if err := statedir.Reserve(j.log, 0, reserve); err != nil {
		return err
	}
	if err := j.log.Sync(); err != nil {
		return err
	}
	return statedir.Sync(j.dir)
}

// openJournal opens a transaction's folder, reads it, and with write goes on
// with its log. A torn last line, as of a crash, is cut off.
func openJournal(tx *os.File, id string, write bool, now func() time.Time) (*journal, error) {
	j := &journal{now: now}
	if err := j.open(tx, id, write); err != nil {
		j.close()
		return nil, &Damaged{ID: id, State: lastState(tx, id), Err: err}
	}
	return j, nil
}

// Damaged is a journal that cannot be used: another version wrote it, or somebody
// changed it. Nothing is ever done by it.
type Damaged struct {
	ID    string
	State State // by the last record of its log; Open where that is not known
	Err   error
}

func (d *Damaged) Error() string {
	text := fmt.Sprintf("cannot use the journal of the transaction %s in %s: %v; ", d.ID, Dir, d.Err)
	switch {
	case d.over():
		text += fmt.Sprintf("it was %s: ", d.State)
	case d.State == Committed:
		text += "it holds, and hostguard cannot undo it: "
	default:
		text += "it may have been cut off: compare what it names with your backups, then "
	}
	return text + fmt.Sprintf("move %s/%s away", Dir, d.ID)
}

func (d *Damaged) Unwrap() error { return d.Err }

// over reports whether there is nothing to undo.
func (d *Damaged) over() bool { return d.State == RolledBack || d.State == Undone }

// lastState is where a transaction stands by the last record of its log alone, of
// which nothing proves that it is true: good enough to leave the transaction as
// it is. A line that is torn or no record at the end leaves it Open.
func lastState(tx *os.File, id string) State {
	dir, err := openOwn(tx, id, 0o022)
	if err != nil {
		return Open
	}
	defer dir.Close()
	data, err := statedir.ReadFile(dir, logFile, maxLog)
	if err != nil || !bytes.HasSuffix(data, []byte("\n")) {
		return Open
	}
	lines := bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	var r record
	if err := json.Unmarshal(lines[len(lines)-1], &r); err != nil {
		return Open
	}
	return (&journal{records: []record{r}}).state()
}

func (j *journal) open(tx *os.File, id string, write bool) error {
	var err error
	if j.dir, err = openFolder(tx, id); err != nil {
		return err
	}
	head, err := statedir.ReadFile(j.dir, headFile, maxHead)
	if err != nil {
		return err
	}
	var format struct{ Format int }
	if err := json.Unmarshal(head, &format); err != nil {
		return fmt.Errorf("%s is damaged: %w", headFile, err)
	}
	if format.Format != journalFormat {
		return fmt.Errorf("its format is %d, and this hostguard knows %d: use the version that wrote it", format.Format, journalFormat)
	}
	d := json.NewDecoder(bytes.NewReader(head))
	d.DisallowUnknownFields()
	if err := d.Decode(&j.Head); err != nil {
		return fmt.Errorf("%s is damaged: %w", headFile, err)
	}
	if j.ID != id || j.Plan == nil {
		return fmt.Errorf("%s is of the transaction %q", headFile, j.ID)
	}
	data, err := statedir.ReadFile(j.dir, logFile, maxLog)
	if err != nil {
		return err
	}
	whole, err := j.read(digest(head), data)
	if err != nil || !write {
		return err
	}
	j.size = int64(whole)
	if j.log, err = statedir.OpenFile(j.dir, logFile, unix.O_WRONLY|unix.O_APPEND); err != nil {
		return err
	}
	if whole < len(data) {
		if err := unix.Ftruncate(int(j.log.Fd()), int64(whole)); err != nil {
			return fmt.Errorf("cannot cut %s: %w", logFile, err)
		}
	}
	return nil
}

// read reads the log's records and returns the length of those that are whole.
func (j *journal) read(sum string, data []byte) (whole int, err error) {
	j.sum = sum
	for line := range bytes.Lines(data) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // a crash tore it
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil || r.Sum != r.chained(j.sum) || r.Step < 0 || r.Step > len(j.Plan.Steps) {
			return whole, fmt.Errorf("%s or line %d of %s was changed by somebody", headFile, len(j.records)+1, logFile)
		}
		j.sum = r.Sum
		j.records = append(j.records, r)
		whole += len(line)
	}
	return whole, nil
}

// write adds a record, durably.
func (j *journal) write(e event, step int, why string) error {
	r := record{At: j.now().UTC(), Event: e, Step: step, Why: why}
	r.Sum = r.chained(j.sum)
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if err := statedir.WriteDurably(j.log, line); err != nil {
		return fmt.Errorf("cannot go on with the journal of the transaction %s: %w", j.ID, errors.Join(err, j.takeBack()))
	}
	j.size += int64(len(line))
	j.sum = r.Sum
	j.records = append(j.records, r)
	return nil
}

// takeBack removes what a record that failed left in the log, whole or in part:
// the next one would not follow from what is there. Where it cannot, nothing more
// is written.
func (j *journal) takeBack() error {
	err := unix.Ftruncate(int(j.log.Fd()), j.size)
	if err != nil {
		j.log.Close()
	}
	return err
}

func (j *journal) close() {
	for _, f := range []*os.File{j.log, j.dir} {
		if f != nil {
			f.Close()
		}
	}
}

// begun reports whether the step's move has begun, and is not taken back.
func (j *journal) begun(step int) bool {
	begun := false
	for _, r := range j.records {
		if r.Step == step {
			begun = r.Event == moving || r.Event == moved
		}
	}
	return begun
}

// State is where a transaction stands.
type State string

const (
	Open       State = "interrupted" // to be rolled back, or its undo to be completed
	Committed  State = "committed"
	RolledBack State = "rolled back"
	Undone     State = "undone"
)

func (j *journal) state() State {
	for i := len(j.records) - 1; i >= 0; i-- {
		switch j.records[i].Event {
		case committed, finished:
			return Committed
		case rolledBack:
			return RolledBack
		case undone:
			return Undone
		case goingBack, moving, moved, activating, movedBack, conflicted, notDone:
			return Open
		}
	}
	return Open
}

// held reports whether the transaction was ever committed.
func (j *journal) held() bool {
	for _, r := range j.records {
		if r.Event == committed {
			return true
		}
	}
	return false
}

// finished reports whether a committed transaction was cleaned up after.
func (j *journal) finished() bool {
	return len(j.records) > 0 && j.records[len(j.records)-1].Event == finished
}

// conflicts are the steps that were not moved back, and the actions that failed
// then, with the reason.
func (j *journal) conflicts() []Conflict {
	var list []Conflict
	for _, r := range j.records {
		switch {
		case r.Event == conflicted && r.Step > 0:
			list = append(list, Conflict{Kind: j.Plan.Steps[r.Step-1].Kind, Target: j.Plan.Steps[r.Step-1].Target, Why: r.Why})
		case r.Event == notDone:
			what, why, _ := strings.Cut(r.Why, ": ")
			list = append(list, Conflict{Kind: ActionKind, Target: what, Why: why})
		}
	}
	return list
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// openFolder opens a folder in the transactions' folder that is ours alone.
func openFolder(tx *os.File, name string) (*os.File, error) { return openOwn(tx, name, 0o077) }

// openOwn opens a folder of ours without the bits of a mode.
func openOwn(tx *os.File, name string, without uint32) (*os.File, error) {
	fd, err := unix.Openat(int(tx.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, err
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&without != 0 {
		unix.Close(fd)
		return nil, fmt.Errorf("the folder belongs to uid %d with mode %04o: want root and 0700", st.Uid, st.Mode&0o7777)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// mostOver is how many transactions are kept that were rolled back or undone.
const mostOver = 50

// prune removes the oldest transactions of which nothing is left to undo. What
// holds stays, however old.
func (t *Transactions) prune() error {
	list, _, err := ids(t.dir)
	if err != nil {
		return err
	}
	over := 0
	for _, id := range slices.Backward(list) {
		j, err := openJournal(t.dir, id, false, t.Now)
		if err != nil {
			continue // it is named where it matters
		}
		state := j.state()
		j.close()
		if state != RolledBack && state != Undone {
			continue
		}
		if over++; over <= mostOver {
			continue
		}
		name := newPrefix + id // cut off here, the next run clears it away
		if err := unix.Renameat(int(t.dir.Fd()), id, int(t.dir.Fd()), name); err != nil {
			return fmt.Errorf("cannot remove the old transaction %s: %w", id, err)
		}
		if err := removeFolder(t.dir, name); err != nil {
			return fmt.Errorf("cannot remove the old transaction %s: %w", id, err)
		}
	}
	return nil
}

// removeFolder removes what is left of a folder that was being made.
func removeFolder(tx *os.File, name string) error {
	dir, err := openFolder(tx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, file := range []string{headFile, logFile} {
		if err := unix.Unlinkat(int(dir.Fd()), file, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return unix.Unlinkat(int(tx.Fd()), name, unix.AT_REMOVEDIR)
}

// ids lists the transactions, oldest first, and the folders that were being made.
func ids(tx *os.File) (list, unfinished []string, err error) {
	dir, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", tx.Fd()))
	if err != nil {
		return nil, nil, err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, newPrefix):
			unfinished = append(unfinished, name)
		case idForm().MatchString(name):
			list = append(list, name)
		}
	}
	return sorted(list), unfinished, nil
}
