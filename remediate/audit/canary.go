package audit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hostguard/hostguard/checks/audit"
	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/canary"
	"github.com/hostguard/hostguard/internal/host"
)

// tryOut is the action that opens a watched file from a fresh process, see
// package canary: the event must come.
const tryOut = "audit-canary"

// canaryPatience is how long the event may take.
const canaryPatience = 5 * time.Second

// canaryFile finds a file among those of a requirement that an open for writing
// does not disturb; empty: there is none.
func canaryFile(ctx context.Context, h *host.Host, w audit.Watch) string {
	if auditrule.Perm(w.Params.Perms)&auditrule.Write == 0 {
		return ""
	}
	harmless := func(name string) bool {
		f, err := canary.Inspect(name)
		if err == nil {
			f.Close()
		}
		return err == nil
	}
	paths, _ := audit.Triable(ctx, h, []audit.Watch{w})
	for _, name := range paths {
		info, err := h.Stat(name)
		switch {
		case err != nil:
		case !info.IsDir():
			if harmless(name) {
				return name
			}
		default:
			entries, err := h.ReadDir(name)
			if err != nil {
				continue
			}
			for _, e := range entries[:min(len(entries), 32)] {
				if e.Type().IsRegular() && harmless(name+"/"+e.Name()) {
					return name + "/" + e.Name()
				}
			}
		}
	}
	return ""
}

// flyCanary opens the file for writing, writes nothing, and wants the event.
// Where no rule of the kernel says that it records that, as after an undo,
// nothing is tried.
func flyCanary(ctx context.Context, name string) error {
	h := host.New(host.Options{})
	before, err := h.AuditStatus(ctx)
	if err != nil || before.Enabled == 0 || before.PID == 0 {
		return nil // the rules are looked at again, and tell
	}
	rule, err := audit.Record(ctx, h, name)
	if err != nil || rule.Rule == nil || rule.Why != "" {
		return nil
	}
	file, err := canary.Inspect(name)
	if err != nil {
		return nil // it has become something else
	}
	defer file.Close()
	source, err := canary.Listen()
	if err != nil {
		return nil
	}
	defer source.Close()
	result, err := file.Fly(ctx, source, canaryPatience)
	if err != nil {
		return fmt.Errorf("cannot tell whether what is done to %s is recorded: %w", name, err)
	}
	after, err := host.New(host.Options{}).AuditStatus(ctx)
	switch {
	case result.Event != nil && (len(rule.Keys) == 0 || slices.ContainsFunc(result.Event.Keys, func(k string) bool { return slices.Contains(rule.Keys, k) })):
		return nil
	case err == nil && after.Lost != before.Lost:
		return nil // it may be among those that the kernel lost, which is a finding of its own
	}
	return fmt.Errorf("a fresh process opened %s for writing, and no event with the key of the rule %v came within %v", name, rule.Rule, canaryPatience)
}
