package filestate

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Back takes back a move from one state to another: one that failed, that was
// cut off at any point, or that is done but not cleaned up. It may be called
// when the move was never begun, and more than once. It needs no space as long
// as Clean was not called.
//
// nil: the path is in the state from. ErrConflict: somebody else changed the
// path, and his version is in place, or kept where the error says.
func Back(root, name string, from, to State, id string) error {
	p, n, err := begin(root, name, from, to, id)
	if errors.Is(err, fs.ErrNotExist) && from.Type == Absent {
		return nil // the folder is not there yet, or gone with all it held
	}
	if errors.Is(err, fs.ErrNotExist) {
		return &Conflict{Path: name, Why: "somebody removed its folder"}
	}
	if err != nil {
		return err
	}
	defer p.close()
	return p.back(from, to, n)
}

func (p *place) back(from, to State, n names) error {
	if isMeta(from) {
		return p.backMeta(from, to)
	}
	if err := p.discardPart(n.part); err != nil {
		return p.errorf("%w", err)
	}
	if from.Type == Folder || to.Type == Folder {
		return p.backFolder(from, to, n)
	}
	held, _, err := p.lookAtAny(n.temp)
	if err != nil {
		return p.errorf("cannot look at what was taken out: %w", err)
	}
	if held.Type != Absent && held.Equal(to) { // not yet exchanged, or exchanged back
		if err := p.discard(n, from, to); err != nil {
			return err
		}
		held = State{Type: Absent}
	}
	if f, err := p.openRegular(p.base); err == nil {
		defer f.Close() // so that no other file gets its inode number meanwhile
	}
	now, id, err := p.lookAtAny(p.base)
	if err != nil {
		return p.errorf("%w", err)
	}
	if held.Type == Absent {
		return p.backAlone(now, from, to, n)
	}
	switch {
	case now.Equal(to):
		if err := p.giveBack(from, to, id, n); err != nil {
			return err
		}
	case now.Equal(from) && held.Equal(from):
		return p.discard(n, from, to)
	default:
		conflict := p.conflict(differs(now, to))
		return p.keepOrDiscard(conflict, n, from, to)
	}
	if err := p.syncFolder(); err != nil {
		return err
	}
	if err := p.discard(n, from, to); err != nil {
		return err
	}
	if now, _, err = p.lookAtAny(p.base); err != nil {
		return p.errorf("%w", err)
	}
	if !now.Equal(from) {
		return p.conflict(differs(now, from))
	}
	return nil
}

// backAlone goes back where nothing was taken out, or where it was cleaned up.
func (p *place) backAlone(now, from, to State, n names) error {
	switch {
	case now.Equal(from):
		return nil
	case !now.Equal(to):
		return p.conflict(differs(now, to))
	}
	var err error
	switch {
	case from.Type == Absent:
		err = p.moveAway(to, n)
	case to.Type == Absent:
		err = p.moveNew(from, n)
	default:
		err = p.moveOver(to, from, n)
	}
	if err == nil {
		err = p.discard(n, from, to)
	}
	return err
}

// giveBack puts what was taken out in its place again, and takes out what is
// there, which should be the state to, with the identity placed. When it is
// not, somebody saved the path once more: the latest version gets the place.
//
// An editor may have read the path a moment ago, when a version was not in its
// place, and save over it next. So a copy is kept of each version that is
// neither of the two states.
func (p *place) giveBack(from, to State, placed identity, n names) error {
	alone := to.Type == Absent
	for range 1000 {
		held, id, err := p.lookAtAny(n.temp)
		if err != nil {
			return p.errorf("cannot put back what was taken out, which is in %s: %w", n.temp, err)
		}
		if !held.Equal(from) && !held.Equal(to) {
			p.copyKept(held, n)
		}
		flags := uint(unix.RENAME_EXCHANGE)
		if alone {
			flags = unix.RENAME_NOREPLACE
		}
		err = p.rename(n.temp, p.base, flags)
		switch {
		case err == nil && alone:
			return nil
		case errors.Is(err, unix.ENOENT) && !alone: // removed meanwhile
			alone = true
			continue
		case errors.Is(err, unix.EEXIST): // made anew meanwhile
			return p.keep(p.conflict("somebody else made it anew meanwhile"), n)
		case err != nil:
			return p.errorf("cannot put back what was taken out, which is in %s: %w", n.temp, renaming(err))
		}
		_, out, err := p.lookAtAny(n.temp)
		if err != nil {
			return p.errorf("%w", err)
		}
		if out == placed {
			return nil
		}
		placed = id
	}
	return p.errorf("somebody else saves it without end: one version is in %s", n.temp)
}

