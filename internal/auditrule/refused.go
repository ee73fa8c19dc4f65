package auditrule

import (
	"errors"
	"fmt"
	"strings"
)

// finish adds what auditctl adds at the end of a line.
func (p *parser) finish() error {
	if len(p.keys) > 0 && p.listed {
		if err := p.field("key=" + strings.Join(p.keys, keySeparator)); err != nil {
			return err
		}
	}
	rule := &p.line.Rule
	switch {
	case !p.listed && len(p.line.Settings) == 0:
		return errors.New("there is neither a rule nor a setting")
	case !p.listed && p.syscalls:
		return errors.New("syscalls are given without a list")
	case p.listed && len(p.line.Settings) > 0:
		return unsuref("a rule and a setting are on one line")
	case !p.listed:
		return nil
	}
	rule.Pos = p.line.Pos
	if !p.syscalls && rule.List != Task {
		rule.Mask = AllSyscalls
		rule.noSyscalls = true
	}
	return kernelRefuses(rule)
}

// kernelRefuses is the check that the kernel makes of a rule
// (kernel/auditfilter.c, audit_watch.c, audit_tree.c), as far as it does not
// depend on what paths exist.
func kernelRefuses(r *Rule) error {
	places, exes := 0, 0
	for _, f := range r.Fields {
		switch f.Type {
		case fieldPath:
			places++
			if !strings.HasPrefix(f.Text, "/") || strings.HasSuffix(f.Text, "/") || f.Op != opEqual {
				return fmt.Errorf("the kernel refuses path%v%s", f.Op, f.Text)
			}
		case fieldDir:
			places++
			if !strings.HasPrefix(f.Text, "/") || f.Op != opEqual {
				return fmt.Errorf("the kernel refuses dir%v%s", f.Op, f.Text)
			}
		case fieldInode:
			places++
		case fieldExe:
			exes++
			if !strings.HasPrefix(f.Text, "/") || strings.HasSuffix(f.Text, "/") {
				return fmt.Errorf("the kernel refuses exe%v%s", f.Op, f.Text)
			}
		case fieldArg0, 201, 202, fieldArg3, fieldPers, fieldDevMinor:
			// These take every operator.
		case fieldSubjUser, 14, 15, fieldObjUser, 20, 21, fieldKey, fieldArch, fieldFSType, fieldPerm, fieldFileType, fieldCompare:
			if f.Op != opEqual && f.Op != opNotEqual {
				return fmt.Errorf("the kernel takes only = and != with %s", f.Type.name())
			}
		default:
			if f.Op == opMask || f.Op == opTest {
				return fmt.Errorf("the kernel takes no bit operator with %s", f.Type.name())
			}
		}
		if r.List == Filesystem && f.Type != fieldFSType && f.Type != fieldKey {
			return fmt.Errorf("the kernel takes no %s in the filesystem list", f.Type.name())
		}
	}
	if places > 1 {
		return errors.New("the kernel takes one path, dir or inode in a rule")
	}
	if exes > 1 {
		return errors.New("the kernel takes one exe in a rule")
	}
	return nil
}
