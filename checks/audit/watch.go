package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
)

// WatchParams say what must be recorded.
type WatchParams struct {
	Paths    []string `yaml:"paths" doc:"Paths to cover besides discovered ones; patterns as in glob(7) are expanded."`
	Discover []string `yaml:"discover" doc:"Paths to find on this host: docker-binaries, docker-programs, docker-sockets, docker-configuration, docker-units, docker-data, containerd, connector, connector-files, connector-mounts, volumes, ssh-configuration, time-configuration."`
	Perms    perms    `yaml:"perms" doc:"Kinds of access to be recorded: letters of r (read), w (write), x (execute), a (attribute change)."`
	Use      bool     `yaml:"use" doc:"The paths are sockets, and each connection to them must be recorded."`
	Key      string   `yaml:"key" doc:"Key of the rules that \"hostguard show audit --missing\" proposes; rules with another key are fine."`
	Missing  string   `yaml:"missing" doc:"What a path in paths that does not exist means: skip or fail."`
}

var defaultWatch = WatchParams{Perms: perms(auditrule.Write | auditrule.Attr), Key: "hostguard", Missing: "skip"}

func (p WatchParams) Validate() error {
	for _, d := range p.Discover {
		if discoverers[d] == nil {
			return fmt.Errorf("discover: there is no %q", d)
		}
	}
	switch {
	case len(p.Paths)+len(p.Discover) == 0:
		return errors.New("paths, discover: at least one must say what to cover")
	case p.Missing != "skip" && p.Missing != "fail":
		return fmt.Errorf("missing: want skip or fail, not %q", p.Missing)
	case p.Key == "" || len(p.Key) > 128 || strings.ContainsFunc(p.Key, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }):
		return fmt.Errorf("key: want 1 to 128 printable letters without a space, not %q", p.Key)
	case p.Perms == 0 && !p.Use:
		return errors.New("perms: none are given")
	}
	return nil
}

// perms is a set of kinds of access, written "wa".
type perms auditrule.Perm

