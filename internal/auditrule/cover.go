package auditrule

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Answer says how much of the wanted is recorded.
type Answer uint8

const (
	Unknown Answer = iota // cannot be told
	Not                   // nothing of it
	Partly                // some of it: Missing says what is not
	Covered               // all of it
)

var answerNames = [...]string{"unknown", "not covered", "partly covered", "covered"}

func (a Answer) String() string { return answerNames[a] }

// Want is what is to be recorded of a path.
type Want struct {
	Path   string
	Perms  Perm
	Use    bool // of a socket: each connection to it
	Folder bool // it is a folder once it exists
}

// Coverage is what a list of rules records of a wanted path.
type Coverage struct {
	Answer  Answer
	Path    string   // the real path, links followed
	By      []*Rule  // the rules that record it, in order
	Missing []string // what is not recorded, and why
	Doubts  []string // why it cannot be told
}

// Cover judges one path. Every write, attribute change, read or execution
// (Perms), or every connection (Use), by any 64-bit or 32-bit program of any
// user, successful or not, must be recorded; of a folder also below it. When
// the path is a link, the link itself and what it leads to must be.
//
// The kernel asks the rules of the exit list in order and the first that
// matches decides (kernel/auditsc.c); what is worked out here is which system
// calls on the path are left without a rule that records them.
func (v *View) Cover(w Want) Coverage {
	if !path.IsAbs(w.Path) {
		return Coverage{Answer: Unknown, Path: w.Path, Doubts: []string{"the path is not absolute"}}
	}
	if v.wantsNothing(w) {
		return Coverage{Answer: Unknown, Path: w.Path, Doubts: []string{"no access is named, or how it happens here is not known"}}
	}
	out := Coverage{Answer: Covered, Path: w.Path}
	parts, err := v.Parts(w)
	for _, p := range parts {
		out.Path = p.Path
		prefix := ""
		if p.Kind == Link {
			prefix = "the link " + p.Path + ": "
		}
		if p.Perms != 0 || p.Use {
			out.merge(v.CoverPart(p), prefix)
		}
	}
	if err != nil {
		out.Answer = Unknown
		out.Doubts = append(out.Doubts, err.Error())
	}
	return out
}

// Part is one file or folder that a wanted path stands for: each link that
// leads to it, of which only the replacing counts, and what they lead to.
type Part struct {
	Want          // of this part alone: Path is real, and no link is followed
	Kind FileKind // of Path
	Tree bool     // what is below it is wanted, too
}

// Parts follows a wanted path to what it stands for, which comes last. With an
// error they are those that were found before it.
func (v *View) Parts(w Want) ([]Part, error) {
	var parts []Part
	name := w.Path
	for links := 0; ; links++ {
		real, kind, err := v.res.resolve(name, false)
		if err == nil && links > maxLinks {
			err = errTooManyLinks
		}
		if err != nil {
			return parts, err
		}
		p := Part{Want: w, Kind: kind}
		p.Path = real
		if kind != Link {
			p.Tree = kind == Dir || kind == Absent && w.Folder
			return append(parts, p), nil
		}
		p.Folder, p.Use = false, false
		if p.Perms &= Write; w.Use {
			p.Perms = 0
		}
		parts = append(parts, p)
		target, err := v.res.paths.Readlink(real)
		if err != nil {
			return parts, err
		}
		if !path.IsAbs(target) {
			target = path.Dir(real) + "/" + target
		}
		name = target
	}
}

// CoverPart judges one part of a wanted path.
func (v *View) CoverPart(p Part) Coverage {
	out := v.coverObject(object{p.Path, p.Tree}, p.Want)
	out.Path = p.Path
	return out
}

