package audit

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/hostguard/hostguard/checks/audit"
	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/filestate"
)

// DaemonConfig wants options of auditd.conf to have values.
type DaemonConfig struct {
	File    string
	Options []audit.DaemonOption
}

// Resolve implements remediate.Change.
func (c DaemonConfig) Resolve(ctx context.Context, h *host.Host, d *remediate.Draft) error {
	moved, err := filestate.Edit(ctx, d, c.File, filestate.New{Mode: rulesMode}, func(old []byte) ([]byte, error) {
		data := old
		for _, o := range c.Options {
			data = setDaemonOption(data, o.Name, o.Value)
		}
		conf, err := auditrule.ParseDaemonConf(c.File, data)
		if err != nil {
			return nil, fmt.Errorf("auditd would not start with it: %w", err)
		}
		for _, o := range c.Options {
			if got := conf.Get(o.Name).Value; got != o.Value {
				return nil, fmt.Errorf("auditd would take %q for %s", got, o.Name)
			}
		}
		return data, nil
	})
	if err != nil || !moved || !d.Running() {
		return err
	}
	if status, err := h.AuditStatus(ctx); err == nil {
		if status.PID != 0 { // else it reads the file when it is started
			d.Activate(reread, unit)
		}
		return nil
	}
	units, err := h.Units(ctx, unit)
	if err == nil && units[unit].Active() {
		d.Pending(remediate.Restart, "auditd reads its configuration only when it is restarted: in a container the kernel does not tell it who asks for more")
	}
	return err
}

// setDaemonOption sets an option of auditd.conf(5) on the line that sets it,
// the last one where there are several, and what follows its value goes: it
// belonged to the old one. An option that no line sets gets a line at the end.
// A last line that does not end, which auditd leaves out, stays the last.
func setDaemonOption(data []byte, name, value string) []byte {
	lines := bytes.SplitAfter(data, []byte("\n"))
	tail := lines[len(lines)-1] // empty when the file ends with a newline
	lines = lines[:len(lines)-1]
	for i := len(lines) - 1; i >= 0; i-- {
		words := strings.FieldsFunc(strings.TrimSuffix(string(lines[i]), "\n"), func(r rune) bool { return r == ' ' })
		if len(words) < 2 || !strings.EqualFold(words[0], name) || words[1] != "=" || len(lines[i]) > longestLine {
			continue
		}
		if len(words) == 3 && words[2] == value {
			return data
		}
		lines[i] = fmt.Appendf(nil, "%s = %s\n", words[0], value)
		return append(bytes.Join(lines, nil), tail...)
	}
	return append(fmt.Appendf(bytes.Join(lines, nil), "%s = %s\n", name, value), tail...)
}

// longestLine is the longest that auditd reads, its newline included; it leaves
// out longer ones.
const longestLine = 159
