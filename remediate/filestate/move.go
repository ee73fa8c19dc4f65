package filestate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Move brings a path in the tree at root from one state to another, durably;
// id names the transaction. A path that is in neither state is left alone:
// ErrConflict. After any other error, too, the path is as it was, unless the
// error says otherwise; Back makes sure of it. The two states are a pair that
// Type allows, and differ.
//
// What was taken out stays beside the path until Clean.
func Move(root, name string, from, to State, id string) error {
	p, n, err := begin(root, name, from, to, id)
	if err != nil {
		return err
	}
	defer p.close()
	switch {
	case isMeta(from):
		return p.moveMeta(from, to)
	case from.Type == Folder:
		return p.removeFolder(from, n)
	case from.Type == Absent:
		return p.moveNew(to, n)
	case to.Type == Absent:
		return p.moveAway(from, n)
	}
	return p.moveOver(from, to, n)
}

// begin checks what a move is asked to do, and opens the path's folder.
func begin(root, name string, from, to State, id string) (*place, names, error) {
	if err := pair(from, to); err != nil {
		return nil, names{}, fmt.Errorf("cannot change %s: %w", name, err)
	}
	p, err := openPlace(root, name)
	if err != nil {
		return nil, names{}, err
	}
	n, err := namesFor(p.base, id)
	if err == nil && p.foreign != "" && !isMeta(from) {
		err = errors.New(p.foreign)
	}
	if err != nil {
		p.close()
		return nil, names{}, fmt.Errorf("cannot change %s: %w", name, err)
	}
	return p, n, nil
}

func isMeta(s State) bool { return s.Type == FileMeta || s.Type == FolderMeta }

// pair reports whether one state can be moved to the other.
func pair(from, to State) error {
	if err := errors.Join(from.valid(), to.valid()); err != nil {
		return err
	}
	replaced := func(s State) bool { return s.Type == Absent || s.Type == File || s.Type == Link }
	switch {
	case from.Equal(to):
		return errors.New("it is to stay as it is")
	case replaced(from) && replaced(to):
	case from.Type == Absent && to.Type == Folder, from.Type == Folder && to.Type == Absent:
	case isMeta(from) && from.Type == to.Type:
	default:
		return fmt.Errorf("what is a %s cannot become a %s", describeType(from.Type), describeType(to.Type))
	}
	return nil
}

// prepare makes the new thing, complete and durable, under the name part, and
// returns it open, with no writer and none to come; nil for a link.
func (p *place) prepare(to State, n names) (*os.File, error) {
	f, err := p.make(n.part, to)
	if err == nil && to.Type == File {
		if err = quiet(f); err == nil {
			err = isState(f, to)
		}
		if err != nil {
			f.Close()
		}
	}
	if err != nil {
		return nil, p.errorf("%w", errors.Join(err, p.discardPart(n.part)))
	}
	return f, nil
}

// isState reads a new file back.
func isState(f *os.File, want State) error {
	got, err := readState(f)
	if err == nil && !got.Equal(want) {
		err = errors.New("the new file does not read as it was written")
	}
	return err
}

func closeFile(f *os.File) {
	if f != nil {
		f.Close()
	}
}

// moveNew puts a new thing where there is nothing.
func (p *place) moveNew(to State, n names) error {
	if now, _, err := p.lookAtAny(p.base); err != nil {
		return p.errorf("%w", err)
	} else if now.Type != Absent {
		return p.conflict("somebody else made it meanwhile")
	}
	f, err := p.prepare(to, n)
	if err != nil {
		return err
	}
	defer closeFile(f)
	if err := p.rename(n.part, p.base, unix.RENAME_NOREPLACE); err != nil {
		gone := p.discardPart(n.part)
		if errors.Is(err, unix.EEXIST) && gone == nil {
			return p.conflict("somebody else made it meanwhile")
		}
		return p.errorf("cannot give it its name: %w", errors.Join(renaming(err), gone))
	}
	if err := p.syncFolder(); err != nil {
		return errors.Join(err, p.back(State{Type: Absent}, to, n))
	}
	return p.inPlace(f, to)
}

// moveOver puts a new thing in the place of another.
func (p *place) moveOver(from, to State, n names) error {
	old, err := p.holds(p.base, from)
	if err != nil {
		return err
	}
	defer closeFile(old)
	f, err := p.prepare(to, n)
	if err != nil {
		return err
	}
	defer closeFile(f)
	if err := p.rename(n.part, n.temp, unix.RENAME_NOREPLACE); err != nil {
		return p.errorf("cannot rename the new file: %w", errors.Join(renaming(err), p.discardPart(n.part)))
	}
	err = p.rename(n.temp, p.base, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.ENOENT) {
		err = p.conflict("somebody else removed it meanwhile")
	} else if err != nil {
		err = p.errorf("cannot exchange it: %w", renaming(err))
	}
	if err == nil {
		err = p.tookOut(n.temp, from, old)
	}
	if err == nil {
		err = p.syncFolder()
	}
	if err == nil {
		return p.inPlace(f, to)
	}
	letIn(old, f)
	return p.afterFailure(err, from, to, n)
}

