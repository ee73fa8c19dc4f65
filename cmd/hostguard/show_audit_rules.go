package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"text/tabwriter"

	auditing "github.com/hostguard/hostguard/checks/audit"
	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/printable"
)

// shownPlace is a line of a file.
type shownPlace struct {
	File string `json:"file"`
	Line int    `json:"line"`
}

func showPlace(p auditrule.Pos) *shownPlace {
	if p.File == "" {
		return nil
	}
	return &shownPlace{printable.String(p.File), p.Line}
}

// short is the place by the file's base name.
func (p *shownPlace) short() string {
	if p == nil {
		return "-"
	}
	return path.Base(p.File) + ":" + itoa(p.Line)
}

func (p *shownPlace) String() string {
	if p == nil {
		return "-"
	}
	return p.File + ":" + itoa(p.Line)
}

type shownRule struct {
	State      string      `json:"state"`
	Rule       string      `json:"rule"`
	Keys       []string    `json:"keys"`
	RulesD     *shownPlace `json:"rules_d"`
	AuditRules *shownPlace `json:"audit_rules"`
	Kernel     *bool       `json:"kernel"` // null: not looked at
	ShadowedBy string      `json:"shadowed_by,omitempty"`
	Why        string      `json:"why,omitempty"`
}

type shownSetting struct {
	Name   string      `json:"name"`
	Disk   string      `json:"disk"`
	Place  *shownPlace `json:"place"`
	Kernel string      `json:"kernel"`
}

type shownLine struct {
	shownPlace
	Text   string `json:"text"`
	Reason string `json:"reason"`
	Unsure bool   `json:"unsure,omitempty"`
}

func showLine(e *auditrule.LineError) shownLine {
	return shownLine{*showPlace(e.Pos), oneLine(e.Text), oneLine(e.Reason), e.Unsure}
}

type shownLoader struct {
	shownPlace
	Command string `json:"command"`
}

// shownPicture is the three-way picture.
type shownPicture struct {
	Enabled    *uint32        `json:"enabled"` // null: the kernel was not looked at
	Loaders    []shownLoader  `json:"loaders"`
	Idle       string         `json:"idle,omitempty"` // why the next boot loads no rules at all
	Stale      bool           `json:"stale"`          // audit.rules is not what augenrules would write
	Problem    string         `json:"problem,omitempty"`
	Rules      []shownRule    `json:"rules"`
	Settings   []shownSetting `json:"settings"`
	Refused    []shownLine    `json:"refused"`
	NotRead    int            `json:"not_read"`
	Overridden []shownLine    `json:"overridden"`

	err error
}

func lookAtPicture(ctx context.Context, h *host.Host, _ []auditing.Watch) (shown, error) {
	p, err := auditing.Compare(ctx, h)
	if err != nil {
		return nil, err
	}
	s := &shownPicture{
		Loaders: []shownLoader{}, Rules: []shownRule{}, Refused: []shownLine{}, Overridden: []shownLine{},
		Stale: p.Files.HasDir && p.Files.Stale, Problem: oneLine(p.Files.Problem), NotRead: p.Files.Boot.NotRead, Idle: oneLine(p.Idle), err: p.Unseen(),
	}
	if p.KernelErr == nil {
		s.Enabled = &p.Status.Enabled
	}
	for _, l := range p.Files.Loaders {
		s.Loaders = append(s.Loaders, showLoader(l))
	}
	for _, r := range p.Rules {
		s.Rules = append(s.Rules, showRule(r, p.KernelErr == nil))
	}
	// What is wrong comes first, the rest in its order.
	order := []auditing.State{auditing.NotLoaded, auditing.NotPersisted, auditing.Stale, auditing.Shadowed}
	slices.SortStableFunc(s.Rules, func(a, b shownRule) int {
		rank := func(s string) int {
			if at := slices.Index(order, auditing.State(s)); at >= 0 {
				return at
			}
			return len(order)
		}
		return rank(a.State) - rank(b.State)
	})
	for _, each := range p.Settings {
		s.Settings = append(s.Settings, shownSetting{each.Name, oneLine(each.Value), showPlace(each.Pos), each.Kernel})
	}
	for _, r := range p.Files.Boot.Refused {
		s.Refused = append(s.Refused, showLine(r))
	}
	for _, o := range p.Files.Merged.Overridden {
		s.Overridden = append(s.Overridden, shownLine{shownPlace: *showPlace(o.Pos), Text: oneLine(o.Text), Reason: "a later line of its kind replaces it"})
	}
	return s, nil
}

