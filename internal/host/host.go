// Package host is the read-only facade over one machine. Checks see the host
// through it and through nothing else; it has no way to write.
//
// Facts (the parsed sshd configuration, unit states, the socket table …) are
// gathered on first use, once per run, and shared by everyone who asks.
// All paths are absolute paths as the host itself sees them; with a root
// other than "/" they are resolved inside that tree, absolute links included.
package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
)

// Options say which host to look at, and what its operator says about it.
type Options struct {
	Root          string   // "" or "/" for the running host, else a mounted image or container tree
	ConnectorDirs []string // compose project folders named by the operator; empty: discover
}

// Host is one machine, or the tree of one. Make it with New; it is safe for
// concurrent use.
type Host struct {
	opts    Options
	derived sync.Map // *Derived → *fact
	facts
}

// New returns the facade; nothing is read yet.
func New(opts Options) *Host {
	if opts.Root == "" {
		opts.Root = "/"
	}
	return &Host{opts: opts}
}

// Anew is the same host with nothing remembered.
func (h *Host) Anew() *Host { return New(h.opts) }

// Running reports whether this is the running host and not a mounted tree.
func (h *Host) Running() bool { return h.opts.Root == "/" }

// Root is the folder all paths are resolved in: "/" for the running host.
func (h *Host) Root() string { return h.opts.Root }

// Caps is a set of things that a look needs.
type Caps uint

const (
	Running      Caps = 1 << iota // a running system: kernel, processes, sockets
	Root                          // effective uid 0
	Systemd                       // the service manager answers over D-Bus
	AuditNetlink                  // the kernel's audit subsystem answers
	Docker                        // the docker daemon answers
)

var capNames = []struct {
	cap  Caps
	name string
}{
	{Running, "a running system"},
	{Root, "root"},
	{Systemd, "systemd"},
	{AuditNetlink, "the kernel's audit interface"},
	{Docker, "the docker daemon"},
}

func (c Caps) String() string {
	var names []string
	for _, n := range capNames {
		if c&n.cap != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ", ")
}

// ErrNotRunning marks what cannot be asked of a mounted tree.
var ErrNotRunning = errors.New("needs a running system; this is a file tree (--root)")

// ErrNotRoot marks what only root can see.
var ErrNotRoot = errors.New("needs root: run as root (sudo)")

// Lacks returns nil when the host offers all of caps, else why not. It is
// ErrNotRunning for a mounted tree.
func (h *Host) Lacks(ctx context.Context, caps Caps) error {
	const live = Running | Systemd | AuditNetlink | Docker
	if caps&live != 0 && !h.Running() {
		return ErrNotRunning
	}
	if caps&Root != 0 && h.Running() && os.Geteuid() != 0 {
		return ErrNotRoot
	}
	for _, need := range []struct {
		cap Caps
		ask func(context.Context) error
	}{
		{Systemd, h.systemdAnswers},
		{AuditNetlink, h.auditAnswers},
		{Docker, h.dockerAnswers},
	} {
		if caps&need.cap == 0 {
			continue
		}
		if err := need.ask(ctx); err != nil {
			return fmt.Errorf("cannot ask %v: %w", need.cap, err)
		}
	}
	return nil
}
