package auditrule

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Record types without which an event is worth nothing: the event itself and
// the paths it was about (linux/audit.h).
const (
	recordSyscall = 1300
	recordPath    = 1302
)

// View is a list of rules prepared for questions about paths. It is safe for
// concurrent use.
type View struct {
	machine Machine
	res     *resolver
	mounts  []Mount
	rules   []viewed

	always  map[string][]int // rules of the exit list that record, by real place; "" for those that name none
	never   []int            // rules of the exit list that suppress
	fsNever []*Rule          // rules of the filesystem list
	blocked []string         // why nothing at all is recorded
	limits  []string         // what is never recorded, whatever the path
}

// viewed is one rule of the exit list, taken apart.
type viewed struct {
	*Rule
	place    string // real path of its place, its last component not followed; empty: it names none
	tree     bool   // it means what is below, too
	placeErr error  // place could not be found out
	perm     Perm   // 0: whatever the access
	archOp   Op     // 0: whatever the architecture
	archNum  uint32
	narrow   []string // further conditions
}

// NewView prepares rules, which are in the order in which the kernel asks
// them.
func NewView(rules []Rule, machine Machine, paths Paths) (*View, error) {
	v := &View{machine: machine, res: newResolver(paths), always: make(map[string][]int, len(rules)), rules: make([]viewed, 0, len(rules))}
	var err error
	if v.mounts, err = paths.Mounts(); err != nil {
		return nil, err
	}
	var tasks, excludes []*Rule
	for i := range rules {
		r := &rules[i]
		switch r.List {
		case Task:
			tasks = append(tasks, r)
		case Exclude:
			excludes = append(excludes, r)
		case Filesystem:
			if r.Action == Never {
				v.fsNever = append(v.fsNever, r)
			}
		case Exit:
			v.addExit(r)
		}
	}
	v.judgeTasks(tasks)
	v.judgeExcludes(excludes)
	return v, nil
}

func (v *View) addExit(r *Rule) {
	entry := viewed{Rule: r}
	for _, f := range r.Fields {
		switch f.Type {
		case fieldPath, fieldDir:
			entry.tree = f.Type == fieldDir
			entry.place, entry.placeErr = v.res.realPlace(f.Text)
		case fieldPerm:
			entry.perm = Perm(f.Num)
			if f.Op != opEqual {
				entry.narrow = append(entry.narrow, f.condition())
			}
		case fieldArch:
			entry.archOp, entry.archNum = f.Op, f.Num
		case fieldKey:
		default:
			entry.narrow = append(entry.narrow, f.condition())
		}
	}
	at := len(v.rules)
	v.rules = append(v.rules, entry)
	if r.Action == Never {
		v.never = append(v.never, at)
	} else {
		v.always[entry.place] = append(v.always[entry.place], at)
	}
}

// arch reports whether a rule is asked for programs of an architecture.
func (r *viewed) arch(arch uint32) bool { return r.archOp == 0 || r.archOp.holds(arch, r.archNum) }

// kind is of what file a rule's place is. Only of the rules that can matter for
// a question it is looked at.
func (v *View) kind(r *viewed) (FileKind, error) {
	if r.placeErr != nil {
		return Absent, r.placeErr
	}
	return v.res.Lstat(r.place)
}

// judgeTasks finds whether new tasks are recorded at all: the first rule of
// the task list that matches decides when a task is created.
func (v *View) judgeTasks(tasks []*Rule) {
	for _, r := range tasks {
		conditions := conditionsOf(r, nil)
		switch {
		case r.Action == Always && len(conditions) == 0:
			return
		case r.Action == Always:
		case len(conditions) == 0:
			v.blocked = append(v.blocked, fmt.Sprintf("%v keeps every new process from being recorded: %v", r.Pos, r))
			return
		default:
			v.limits = append(v.limits, fmt.Sprintf("processes created when %s (%v)", strings.Join(conditions, " and "), r.Pos))
		}
	}
}

// judgeExcludes finds which records are not written.
func (v *View) judgeExcludes(excludes []*Rule) {
	for _, r := range excludes {
		hits := false
		for _, record := range []uint32{recordSyscall, recordPath} {
			all := true
			for _, f := range r.Fields {
				if f.Type == fieldMsgType && !f.Op.holds(record, f.Num) {
					all = false
				}
			}
			hits = hits || all
		}
		if !hits {
			continue
		}
		conditions := conditionsOf(r, func(f Field) bool { return f.Type == fieldMsgType })
		if len(conditions) == 0 {
			v.blocked = append(v.blocked, fmt.Sprintf("%v keeps the records of file access from being written: %v", r.Pos, r))
		} else {
			v.limits = append(v.limits, fmt.Sprintf("events when %s (%v)", strings.Join(conditions, " and "), r.Pos))
		}
	}
}