func showLoader(l host.AuditLoader) shownLoader {
	command := "auditctl -R " + l.File
	if l.Augenrules {
		command = "augenrules --load"
	}
	return shownLoader{shownPlace{printable.String(l.Source), l.Line}, oneLine(command)}
}

func showRule(r auditing.Pictured, kernelSeen bool) shownRule {
	s := shownRule{
		State: string(r.State), Rule: oneLine(r.Rule.String()), Keys: printableAll(r.Rule.Keys()),
		RulesD: showPlace(r.RulesD), AuditRules: showPlace(r.Generated), Why: oneLine(r.Why),
	}
	if s.Keys == nil {
		s.Keys = []string{}
	}
	if kernelSeen {
		s.Kernel = &r.Kernel
	}
	if by := r.ShadowedBy; by != nil {
		s.ShadowedBy = oneLine(by.String())
		if by.Pos.File != "" {
			s.ShadowedBy = showPlace(by.Pos).String() + " " + s.ShadowedBy
		}
	}
	return s
}

func (s *shownPicture) unseen() error { return s.err }

func (s *shownPicture) writeText(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range s.Loaders {
		fmt.Fprintf(tw, "at boot\t%s (%s)\n", l.Command, l.shownPlace.String())
	}
	if s.Idle != "" {
		fmt.Fprintf(tw, "at boot\t%s\n", s.Idle)
	}
	if s.Stale {
		fmt.Fprintf(tw, "stale\t%s is not what augenrules would write\n", host.AuditRulesFile)
	}
	if s.Problem != "" {
		fmt.Fprintf(tw, "problem\t%s\n", s.Problem)
	}
	if s.Enabled != nil && *s.Enabled == 2 {
		fmt.Fprintf(tw, "kernel\tlocked (enabled 2): only a reboot changes its rules and settings, and auditctl exits with 0 all the same\n")
	}
	for _, each := range s.Settings {
		disk, kernel := orDash(each.Disk), ""
		if each.Place != nil {
			disk += " (" + each.Place.short() + ")"
		}
		if each.Kernel != "" {
			kernel = "kernel " + each.Kernel
		}
		fmt.Fprintf(tw, "%s\tdisk %s\t%s\n", each.Name, disk, kernel)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if len(s.Rules) > 0 {
		fmt.Fprintln(w)
		rows := [][]string{{"STATE", "RULES.D", "AUDIT.RULES", "KERNEL", "RULE"}}
		for _, r := range s.Rules {
			rows = append(rows, []string{r.State, r.RulesD.short(), r.AuditRules.short(), inKernel(r.Kernel), r.Rule})
			if r.Why != "" {
				rows = append(rows, []string{"", "", "", "", "  " + r.Why})
			}
			if r.ShadowedBy != "" {
				rows = append(rows, []string{"", "", "", "", "  an earlier rule decides: " + r.ShadowedBy})
			}
		}
		if err := writeTable(w, rows); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(w, "\nno rules")
	}
	return writeLines(w, s.Refused, s.NotRead, s.Overridden)
}

func inKernel(k *bool) string {
	switch {
	case k == nil:
		return "?"
	case *k:
		return "yes"
	}
	return "no"
}

// writeLines writes the lines of rules files that have no effect.
func writeLines(w io.Writer, refused []shownLine, notRead int, overridden []shownLine) error {
	if len(refused)+len(overridden) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w, "\nlines without effect"); err != nil {
		return err
	}
	for _, l := range slices.Concat(refused, overridden) {
		reason := l.Reason
		if l.Unsure {
			reason = "cannot tell: " + reason
		}
		fmt.Fprintf(w, "  %s: %s\n      %s\n", l.shownPlace.String(), strings.TrimSpace(l.Text), reason)
	}
	if notRead > 0 {
		fmt.Fprintf(w, "  the load ends at the last of the refused ones: %d more lines are not read\n", notRead)
	}
	return nil
}

