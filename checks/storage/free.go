package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/quantity"
)

// defaultStatTimeout is how long a file system may take to answer: local ones
// need microseconds, healthy network ones milliseconds.
const defaultStatTimeout = quantity.Duration(2 * time.Second)

// FreeParams say which file systems must have how much room.
type FreeParams struct {
	Paths         []string          `yaml:"paths" doc:"Absolute paths whose file systems must have room."`
	Docker        bool              `yaml:"docker" doc:"Docker's data root is one of them."`
	Connector     bool              `yaml:"connector" doc:"The connector's folders are among them: its own, what it mounts, and its volumes."`
	MinFree       quantity.Percent  `yaml:"min_free" doc:"Share of each file system that must be free."`
	MinFreeBytes  quantity.Bytes    `yaml:"min_free_bytes" doc:"Amount that must be free on each."`
	MinFreeInodes quantity.Percent  `yaml:"min_free_inodes" doc:"Share of the inodes that must be free on each."`
	Timeout       quantity.Duration `yaml:"timeout" doc:"How long a file system may take to answer."`
}

// Validate wants something to look at, by absolute paths.
func (p FreeParams) Validate() error {
	if len(p.Paths) == 0 && !p.Docker && !p.Connector {
		return errors.New("want paths, docker or connector")
	}
	for _, name := range p.Paths {
		if !path.IsAbs(name) {
			return fmt.Errorf("paths: %q is not absolute", name)
		}
	}
	if p.Timeout <= 0 || time.Duration(p.Timeout) > 8*time.Second {
		return fmt.Errorf("timeout: %v is not between 0s and 8s", p.Timeout)
	}
	return nil
}

// measured is the file system of one path, or why it cannot be told.
type measured struct {
	path     string
	capacity host.Capacity
	err      error
}

func free(ctx context.Context, h *host.Host, p FreeParams) (checks.Verdict, error) {
	all, unknown := measure(ctx, h, p)
	return judgeFree(all, unknown, p)
}

// FileSystem is one file system with the paths that it carries.
type FileSystem struct {
	host.Capacity
	Paths []string
}

// Unmeasured is a path whose file system could not be measured.
type Unmeasured struct {
	Path string
	Err  error
}

// Measure returns the file systems that are meant, each once, and what could
// not be seen: paths, and why it is not known which.
func Measure(ctx context.Context, h *host.Host, p FreeParams) (systems []*FileSystem, unmeasured []Unmeasured, unknown []error) {
	all, unknown := measure(ctx, h, p)
	for _, m := range all {
		if m.err != nil {
			unmeasured = append(unmeasured, Unmeasured{m.path, m.err})
		}
	}
	return grouped(all), unmeasured, unknown
}

func measure(ctx context.Context, h *host.Host, p FreeParams) ([]measured, []error) {
	paths, unknown := pathsOf(ctx, h, p)
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(p.Timeout), fmt.Errorf("nothing within %v", p.Timeout))
	defer cancel()
	all := make([]measured, len(paths))
	var wg sync.WaitGroup
	for i, name := range paths {
		wg.Go(func() {
			c, err := h.Capacity(ctx, name)
			all[i] = measured{name, c, err}
		})
	}
	wg.Wait()
	return all, unknown
}

