package auditrule

import "strings"

// fields are those that auditctl 3.0.9 reads. Of two names for one field the
// first is the one it prints.
var fields = []struct {
	name  string
	field FieldType
}{
	{"pid", fieldPID}, {"uid", fieldUID}, {"euid", fieldEUID}, {"suid", fieldSUID}, {"fsuid", fieldFSUID},
	{"gid", fieldGID}, {"egid", fieldEGID}, {"sgid", fieldSGID}, {"fsgid", fieldFSGID},
	{"auid", fieldAUID}, {"loginuid", fieldAUID}, {"pers", fieldPers}, {"arch", fieldArch}, {"msgtype", fieldMsgType},
	{"subj_user", fieldSubjUser}, {"subj_role", 14}, {"subj_type", 15}, {"subj_sen", 16}, {"subj_clr", fieldSubjClr},
	{"ppid", fieldPPID},
	{"obj_user", fieldObjUser}, {"obj_role", 20}, {"obj_type", 21}, {"obj_lev_low", 22}, {"obj_lev_high", fieldObjHigh},
	{"sessionid", fieldSessionID}, {"devmajor", fieldDevMajor}, {"devminor", fieldDevMinor}, {"inode", fieldInode},
	{"exit", fieldExit}, {"success", fieldSuccess}, {"path", fieldPath}, {"perm", fieldPerm}, {"dir", fieldDir},
	{"filetype", fieldFileType}, {"fstype", fieldFSType}, {"obj_uid", fieldObjUID}, {"obj_gid", fieldObjGID},
	{"field_compare", fieldCompare}, {"a0", fieldArg0}, {"a1", 201}, {"a2", 202}, {"a3", fieldArg3}, {"key", fieldKey},
	{"exe", fieldExe}, {"saddr_fam", fieldSaddrFam},
}

// fieldByName finds a field as auditctl does, in any case.
func fieldByName(name string) (FieldType, bool) {
	name = lower(name)
	for _, f := range fields {
		if f.name == name {
			return f.field, true
		}
	}
	return 0, false
}

// name is auditctl's name of a field, empty when it has none.
func (t FieldType) name() string {
	for _, f := range fields {
		if f.field == t {
			return f.name
		}
	}
	return ""
}

// operators in the order in which auditctl searches for them: the first that
// occurs anywhere in the pair splits it.
var operators = []struct {
	text string
	op   Op
}{
	{"!=", opNotEqual}, {">=", opGreaterEqual}, {"<=", opLessEqual}, {"&=", opTest},
	{"=", opEqual}, {">", opGreater}, {"<", opLess}, {"&", opMask},
}

func (o Op) String() string {
	for _, each := range operators {
		if each.op == o {
			return each.text
		}
	}
	return "?"
}

// holds reports whether a number compares so with the field's value. As in
// the kernel both are unsigned.
func (o Op) holds(left, right uint32) bool {
	switch o {
	case opEqual:
		return left == right
	case opNotEqual:
		return left != right
	case opLess:
		return left < right
	case opLessEqual:
		return left <= right
	case opGreater:
		return left > right
	case opGreaterEqual:
		return left >= right
	case opMask:
		return left&right != 0
	case opTest:
		return left&right == right
	}
	return false
}

// fileTypes are the values of the filetype field.
var fileTypes = map[string]uint32{
	"socket": 0xc000, "link": 0xa000, "file": 0x8000, "block": 0x6000, "dir": 0x4000, "character": 0x2000, "fifo": 0x1000,
}

// fsTypes are the values of the fstype field that have names.
var fsTypes = [...]struct {
	name  string
	magic uint32
}{{"tracefs", 0x74726163}, {"debugfs", 0x64626720}}

func fsTypeByName(name string) (uint32, bool) {
	for _, fs := range fsTypes {
		if fs.name == lower(name) {
			return fs.magic, true
		}
	}
	return 0, false
}

// fsMagic are the numbers (linux/magic.h) of the file systems on which files
// worth watching lie, by their names in mountinfo.
var fsMagic = map[string]uint32{
	"ext2": 0xef53, "ext3": 0xef53, "ext4": 0xef53, "xfs": 0x58465342, "btrfs": 0x9123683e, "f2fs": 0xf2f52010,
	"tmpfs": 0x01021994, "ramfs": 0x858458f6, "overlay": 0x794c7630, "zfs": 0x2fc12fc1, "nfs": 0x6969, "nfs4": 0x6969,
	"squashfs": 0x73717368, "vfat": 0x4d44, "devtmpfs": 0x01021994, "bcachefs": 0xca451a4e, "erofs": 0xe0f5e1e2,
	"proc": 0x9fa0, "sysfs": 0x62656572, "debugfs": 0x64626720, "tracefs": 0x74726163,
}

// comparisons are the pairs of fields that -C can compare, by the kernel's
// number. A pair may be written either way round.
var comparisons = [...][2]string{
	1: {"uid", "obj_uid"}, 2: {"gid", "obj_gid"}, 3: {"euid", "obj_uid"}, 4: {"egid", "obj_gid"},
	5: {"auid", "obj_uid"}, 6: {"suid", "obj_uid"}, 7: {"sgid", "obj_gid"}, 8: {"fsuid", "obj_uid"}, 9: {"fsgid", "obj_gid"},
	10: {"uid", "auid"}, 11: {"uid", "euid"}, 12: {"uid", "fsuid"}, 13: {"uid", "suid"},
	14: {"auid", "fsuid"}, 15: {"auid", "suid"}, 16: {"auid", "euid"},
	17: {"euid", "suid"}, 18: {"euid", "fsuid"}, 19: {"suid", "fsuid"},
	20: {"gid", "egid"}, 21: {"gid", "fsgid"}, 22: {"gid", "sgid"},
	23: {"egid", "fsgid"}, 24: {"egid", "sgid"}, 25: {"sgid", "fsgid"},
}

// comparison is the number of a pair, 0 when it cannot be compared.
func comparison(left, right string) uint32 {
	for i, pair := range comparisons {
		if i > 0 && (pair == [2]string{left, right} || pair == [2]string{right, left}) {
			return uint32(i)
		}
	}
	return 0
}

// lower folds ASCII only, as the tables of libaudit do.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
