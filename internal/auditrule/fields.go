package auditrule

import (
	"errors"
	"fmt"
	"strings"

	"github.com/elastic/go-libaudit/v2/auparse"
)

// field takes one -F, as libaudit's audit_rule_fieldpair_data does.
func (p *parser) field(pair string) error {
	name, op, value, err := split(pair)
	if err != nil {
		return err
	}
	t, known := fieldByName(name)
	if !known {
		return unsuref("auditctl may not know the field %q", name)
	}
	list := p.line.Rule.List
	if list == Exclude && !excludable(t) {
		return fmt.Errorf("the exclude list takes no %s", name)
	}
	f := Field{Type: t, Op: op}
	switch t {
	case fieldUID, fieldEUID, fieldSUID, fieldFSUID, fieldAUID, fieldObjUID:
		f.Num, err = p.account(value, true, p.env.UID)
	case fieldGID, fieldEGID, fieldSGID, fieldFSGID, fieldObjGID:
		f.Num, err = p.account(value, false, p.env.GID)
	case fieldExit:
		f.Num, err = exitCode(value)
		err = errors.Join(onlyExit(name, list), err)
	case fieldMsgType:
		var ok bool
		if f.Num, ok = messageType(value); !ok {
			err = unsuref("auditctl may not know the message type %q", value)
		}
		if list != Exclude && list != User {
			err = errors.New("msgtype is for the exclude and user lists only")
		}
	case fieldPath, fieldDir, fieldObjUser, 20, 21, 22, fieldObjHigh:
		f.Text = value
		err = onlyExit(name, list)
		if t == fieldPath || t == fieldDir {
			p.perm = true
		}
	case fieldSubjUser, 14, 15, 16, fieldSubjClr:
		f.Text = value
	case fieldExe:
		f.Text, p.exe = value, true
		err = onlyEquality(name, op)
	case fieldKey:
		f.Text = value
		if !(p.syscalls || p.perm || p.exe || p.fstype) {
			err = errors.New("the key needs a watch, syscall, path or program before it")
		}
	case fieldArch:
		if p.syscalls {
			return errors.New("arch comes after -S")
		}
		f.Num, err = p.archValue(value)
		p.arch = f.Num
		err = errors.Join(onlyEquality(name, op), err)
	case fieldPerm:
		var perm Perm
		perm, err = ParsePerm(value)
		f.Num = uint32(perm)
		if op != opEqual {
			err = errors.New("perm takes = only")
		}
		err = errors.Join(onlyExit(name, list), err)
		p.perm = true
	case fieldFileType:
		var ok bool
		if f.Num, ok = fileTypes[lower(value)]; !ok {
			err = fmt.Errorf("there is no file type %q", value)
		}
		err = errors.Join(onlyExit(name, list), err)
	case fieldFSType:
		var ok bool
		if f.Num, ok = fsTypeByName(value); !ok {
			if f.Num = cLong(value); !isNumber(value, false) {
				err = unsuref("auditctl may not know the file system %q", value)
			}
		}
		if list != Filesystem {
			err = errors.New("fstype is for the filesystem list only")
		}
		err = errors.Join(onlyEquality(name, op), err)
		p.fstype = true
	case fieldArg0, 201, 202, fieldArg3:
		if !isNumber(value, true) {
			err = fmt.Errorf("%s takes a number, not %q", name, value)
		}
		f.Num = cLong(value)
	case fieldSessionID:
		if list != Exclude && list != User && list != Exit {
			err = fmt.Errorf("the %v list takes no sessionid", list)
		}
		if f.Num = cLong(value); value == "unset" {
			f.Num = ^uint32(0)
		}
	case fieldSaddrFam:
		if f.Num = cLong(value); f.Num >= 46 {
			err = fmt.Errorf("there is no address family %q", value)
		}
	case fieldDevMajor, fieldDevMinor, fieldInode, fieldSuccess, fieldPPID:
		err = onlyExit(name, list)
		if t == fieldInode {
			err = errors.Join(err, onlyEquality(name, op))
		}
		if !isNumber(value, false) {
			err = fmt.Errorf("%s takes a number, not %q", name, value)
		}
		f.Num = cLong(value)
	default:
		if !isNumber(value, false) {
			err = fmt.Errorf("%s takes a number, not %q", name, value)
		}
		f.Num = cLong(value)
	}
	if err != nil {
		return err
	}
	if f.Type.isString() && len(value) > pathMax {
		return fmt.Errorf("the value of %s is too long", name)
	}
	return p.add(f)
}

// excludable are the fields that the exclude list takes.
func excludable(t FieldType) bool {
	switch t {
	case fieldPID, fieldUID, fieldGID, fieldAUID, fieldMsgType, fieldExe:
		return true
	}
	return t >= fieldSubjUser && t <= fieldSubjClr
}

func onlyExit(name string, list List) error {
	if list != Exit {
		return fmt.Errorf("%s is for the exit list only", name)
	}
	return nil
}

func onlyEquality(name string, op Op) error {
	if op != opEqual && op != opNotEqual {
		return fmt.Errorf("%s takes = and != only", name)
	}
	return nil
}

// account reads the number or name of a user or group.
func (p *parser) account(value string, user bool, lookup func(string) (uint32, bool, error)) (uint32, error) {
	switch {
	case isNumber(value, user):
		return cLong(value), nil
	case user && value == "unset":
		return ^uint32(0), nil
	}
	id, found, err := lookup(value)
	if err != nil {
		return 0, unsuref("cannot tell who %q is: %w", value, err)
	}
	if !found {
		return 0, fmt.Errorf("there is no account %q", value)
	}
	return id, nil
}

func exitCode(value string) (uint32, error) {
	if isNumber(value, true) {
		return cLong(value), nil
	}
	name, negative := strings.CutPrefix(value, "-")
	n, known := auparse.AuditErrnoToNum[strings.ToUpper(name)]
	if !known || n == 0 {
		return 0, fmt.Errorf("there is no error code %q", value)
	}
	if negative {
		n = -n
	}
	return uint32(int32(n)), nil
}

func (p *parser) archValue(value string) (uint32, error) {
	m, err := p.env.Machine()
	if err != nil {
		return 0, unsureError{err}
	}
	if isNumber(value, false) {
		return cLong(value), nil
	}
	switch lower(value) {
	case "b64":
		return m.b64, nil
	case "b32":
		return m.b32, nil
	case "i386", "i486", "i586", "i686":
		return archI386, nil
	case "x86_64":
		return archX86_64, nil
	case "aarch64", "armv8l":
		return archAarch64, nil
	case "arm", "armv5tejl", "armv5tel", "armv6l", "armv7l":
		return archARM, nil
	}
	return 0, unsuref("auditctl may not know the architecture %q", value)
}
