// Package files repairs what the looks at modes find: files and folders that
// let in whom they should not, and the folder with copies of logs. It only
// takes away, in place: content and inode stay.
package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/hostguard/hostguard/checks/files"
	"github.com/hostguard/hostguard/checks/logs"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/filestate"
)

const (
	does    = "Takes off the bits of the mode and the entries of access lists that let in too many, and gives the file to a wanted owner and group, in place."
	willNot = "Lets in nobody who was not, mends no link that is not root's and no file with several names, and changes no owner below a folder that others than root can write. What makes the file, such as a daemon's or logrotate's configuration, stays as it is."
)

// Remediators repair the checks that look at modes.
var Remediators = []remediate.Remediator{
	{Check: "file-mode", Does: does, WillNot: willNot, Risk: remediate.Safe, Propose: propose},
	{Check: "audit-log-mode", Does: does, WillNot: willNot, Risk: remediate.Safe, Propose: propose},
	{
		Check:   "connector-secret-modes",
		Does:    "Takes off the bits of the mode and the entries of access lists that let in too many, in place.",
		WillNot: "Changes no owner, and leaves what a container's user reads only as everybody does: it would not get at it any more. A container keeps what it has open until it is started again.",
		Risk:    remediate.Safe, Propose: propose,
	},
	{
		Check:   "log-copies-folder",
		Does:    "Makes the folder for copies of logs, and gives it and the copies in it to root and the readers' group: mode 0750, the copies 0440, without access lists.",
		WillNot: "Changes nothing where other things than copies lie in the folder, and not the folders above it.",
		Risk:    remediate.Safe, Propose: proposeCopies,
	},
}

func propose(c remediate.Case) remediate.Proposal {
	r, ok := c.Finding.Repair.(files.Repair)
	if !ok {
		return remediate.Proposal{}
	}
	var p remediate.Proposal
	for _, f := range r.Files {
		switch {
		case f.Left != "":
			p.Person = append(p.Person, fmt.Sprintf("%s %s.", f.Path, f.Left))
		case f.Stray:
			p.Person = append(p.Person, fmt.Sprintf("%s is a link that does not belong to root: look who made it, and remove it.", f.Path))
		case f.Unknown != "":
			p.Person = append(p.Person, fmt.Sprintf("%s should have another %s, of which this host has none.", f.Path, f.Unknown))
		default:
			p.Changes = append(p.Changes, Narrow{f})
		}
	}
	if r.More > 0 {
		p.Person = append(p.Person, fmt.Sprintf("%d more files are at fault: run hostguard fix again.", r.More))
	}
	return p
}

// Narrow wants no more to be so of a file than a look at modes wants.
type Narrow struct{ files.Narrow }

// Resolve adds what of the file's metadata is too much.
func (n Narrow) Resolve(ctx context.Context, h *host.Host, d *remediate.Draft) error {
	name := n.Path
	if n.Link {
		var err error
		if name, err = h.Resolve(name); errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
	}
	if mended, err := mendable(h, d, name); !mended || err != nil {
		return err
	}
	if n.Owner != nil || n.Group != nil {
		why, err := shared(ctx, h, d, path.Dir(name))
		if err != nil {
			return err
		}
		if why != "" {
			d.Person("%s: its owner and group are not changed, since %s.", name, why)
			n.Owner, n.Group = nil, nil
		}
	}
	return set(ctx, d, name, func(now filestate.State) (filestate.State, error) { return narrowed(now, n.Narrow) })
}

// mendable reports whether a path is a file or folder that can be changed in
// place; what cannot is a person's matter. One that is gone needs nothing.
func mendable(h *host.Host, d *remediate.Draft, name string) (bool, error) {
	_, err := filestate.ObserveMeta(h.Root(), name)
	switch {
	case err == nil:
		return true, nil
	case !errors.Is(err, fs.ErrNotExist):
		d.Person("%v: mend it by hand.", err)
	}
	return false, nil
}

