package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/timeconf"
)

// The time daemons that are known, by the names of their packages.
const (
	Chrony    = "chrony"
	Timesyncd = "systemd-timesyncd"
	NTPsec    = "ntpsec"
	NTPd      = "ntpd"
	OpenNTPD  = "openntpd"
)

// timeUnits are the units that run a time daemon. ntp.service and
// ntpd.service are aliases of ntpsec.service where NTPsec is installed.
var timeUnits = []struct{ unit, kind string }{
	{"chrony.service", Chrony},
	{"chronyd.service", Chrony},
	{"chronyd-restricted.service", Chrony},
	{"systemd-timesyncd.service", Timesyncd},
	{"ntpsec.service", NTPsec},
	{"ntp.service", NTPd},
	{"ntpd.service", NTPd},
	{"openntpd.service", OpenNTPD},
}

// TimeDaemon is one unit that runs a time daemon and is installed.
type TimeDaemon struct {
	Kind    string // Chrony, Timesyncd, NTPsec, NTPd or OpenNTPD
	Unit    string // the unit's primary name
	Path    string // its file
	Boot    string // the link or unit file by which the next boot starts it; empty: nothing does
	Active  bool   // it runs now; false in a file tree
	State   string // for people: "active (running), enabled"
	MainPID int    // 0 when it does not run
}

// timeDaemons are the units that run a time daemon.
type timeDaemons struct {
	installed []TimeDaemon
	masked    []TimeDaemon
}

// TimeDaemons returns the installed time daemons, masked ones left out: from
// the service manager of the running host, from unit files in a file tree.
func (h *Host) TimeDaemons(ctx context.Context) ([]TimeDaemon, error) {
	d, err := h.allTimeDaemons(ctx)
	return d.installed, err
}

// MaskedTimeDaemons returns those that nothing can start, with the mask as
// their Path.
func (h *Host) MaskedTimeDaemons(ctx context.Context) ([]TimeDaemon, error) {
	d, err := h.allTimeDaemons(ctx)
	return d.masked, err
}

func (h *Host) allTimeDaemons(ctx context.Context) (timeDaemons, error) {
	return h.timeDaemons.get(ctx, func(ctx context.Context) (timeDaemons, error) {
		if h.Running() {
			return h.liveTimeDaemons(ctx)
		}
		return h.fileTimeDaemons(ctx)
	})
}

// add keeps a daemon once, whatever names its unit has.
func (t *timeDaemons) add(d TimeDaemon, installed, masked bool) {
	list := &t.installed
	if !installed {
		list = &t.masked
	}
	known := slices.ContainsFunc(*list, func(k TimeDaemon) bool { return k.Unit == d.Unit })
	if (installed || masked) && !known {
		*list = append(*list, d)
	}
}

func (h *Host) liveTimeDaemons(ctx context.Context) (timeDaemons, error) {
	var daemons timeDaemons
	names := make([]string, len(timeUnits))
	for i, u := range timeUnits {
		names[i] = u.unit
	}
	units, err := h.UnitsAndBoot(ctx, names...)
	if err != nil {
		return daemons, fmt.Errorf("cannot tell which time daemon runs: %w", err)
	}
	for _, u := range timeUnits {
		unit, known := units[u.unit]
		if !known {
			return timeDaemons{}, fmt.Errorf("cannot tell which time daemon runs: the service manager did not answer for %s", u.unit)
		}
		d := TimeDaemon{Kind: u.kind, Unit: unit.ID, Path: unit.FragmentPath, Boot: unit.Boot, Active: unit.Active(),
			State: fmt.Sprintf("%s (%s), %s", unit.ActiveState, unit.SubState, unit.BootState())}
		if unit.Service != nil {
			d.MainPID = unit.Service.MainPID
		}
		daemons.add(d, unit.Installed() || unit.Active(), unit.LoadState == "masked")
	}
	return daemons, nil
}

func (h *Host) fileTimeDaemons(ctx context.Context) (timeDaemons, error) {
	var daemons timeDaemons
	files, err := h.UnitFiles(ctx)
	if err != nil {
		return daemons, fmt.Errorf("cannot tell which time daemon is installed: %w", err)
	}
	for _, u := range timeUnits {
		unit, err := files.Unit(u.unit)
		if err != nil {
			return timeDaemons{}, fmt.Errorf("cannot tell which time daemon is installed: %w", err)
		}
		masked := strings.HasPrefix(unit.State, "masked")
		boot := files.AtBoot()[unit.ID]
		d := TimeDaemon{Kind: u.kind, Unit: unit.ID, Path: unit.Path, Boot: boot, State: bootState(unit.State, boot)}
		daemons.add(d, unit.State != "not-found" && unit.State != "bad" && !masked, masked)
	}
	return daemons, nil
}

// TimeSources is what one time daemon is configured to use.
type TimeSources struct {
	Daemon   TimeDaemon
	Config   string             // the file that was read first; empty: there is none
	Sources  []timeconf.Source  // File may name the running daemon in place of a file
	Problems []timeconf.Problem // what the daemon would refuse
	Unseen   string             // why the sources cannot be told; empty: they can
}

// TimeSources returns the configured sources of the daemons that count: those
// that are active; when none is, those that are enabled; when none is, those
// that are installed.
func (h *Host) TimeSources(ctx context.Context) ([]TimeSources, error) {
	return h.timeSources.get(ctx, func(ctx context.Context) ([]TimeSources, error) {
		daemons, err := h.TimeDaemons(ctx)
		if err != nil {
			return nil, err
		}
		for _, counts := range []func(TimeDaemon) bool{
			func(d TimeDaemon) bool { return d.Active },
			func(d TimeDaemon) bool { return d.Boot != "" },
		} {
			if slices.ContainsFunc(daemons, counts) {
				daemons = slices.DeleteFunc(slices.Clone(daemons), func(d TimeDaemon) bool { return !counts(d) })
				break
			}
		}
		var all []TimeSources
		for _, d := range daemons {
			s, err := h.sourcesOf(ctx, d)
			if err != nil {
				return nil, fmt.Errorf("cannot tell the time sources of %s: %w", d.Kind, err)
			}
			all = append(all, s)
		}
		return all, nil
	})
}

