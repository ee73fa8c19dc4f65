package auditrule

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/elastic/go-libaudit/v2/auparse"
)

// Env is what the reading of a rules file depends on besides the file.
type Env interface {
	Machine() (Machine, error)             // for b64, b32 and names of syscalls
	UID(name string) (uint32, bool, error) // whether such a user is known; an error: cannot be told
	GID(name string) (uint32, bool, error) // the same of a group
	IsDir(path string) (bool, error)       // links followed: -w on a folder means it and all below
}

// Kind is what a line of a rules file does.
type Kind uint8

const (
	Blank     Kind = iota // nothing: empty, a comment, or a form that auditctl skips
	Add                   // adds Rule
	Delete                // removes Rule
	DeleteAll             // removes all rules, or with Key those that bear it
	Ignore                // -i: errors no longer stop the load, which ends well
	Continue              // -c: errors no longer stop the load, which ends badly
	Control               // sets something: Settings
)

// Line is one line of a rules file.
type Line struct {
	Pos      Pos
	Text     string
	Kind     Kind
	Rule     Rule      // of Add and Delete
	Key      string    // of DeleteAll
	Settings []Setting // of Control, in order
}

// Setting is one option that is not about rules: "e", "b", "f", "r",
// "backlog_wait_time", "loginuid-immutable" …
type Setting struct{ Name, Value string }

// LineError says why a line cannot be loaded.
type LineError struct {
	Pos    Pos
	Text   string // the line
	Reason string
	Unsure bool // another version of auditctl may take it
}

func (e *LineError) Error() string { return fmt.Sprintf("%v: %s", e.Pos, e.Reason) }

// maxLine is one less than auditctl's buffer; what is longer is cut into two
// lines, which is never what was meant.
const maxLine = 6142

const (
	maxKey  = 256
	pathMax = 4096
	nameMax = 255
)

// ParseLine reads one line as auditctl -R does (auditctl.c of audit 3.0.9).
// The error is a *LineError.
func ParseLine(text string, pos Pos, env Env) (Line, error) {
	line := Line{Pos: pos, Text: text}
	refuse := func(err error) (Line, error) {
		lineErr := &LineError{Pos: pos, Text: text, Reason: err.Error()}
		var unsure unsureError
		lineErr.Unsure = errors.As(err, &unsure)
		return line, lineErr
	}
	if strings.Trim(text, " ") == "" {
		return line, nil
	}
	words := tokens(text)
	if strings.HasPrefix(words[0], "#") {
		return line, nil
	}
	if len(text) > maxLine {
		return refuse(unsuref("the line is longer than auditctl's %d bytes, which then reads it as two", maxLine))
	}
	if strings.IndexByte(text, 0) >= 0 {
		return refuse(unsuref("the line holds a NUL byte, at which auditctl stops reading it"))
	}
	p := parser{env: env, line: &line, words: words}
	if err := p.run(); err != nil {
		return refuse(err)
	}
	return line, nil
}

// unsureError marks a refusal that other versions may not share.
type unsureError struct{ error }

func unsuref(format string, args ...any) error { return unsureError{fmt.Errorf(format, args...)} }

// parser follows auditctl's setopt(): the order of the options matters.
type parser struct {
	env   Env
	line  *Line
	words []string

	listed    bool // -a, -A, -d, -w or -W was given
	syscalls  bool // -S or a watch
	perm      bool // a permission, path or dir
	exe       bool
	fstype    bool
	arch      uint32
	keys      []string
	allCalled bool // "-S all" or a watch
}

// errSkip ends a line that auditctl skips without an error.
var errSkip = errors.New("skipped")

func (p *parser) run() error {
	opts, bad, stray := options(p.words)
	final := false // the option ends the line
	for _, o := range opts {
		done, err := p.option(o)
		if errors.Is(err, errSkip) {
			*p.line = Line{Pos: p.line.Pos, Text: p.line.Text}
			return nil
		}
		if err != nil {
			return err
		}
		if done {
			final = true
			if o.position <= len(p.words) && p.line.Kind != DeleteAll {
				return fmt.Errorf("nothing can follow -%s on its line", strings.TrimPrefix(o.name, "-"))
			}
			break
		}
	}
	switch {
	case final:
		return nil
	case bad != "":
		return unsuref("auditctl does not know the option %s, or it lacks its argument", bad)
	case stray != "":
		return fmt.Errorf("%q is given without an option", stray)
	case len(opts) == 0:
		return errors.New("there is no option")
	}
	return p.finish()
}

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
