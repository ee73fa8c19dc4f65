package auditrule

import "path"

// Shadows finds the rules of the exit list that never decide: everything that
// they match matches an earlier rule, too, and the first that matches decides
// (kernel/auditsc.c). The result maps such a rule to the earlier one. What is
// not certain, such as a folder on a mount that may have come later, is left
// out.
func (v *View) Shadows() map[*Rule]*Rule {
	shadowed := map[*Rule]*Rule{}
	byPlace := map[string][]int{} // positions of all rules, in order
	for at := range v.rules {
		r := &v.rules[at]
		if r.placeErr == nil {
			if by := v.shadow(r, byPlace); by >= 0 {
				shadowed[r.Rule] = v.rules[by].Rule
			}
			byPlace[r.place] = append(byPlace[r.place], at)
		}
	}
	return shadowed
}

// shadow returns the first earlier rule that matches all that r does, or -1.
func (v *View) shadow(r *viewed, byPlace map[string][]int) int {
	first := -1
	try := func(candidates []int) {
		for _, at := range candidates {
			if first >= 0 && at >= first {
				return
			}
			if v.takesAll(&v.rules[at], r) {
				first = at
			}
		}
	}
	try(byPlace[""])
	for dir := r.place; dir != ""; dir = path.Dir(dir) {
		try(byPlace[dir])
		if dir == "/" {
			break
		}
	}
	return first
}

// takesAll reports whether every call that matches r matches e.
func (v *View) takesAll(e, r *viewed) bool {
	for i := range e.Mask {
		if r.Mask[i]&^e.Mask[i] != 0 {
			return false
		}
	}
	if e.place != "" {
		if rel, _ := v.relate(e, object{r.place, r.tree}); rel != covers {
			return false
		}
	}
	for _, f := range e.Fields {
		switch f.Type {
		case fieldKey, fieldPath, fieldDir:
			continue
		}
		if !implied(f, r.Fields) {
			return false
		}
	}
	return true
}

// implied reports whether a condition holds whenever the fields hold.
func implied(f Field, fields []Field) bool {
	for _, g := range fields {
		if g == f {
			return true
		}
		if f.Type == fieldPerm && g.Type == fieldPerm && f.Op == opEqual && g.Op == opEqual && g.Num&^f.Num == 0 {
			return true
		}
	}
	return false
}
