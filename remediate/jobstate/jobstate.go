// Package jobstate keeps what a scheduled job of hostguard has to remember
// until its next run, in a folder of its own below /var/lib/hostguard, of which
// one run at a time can have hold.
//
// There are two slots, written in turn and in place: a run that is killed
// anywhere leaves the last state whole in the other one, and no room is needed
// that was not taken before, since a full file system is what some jobs are
// there to tell of. What is not as it was written is not believed.
package jobstate

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/remediate/flock"
	"github.com/hostguard/hostguard/remediate/statedir"
)

const (
	maxSize  = 4 << 20   // of a slot: one that is larger is not ours
	reserved = 128 << 10 // of a slot, on the disk from the first run
)

var slots = [2]string{"state-a", "state-b"}

// Succeeded is the name of the file in a job's folder whose time is that of its
// last success.
const Succeeded = "succeeded"

// State is what this process has hold of. Close it.
type State struct {
	name   string
	dir    *os.File
	serial uint64 // of the last state
	next   int    // the slot to write
}

// Path is the folder of a job's state.
func Path(name string) string { return statedir.Path + "/" + name }

// Open takes hold of the state of a job; while another process has it the error
// is a *flock.LockedError. The folder is made when it is missing.
func Open(root, name string) (*State, error) {
	dir, err := statedir.Open(root, Path(name), true)
	if err != nil {
		return nil, fmt.Errorf("cannot keep the state of %s: %w", name, err)
	}
	if err := flock.Take(dir); err != nil {
		dir.Close()
		return nil, err
	}
	return &State{name: name, dir: dir}, nil
}

// Close gives the lock back.
func (s *State) Close() error { return s.dir.Close() }

// Load reads the last state over the value that into points to; without one
// it stays as it is. The notes say what was found and cannot be believed.
func (s *State) Load(into any) (notes []string) {
	var latest []byte
	for i, slot := range slots {
		serial, state, err := s.read(slot)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			notes = append(notes, fmt.Sprintf("%s/%s: %v", Path(s.name), slot, err))
		case serial > s.serial:
			s.serial, s.next, latest = serial, 1-i, state
		}
	}
	if latest == nil {
		if len(notes) > 0 {
			notes = append(notes, "nothing is left of earlier runs: starting anew")
		}
		return notes
	}
	d := json.NewDecoder(bytes.NewReader(latest))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		notes = append(notes, fmt.Sprintf("%s: cannot understand the state of an earlier run, starting anew: %v", Path(s.name), err))
	}
	return notes
}

// form is the first line of a slot: the version, the job's name, a number that
// grows by one with each state, the length of what follows, and the hash of it
// all, without which half a first line before an older rest would be believed.
const form = "hostguard-state 1 %s %d %d %x\n"

func sum(name string, serial uint64, state []byte) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%s %d %d\n", name, serial, len(state))
	h.Write(state)
	return h.Sum(nil)
}

func (s *State) read(slot string) (serial uint64, state []byte, err error) {
	f, err := statedir.OpenFile(s.dir, slot, unix.O_RDONLY)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return 0, nil, err
	}
	head, rest, _ := bytes.Cut(data, []byte("\n"))
	var name string
	var size int
	var hash []byte
	if n, err := fmt.Sscanf(string(head)+"\n", form, &name, &serial, &size, &hash); err != nil || n != 4 {
		return 0, nil, errors.New("it is damaged or not hostguard's")
	}
	if name != s.name {
		return 0, nil, fmt.Errorf("it is the state of %q", name)
	}
	if size < 0 || size > len(rest) {
		return 0, nil, errors.New("it is cut off")
	}
	if !bytes.Equal(sum(name, serial, rest[:size]), hash) {
		return 0, nil, errors.New("it was written to only in part, or by somebody else")
	}
	return serial, rest[:size], nil
}

// Save writes a state durably. When it fails the last one stays.
func (s *State) Save(state any) error {
	err := s.save(state)
	if err != nil {
		return fmt.Errorf("cannot remember the state of %s: %w", s.name, err)
	}
	s.serial++
	s.next = 1 - s.next
	return nil
}

func (s *State) save(state any) error {
	data, err := json.Marshal(state)
	if err != nil {
		return err
	}
	whole := append(fmt.Appendf(nil, form, s.name, s.serial+1, len(data), sum(s.name, s.serial+1, data)), data...)
	whole = append(whole, '\n')
	if len(whole) > maxSize {
		return fmt.Errorf("it takes %d bytes", len(whole))
	}
	f, err := s.open(slots[s.next])
	if err != nil {
		return err
	}
	defer f.Close()
	_ = statedir.Reserve(f, 0, reserved) // where there is no room for later there may be for now
	if err := statedir.WriteDurably(f, whole); err != nil {
		return err
	}
	return statedir.Sync(s.dir)
}

// open opens a slot to write it. What stands under its name and is no file of
// ours goes; one that only root can write cannot have been put there by others.
func (s *State) open(slot string) (*os.File, error) {
	const flags = unix.O_WRONLY | unix.O_CREAT
	f, err := statedir.OpenFile(s.dir, slot, flags)
	if err != nil {
		if unix.Unlinkat(int(s.dir.Fd()), slot, 0) != nil {
			return nil, err
		}
		if f, err = statedir.OpenFile(s.dir, slot, flags); err != nil {
			return nil, err
		}
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.Size() > maxSize: // a foreign one; what lies behind a state does no harm, but counts when it is read
		err = f.Truncate(0)
	}
	if err == nil {
		err = f.Chmod(0o600)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Succeed notes that the job did all that it is there for.
func (s *State) Succeed(now time.Time) error {
	f, err := s.open(Succeeded)
	if err != nil {
		return fmt.Errorf("cannot note the success of %s: %w", s.name, err)
	}
	defer f.Close()
	times := []unix.Timeval{unix.NsecToTimeval(now.UnixNano()), unix.NsecToTimeval(now.UnixNano())}
	if err := unix.Futimes(int(f.Fd()), times); err != nil {
		return fmt.Errorf("cannot note the success of %s: %w", s.name, err)
	}
	return nil
}
