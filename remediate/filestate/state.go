package filestate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hostguard/hostguard/internal/posixacl"
)

// Type says what a path is, or what of it a state is about.
type Type string

// The types of states. A path is moved between the first three in any way,
// between Absent and Folder, and between two states of its metadata.
const (
	Absent     Type = "absent"
	File       Type = "file" // content and metadata
	Link       Type = "link" // a symbolic link
	Folder     Type = "folder"
	FileMeta   Type = "file metadata" // of a file that stays what it is, changed in place
	FolderMeta Type = "folder metadata"
)

// State is what a path is at one moment.
type State struct {
	Type    Type
	Mode    uint32 // permissions with set-user-ID, set-group-ID and sticky bit, 07777; of links 0
	UID     uint32
	GID     uint32
	Xattrs  map[string][]byte // all extended attributes, access lists among them; of links none
	Content []byte            // of File
	Target  string            // of Link
	ModTime time.Time         // of File; zero: as it comes

	// Inode is the file's number, of FileMeta and FolderMeta, and no part of the
	// state's identity; zero: not known. See backMeta.
	Inode uint64

	// NewLabels: this state was made up, not observed, and the path gets the
	// labels that the kernel's security modules give to what is new.
	NewLabels bool
}

// NewFile is the state of a file that does not exist yet.
func NewFile(content []byte, mode, uid, gid uint32) State {
	return State{Type: File, Mode: mode, UID: uid, GID: gid, Content: content, NewLabels: true}
}

// NewFolder is the state of a folder that does not exist yet.
func NewFolder(mode, uid, gid uint32) State {
	return State{Type: Folder, Mode: mode, UID: uid, GID: gid, NewLabels: true}
}

// NewLink is the state of a symbolic link, of root.
func NewLink(target string) State { return State{Type: Link, Target: target} }

// WithContent is the same file with other content.
func (s State) WithContent(content []byte) State {
	s.Content, s.ModTime = content, time.Time{}
	return s
}

// Meta is what is wanted of a file's or folder's metadata; nil leaves it.
type Meta struct {
	Mode     *uint32
	UID, GID *uint32
	NoAccess bool // no access list beyond the mode
}

// WithMeta is the same file or folder with other metadata. As with chmod(1), a
// new mode changes the mask of an access list.
func (s State) WithMeta(want Meta) State {
	s.Xattrs = maps.Clone(s.Xattrs)
	if want.UID != nil {
		s.UID = *want.UID
	}
	if want.GID != nil {
		s.GID = *want.GID
	}
	if value, ok := s.Xattrs[posixacl.Access]; ok && want.NoAccess {
		if list, err := posixacl.Parse(value); err == nil { // the group's bits were the mask
			s.Mode = s.Mode&^0o070 | uint32(list.Group())<<3
		}
		delete(s.Xattrs, posixacl.Access)
	}
	if want.Mode != nil {
		s.Mode = *want.Mode & 0o7777
	}
	if value, ok := s.Xattrs[posixacl.Access]; ok {
		s.Xattrs[posixacl.Access] = maskedBy(value, s.Mode)
	}
	return s
}

// Equal reports whether two states are the same in everything but the time of
// the last change.
func (s State) Equal(t State) bool {
	return s.Type == t.Type && s.Mode == t.Mode && s.UID == t.UID && s.GID == t.GID && s.Target == t.Target &&
		bytes.Equal(s.Content, t.Content) && equalXattrs(s.Xattrs, t.Xattrs, s.NewLabels || t.NewLabels)
}

func equalXattrs(a, b map[string][]byte, withoutLabels bool) bool {
	if withoutLabels {
		a, b = unlabelled(a), unlabelled(b)
	}
	return maps.EqualFunc(a, b, bytes.Equal)
}

func unlabelled(xattrs map[string][]byte) map[string][]byte {
	kept := map[string][]byte{}
	for name, value := range xattrs {
		if !isLabel(name) {
			kept[name] = value
		}
	}
	return kept
}

