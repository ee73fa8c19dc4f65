package host

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/auditrule"
)

// auditPaths answers auditrule's questions about the host's files.
type auditPaths struct {
	h      *Host
	mounts []auditrule.Mount
	made   func() (map[string]auditrule.FileKind, error) // what tmpfiles.d makes at boot
	seen   auditrule.Paths                               // these answers, each asked for once
	env    auditEnv
}

func (h *Host) auditPathFacts(ctx context.Context) (*auditPaths, error) {
	return h.auditPaths.get(ctx, func(ctx context.Context) (*auditPaths, error) {
		p := &auditPaths{h: h, made: sync.OnceValues(h.madeAtBoot)}
		p.seen = auditrule.Remember(p)
		p.env = h.newAuditEnv(p.seen)
		if !h.Running() {
			// Of an image only what its boot will mount matters, and that
			// comes before the rules.
			p.mounts = []auditrule.Mount{{Point: "/", Early: true}}
			return p, nil
		}
		mounts, err := h.Mounts(ctx)
		if err != nil {
			return nil, err
		}
		early := h.mountedEarly(ctx, mounts)
		for _, m := range mounts {
			if !ofContainer(m) {
				p.mounts = append(p.mounts, auditrule.Mount{Point: m.Point, Type: m.Type, Early: early[m.Point], Apart: ofVolume(m.Point)})
			}
		}
		return p, nil
	})
}

// Lstat implements auditrule.Paths.
func (p *auditPaths) Lstat(name string) (auditrule.FileKind, error) {
	stat := p.h.Lstat
	if p.h.Running() {
		stat = os.Lstat // the parents hold no links, so there is nothing to guard against
	}
	info, err := stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		if p.h.Running() {
			return auditrule.Absent, nil
		}
		// Nothing has made it yet in an image, whose boot is what is judged.
		if made, err := p.made(); err != nil || made[name] == auditrule.Dir {
			return auditrule.Dir, err
		}
		return auditrule.Absent, nil
	case err != nil:
		return auditrule.Absent, err
	case info.IsDir():
		return auditrule.Dir, nil
	case info.Mode()&fs.ModeSymlink != 0:
		return auditrule.Link, nil
	case info.Mode()&fs.ModeSocket != 0:
		return auditrule.Socket, nil
	}
	return auditrule.File, nil
}

// Readlink implements auditrule.Paths.
func (p *auditPaths) Readlink(name string) (string, error) { return p.h.Readlink(name) }

// Mounts implements auditrule.Paths.
func (p *auditPaths) Mounts() ([]auditrule.Mount, error) { return p.mounts, nil }

// Vanishes implements auditrule.Paths: what lies on a file system in memory is
// gone at boot, unless tmpfiles.d(5) makes it, which comes before auditd.
func (p *auditPaths) Vanishes(real string) (bool, error) {
	inMemory, root := false, ""
	if p.h.Running() {
		for _, m := range p.mounts {
			if (real == m.Point || m.Point == "/" || strings.HasPrefix(real, m.Point+"/")) && len(m.Point) >= len(root) {
				root = m.Point
				inMemory = m.Type == "tmpfs" || m.Type == "ramfs" || m.Type == "devtmpfs"
			}
		}
	} else {
		for _, dir := range []string{"/run", "/dev", "/proc", "/sys"} {
			if real == dir || strings.HasPrefix(real, dir+"/") {
				root, inMemory = dir, true
			}
		}
	}
	if !inMemory || real == root || root == "/" {
		return false, nil
	}
	made, err := p.made()
	return made[real] == auditrule.Absent, err
}

// ofContainer reports whether a mount is a container's own: its root, its
// shared memory, its network namespace. They come and go with containers and
// hold no host files.
func ofContainer(m Mount) bool {
	switch m.Type {
	case "overlay", "nsfs", "tmpfs", "aufs", "fuse-overlayfs":
	default:
		return false
	}
	for _, part := range []string{"/overlay2/", "/containers/", "/rootfs", "/docker/netns/", "/io.containerd.", "/aufs/mnt/", "/rootfs/overlayfs/"} {
		if strings.Contains(m.Point, part) && strings.Contains(m.Point, "/docker") ||
			strings.Contains(m.Point, part) && strings.Contains(m.Point, "/containerd/") {
			return true
		}
	}
	return false
}

