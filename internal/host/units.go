package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hostguard/hostguard/internal/unitfile"
)

// unitFacts is what is known of systemd's units.
type unitFacts struct {
	manager  fact[*manager]
	allUnits fact[[]Unit]
	unitTree fact[*unitfile.Tree]

	unitMu sync.Mutex
	units  map[string]*unitFact
}

// Unit is a unit as the service manager has it; the words are systemd's own,
// see systemctl(1) and org.freedesktop.systemd1(5).
type Unit struct {
	Name        string // as it was asked for
	ID          string // its primary name, another than Name when that is an alias
	LoadState   string // loaded, not-found, masked, bad-setting, error; "template" for a name such as getty@.service, which has no state
	ActiveState string // active, reloading, inactive, failed, activating, deactivating; empty for a template
	SubState    string // running, exited, dead, listening, waiting …

	// UnitFileState is what `systemctl is-enabled` says: enabled,
	// enabled-runtime, linked, linked-runtime, alias, masked, masked-runtime,
	// static, disabled, indirect, generated, transient, bad; empty when there
	// is no unit file.
	UnitFileState string
	FragmentPath  string   // the unit file; empty when there is none
	SourcePath    string   // what a generator made the unit from, such as /etc/init.d/x
	DropInPaths   []string // in the order in which they apply
	NeedReload    bool     // the files changed since the manager read them

	// Boot is the link or unit file by which the next boot starts it, empty when
	// nothing does. Only [Host.UnitsAndBoot] fills it in.
	Boot string

	Triggers    []string // what it activates: of a socket, timer or path unit
	TriggeredBy []string // what activates it

	ActiveEnter          time.Time     // when it last became active, by the wall clock of then; zero: never
	ActiveEnterMonotonic time.Duration // the same moment by CLOCK_MONOTONIC since boot; 0: never

	Service *ServiceState // of service units only
	Timer   *TimerState   // of timer units only
	Socket  *SocketState  // of socket units only
}

// Installed reports whether there is a unit that could be started: its file
// was found and is neither masked nor broken.
func (u Unit) Installed() bool { return u.LoadState == "loaded" || u.LoadState == "template" }

// Active reports whether the unit is up now.
func (u Unit) Active() bool { return u.ActiveState == "active" || u.ActiveState == "reloading" }

// BootState is the state of the unit's file, with what the next boot makes of
// it where that is another thing than the word says.
func (u Unit) BootState() string { return bootState(u.UnitFileState, u.Boot) }

func bootState(state, boot string) string {
	switch enabled := state == "enabled" || state == "alias"; {
	case enabled && boot == "":
		return state + ", but not started at boot: no link leads to it from default.target"
	case !enabled && boot != "":
		return state + ", started at boot by " + boot
	}
	return state
}

// ServiceState is the state of a service unit, see systemd.service(5).
type ServiceState struct {
	Type           string // simple, exec, forking, oneshot, dbus, notify, idle
	MainPID        int    // 0 when nothing runs
	Result         string // "success", or how the last run failed: exit-code, signal, timeout …
	ExecMainCode   int    // CLD_EXITED (1), CLD_KILLED (2), CLD_DUMPED (3); 0 before the first end
	ExecMainStatus int    // exit status or signal of the last run
	ExecMainStart  time.Time
	ExecMainExit   time.Time // zero while it runs and before the first run
	ExecStart      []ExecCommand
}

// ExecCommand is one command line of a service, specifiers expanded,
// environment variables not.
type ExecCommand struct {
	Path string
	Args []string // with the program's name as first
}

// TimerState is the state of a timer unit, see systemd.timer(5).
type TimerState struct {
	Unit        string    // what it starts
	Result      string    // "success", or why the timer itself failed
	LastTrigger time.Time // zero: never
	NextElapse  time.Time // zero: not scheduled
	Persistent  bool
	Calendar    []string                 // OnCalendar= expressions, normalised by systemd
	Monotonic   map[string]time.Duration // OnBootSec, OnStartupSec, OnActiveSec, OnUnitActiveSec, OnUnitInactiveSec
}

// SocketState is the state of a socket unit, see systemd.socket(5).
type SocketState struct {
	Accept bool // one service instance for each connection
	Listen []UnitListen
}

