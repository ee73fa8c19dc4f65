package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/hostguard/hostguard/checks/storage"
	"github.com/hostguard/hostguard/internal/config"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/notify"
	"github.com/hostguard/hostguard/internal/printable"
	"github.com/hostguard/hostguard/internal/quantity"
	"github.com/hostguard/hostguard/internal/storagewatch"
	"github.com/hostguard/hostguard/remediate/flock"
	"github.com/hostguard/hostguard/remediate/jobstate"
)

// watchSchema is the version of the JSON form.
const watchSchema = "1.0"

// watchTimeout bounds what is looked at, factsTimeout each fact of it: nobody
// waits for a job, and one that gives up on a busy host is a false alarm. Telling
// comes after it.
const (
	watchTimeout = 2 * time.Minute
	factsTimeout = watchTimeout * 2 / 3
)

// Names of jobs, by which their state is kept.
const (
	storageJob  = "watch-storage"
	reminderJob = "keys-remind"
)

func watchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Watch over what changes between audits, and tell somebody",
		Long: `Looks at what changes between two audits and tells somebody of it: through syslog
always, by mail and by webhook when hostguard.yaml says so (notify). Meant to be
started by cron or a timer; hostguard fix installs that.`,
	}
	cmd.AddCommand(watchStorageCommand(), watchAuditCommand(), watchTestCommand())
	return cmd
}

