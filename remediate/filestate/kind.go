package filestate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/remediate"
)

// The kinds of steps that change paths.
var (
	FileKind   = newKind("file", remediate.Files, Observe)
	LinkKind   = newKind("link", remediate.Files, ObserveLink)
	ModeKind   = newKind("mode", remediate.Files, ObserveMeta) // owner, mode and access list of what stays what it is
	FolderKind = newKind("folder", remediate.Folders, ObserveFolder)
)

// Kinds lists them.
var Kinds = []remediate.Kind{FileKind, LinkKind, ModeKind, FolderKind}

func newKind(name string, phase remediate.Phase, observe func(root, name string) (State, error)) remediate.Kind {
	moves := func(f func(root, name string, from, to State, id string) error) func(context.Context, remediate.Thing, State, State) error {
		return func(_ context.Context, t remediate.Thing, from, to State) error {
			return conflict(f(t.Root, t.Target, from, to, t.Mark))
		}
	}
	return remediate.NewKind(name, phase, remediate.Mover[State]{
		Observe: func(_ context.Context, t remediate.Thing) (State, error) { return observe(t.Root, t.Target) },
		Equal:   State.Equal,
		Preflight: func(_ context.Context, t remediate.Thing, from, to State) error {
			const together = "filestate"
			all, _ := t.Memory[together].(*Preflight)
			if all == nil {
				all = &Preflight{}
				t.Memory[together] = all
			}
			return conflict(all.Check(t.Root, t.Target, from, to))
		},
		Move:   moves(Move),
		Back:   moves(Back),
		Settle: moves(Settle),
		Clean:  moves(Clean),
		Show:   show,
	})
}

// conflict turns a Conflict into what transactions know as one.
func conflict(err error) error {
	var ours *Conflict
	if !errors.As(err, &ours) {
		return err
	}
	why := ours.Why
	if ours.Kept != "" {
		why += "; what was saved there is kept as " + ours.Kept
	}
	return &remediate.ConflictError{Target: ours.Path, Why: why}
}

// New is what a file or folder gets when it is made; the owner is root unless given.
type New struct {
	Mode     uint32
	UID, GID uint32
}

// Edit folds into the draft what becomes of a file's content. The function gets
// the old content, nil where there is no file, and returns the new one, nil for
// no file. A file that exists keeps its owner and mode. Reports whether anything
// is changed.
func Edit(ctx context.Context, d *remediate.Draft, name string, made New, edit func(old []byte) ([]byte, error)) (moved bool, err error) {
	if d.Has(ModeKind, name) {
		return false, fmt.Errorf("cannot edit %s: its mode is changed by the same plan; fix them apart with --only", name)
	}
	return remediate.Set(ctx, d, FileKind, name, func(now State) (State, error) {
		var old []byte
		if now.Type == File {
			old = append([]byte{}, now.Content...)
		}
		content, err := edit(old)
		switch {
		case err != nil:
			return State{}, err
		case content == nil:
			return State{Type: Absent}, nil
		case now.Type == Absent:
			return NewFile(content, made.Mode, made.UID, made.GID), nil
		case string(content) == string(now.Content):
			return now, nil
		}
		return now.WithContent(content), nil
	})
}

// SetMeta folds into the draft what becomes of the owner, mode and access list
// of a file or folder that exists. It is changed in place.
func SetMeta(ctx context.Context, d *remediate.Draft, name string, want Meta) (moved bool, err error) {
	kind := ModeKind
	if d.Has(FileKind, name) {
		kind = FileKind // one step for one path
	}
	return remediate.Set(ctx, d, kind, name, func(now State) (State, error) {
		if now.Type == Absent {
			return State{}, fmt.Errorf("cannot change the mode of %s: %w", name, fs.ErrNotExist)
		}
		return now.WithMeta(want), nil
	})
}

// MakeFolder folds into the draft that a folder exists. One that is there stays
// as it is.
func MakeFolder(ctx context.Context, d *remediate.Draft, name string, made New) (moved bool, err error) {
	return remediate.Set(ctx, d, FolderKind, name, func(now State) (State, error) {
		if now.Type == Folder {
			return now, nil
		}
		return NewFolder(made.Mode, made.UID, made.GID), nil
	})
}

// show is a unified diff of a file, with what else changes in a line before it.
func show(name string, from, to State) string {
	var b strings.Builder
	if changes := metaChanges(from, to); changes != "" {
		fmt.Fprintf(&b, "%s: %s\n", name, changes)
	}
	oldName, newName := name, name
	if from.Type == Absent {
		oldName = "/dev/null"
	}
	if to.Type == Absent {
		newName = "/dev/null"
	}
	b.WriteString(remediate.Diff(oldName, newName, from.Content, to.Content))
	return b.String()
}

func metaChanges(from, to State) string {
	var words []string
	switch {
	case to.Type == Absent:
		words = append(words, fmt.Sprintf("%s removed", from.Type))
	case from.Type == Absent:
		words = append(words, fmt.Sprintf("new %s", to.Type))
	}
	if to.Type == Link && to.Target != from.Target {
		words = append(words, "to "+to.Target)
	}
	if to.Type != Absent && to.Type != Link {
		if from.Type == Absent {
			words = append(words, fmt.Sprintf("mode %04o, uid %d, gid %d", to.Mode, to.UID, to.GID))
		} else {
			words = append(words, differences(from, to)...)
		}
	}
	return strings.Join(words, ", ")
}

func differences(from, to State) []string {
	var words []string
	if from.Mode != to.Mode {
		words = append(words, fmt.Sprintf("mode %04o to %04o", from.Mode, to.Mode))
	}
	if from.UID != to.UID {
		words = append(words, fmt.Sprintf("uid %d to %d", from.UID, to.UID))
	}
	if from.GID != to.GID {
		words = append(words, fmt.Sprintf("gid %d to %d", from.GID, to.GID))
	}
	names := slices.Collect(maps.Keys(from.Xattrs))
	for name := range to.Xattrs {
		if _, both := from.Xattrs[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		switch old, was := from.Xattrs[name]; {
		case was && to.Xattrs[name] == nil:
			words = append(words, name+" removed")
		case !was:
			words = append(words, name+" added")
		case string(old) != string(to.Xattrs[name]):
			words = append(words, name+" changed")
		}
	}
	return words
}