// pathsOf returns the paths to measure, and why some are not known.
func pathsOf(ctx context.Context, h *host.Host, p FreeParams) (paths []string, unknown []error) {
	paths = slices.Clone(p.Paths)
	if p.Docker {
		layout, err := h.DockerLayout(ctx)
		switch {
		case err != nil:
			unknown = append(unknown, fmt.Errorf("cannot tell where docker keeps its data: %w", err))
		case layout.DataRoot.Path != "":
			paths = append(paths, layout.DataRoot.Path)
		}
	}
	if p.Connector {
		connectors, err := h.Connectors(ctx)
		if err != nil {
			unknown = append(unknown, fmt.Errorf("cannot tell where the connector is: %w", err))
		} else if len(connectors) == 0 {
			unknown = append(unknown, host.ErrNoConnector)
		}
		for _, c := range connectors {
			paths = append(paths, c.Dir)
			paths = append(paths, c.BindMounts...)
			for _, v := range c.Volumes {
				if v.Path != "" {
					paths = append(paths, v.Path)
				}
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths), unknown
}

// imageTypes are file systems that are made full and can only be read.
var imageTypes = []string{"squashfs", "iso9660", "erofs", "cramfs", "romfs"}

// Image reports whether the file system was made full and can only be read.
func (s *FileSystem) Image() bool { return slices.Contains(imageTypes, s.Mount.Type) }

// grouped returns each file system once, whatever number of paths and bind
// mounts lead to it, by its mount point.
func grouped(all []measured) []*FileSystem {
	var systems []*FileSystem
	for _, m := range all {
		if m.err != nil {
			continue
		}
		i := slices.IndexFunc(systems, func(s *FileSystem) bool { return s.Mount.Device == m.capacity.Mount.Device })
		if i < 0 {
			systems, i = append(systems, &FileSystem{Capacity: m.capacity}), len(systems)
		}
		systems[i].Paths = append(systems[i].Paths, m.path)
	}
	slices.SortFunc(systems, func(a, b *FileSystem) int { return cmp.Compare(a.Mount.Point, b.Mount.Point) })
	return systems
}

// judgeFree judges each file system once. Something that could not be measured is an error unless
// something else fails.
func judgeFree(all []measured, unknown []error, p FreeParams) (checks.Verdict, error) {
	for _, m := range all {
		if m.err != nil {
			unknown = append(unknown, m.err)
		}
	}
	var seen, short []checks.Evidence
	var full []string
	for _, s := range grouped(all) {
		evidence, bad := s.judge(p)
		seen = append(seen, evidence...)
		if bad != nil {
			short = append(short, bad...)
			full = append(full, s.Mount.Point)
		}
	}
	switch {
	case len(short) > 0:
		return checks.Failed(fmt.Sprintf("Too little room on %s.", strings.Join(full, ", ")), short...), nil
	case len(unknown) > 0:
		return checks.Verdict{Evidence: seen}, errors.Join(unknown...)
	case len(seen) == 0:
		return checks.Verdict{}, errors.New("cannot tell how much room there is: none of the paths is known")
	}
	return checks.Passed(seen...), nil
}

// judge returns what was seen of a file system, and of that what is too little.
func (s *FileSystem) judge(p FreeParams) (seen, short []checks.Evidence) {
	place := fmt.Sprintf("%s (%s on %s)", s.Mount.Point, s.Mount.Type, s.Mount.Source)
	carries := "carries " + strings.Join(s.Paths, ", ")
	if s.Image() {
		return []checks.Evidence{{Source: place, Key: "room", Got: "an image, which is always full and cannot be written; " + carries}}, nil
	}
	// What is reserved for root counts as neither: df(1) reckons so.
	total := s.Used + s.Available
	if total == 0 {
		e := checks.Evidence{Source: place, Key: "room", Want: fmt.Sprintf("at least %v", p.MinFreeBytes), Got: "no capacity at all; " + carries}
		return []checks.Evidence{e}, []checks.Evidence{e}
	}
	share := 100 * float64(s.Available) / float64(total)
	room := checks.Evidence{
		Source: place, Key: "room",
		Want: fmt.Sprintf("at least %v and %v", p.MinFree, p.MinFreeBytes),
		Got:  fmt.Sprintf("%.1f%% free, %v of %v; %s", share, quantity.Bytes(s.Available), quantity.Bytes(total), carries),
	}
	if s.ReadOnly {
		room.Got += "; mounted read-only"
	}
	seen = append(seen, room)
	if share < float64(p.MinFree) || quantity.Bytes(s.Available) < p.MinFreeBytes {
		short = append(short, room)
	}
	inodes := checks.Evidence{Source: place, Key: "inodes", Want: fmt.Sprintf("at least %v free", p.MinFreeInodes)}
	if s.Inodes == 0 { // btrfs says 0 of 0
		inodes.Got = "no fixed number"
		return append(seen, inodes), short
	}
	share = 100 * float64(s.FreeInodes) / float64(s.Inodes)
	inodes.Got = fmt.Sprintf("%.1f%% free, %d of %d", share, s.FreeInodes, s.Inodes)
	if share < float64(p.MinFreeInodes) {
		short = append(short, inodes)
	}
	return append(seen, inodes), short
}
