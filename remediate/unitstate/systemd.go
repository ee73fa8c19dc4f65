package unitstate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/hostguard/hostguard/internal/dbus"
)

// Names of org.freedesktop.systemd1(5).
const (
	busName    = "org.freedesktop.systemd1"
	busPath    = "/org/freedesktop/systemd1"
	busManager = busName + ".Manager"
	busUnit    = busName + ".Unit"
	busService = busName + ".Service"
)

// jobTimeout bounds one start or stop. Units have a time limit of their own,
// 90 seconds unless they set another; docker's is unlimited.
const jobTimeout = 3 * time.Minute

// pollEvery is how often the state of a unit with a job is asked for, which
// costs systemd some 20 µs.
const pollEvery = 10 * time.Millisecond

// systemd is a connection to the running service manager.
type systemd struct{ conn *dbus.Conn }

// runs reports whether systemd is the service manager, by the test of
// sd_booted(3).
func runs() bool {
	_, err := os.Lstat("/run/systemd/system")
	return err == nil
}

// connect opens systemd's private socket, which only root can and which works
// without a message bus.
func connect(ctx context.Context) (*systemd, error) {
	conn, err := dbus.Dial(ctx, "/run/systemd/private")
	if err != nil {
		return nil, fmt.Errorf("cannot connect to systemd: %w", err)
	}
	return &systemd{conn}, nil
}

func (s *systemd) close() { s.conn.Close() }

// manage calls a method of the manager.
func (s *systemd) manage(ctx context.Context, method string, args ...string) (*dbus.Decoder, error) {
	return s.conn.Ask(ctx, dbus.Call{Destination: busName, Path: busPath, Interface: busManager, Member: method, Args: args})
}

// unit is what systemd says of one unit.
type unit struct {
	id, loadState, activeState, subState string
	needReload                           bool
	conditionFailed                      bool
	hasJob                               bool

	triggers, triggeredBy []string
	stoppedWith           []string // units that stop when it is stopped
	upheldBy              []string // units that start it again
	startsToo             []string // units that are started with it

	result, statusText string // of a service
}

// look asks for a unit, which is loaded for that.
func (s *systemd) look(ctx context.Context, name string) (unit, error) {
	body, err := s.manage(ctx, "LoadUnit", name)
	if err != nil {
		return unit{}, fmt.Errorf("cannot ask systemd about %s: %w", name, err)
	}
	path := body.String()
	var u unit
	fill := func(iface string, read func(key, signature string, d *dbus.Decoder) bool) error {
		d, err := s.conn.Ask(ctx, dbus.Call{Destination: busName, Path: path, Interface: "org.freedesktop.DBus.Properties", Member: "GetAll", Args: []string{iface}})
		if err == nil {
			d.Expect("a{sv}")
			d.Dictionary(func(key, signature string) bool { return read(key, signature, d) })
			err = d.Err()
		}
		if err != nil {
			return fmt.Errorf("cannot ask systemd about %s: %w", name, err)
		}
		return nil
	}
	texts := map[string]*string{"Id": &u.id, "LoadState": &u.loadState, "ActiveState": &u.activeState, "SubState": &u.subState}
	err = fill(busUnit, func(key, signature string, d *dbus.Decoder) bool {
		if into := texts[key]; into != nil && signature == "s" {
			*into = d.String()
			return true
		}
		switch {
		case signature == "as" && key == "Triggers":
			u.triggers = d.Strings()
		case signature == "as" && key == "TriggeredBy":
			u.triggeredBy = d.Strings()
		case signature == "as" && slices.Contains([]string{"RequiredBy", "BoundBy", "ConsistsOf", "PropagatesStopTo"}, key):
			u.stoppedWith = append(u.stoppedWith, d.Strings()...)
		case signature == "as" && slices.Contains([]string{"Requires", "Wants", "BindsTo", "Upholds"}, key):
			u.startsToo = append(u.startsToo, d.Strings()...)
		case signature == "as" && key == "UpheldBy":
			u.upheldBy = d.Strings()
		case signature == "b" && key == "NeedDaemonReload":
			u.needReload = d.Bool()
		case signature == "b" && key == "ConditionResult":
			u.conditionFailed = !d.Bool()
		case signature == "(uo)" && key == "Job":
			d.Struct(func() {
				u.hasJob = d.Uint32() != 0
				d.Skip("o")
			})
		default:
			return false
		}
		return true
	})
	if err == nil && u.id == "" {
		err = fmt.Errorf("cannot ask systemd about %s: it does not tell its name", name)
	}
	if err != nil || !isService(u.id) {
		return u, err
	}
	return u, fill(busService, func(key, signature string, d *dbus.Decoder) bool {
		switch {
		case signature == "s" && key == "Result":
			u.result = d.String()
		case signature == "s" && key == "StatusText":
			u.statusText = d.String()
		default:
			return false
		}
		return true
	})
}

