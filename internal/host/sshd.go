package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hostguard/hostguard/internal/sshdconf"
)

type sshdFacts struct {
	sshd       fact[*SSHServers]
	sshdSays   fact[map[*SSHD]*SSHDWitness]
	sshSockets fact[[]SSHSocket]
}

// SSHServers are the SSH servers of the host.
type SSHServers struct {
	// SSHDs are OpenSSH's: one for every listening daemon, or the one that
	// would be started when none runs. Empty when it is not installed.
	SSHDs []*SSHD
	// Others are SSH servers of other makers, and what else listens on port
	// 22.
	Others []OtherSSHServer
}

// SSHD is one sshd with its configuration.
type SSHD struct {
	Path    string // its program
	Version sshdconf.Version
	Release string // "OpenSSH_9.2p1 Debian-2+deb12u10"; empty when unknown
	Unknown error  // why the release is not known; the newest known one is assumed then

	Args     []string // options in force, the program's name left out
	ArgsFrom string   // "process 812", "/usr/lib/systemd/system/ssh.service:14", "the defaults"
	// Unresolved are parts of the command line that could not be made out.
	Unresolved string

	PID     int    // of the listening daemon; 0 when none runs
	Unit    string // its unit, empty when none is known
	Started time.Time
	// Replaced is set when the program was replaced since the daemon started.
	Replaced bool

	Config *sshdconf.Config // nil with Err
	Err    error            // why it could not be read, or why sshd refuses it

	worlds fact[[]sshdconf.World]
}

// Worlds returns what holds under every set of Match blocks that an account
// of this host can come to satisfy, see [sshdconf.Config.Worlds]; the first
// has the fewest blocks. With other sources of accounts than the host's files
// unknown accounts count too.
func (d *SSHD) Worlds(ctx context.Context, a *Accounts) ([]sshdconf.World, error) {
	return d.worlds.get(ctx, func(context.Context) ([]sshdconf.World, error) {
		if d.Config == nil {
			return nil, d.Err
		}
		all := make([]sshdconf.Account, len(a.Users))
		for i, u := range a.Users {
			all[i] = sshdconf.Account{Name: u.Name, Groups: a.GroupsOf(u.Name)}
		}
		return d.Config.Worlds(all, len(a.Elsewhere) > 0)
	})
}

const (
	sshdProgram  = "/usr/sbin/sshd"
	privsepDir   = "/run/sshd"
	maxProgram   = 64 << 20
	maxWitnesses = 4
	sshPort      = 22
)

// SSHServers finds the SSH servers of the host and reads their configuration.
// Under --root the files say what can be known: no process is looked at.
func (h *Host) SSHServers(ctx context.Context) (*SSHServers, error) {
	return h.sshd.get(ctx, h.findSSH)
}

func (h *Host) findSSH(ctx context.Context) (*SSHServers, error) {
	go h.Accounts(ctx) // what is asked for next, and takes long where there are many
	s := &SSHServers{}
	var processes map[int]Process
	if h.Running() {
		var err error
		if processes, err = h.Processes(ctx); err != nil {
			return nil, fmt.Errorf("cannot tell which SSH servers run: %w", err)
		}
	}
	daemons, theirs, err := h.sshDaemons(ctx, processes)
	if err != nil {
		return nil, err
	}
	others, err := h.otherSSH(ctx, processes, daemons)
	if err != nil {
		return nil, err
	}
	s.Others = append(theirs, others...)
	programs := map[string]*program{}
	for _, d := range daemons {
		p := programs[d.Path]
		if p == nil {
			p = h.sshdRelease(d.Path)
			programs[d.Path] = p
		}
		d.Version, d.Release, d.Unknown = p.version, p.release, p.err
		d.Config, d.Err = h.parseSSHD(d, p)
		s.SSHDs = append(s.SSHDs, d)
	}
	return s, nil
}

func (h *Host) parseSSHD(d *SSHD, p *program) (*sshdconf.Config, error) {
	services := sync.OnceValues(func() ([]byte, error) { return h.ReadFile("/etc/services") })
	hosts := sync.OnceValues(func() ([]byte, error) { return h.ReadFile("/etc/hosts") })
	return sshdconf.Parse(sshdFS{h}, sshdconf.Options{
		Version: p.version, Release: p.release, Arguments: d.Args, NoPAM: p.noPAM, NoGSSAPI: p.noGSS,
		Home: func(user string) (string, bool) {
			if user == "" {
				user = "root"
			}
			a, err := h.Accounts(context.Background())
			if err != nil || a.User(user) == nil {
				return "", false
			}
			return a.User(user).Home, true
		},
		Service: func(name string) (int, bool) {
			data, err := services()
			if err != nil {
				return 0, false
			}
			return servicePort(data, name)
		},
		Resolve: func(host string) ([]netip.Addr, bool) {
			data, err := hosts()
			if err != nil {
				return nil, false
			}
			return hostAddresses(data, host)
		},
	})
}

// hostAddresses finds a name in hosts(5), in the order of getaddrinfo(3): IPv6
// comes first. What other names lead to is not asked.
func hostAddresses(data []byte, name string) ([]netip.Addr, bool) {
	var six, four []netip.Addr
	for line := range bytes.Lines(data) {
		text, _, _ := strings.Cut(string(line), "#")
		f := strings.Fields(text)
		if len(f) < 2 || !slices.ContainsFunc(f[1:], func(n string) bool { return strings.EqualFold(n, name) }) {
			continue
		}
		switch a, err := netip.ParseAddr(f[0]); {
		case err != nil:
		case a.Is4():
			four = append(four, a)
		default:
			six = append(six, a)
		}
	}
	return append(six, four...), len(six)+len(four) > 0
}

// servicePort finds a TCP service in services(5).
func servicePort(data []byte, name string) (int, bool) {
	for line := range bytes.Lines(data) {
		text, _, _ := strings.Cut(string(line), "#")
		f := strings.Fields(text)
		if len(f) < 2 || f[0] != name && !slices.Contains(f[2:], name) {
			continue
		}
		number, proto, _ := strings.Cut(f[1], "/")
		if n, err := strconv.Atoi(number); err == nil && proto == "tcp" {
			return n, true
		}
	}
	return 0, false
}

// sshdFS gives sshd's reader the host's files. A folder is an empty file to
// sshd, as is /dev/null, to which files are linked to mask them; a negated set of glob(3) is written with a caret here.
type sshdFS struct{ h *Host }

func (f sshdFS) ReadFile(name string) ([]byte, error) {
	data, err := f.h.ReadFile(name)
	if errors.Is(err, ErrNotRegular) {
		if info, statErr := f.h.Stat(name); statErr == nil && info.IsDir() {
			return nil, nil
		}
		if real, linkErr := f.h.Resolve(name); linkErr == nil && real == "/dev/null" {
			return nil, nil
		}
	}
	return data, err
}

func (f sshdFS) Glob(pattern string) ([]string, error) {
	return f.h.Glob(strings.ReplaceAll(pattern, "[!", "[^"))
}
