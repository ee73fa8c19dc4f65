package config

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/hostguard/hostguard/internal/quantity"
)

// Logs says who reads copies of the connector's logs, and where they are.
type Logs struct {
	Reader Account      `yaml:"reader" doc:"The account that reads copies of the connector's logs over SSH, and can do nothing else."`
	Group  Account      `yaml:"group" doc:"The group that the copies belong to. The reader's primary group when not given."`
	Dir    Folder       `yaml:"dir" doc:"The folder for the copies. /srv/tc_logs when not given."`
	Keep   KeepDuration `yaml:"keep" doc:"How long copies are kept, in whole days. For ever when not given."`
	Job    Watch        `yaml:"job" doc:"The job that copies the logs each day, when it is not hostguard's own. Exactly one of its keys."`
}

// DefaultLogsDir is where copies go when the configuration does not say.
const DefaultLogsDir = "/srv/tc_logs"

// Folder is an absolute path.
type Folder string

// UnmarshalText reads a path.
func (f *Folder) UnmarshalText(text []byte) error {
	dir := string(text)
	if !path.IsAbs(dir) || strings.ContainsRune(dir, 0) || path.Clean(dir) == "/" {
		return fmt.Errorf("%q is not the absolute path of a folder", text)
	}
	*f = Folder(path.Clean(dir))
	return nil
}

// KeepDuration is a time span of whole days.
type KeepDuration quantity.Duration

// UnmarshalText reads a time span such as 90d.
func (k *KeepDuration) UnmarshalText(text []byte) error {
	var d quantity.Duration
	if err := d.UnmarshalText(text); err != nil {
		return err
	}
	const day = 24 * time.Hour
	if time.Duration(d) < day || time.Duration(d)%day != 0 || time.Duration(d) > 36500*day {
		return fmt.Errorf("%q is not a number of whole days, such as 90d", text)
	}
	*k = KeepDuration(d)
	return nil
}

// Days is the number of days; 0: for ever.
func (k KeepDuration) Days() int { return int(time.Duration(k) / (24 * time.Hour)) }
