package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/hostguard/hostguard/internal/unitfile"
)

// SSHSocket is a socket unit that listens in sshd's place, see
// systemd.socket(5): Port and ListenAddress of sshd's configuration are without
// effect then.
type SSHSocket struct {
	Unit   string // "ssh.socket"
	Starts string // "ssh.service"; with Accept "ssh@.service"
	Accept bool   // one sshd for each connection
	Active bool   // it listens now; false in a file tree
	Boot   string // the link or unit file by which the next boot starts it, empty when nothing does
	// BootErr is why it cannot be told what the next boot starts, as of an image
	// that does not boot.
	BootErr error
	Listen  []SSHListen
	// Generator is the program that writes Listen anew at every boot, out of
	// sshd's configuration; empty where there is none, as on Debian.
	Generator string
}

// InForce reports whether the socket listens in sshd's place, now or after the
// next boot.
func (s SSHSocket) InForce() bool { return s.Active || s.Boot != "" }

// starts reports whether the socket is how that sshd is reached.
func (s SSHSocket) starts(d *SSHD) bool {
	unit := path.Base(d.Unit)
	if template, instance, ok := strings.Cut(unit, "@"); ok && instance != "" {
		unit = template + "@.service"
	}
	return unit == s.Starts
}

// SSHListen is an address on which sshd can be reached.
type SSHListen struct {
	Address string // "[::]:22", "10.0.0.1:22", "/run/ssh.sock"
	File    string // that says so; empty: systemd has it, and no file of now does
	Line    int
}

// sshdGenerators make the sockets of sshd.
var sshdGenerators = []string{"/usr/lib/systemd/system-generators/sshd-socket-generator", "/lib/systemd/system-generators/sshd-socket-generator"}

// SSHSockets returns the socket units that start the host's sshd, whether they
// are in force or not. On a running host the addresses are systemd's; each has
// the line of the unit's file or drop-in that says so.
func (h *Host) SSHSockets(ctx context.Context) ([]SSHSocket, error) {
	return h.sshSockets.get(ctx, h.findSSHSockets)
}

func (h *Host) findSSHSockets(ctx context.Context) ([]SSHSocket, error) {
	var found []SSHSocket
	names := []string{"ssh.socket", "sshd.socket"}
	runs := h.Running() && h.systemdAnswers(ctx) == nil
	if runs { // sockets of any other name that start it
		units, err := h.loadedUnits(ctx, sshdUnits...)
		if err != nil {
			return nil, err
		}
		for _, name := range sshdUnits {
			for _, by := range units[name].TriggeredBy {
				if strings.HasSuffix(by, ".socket") && !slices.Contains(names, by) {
					names = append(names, by)
				}
			}
		}
	}
	for _, name := range names {
		s, err := h.sshSocket(ctx, name, runs)
		if err != nil {
			return nil, fmt.Errorf("cannot tell where %s listens: %w", name, err)
		}
		if s != nil {
			found = append(found, *s)
		}
	}
	return found, nil
}

// sshSocket is nil when there is no such unit.
func (h *Host) sshSocket(ctx context.Context, name string, runs bool) (*SSHSocket, error) {
	file, err := h.unitFile(name)
	if err != nil || file == "" {
		return nil, err
	}
	s := &SSHSocket{Unit: name, Starts: strings.TrimSuffix(name, ".socket") + ".service"}
	service := ""
	err = h.eachEntry(file, name, func(e unitfile.Entry, from string) {
		if e.Section != "Socket" {
			return
		}
		switch {
		case strings.HasPrefix(e.Key, "Listen") && e.Value == "":
			s.Listen = nil // any of them forgets all of them
		case e.Key == "ListenStream":
			s.Listen = append(s.Listen, SSHListen{streamAddress(e.Value), from, e.Line})
		case e.Key == "Accept":
			s.Accept = isTrue(e.Value)
		case e.Key == "Service":
			service = e.Value
		}
	})
	if err != nil {
		return nil, err
	}
	if s.Accept {
		s.Starts = strings.TrimSuffix(name, ".socket") + "@.service"
	}
	s.Starts = cmp.Or(service, s.Starts)
	for _, g := range sshdGenerators {
		if there, err := h.Exists(g); err != nil {
			return nil, err
		} else if there {
			s.Generator = g
			break
		}
	}
	if runs {
		return s, h.runningSSHSocket(ctx, s)
	}
	files, err := h.UnitFiles(ctx)
	if err != nil {
		s.BootErr = err
		return s, nil
	}
	s.Boot = files.AtBoot()[name]
	return s, nil
}

// runningSSHSocket asks systemd: what it has loaded counts, not what the files
// say by now.
func (h *Host) runningSSHSocket(ctx context.Context, s *SSHSocket) error {
	units, err := h.loadedUnits(ctx, s.Unit)
	if err != nil {
		return err
	}
	u := units[s.Unit]
	s.Active = u.Active()
	if files, err := h.UnitFiles(ctx); err != nil {
		s.BootErr = err
	} else {
		s.Boot = files.AtBoot()[u.ID]
	}
	if u.Socket == nil {
		return nil
	}
	written := s.Listen
	s.Accept, s.Listen = u.Socket.Accept, nil
	for _, l := range u.Socket.Listen {
		if l.Type != "Stream" {
			continue
		}
		one := SSHListen{Address: l.Address}
		if i := slices.IndexFunc(written, func(w SSHListen) bool { return sameStream(w.Address, l.Address) }); i >= 0 {
			one.File, one.Line = written[i].File, written[i].Line
		}
		s.Listen = append(s.Listen, one)
	}
	return nil
}

// streamAddress writes the value of a ListenStream= as systemd does: a mere
// port stands for all addresses.
func streamAddress(value string) string {
	if n, err := strconv.ParseUint(value, 10, 16); err == nil {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(n)).String()
	}
	if a, err := netip.ParseAddrPort(value); err == nil {
		return a.String()
	}
	return value
}

// sameStream reports whether an address that a file says is one that systemd
// has. Without IPv6 it takes IPv4 for a mere port.
func sameStream(written, has string) bool {
	if written == has {
		return true
	}
	w, err1 := netip.ParseAddrPort(written)
	l, err2 := netip.ParseAddrPort(has)
	return err1 == nil && err2 == nil && w.Port() == l.Port() && w.Addr().IsUnspecified() && l.Addr().IsUnspecified()
}

// isTrue is a boolean of systemd.syntax(7).
func isTrue(value string) bool {
	return slices.Contains([]string{"1", "yes", "y", "true", "t", "on"}, strings.ToLower(value))
}

// SSHListens returns the socket units that are in force: where there is one,
// sshd is reached where it says, and not where Port and ListenAddress do. The
// error says which could not be judged; the others are returned all the same.
func (h *Host) SSHListens(ctx context.Context) ([]SSHSocket, error) {
	all, err := h.SSHSockets(ctx)
	if err != nil {
		return nil, err
	}
	var inForce []SSHSocket
	var errs []error
	for _, s := range all {
		if s.InForce() {
			inForce = append(inForce, s)
		} else if s.BootErr != nil && !errors.Is(s.BootErr, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("cannot tell whether %s listens in sshd's place: %w", s.Unit, s.BootErr))
		}
	}
	return inForce, errors.Join(errs...)
}

// Main reports whether it is the daemon of the distribution's own unit.
func (d *SSHD) Main() bool { return slices.Contains(sshdUnits, path.Base(d.Unit)) }
