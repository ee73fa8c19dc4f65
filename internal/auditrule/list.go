package auditrule

import (
	"fmt"
	"strings"

	"github.com/elastic/go-libaudit/v2/auparse"
)

// String writes a rule as "auditctl -l" (3.0.9) does, its misprints included:
// a never rule on a path reads like a watch, and every 64-bit architecture is
// b64. In one thing it is right where auditctl is wrong: without an arch the
// calls are the 64-bit ones, which auditctl names by the table of the rule that
// it printed before.
func (r *Rule) String() string { return r.write(r.printsAsWatch()) }

// Exact writes a rule so that no other reads the same: never as -w, which
// leaves open whether it means a file, a folder or nothing to be recorded.
func (r *Rule) Exact() string { return r.write(false) }

func (r *Rule) write(watch bool) string {
	var b strings.Builder
	arch := uint32(0)
	if !watch {
		fmt.Fprintf(&b, "-a %v,%v", r.Action, r.List)
		for _, f := range r.Fields {
			if f.Type == fieldArch {
				arch = f.Num
				b.WriteString(" -F arch" + f.Op.String() + archText(arch))
			}
		}
		r.writeSyscalls(&b, arch)
	}
	for _, f := range r.Fields {
		writeField(&b, f, watch)
	}
	return b.String()
}

// takesSyscalls reports whether rules of the list are asked per syscall.
func (l List) takesSyscalls() bool { return l == Exit || l == Uring }

func (r *Rule) printsAsWatch() bool {
	hasPerm := false
	for _, f := range r.Fields {
		switch f.Type {
		case fieldPerm:
			hasPerm = true
		case fieldKey, fieldDir, fieldPath:
		default:
			return false
		}
	}
	return hasPerm && (!r.List.takesSyscalls() || r.Mask.all())
}

func (r *Rule) writeSyscalls(b *strings.Builder, arch uint32) {
	if !r.List.takesSyscalls() {
		return
	}
	if r.Mask.all() {
		b.WriteString(" -S all")
		return
	}
	if arch == 0 {
		arch = archX86_64
		if m, ok := MachineOf(thisMachine); ok {
			arch = m.b64
		}
	}
	table := auparse.AuditSyscalls[tableNames[arch]]
	before := " -S "
	for n := range maskWords * 32 {
		if r.Mask[n/32]&(1<<(n%32)) == 0 {
			continue
		}
		name, known := table[n]
		if !known {
			name = fmt.Sprint(n)
		}
		b.WriteString(before + name)
		before = ","
	}
}

func archText(arch uint32) string {
	if tableNames[arch] == "" {
		return fmt.Sprintf("0x%X", arch)
	}
	if arch&0x80000000 != 0 {
		return "b64"
	}
	return "b32"
}

func writeField(b *strings.Builder, f Field, watch bool) {
	switch f.Type {
	case fieldArch:
	case fieldPath, fieldDir:
		if watch {
			b.WriteString("-w " + f.Text)
			return
		}
		b.WriteString(" -F " + f.Type.name() + "=" + f.Text)
	case fieldExe:
		b.WriteString(" -F exe=" + f.Text)
	case fieldKey:
		for key := range strings.SplitSeq(f.Text, keySeparator) {
			if key == "" {
				continue
			}
			if watch {
				b.WriteString(" -k " + key)
			} else {
				b.WriteString(" -F key=" + key)
			}
		}
	case fieldPerm:
		if watch {
			b.WriteString(" -p " + Perm(f.Num).String())
		} else {
			b.WriteString(" -F perm=" + Perm(f.Num).String())
		}
	case fieldCompare:
		b.WriteString(" -C " + f.condition())
	default:
		b.WriteString(" -F " + f.condition())
	}
}

// condition writes one field as it is written after -F or -C.
func (f Field) condition() string {
	name, op := f.Type.name(), f.Op.String()
	switch {
	case name == "":
		return fmt.Sprintf("f%d%s%d", f.Type, op, int32(f.Num))
	case f.Type.isString():
		return name + op + f.Text
	}
	switch f.Type {
	case fieldCompare:
		if int(f.Num) >= len(comparisons) || f.Num == 0 {
			return name + op + fmt.Sprint(f.Num)
		}
		return comparisons[f.Num][0] + op + comparisons[f.Num][1]
	case fieldPerm:
		return name + op + Perm(f.Num).String()
	case fieldArch:
		return name + op + archText(f.Num)
	case fieldArg0, 201, 202, fieldArg3:
		return fmt.Sprintf("%s%s0x%X", name, op, f.Num)
	case fieldInode:
		return fmt.Sprintf("%s%s%d", name, op, f.Num)
	case fieldExit:
		if code, ok := auparse.AuditErrnoToName[-int(int32(f.Num))]; ok && int32(f.Num) < 0 {
			return name + op + "-" + code
		}
	case fieldMsgType:
		if t := auparse.AuditMessageType(f.Num); f.Num <= 0xffff && !strings.HasPrefix(t.String(), "UNKNOWN") {
			return name + op + t.String()
		}
	case fieldFSType:
		for _, fs := range fsTypes {
			if fs.magic == f.Num {
				return name + op + fs.name
			}
		}
	}
	return fmt.Sprintf("%s%s%d", name, op, int32(f.Num))
}
