package logs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/quantity"
	"github.com/hostguard/hostguard/internal/rotatedlogs"
)

type freshParams struct {
	Dir    string            `yaml:"dir" doc:"The folder with the copies."`
	Within quantity.Duration `yaml:"within" doc:"How long after it was rotated a log may be without its copy: a daily job needs a day."`
	Keep   quantity.Duration `yaml:"keep" doc:"How long copies are kept; nothing: for ever. Logs of older days need none."`
}

// Validate wants an absolute path and a time.
func (p freshParams) Validate() error {
	if p.Within <= 0 {
		return fmt.Errorf("within: %v is not more than nothing", p.Within)
	}
	return validDir(p.Dir)
}

// copied is what lies in the folder with the copies.
type copied struct {
	byName map[string]fs.FileInfo // as hostguard names them
	others map[content]int        // how many there are under names of another job's choice
}

// content tells logs apart by what every copy shares with its log.
type content struct {
	day  string
	size int64
}

func fresh(ctx context.Context, h *host.Host, p freshParams) (checks.Verdict, error) {
	volumes, err := h.ConnectorLogs(ctx)
	if err != nil {
		return checks.Verdict{}, fmt.Errorf("cannot tell the connector's volumes: %w", err)
	}
	there, err := lookAtCopies(h, volumes, p.Dir)
	if err != nil {
		return checks.Verdict{}, fmt.Errorf("cannot look at the copies: %w", err)
	}
	return judgeFresh(volumes, there, p, time.Now())
}

func lookAtCopies(h *host.Host, volumes []host.LogVolume, dir string) (copied, error) {
	there := copied{map[string]fs.FileInfo{}, map[content]int{}}
	lacking := map[string]bool{} // days
	for _, v := range volumes {
		for _, log := range v.Logs {
			name := rotatedlogs.CopyName(v.Owner, log.Path)
			info, err := h.Lstat(path.Join(dir, name))
			switch {
			case err == nil:
				there.byName[name] = info
			case errors.Is(err, fs.ErrNotExist):
				lacking[log.Day] = true
			default:
				return there, err
			}
		}
	}
	if len(lacking) == 0 {
		return there, nil
	}
	entries, err := h.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return there, nil
	}
	for _, e := range entries {
		day, _ := rotatedlogs.Day(e.Name())
		if !lacking[day] || there.byName[e.Name()] != nil || !e.Type().IsRegular() {
			continue
		}
		if info, err := h.Lstat(path.Join(dir, e.Name())); err == nil {
			there.others[content{day, info.Size()}]++
		}
	}
	return there, err
}

// take counts a copy of another name once.
func (c copied) take(log rotatedlogs.Log) bool {
	same := content{log.Day, log.Size}
	if c.others[same] == 0 {
		return false
	}
	c.others[same]--
	return true
}

// due reports whether a log should have its copy by now. Its time may be
// anything, since the container sets it: days later its name alone counts.
func (p freshParams) due(log rotatedlogs.Log, now time.Time) bool {
	if p.Keep > 0 && log.Day < now.Add(-time.Duration(p.Keep)).Format(time.DateOnly) {
		return false
	}
	if log.Day >= now.Format(time.DateOnly) {
		return false
	}
	longAgo := now.Add(-time.Duration(p.Within)).AddDate(0, 0, -2).Format(time.DateOnly)
	return log.Day <= longAgo || now.Sub(log.ModTime) > time.Duration(p.Within)
}

func judgeFresh(volumes []host.LogVolume, there copied, p freshParams, now time.Time) (checks.Verdict, error) {
	var seen, bad []checks.Evidence
	var unseen error
	missing, refused, other := 0, 0, 0
	fault := func(count *int, e checks.Evidence) {
		if *count++; *count <= maxEvidence {
			bad = append(bad, e)
		}
	}
	for _, v := range volumes {
		if v.Err != nil {
			unseen = fmt.Errorf("cannot tell what rotated logs are in the volume %s: %w", v.Volume.Name, v.Err)
			continue
		}
		source := v.Path
		if source == "" {
			seen = append(seen, checks.Evidence{Source: v.Volume.Name, Key: "rotated logs", Got: "the volume is not made yet"})
			continue
		}
		newest := ""
		for _, log := range v.Logs {
			name := rotatedlogs.CopyName(v.Owner, log.Path)
			copy, ok := there.byName[name]
			switch {
			case ok && (!copy.Mode().IsRegular() || copy.Size() != log.Size || copy.ModTime().Unix() != log.ModTime.Unix()):
				fault(&other, checks.Evidence{Source: path.Join(p.Dir, name), Key: "copy", Want: fmt.Sprintf("%d bytes of %s", log.Size, log.ModTime.UTC().Format(time.RFC3339)), Got: fmt.Sprintf("%d bytes of %s", copy.Size(), copy.ModTime().UTC().Format(time.RFC3339))})
			case ok, there.take(log):
				newest = max(newest, log.Day)
			case p.due(log, now):
				fault(&missing, checks.Evidence{Source: path.Join(source, log.Path), Key: "copy", Want: path.Join(p.Dir, name), Got: "absent"})
			}
		}
		for _, r := range v.Refused {
			fault(&refused, checks.Evidence{Source: path.Join(source, r.Path), Key: "rotated log", Want: "a file that can be copied", Got: r.Why})
		}
		got := fmt.Sprintf("%d", len(v.Logs))
		if newest != "" {
			got += ", copied up to " + newest
		}
		seen = append(seen, checks.Evidence{Source: source, Key: "rotated logs", Got: got})
	}
	switch {
	case missing > 0:
		return checks.Failed(fmt.Sprintf("%d rotated logs of the connector were not copied.", missing), append(bad, seen...)...), nil
	case refused > 0:
		return checks.Failed("In the connector's volumes lies what has the name of a log and is none that can be copied: it may have been planted there.", append(bad, seen...)...), nil
	case other > 0:
		return checks.Failed("Logs of the connector are other ones than those that were copied under their names: they may have been changed afterwards.", append(bad, seen...)...), nil
	case unseen != nil:
		return checks.Verdict{Evidence: seen}, unseen
	case len(seen) == 0:
		return checks.Inapplicable("The connector mounts no docker volume, so no logs lie in one."), nil
	}
	return checks.Passed(seen...), nil
}