// afterFailure takes back what a move did before it failed.
func (p *place) afterFailure(cause error, from, to State, n names) error {
	err := p.back(from, to, n)
	var first, second *Conflict
	if errors.As(cause, &first) && errors.As(err, &second) { // they speak of the same
		first.Kept = second.Kept
		return cause
	}
	if first != nil && err != nil {
		return unfinished(first, err)
	}
	return errors.Join(cause, err)
}

// moveAway takes a thing out of its place.
func (p *place) moveAway(from State, n names) error {
	old, err := p.holds(p.base, from)
	if err != nil {
		return err
	}
	defer closeFile(old)
	if err := p.rename(p.base, n.temp, unix.RENAME_NOREPLACE); errors.Is(err, unix.ENOENT) {
		return p.conflict("somebody else removed it meanwhile")
	} else if err != nil {
		return p.errorf("cannot rename it: %w", renaming(err))
	}
	if err = p.tookOut(n.temp, from, old); err == nil {
		err = p.syncFolder()
	}
	if err == nil {
		return nil
	}
	letIn(old)
	return p.afterFailure(err, from, State{Type: Absent}, n)
}

// holds wants an entry of the folder in a state, and returns it with no writer
// and none to come; nil for a link.
func (p *place) holds(name string, want State) (*os.File, error) {
	if want.Type != File {
		got, _, err := p.lookAtAny(name)
		if err != nil {
			return nil, p.errorf("%w", err)
		}
		if !got.Equal(want) {
			return nil, p.conflict(differs(got, want))
		}
		return nil, nil
	}
	if got, _, err := p.lookAtAny(name); err != nil {
		return nil, p.errorf("%w", err)
	} else if got.Type != File {
		return nil, p.conflict(differs(got, want))
	}
	f, err := p.openRegular(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, p.conflict("somebody else removed it meanwhile")
	}
	if err != nil {
		return nil, p.errorf("%w", err)
	}
	if err := quiet(f); err != nil {
		f.Close()
		return nil, p.conflict(err.Error())
	}
	got, err := readState(f)
	if err == nil && got.Equal(want) {
		return f, nil
	}
	f.Close()
	var o oddity
	if errors.As(err, &o) {
		return nil, p.conflict(string(o))
	}
	if err != nil {
		return nil, p.errorf("%w", err)
	}
	return nil, p.conflict(differs(got, want))
}

// differs says in which way a path is not as it was.
func differs(got, want State) string {
	switch {
	case got.Type == Absent:
		return "somebody else removed it meanwhile"
	case got.Type == odd:
		return got.Target
	case got.Type != want.Type:
		return fmt.Sprintf("it was a %s and is a %s now", describeType(want.Type), describeType(got.Type))
	case string(got.Content) != string(want.Content):
		return "somebody else changed its content meanwhile"
	case got.Target != want.Target:
		return fmt.Sprintf("it leads to %q now", got.Target)
	case got.Mode != want.Mode:
		return fmt.Sprintf("its mode is %04o now, and was %04o", got.Mode, want.Mode)
	case got.UID != want.UID || got.GID != want.GID:
		return fmt.Sprintf("it belongs to uid %d, gid %d now", got.UID, got.GID)
	}
	return "somebody else changed its extended attributes meanwhile"
}

// tookOut wants that what was taken out is what the change was planned against.
// When it is the file old, nobody can have written to it since it was compared.
func (p *place) tookOut(temp string, from State, old *os.File) error {
	if old == nil || !p.is(temp, old) {
		f, err := p.holds(temp, from)
		closeFile(f)
		return err
	}
	got, err := readState(old)
	var o oddity
	if errors.As(err, &o) {
		return p.conflict(string(o))
	}
	if err != nil {
		return p.errorf("cannot look at what was taken out: %w", err)
	}
	if !got.Equal(from) {
		return p.conflict(differs(got, from))
	}
	return nil
}

// is reports whether an entry of the folder is an open file.
func (p *place) is(name string, f *os.File) bool {
	var a, b unix.Stat_t
	return unix.Fstatat(p.fd(), name, &a, unix.AT_SYMLINK_NOFOLLOW) == nil && unix.Fstat(int(f.Fd()), &b) == nil && a.Dev == b.Dev && a.Ino == b.Ino
}

// inPlace wants that a new thing is still under the path's name.
func (p *place) inPlace(f *os.File, to State) error {
	got, _, err := p.lookAtAny(p.base)
	if err != nil {
		return p.errorf("cannot look at it again: %w", err)
	}
	if f != nil && !p.is(p.base, f) {
		return p.conflict("somebody else changed it right after")
	}
	if !got.Equal(to) {
		return p.conflict(differs(got, to))
	}
	return nil
}

func (p *place) rename(from, to string, flags uint) error {
	return retry(func() error { return unix.Renameat2(p.fd(), from, p.fd(), to, flags) })
}

// renaming explains errors of rename(2).
func renaming(err error) error {
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("its file system cannot exchange two files: %w", err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("it is a mount point: %w", err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("it or its folder may be immutable (lsattr shows): %w", err)
	}
	return err
}

// syncFolder makes the folder's new names durable.
func (p *place) syncFolder() error {
	if err := p.dir.Sync(); err != nil {
		return p.errorf("cannot make its folder durable: %w", bare(err))
	}
	return nil
}
