package auditrule

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/elastic/go-libaudit/v2/auparse"
)

func (p *parser) syscall(arg string) error {
	if p.listed {
		switch p.line.Rule.List {
		case Task, User, Filesystem, Exclude:
			return fmt.Errorf("the %v list takes no syscalls", p.line.Rule.List)
		}
	}
	if p.arch == 0 {
		m, err := p.env.Machine()
		if err != nil {
			return unsureError{err}
		}
		p.arch = m.b64
	}
	names := []string{arg}
	if strings.Contains(arg, ",") {
		names = strings.FieldsFunc(arg, func(r rune) bool { return r == ',' })
		if len(names) == 0 {
			return errors.New("-S names no syscall")
		}
	}
	for _, name := range names {
		if name == "all" {
			p.line.Rule.Mask = AllSyscalls
			p.allCalled = true
			continue
		}
		n := syscallNumber(p.arch, lower(name))
		if n < 0 && name != "" && name[0] >= '0' && name[0] <= '9' {
			n = int(int32(cLong(name)))
		}
		switch {
		case n < 0 && tableNames[p.arch] == "":
			return unsuref("the syscalls of this architecture are not known")
		case n < 0:
			return unsuref("auditctl may not know the syscall %q", name)
		case n >= maskBits:
			return fmt.Errorf("there is no syscall %q", name)
		}
		p.line.Rule.Mask.add(n)
	}
	p.syscalls = true
	return nil
}

func (p *parser) key(key string) error {
	total := len(key)
	for _, k := range p.keys {
		total += len(k) + 1
	}
	if total > maxKey {
		return fmt.Errorf("the key is longer than %d bytes", maxKey)
	}
	if key == "" && len(p.keys) == 0 {
		return nil
	}
	p.keys = append(p.keys, key)
	return nil
}

func (p *parser) permission(arg string) error {
	if !p.listed {
		return errors.New("-p comes before a watch")
	}
	perm, err := ParsePerm(arg)
	if err != nil {
		return err
	}
	if len(p.line.Rule.Fields) == 0 {
		return errors.New("-p comes before a watch")
	}
	p.perm = true
	for i, f := range p.line.Rule.Fields {
		if f.Type == fieldPerm {
			p.line.Rule.Fields[i].Num = uint32(perm)
			return nil
		}
	}
	return p.add(Field{Type: fieldPerm, Op: opEqual, Num: uint32(perm)})
}

func (p *parser) add(f Field) error {
	if len(p.line.Rule.Fields) >= maxFields-1 {
		return errors.New("the rule has too many fields")
	}
	if p.line.Rule.Fields == nil {
		p.line.Rule.Fields = make([]Field, 0, 4) // most have no more
	}
	p.line.Rule.Fields = append(p.line.Rule.Fields, f)
	return nil
}

// split cuts "field=value" as auditctl does.
func split(pair string) (name string, op Op, value string, err error) {
	for _, each := range operators {
		if before, after, found := strings.Cut(pair, each.text); found {
			if before == "" {
				return "", 0, "", fmt.Errorf("%q lacks the field", pair)
			}
			if after == "" {
				return "", 0, "", fmt.Errorf("%q lacks the value", pair)
			}
			return before, each.op, after, nil
		}
	}
	return "", 0, "", fmt.Errorf("%q lacks an operator", pair)
}

func (p *parser) compare(pair string) error {
	left, op, right, err := split(pair)
	if err != nil {
		return err
	}
	if op != opEqual && op != opNotEqual {
		return fmt.Errorf("-C %s: only = and != can compare fields", pair)
	}
	if !p.listed || p.line.Rule.List != Exit {
		return errors.New("-C is for the exit list only")
	}
	canonical := func(s string) string {
		if s = lower(s); s == "loginuid" {
			return "auid"
		}
		return s
	}
	n := comparison(canonical(left), canonical(right))
	if n == 0 {
		return fmt.Errorf("-C %s: these fields cannot be compared", pair)
	}
	return p.add(Field{Type: fieldCompare, Op: op, Num: n})
}

// cLong reads a number as strtol(3) with base 0 does, trailing text ignored,
// cut to 32 bits.
func cLong(s string) uint32 {
	negative := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(s, "-")
	base, digits := 10, "0123456789"
	switch {
	case len(s) > 2 && (s[:2] == "0x" || s[:2] == "0X") && strings.ContainsRune("0123456789abcdefABCDEF", rune(s[2])):
		base, digits, s = 16, "0123456789abcdefABCDEF", s[2:]
	case len(s) > 1 && s[0] == '0':
		base, digits = 8, "01234567"
	}
	end := 0
	for end < len(s) && strings.IndexByte(digits, s[end]) >= 0 {
		end++
	}
	n, err := strconv.ParseUint(s[:end], base, 64)
	if err != nil && end > 0 {
		n = 1<<63 - 1 // out of range: as strtol saturates
	}
	if negative {
		return uint32(-int64(n))
	}
	return uint32(n)
}

// isNumber reports whether auditctl reads a value as a number.
func isNumber(v string, negatives bool) bool {
	if negatives && len(v) >= 2 && v[0] == '-' {
		v = v[1:]
	}
	return v != "" && v[0] >= '0' && v[0] <= '9'
}

func messageType(name string) (uint32, bool) {
	if isNumber(name, false) {
		return cLong(name), true
	}
	upper := strings.ToUpper(name)
	if rest, ok := strings.CutPrefix(upper, "UNKNOWN["); ok {
		number, _, closed := strings.Cut(rest, "]")
		n, err := strconv.ParseUint(number, 10, 32)
		return uint32(n), closed && err == nil
	}
	t, err := auparse.GetAuditMessageType(upper)
	return uint32(t), err == nil
}
