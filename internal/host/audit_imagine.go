package host

import (
	"context"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/auditrule"
)

// AuditEdits is what somebody would change of what the next boot loads.
type AuditEdits struct {
	Files map[string][]byte // whole rules files: of rules.d, where they may be new, or the one that is loaded in its place
	Made  []string          // folders in memory that a new line of tmpfiles.d(5) makes at boot

	Folders []string // folders that will be there, and stay
}

// paths are the host's with the edits.
func (h *Host) imaginePaths(ctx context.Context, edits AuditEdits) (auditrule.Paths, auditEnv, error) {
	paths, err := h.auditPathFacts(ctx)
	if err != nil {
		return nil, auditEnv{}, err
	}
	if len(edits.Made)+len(edits.Folders) == 0 {
		return paths.seen, paths.env, nil
	}
	there := edits.Folders
	if !h.Running() {
		there = slices.Concat(there, edits.Made) // of an image the boot is judged, which makes them
	}
	env := paths.env
	env.paths = auditrule.Remember(withFolders{paths.seen, edits.Made, there})
	return env.paths, env, nil
}

// ImagineAuditEnv is AuditEnv with edits.
func (h *Host) ImagineAuditEnv(ctx context.Context, edits AuditEdits) (auditrule.Env, error) {
	_, env, err := h.imaginePaths(ctx, edits)
	return env, err
}

// ImagineAudit returns the rules files as they would be with edits, once
// augenrules has written its file, and what the next boot would load.
func (h *Host) ImagineAudit(ctx context.Context, edits AuditEdits) (AuditFiles, error) {
	files, err := h.AuditFiles(ctx)
	if err != nil {
		return files, err
	}
	if files.Persisted() == AuditRulesDir {
		files.sources = slices.Clone(files.sources)
		for name, data := range edits.Files {
			files.sources = replaced(files.sources, name, data)
		}
		files.Merged = auditrule.Merge(files.sources, files.awk)
		files.Generated = auditrule.Lines(AuditRulesFile, files.Merged.Bytes())
		files.HasFile, files.Stale = true, false
	} else if data, edited := edits.Files[AuditRulesFile]; edited {
		files.Generated, files.HasFile = auditrule.Lines(AuditRulesFile, data), true
	}
	lines, err := h.bootLines(&files, edits.Files)
	if err != nil {
		return files, err
	}
	seen, env, err := h.imaginePaths(ctx, edits)
	if err != nil {
		return files, err
	}
	files.Boot = auditrule.Load(lines, env, seen, auditrule.Boot)
	return files, nil
}

// replaced puts a file into a rules folder; the sources may be changed.
func replaced(sources []auditrule.Source, name string, data []byte) []auditrule.Source {
	base, inside := strings.CutPrefix(name, AuditRulesDir+"/")
	if !inside || strings.Contains(base, "/") {
		return sources
	}
	for i, s := range sources {
		if s.Path == name {
			sources[i].Data = data
			return sources
		}
	}
	return append(sources, auditrule.Source{Name: base, Path: name, Data: data})
}

// Source is the content of a file of rules.d; nil: there is none that counts.
func (f AuditFiles) Source(name string) []byte {
	for _, s := range f.sources {
		if s.Path == name {
			return s.Data
		}
	}
	return nil
}

// withFolders are paths with folders that are not there yet.
type withFolders struct {
	auditrule.Paths
	made  []string // at boot
	there []string
}

// Vanishes implements auditrule.Paths.
func (w withFolders) Vanishes(name string) (bool, error) {
	if within(w.made, name) {
		return false, nil
	}
	return w.Paths.Vanishes(name)
}

// Lstat implements auditrule.Paths.
func (w withFolders) Lstat(name string) (auditrule.FileKind, error) {
	kind, err := w.Paths.Lstat(name)
	if err == nil && kind == auditrule.Absent && within(w.there, name) {
		kind = auditrule.Dir
	}
	return kind, err
}

// within reports whether a path is one of the folders or lies above one.
func within(folders []string, name string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return f == name || strings.HasPrefix(f, name+"/") })
}

// AuditView prepares rules for questions about this host's paths.
func (h *Host) AuditView(ctx context.Context, rules []auditrule.Rule) (*auditrule.View, error) {
	return h.ImagineAuditView(ctx, rules, AuditEdits{})
}

// ImagineAuditView is AuditView with edits.
func (h *Host) ImagineAuditView(ctx context.Context, rules []auditrule.Rule, edits AuditEdits) (*auditrule.View, error) {
	machine, err := auditMachine()
	if err != nil {
		return nil, err
	}
	paths, _, err := h.imaginePaths(ctx, edits)
	if err != nil {
		return nil, err
	}
	return auditrule.NewView(rules, machine, paths)
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