// isLabel reports whether an attribute is set by a security module on all that
// is made, see xattr(7).
func isLabel(name string) bool {
	return strings.HasPrefix(name, "security.") && name != "security.capability"
}

// isKernels reports whether an attribute is the kernel's own sum over a file
// (IMA, EVM): it follows the file, and is never ours to set.
func isKernels(name string) bool { return name == "security.ima" || name == "security.evm" }

// Hash is the SHA-256 of the content, in hex.
func (s State) Hash() string {
	sum := sha256.Sum256(s.Content)
	return hex.EncodeToString(sum[:])
}

// stateJSON is how a journal keeps a state: content that is text stays legible.
type stateJSON struct {
	Type      Type              `json:"type"`
	Mode      string            `json:"mode,omitempty"` // octal
	UID       uint32            `json:"uid"`
	GID       uint32            `json:"gid"`
	Xattrs    map[string][]byte `json:"xattrs,omitempty"`
	Text      *string           `json:"text,omitempty"`
	Base64    []byte            `json:"base64,omitempty"`
	SHA256    string            `json:"sha256,omitempty"`
	Target    string            `json:"target,omitempty"`
	ModTime   *time.Time        `json:"mtime,omitempty"`
	Inode     uint64            `json:"inode,omitempty"`
	NewLabels bool              `json:"new_labels,omitempty"`
}

// MarshalJSON writes all of a state.
func (s State) MarshalJSON() ([]byte, error) {
	j := stateJSON{Type: s.Type, UID: s.UID, GID: s.GID, Xattrs: s.Xattrs, Target: s.Target, Inode: s.Inode, NewLabels: s.NewLabels}
	if s.Type != Absent && s.Type != Link {
		j.Mode = fmt.Sprintf("%04o", s.Mode)
	}
	if s.Type == File {
		j.SHA256 = s.Hash()
		if text := string(s.Content); utf8.ValidString(text) {
			j.Text = &text
		} else {
			j.Base64 = s.Content
		}
		if !s.ModTime.IsZero() {
			j.ModTime = &s.ModTime
		}
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads a state, strictly: it decides what root writes.
func (s *State) UnmarshalJSON(data []byte) error {
	var j stateJSON
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&j); err != nil {
		return fmt.Errorf("cannot read the state of a file: %w", err)
	}
	*s = State{Type: j.Type, UID: j.UID, GID: j.GID, Xattrs: j.Xattrs, Target: j.Target, Inode: j.Inode, NewLabels: j.NewLabels}
	if j.Mode != "" {
		mode, err := strconv.ParseUint(j.Mode, 8, 32)
		if err != nil || mode > 0o7777 {
			return fmt.Errorf("cannot read the state of a file: %q is no mode", j.Mode)
		}
		s.Mode = uint32(mode)
	}
	if j.Text != nil {
		s.Content = []byte(*j.Text)
	} else if j.Base64 != nil {
		s.Content = j.Base64
	}
	if j.ModTime != nil {
		s.ModTime = *j.ModTime
	}
	if j.Type == File && s.Hash() != j.SHA256 {
		return fmt.Errorf("cannot read the state of a file: its content does not have the SHA-256 %q", j.SHA256)
	}
	return s.valid()
}

// valid reports whether the fields go together.
func (s State) valid() error {
	var ok bool
	switch s.Type {
	case Absent:
		ok = s.Mode == 0 && s.UID == 0 && s.GID == 0 && s.Xattrs == nil && s.Content == nil && s.Target == ""
	case File:
		ok = s.Target == "" && len(s.Content) <= MaxContent
	case Link:
		ok = s.Target != "" && !strings.Contains(s.Target, "\x00") && utf8.ValidString(s.Target) && s.Mode == 0 && s.Content == nil && len(s.Xattrs) == 0
	case Folder, FileMeta, FolderMeta:
		ok = s.Target == "" && s.Content == nil
	}
	for name := range s.Xattrs { // JSON cannot keep others
		ok = ok && utf8.ValidString(name)
	}
	if !ok {
		return fmt.Errorf("its state of type %q holds what cannot be recorded or does not go together", s.Type)
	}
	return nil
}