// merge adds another object's coverage: the whole is as good as its worst
// part, where a certain gap outweighs a doubt.
func (c *Coverage) merge(o Coverage, prefix string) {
	c.Missing = append(c.Missing, few(prefix, o.Missing)...)
	c.Doubts = append(c.Doubts, few(prefix, o.Doubts)...)
	had := len(c.By) > 0
	c.By = append(c.By, o.By...)
	rank := func(a Answer) int { return [...]int{Unknown: 2, Not: 0, Partly: 1, Covered: 3}[a] }
	if rank(o.Answer) < rank(c.Answer) {
		c.Answer = o.Answer
	}
	if c.Answer == Not && (had || len(c.By) > 0) {
		c.Answer = Partly
	}
}

// few returns the first sentences of a list and how many more there are.
func few(prefix string, sentences []string) []string {
	const most = 8
	more := len(sentences) - most
	if more > 0 {
		sentences = sentences[:most]
	}
	out := make([]string, 0, len(sentences)+1)
	for _, s := range sentences {
		out = append(out, prefix+s)
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("%s%d more reasons", prefix, more))
	}
	return out
}

// aspect is one kind of access by programs of one architecture, as the system
// calls through which it happens and that no rule has decided on yet.
type aspect struct {
	arch      uint32
	perm      Perm // 0: connecting
	total     int
	undecided []int
	lost      []int // decided: not recorded
}

func (v *View) aspects(w Want) []*aspect {
	var list []*aspect
	for _, arch := range v.machine.arches() {
		if w.Use {
			if n := syscallNumber(arch, "connect"); n >= 0 {
				list = append(list, &aspect{arch: arch, total: 1, undecided: []int{n}})
			}
		}
		for _, each := range permSyscalls {
			if w.Perms&each.perm != 0 {
				needed := neededSyscalls()[archPerm{arch, each.perm}]
				list = append(list, &aspect{arch: arch, perm: each.perm, total: len(needed), undecided: slices.Clone(needed)})
			}
		}
	}
	return list
}

// wantsNothing reports that there is no system call to look for, by any kind of
// program: then nothing could be missing, and nothing is known.
func (v *View) wantsNothing(w Want) bool {
	aspects := v.aspects(w)
	return len(aspects) == 0 || slices.ContainsFunc(aspects, func(a *aspect) bool { return a.total == 0 })
}

// coverObject judges one file or folder. It first grants nothing that is
// unclear; if then something is missing, it grants it all: what is missing
// even so is certain.
func (v *View) coverObject(o object, w Want) Coverage {
	if len(v.blocked) > 0 {
		return Coverage{Answer: Not, Missing: slices.Clone(v.blocked)}
	}
	why, certain := v.unseenFileSystem(o)
	if why != "" && certain {
		return Coverage{Answer: Not, Missing: []string{why}}
	}
	strict := v.pass(o, w, false)
	if strict.Answer != Covered {
		generous := v.pass(o, w, true)
		if generous.Answer != Covered {
			generous.Doubts = nil
			return generous
		}
		strict = Coverage{Answer: Unknown, By: generous.By, Doubts: strict.Doubts}
	}
	if why != "" {
		strict.Answer = Unknown
		strict.Doubts = append(strict.Doubts, why)
	}
	return strict
}

// pass runs the rules over an object once.
func (v *View) pass(o object, w Want, generous bool) Coverage {
	out := Coverage{Missing: slices.Clone(v.limits)}
	aspects := v.aspects(w)
	var near []string // rules that record some of it, told when something is missing
	byInode := -1     // the first deciding rule that is a path=
	for _, at := range v.relevant(o) {
		r := &v.rules[at]
		rel, why := v.relate(r, o)
		if rel == unclear {
			out.Doubts = append(out.Doubts, why)
			granted := generous == (r.Action == Always)
			if rel = apart; granted {
				rel = covers
			}
		}
		if r.Action == Never {
			out.Missing = append(out.Missing, v.suppress(r, rel, o, aspects)...)
			continue
		}
		took := false
		if rel == covers && len(r.narrow) == 0 {
			took = record(r, aspects)
		}
		switch {
		case took:
			out.By = append(out.By, r.Rule)
			if byInode < 0 && r.place != "" && !r.tree {
				byInode = at
			}
		case rel == covers && len(r.narrow) > 0:
			near = append(near, fmt.Sprintf("%v records only when %s", r.Pos, strings.Join(r.narrow, " and ")))
		case rel == entries && r.place == o.path:
			near = append(near, fmt.Sprintf("%v watches the folder itself, not what is in it", r.Pos))
		case rel == entries:
			near = append(near, fmt.Sprintf("%v records only that it is created, removed or renamed", r.Pos))
		}
	}
	if byInode >= 0 {
		out.Missing = append(out.Missing, v.laterNever(byInode, o, aspects)...)
	}
	if gaps := describe(aspects); len(gaps) > 0 {
		out.Missing = slices.Concat(gaps, near, out.Missing)
	}
	switch {
	case len(out.Missing) == 0:
		out.Answer = Covered
	case len(out.By) == 0 && len(near) == 0:
		out.Answer = Not
	default:
		out.Answer = Partly
	}
	return out
}