// UnitListen is one address a socket unit listens on.
type UnitListen struct {
	Type    string // Stream, Datagram, SequentialPacket, Netlink, FIFO …
	Address string // "0.0.0.0:22", "[::]:22", "/run/dbus/system_bus_socket"
}

// Units returns the units of the given names from the running service
// manager, one entry for every name: one that does not exist has LoadState
// "not-found". Names carry their suffix (.service, .socket …). It is an error
// when the manager cannot be asked, or refuses a name.
func (h *Host) Units(ctx context.Context, names ...string) (map[string]Unit, error) {
	return h.eachUnit(ctx, names, (*unitFact).whole)
}

// loadedUnits is Units without UnitFileState, which costs systemd as much as
// all the rest: what others wait for is to be asked for by this.
func (h *Host) loadedUnits(ctx context.Context, names ...string) (map[string]Unit, error) {
	return h.eachUnit(ctx, names, (*unitFact).loaded)
}

func (h *Host) eachUnit(ctx context.Context, names []string, ask func(*unitFact, context.Context, *manager) (Unit, error)) (map[string]Unit, error) {
	m, err := h.serviceManager(ctx)
	if err != nil {
		return nil, err
	}
	units := make(map[string]Unit, len(names))
	var errs []error
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			u, err := ask(h.unitFact(name), ctx, m)
			mu.Lock()
			defer mu.Unlock()
			if units[name] = u; err != nil {
				errs = append(errs, fmt.Errorf("cannot ask systemd about %s: %w", name, err))
			}
		})
	}
	wg.Wait()
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return units, nil
}

// UnitsAndBoot is Units with what the next boot starts of them. "Enabled" does
// not say that: the link may belong to a target that no boot reaches, and what
// a generator made is started without being enabled.
func (h *Host) UnitsAndBoot(ctx context.Context, names ...string) (map[string]Unit, error) {
	units, err := h.Units(ctx, names...)
	if err != nil {
		return nil, err
	}
	files, err := h.UnitFiles(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot tell what the next boot starts: %w", err)
	}
	for name, u := range units {
		file, err := files.Unit(name)
		if err != nil {
			return nil, fmt.Errorf("cannot tell whether the next boot starts %s: %w", name, err)
		}
		u.Boot = files.AtBoot()[file.ID]
		units[name] = u
	}
	return units, nil
}

// unitFact is what systemd says of one unit.
type unitFact struct {
	name      string
	unit      fact[Unit] // without UnitFileState
	fileState fact[string]
}

func (f *unitFact) loaded(ctx context.Context, m *manager) (Unit, error) {
	return f.unit.get(ctx, func(ctx context.Context) (Unit, error) { return m.unit(ctx, f.name) })
}

func (f *unitFact) whole(ctx context.Context, m *manager) (Unit, error) {
	u, err := f.loaded(ctx, m)
	if err != nil || u.LoadState == "not-found" || u.LoadState == "template" {
		return u, err
	}
	u.UnitFileState, err = f.fileState.get(ctx, func(ctx context.Context) (string, error) { return m.fileState(ctx, u.ID) })
	return u, err
}

func (h *Host) unitFact(name string) *unitFact {
	h.unitMu.Lock()
	defer h.unitMu.Unlock()
	if h.units == nil {
		h.units = make(map[string]*unitFact)
	}
	if h.units[name] == nil {
		h.units[name] = &unitFact{name: name}
	}
	return h.units[name]
}

// AllUnits returns every unit that the running service manager has loaded,
// by primary name, with no more than names and states. Unit files that are
// not loaded are in UnitFiles.
func (h *Host) AllUnits(ctx context.Context) ([]Unit, error) {
	m, err := h.serviceManager(ctx)
	if err != nil {
		return nil, err
	}
	return h.allUnits.get(ctx, m.list)
}

// systemdAnswers is nil when the service manager of the running host can be
// asked.
func (h *Host) systemdAnswers(ctx context.Context) error {
	_, err := h.serviceManager(ctx)
	return err
}

func (h *Host) serviceManager(ctx context.Context) (*manager, error) {
	if !h.Running() {
		return nil, ErrNotRunning
	}
	return h.manager.get(ctx, dialManager)
}
