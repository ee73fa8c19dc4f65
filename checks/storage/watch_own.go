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

// What hostguard installs for its own watch: an entry of its cron table, or a
// timer. However it is started, the watch notes its success.
const (
	ownTable = "/etc/cron.d/hostguard"
	ownTimer = "hostguard-storage.timer"
	OwnStamp = "/var/lib/hostguard/watch-storage/succeeded"
)

// ownStorageWatch shows by its stamp whether it succeeds.
var ownStorageWatch = job{name: "storage watch", seen: true}

// Lacking is what a failing storage-watch would have: no watch at all, or
// hostguard's own that does not work. It is nil when another is named, which
// is somebody else's to mend.
type Lacking struct{}

func ownWatch(ctx context.Context, h *host.Host, now time.Time) (checks.Verdict, error) {
	v, err := judgeOwnWatch(ctx, h, now)
	if err == nil && v.Status == checks.Fail {
		v.Repair = Lacking{}
	}
	return v, err
}

func judgeOwnWatch(ctx context.Context, h *host.Host, now time.Time) (checks.Verdict, error) {
	command, err := ownCommand(h, watchesStorage)
	if err != nil {
		return checks.Verdict{}, fmt.Errorf("cannot tell whether hostguard's own watch is scheduled: %w", err)
	}
	if command != "" {
		return ownStorageWatch.watchCron(ctx, h, watchParams{Watch: watchJob{Cron: ownTable}, Command: command, Stamp: OwnStamp}, now)
	}
	units, err := h.Units(ctx, ownTimer)
	if err != nil {
		return checks.Verdict{}, fmt.Errorf("cannot tell whether hostguard's own watch is installed: %w", err)
	}
	own := units[ownTimer]
	if !own.Installed() {
		return checks.Failed("No storage watch is configured: nobody learns that a file system fills up.",
			checks.Evidence{Source: ownTable, Key: "storage watch", Want: "hostguard's own (hostguard fix), or another named with storage.watch in hostguard.yaml", Got: "neither"}), nil
	}
	v, err := ownStorageWatch.watchUnit(ctx, h, ownTimer, now)
	if err != nil || v.Status != checks.Pass || own.Timer == nil {
		return v, err
	}
	due, _, err := secondLast(own.Timer, now)
	if err != nil {
		return checks.Verdict{Evidence: v.Evidence}, err
	}
	info, err := h.Lstat(OwnStamp)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return checks.Verdict{}, fmt.Errorf("cannot tell when the storage watch last succeeded: %w", err)
	}
	return ownStorageWatch.judgeStamp(info, OwnStamp, due, v.Evidence), nil
}

// ownCommand returns the command of hostguard's cron table that is meant, empty
// when it has none.
func ownCommand(h *host.Host, meant func(command string) bool) (string, error) {
	data, err := h.ReadFile(ownTable)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, e := range cronconf.Parse(data, true).Entries {
		if meant(e.Command) {
			return e.Command, nil
		}
	}
	return "", nil
}

func watchesStorage(command string) bool { return runsOwn(command, "watch", "storage") }

// runsOwn reports whether a command is the verb of hostguard and does what it
// says: --dry-run would not.
func runsOwn(command string, verb ...string) bool {
	words := strings.Fields(command)
	return len(words) > len(verb) && path.Base(words[0]) == "hostguard" && slices.Equal(words[1:1+len(verb)], verb) &&
		!slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, "--dry-run") || strings.HasPrefix(w, "#") })
}