// activity reduces systemd's states to two. A unit that is being started counts
// as up, for a start can last as long as what it does; one that is stopping as
// down.
func (u unit) activity() Activity {
	switch u.activeState {
	case "inactive", "failed", "deactivating", "maintenance":
		return Down
	}
	return Up
}

// errRestless is the cause when a unit is being started or stopped for too long.
var errRestless = fmt.Errorf("it has not come to rest after %v", jobTimeout)

// settled waits until a unit has no job and does not change, and returns it.
// A service that is about to be restarted again and again counts as settled.
func (s *systemd) settled(ctx context.Context, name string) (unit, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, jobTimeout, errRestless)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		u, err := s.look(ctx, name)
		if err != nil {
			return u, err
		}
		moving := u.hasJob || u.activeState == "deactivating" || u.activeState == "activating"
		if !moving || u.subState == "auto-restart" {
			return u, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return u, fmt.Errorf("%s is %s (%s): %w", name, u.activeState, u.subState, context.Cause(ctx))
		}
	}
}

// forgetStarts takes back the count of a unit's starts: systemd refuses one that
// was started often within a short time, no matter by whom.
func (s *systemd) forgetStarts(ctx context.Context, name string) error {
	_, err := s.manage(ctx, "ResetFailedUnit", name)
	if said := (dbus.Error{}); err != nil && !errors.As(err, &said) {
		return fmt.Errorf("cannot start %s: %w", name, err)
	}
	return nil // a unit that is not loaded has no count
}

// start starts a unit and waits for what becomes of it.
func (s *systemd) start(ctx context.Context, name string) error {
	if err := s.forgetStarts(ctx, name); err != nil {
		return err
	}
	return s.job(ctx, "StartUnit", name, Up)
}

// stop stops a unit and waits until it is down.
func (s *systemd) stop(ctx context.Context, name string) error {
	return s.job(ctx, "StopUnit", name, Down)
}

// words for a person of what methods do.
var doing = map[string]string{"StartUnit": "start", "StopUnit": "stop", "RestartUnit": "restart", "ReloadUnit": "reload", "ReloadOrRestartUnit": "reload"}

// job has systemd do something with a unit and waits for the end. The word of
// the job itself comes as a signal; the unit's state, result and status text
// say the same and why.
func (s *systemd) job(ctx context.Context, method, name string, want Activity) error {
	verb := doing[method]
	if _, err := s.manage(ctx, method, name, "replace"); err != nil {
		if said := (dbus.Error{}); errors.As(err, &said) {
			return &jobError{verb, name, said}
		}
		return fmt.Errorf("cannot %s %s: %w", verb, name, err)
	}
	u, err := s.settled(ctx, name)
	if errors.Is(err, errRestless) {
		return &jobError{verb, name, err}
	}
	if err != nil {
		return fmt.Errorf("cannot %s %s: %w", verb, name, err)
	}
	if u.activity() == want {
		return nil
	}
	return &jobError{verb, name, u.why()}
}

// jobError says that systemd did what it was asked, and the unit did not come
// into the state that was wanted.
type jobError struct {
	verb, unit string
	why        error
}

func (e *jobError) Error() string { return fmt.Sprintf("cannot %s %s: %v", e.verb, e.unit, e.why) }
func (e *jobError) Unwrap() error { return e.why }

// why says why a unit is not in the state that was asked for.
func (u unit) why() error {
	said := fmt.Sprintf("it is %s (%s)", u.activeState, u.subState)
	if u.result != "" && u.result != "success" {
		said += ", its result is " + u.result
	}
	if u.statusText != "" {
		said += fmt.Sprintf(", it says %q", u.statusText)
	}
	if u.conditionFailed && u.activeState == "inactive" {
		said += ", a condition in its unit file is not met"
	}
	return errors.New(said)
}

// reload makes systemd read all unit files and links again; generators run.
func (s *systemd) reload(ctx context.Context) error {
	if _, err := s.manage(ctx, "Reload"); err != nil {
		return fmt.Errorf("cannot make systemd read its files again: %w", err)
	}
	return nil
}
