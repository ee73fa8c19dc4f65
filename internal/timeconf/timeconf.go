// Package timeconf reads the configuration of time daemons: chrony,
// systemd-timesyncd, ntpd (classic and NTPsec) and OpenNTPD. It says which
// time sources each would use and where they are written.
package timeconf

import (
	"fmt"
	"io/fs"
)

// Files is where a parser reads from. Paths are absolute; an absent file is
// fs.ErrNotExist; Glob returns existing paths in lexical order.
type Files interface {
	ReadFile(name string) ([]byte, error)
	ReadDir(name string) ([]fs.DirEntry, error)
	Glob(pattern string) ([]string, error)
	Readlink(name string) (string, error)
}

// Kind says what a source is.
type Kind string

// The kinds of sources.
const (
	Server    Kind = "server"    // one NTP server
	Pool      Kind = "pool"      // a name that stands for several NTP servers
	Peer      Kind = "peer"      // an NTP server that may also be served by this host
	Broadcast Kind = "broadcast" // whoever announces the time on the network
	RefClock  Kind = "refclock"  // a clock of this machine: GPS, PTP, PPS
	Local     Kind = "local"     // the undisciplined clock itself: no source of time
)

// Source is one configured source of time.
type Source struct {
	Kind     Kind
	Name     string // host name or address; of a reference clock its driver and parameter
	Port     int    // 0: NTP's own, 123
	Offline  bool   // not used until somebody switches it on at run time
	NoSelect bool   // watched only, never used to set the clock
	File     string
	Line     int
}

// Problem is a place at which the daemon would refuse its configuration.
type Problem struct {
	File string
	Line int
	Text string
}

func (p Problem) Error() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text) }

// Config is what the files of one daemon say about its sources.
type Config struct {
	Files    []string // all that were read, in order
	Sources  []Source // in the order in which they are written
	Problems []Problem
}

// maxFiles bounds how many files one configuration may consist of.
const maxFiles = 1000

// maxSources bounds how many sources are kept: more than any daemon could use.
const maxSources = 1000

// add keeps a source.
func (c *Config) add(s Source) {
	if len(c.Sources) < maxSources {
		c.Sources = append(c.Sources, s)
	}
}

// read reads one file of the configuration and notes that it did.
func (c *Config) read(files Files, name string) ([]byte, error) {
	if len(c.Files) >= maxFiles {
		return nil, fmt.Errorf("cannot read %s: the configuration has more than %d files", name, maxFiles)
	}
	data, err := files.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	c.Files = append(c.Files, name)
	return data, nil
}

func (c *Config) problem(file string, line int, format string, args ...any) {
	c.Problems = append(c.Problems, Problem{file, line, fmt.Sprintf(format, args...)})
}
