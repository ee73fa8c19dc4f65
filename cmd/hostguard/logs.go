package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/syslog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/hostguard/hostguard/internal/config"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/printable"
	"github.com/hostguard/hostguard/internal/rotatedlogs"
	"github.com/hostguard/hostguard/remediate/flock"
	"github.com/hostguard/hostguard/remediate/logcopy"
)

// logsSchema is the version of the JSON form.
const logsSchema = "1.0"

func logsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "The connector's logs, for who reads them",
	}
	cmd.AddCommand(logsCopyCommand())
	return cmd
}

// logsOptions are the flags of logs copy.
type logsOptions struct {
	checkOptions
	dryRun            bool
	maxTotal, minFree int64
}

func logsCopyCommand() *cobra.Command {
	var o logsOptions
	cmd := &cobra.Command{
		Use:   "copy",
		Short: "Copy the connector's rotated logs out of its volumes",
		Long: `Copies the rotated logs of the connector (*yyyy-MM-dd*.gz, of days that are over)
out of its docker volumes into logs.dir, where logs.reader may read them and
nobody but root may write: mode 0440, group logs.group, each named after the
service that wrote it: be-dataapp-provider+log+dataapp+dataapp-2026-01-31.0.gz.
Days that were missed are caught up; a copy that is there stays as it is. With
logs.keep copies of older days are removed.

The volumes are a container's to write. No link is followed in them, no other
file system entered; what is no regular file with one name, is larger than
256 MiB, or has an odd name is refused and said. A log that is changed meanwhile
waits for the next run. A copy is whole or absent, also after a crash.

It is meant to run daily. What it refuses goes to syslog, too.

Exit codes: 0 all is copied; 1 something was refused or could not be written;
2 the flags or the configuration are wrong; 3 the connector or a volume could not
be looked at; 75 another run copies.`,
		Example: `  sudo hostguard logs copy --dry-run
  sudo hostguard logs copy`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return copyLogs(cmd, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.sources.Config, "config", "", "configuration `file` (default /etc/hostguard/hostguard.yaml)")
	f.StringSliceVar(&o.connectors, "connector", nil, "the connector's compose project `folder` (repeatable; default: the configuration's, else discovered from docker)")
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would be copied, and write nothing")
	f.Int64Var(&o.maxTotal, "max-total", logcopy.UsualMaxTotal>>20, "`MiB` that one run copies at most: the next one goes on")
	f.Int64Var(&o.minFree, "min-free", logcopy.UsualMinFree>>20, "`MiB` that stay free where the copies lie")
	f.DurationVar(&o.timeout, "timeout", 10*time.Minute, "bound on the whole run")
	f.StringVar(&o.format, "format", "text", "text or json")
	return cmd
}

func copyLogs(cmd *cobra.Command, o logsOptions) error {
	switch {
	case o.format != "text" && o.format != "json":
		return fmt.Errorf("there is no format %q: want text or json", o.format)
	case o.maxTotal <= 0 || o.maxTotal > 1<<40 || o.minFree < 0 || o.minFree > 1<<40:
		return errors.New("cannot use --max-total or --min-free: it is out of range")
	}
	o.root = "/"
	h, a, err := prepare(&o.checkOptions)
	if err != nil {
		return err
	}
	logs := a.Config.Logs
	if logs.Reader == "" && logs.Group == "" {
		return fmt.Errorf("cannot copy logs: nobody is named who may read them: set logs.reader in %s", a.Config.File())
	}
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), o.timeout, fmt.Errorf("no end within %v (--timeout)", o.timeout))
	defer cancel()
	if err := h.Lacks(ctx, host.Root); err != nil {
		return exitError{exitIncomplete, err}
	}
	gid, err := readersGroup(ctx, h, logs)
	if err != nil {
		return exitError{exitIncomplete, err}
	}
	volumes, err := h.ConnectorLogs(ctx)
	if err != nil {
		return exitError{exitIncomplete, fmt.Errorf("cannot tell the connector's volumes: %w", err)}
	}
	options := logcopy.Options{
		Root: "/", Dir: cmp.Or(string(logs.Dir), config.DefaultLogsDir), GID: gid, Now: time.Now(), Keep: logs.Keep.Days(),
		MaxTotal: o.maxTotal << 20, MinFree: o.minFree << 20, Limits: rotatedlogs.Usual, DryRun: o.dryRun,
	}
	if options.Apart, err = containersFolders(ctx, h); err != nil {
		return exitError{exitIncomplete, err}
	}
	told := logsTold{Schema: logsSchema, Dir: printable.String(options.Dir), DryRun: o.dryRun}
	told.Result, err = logcopy.Run(ctx, options, logSources(ctx, h, volumes, &told))
	told.finish(volumes)
	if !o.dryRun {
		told.warn(cmd)
	}
	return told.end(cmd, o.format, err)
}

