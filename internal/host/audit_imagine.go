package host

import (
	"context"
	"slices"

	"github.com/hostguard/hostguard/internal/auditrule"
)

// ImagineAuditRules returns what the next boot would load if text stood at the
// end of the rules file name: one of rules.d, which may be new, or the one that
// is loaded in its place.
func (h *Host) ImagineAuditRules(ctx context.Context, name string, text []byte) (auditrule.Loaded, error) {
	files, err := h.AuditFiles(ctx)
	if err != nil {
		return auditrule.Loaded{}, err
	}
	paths, err := h.auditPathFacts(ctx)
	if err != nil {
		return auditrule.Loaded{}, err
	}
	if files.Persisted() == AuditRulesDir {
		files.sources = slices.Clone(files.sources)
		files.Merged = auditrule.Merge(appendTo(files.sources, name, text), files.awk)
	}
	lines, err := h.bootLines(&files)
	if err != nil {
		return auditrule.Loaded{}, err
	}
	if files.Persisted() != AuditRulesDir {
		lines = append(lines, auditrule.Lines(name, text)...)
	}
	return auditrule.Load(lines, paths.env, paths.seen, auditrule.Boot), nil
}

// appendTo adds text to a file of a rules folder; the sources may be changed.
func appendTo(sources []auditrule.Source, name string, text []byte) []auditrule.Source {
	for i, s := range sources {
		if s.Path == name {
			sources[i].Data = slices.Concat(s.Data, text)
			return sources
		}
	}
	base := name[len(AuditRulesDir)+1:]
	return append(sources, auditrule.Source{Name: base, Path: name, Data: text})
}

// AuditView prepares rules for questions about this host's paths.
func (h *Host) AuditView(ctx context.Context, rules []auditrule.Rule) (*auditrule.View, error) {
	machine, err := auditMachine()
	if err != nil {
		return nil, err
	}
	paths, err := h.auditPathFacts(ctx)
	if err != nil {
		return nil, err
	}
	return auditrule.NewView(rules, machine, paths.seen)
}

// GoneAtBoot reports whether a path lies in memory and nothing makes it anew
// at boot before the audit rules are loaded.
func (h *Host) GoneAtBoot(ctx context.Context, name string) (bool, error) {
	paths, err := h.auditPathFacts(ctx)
	if err != nil {
		return false, err
	}
	return paths.seen.Vanishes(name)
}
