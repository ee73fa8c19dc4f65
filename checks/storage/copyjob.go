package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/cronconf"
	"github.com/hostguard/hostguard/internal/host"
)

type copyJobParams struct {
	Job     watchJob `yaml:"job" doc:"The job that copies the connector's logs each day; empty: hostguard's own."`
	Command string   `yaml:"command" doc:"Which entry of the cron table it is: the whole command as written there. Needed when the table has several."`
}

// Validate wants what is wanted of a storage watch's job.
func (p copyJobParams) Validate() error {
	return watchParams{Watch: p.Job, Command: p.Command}.Validate()
}

// logCopy is daily; an hour more where the clocks are put back. Whether it
// succeeds is seen from the copies.
var logCopy = job{name: "log copy", seen: true, every: 25 * time.Hour}

// What hostguard installs for its own copy: an entry of its cron table, or a timer.
const (
	ownTable     = "/etc/cron.d/hostguard"
	ownCopyTimer = "hostguard-logs-copy.timer"
)

func copyJob(ctx context.Context, h *host.Host, p copyJobParams) (checks.Verdict, error) {
	now := time.Now()
	w := watchParams{Watch: p.Job, Command: p.Command}
	switch {
	case w.Watch.Unit != "":
		return logCopy.watchUnit(ctx, h, w.Watch.Unit, now)
	case w.Watch.Cron != "":
		return logCopy.watchCron(ctx, h, w, now)
	case w.Watch.Process != "":
		return logCopy.watchProcess(ctx, h, w, now)
	}
	command, err := ownCopyCommand(h)
	if err != nil {
		return checks.Verdict{}, fmt.Errorf("cannot tell whether hostguard's own log copy is scheduled: %w", err)
	}
	if command != "" {
		w.Watch.Cron, w.Command = ownTable, command
		return logCopy.watchCron(ctx, h, w, now)
	}
	units, err := h.Units(ctx, ownCopyTimer)
	if err != nil {
		return checks.Verdict{}, fmt.Errorf("cannot tell whether hostguard's own log copy is scheduled: %w", err)
	}
	if own := units[ownCopyTimer]; !own.Installed() {
		return checks.Failed("Nothing copies the connector's logs each day.",
			checks.Evidence{Source: ownTable, Key: "log copy", Want: "an entry that runs hostguard logs copy each day, or another job named with logs.job in hostguard.yaml", Got: "neither"}), nil
	}
	return logCopy.watchUnit(ctx, h, ownCopyTimer, now)
}

// ownCopyCommand returns the command of hostguard's cron table that copies
// logs, empty when it has none.
func ownCopyCommand(h *host.Host) (string, error) {
	data, err := h.ReadFile(ownTable)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, e := range cronconf.Parse(data, true).Entries {
		if copiesLogs(e.Command) {
			return e.Command, nil
		}
	}
	return "", nil
}

// copiesLogs reports whether a command is hostguard's copy of logs and writes
// what it says: --dry-run would not.
func copiesLogs(command string) bool {
	words := strings.Fields(command)
	return len(words) >= 3 && path.Base(words[0]) == "hostguard" && words[1] == "logs" && words[2] == "copy" &&
		!slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, "--dry-run") || strings.HasPrefix(w, "#") })
}

// tooSeldom reports whether two times of a job, of which due is the earlier,
// lie too far back.
func (j job) tooSeldom(due, now time.Time) bool {
	return j.every > 0 && now.Sub(due) > 2*j.every
}

func (j job) often() string { return fmt.Sprintf("twice within %v", 2*j.every) }