// ofVolume reports whether docker's local driver mounted a volume there that
// lies elsewhere: <data root>/volumes/<name>/_data. It does so while a container
// uses it.
func ofVolume(point string) bool {
	return path.Base(point) == "_data" && path.Base(path.Dir(path.Dir(point))) == "volumes"
}

// mountedEarly finds the mounts that were there before auditd had loaded its
// rules at this boot: those that systemd saw active before auditd.service was.
// What is not found out is left out.
func (h *Host) mountedEarly(ctx context.Context, mounts []Mount) map[string]bool {
	// These the service manager mounts before it starts anything, see
	// https://systemd.io/API_FILE_SYSTEMS/.
	early := map[string]bool{"/": true, "/run": true, "/dev": true, "/proc": true, "/sys": true}
	if h.systemdAnswers(ctx) != nil {
		return early
	}
	units := map[string]string{} // mount point by unit
	for _, m := range mounts {
		if holdsFiles(m) {
			units[mountUnit(m.Point)] = m.Point
		}
	}
	if len(units) == 0 {
		return early
	}
	names := []string{"auditd.service"}
	for unit := range units {
		names = append(names, unit)
	}
	states, err := h.loadedUnits(ctx, names...)
	if err != nil {
		return early
	}
	loaded := states["auditd.service"]
	if !loaded.Active() || loaded.ActiveEnterMonotonic == 0 {
		return early
	}
	for unit, point := range units {
		if u := states[unit]; u.Active() && u.ActiveEnterMonotonic > 0 &&
			u.ActiveEnterMonotonic+time.Millisecond < loaded.ActiveEnterMonotonic {
			early[point] = true
		}
	}
	return early
}

// holdsFiles leaves out the kernel's own file systems and containers' mounts.
func holdsFiles(m Mount) bool {
	if m.Point == "/" || ofContainer(m) {
		return false
	}
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run"} {
		if m.Point == dir || strings.HasPrefix(m.Point, dir+"/") {
			return false
		}
	}
	return true
}

// mountUnit is the name of a mount point's unit, see systemd.unit(5) on
// escaping.
func mountUnit(point string) string {
	var b strings.Builder
	for i, c := range []byte(strings.Trim(point, "/")) {
		switch {
		case c == '/':
			b.WriteByte('-')
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == ':', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			const hex = "0123456789abcdef"
			b.WriteString(`\x` + string(hex[c>>4]) + string(hex[c&15]))
		}
	}
	return b.String() + ".mount"
}

// tmpfilesDirs are the folders of tmpfiles.d(5), the first wins.
var tmpfilesDirs = []string{"/etc/tmpfiles.d", "/run/tmpfiles.d", "/usr/local/lib/tmpfiles.d", "/usr/lib/tmpfiles.d"}

// kindMade is what a line of tmpfiles.d(5) makes: a folder or something else.
func kindMade(letter byte) auditrule.FileKind {
	if strings.IndexByte("dDvqQ", letter) >= 0 {
		return auditrule.Dir
	}
	return auditrule.File
}

// madeAtBoot returns the paths that systemd-tmpfiles makes at boot, their
// parents included, and which are folders.
func (h *Host) madeAtBoot() (map[string]auditrule.FileKind, error) {
	made := map[string]auditrule.FileKind{}
	seen := map[string]bool{}
	for _, dir := range tmpfilesDirs {
		files, err := h.Glob(dir + "/*.conf")
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if seen[path.Base(file)] {
				continue
			}
			seen[path.Base(file)] = true
			data, err := h.ReadFile(file)
			if errors.Is(err, ErrNotRegular) || errors.Is(err, fs.ErrNotExist) {
				continue // a mask, or a link that leads nowhere
			}
			if err != nil {
				return nil, err
			}
			for line := range strings.Lines(string(data)) {
				fields := strings.Fields(line)
				if len(fields) < 2 || !strings.ContainsRune("dDvqQfFpLcbC", rune(fields[0][0])) {
					continue
				}
				name := strings.Replace(strings.Trim(fields[1], `"'`), "%t", "/run", 1)
				if rest, ok := strings.CutPrefix(name, "/var/run/"); ok {
					name = "/run/" + rest
				}
				name = path.Clean(name)
				if kind := kindMade(fields[0][0]); made[name] == auditrule.Absent {
					made[name] = kind
				}
				for at := path.Dir(name); at != "/" && at != "."; at = path.Dir(at) {
					made[at] = auditrule.Dir
				}
			}
		}
	}
	return made, nil
}
