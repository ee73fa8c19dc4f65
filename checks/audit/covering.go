package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
)

// Watch is one requirement of what must be recorded: a rule of the profile.
type Watch struct {
	Rule   string // its id
	Params WatchParams
}

// Covering says what records one wanted path, for the kinds of access for
// which it is the same.
type Covering struct {
	auditrule.Want
	Rule   string // the requirement
	What   string // what the path is: "dockerd"
	Kernel auditrule.Coverage
	Boot   auditrule.Coverage // after the next boot
}

// Coverings is what the requirements come to on a host.
type Coverings struct {
	Status    host.AuditStatus
	KernelErr error  // why the kernel's rules cannot be seen; host.ErrNotRunning of a tree
	Idle      string // why the next boot loads no rules at all; empty: it loads some
	IdleErr   error  // why that cannot be told
	Paths     []Covering
	Absent    []Absence
	Unknown   []Unknown
}

// Absence is a requirement, or a path of it, that has no object on this host.
type Absence struct{ Rule, Path, Why string }

// Unknown is a requirement whose paths cannot be found out.
type Unknown struct {
	Rule string
	Err  error
}

// Cover judges the requirements, kind of access by kind of access.
func Cover(ctx context.Context, h *host.Host, watches []Watch) (Coverings, error) {
	var out Coverings
	views, err := h.AuditViews(ctx)
	if err != nil {
		return out, err
	}
	if out.KernelErr = views.LoadedErr; out.KernelErr == nil {
		if out.Status, err = h.AuditStatus(ctx); err != nil {
			return out, err
		}
	}
	files, err := h.AuditFiles(ctx)
	if err != nil {
		return out, err
	}
	out.Idle, out.IdleErr = NotStarted(ctx, h, files)
	for _, w := range watches {
		sides, absent, v, err := lookAt(ctx, h, w.Params)
		if err != nil {
			out.Unknown = append(out.Unknown, Unknown{w.Rule, err})
			continue
		}
		for _, a := range absent {
			out.Absent = append(out.Absent, Absence{w.Rule, a.Source, a.Got})
		}
		if v.Status == checks.NotApplicable && len(absent) == 0 {
			out.Absent = append(out.Absent, Absence{Rule: w.Rule, Why: v.Reason})
		}
		for _, p := range sides.paths {
			for _, c := range byAccess(p, views, sides) {
				c.Rule = w.Rule
				out.Paths = append(out.Paths, c)
			}
		}
	}
	return out, nil
}

// byAccess asks for each kind of access alone, and joins those that have the
// same answer by the same rules on both sides.
func byAccess(p covered, views host.AuditViews, sides bothSides) []Covering {
	ask := func(w auditrule.Want) Covering {
		c := Covering{Want: w, What: p.what, Boot: sides.bootCoverage(views.Boot.Cover(w))}
		if views.Loaded != nil {
			c.Kernel = views.Loaded.Cover(w)
		}
		return c
	}
	var list []Covering
	for _, w := range single(p.Want) {
		c := ask(w)
		same := slices.IndexFunc(list, func(o Covering) bool { return alike(o.Boot, c.Boot) && alike(o.Kernel, c.Kernel) })
		if same < 0 {
			list = append(list, c)
			continue
		}
		w.Perms |= list[same].Perms
		list[same] = ask(w)
	}
	return list
}

func alike(a, b auditrule.Coverage) bool { return a.Answer == b.Answer && slices.Equal(a.By, b.By) }

// single takes a want apart into its kinds of access.
func single(w auditrule.Want) []auditrule.Want {
	if w.Use {
		return []auditrule.Want{w}
	}
	var list []auditrule.Want
	for _, perm := range []auditrule.Perm{auditrule.Read, auditrule.Write, auditrule.Exec, auditrule.Attr} {
		if w.Perms&perm != 0 {
			one := w
			one.Perms = perm
			list = append(list, one)
		}
	}
	return list
}

// Unseen says what could not be found out; nil when all was.
func (c Coverings) Unseen() error {
	errs := []error{c.IdleErr}
	for _, u := range c.Unknown {
		errs = append(errs, fmt.Errorf("%s: %w", u.Rule, u.Err))
	}
	if c.KernelErr != nil && !errors.Is(c.KernelErr, host.ErrNotRunning) {
		errs = append(errs, fmt.Errorf("cannot see the rules that the kernel holds: %w", c.KernelErr))
	}
	return errors.Join(errs...)
}
