package auditrule

import (
	"slices"
	"strconv"
	"sync"

	"github.com/elastic/go-libaudit/v2/auparse"
)

// The kernel's numbers of the architectures that are fully understood.
const (
	archX86_64  uint32 = 0xc000003e
	archI386    uint32 = 0x40000003
	archAarch64 uint32 = 0xc00000b7
	archARM     uint32 = 0x40000028
)

// Machine is a host's architecture: what b64 and b32 mean there.
type Machine struct {
	b64, b32 uint32 // b32 is 0 where there is none
}

// MachineOf returns the architecture of a machine name as in uname(2); ok is
// false for one that is not understood.
func MachineOf(uname string) (m Machine, ok bool) {
	switch uname {
	case "x86_64":
		return Machine{archX86_64, archI386}, true
	case "aarch64":
		return Machine{archAarch64, archARM}, true
	}
	return Machine{}, false
}

// arches are those whose syscalls a rule must be asked for.
func (m Machine) arches() []uint32 { return []uint32{m.b64, m.b32} }

// tableNames are the names by which auparse keeps syscall tables.
var tableNames = map[uint32]string{archX86_64: "x86_64", archI386: "i386", archAarch64: "aarch64", archARM: "arm"}

// archName is how messages call an architecture.
func archName(arch uint32) string {
	switch arch {
	case archX86_64, archAarch64:
		return "b64"
	case archI386, archARM:
		return "b32"
	}
	return "another architecture"
}

var syscallNumbers = sync.OnceValue(func() map[uint32]map[string]int {
	byArch := map[uint32]map[string]int{}
	for arch, table := range tableNames {
		names := make(map[string]int, len(auparse.AuditSyscalls[table]))
		for number, name := range auparse.AuditSyscalls[table] {
			names[name] = number
		}
		byArch[arch] = names
	}
	return byArch
})

// syscallNumber is the number of a syscall, -1 when it is not known.
func syscallNumber(arch uint32, name string) int {
	if n, ok := syscallNumbers()[arch][name]; ok {
		return n
	}
	return -1
}

// permSyscalls are the syscalls through which a kind of access to a file
// happens, from the kernel's include/asm-generic/audit_*.h, without those that
// take no path to a file's content or attributes (quotactl, swapon, the
// reading of extended attributes). The 64-variants are the 32-bit ones.
var permSyscalls = []struct {
	perm  Perm
	names []string
}{
	{Exec, []string{"execve", "execveat"}},
	{Write, []string{
		"open", "openat", "openat2", "creat", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat",
		"unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "mknod", "mknodat", "truncate", "truncate64",
		"ftruncate", "ftruncate64", "fallocate", "bind", "acct",
	}},
	{Read, []string{"open", "openat", "openat2"}},
	{Attr, []string{
		"chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "chown32", "fchown32", "lchown32",
		"link", "linkat", "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr",
	}},
}

type archPerm struct {
	arch uint32
	perm Perm
}

// neededSyscalls are permSyscalls by number, for one architecture and kind.
var neededSyscalls = sync.OnceValue(func() map[archPerm][]int {
	needed := map[archPerm][]int{}
	for arch := range tableNames {
		for _, each := range permSyscalls {
			for _, name := range each.names {
				if n := syscallNumber(arch, name); n >= 0 {
					needed[archPerm{arch, each.perm}] = append(needed[archPerm{arch, each.perm}], n)
				}
			}
		}
	}
	return needed
})

// missingSyscalls names the syscalls of an architecture through which the
// access happens and that are not in the mask, sorted.
func missingSyscalls(m *Mask, arch uint32, perms Perm) []string {
	if m.all() {
		return nil
	}
	var missing []string
	for _, each := range permSyscalls {
		if perms&each.perm == 0 {
			continue
		}
		for _, n := range neededSyscalls()[archPerm{arch, each.perm}] {
			if !m.Has(n) {
				missing = append(missing, syscallName(arch, n))
			}
		}
	}
	slices.Sort(missing)
	return slices.Compact(missing)
}

// syscallName is the name of a syscall, its number when it has none.
func syscallName(arch uint32, n int) string {
	if name, ok := auparse.AuditSyscalls[tableNames[arch]][n]; ok {
		return name
	}
	return strconv.Itoa(n)
}
