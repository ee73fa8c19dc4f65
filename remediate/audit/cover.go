package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks/audit"
	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/remediate"
)

// Cover wants the kernel, now and after the next boot, to record what one
// requirement names.
type Cover struct {
	Rule   string
	Params audit.WatchParams
}

// Resolve implements remediate.Change.
func (c Cover) Resolve(ctx context.Context, h *host.Host, d *remediate.Draft) error {
	f, files, err := foreseen(ctx, h, d)
	if err != nil {
		return err
	}
	switch {
	case len(files.Loaders) == 0:
		d.Person(installAuditd)
		return nil
	case files.Persisted() != host.AuditRulesDir:
		d.Person("the rules are loaded from %s, which hostguard does not write: see hostguard show audit --missing", files.Persisted())
		return nil
	}
	if ok, err := f.started(files); err != nil || !ok {
		return err
	}
	p, err := c.propose(f, files)
	if err != nil {
		return err
	}
	var lines []string
	widened := false
	for _, r := range p.Rules {
		done, err := f.widen(p.File, r)
		if err != nil {
			return err
		}
		if widened = widened || done; !done {
			lines = append(lines, comment(r), r.Text)
		}
	}
	if err := f.append(p.File, lines); err != nil {
		return err
	}
	if widened {
		if p, err = c.propose(f, files); err != nil {
			return err
		}
	}
	if len(f.edits.Files) > 0 {
		if err := f.generate(); err != nil {
			return err
		}
	}
	for _, g := range slices.Concat(p.Open, p.Unheard) {
		text := fmt.Sprintf("no rule closes %s: %s", g.Path, g.Why)
		if g.First != "" {
			text += "; first: " + g.First
		}
		d.Person("%s", text)
	}
	if !d.Running() {
		return nil
	}
	if err := f.load(p.Load); err != nil {
		return err
	}
	if name := canaryFile(ctx, h, audit.Watch{Rule: c.Rule, Params: c.Params}); name != "" && len(p.Unheard) == 0 {
		d.Activate(tryOut, name)
	}
	return f.enabled()
}

// comment stands before a rule of ours.
func comment(r audit.Proposed) string {
	return strings.TrimSpace("## " + strings.Join(r.Rules, " ") + " " + r.Note)
}

// propose asks for the missing rules until no folder is left that must be made
// first.
func (c Cover) propose(f *rulesFiles, files host.AuditFiles) (audit.Proposal, error) {
	assume := audit.Assume{Started: true, File: c.file(files)}
	for {
		assume.Edits = f.edits
		p, unknown, err := audit.MissingWith(f.ctx, f.h, []audit.Watch{{Rule: c.Rule, Params: c.Params}}, assume)
		for _, u := range unknown {
			err = errors.Join(err, u.Err)
		}
		if err != nil {
			return p, err
		}
		if p.Blocked.Why != "" && assume.File == lastFile {
			assume.File = ownFile
			continue
		}
		made := len(f.edits.Made)
		for _, g := range p.Open {
			if g.Make != nil && !slices.Contains(f.edits.Made, g.Make.Path) {
				if err := f.makeAtBoot(*g.Make); err != nil {
					return p, err
				}
			}
		}
		if len(f.edits.Made) == made {
			return p, nil
		}
	}
}

// file is where rules go: behind all others where one of them suppresses.
func (c Cover) file(files host.AuditFiles) string {
	if files.Source(lastFile) != nil || slices.ContainsFunc(files.Boot.Rules, func(r auditrule.Rule) bool {
		return r.List == auditrule.Exit && r.Action == auditrule.Never
	}) {
		return lastFile
	}
	return ownFile
}

// Load wants the rules on disk in audit.rules and in the kernel, too.
type Load struct{}

// Resolve implements remediate.Change.
func (Load) Resolve(ctx context.Context, h *host.Host, d *remediate.Draft) error {
	f, files, err := foreseen(ctx, h, d)
	if err != nil {
		return err
	}
	switch {
	case len(files.Loaders) == 0:
		d.Person(installAuditd)
		return nil
	case files.Problem != "":
		d.Person("%s: chown root %s && chmod o-w %[2]s", files.Problem, host.AuditRulesFile)
		return nil
	}
	if ok, err := f.started(files); err != nil || !ok {
		return err
	}
	for _, refused := range files.Boot.Refused {
		d.Person("mend %v, which auditctl does not load: %s: %s", refused.Pos, refused.Reason, refused.Text)
	}
	if files.Boot.Settings["e"] == "0" {
		d.Person("take the line -e 0 out of %v: it turns auditing off at every boot", files.Boot.Places["e"])
	}
	if files.Persisted() == host.AuditRulesDir {
		if err := f.generate(); err != nil {
			return err
		}
	}
	if !d.Running() {
		return nil
	}
	held, err := h.AuditLoaded(ctx)
	if err != nil {
		return err
	}
	lacking, extra := audit.Difference(files.Boot.Rules, held)
	var rules []auditrule.Rule
	for _, r := range lacking {
		rules = append(rules, *r)
	}
	for i, r := range extra {
		if i == 3 {
			d.Person("and %d more rules that only the kernel holds", len(extra)-i)
			break
		}
		d.Person("write this rule, which only the kernel holds, into a file of %s, or delete it with auditctl -d: %s", host.AuditRulesDir, r.Exact())
	}
	if len(extra) == 0 {
		if r := audit.Misplaced(files.Boot.Rules, slices.Concat(held, rules)); r != nil {
			d.Person("augenrules --load: the kernel holds %v at another place than the files, where a rule that suppresses makes that matter", r)
		}
	}
	return f.load(rules)
}