// Place implements remediate.Placed: what becomes of a folder decides what may
// be changed in it. What a link leads to lies elsewhere.
func (n Narrow) Place() string {
	if n.Link {
		return ""
	}
	return n.Path
}

// shared says who else could put another thing in the place of what lies in a
// folder, once what the draft closes is closed.
func shared(ctx context.Context, h *host.Host, d *remediate.Draft, dir string) (string, error) {
	for at := dir; ; at = path.Dir(at) {
		m, err := h.TargetMode(at)
		if err != nil {
			return "", err
		}
		uid, mode := m.UID, m.Perm
		if (uid != 0 || mode&0o022 != 0) && d.Has(filestate.ModeKind, at) {
			if uid, mode, err = drafted(ctx, d, at); err != nil {
				return "", err
			}
		}
		switch {
		case uid != 0:
			return fmt.Sprintf("the folder %s belongs to uid %d", at, uid), nil
		case mode&0o022 != 0:
			return fmt.Sprintf("others than root can write the folder %s", at), nil
		case at == "/":
			return "", nil
		}
	}
}

// drafted is what the draft makes of a folder's owner and mode.
func drafted(ctx context.Context, d *remediate.Draft, dir string) (uid, mode uint32, err error) {
	_, err = remediate.Set(ctx, d, filestate.ModeKind, dir, func(now filestate.State) (filestate.State, error) {
		uid, mode = now.UID, now.Mode
		return now, nil
	})
	return uid, mode, err
}

func set(ctx context.Context, d *remediate.Draft, name string, want func(filestate.State) (filestate.State, error)) error {
	kind := filestate.ModeKind
	if d.Has(filestate.FileKind, name) {
		kind = filestate.FileKind // one step for one path
	}
	_, err := remediate.Set(ctx, d, kind, name, want)
	return err
}

func proposeCopies(c remediate.Case) remediate.Proposal {
	r, ok := c.Finding.Repair.(logs.CopiesRepair)
	if !ok {
		return remediate.Proposal{}
	}
	p := remediate.Proposal{Person: r.Person}
	if r.Make {
		p.Changes = append(p.Changes, Folder{r.Dir, r.GID})
	}
	if r.More > 0 {
		p.Person = append(p.Person, fmt.Sprintf("%d more copies are at fault: run hostguard fix again.", r.More))
	}
	for _, m := range r.Modes {
		p.Changes = append(p.Changes, Copy{m.Path, m.Mode, r.GID})
	}
	return p
}

// Folder wants the folder for copies to exist.
type Folder struct {
	Path string
	GID  uint32
}

// Resolve adds the folder.
func (f Folder) Resolve(ctx context.Context, h *host.Host, d *remediate.Draft) error {
	switch above, err := h.Exists(path.Dir(f.Path)); {
	case err != nil:
		return err
	case !above:
		d.Person("Make the folder %s, as root's and with mode 755, or name another one for copies (logs.dir).", path.Dir(f.Path))
		return nil
	}
	_, err := filestate.MakeFolder(ctx, d, f.Path, filestate.New{Mode: 0o750, GID: f.GID})
	return err
}

// Copy wants the folder with copies, or a copy, to be root's and its readers'.
type Copy struct {
	Path string
	Mode uint32
	GID  uint32
}

// Place implements remediate.Placed: nobody else can put anything into the folder
// when a copy in it is given away.
func (c Copy) Place() string { return c.Path }

// Resolve adds the metadata that is wanted.
func (c Copy) Resolve(ctx context.Context, h *host.Host, d *remediate.Draft) error {
	why, err := shared(ctx, h, d, path.Dir(path.Dir(c.Path)))
	if err != nil {
		return err
	}
	if why != "" {
		d.Person("%s is not changed, since %s.", c.Path, why)
		return nil
	}
	if mended, err := mendable(h, d, c.Path); !mended || err != nil {
		return err
	}
	return set(ctx, d, c.Path, func(now filestate.State) (filestate.State, error) {
		return alone(now, c.Mode, 0, c.GID), nil
	})
}
