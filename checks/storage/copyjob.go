package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/hostguard/hostguard/checks"
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

// ownCopyTimer is what hostguard installs for its own copy where there is no
// cron; else it is an entry of its cron table.
const ownCopyTimer = "hostguard-logs-copy.timer"

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
	command, err := ownCommand(h, copiesLogs)
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

func copiesLogs(command string) bool { return runsOwn(command, "logs", "copy") }

// tooSeldom reports whether two times of a job, of which due is the earlier,
// lie too far back.
func (j job) tooSeldom(due, now time.Time) bool {
	return j.every > 0 && now.Sub(due) > 2*j.every
}

func (j job) often() string { return fmt.Sprintf("twice within %v", 2*j.every) }