// record takes from the aspects what an always rule without conditions
// records. It reports whether it took anything.
func record(r *viewed, aspects []*aspect) bool {
	took := false
	for _, a := range aspects {
		// A rule with perm= never matches connect(2): it is in no class.
		if !r.arch(a.arch) || r.perm != 0 && r.perm&a.perm == 0 {
			continue
		}
		before := len(a.undecided)
		a.undecided = slices.DeleteFunc(a.undecided, r.Mask.Has)
		took = took || len(a.undecided) < before
	}
	return took
}

// suppress takes from the aspects what a never rule keeps from being recorded
// and says what it takes away in part.
func (v *View) suppress(r *viewed, rel relation, o object, aspects []*aspect) (missing []string) {
	partly := rel != covers || len(r.narrow) > 0
	touched := false
	for _, a := range aspects {
		if !r.arch(a.arch) {
			continue
		}
		hits := func(n int) bool { return r.Mask.Has(n) && (r.perm == 0 || inClass(a.arch, n, r.perm)) }
		if rel == apart || rel == entries {
			// Only a call on both places matches both rules.
			both := hits
			hits = func(n int) bool { return both(n) && onTwoPaths(a.arch, n, rel == entries) }
			if rel == apart && !v.canMove(r, o) {
				continue
			}
		}
		for _, n := range a.undecided {
			if hits(n) {
				touched = true
				if !partly {
					a.lost = append(a.lost, n)
				}
			}
		}
		if !partly {
			a.undecided = slices.DeleteFunc(a.undecided, hits)
		}
	}
	if !touched {
		return nil
	}
	condition := ""
	if len(r.narrow) > 0 {
		condition = " when " + strings.Join(r.narrow, " and ")
	}
	switch rel {
	case covers:
		return []string{fmt.Sprintf("%v suppresses it%s: %v", r.Pos, condition, r.Rule)}
	case inside:
		return []string{fmt.Sprintf("%v suppresses what is in %s%s: %v", r.Pos, r.place, condition, r.Rule)}
	case entries:
		return []string{fmt.Sprintf("%v suppresses what also touches the folder %s%s: %v", r.Pos, r.place, condition, r.Rule)}
	}
	return []string{fmt.Sprintf("%v suppresses moves and links between %s and it%s: %v", r.Pos, r.place, condition, r.Rule)}
}

// canMove reports whether a file can be moved or linked between a rule's
// place and an object: they are on one mount. What is below a folder may be
// on several.
func (v *View) canMove(r *viewed, o object) bool {
	if r.place == "" {
		return false
	}
	if kind, err := v.kind(r); err == nil && !r.tree && kind != Dir && kind != File {
		return false
	}
	return v.MountOf(r.place).Point == v.MountOf(o.path).Point
}

