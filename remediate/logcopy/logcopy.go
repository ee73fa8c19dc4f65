// Package logcopy copies the rotated logs of a connector's volumes into a
// folder that the log reading user may read and nobody but root may write.
//
// The volumes may belong to an attacker (see internal/rotatedlogs). In the
// folder a copy is whole or absent, whatever happens: it is written under a
// temporary name, made durable, and given its name, which nothing else has.
package logcopy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/rotatedlogs"
	"github.com/hostguard/hostguard/remediate/flock"
)

// settled is how long a log must have been as it is: the connector writes them
// compressed, in pieces.
const settled = time.Minute

// Options say where copies go, and what bounds them.
type Options struct {
	Root string // the file tree; "/" is this host. What lies above is not looked at
	Dir  string // where the copies go, absolute
	GID  uint32 // the group that may read them
	Now  time.Time

	// Apart are folders in which Dir must not lie, and which must not lie in it:
	// the volumes and all else that containers write.
	Apart []string

	Keep     int   // days that copies are kept; 0: for ever
	MaxTotal int64 // bytes copied by one run
	MinFree  int64 // bytes that stay free on the folder's file system
	Limits   rotatedlogs.Limits
	DryRun   bool // write nothing
}

// Usual are the bounds in use.
const (
	UsualMaxTotal = 4 << 30
	UsualMinFree  = 512 << 20
)

// Source is a volume to copy from.
type Source struct {
	Owner string // first part of the copies' names
	Logs  []rotatedlogs.Log
	Open  func() (*os.File, error) // the volume's folder
}

// Item is one log and what came of it.
type Item struct {
	Owner string `json:"owner"`
	Log   string `json:"log"` // path in the volume; raw
	Copy  string `json:"copy,omitempty"`
	Bytes int64  `json:"bytes"`
	Why   string `json:"why,omitempty"` // of those that were not copied
}

// Result is what a run did, or with DryRun would do.
type Result struct {
	Made    bool     // the folder was made
	Copied  []Item   // now
	Present int      // copied before
	Waiting []Item   // not complete yet
	Refused []Item   // not to be copied as they are
	Failed  []Item   // for whatever reason lies with this host
	Removed []string // copies older than Keep
	Cleaned int      // pieces that a run left that was cut off
}

// Run copies what is lacking. A *flock.LockedError says that another run does.
// An error means that nothing further was done; single logs that could not be
// copied are in the result.
func Run(ctx context.Context, o Options, sources []Source) (Result, error) {
	var r Result
	dir, err := openFolder(&o, &r)
	if err != nil {
		return r, fmt.Errorf("cannot copy logs to %s: %w", o.Dir, err)
	}
	present := map[string]unix.Stat_t{}
	if dir != nil {
		defer dir.Close()
		if !o.DryRun {
			if err := flock.Take(dir); err != nil {
				return r, fmt.Errorf("cannot copy logs to %s: %w", o.Dir, err)
			}
		}
		if present, err = o.list(dir, &r); err != nil {
			return r, fmt.Errorf("cannot copy logs to %s: %w", o.Dir, err)
		}
	}
	err = o.copyAll(ctx, dir, sources, present, &r)
	if err == nil {
		err = o.prune(dir, present, &r)
	}
	if dir != nil && !o.DryRun && len(r.Copied)+len(r.Removed) > 0 {
		err = errors.Join(err, bare(dir.Sync()))
	}
	if err != nil {
		return r, fmt.Errorf("cannot copy all logs to %s: %w", o.Dir, err)
	}
	return r, nil
}

// wanted reports whether a log of that day is copied: of days that are over,
// and that copies are kept for.
func (o *Options) wanted(day string) bool {
	return day < o.Now.Format(time.DateOnly) && !o.old(day)
}

func (o *Options) old(day string) bool {
	return o.Keep > 0 && day < o.Now.AddDate(0, 0, -o.Keep).Format(time.DateOnly)
}

