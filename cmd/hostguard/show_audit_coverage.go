package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	auditing "github.com/hostguard/hostguard/checks/audit"
	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/printable"
)

// shownCoverage is what records each path of the profile.
type shownCoverage struct {
	Enabled *uint32         `json:"enabled"`        // null: the kernel was not looked at
	Idle    string          `json:"idle,omitempty"` // why the next boot loads no rules at all
	Paths   []shownCovering `json:"paths"`
	Absent  []shownAbsence  `json:"absent"`
	Unknown []shownUnknown  `json:"unknown"`

	err error
}

type shownCovering struct {
	ID       string    `json:"requirement"`
	What     string    `json:"what"`
	Path     string    `json:"path"`
	Real     string    `json:"real"` // links followed
	Access   string    `json:"access"`
	Kernel   *shownHow `json:"kernel"` // null: not looked at
	NextBoot *shownHow `json:"next_boot"`
}

type shownHow struct {
	Answer string        `json:"answer"`
	Rules  []shownHolder `json:"rules"`
	Why    []string      `json:"why,omitempty"`
}

type shownAbsence struct {
	ID   string `json:"requirement"`
	Path string `json:"path,omitempty"`
	Why  string `json:"why"`
}

type shownUnknown struct {
	ID    string `json:"requirement"`
	Error string `json:"error"`
}

func lookAtCoverage(ctx context.Context, h *host.Host, watches []auditing.Watch) (shown, error) {
	c, err := auditing.Cover(ctx, h, watches)
	if err != nil {
		return nil, err
	}
	s := &shownCoverage{Paths: []shownCovering{}, Absent: []shownAbsence{}, Unknown: []shownUnknown{}, Idle: oneLine(c.Idle), err: c.Unseen()}
	if c.KernelErr == nil {
		s.Enabled = &c.Status.Enabled
	}
	for _, p := range c.Paths {
		access := p.Perms.String()
		if p.Use {
			access = "use"
		}
		one := shownCovering{
			ID: p.Rule, What: printable.String(p.What), Path: printable.String(p.Path), Real: printable.String(p.Boot.Path),
			Access: access, NextBoot: showHow(p.Boot),
		}
		if c.KernelErr == nil {
			one.Kernel = showHow(p.Kernel)
		}
		s.Paths = append(s.Paths, one)
	}
	for _, a := range c.Absent {
		s.Absent = append(s.Absent, shownAbsence{a.Rule, printable.String(a.Path), oneLine(a.Why)})
	}
	for _, u := range c.Unknown {
		s.Unknown = append(s.Unknown, shownUnknown{u.Rule, oneLine(u.Err.Error())})
	}
	return s, nil
}

func showHow(c auditrule.Coverage) *shownHow {
	s := &shownHow{Answer: c.Answer.String(), Rules: []shownHolder{}}
	for _, r := range c.By {
		s.Rules = append(s.Rules, showHolder(r))
	}
	why := c.Missing
	if c.Answer == auditrule.Unknown {
		why = c.Doubts
	}
	for _, w := range why {
		s.Why = append(s.Why, oneLine(w))
	}
	return s
}

func (s *shownCoverage) unseen() error { return s.err }

