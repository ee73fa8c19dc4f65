package audit

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks/audit"
	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/auditrules"
	"github.com/hostguard/hostguard/remediate/filestate"
	"github.com/hostguard/hostguard/remediate/statedir"
)

// Files of our own in rules.d. Rules are merged in natural order; the first is
// where nobody looks for anything else, the second comes behind all numbers,
// for hosts on which a rule suppresses: there a rule is added behind the
// others on disk, too, as in the kernel.
const (
	ownFile  = audit.ProposedFile
	lastFile = host.AuditRulesDir + "/zz-hostguard.rules"
)

// header begins a file of ours. The file before it may lack its last newline,
// and its last rule and our first line would become one.
const header = "\n## Written by hostguard fix, each rule for the requirements named before it.\n"

// rulesMode is the mode of new files: audit rules are nobody's but root's.
const rulesMode = 0o640

// rulesFiles are the audit's files as the draft leaves them.
type rulesFiles struct {
	ctx   context.Context
	h     *host.Host
	d     *remediate.Draft
	edits host.AuditEdits
}

// drafted reads what the draft has made of the files so far.
func drafted(ctx context.Context, h *host.Host, d *remediate.Draft) (*rulesFiles, error) {
	f := &rulesFiles{ctx: ctx, h: h, d: d, edits: host.AuditEdits{Files: map[string][]byte{}}}
	files, err := h.AuditFiles(ctx)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{ownFile: true, lastFile: true}
	for _, pos := range files.Boot.Places { // switches are changed where they stand
		if path.Dir(pos.File) == host.AuditRulesDir {
			names[pos.File] = true
		}
	}
	for name := range names {
		data, err := f.read(name)
		if err != nil {
			return nil, err
		}
		if data != nil && !bytes.Equal(data, files.Source(name)) {
			f.edits.Files[name] = data
		}
	}
	if there, err := h.Exists(statedir.Path); err != nil {
		return nil, err
	} else if !there {
		f.edits.Folders = []string{statedir.Path} // the transaction's journal makes it
	}
	return f, f.findMade()
}

// read is a file as the draft leaves it; nil: there is none.
func (f *rulesFiles) read(name string) (data []byte, err error) {
	_, err = filestate.Edit(f.ctx, f.d, name, filestate.New{Mode: rulesMode}, func(old []byte) ([]byte, error) {
		data = old
		return old, nil
	})
	return data, err
}

// findMade finds the folders that lines of ours make at boot before the rules
// of ours are loaded.
func (f *rulesFiles) findMade() error {
	env, err := f.h.ImagineAuditEnv(f.ctx, f.edits)
	if err != nil {
		return err
	}
	for _, name := range []string{ownFile, lastFile} {
		for _, text := range auditrule.Lines(name, f.edits.Files[name]) {
			line, err := auditrule.ParseLine(text.Text, text.Pos, env)
			if err != nil || line.Kind != auditrule.Add {
				continue
			}
			place, tree := line.Rule.Place()
			if !tree {
				place = path.Dir(place)
			}
			if gone, err := f.h.GoneAtBoot(f.ctx, place); err != nil || !gone {
				continue
			}
			made := audit.Made{Path: place}
			data, err := f.read(made.File())
			if err != nil {
				return err
			}
			if bytes.Contains(data, []byte("d "+place+" ")) {
				f.edits.Made = append(f.edits.Made, place)
			}
		}
	}
	return nil
}

// imagined is what the next boot makes of the files.
func (f *rulesFiles) imagined() (host.AuditFiles, error) { return f.h.ImagineAudit(f.ctx, f.edits) }

// foreseen is drafted, with what the next boot makes of the files.
func foreseen(ctx context.Context, h *host.Host, d *remediate.Draft) (*rulesFiles, host.AuditFiles, error) {
	f, err := drafted(ctx, h, d)
	if err != nil {
		return nil, host.AuditFiles{}, err
	}
	files, err := f.imagined()
	return f, files, err
}

// append adds lines to a file of ours.
func (f *rulesFiles) append(name string, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	return f.edit(name, func(old []byte) []byte {
		text := string(old)
		if old == nil {
			text = header
		}
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return []byte(text + strings.Join(lines, "\n") + "\n")
	})
}

// watchLine is a watch as rules are proposed.
var watchLine = regexp.MustCompile(`^-w (.+) -p ([rwxa]+) -k (\S+)$`)

// widen adds the kinds of access of a proposed watch to a line that this plan
// adds for the same path, in place of a second rule for it.
func (f *rulesFiles) widen(name string, r audit.Proposed) (done bool, err error) {
	wanted := watchLine.FindStringSubmatch(r.Text)
	before, err := f.h.AuditFiles(f.ctx)
	if err != nil || wanted == nil {
		return false, err
	}
	written := strings.Split(string(before.Source(name)), "\n")
	lines := strings.Split(string(f.edits.Files[name]), "\n")
	for i, line := range lines {
		has := watchLine.FindStringSubmatch(line)
		if i == 0 || has == nil || has[1] != wanted[1] || has[3] != wanted[3] || slices.Contains(written, line) {
			continue
		}
		perms, err := auditrule.ParsePerm(has[2])
		if err != nil {
			return false, err
		}
		more, err := auditrule.ParsePerm(wanted[2])
		if err != nil {
			return false, err
		}
		if err := f.unload(name, line); err != nil {
			return false, err
		}
		lines[i] = fmt.Sprintf("-w %s -p %v -k %s", has[1], perms|more, has[3])
		lines[i-1] += " " + strings.TrimPrefix(comment(r), "## ")
		return true, f.edit(name, func([]byte) []byte { return []byte(strings.Join(lines, "\n")) })
	}
	return false, nil
}