// readersGroup is the number of the group that may read copies.
func readersGroup(ctx context.Context, h *host.Host, logs config.Logs) (uint32, error) {
	accounts, err := h.Accounts(ctx)
	if err != nil {
		return 0, err
	}
	if logs.Group != "" {
		if g := accounts.Group(string(logs.Group)); g != nil {
			return g.GID, nil
		}
		return 0, fmt.Errorf("cannot copy logs for the group %s (logs.group): this host's files have no such group", logs.Group)
	}
	if u := accounts.User(string(logs.Reader)); u != nil {
		return u.GID, nil
	}
	return 0, fmt.Errorf("cannot copy logs for %s (logs.reader): this host's files have no such account", logs.Reader)
}

// containersFolders are the folders that containers can write, and docker's own.
func containersFolders(ctx context.Context, h *host.Host) ([]string, error) {
	var folders []string
	layout, err := h.DockerLayout(ctx)
	if err != nil {
		return nil, err
	}
	if layout.DataRoot.Path != "" {
		folders = append(folders, layout.DataRoot.Path)
	}
	connectors, err := h.Connectors(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range connectors {
		folders = append(append(folders, c.Dir), c.BindMounts...)
		for _, v := range c.Volumes {
			if v.Path != "" {
				folders = append(folders, v.Path)
			}
		}
	}
	return folders, nil
}

func logSources(ctx context.Context, h *host.Host, volumes []host.LogVolume, told *logsTold) []logcopy.Source {
	var sources []logcopy.Source
	for _, v := range volumes {
		if v.Err != nil {
			told.Unseen = append(told.Unseen, unseenVolume{printable.String(v.Volume.Name), printable.String(v.Err.Error())})
			continue // what was seen before may not be the oldest: all of it waits
		}
		if len(v.Logs) > 0 {
			sources = append(sources, logcopy.Source{Owner: v.Owner, Logs: v.Logs, Open: func() (*os.File, error) { return h.OpenVolume(ctx, v.Volume) }})
		}
	}
	return sources
}

// warn tells syslog what was refused or failed: who runs the job may not see
// what it prints.
func (t *logsTold) warn(cmd *cobra.Command) {
	n := len(t.Refused) + len(t.Failed) + len(t.Unseen)
	if n == 0 {
		return
	}
	log, err := syslog.New(syslog.LOG_AUTHPRIV|syslog.LOG_WARNING, "hostguard")
	if err == nil {
		first := ""
		for _, list := range [][]logcopy.Item{t.Refused, t.Failed} {
			if first == "" && len(list) > 0 {
				first = fmt.Sprintf("%s of %s: %s", list[0].Log, list[0].Owner, list[0].Why)
			}
		}
		if first == "" {
			first = t.Unseen[0].Volume + ": " + t.Unseen[0].Why
		}
		err = log.Warning(fmt.Sprintf("log copy: %d not copied, the first: %s", n, first))
		log.Close()
	}
	if err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "hostguard: cannot tell syslog: %s\n", printable.String(err.Error()))
	}
}

// end prints what came of the run and chooses the exit code.
func (t *logsTold) end(cmd *cobra.Command, format string, failed error) error {
	code := exitOK
	var locked *flock.LockedError
	switch {
	case errors.As(failed, &locked):
		return exitError{exitLocked, failed}
	case failed != nil || len(t.Refused)+len(t.Failed) > 0:
		code = exitFindings
	case len(t.Unseen) > 0:
		code = exitIncomplete
	}
	var err error
	if format == "json" {
		err = writeJSON(cmd.OutOrStdout(), t.json())
	} else {
		err = t.text(cmd)
	}
	if err != nil {
		err = fmt.Errorf("cannot write: %w", err)
		code = max(code, exitFindings)
	}
	return exitError{code, errors.Join(failed, err)}
}