func (s *shownCoverage) writeText(w io.Writer) error {
	var b strings.Builder
	if s.Enabled != nil && *s.Enabled == 0 {
		b.WriteString("auditing is off: the kernel's rules record nothing\n\n")
	}
	if s.Idle != "" {
		b.WriteString(s.Idle + "; what its rules would record is shown\n\n")
	}
	rows := [][]string{{"PATH", "ACCESS", "KERNEL", "NEXT BOOT", "FOR"}}
	var reasons []string // in the order of the paths
	paths := map[string][]string{}
	for _, p := range s.Paths {
		name := p.Path
		if p.Real != p.Path && p.Real != "" {
			name += " -> " + p.Real
		}
		rows = append(rows, []string{name, p.Access, p.Kernel.short(), p.NextBoot.short(), p.ID})
		if why := p.why(); why != "" {
			if paths[why] == nil {
				reasons = append(reasons, why)
			}
			paths[why] = append(paths[why], name)
		}
	}
	if err := writeTable(&b, rows); err != nil {
		return err
	}
	for _, why := range reasons {
		b.WriteString("\n" + why)
		for _, name := range paths[why] {
			b.WriteString("  " + name + "\n")
		}
	}
	if len(s.Absent) > 0 {
		b.WriteString("\nnothing to cover\n")
		for _, a := range s.Absent {
			fmt.Fprintf(&b, "  %s  %s\n", a.ID, strings.TrimPrefix(a.Path+": "+a.Why, ": "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// short is the rule that records, or that none does.
func (s *shownHow) short() string {
	switch {
	case s == nil:
		return "?"
	case s.Answer != auditrule.Covered.String() || len(s.Rules) == 0:
		return s.Answer
	}
	more := ""
	if n := len(s.Rules) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	if first := s.Rules[0]; first.Place != nil {
		return first.Place.short() + more
	}
	return s.Rules[0].Rule + more
}

// why says what is not recorded and why, a line for each side; empty: all is.
func (p shownCovering) why() string {
	var b strings.Builder
	for _, side := range []struct {
		name string
		how  *shownHow
	}{{"kernel", p.Kernel}, {"next boot", p.NextBoot}} {
		if side.how != nil && side.how.Answer != auditrule.Covered.String() {
			fmt.Fprintf(&b, "%s: %s\n", side.name, strings.TrimSuffix(side.how.Answer+": "+strings.Join(side.how.Why, "; "), ": "))
		}
	}
	return b.String()
}

// shownMissing is the rules that close the gaps.
type shownMissing struct {
	File  string          `json:"file"`
	Rules []shownProposed `json:"rules"`
	Open  []shownGap      `json:"open"`
	Ready []shownGap      `json:"ready"` // on disk already, and not in the kernel

	text []byte
	err  error
}

type shownProposed struct {
	Rule string   `json:"rule"`
	IDs  []string `json:"requirements"`
	For  string   `json:"for"`
	Note string   `json:"note,omitempty"`
}

type shownGap struct {
	ID    string `json:"requirement"`
	Path  string `json:"path"`
	Why   string `json:"why"`
	First string `json:"first,omitempty"`
}

func lookAtMissing(ctx context.Context, h *host.Host, watches []auditing.Watch) (shown, error) {
	p, unknown, err := auditing.Missing(ctx, h, watches)
	if err != nil {
		return nil, err
	}
	s := &shownMissing{File: printable.String(p.File), Rules: []shownProposed{}, Open: []shownGap{}, Ready: []shownGap{}, text: p.Text()}
	for _, r := range p.Rules {
		s.Rules = append(s.Rules, shownProposed{r.Text, r.Rules, printable.String(r.For), r.Note})
	}
	for _, g := range p.Open {
		s.Open = append(s.Open, showGap(g))
	}
	for _, g := range p.Ready {
		s.Ready = append(s.Ready, showGap(g))
	}
	var errs []error
	for _, u := range unknown {
		errs = append(errs, fmt.Errorf("%s: %w", u.Rule, u.Err))
	}
	s.err = errors.Join(errs...)
	return s, nil
}

func showGap(g auditing.Gap) shownGap {
	return shownGap{g.Rule, printable.String(g.Path), oneLine(g.Why), oneLine(g.First)}
}

// unseen: a gap that no rule closes is not closed by loading what is printed,
// so that it counts like one that was not found out.
func (s *shownMissing) unseen() error {
	errs := []error{s.err}
	for _, g := range s.Open {
		first := ""
		if g.First != "" {
			first = " (first: " + g.First + "; then ask again)"
		}
		errs = append(errs, fmt.Errorf("no rule closes %s, %s: %s%s", g.ID, g.Path, g.Why, first))
	}
	return errors.Join(errs...)
}

// writeText writes what can be appended to a rules file: comments and rules.
func (s *shownMissing) writeText(w io.Writer) error {
	var b strings.Builder
	b.Write(s.text)
	if len(s.Rules) == 0 {
		b.WriteString("## no rule is missing that could be added\n")
	}
	for _, g := range s.Ready {
		fmt.Fprintf(&b, "## written already and not loaded: %s (%s): run %s\n", g.Path, g.ID, g.First)
	}
	for _, g := range s.Open {
		fmt.Fprintf(&b, "## open: %s (%s): %s\n", g.Path, g.ID, g.Why)
		if g.First != "" {
			fmt.Fprintf(&b, "##   first: %s\n", g.First)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