// copyAll copies from all sources in turn, so that one who fills his own volume
// does not keep others' logs from being copied.
func (o *Options) copyAll(ctx context.Context, dir *os.File, sources []Source, present map[string]unix.Stat_t, r *Result) error {
	lacking := make([]queue, len(sources))
	for i, s := range sources {
		lacking[i] = queue{Source: s, items: o.lacking(s, present, r)}
		defer lacking[i].close()
	}
	var total int64
	for q := next(lacking); q != nil; q = next(lacking) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		item := q.items[0]
		q.items = q.items[1:]
		if total+item.Bytes > o.MaxTotal {
			item.Why = fmt.Sprintf("one run copies %d bytes at most: the next run goes on", o.MaxTotal)
			r.Waiting = append(r.Waiting, item.Item)
			continue
		}
		total += item.Bytes
		q.taken += item.Bytes
		if o.DryRun {
			r.Copied = append(r.Copied, item.Item)
			continue
		}
		if err := q.open(); err != nil {
			return err
		}
		if err := o.room(dir, item.Bytes); err != nil {
			item.Why = err.Error()
			r.Failed = append(r.Failed, item.Item)
			continue
		}
		switch why, err := o.copy(ctx, dir, q.volume, item.log, item.Copy); {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			item.Why = err.Error()
			r.Failed = append(r.Failed, item.Item)
		case why.changing:
			item.Why = why.text
			r.Waiting = append(r.Waiting, item.Item)
		case why.text != "":
			item.Why = why.text
			r.Refused = append(r.Refused, item.Item)
		default:
			r.Copied = append(r.Copied, item.Item)
		}
	}
	return nil
}

// lacking are a source's logs that are to be copied now, the oldest first: it
// will be gone first.
func (o *Options) lacking(s Source, present map[string]unix.Stat_t, r *Result) []pending {
	logs := slices.Clone(s.Logs)
	slices.SortStableFunc(logs, func(a, b rotatedlogs.Log) int { return cmp.Compare(a.Day, b.Day) })
	var list []pending
	for _, log := range logs {
		if !o.wanted(log.Day) {
			continue
		}
		item := Item{Owner: s.Owner, Log: log.Path, Copy: rotatedlogs.CopyName(s.Owner, log.Path), Bytes: log.Size}
		if old, there := present[item.Copy]; there {
			o.compare(old, log, item, r)
			continue
		}
		if age := o.Now.Sub(log.ModTime); age >= 0 && age < settled {
			item.Why = fmt.Sprintf("it was changed less than %v ago", settled)
			r.Waiting = append(r.Waiting, item)
			continue
		}
		if log.Size > o.MaxTotal {
			item.Why = fmt.Sprintf("it has %d bytes, and one run copies %d at most", log.Size, o.MaxTotal)
			r.Refused = append(r.Refused, item)
			continue
		}
		list = append(list, pending{item, log})
	}
	return list
}

// compare tells a copy that was made before from one of another log.
func (o *Options) compare(old unix.Stat_t, log rotatedlogs.Log, item Item, r *Result) {
	if old.Mode&unix.S_IFMT == unix.S_IFREG && old.Size == log.Size && old.Mtim.Sec == log.ModTime.Unix() {
		r.Present++
		return
	}
	item.Why = "a log of that name was copied before and had other content: that copy stays"
	r.Refused = append(r.Refused, item)
}

// room wants the log to fit, with what must stay free.
func (o *Options) room(dir *os.File, size int64) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err != nil {
		return err
	}
	if free := int64(st.Bavail) * st.Bsize; free-size < o.MinFree {
		return fmt.Errorf("its %d bytes would leave less than %d free", size, o.MinFree)
	}
	return nil
}

// prune removes copies of days that are older than they are kept.
func (o *Options) prune(dir *os.File, present map[string]unix.Stat_t, r *Result) error {
	for name, st := range present {
		day, ours := rotatedlogs.CopyDay(name)
		if !ours || !o.old(day) || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		r.Removed = append(r.Removed, name)
		if o.DryRun {
			continue
		}
		if err := unix.Unlinkat(int(dir.Fd()), name, 0); err != nil {
			return fmt.Errorf("cannot remove %s: %w", name, err)
		}
	}
	slices.Sort(r.Removed)
	return nil
}
