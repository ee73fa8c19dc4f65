package auditrule

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// option takes one option. done reports that auditctl looks at no further one.
func (p *parser) option(o option) (done bool, err error) {
	switch o.name {
	case "a", "A", "d":
		return false, p.list(o)
	case "w", "W":
		return false, p.watch(o)
	case "S":
		return false, p.syscall(o.arg)
	case "F":
		if !p.listed {
			return false, errors.New("-F comes before the list (-a)")
		}
		if key, isKey := strings.CutPrefix(o.arg, "key="); isKey {
			return false, p.key(key)
		}
		return false, p.field(o.arg)
	case "C":
		return false, p.compare(o.arg)
	case "k":
		if !p.listed || !(p.syscalls || p.perm || p.exe || p.fstype) {
			return false, errors.New("-k comes before a watch, syscall, path or program")
		}
		return false, p.key(o.arg)
	case "p":
		return false, p.permission(o.arg)
	case "D":
		return true, p.deleteAll(o)
	case "i":
		p.line.Kind = Ignore
		return true, nil
	case "c":
		p.line.Kind = Continue
		return true, nil
	case "e", "f":
		if o.arg != "0" && o.arg != "1" && o.arg != "2" {
			return false, fmt.Errorf("-%s takes 0, 1 or 2, not %q", o.name, o.arg)
		}
	case "r", "b", "backlog_wait_time":
		if o.arg == "" || o.arg[0] < '0' || o.arg[0] > '9' {
			return false, fmt.Errorf("%s takes a number, not %q", o.name, o.arg)
		}
	case "R":
		return false, errors.New("-R is not allowed in a rules file")
	case "h":
		return false, errors.New("-h ends the load")
	case "q":
		mount, sub, found := strings.Cut(o.arg, ",")
		if !found || mount == "" || sub == "" || strings.Contains(sub, ",") {
			return false, errors.New("-q takes MOUNT,SUBTREE")
		}
		p.setting(o)
		return true, nil
	case "s", "l", "v", "t", "m", "signal", "loginuid-immutable", "reset-lost", "reset_backlog_wait_time_actual":
		p.setting(o)
		return true, nil
	}
	p.setting(o)
	return false, nil
}

func (p *parser) setting(o option) {
	p.line.Kind = Control
	p.line.Settings = append(p.line.Settings, Setting{o.name, o.arg})
}

func (p *parser) deleteAll(o option) error {
	p.line.Kind = DeleteAll
	switch len(p.words) {
	case 1:
		return nil
	case 3:
		if o.position == 2 && p.words[1] == "-k" {
			p.line.Key = p.words[2]
			return nil
		}
	}
	return errors.New("-D takes nothing but -k KEY")
}

func (p *parser) list(o option) error {
	if p.listed {
		return errors.New("a line can hold one rule only")
	}
	if o.name != "d" && strings.Contains(o.arg, "task") && p.syscalls {
		return errors.New("the task list takes no syscalls")
	}
	first, second, found := strings.Cut(o.arg, ",")
	if !found || strings.Contains(second, ",") {
		return fmt.Errorf("-%s takes LIST,ACTION, not %q", o.name, o.arg)
	}
	listText, actionText := second, first
	if _, isAction := actionByName[first]; !isAction && first != "possible" {
		listText, actionText = first, second
	}
	list, known := listByName(listText)
	if !known {
		err := fmt.Errorf("%q names no rule list", o.arg)
		if listText == "io_uring" {
			err = unsuref("this version of auditctl may not know the io_uring list")
		}
		return err
	}
	if actionText == "possible" && listText == first {
		return errSkip
	}
	action, known := actionByName[actionText]
	if !known {
		return fmt.Errorf("%q names no action: want always or never", o.arg)
	}
	p.listed = true
	p.line.Kind = Add
	if o.name == "d" {
		p.line.Kind = Delete
	}
	p.line.Rule.Prepend = o.name == "A"
	p.line.Rule.List, p.line.Rule.Action = list, action
	return nil
}

var actionByName = map[string]Action{"always": Always, "never": Never}

func listByName(name string) (List, bool) {
	for list, n := range listNames {
		if n == name && n != "" && List(list) != Uring {
			return List(list), true
		}
	}
	return 0, false
}

func (p *parser) watch(o option) error {
	if o.name == "w" && p.listed {
		return errors.New("a watch and a rule cannot be on one line")
	}
	if len(p.line.Rule.Fields) > 0 {
		return errors.New("a watch comes before other fields")
	}
	name := o.arg
	switch {
	case len(name) >= pathMax:
		return errors.New("the path is too long")
	case !strings.HasPrefix(name, "/"):
		return errors.New("the path does not start with /")
	case len(path.Base(name)) > nameMax:
		return errors.New("the last part of the path is too long")
	}
	if len(name) > 2 {
		name = strings.TrimRight(name, "/")
		if name == "" {
			name = "/"
		}
	}
	isDir, err := p.env.IsDir(name)
	if err != nil {
		return unsuref("cannot tell whether it watches a file or a folder: %w", err)
	}
	what := fieldPath
	if isDir {
		what = fieldDir
	}
	p.listed, p.syscalls, p.perm, p.allCalled = true, true, true, true
	p.line.Kind = Add
	if o.name == "W" {
		p.line.Kind = Delete
	}
	p.line.Rule = Rule{
		List: Exit, Action: Always, Mask: AllSyscalls,
		Fields: []Field{{Type: what, Op: opEqual, Text: name}, {Type: fieldPerm, Op: opEqual, Num: uint32(allPerms)}},
	}
	return nil
}
