package storage

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/quantity"
)

type watchParams struct {
	Watch   watchJob `yaml:"watch" doc:"The job that notifies before a file system is full; empty: hostguard's own."`
	Command string   `yaml:"command" doc:"Which entry of the cron table it is: the whole command as written there. Needed when the table has several."`
	Stamp   string   `yaml:"stamp" doc:"A file that a cron job or a process writes each time it succeeds: cron itself leaves no trace of success."`

	MaxAge quantity.Duration `yaml:"max_age" doc:"How old the stamp of a process may be. Of a cron job: two of its times."`
}

// job is what is looked for.
type job struct {
	name string // in words
	// seen says that another rule sees whether it succeeds: then a cron job needs
	// no file that shows it.
	seen bool
	// every is the longest that may lie between two of its times; 0: any.
	every time.Duration
}

var storageWatch = job{name: "storage watch"}

// watchJob names one job in exactly one way, or none.
type watchJob struct {
	Unit    string `yaml:"unit" doc:"A timer, or a service that runs all the time."`
	Cron    string `yaml:"cron" doc:"A cron table: a file of /etc/cron.d, /etc/crontab or a user's table."`
	Process string `yaml:"process" doc:"The path of a program that runs all the time."`
}

// Validate wants one way at most, and names that can be looked up.
func (p watchParams) Validate() error {
	named := 0
	for _, name := range []string{p.Watch.Unit, p.Watch.Cron, p.Watch.Process} {
		if name != "" {
			named++
		}
	}
	switch {
	case named > 1:
		return errors.New("watch: want one of unit, cron and process")
	case p.Watch.Unit != "" && !strings.HasSuffix(p.Watch.Unit, ".timer") && !strings.HasSuffix(p.Watch.Unit, ".service"):
		return fmt.Errorf("watch: unit: %q is neither a .timer nor a .service", p.Watch.Unit)
	case p.Watch.Process != "" && !path.IsAbs(p.Watch.Process):
		return fmt.Errorf("watch: process: %q is not an absolute path", p.Watch.Process)
	case p.Command != "" && p.Watch.Cron == "":
		return errors.New("command: belongs to watch.cron")
	case p.Stamp != "" && !path.IsAbs(p.Stamp):
		return fmt.Errorf("stamp: %q is not an absolute path", p.Stamp)
	case p.Stamp != "" && p.Watch.Cron == "" && p.Watch.Process == "":
		return errors.New("stamp: belongs to watch.cron or watch.process")
	}
	return nil
}

func watch(ctx context.Context, h *host.Host, p watchParams) (checks.Verdict, error) {
	now := time.Now()
	switch {
	case p.Watch.Unit != "":
		return storageWatch.watchUnit(ctx, h, p.Watch.Unit, now)
	case p.Watch.Cron != "":
		return storageWatch.watchCron(ctx, h, p, now)
	case p.Watch.Process != "":
		return storageWatch.watchProcess(ctx, h, p, now)
	}
	return ownWatch(ctx, h, now)
}