// unload takes the rule of a line that the draft adds out of those that it
// loads.
func (f *rulesFiles) unload(name, line string) error {
	env, err := f.h.ImagineAuditEnv(f.ctx, f.edits)
	if err != nil || !f.d.Running() {
		return err
	}
	parsed, err := auditrule.ParseLine(line, auditrule.Pos{File: name}, env)
	if err != nil {
		return err
	}
	target, err := auditrules.Target(&parsed.Rule)
	if err != nil || !f.d.Has(auditrules.Rule, target) {
		return err
	}
	_, err = remediate.Set(f.ctx, f.d, auditrules.Rule, target, func(auditrules.RuleState) (auditrules.RuleState, error) {
		return auditrules.RuleState{}, nil
	})
	return err
}

// edit changes a file of rules.d.
func (f *rulesFiles) edit(name string, change func(old []byte) []byte) error {
	_, err := filestate.Edit(f.ctx, f.d, name, filestate.New{Mode: rulesMode}, func(old []byte) ([]byte, error) {
		data := change(old)
		f.edits.Files[name] = data
		return data, nil
	})
	return err
}

// makeAtBoot lets a folder in memory be made at boot.
func (f *rulesFiles) makeAtBoot(m audit.Made) error {
	if _, err := filestate.MakeFolder(f.ctx, f.d, path.Dir(m.File()), filestate.New{Mode: 0o755}); err != nil {
		return err
	}
	_, err := filestate.Edit(f.ctx, f.d, m.File(), filestate.New{Mode: 0o644}, func(old []byte) ([]byte, error) {
		if bytes.Contains(old, []byte("d "+m.Path+" ")) {
			return old, nil
		}
		return append(bytes.Clone(old), "# Made before the audit rules are loaded: written by hostguard fix.\n"+m.Line()+"\n"...), nil
	})
	f.edits.Made = append(f.edits.Made, m.Path)
	return err
}

// generate writes audit.rules as augenrules would from the files as they are
// planned. Auditd's own run of augenrules then finds nothing to do.
func (f *rulesFiles) generate() error {
	files, err := f.imagined()
	if err != nil || files.Persisted() != host.AuditRulesDir {
		return err
	}
	if len(files.Merged.Doubts) > 0 {
		return fmt.Errorf("what augenrules makes of %s is not sure: %s", host.AuditRulesDir, strings.Join(files.Merged.Doubts, "; "))
	}
	_, err = filestate.Edit(f.ctx, f.d, host.AuditRulesFile, filestate.New{Mode: rulesMode}, func([]byte) ([]byte, error) {
		return files.Merged.Bytes(), nil
	})
	return err
}

// load adds rules to the kernel that it lacks. Of a file tree its boot does so.
func (f *rulesFiles) load(rules []auditrule.Rule) error {
	if !f.d.Running() || len(rules) == 0 {
		return nil
	}
	s, err := f.h.AuditStatus(f.ctx)
	switch {
	case err != nil:
		return err
	case s.Enabled == 2:
		f.locked()
		return nil
	}
	for i := range rules {
		target, err := auditrules.Target(&rules[i])
		if err != nil {
			return err
		}
		if _, err := remediate.Set(f.ctx, f.d, auditrules.Rule, target, func(auditrules.RuleState) (auditrules.RuleState, error) {
			return auditrules.RuleState{Loaded: true}, nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func (f *rulesFiles) locked() {
	f.d.Pending(remediate.Reboot, "the kernel holds its audit configuration locked (-e 2): it takes what is on disk at the next boot only")
}

// set changes a switch of the kernel.
func (f *rulesFiles) set(name string, value uint32) error {
	_, err := remediate.Set(f.ctx, f.d, auditrules.Setting, name, func(auditrules.SettingState) (auditrules.SettingState, error) {
		return auditrules.SettingState{Value: value}, nil
	})
	return err
}

// setOption changes the value of an option on one line of a rules file; the
// lines are those that auditctl counts.
func setOption(data []byte, line int, option string, value uint32) []byte {
	lines := bytes.SplitAfter(data, []byte("\n"))
	if line < 1 || line > len(lines) {
		return data
	}
	at := regexp.MustCompile(`(^|\s)(-` + regexp.QuoteMeta(option) + `\s*)[0-9]+`)
	lines[line-1] = at.ReplaceAll(lines[line-1], fmt.Appendf(nil, "${1}${2}%d", value))
	return bytes.Join(lines, nil)
}