// conditionsOf writes a rule's fields but keys and those to skip.
func conditionsOf(r *Rule, skip func(Field) bool) []string {
	var conditions []string
	for _, f := range r.Fields {
		if f.Type != fieldKey && (skip == nil || !skip(f)) {
			conditions = append(conditions, f.condition())
		}
	}
	return conditions
}

// relation says how a rule's place lies to an object.
type relation uint8

const (
	apart   relation = iota // somewhere else
	covers                  // the rule means the object, and all of it
	entries                 // the rule means the folder that the object lies in, or the object itself without what is in it
	inside                  // the rule means a part of the object
	unclear                 // it covers the object if a mount was there when it was loaded
)

// object is one file or folder whose use is to be recorded.
type object struct {
	path string // real
	tree bool   // what is below it, too
}

// relate finds how a rule's place lies to an object; why explains unclear.
func (v *View) relate(r *viewed, o object) (rel relation, why string) {
	switch {
	case r.placeErr != nil:
		return unclear, fmt.Sprintf("%v: %v", r.Pos, r.placeErr)
	case r.place == "":
		return covers, ""
	case r.tree && !below(o.path, r.place) && !(o.tree && below(r.place, o.path)):
		return apart, ""
	}
	if r.tree {
		switch kind, err := v.kind(r); {
		case err != nil:
			return unclear, fmt.Sprintf("%v: %v", r.Pos, err)
		case kind == Link && r.place == o.path:
			// The kernel does not follow the last component: it watches the link.
			return covers, ""
		case kind == Link:
			return apart, ""
		}
	}
	switch {
	case r.tree && below(o.path, r.place):
		if m := v.lateMount(r.place, o); m != "" {
			return unclear, fmt.Sprintf("whether %v covers the file system mounted on %s depends on whether it was mounted when the rule was loaded", r.Pos, m)
		}
		return covers, ""
	case r.tree:
		return inside, ""
	case r.place == o.path && o.tree:
		return entries, ""
	case r.place == o.path:
		if m := v.lateMount(r.place, o); m != "" {
			return unclear, fmt.Sprintf("whether %v means the file system mounted on %s depends on whether it was mounted when the rule was loaded", r.Pos, m)
		}
		return covers, ""
	case r.place == path.Dir(o.path):
		return entries, ""
	case o.tree && below(r.place, o.path):
		return inside, ""
	}
	return apart, ""
}

// lateMount returns a mount point that lies between the rule's folder and the
// object, or below the object, and is not known to have been there when the
// rule was loaded.
func (v *View) lateMount(place string, o object) string {
	for _, m := range v.mounts {
		if m.Early || m.Point == "/" || !below(m.Point, place) {
			continue
		}
		if below(o.path, m.Point) || o.tree && !m.Apart && below(m.Point, o.path) {
			return m.Point
		}
	}
	return ""
}

// MountOf is the mount that a real path lies on.
func (v *View) MountOf(name string) Mount {
	var best Mount
	for _, m := range v.mounts {
		if below(name, m.Point) && len(m.Point) >= len(best.Point) {
			best = m
		}
	}
	return best
}

// unseenFileSystem returns why the file system of an object is not looked at,
// and whether that is certain.
func (v *View) unseenFileSystem(o object) (why string, certain bool) {
	for _, r := range v.fsNever {
		fs := v.MountOf(o.path).Type
		magic, known := fsMagic[fs]
		matches := true
		for _, f := range r.Fields {
			if f.Type != fieldFSType {
				continue
			}
			if !known && f.Op == opEqual && isKnownMagic(f.Num) {
				known = true // it is not that one, whatever it is
			}
			if !f.Op.holds(magic, f.Num) {
				matches = false
			}
		}
		if !known {
			return fmt.Sprintf("%v suppresses file systems, and what number %q has is not known", r.Pos, fs), false
		}
		if matches {
			return fmt.Sprintf("%v suppresses everything on file systems like that of %s: %v", r.Pos, o.path, r), true
		}
	}
	return "", true
}

func isKnownMagic(n uint32) bool {
	known := false
	for _, magic := range fsMagic {
		known = known || magic == n
	}
	return known
}

// relevant returns the positions of the rules that can matter for an object,
// in order.
func (v *View) relevant(o object) []int {
	at := slices.Clone(v.never)
	at = append(at, v.always[""]...)
	for dir := o.path; ; dir = path.Dir(dir) {
		at = append(at, v.always[dir]...)
		if dir == "/" {
			break
		}
	}
	slices.Sort(at)
	return slices.Compact(at)
}
