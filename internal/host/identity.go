package host

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

type identityFacts struct{ identity fact[Identity] }

// Identity says which host was looked at. What cannot be read is empty: a
// report with half a heading is better than none.
type Identity struct {
	Hostname string
	// Machine tells hosts apart without giving /etc/machine-id away, which
	// machine-id(5) asks to keep confidential.
	Machine   string
	OS        OSRelease
	Kernel    string // release, of a running host only
	Arch      string // as uname(2) says it, of a running host only
	Container string // what manages the container we are in, "" on a host of its own and for a tree
}

// OSRelease is what os-release(5) says of the distribution.
type OSRelease struct {
	ID      string // "debian"
	Version string // VERSION_ID, "12"; empty for rolling releases and Debian's testing
	Name    string // PRETTY_NAME
}

// Identity describes the host. It errs only when it is not given the time to.
func (h *Host) Identity(ctx context.Context) (Identity, error) {
	return h.identity.get(ctx, func(context.Context) (Identity, error) {
		id := Identity{Machine: h.machine(), OS: h.osRelease()}
		if !h.Running() {
			id.Hostname = h.firstLine("/etc/hostname")
			return id, nil
		}
		var u unix.Utsname
		if err := unix.Uname(&u); err == nil {
			id.Hostname = unix.ByteSliceToString(u.Nodename[:])
			id.Kernel = unix.ByteSliceToString(u.Release[:])
			id.Arch = unix.ByteSliceToString(u.Machine[:])
		}
		id.Container = h.container()
		return id, nil
	})
}

// application is mixed into the machine id, so that ours tells nothing about
// the ids that other programs derive from it.
var application = [16]byte{0x5e, 0x0b, 0x2c, 0x57, 0x9a, 0x1f, 0x4d, 0x0e, 0x8b, 0x63, 0x1d, 0x94, 0x27, 0xc8, 0xe6, 0xf1}

// machine is the application-specific machine id, as
// sd_id128_get_machine_app_specific(3) computes it.
func (h *Host) machine() string {
	key, err := hex.DecodeString(h.firstLine("/etc/machine-id"))
	if err != nil || len(key) != 16 {
		return "" // absent, or "uninitialized" in an image that never booted
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(application[:])
	id := mac.Sum(nil)[:16]
	id[6] = id[6]&0x0f | 0x40 // the form of a random UUID
	id[8] = id[8]&0x3f | 0x80
	return hex.EncodeToString(id)
}

func (h *Host) osRelease() OSRelease {
	data, err := h.ReadFile("/etc/os-release")
	if errors.Is(err, fs.ErrNotExist) {
		data, err = h.ReadFile("/usr/lib/os-release")
	}
	if err != nil {
		return OSRelease{}
	}
	return parseOSRelease(string(data))
}

// parseOSRelease reads lines of KEY=value, the value quoted as in a shell.
// Lines that are none of this are passed over, as os-release(5) has it.
func parseOSRelease(text string) OSRelease {
	var r OSRelease
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "ID":
			r.ID = unquoteShell(value)
		case "VERSION_ID":
			r.Version = unquoteShell(value)
		case "PRETTY_NAME":
			r.Name = unquoteShell(value)
		}
	}
	return r
}

// unquoteShell takes the quotes off a single shell word.
func unquoteShell(s string) string {
	if len(s) < 2 || s[0] != s[len(s)-1] {
		return s
	}
	switch inner := s[1 : len(s)-1]; s[0] {
	case '\'':
		return inner
	case '"':
		return strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\$`, `$`, "\\`", "`").Replace(inner)
	}
	return s
}

// The inode numbers of the first namespaces are fixed (include/uapi/linux/nsfs.h;
// that of the first mount namespace since Linux 6.18).
const (
	firstUserNS  = "user:[4026531837]"
	firstPIDNS   = "pid:[4026531836]"
	firstMountNS = "mnt:[4026531832]"
)

// container names the manager of the container we run in: its marks are those
// that systemd-detect-virt(1) goes by. A mark without a container, such as the
// /.dockerenv of a virtual machine made from a container image, does not count;
// a PID namespace without a mark does.
func (h *Host) container() string {
	mark := h.containerMark()
	if namespace("self", "user") != firstUserNS || namespace("self", "pid") != firstPIDNS {
		if mark == "" {
			return "unknown"
		}
		return mark
	}
	// A container can be given the host's PID namespace, but has its own mounts.
	mounts := namespace("self", "mnt")
	if mounts == firstMountNS || mounts != "" && mounts == namespace("1", "mnt") {
		return ""
	}
	return mark
}

// namespace names one of a process's namespaces, "" when that cannot be seen.
func namespace(pid, kind string) string {
	name, _ := os.Readlink("/proc/" + pid + "/ns/" + kind)
	return name
}

func (h *Host) containerMark() string {
	if manager := h.firstLine("/run/systemd/container"); manager != "" {
		return manager
	}
	if env, err := h.ReadFile("/proc/1/environ"); err == nil {
		for variable := range strings.SplitSeq(string(env), "\x00") {
			if manager, found := strings.CutPrefix(variable, "container="); found && manager != "" {
				return manager
			}
		}
	}
	for _, m := range []struct{ file, manager string }{
		{"/run/.containerenv", "podman"},
		{"/.dockerenv", "docker"},
	} {
		if there, err := h.Exists(m.file); err == nil && there {
			return m.manager
		}
	}
	return ""
}

// firstLine is the first line of a small file, "" when it cannot be read.
func (h *Host) firstLine(name string) string {
	data, err := h.ReadFile(name)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSpace(line)
}
