package filestate

import (
	"errors"

	"golang.org/x/sys/unix"
)

// removeFolder removes a folder that is as it was made, and empty.
func (p *place) removeFolder(from State, n names) error {
	now, _, err := p.lookAtAny(p.base)
	if err != nil {
		return p.errorf("%w", err)
	}
	if !now.Equal(from) {
		return p.conflict(differs(now, from))
	}
	err = p.unlink(p.base, unix.AT_REMOVEDIR)
	switch {
	case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST):
		return p.conflict("somebody put something into the folder")
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return p.conflict("somebody else removed it meanwhile")
	case err != nil:
		return p.errorf("cannot remove the folder: %w", renaming(err))
	}
	if err := p.syncFolder(); err != nil {
		return errors.Join(err, p.moveNew(from, n))
	}
	return nil
}

// backFolder takes back that a folder was made or removed.
func (p *place) backFolder(from, to State, n names) error {
	now, _, err := p.lookAtAny(p.base)
	switch {
	case err != nil:
		return p.errorf("%w", err)
	case now.Equal(from):
		return nil
	case !now.Equal(to):
		return p.conflict(differs(now, to))
	case to.Type == Folder:
		return p.removeFolder(to, n)
	}
	return p.moveNew(from, n)
}
