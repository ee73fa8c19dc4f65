package audit

import (
	"context"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
)

// Recorder is a file and the keys of the kernel's rules that record writing to
// it.
type Recorder struct {
	Path string
	Rule *auditrule.Rule // the first that records it; nil: none does in full
	Keys []string        // of all that record it
	Why  string          // why no rule does
}

// Record says which of the kernel's rules record that a file is written to.
func Record(ctx context.Context, h *host.Host, name string) (Recorder, error) {
	views, err := h.AuditViews(ctx)
	if err != nil {
		return Recorder{}, err
	}
	if views.LoadedErr != nil {
		return Recorder{}, views.LoadedErr
	}
	r := Recorder{Path: name}
	c := views.Loaded.Cover(auditrule.Want{Path: name, Perms: auditrule.Write})
	if c.Answer != auditrule.Covered {
		r.Why = why(c)
	}
	for _, rule := range c.By {
		if r.Rule == nil {
			r.Rule = rule
		}
		r.Keys = append(r.Keys, rule.Keys()...)
	}
	return r, nil
}

// triable are the kinds of paths whose files are configuration, which nobody
// but an administrator opens.
var triable = []string{"docker-configuration", "docker-units", "connector", "connector-files", "connector-mounts"}

// Triable lists the files and folders of the requirements that an open for
// writing does not disturb: configuration of docker and of the connector.
func Triable(ctx context.Context, h *host.Host, watches []Watch) (paths []string, unknown []Unknown) {
	for _, w := range watches {
		if !slices.ContainsFunc(w.Params.Discover, func(d string) bool { return slices.Contains(triable, d) }) {
			continue
		}
		targets, _, _, err := findTargets(ctx, h, w.Params)
		if err != nil {
			unknown = append(unknown, Unknown{w.Rule, err})
		}
		for _, t := range targets {
			if !t.Use && !slices.Contains(paths, t.Path) && !strings.HasPrefix(t.Path, "/run/") {
				paths = append(paths, t.Path)
			}
		}
	}
	return paths, unknown
}
