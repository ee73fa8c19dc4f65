// Package auditrule knows Linux audit rules: how auditctl(8) reads them from
// files, how augenrules(8) merges files, what the kernel keeps of them, and
// what a list of rules records of the use of a path.
//
// Rules are compared as structures, never as text: the same rule has many
// spellings, and the common printers misprint some. The package knows nothing
// of the host it runs on; what it needs of one it asks through [Env] and
// [Paths].
package auditrule

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
)

// List is a kernel rule list, with the kernel's numbers (linux/audit.h).
type List uint32

const (
	User       List = 0 // events sent by programs
	Task       List = 1 // asked once, when a task is created
	Exit       List = 4 // asked at the end of each system call
	Exclude    List = 5 // records that are not written
	Filesystem List = 6 // file systems that are not looked at
	Uring      List = 7 // asked at the end of each io_uring operation
)

var listNames = [...]string{
	User: "user", Task: "task", Exit: "exit", Exclude: "exclude", Filesystem: "filesystem", Uring: "io_uring",
}

func (l List) String() string {
	if int(l) < len(listNames) && listNames[l] != "" {
		return listNames[l]
	}
	return fmt.Sprintf("list %d", uint32(l))
}

// Action is what a rule does with what matches it.
type Action uint32

const (
	Never  Action = 0
	Always Action = 2
)

func (a Action) String() string {
	switch a {
	case Never:
		return "never"
	case Always:
		return "always"
	}
	return fmt.Sprintf("action %d", uint32(a))
}

// Perm is a set of kinds of access, with the kernel's numbers.
type Perm uint32

const (
	Exec  Perm = 1
	Write Perm = 2
	Read  Perm = 4
	Attr  Perm = 8

	allPerms = Exec | Write | Read | Attr
)

// String is in auditctl's order: rwxa.
func (p Perm) String() string {
	var b strings.Builder
	for _, one := range []struct {
		perm   Perm
		letter byte
	}{{Read, 'r'}, {Write, 'w'}, {Exec, 'x'}, {Attr, 'a'}} {
		if p&one.perm != 0 {
			b.WriteByte(one.letter)
		}
	}
	return b.String()
}

// ParsePerm reads a set such as "wa", letters in any order and case.
func ParsePerm(s string) (Perm, error) {
	var p Perm
	for _, c := range s {
		switch c {
		case 'r', 'R':
			p |= Read
		case 'w', 'W':
			p |= Write
		case 'x', 'X':
			p |= Exec
		case 'a', 'A':
			p |= Attr
		default:
			return 0, fmt.Errorf("cannot read %q as permissions: want letters of rwxa", s)
		}
	}
	if len(s) > 4 {
		return 0, fmt.Errorf("cannot read %q as permissions: want at most four letters", s)
	}
	return p, nil
}

// maskWords is the length of a syscall mask; maskBits the number of syscalls
// it can name. The top sixteen bits stand for classes of syscalls, which the
// kernel resolves when a rule is loaded.
const (
	maskWords = 64
	maskBits  = maskWords*32 - 16
)

// Mask is a set of syscall numbers.
type Mask [maskWords]uint32

// AllSyscalls is the mask of a rule for every syscall, as the kernel lists it.
var AllSyscalls = func() (m Mask) {
	for i := range m {
		m[i] = ^uint32(0)
	}
	m[maskWords-1] = 0x0000ffff
	return m
}()

// Has reports whether a syscall number is in the mask.
func (m *Mask) Has(n int) bool { return n >= 0 && n < maskBits && m[n/32]&(1<<(n%32)) != 0 }

func (m *Mask) add(n int) { m[n/32] |= 1 << (n % 32) }

// all reports whether every syscall is meant; the last word is not looked at,
// as auditctl does not.
func (m *Mask) all() bool {
	for _, w := range m[:maskWords-1] {
		if w != ^uint32(0) {
			return false
		}
	}
	return true
}

// FieldType is what a field looks at, with the kernel's numbers.
type FieldType uint32

const (
	fieldPID     FieldType = 0
	fieldUID     FieldType = 1
	fieldEUID    FieldType = 2
	fieldSUID    FieldType = 3
	fieldFSUID   FieldType = 4
	fieldGID     FieldType = 5
	fieldEGID    FieldType = 6
	fieldSGID    FieldType = 7
	fieldFSGID   FieldType = 8
	fieldAUID    FieldType = 9
	fieldPers    FieldType = 10
	fieldArch    FieldType = 11
	fieldMsgType FieldType = 12

	fieldSubjUser FieldType = 13
	fieldSubjClr  FieldType = 17
	fieldPPID     FieldType = 18
	fieldObjUser  FieldType = 19
	fieldObjHigh  FieldType = 23

	fieldAUIDSet   FieldType = 24
	fieldSessionID FieldType = 25
	fieldFSType    FieldType = 26

	fieldDevMajor FieldType = 100
	fieldDevMinor FieldType = 101
	fieldInode    FieldType = 102
	fieldExit     FieldType = 103
	fieldSuccess  FieldType = 104
	fieldPath     FieldType = 105
	fieldPerm     FieldType = 106
	fieldDir      FieldType = 107
	fieldFileType FieldType = 108
	fieldObjUID   FieldType = 109
	fieldObjGID   FieldType = 110
	fieldCompare  FieldType = 111
	fieldExe      FieldType = 112
	fieldSaddrFam FieldType = 113
	fieldArg0     FieldType = 200
	fieldArg3     FieldType = 203
	fieldKey      FieldType = 210
)