// shownLoaded is the kernel's rules.
type shownLoaded struct {
	Enabled uint32        `json:"enabled"`
	Rules   []shownHolder `json:"rules"`
}

type shownHolder struct {
	Rule  string      `json:"rule"`
	Keys  []string    `json:"keys"`
	Place *shownPlace `json:"place,omitempty"`
}

func showHolder(r *auditrule.Rule) shownHolder {
	s := shownHolder{oneLine(r.String()), printableAll(r.Keys()), showPlace(r.Pos)}
	return s
}

func lookAtLoaded(ctx context.Context, h *host.Host, _ []auditing.Watch) (shown, error) {
	status, err := h.AuditStatus(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot see the rules that the kernel holds: %w", err)
	}
	rules, err := h.AuditLoaded(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot see the rules that the kernel holds: %w", err)
	}
	s := &shownLoaded{status.Enabled, []shownHolder{}}
	for i := range rules {
		s.Rules = append(s.Rules, showHolder(&rules[i]))
	}
	return s, nil
}

func (s *shownLoaded) unseen() error { return nil }

func (s *shownLoaded) writeText(w io.Writer) error {
	if len(s.Rules) == 0 {
		_, err := fmt.Fprintln(w, "No rules")
		return err
	}
	var b strings.Builder
	for _, r := range s.Rules {
		b.WriteString(r.Rule + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// shownBoot is what a reboot loads.
type shownBoot struct {
	Loaders  []shownLoader  `json:"loaders"`
	Idle     string         `json:"idle,omitempty"` // why no rules at all are loaded
	Settings []shownSetting `json:"settings"`
	Rules    []shownHolder  `json:"rules"`
	Refused  []shownLine    `json:"refused"`
	NotRead  int            `json:"not_read"`

	err error
}

func lookAtNextBoot(ctx context.Context, h *host.Host, _ []auditing.Watch) (shown, error) {
	files, err := h.AuditFiles(ctx)
	if err != nil {
		return nil, err
	}
	s := &shownBoot{Loaders: []shownLoader{}, Settings: []shownSetting{}, Rules: []shownHolder{}, Refused: []shownLine{}, NotRead: files.Boot.NotRead}
	for _, l := range files.Loaders {
		s.Loaders = append(s.Loaders, showLoader(l))
	}
	idle, err := auditing.NotStarted(ctx, h, files)
	if s.Idle = oneLine(idle); idle != "" {
		return s, nil
	}
	s.err = errors.Join(auditing.BootDoubts(files), err)
	for _, each := range auditing.BootSettings(files.Boot) {
		if each.Value != "" {
			s.Settings = append(s.Settings, shownSetting{Name: each.Name, Disk: oneLine(each.Value), Place: showPlace(each.Pos)})
		}
	}
	for i := range files.Boot.Rules {
		s.Rules = append(s.Rules, showHolder(&files.Boot.Rules[i]))
	}
	for _, r := range files.Boot.Refused {
		s.Refused = append(s.Refused, showLine(r))
	}
	return s, nil
}

func (s *shownBoot) unseen() error { return s.err }

func (s *shownBoot) writeText(w io.Writer) error {
	rows := [][]string{{"WHERE", "RULE"}}
	for _, each := range s.Settings {
		rows = append(rows, []string{each.Place.short(), each.Name + " " + each.Disk})
	}
	for _, r := range s.Rules {
		rows = append(rows, []string{r.Place.short(), r.Rule})
	}
	switch {
	case s.Idle != "":
		rows = append(rows, []string{"-", "No rules: " + s.Idle})
	case len(s.Rules) == 0:
		rows = append(rows, []string{"-", "No rules"})
	}
	if err := writeTable(w, rows); err != nil {
		return err
	}
	return writeLines(w, s.Refused, s.NotRead, nil)
}
