// Package jobs schedules hostguard's own jobs: as entries of one cron table,
// /etc/cron.d/hostguard, or as systemd timers where there is no cron or the
// configuration asks for them.
package jobs

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/hostguard/hostguard/checks/storage"
	"github.com/hostguard/hostguard/internal/config"
	"github.com/hostguard/hostguard/internal/lazyregexp"
	"github.com/hostguard/hostguard/remediate"
)

// Name is one of hostguard's jobs.
type Name string

// The jobs. Rules ask for the first two, the configuration for the others.
const (
	StorageWatch Name = "storage"
	LogCopy      Name = "logs-copy"
	KeyReminder  Name = "keys-remind"
	Audit        Name = "check"
)

// definition is what is fixed about a job.
type definition struct {
	verb  []string // of hostguard
	flags []string
	about string // for a unit's Description
	times string // when the configuration gives none
	try   bool   // it can be run at any time, and shows by that that it works
}

var definitions = map[Name]definition{
	StorageWatch: {[]string{"watch", "storage"}, []string{"--quiet"}, "watch over file systems", "*/10 * * * *", true},
	LogCopy:      {[]string{"logs", "copy"}, nil, "copy of the connector's logs", "10 1 * * *", false},
	KeyReminder:  {[]string{"keys", "remind"}, []string{"--quiet"}, "reminder of SSH keys", "20 7 * * *", false},
	Audit:        {[]string{"watch", "audit"}, []string{"--quiet"}, "audit with a report", "40 5 * * *", false},
}

const (
	does    = "Writes the job into /etc/cron.d/hostguard and has cron run, now and after each boot; where there is no cron, or schedule.by says so, as a systemd timer. The storage watch is tried first."
	willNot = "Mends no job of somebody else's (storage.watch, logs.job), unmasks nothing, and installs no program: hostguard itself must be where only root can write."
)

// Remediators repair the checks that look for jobs.
var Remediators = []remediate.Remediator{
	{Check: "storage-watch", Does: does, WillNot: willNot, Risk: remediate.Safe, Propose: proposeWatch},
	{Check: "log-copy-job", Does: does, WillNot: willNot, Risk: remediate.Safe, Propose: proposeCopy},
}

// Standing are the jobs that the configuration asks for, or asks for no more,
// and new times of those that are there.
var Standing = []remediate.Standing{{
	Name: "jobs", Does: "Schedules the jobs that schedule in hostguard.yaml names, and takes those away that it names no more.",
	WillNot: willNot, Risk: remediate.Safe, Propose: proposeScheduled,
}}

func proposeWatch(c remediate.Case) remediate.Proposal {
	if _, own := c.Finding.Repair.(storage.Lacking); !own {
		return remediate.Proposal{Person: []string{"The storage watch that storage.watch in hostguard.yaml names is not hostguard's: mend it, or take the key out and run hostguard fix again."}}
	}
	return remediate.Proposal{Changes: []remediate.Change{job(StorageWatch, c.Config, asked)}}
}

func proposeCopy(c remediate.Case) remediate.Proposal {
	switch {
	case c.Config.Logs.Job != (config.Watch{}):
		return remediate.Proposal{Person: []string{"The job that logs.job in hostguard.yaml names is not hostguard's: mend it, or take the key out and run hostguard fix again."}}
	case c.Config.Logs.Reader == "" && c.Config.Logs.Group == "":
		return remediate.Proposal{Person: []string{"Name who reads the copies of the logs (logs.reader in hostguard.yaml), and run hostguard fix again: they are copied for that account's group."}}
	}
	return remediate.Proposal{Changes: []remediate.Change{job(LogCopy, c.Config, asked)}}
}

func proposeScheduled(cfg *config.Config) []remediate.Change {
	var changes []remediate.Change
	for _, x := range []struct {
		name  Name
		times config.Times
	}{{KeyReminder, cfg.Schedule.KeyReminder}, {Audit, cfg.Schedule.Check}} {
		if x.times != "" {
			changes = append(changes, job(x.name, cfg, standing))
		} else {
			changes = append(changes, Without{x.name})
		}
	}
	if cfg.Schedule.StorageWatch != "" {
		changes = append(changes, job(StorageWatch, cfg, ifThere))
	}
	if cfg.Schedule.LogCopy != "" {
		changes = append(changes, job(LogCopy, cfg, ifThere))
	}
	return changes
}

// because says what asks for a job.
type because uint8

const (
	asked    because = iota // a rule that fails
	standing                // the configuration
	ifThere                 // the configuration, of a job that a rule asks for: only its times
)

func job(name Name, cfg *config.Config, why because) Job {
	times := map[Name]config.Times{StorageWatch: cfg.Schedule.StorageWatch, LogCopy: cfg.Schedule.LogCopy, KeyReminder: cfg.Schedule.KeyReminder, Audit: cfg.Schedule.Check}[name]
	j := Job{Name: name, Times: cmp.Or(string(times), definitions[name].times), By: string(cfg.Schedule.By), why: why}
	if cfg.File() != config.DefaultFile {
		j.Config = cfg.File()
	}
	return j
}

// Job wants one of hostguard's jobs to be scheduled, in one way.
type Job struct {
	Name   Name
	Times  string // the five fields of crontab(5)
	By     string // "cron", "timer", or empty: whichever there is
	Config string // the configuration file, when it is not the usual one

	why because
}

// command is what is run, in words.
func (j Job) command(program string) []string {
	words := append([]string{program}, definitions[j.Name].verb...)
	words = append(words, definitions[j.Name].flags...)
	if j.Config != "" {
		words = append(words, "--config", j.Config)
	}
	return words
}

// plain are paths that neither cron, its shell nor systemd read otherwise than
// they are written.
var plain = lazyregexp.New(`^/[A-Za-z0-9/._+-]+$`)

func checkPlain(paths ...string) error {
	for _, p := range paths {
		if p != "" && !plain().MatchString(p) {
			return fmt.Errorf("%q holds characters that mean something to cron or systemd", p)
		}
	}
	return nil
}

// is reports whether a command is that of the job, however it is called.
func (n Name) is(command string) bool {
	words := strings.Fields(command)
	verb := definitions[n].verb
	if len(words) <= len(verb) || !strings.HasSuffix(words[0], "/hostguard") {
		return false
	}
	for i, v := range verb {
		if words[1+i] != v {
			return false
		}
	}
	return true
}
