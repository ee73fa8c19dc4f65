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

// kernelSide is what the kernel holds, or why that cannot be seen.
type kernelSide struct {
	status host.AuditStatus
	rules  []auditrule.Rule
	err    error // host.ErrNotRunning of a tree
}

func rulesLoad(ctx context.Context, h *host.Host) (checks.Verdict, error) {
	go h.UnitFiles(ctx) // asked for below, and apart from the rules' files
	files, err := h.AuditFiles(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	units, err := h.UnitFiles(ctx)
	if err != nil {
		return checks.Verdict{}, fmt.Errorf("cannot tell whether the next boot loads the audit rules: %w", err)
	}
	var k kernelSide
	if k.status, k.err = h.AuditStatus(ctx); k.err == nil {
		k.rules, k.err = h.AuditLoaded(ctx)
	}
	return judgeLoad(files, units.AtBoot(), k)
}

// most is how many rules of one kind are named in evidence.
const most = 20

// judgeLoad follows the rules from rules.d over audit.rules into the kernel.
// started are the units that the next boot starts, each with what pulls it in.
func judgeLoad(files host.AuditFiles, started map[string]string, k kernelSide) (checks.Verdict, error) {
	var wrong, seen, idle []checks.Evidence
	if len(files.Loaders) == 0 {
		wrong = append(wrong, checks.Evidence{
			Source: "auditd.service", Key: "ExecStartPost", Want: "augenrules --load", Got: "no command that loads rules: they are gone after a reboot",
		})
	}
	for _, l := range files.Loaders {
		command := "auditctl -R " + l.File
		if l.Augenrules {
			command = "augenrules --load"
		}
		e := checks.Evidence{Source: l.Source, Line: l.Line, Key: "loads at boot", Got: command}
		if started[l.Unit] == "" {
			e.Want, e.Got = "run by the next boot", command+", which nothing runs: the next boot does not start "+l.Unit
			idle = append(idle, e)
			continue
		}
		seen = append(seen, e)
	}
	if len(idle) == len(files.Loaders) {
		wrong = append(wrong, idle...)
	}
	if files.Problem != "" {
		wrong = append(wrong, checks.Evidence{Source: host.AuditRulesFile, Want: "owned by root, not writable by others", Got: files.Problem})
	}
	wrong = append(wrong, judgeLines(files)...)
	if files.HasDir && files.Stale {
		wrong = append(wrong, staleness(files))
	}
	var doubts []error
	for _, d := range files.Merged.Doubts {
		doubts = append(doubts, errors.New(d))
	}
	if d := files.Boot.Doubt; d != nil {
		doubts = append(doubts, fmt.Errorf("whether this line loads: %w", d))
	}
	switch {
	case errors.Is(k.err, host.ErrNotRunning):
		seen = append(seen, checks.Evidence{Source: kernelRules, Got: "not looked at: this is a file tree"})
	case k.err != nil:
		doubts = append(doubts, k.err)
	default:
		off, fine := judgeKernel(files, k)
		wrong, seen = append(wrong, off...), append(seen, fine...)
	}
	switch {
	case k.err != nil && !errors.Is(k.err, host.ErrNotRunning), len(wrong) == 0 && len(doubts) > 0:
		return checks.Verdict{Evidence: append(wrong, seen...)}, fmt.Errorf("cannot compare the audit rules: %w", errors.Join(doubts...))
	case len(wrong) > 0:
		return checks.Failed("The audit rules on disk, in audit.rules and in the kernel are not the same, or do not load.", wrong...), nil
	}
	seen = append(seen, checks.Evidence{Source: files.Persisted(), Key: "rules", Got: fmt.Sprintf("%d, all of which load", len(files.Boot.Rules))})
	return checks.Passed(seen...), nil
}

// judgeLines finds the lines that a boot would not load and settings that undo
// auditing.
func judgeLines(files host.AuditFiles) (wrong []checks.Evidence) {
	for _, refused := range files.Boot.Refused {
		if refused.Unsure || len(wrong) == most {
			continue
		}
		got := refused.Reason + ": " + refused.Text
		if refused == files.Boot.Stopped && files.Boot.NotRead > 0 {
			got += fmt.Sprintf("; the load ends here, and %d more lines are not read", files.Boot.NotRead)
		}
		wrong = append(wrong, at(refused.Pos, "line", "a line that auditctl loads", got))
	}
	for _, setting := range []struct{ name, value, want, got string }{
		{"e", "0", "-e 1 or -e 2", "-e 0: the boot turns auditing off"},
		{"f", "2", "-f 1", "-f 2: the kernel panics when it cannot record"},
	} {
		if files.Boot.Settings[setting.name] == setting.value {
			wrong = append(wrong, at(files.Boot.Places[setting.name], "setting", setting.want, setting.got))
		}
	}
	return wrong
}

// staleness says where audit.rules and what augenrules would write part.
func staleness(files host.AuditFiles) checks.Evidence {
	want := "what augenrules makes of " + host.AuditRulesDir + " (run augenrules --load)"
	if !files.HasFile {
		return checks.Evidence{Source: host.AuditRulesFile, Want: want, Got: "no such file"}
	}
	for i, line := range files.Merged.Lines {
		if i >= len(files.Generated) {
			return at(auditrule.Pos{File: host.AuditRulesFile, Line: i}, "line", line.Text, "the file ends here: it is older than "+line.Pos.File)
		}
		if files.Generated[i].Text != line.Text {
			return at(files.Generated[i].Pos, "line", line.Text, files.Generated[i].Text)
		}
	}
	extra := files.Generated[min(len(files.Merged.Lines), len(files.Generated)-1)]
	return at(extra.Pos, "line", want, extra.Text)
}

// judgeKernel compares the rules that the next boot loads with those that the
// kernel holds.
func judgeKernel(files host.AuditFiles, k kernelSide) (wrong, seen []checks.Evidence) {
	locked := k.status.Enabled == 2
	missing, extra := difference(files.Boot.Rules, k.rules)
	hint := ""
	if locked {
		hint = " (the configuration is locked: only a reboot changes it)"
	}
	for i, r := range missing {
		if i == most {
			wrong = append(wrong, at(auditrule.Pos{}, "not loaded", "", fmt.Sprintf("%d more rules", len(missing)-most)))
			break
		}
		wrong = append(wrong, at(r.Pos, "not loaded", "in the kernel, too"+hint, apart(r, extra)))
	}
	for i, r := range extra {
		if i == most {
			wrong = append(wrong, at(auditrule.Pos{}, "not persisted", "", fmt.Sprintf("%d more rules", len(extra)-most)))
			break
		}
		wrong = append(wrong, at(auditrule.Pos{}, "not persisted", "in "+files.Persisted()+", too: gone after a reboot", apart(r, missing)))
	}
	if len(missing)+len(extra) == 0 {
		if r := misplaced(files.Boot.Rules, k.rules); r != nil {
			wrong = append(wrong, at(r.Pos, "order", "the same order in the kernel, where the first rule that matches decides", r.String()))
		}
	}
	seen = append(seen, checks.Evidence{Source: kernelRules, Key: "rules", Got: fmt.Sprint(len(k.rules))})
	if locked {
		seen = append(seen, checks.Evidence{Source: statusSource, Key: "enabled", Got: "2: rules change only with a reboot"})
	}
	return wrong, seen
}

// apart writes a rule so that it does not read like one of the others: a watch
// on a folder that did not exist when it was loaded is one on a file.
func apart(r *auditrule.Rule, others []*auditrule.Rule) string {
	if slices.ContainsFunc(others, func(o *auditrule.Rule) bool { return o.String() == r.String() }) {
		return r.Exact()
	}
	return r.String()
}

// Difference returns the rules that the next boot loads and the kernel lacks,
// and those that only the kernel holds.
func Difference(boot, kernel []auditrule.Rule) (lacking, extra []*auditrule.Rule) {
	return difference(boot, kernel)
}

// Misplaced returns the first of the next boot's rules that the kernel holds in
// another order, where that matters; nil: none. Both hold the same rules.
func Misplaced(boot, kernel []auditrule.Rule) *auditrule.Rule { return misplaced(boot, kernel) }

// difference returns the rules of each side that the other lacks.
func difference(left, right []auditrule.Rule) (onlyLeft, onlyRight []*auditrule.Rule) {
	known := make(map[uint64][]int, len(right))
	for i := range right {
		identity := right[i].Identity()
		known[identity] = append(known[identity], i)
	}
	taken := make([]bool, len(right))
	for i := range left {
		same := known[left[i].Identity()]
		at := slices.IndexFunc(same, func(j int) bool { return !taken[j] && right[j].Equal(&left[i]) })
		if at < 0 {
			onlyLeft = append(onlyLeft, &left[i])
			continue
		}
		taken[same[at]] = true
	}
	for i := range right {
		if !taken[i] {
			onlyRight = append(onlyRight, &right[i])
		}
	}
	return onlyLeft, onlyRight
}

// misplaced returns the first rule of a list in which order counts that the
// kernel holds at another place, nil when there is none.
func misplaced(boot, kernel []auditrule.Rule) *auditrule.Rule {
	byList := map[auditrule.List][]*auditrule.Rule{}
	suppresses := map[auditrule.List]bool{}
	for i := range kernel {
		byList[kernel[i].List] = append(byList[kernel[i].List], &kernel[i])
	}
	for i := range boot {
		suppresses[boot[i].List] = suppresses[boot[i].List] || boot[i].Action == auditrule.Never
	}
	position := map[auditrule.List]int{}
	for i := range boot {
		list := boot[i].List
		if suppresses[list] && !boot[i].Equal(byList[list][position[list]]) {
			return &boot[i]
		}
		position[list]++
	}
	return nil
}
