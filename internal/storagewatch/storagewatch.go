// Package storagewatch judges how full file systems are and when they will be,
// from measurements of its own that it keeps from run to run.
package storagewatch

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hostguard/hostguard/internal/notify"
	"github.com/hostguard/hostguard/internal/quantity"
)

// FileSystem is one measurement.
type FileSystem struct {
	Point, Type, Source string // where it is mounted, "ext4", the device or share
	Paths               []string

	Free, Total        uint64 // bytes that ordinary users and containers may use still, and in all
	FreeInodes, Inodes uint64 // 0 and 0 where their number is not fixed
	Image              bool   // it was made full and cannot be written
	Warn, Critical     Limits // the strictest of those that apply to its paths
	Unseen             string // why it could not be measured; then only Point is known
}

// Limits are what must be left, and for how long.
type Limits struct {
	Free       quantity.Percent
	FreeBytes  quantity.Bytes
	FreeInodes quantity.Percent
	FullWithin quantity.Duration // 0: never mind
}

// Strictest takes the larger of each limit.
func (l Limits) Strictest(o Limits) Limits {
	return Limits{max(l.Free, o.Free), max(l.FreeBytes, o.FreeBytes), max(l.FreeInodes, o.FreeInodes), max(l.FullWithin, o.FullWithin)}
}

// Sample is what was free at a moment, in seconds since 1970.
type Sample struct {
	At     int64  `json:"t"`
	Free   uint64 `json:"b"`
	Inodes uint64 `json:"i"`
}

// History holds samples of each file system in the order of time.
type History map[string][]Sample

// Bounds of a history.
const (
	window     = 24 * time.Hour
	spacing    = time.Minute // samples that are nearer than this say nothing new
	maxSamples = 300         // of one file system: one in five minutes
	maxSystems = 128
)

func (fs *FileSystem) key() string { return fs.Point + "\x00" + fs.Type + "\x00" + fs.Source }

// Add takes the measurements in and forgets what is old, what lies in the
// future, and file systems that are not measured any more.
func (h History) Add(all []FileSystem, now time.Time) {
	present := map[string]bool{}
	for i := range all {
		fs := &all[i]
		if len(present) >= maxSystems {
			break
		}
		if fs.Unseen != "" {
			for key := range h { // it may come back
				if strings.HasPrefix(key, fs.Point+"\x00") {
					present[key] = true
				}
			}
			continue
		}
		key := fs.key()
		present[key] = true
		samples := slices.DeleteFunc(h[key], func(s Sample) bool {
			return s.At > now.Unix() || s.At < now.Add(-window).Unix()
		})
		slices.SortFunc(samples, func(a, b Sample) int { return cmp.Compare(a.At, b.At) })
		if n := len(samples); n == 0 || now.Unix()-samples[n-1].At >= int64(spacing/time.Second) {
			samples = append(samples, Sample{now.Unix(), fs.Free, fs.FreeInodes})
		}
		h[key] = samples[max(0, len(samples)-maxSamples):]
	}
	for key := range h {
		if !present[key] {
			delete(h, key)
		}
	}
}

// Judgement is how one file system is.
type Judgement struct {
	FileSystem
	Level notify.Level
	Why   []string // what passes a limit; empty when all is well

	FullIn       time.Duration // of bytes, as things go; 0: not to be expected
	InodesFullIn time.Duration
}

// slack keeps a file system at the edge of a limit from being reported at every
// run: once beyond it has to leave the limit by a tenth of it.
const slack = 1.1

// Judge says how a file system is. Before is its level at the last run, 0 when
// there was none.
func (h History) Judge(fs FileSystem, before notify.Level, now time.Time) Judgement {
	j := Judgement{FileSystem: fs, Level: notify.OK}
	if fs.Unseen != "" {
		j.Level, j.Why = notify.Unknown, []string{fs.Unseen}
		return j
	}
	if fs.Image {
		return j
	}
	samples := h[fs.key()]
	j.FullIn = forecast(samples, func(s Sample) uint64 { return s.Free }, now)
	if fs.Inodes > 0 {
		j.InodesFullIn = forecast(samples, func(s Sample) uint64 { return s.Inodes }, now)
	}
	for _, at := range []struct {
		level  notify.Level
		limits Limits
	}{{notify.Critical, fs.Critical}, {notify.Warning, fs.Warn}} {
		if why := j.passed(at.limits, before != notify.Unknown && before >= at.level); len(why) > 0 {
			j.Level, j.Why = at.level, why
			break
		}
	}
	return j
}

// passed lists the limits that are passed. Of one that was passed before, more
// than the limit has to be left.
func (j *Judgement) passed(l Limits, before bool) []string {
	stretch := 1.0
	if before {
		stretch = slack
	}
	var why []string
	below := func(left, limit float64) bool { return left < limit*stretch }
	if share := percent(j.Free, j.Total); below(share, float64(l.Free)) || below(float64(j.Free), float64(l.FreeBytes)) {
		why = append(why, fmt.Sprintf("%.1f%% free, %v of %v", share, quantity.Bytes(j.Free), quantity.Bytes(j.Total)))
	}
	if j.Inodes > 0 {
		if share := percent(j.FreeInodes, j.Inodes); below(share, float64(l.FreeInodes)) {
			why = append(why, fmt.Sprintf("%.1f%% of the inodes free, %d of %d", share, j.FreeInodes, j.Inodes))
		}
	}
	if j.FullIn > 0 && below(float64(j.FullIn), float64(l.FullWithin)) {
		why = append(why, fmt.Sprintf("full in about %v as it grows now", rough(j.FullIn)))
	}
	if j.InodesFullIn > 0 && below(float64(j.InodesFullIn), float64(l.FullWithin)) {
		why = append(why, fmt.Sprintf("out of inodes in about %v as their number grows now", rough(j.InodesFullIn)))
	}
	return why
}

// percent of a file system without any room nothing is free.
func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

// rough leaves out what an estimate cannot know.
func rough(d time.Duration) string {
	switch {
	case d < time.Hour:
		return fmt.Sprintf("%d minutes", max(1, int(d/time.Minute)))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(d/time.Hour))
	}
	return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
}

// Item is the judgement as it is told.
func (j *Judgement) Item() notify.Item {
	text := j.Point + " has room again: " + j.Room()
	switch {
	case j.Level == notify.Unknown:
		text = fmt.Sprintf("%s cannot be watched: %s", j.Point, strings.Join(j.Why, "; "))
	case j.Level != notify.OK:
		text = fmt.Sprintf("%s (%s on %s) is running out of room: %s", j.Point, j.Type, j.Source, strings.Join(j.Why, "; "))
	}
	return notify.Item{ID: j.Point, Level: j.Level, Text: text}
}

// Room says how much there is, and for how long.
func (j *Judgement) Room() string {
	if j.Image {
		return "an image, which is always full and cannot be written"
	}
	text := fmt.Sprintf("%.1f%% free, %v of %v", percent(j.Free, j.Total), quantity.Bytes(j.Free), quantity.Bytes(j.Total))
	if j.Inodes > 0 {
		text += fmt.Sprintf("; %.1f%% of the inodes", percent(j.FreeInodes, j.Inodes))
	}
	if j.FullIn > 0 {
		text += fmt.Sprintf("; full in about %v as it grows now", rough(j.FullIn))
	}
	return text
}