// UnmarshalText reads letters of rwxa.
func (p *perms) UnmarshalText(text []byte) error {
	perm, err := auditrule.ParsePerm(string(text))
	*p = perms(perm)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (p perms) MarshalText() ([]byte, error) { return []byte(auditrule.Perm(p).String()), nil }

// target is one path to be covered.
type target struct {
	auditrule.Want
	what string // what it is: "dockerd", "compose file of …"
}

// covered is what both sides say of a target.
type covered struct {
	target
	boot, loaded auditrule.Coverage
}

func watch(ctx context.Context, h *host.Host, p WatchParams) (checks.Verdict, error) {
	sides, absent, verdict, err := lookAt(ctx, h, p)
	if err != nil {
		return verdict, err
	}
	if verdict.Status != 0 {
		verdict.Repair = p // once one of the paths is there
		return verdict, nil
	}
	v, err := judgeWatch(sides)
	v.Evidence = append(v.Evidence, absent...)
	if v.Status == checks.Fail {
		v.Repair = p
	}
	return v, err
}

// lookAt finds what must be covered and what both sides say of it. A verdict
// with a status ends the look.
func lookAt(ctx context.Context, h *host.Host, p WatchParams) (sides bothSides, absent []checks.Evidence, v checks.Verdict, err error) {
	targets, absent, v, err := findTargets(ctx, h, p)
	if err == nil && v.Status == 0 {
		sides, err = sidesOf(ctx, h, targets)
	}
	return sides, absent, v, err
}

// sidesOf says what the kernel and the next boot cover of the targets.
func sidesOf(ctx context.Context, h *host.Host, targets []target) (bothSides, error) {
	views, err := h.AuditViews(ctx)
	if err != nil {
		return bothSides{}, err
	}
	files, err := h.AuditFiles(ctx)
	if err != nil {
		return bothSides{}, err
	}
	sides := bothSides{files: files, loadedErr: views.LoadedErr}
	if views.Loaded != nil {
		if sides.status, err = h.AuditStatus(ctx); err != nil {
			return bothSides{}, err
		}
	}
	for _, t := range targets {
		c := covered{target: t, boot: views.Boot.Cover(t.Want)}
		if views.Loaded != nil {
			c.loaded = views.Loaded.Cover(t.Want)
		}
		sides.paths = append(sides.paths, c)
	}
	return sides, nil
}

// bothSides is what is known of the targets' coverage.
type bothSides struct {
	files     host.AuditFiles
	status    host.AuditStatus
	loadedErr error // why the kernel's rules cannot be seen; host.ErrNotRunning of a tree
	paths     []covered
}

// judgeWatch wants every path covered by the rules in the kernel and by those
// that the next boot loads. What the next boot surely leaves out fails even
// where the kernel cannot be asked.
func judgeWatch(s bothSides) (checks.Verdict, error) {
	var wrong, seen, unclear []checks.Evidence
	tree := errors.Is(s.loadedErr, host.ErrNotRunning)
	if s.loadedErr == nil && s.status.Enabled == 0 {
		wrong = append(wrong, checks.Evidence{
			Source: statusSource, Key: "enabled", Want: "1 or 2", Got: "0: the rules that are loaded record nothing",
		})
	}
	if len(s.files.Loaders) == 0 {
		wrong = append(wrong, checks.Evidence{
			Source: "auditd.service", Key: "ExecStartPost", Want: "augenrules --load", Got: "no command that loads rules at boot",
		})
	}
	if s.files.Problem != "" {
		wrong = append(wrong, checks.Evidence{Source: host.AuditRulesFile, Want: "owned by root, not writable by others", Got: s.files.Problem})
	}
	file := func(e checks.Evidence, a auditrule.Answer) {
		switch a {
		case auditrule.Covered:
			seen = append(seen, e)
		case auditrule.Unknown:
			unclear = append(unclear, e)
		default:
			wrong = append(wrong, e)
		}
	}
	for _, p := range s.paths {
		if s.loadedErr == nil {
			file(sideEvidence(p.target, p.loaded, kernelRules), p.loaded.Answer)
		}
		boot := s.bootCoverage(p.boot)
		file(sideEvidence(p.target, boot, s.files.Persisted()), boot.Answer)
	}
	hidden := s.loadedErr != nil && !tree // and what is missing on disk alone is missing enough
	switch {
	case hidden && len(wrong) > 0:
		unclear = append(unclear, checks.Evidence{Source: kernelRules, Got: "cannot be seen: " + s.loadedErr.Error()})
		return checks.Failed(watchReason(wrong, s.files.Persisted(), true), slices.Concat(wrong, unclear)...), nil
	case hidden:
		return checks.Verdict{Evidence: slices.Concat(unclear, seen)}, fmt.Errorf("cannot see the rules that the kernel holds: %w", s.loadedErr)
	case len(wrong) > 0:
		return checks.Failed(watchReason(wrong, s.files.Persisted(), tree), slices.Concat(wrong, unclear)...), nil
	case len(unclear) > 0:
		return checks.Verdict{Evidence: slices.Concat(unclear, seen)}, fmt.Errorf("cannot tell whether %s is covered: %s", unclear[0].Key, unclear[0].Got)
	case tree:
		seen = append(seen, checks.Evidence{Source: kernelRules, Got: "not looked at: this is a file tree"})
	}
	return checks.Passed(seen...), nil
}

// bootCoverage adds to a path's coverage after the next boot what is uncertain
// about the load itself.
func (s bothSides) bootCoverage(c auditrule.Coverage) auditrule.Coverage {
	stopped, doubt := s.files.Boot.Stopped, s.files.Boot.Doubt
	switch {
	case c.Answer == auditrule.Covered && len(s.files.Merged.Doubts) > 0:
		c.Answer, c.Doubts = auditrule.Unknown, s.files.Merged.Doubts
	case c.Answer == auditrule.Covered && doubt != nil && !s.beforeDoubt(c):
		c.Answer, c.Doubts = auditrule.Unknown, []string{"the load may end before: " + doubt.Error()}
	case c.Answer != auditrule.Covered && stopped != nil:
		c.Missing = append(slices.Clone(c.Missing), "the load ends at "+stopped.Error())
	}
	return c
}

// beforeDoubt reports whether every rule that covers a path is loaded before
// the first line that cannot be judged.
func (s bothSides) beforeDoubt(c auditrule.Coverage) bool {
	sure := s.files.Boot.Rules[:s.files.Boot.Sure]
	for _, r := range c.By {
		if !slices.ContainsFunc(sure, func(other auditrule.Rule) bool { return other.Pos == r.Pos }) {
			return false
		}
	}
	return true
}

func watchReason(wrong []checks.Evidence, persisted string, diskOnly bool) string {
	kernel, disk := false, false
	for _, e := range wrong {
		if e.Source == kernelRules || e.Source == statusSource {
			kernel = true
		} else {
			disk = true
		}
	}
	switch {
	case diskOnly:
		return "What must be recorded is not covered by the rules that the next boot loads."
	case kernel && disk:
		return "What must be recorded is covered neither by the rules in the kernel nor by those that the next boot loads."
	case kernel:
		return "What must be recorded is not covered by the rules in the kernel, although " + persisted + " has rules for the next boot."
	}
	return "What must be recorded is covered only until the next boot: the rules are not persisted."
}

// sideEvidence says what one side records of a target.
func sideEvidence(t target, c auditrule.Coverage, source string) checks.Evidence {
	wanted := auditrule.Perm(t.Perms).String()
	if t.Use {
		wanted = "connections"
	}
	key := t.Path
	if c.Path != "" && c.Path != t.Path {
		key += " (" + c.Path + ")"
	}
	if t.what != "" {
		key = t.what + " " + key
	}
	e := checks.Evidence{Source: source, Key: key}
	if c.Answer == auditrule.Covered {
		first := c.By[0]
		if first.Pos.File != "" {
			e.Source, e.Line = first.Pos.File, first.Pos.Line
		}
		var rules []string
		for _, r := range c.By {
			if text := r.String(); !slices.Contains(rules, text) {
				rules = append(rules, text)
			}
		}
		e.Got = wanted + " by " + strings.Join(rules, "; ")
		return e
	}
	e.Want = wanted + " recorded"
	details := c.Missing
	if c.Answer == auditrule.Unknown {
		details = c.Doubts
	}
	if len(c.By) > 0 && c.By[0].Pos.File != "" {
		e.Source, e.Line = c.By[0].Pos.File, c.By[0].Pos.Line
	}
	e.Got = c.Answer.String()
	if len(details) > 0 {
		e.Got += ": " + strings.Join(details, "; ")
	}
	return e
}