// copyKept keeps a copy of somebody else's version of a file, for root, if it
// can: to put the version itself back matters more.
func (p *place) copyKept(s State, n names) {
	if s.Type != File {
		return
	}
	name, err := p.underFreeName(n, func(name string) error {
		return p.makeFile(name, State{Type: File, Mode: 0o600, Content: s.Content, NewLabels: true})
	})
	if err == nil {
		p.kept = p.beside(name)
	} else if name != "" && !errors.Is(err, unix.EEXIST) {
		_ = p.unlink(name, 0)
	}
}

// Settle reports whether a move is still as it was left: nobody writes to what
// was taken out, nor did so meanwhile. ErrConflict: somebody did, and Back puts
// his version in place. Call it before the transaction commits.
func Settle(root, name string, from, to State, id string) error {
	p, n, err := begin(root, name, from, to, id)
	if err != nil {
		return err
	}
	defer p.close()
	if isMeta(from) || from.Type == Absent || from.Type == Folder {
		return nil
	}
	return p.tookOut(n.temp, from, nil)
}

// Clean removes what a move took out, once the transaction is committed or
// taken back. What is neither of the two states is not removed but kept:
// ErrConflict, which names it.
func Clean(root, name string, from, to State, id string) error {
	p, n, err := begin(root, name, from, to, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.close()
	if isMeta(from) {
		return nil
	}
	if err := p.discardPart(n.part); err != nil {
		return p.errorf("%w", err)
	}
	return p.discard(n, from, to)
}

// discard removes what is under the name temp when it is one of the two states
// and nobody has it open for writing, and keeps it elsewhere when not.
func (p *place) discard(n names, from, to State) error {
	held, _, err := p.lookAtAny(n.temp)
	switch {
	case err != nil:
		return p.errorf("cannot look at what was taken out: %w", err)
	case held.Type == Absent:
		return nil
	case !held.Equal(from) && !held.Equal(to):
		return p.keep(p.conflict("somebody else changed it meanwhile"), n)
	}
	if held.Type == File { // again, with no writer
		f, err := p.openRegular(n.temp)
		if err != nil {
			return p.errorf("cannot look at what was taken out: %w", err)
		}
		defer f.Close()
		if err := quiet(f); err != nil {
			return p.keep(p.conflict(err.Error()), n)
		}
		if again, err := readState(f); err != nil {
			return p.errorf("cannot look at what was taken out: %w", err)
		} else if !again.Equal(held) {
			return p.keep(p.conflict("somebody else changed it meanwhile"), n)
		}
	}
	if err := p.unlink(n.temp, 0); err != nil {
		return p.errorf("cannot remove what was taken out: %w", err)
	}
	return p.syncFolder()
}

// keepOrDiscard clears the name temp where the path belongs to somebody else.
func (p *place) keepOrDiscard(conflict *Conflict, n names, from, to State) error {
	if err := p.discard(n, from, to); err != nil {
		var kept *Conflict
		if !errors.As(err, &kept) {
			return unfinished(conflict, err)
		}
		conflict.Kept = kept.Kept
	}
	return conflict
}

// keep gives what is under the name temp a name that nobody removes.
func (p *place) keep(conflict *Conflict, n names) error {
	name, err := p.underFreeName(n, func(name string) error { return p.rename(n.temp, name, unix.RENAME_NOREPLACE) })
	if err == nil {
		conflict.Kept = p.beside(name)
		err = p.syncFolder()
	} else {
		err = p.errorf("cannot rename %s, which somebody else saved: %w", n.temp, renaming(err))
	}
	if err != nil {
		return unfinished(conflict, err)
	}
	return conflict
}

// unfinished is a conflict with which it does not end: it counts as the error.
func unfinished(conflict *Conflict, err error) error { return fmt.Errorf("%v; %w", conflict, err) }

// underFreeName calls put with names for what is kept until one is free.
func (p *place) underFreeName(n names, put func(name string) error) (string, error) {
	for i := 1; i < 100; i++ {
		name := n.kept + "~"
		if i > 1 {
			name = fmt.Sprintf("%s.%d~", n.kept, i)
		}
		if err := put(name); !errors.Is(err, unix.EEXIST) {
			return name, err
		}
	}
	return "", errors.New("there are too many others beside it")
}

// discardPart removes a thing in the making: nobody else ever had it.
func (p *place) discardPart(part string) error {
	err := p.unlink(part, 0)
	if errors.Is(err, unix.EISDIR) {
		err = p.unlink(part, unix.AT_REMOVEDIR)
	}
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return fmt.Errorf("cannot remove %s: %w", part, err)
}

func (p *place) unlink(name string, flags int) error {
	return retry(func() error { return unix.Unlinkat(p.fd(), name, flags) })
}