// isString reports whether a field's value is text.
func (t FieldType) isString() bool {
	switch t {
	case fieldPath, fieldDir, fieldKey, fieldExe:
		return true
	}
	return t >= fieldSubjUser && t <= fieldObjHigh && t != fieldPPID
}

// Op is a comparison, with the kernel's numbers.
type Op uint32

const (
	opMask         Op = 0x08000000
	opLess         Op = 0x10000000
	opGreater      Op = 0x20000000
	opNotEqual     Op = 0x30000000
	opEqual        Op = 0x40000000
	opTest         Op = 0x48000000
	opLessEqual    Op = 0x50000000
	opGreaterEqual Op = 0x60000000
)

// Field is one condition of a rule; all of a rule's fields must hold.
type Field struct {
	Type FieldType
	Op   Op
	Num  uint32 // the value, of fields that are numbers
	Text string // the value, of fields that are text
}

// Pos is a place in a file; the zero value is the kernel.
type Pos struct {
	File string
	Line int // 1-based
}

func (p Pos) String() string {
	if p.File == "" {
		return "kernel audit rule"
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Rule is one audit rule as the kernel would hold it.
type Rule struct {
	List    List
	Action  Action
	Prepend bool // to the front of its list (-A)
	Mask    Mask // syscalls it is asked for
	Fields  []Field
	Pos     Pos

	// noSyscalls notes that the rule was written without -S. auditctl then
	// means all of them, or (since 3.1, when arch and perm are given) those
	// that the permissions can apply to.
	noSyscalls bool
}

// keySeparator joins several keys of one rule.
const keySeparator = "\x01"

// Keys are the rule's keys.
func (r *Rule) Keys() []string {
	for _, f := range r.Fields {
		if f.Type == fieldKey {
			return strings.Split(f.Text, keySeparator)
		}
	}
	return nil
}

// Place is the path that the rule is about, and whether with everything below
// it; it is empty for a rule that names none.
func (r *Rule) Place() (path string, tree bool) {
	for _, f := range r.Fields {
		switch f.Type {
		case fieldPath:
			return f.Text, false
		case fieldDir:
			if trimmed := strings.TrimRight(f.Text, "/"); trimmed != "" {
				return trimmed, true
			}
			return f.Text, true
		}
	}
	return "", false
}

// Equal reports whether the kernel would take the two rules for the same one,
// whatever the order of their fields; keys are compared too.
func (r *Rule) Equal(other *Rule) bool { return r.equal(other, true) }

// Same is Equal whatever the keys: the two rules record the same.
func (r *Rule) Same(other *Rule) bool { return r.equal(other, false) }

// identical is how the kernel recognises a duplicate: the order of the fields
// counts.
func (r *Rule) identical(other *Rule) bool {
	return r.List == other.List && r.Action == other.Action && r.Mask == other.Mask && slices.Equal(r.Fields, other.Fields)
}

func (r *Rule) equal(other *Rule, keys bool) bool {
	if r.List != other.List || r.Action != other.Action {
		return false
	}
	if !slices.Equal(r.Fields, other.Fields) && !slices.Equal(r.normalFields(keys), other.normalFields(keys)) {
		return false
	}
	return r.Mask == other.Mask || r.mayExpandTo(other) || other.mayExpandTo(r)
}

// Identity is the same number for rules that are Equal, and hardly ever for
// others. It is another one in each run of the program.
func (r *Rule) Identity() uint64 {
	sum := uint64(r.List)<<32 | uint64(r.Action)
	var room [8]Field
	seen := room[:0]
	for _, f := range r.Fields {
		if f = f.normal(); !slices.Contains(seen, f) {
			seen = append(seen, f)
			sum += f.hash() // in whatever order they are written
		}
	}
	return sum
}

var hashSeed = maphash.MakeSeed()

func (f Field) hash() uint64 {
	h := maphash.String(hashSeed, f.Text) ^ uint64(f.Type)<<32 ^ uint64(f.Op) ^ uint64(f.Num)
	h *= 0x9e3779b97f4a7c15 // spreads what differs in a few bits
	return h ^ h>>32
}

// normal is a field in the spelling that all with its meaning share.
func (f Field) normal() Field {
	switch {
	case f.Type == fieldKey && strings.Contains(f.Text, keySeparator):
		parts := strings.Split(f.Text, keySeparator)
		slices.Sort(parts)
		f.Text = strings.Join(parts, keySeparator)
	case f.Type == fieldDir && len(f.Text) > 1:
		f.Text = strings.TrimRight(f.Text, "/")
	}
	return f
}

// mayExpandTo reports whether the other's mask is what a newer auditctl makes
// of this rule, which names permissions and an architecture but no syscalls.
func (r *Rule) mayExpandTo(other *Rule) bool {
	if !r.noSyscalls || r.List != Exit {
		return false
	}
	var perm Perm
	arch := uint32(0)
	for _, f := range r.Fields {
		switch f.Type {
		case fieldPerm:
			perm = Perm(f.Num)
		case fieldArch:
			arch = f.Num
		}
	}
	if perm == 0 || arch == 0 {
		return false
	}
	return len(missingSyscalls(&other.Mask, arch, perm)) == 0
}

// normalFields are the fields in an order that does not depend on how the
// rule was written; repeated ones count once.
func (r *Rule) normalFields(keys bool) []Field {
	fields := make([]Field, 0, len(r.Fields))
	for _, f := range r.Fields {
		if keys || f.Type != fieldKey {
			fields = append(fields, f.normal())
		}
	}
	slices.SortFunc(fields, func(a, b Field) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Op, b.Op),
			cmp.Compare(a.Num, b.Num), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(fields)
}