func watchStorageCommand() *cobra.Command {
	var src sources
	var format string
	var quiet bool
	cmd := &cobra.Command{
		Use:   "storage",
		Short: "Watch the file systems that the profile's rules about room name",
		Long: `Measures the room and the inodes of the file systems that the profile's rules
about room (disk-free) name, reckons from its own measurements when they will be
full, and tells of those that pass a limit: warning at the rules' limits or when
full within a day, critical at half of that or when full within two hours
(storage.warn and storage.critical in hostguard.yaml).

A state that grows worse, or better, is told at once, one that stays as it is
after an hour at the earliest (notify.repeat), and that all is well again, once.
Each channel is told apart: what one could not deliver it is told again. What is
remembered lies in /var/lib/hostguard/watch-storage.

Exit codes: 0 all could be measured, and who had to be told was told, however
full they are; 1 somebody could not be told, or the run cannot be remembered;
2 the flags, rules or configuration are wrong; 3 something could not be
measured, and that was told; 75 another run is at work.`,
		Example: `  sudo hostguard watch storage
  sudo hostguard watch storage --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return watchStorage(cmd, src, format, quiet) },
	}
	sourceFlags(cmd, &src)
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing but errors")
	return cmd
}

// storageMemory is what the watch remembers from run to run.
type storageMemory struct {
	Samples storagewatch.History    `json:"samples"`
	Levels  map[string]notify.Level `json:"levels"`
	Told    notify.Told             `json:"told"`
}

func watchStorage(cmd *cobra.Command, src sources, format string, quiet bool) error {
	if format != "text" && format != "json" {
		return fmt.Errorf("there is no format %q: want text or json", format)
	}
	a, err := load(src)
	if err != nil {
		return err
	}
	limits := limitsOf(a)
	if len(limits) == 0 {
		return fmt.Errorf("the profile %s has no rule about room (disk-free): there is nothing to watch", a.Profile.Name)
	}
	if os.Geteuid() != 0 {
		return exitError{exitIncomplete, host.ErrNotRoot}
	}
	signal.Ignore(syscall.SIGHUP) // a terminal that goes away is no reason not to tell
	now := time.Now()
	var unseen []error
	memory := storageMemory{}
	state, failed, err := recall(cmd, storageJob, &memory)
	if err != nil {
		return err
	}
	if state != nil {
		defer state.Close()
	}
	memory.ready()

	h := host.New(host.Options{ConnectorDirs: a.Config.Connector.Dir})
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), watchTimeout, fmt.Errorf("no end within %v", watchTimeout))
	systems := measureStorage(host.Patiently(ctx, factsTimeout), h, limits)
	identity, _ := h.Identity(ctx)
	cancel()

	judged := memory.judge(systems, now)
	if state != nil { // before somebody is told, which takes time
		if err := state.Save(&memory); err != nil {
			failed = append(failed, err)
		}
	}
	channels, problems := channelsOf(a.Config, identity.Hostname)
	failed = append(failed, problems...)
	var items []notify.Item
	for i := range judged {
		items = append(items, judged[i].Item())
		if judged[i].Level == notify.Unknown {
			unseen = append(unseen, fmt.Errorf("cannot watch %s: %s", judged[i].Point, judged[i].Unseen))
		}
	}
	about := topic{"storage", func(items []notify.Item) string { return "storage " + titleOf(items, "has room again") },
		notify.Policy{Repeat: func(notify.Level) time.Duration { return repeatAfter(a.Config) }, Gone: "is not watched any more"}}
	told, errs := notifyAll(cmd.Context(), about, identity.Hostname, channels, items, memory.Told, now)
	failed = append(failed, errs...)
	if state != nil && len(told) > 0 {
		if err := state.Save(&memory); err != nil {
			failed = append(failed, err)
		}
	}
	if state != nil && len(failed) == 0 && len(unseen) == 0 {
		if err := state.Succeed(now); err != nil {
			failed = append(failed, err)
		}
	}
	if !quiet {
		if err := writeWatched(cmd.OutOrStdout(), judged, told, now, format); err != nil {
			failed = append(failed, fmt.Errorf("cannot write: %w", err))
		}
	}
	return jobEnd(failed, unseen)
}

// recall takes hold of a job's state and reads what it remembers. An error is that
// another run holds it. A state that cannot be had is told as failed, and the job
// goes on without: who watches a full file system must not fail by it.
func recall(cmd *cobra.Command, job string, memory any) (state *jobstate.State, failed []error, err error) {
	state, err = jobstate.Open("/", job)
	if locked := (*flock.LockedError)(nil); errors.As(err, &locked) {
		return nil, nil, exitError{exitLocked, err}
	}
	if err != nil {
		return nil, []error{err}, nil
	}
	sayNotes(cmd.ErrOrStderr(), state.Load(memory))
	return state, nil, nil
}

func (m *storageMemory) ready() {
	if m.Samples == nil {
		m.Samples = storagewatch.History{}
	}
	if m.Levels == nil {
		m.Levels = map[string]notify.Level{}
	}
	if m.Told == nil {
		m.Told = notify.Told{}
	}
}

// judge takes the measurements in and says how the file systems are.
func (m *storageMemory) judge(systems []storagewatch.FileSystem, now time.Time) []storagewatch.Judgement {
	m.Samples.Add(systems, now)
	var judged []storagewatch.Judgement
	levels := map[string]notify.Level{}
	for _, fs := range systems {
		j := m.Samples.Judge(fs, m.Levels[fs.Point], now)
		levels[fs.Point] = j.Level
		judged = append(judged, j)
	}
	m.Levels = levels
	return judged
}

// watchLimits are the limits of one rule, and what it is about.
type watchLimits struct {
	params         storage.FreeParams
	warn, critical storagewatch.Limits
}

// Time left, when the configuration does not say it.
const (
	warnFullWithin     = quantity.Duration(24 * time.Hour)
	criticalFullWithin = quantity.Duration(2 * time.Hour)
)

// limitsOf are those of the rules in force, as far as the configuration does
// not give others.
func limitsOf(a *audit) []watchLimits {
	var all []watchLimits
	for _, b := range a.Bound {
		p, ok := b.Params.(storage.FreeParams)
		if !ok {
			continue
		}
		warn := storagewatch.Limits{Free: p.MinFree, FreeBytes: p.MinFreeBytes, FreeInodes: p.MinFreeInodes, FullWithin: warnFullWithin}
		given(&warn, a.Config.Storage.Warn)
		critical := storagewatch.Limits{Free: warn.Free / 2, FreeBytes: warn.FreeBytes / 2, FreeInodes: warn.FreeInodes / 2, FullWithin: min(criticalFullWithin, warn.FullWithin)}
		given(&critical, a.Config.Storage.Critical)
		all = append(all, watchLimits{p, warn, critical})
	}
	return all
}

func given(l *storagewatch.Limits, c config.Limits) {
	if c.Free != nil {
		l.Free = *c.Free
	}
	if c.FreeBytes != nil {
		l.FreeBytes = *c.FreeBytes
	}
	if c.FreeInodes != nil {
		l.FreeInodes = *c.FreeInodes
	}
	if c.FullWithin != nil {
		l.FullWithin = *c.FullWithin
	}
}

// measureStorage measures each file system once, with the strictest of the
// limits that are about it. That no connector is known is no alarm: there is
// none yet, or docker is stopped, and docker's folder is watched anyway.
func measureStorage(ctx context.Context, h *host.Host, limits []watchLimits) []storagewatch.FileSystem {
	text := func(s string) string { return strings.ToValidUTF8(s, "\ufffd") } // as JSON will give it back
	var all []storagewatch.FileSystem
	devices := map[string]int{} // place in all
	for _, l := range limits {
		systems, unmeasured, unknown := storage.Measure(ctx, h, l.params)
		for _, s := range systems {
			if at, known := devices[s.Mount.Device]; known {
				fs := &all[at]
				fs.Warn, fs.Critical = fs.Warn.Strictest(l.warn), fs.Critical.Strictest(l.critical)
				fs.Paths = append(fs.Paths, s.Paths...)
				continue
			}
			devices[s.Mount.Device] = len(all)
			all = append(all, storagewatch.FileSystem{
				Point: text(s.Mount.Point), Type: text(s.Mount.Type), Source: text(s.Mount.Source), Paths: s.Paths, Image: s.Image(),
				Free: s.Available, Total: s.Used + s.Available, FreeInodes: s.FreeInodes, Inodes: s.Inodes,
				Warn: l.warn, Critical: l.critical,
			})
		}
		for _, u := range unmeasured {
			all = append(all, storagewatch.FileSystem{Point: text(u.Path), Unseen: text(u.Err.Error())})
		}
		for _, err := range unknown {
			if !errors.Is(err, host.ErrNoConnector) {
				all = append(all, storagewatch.FileSystem{Point: "docker's or the connector's folders", Unseen: text(err.Error())})
			}
		}
	}
	for i := range all {
		slices.Sort(all[i].Paths)
		all[i].Paths = slices.Compact(all[i].Paths)
	}
	slices.SortStableFunc(all, func(a, b storagewatch.FileSystem) int { return strings.Compare(a.Point, b.Point) })
	return slices.CompactFunc(all, func(a, b storagewatch.FileSystem) bool { return a.Point == b.Point && a.Unseen == b.Unseen })
}

// watchedSystem is a file system in JSON.
type watchedSystem struct {
	Point        string       `json:"point"`
	Type         string       `json:"type,omitempty"`
	Source       string       `json:"source,omitempty"`
	Paths        []string     `json:"paths"`
	Level        notify.Level `json:"level"`
	Why          []string     `json:"why"`
	Free         uint64       `json:"free_bytes"`
	Total        uint64       `json:"total_bytes"`
	FreeInodes   uint64       `json:"free_inodes"`
	Inodes       uint64       `json:"inodes"`
	FullIn       int64        `json:"full_in_seconds,omitempty"`
	InodesFullIn int64        `json:"inodes_full_in_seconds,omitempty"`
}

type watched struct {
	SchemaVersion string          `json:"schema_version"`
	Time          time.Time       `json:"time"`
	FileSystems   []watchedSystem `json:"file_systems"`
	Told          []toldChannel   `json:"told"`
}

func escapedAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = printable.String(s)
	}
	return out
}

func writeWatched(w io.Writer, judged []storagewatch.Judgement, told []toldChannel, now time.Time, format string) error {
	if format == "json" {
		shown := watched{watchSchema, now.UTC().Truncate(time.Second), []watchedSystem{}, append([]toldChannel{}, told...)}
		for _, j := range judged {
			shown.FileSystems = append(shown.FileSystems, watchedSystem{
				printable.String(j.Point), printable.String(j.Type), printable.String(j.Source), escapedAll(j.Paths), j.Level, escapedAll(j.Why),
				j.Free, j.Total, j.FreeInodes, j.Inodes, int64(j.FullIn / time.Second), int64(j.InodesFullIn / time.Second)})
		}
		return writeJSON(w, shown)
	}
	var rows [][]string
	for i := range judged {
		j := &judged[i]
		text := strings.Join(j.Why, "; ")
		if len(j.Why) == 0 {
			text = j.Room()
		}
		rows = append(rows, []string{j.Level.String(), printable.String(j.Point), printable.String(text)})
	}
	if err := writeTable(w, rows); err != nil {
		return err
	}
	sayTold(w, told)
	return nil
}

func watchTestCommand() *cobra.Command {
	var src sources
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Send a test through every channel, to see who is told",
		Long: `Sends a message that says it is a test through syslog and every channel of
hostguard.yaml (notify).

Exit codes: 0 each channel took it; 1 one did not; 2 the flags, rules or
configuration are wrong.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := load(src)
			if err != nil {
				return err
			}
			identity, _ := host.New(host.Options{}).Identity(cmd.Context())
			channels, failed := channelsOf(a.Config, identity.Hostname)
			about := topic{"test", func([]notify.Item) string { return "this is a test" }, notify.Policy{Repeat: func(notify.Level) time.Duration { return 0 }}}
			items := []notify.Item{{ID: "test", Level: notify.Warning, Text: "this is a test of hostguard's notifications: nothing is wrong"}}
			told, errs := notifyAll(cmd.Context(), about, identity.Hostname, channels, items, notify.Told{}, time.Now())
			sayTold(cmd.OutOrStdout(), told)
			return jobEnd(append(failed, errs...), nil)
		},
	}
	sourceFlags(cmd, &src)
	return cmd
}