// laterNever says what never rules on a path take from a rule on a path that
// comes before them: the kernel asks such rules name by name of a call, and
// the first name that has a matching rule ends the search.
func (v *View) laterNever(first int, o object, aspects []*aspect) (missing []string) {
	for _, at := range v.never {
		r := &v.rules[at]
		if at < first || r.place == "" || r.tree || r.place == o.path {
			continue
		}
		if r.place != path.Dir(o.path) && !v.canMove(r, o) {
			continue
		}
		touched := false
		for _, a := range aspects {
			for _, n := range neededSyscalls()[archPerm{a.arch, a.perm}] {
				touched = touched || r.arch(a.arch) && r.Mask.Has(n) && (r.perm == 0 || inClass(a.arch, n, r.perm)) &&
					onTwoPaths(a.arch, n, r.place == path.Dir(o.path))
			}
		}
		if touched {
			missing = append(missing, fmt.Sprintf("%v suppresses calls that also touch %s, although it comes later: %v", r.Pos, r.place, r.Rule))
		}
	}
	return missing
}

// inClass reports whether the kernel counts a system call as one of the kinds
// of access. A call that opens is of two kinds: it can be for reading and
// writing at once.
func inClass(arch uint32, n int, perms Perm) bool {
	for _, each := range permSyscalls {
		if perms&each.perm != 0 && slices.Contains(neededSyscalls()[archPerm{arch, each.perm}], n) {
			return true
		}
	}
	return false
}

// onTwoPaths reports whether a system call touches two places: those that
// move or link always, those that make or remove an entry its folder too.
func onTwoPaths(arch uint32, n int, withFolder bool) bool {
	names := []string{"rename", "renameat", "renameat2", "link", "linkat"}
	if withFolder {
		names = append(names, "open", "openat", "openat2", "creat", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir",
			"mknod", "mknodat", "symlink", "symlinkat", "bind")
	}
	return slices.ContainsFunc(names, func(name string) bool { return syscallNumber(arch, name) == n })
}

// describe says what the aspects lack, in as few sentences as the pattern
// allows.
func describe(aspects []*aspect) []string {
	type gap struct {
		perm    Perm
		arch    uint32
		whole   bool
		missing []int
	}
	var gaps []gap
	for _, a := range aspects {
		if missing := slices.Concat(a.undecided, a.lost); len(missing) > 0 {
			gaps = append(gaps, gap{a.perm, a.arch, len(missing) == a.total, missing})
		}
	}
	arches := map[uint32]bool{}
	for _, a := range aspects {
		arches[a.arch] = true
	}
	// Accesses that are wholly missing, by who does them.
	whole := map[string][]string{}
	var order []string
	var sentences []string
	for _, g := range gaps {
		name := permWord(g.perm)
		both := 0
		for _, other := range gaps {
			if other.perm == g.perm && other.whole {
				both++
			}
		}
		switch {
		case g.whole && both == len(arches):
			if !slices.Contains(whole[""], name) {
				whole[""] = append(whole[""], name)
			}
			if !slices.Contains(order, "") {
				order = append(order, "")
			}
		case g.whole:
			who := " by " + bitWord(g.arch)
			whole[who] = append(whole[who], name)
			if !slices.Contains(order, who) {
				order = append(order, who)
			}
		default:
			sentences = append(sentences, fmt.Sprintf("%s by %s through %s", name, bitWord(g.arch), syscallWords(g.arch, g.missing)))
		}
	}
	var out []string
	for _, who := range order {
		out = append(out, strings.Join(whole[who], ", ")+who)
	}
	return append(out, sentences...)
}

func permWord(p Perm) string {
	switch p {
	case Write:
		return "writing (w)"
	case Attr:
		return "attribute changes (a)"
	case Read:
		return "reading (r)"
	case Exec:
		return "execution (x)"
	}
	return "connecting"
}

func bitWord(arch uint32) string {
	if archName(arch) == "b32" {
		return "32-bit programs (b32)"
	}
	return "64-bit programs (b64)"
}

func syscallWords(arch uint32, numbers []int) string {
	const most = 6
	names := make([]string, 0, len(numbers))
	for _, n := range numbers {
		names = append(names, syscallName(arch, n))
	}
	slices.SortFunc(names, cmp.Compare[string])
	if len(names) > most {
		return fmt.Sprintf("%s and %d more calls", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
