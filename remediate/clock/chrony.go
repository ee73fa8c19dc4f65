package clock

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/unitstate"
)

// readSources is the action by which chronyd reads its sources.d again.
const readSources = "read-sources"

// patience is how long chrony's programs may take.
const patience = 10 * time.Second

// Activators are the actions of this family.
var Activators = []remediate.Activator{{Action: readSources, Do: reloadSources}}

// reloadSources tells chronyd to read its sources again, which keeps what it
// has measured; see chronyc(1), reload sources. A chronyd that does not listen
// to chronyc is restarted.
func reloadSources(ctx context.Context, unit string) error {
	h := host.New(host.Options{})
	live, err := h.Units(ctx, unit)
	if err != nil || !live[unit].Active() {
		return err
	}
	brief, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if out, err := h.Exec(brief, "/usr/bin/chronyc", "reload", "sources"); err == nil && out.ExitCode == 0 {
		return nil
	}
	return unitstate.Restart(ctx, unit)
}

// chronydTakes has chronyd itself read the lines, as directives on its command
// line: it prints them and ends, see the option -p in chronyd(8). AppArmor keeps
// it from reading a staged file of ours.
func chronydTakes(ctx context.Context, h *host.Host, servers []host.TimeServer) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	args := []string{"-p"}
	for _, s := range servers {
		args = append(args, chronyLine(s))
	}
	out, err := h.Exec(ctx, "/usr/sbin/chronyd", args...)
	if err != nil {
		return fmt.Errorf("cannot ask chronyd: %w", err)
	}
	if out.ExitCode != 0 {
		return fmt.Errorf("chronyd refuses them: %s", strings.TrimSpace(string(out.Stderr)))
	}
	return nil
}
