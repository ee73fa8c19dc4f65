package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

type mountFacts struct {
	mounts fact[[]Mount]
}

// Mount is one line of /proc/self/mountinfo, see proc_pid_mountinfo(5).
type Mount struct {
	ID      int
	Device  string // major:minor of the file system
	Root    string // the folder of the file system that is mounted: another than "/" for a bind mount
	Point   string // where it is mounted
	Type    string // "ext4", "overlay" …
	Source  string // device, share … as it was given
	Options string // of the mount and of the file system, comma-separated
}

// Mounts returns the mounts that this process sees, in the order of mounting.
func (h *Host) Mounts(ctx context.Context) ([]Mount, error) {
	return h.mounts.get(ctx, func(context.Context) ([]Mount, error) {
		if !h.Running() {
			return nil, ErrNotRunning
		}
		data, err := h.ReadFile("/proc/self/mountinfo")
		if err != nil {
			return nil, fmt.Errorf("cannot list mounts: %w", err)
		}
		return parseMountinfo(data)
	})
}

func parseMountinfo(data []byte) ([]Mount, error) {
	var mounts []Mount
	for line := range bytes.Lines(data) {
		// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
		head, tail, found := strings.Cut(strings.TrimSuffix(string(line), "\n"), " - ")
		first, last := strings.Split(head, " "), strings.Split(tail, " ")
		if !found || len(first) < 6 || len(last) < 3 {
			return nil, fmt.Errorf("cannot list mounts: the kernel's line %q is not understood", line)
		}
		id, err := strconv.Atoi(first[0])
		if err != nil {
			return nil, fmt.Errorf("cannot list mounts: %w", err)
		}
		mounts = append(mounts, Mount{
			ID: id, Device: first[2], Root: unescapeOctal(first[3]), Point: unescapeOctal(first[4]),
			Type: unescapeOctal(last[0]), Source: unescapeOctal(last[1]), Options: first[5] + "," + last[2],
		})
	}
	return mounts, nil
}

// unescapeOctal undoes the kernel's \040 for space, tab, newline, backslash and #.
func unescapeOctal(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Capacity is the file system that carries a path, and how full it is.
type Capacity struct {
	Mount    Mount
	Path     string // the path asked for or, when it does not exist, the nearest folder above that does; links resolved
	ReadOnly bool

	Size, Used uint64 // bytes
	Available  uint64 // bytes that ordinary users and containers may still use

	Inodes, FreeInodes uint64 // 0 and 0 where the file system has no fixed number
}

// Capacity measures the file system that carries a path of the running host.
// A file system that does not answer (a stale network mount) is an error as
// soon as ctx ends; the system call that hangs is left behind.
func (h *Host) Capacity(ctx context.Context, name string) (Capacity, error) {
	mounts, err := h.Mounts(ctx)
	if err != nil {
		return Capacity{}, err
	}
	type result struct {
		capacity Capacity
		err      error
	}
	done := make(chan result, 1) // a measurement that comes too late must not block
	go func() {
		c, err := h.measure(mounts, name)
		done <- result{c, err}
	}()
	select {
	case r := <-done:
		return r.capacity, r.err
	case <-ctx.Done():
		return Capacity{}, fmt.Errorf("cannot measure the file system of %s: it does not answer: %w", name, context.Cause(ctx))
	}
}

func (h *Host) measure(mounts []Mount, name string) (Capacity, error) {
	real, err := h.resolveNearest(name)
	if err != nil {
		return Capacity{}, err
	}
	fd, err := unix.Open(real, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return Capacity{}, pathError("open", real, err)
	}
	defer unix.Close(fd)
	var stat unix.Statfs_t
	if err := unix.Fstatfs(fd, &stat); err != nil {
		return Capacity{}, pathError("statfs", real, err)
	}
	mount, err := mountOf(mounts, fd, real)
	if err != nil {
		return Capacity{}, err
	}
	// Counts are in units of f_frsize: f_bsize is the size to read with, and
	// differs on FUSE and network file systems.
	unit := uint64(stat.Frsize)
	if stat.Frsize <= 0 {
		unit = uint64(stat.Bsize)
	}
	return Capacity{
		Mount: mount, Path: real, ReadOnly: stat.Flags&unix.ST_RDONLY != 0,
		Size: stat.Blocks * unit, Used: (stat.Blocks - min(stat.Bfree, stat.Blocks)) * unit, Available: stat.Bavail * unit,
		Inodes: stat.Files, FreeInodes: min(stat.Ffree, stat.Files),
	}, nil
}

// resolveNearest resolves a path or, when it does not exist, the nearest
// folder above it that does: what is made there will lie on its file system.
func (h *Host) resolveNearest(name string) (string, error) {
	for at := path.Clean(name); ; at = path.Dir(at) {
		real, err := h.Resolve(at)
		if err == nil || at == "/" {
			return real, err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		// A link that leads nowhere: its target would be made on another file system.
		if _, err := h.Lstat(at); err == nil {
			return "", pathError("resolve", at, errors.New("a link that leads nowhere"))
		}
	}
}

// mountOf finds the mount that an open file is on: by the kernel's word
// (statx, Linux 5.8), else by the longest mount point above it.
func mountOf(mounts []Mount, fd int, real string) (Mount, error) {
	var stat unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &stat)
	if err == nil && stat.Mask&unix.STATX_MNT_ID != 0 {
		if i := slices.IndexFunc(mounts, func(m Mount) bool { return uint64(m.ID) == stat.Mnt_id }); i >= 0 {
			return mounts[i], nil
		}
		return Mount{}, fmt.Errorf("cannot tell what is mounted at %s: it was mounted while we looked", real)
	}
	var best Mount
	for _, m := range mounts {
		above := m.Point == "/" || real == m.Point || strings.HasPrefix(real, m.Point+"/")
		if above && len(m.Point) >= len(best.Point) { // of several on one point the last one is seen
			best = m
		}
	}
	if best.Point == "" {
		return Mount{}, fmt.Errorf("cannot tell what is mounted at %s", real)
	}
	return best, nil
}