func (h *Host) sourcesOf(ctx context.Context, d TimeDaemon) (TimeSources, error) {
	if d.Kind == Timesyncd {
		return h.timesyncdSources(ctx, d)
	}
	args, err := arguments(d.MainPID)
	if err != nil {
		return TimeSources{}, err
	}
	s := TimeSources{Daemon: d}
	var config *timeconf.Config
	switch d.Kind {
	case Chrony:
		file, directives := chronydArguments(args)
		if len(directives) > 0 {
			config, err = timeconf.ChronyDirectives(h, directives)
			break
		}
		if s.Config, err = h.firstFile(file, "/etc/chrony/chrony.conf", "/etc/chrony.conf"); err == nil && s.Config != "" {
			config, err = timeconf.Chrony(h, s.Config)
		}
	case OpenNTPD:
		if s.Config, err = h.firstFile(optionValue(args, "-f", ""), "/etc/openntpd/ntpd.conf", "/etc/ntpd.conf"); err == nil && s.Config != "" {
			config, err = timeconf.OpenNTPD(h, s.Config)
		}
	default:
		candidates := []string{"/etc/ntp.conf", "/etc/ntpsec/ntp.conf"}
		if d.Kind == NTPsec {
			slices.Reverse(candidates)
		}
		if s.Config, err = h.firstFile(optionValue(args, "-c", "--configfile"), candidates...); err == nil && s.Config != "" {
			config, err = timeconf.NTPD(h, s.Config, d.Kind == NTPsec)
		}
	}
	if config != nil {
		s.Sources, s.Problems = config.Sources, config.Problems
	}
	return s, err
}

// timesyncdSources believes the running daemon about its servers, and its
// files about where they are written.
func (h *Host) timesyncdSources(ctx context.Context, d TimeDaemon) (TimeSources, error) {
	s := TimeSources{Daemon: d}
	files, err := timeconf.Timesyncd(h)
	if err != nil {
		return s, err
	}
	if len(files.Files) > 0 {
		s.Config = files.Files[0]
	}
	if !d.Active {
		switch {
		case len(files.NTP) > 0:
			s.Sources = files.NTP
		case files.FallbackSet:
			s.Sources = files.Fallback
		default:
			s.Unseen = "neither NTP= nor FallbackNTP= is set, and which servers were compiled into systemd-timesyncd only the running one can say"
		}
		return s, nil
	}
	live, err := h.Timesync(ctx)
	if err != nil {
		return s, err
	}
	written := slices.Concat(files.NTP, files.Fallback)
	add := func(names []string, property string) {
		for _, name := range names {
			source := timeconf.Source{Kind: timeconf.Server, Name: name, File: "systemd-timesyncd, " + property}
			if i := slices.IndexFunc(written, func(w timeconf.Source) bool { return w.Name == name }); i >= 0 {
				source = written[i]
			}
			s.Sources = append(s.Sources, source)
		}
	}
	add(live.System, "SystemNTPServers")
	add(live.Runtime, "RuntimeNTPServers")
	add(live.Link, "LinkNTPServers")
	if len(s.Sources) == 0 {
		add(live.Fallback, "FallbackNTPServers")
	}
	return s, nil
}

// arguments returns the command line of a running process without the
// program's name, nil for pid 0.
func arguments(pid int) ([]string, error) {
	if pid == 0 {
		return nil, nil
	}
	argv, err := Process{PID: pid}.Argv()
	if err == nil && len(argv) == 0 {
		err = fmt.Errorf("process %d has just ended", pid)
	}
	if err != nil {
		return nil, err
	}
	return argv[1:], nil
}

// firstFile returns the file that was given on a command line, else the first
// of the defaults that exists, else nothing.
func (h *Host) firstFile(given string, defaults ...string) (string, error) {
	if given != "" {
		return given, nil
	}
	for _, name := range defaults {
		_, err := h.Stat(name)
		if err == nil {
			return name, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", nil
}

// chronydArguments finds the configuration file, or the directives that stand
// in its place, on chronyd's command line, see chronyd(8).
func chronydArguments(args []string) (file string, directives []string) {
	const withValue = "fFhLltuU"
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return file, append(directives, args[i+1:]...)
		}
		if len(arg) < 2 || arg[0] != '-' {
			directives = append(directives, arg)
			continue
		}
		for j := 1; j < len(arg); j++ {
			if !strings.ContainsRune(withValue, rune(arg[j])) {
				continue
			}
			value := arg[j+1:]
			if value == "" && i+1 < len(args) {
				i++
				value = args[i]
			}
			if arg[j] == 'f' {
				file = value
			}
			break
		}
	}
	return file, directives
}

// optionValue returns the last value of an option: "-c FILE", "-cFILE",
// "--long FILE" or "--long=FILE".
func optionValue(args []string, short, long string) (value string) {
	for i, arg := range args {
		switch {
		case arg == short || long != "" && arg == long:
			if i+1 < len(args) {
				value = args[i+1]
			}
		case long != "" && strings.HasPrefix(arg, long+"="):
			value = arg[len(long)+1:]
		case strings.HasPrefix(arg, short) && !strings.HasPrefix(arg, "--"):
			value = arg[len(short):]
		}
	}
	return value
}
