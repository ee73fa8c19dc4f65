package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/dbus"
)

// Names of org.freedesktop.systemd1(5).
const (
	busName       = "org.freedesktop.systemd1"
	busPath       = "/org/freedesktop/systemd1"
	busManager    = busName + ".Manager"
	busUnit       = busName + ".Unit"
	busProperties = "org.freedesktop.DBus.Properties"
)

// manager is a connection to systemd. It lives as long as its Host.
type manager struct{ conn *dbus.Conn }

// dialManager connects to the running systemd. Root speaks with it directly,
// which works without a message bus and costs half; others by the system bus.
func dialManager(ctx context.Context) (*manager, error) {
	if _, err := os.Lstat("/run/systemd/system"); err != nil { // the test of sd_booted(3)
		return nil, fmt.Errorf("systemd is not the running service manager: %w", err)
	}
	dial, socket := dbus.Dial, "/run/systemd/private"
	if os.Geteuid() != 0 {
		dial, socket = dbus.DialBus, systemBus
	}
	conn, err := dial(ctx, socket)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to systemd: %w", err)
	}
	return &manager{conn}, nil
}

func managerCall(method string, args ...string) dbus.Call {
	return dbus.Call{Destination: busName, Path: busPath, Interface: busManager, Member: method, Args: args}
}

func propertyCall(path, method string, args ...string) dbus.Call {
	return dbus.Call{Destination: busName, Path: path, Interface: busProperties, Member: method, Args: args}
}

// list is one ListUnits call: about 8 µs a unit.
func (m *manager) list(ctx context.Context) ([]Unit, error) {
	body, err := m.conn.Ask(ctx, managerCall("ListUnits"))
	if err != nil {
		return nil, fmt.Errorf("cannot list systemd's units: %w", err)
	}
	const row = "(ssssssouso)"
	body.Expect("a" + row)
	var units []Unit
	body.Array(row, func() {
		u := Unit{Name: body.String()}
		body.Skip("s") // the description
		u.ID, u.LoadState, u.ActiveState, u.SubState = u.Name, body.String(), body.String(), body.String()
		body.Skip("souso")
		units = append(units, u)
	})
	if err := body.Err(); err != nil {
		return nil, fmt.Errorf("cannot list systemd's units: %w", err)
	}
	return units, nil
}

// unit asks for one unit but for UnitFileState. What systemd is asked of it, it
// is asked at once.
func (m *manager) unit(ctx context.Context, name string) (Unit, error) {
	if strings.Contains(name, "@.") {
		return m.template(ctx, name)
	}
	path := unitPath(name)
	u := Unit{Name: name}
	loaded := m.conn.AskAll(ctx, managerCall("LoadUnit", name), propertyCall(path, "Get", busUnit, "LoadState"))
	if err := loaded[0].Err; err != nil {
		return Unit{}, err
	}
	if err := store(loaded[1], "LoadState", value{"s", text(&u.LoadState)}); err != nil {
		return Unit{}, err
	}
	if u.LoadState == "not-found" {
		u.ID, u.ActiveState, u.SubState = name, "inactive", "dead"
		return u, nil
	}
	calls := []dbus.Call{propertyCall(path, "GetAll", busUnit)}
	more, finish := typeProperties(&u)
	for _, p := range more {
		calls = append(calls, propertyCall(path, "Get", p.iface, p.name))
	}
	answers := m.conn.AskAll(ctx, calls...)
	if err := storeUnit(answers[0], &u); err != nil {
		return Unit{}, err
	}
	for i, p := range more {
		if err := store(answers[1+i], p.name, p.value); err != nil {
			return Unit{}, err
		}
	}
	finish()
	return u, nil
}

// unitPath is the object of a unit (systemd's unit_dbus_path_from_name): every
// byte but letters and digits is written in hexadecimal, a leading digit too.
func unitPath(name string) string {
	const hex = "0123456789abcdef"
	b := []byte(busPath + "/unit/")
	for i, c := range []byte(name) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9' {
			b = append(b, c)
		} else {
			b = append(b, '_', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// template answers for a name such as getty@.service, of which systemd knows
// only the file.
func (m *manager) template(ctx context.Context, name string) (Unit, error) {
	u := Unit{Name: name, ID: name, LoadState: "template"}
	var err error
	u.UnitFileState, err = m.fileState(ctx, name)
	switch {
	case err != nil:
		return Unit{}, err
	case u.UnitFileState == "":
		u.LoadState = "not-found"
	case strings.HasPrefix(u.UnitFileState, "masked"):
		u.LoadState = "masked"
	}
	return u, nil
}

// fileState asks for what the files say of a unit now: what the next boot will
// go by. (The property UnitFileState is what systemd remembers.) It is empty
// when the unit has no file, and "bad" when systemd cannot make sense of it: a
// link loop, a link to another kind of unit.
func (m *manager) fileState(ctx context.Context, name string) (string, error) {
	body, err := m.conn.Ask(ctx, managerCall("GetUnitFileState", name))
	var failed dbus.Error
	if errors.As(err, &failed) {
		switch failed.Name {
		case "org.freedesktop.DBus.Error.FileNotFound":
			return "", nil
		case "org.freedesktop.DBus.Error.InvalidArgs", "System.Error.ELOOP", "System.Error.ENOLINK", "System.Error.EBADMSG":
			return "bad", nil
		}
	}
	if err != nil {
		return "", err
	}
	body.Expect("s")
	state := body.String()
	return state, body.Err()
}

// value is how the value of a property is read.
type value struct {
	signature string
	read      func(*dbus.Decoder)
}

func text(into *string) func(*dbus.Decoder)   { return func(d *dbus.Decoder) { *into = d.String() } }
func list(into *[]string) func(*dbus.Decoder) { return func(d *dbus.Decoder) { *into = d.Strings() } }
func truth(into *bool) func(*dbus.Decoder)    { return func(d *dbus.Decoder) { *into = d.Bool() } }

// moment reads a time by the wall clock.
func moment(into *time.Time) func(*dbus.Decoder) {
	return func(d *dbus.Decoder) { *into = wallTime(d.Uint64()) }
}

// number reads an i, or a u that is a process.
func number(into *int) func(*dbus.Decoder) {
	return func(d *dbus.Decoder) { *into = int(d.Int32()) }
}

// store reads the answer to the question for one property.
func store(answer dbus.Answer, name string, v value) error {
	if answer.Err != nil {
		return fmt.Errorf("cannot read %s: %w", name, answer.Err)
	}
	body := &answer.Body
	body.Expect("v")
	if is := body.Variant(); body.Err() == nil && is != v.signature {
		return fmt.Errorf("cannot read %s: its type is %q", name, is)
	}
	v.read(body)
	if err := body.Err(); err != nil {
		return fmt.Errorf("cannot read %s: %w", name, err)
	}
	return nil
}

// storeUnit reads the properties that all kinds of units have.
func storeUnit(answer dbus.Answer, u *Unit) error {
	if answer.Err != nil {
		return answer.Err
	}
	wanted := map[string]value{
		"Id": {"s", text(&u.ID)}, "ActiveState": {"s", text(&u.ActiveState)}, "SubState": {"s", text(&u.SubState)},
		"FragmentPath": {"s", text(&u.FragmentPath)}, "SourcePath": {"s", text(&u.SourcePath)},
		"DropInPaths": {"as", list(&u.DropInPaths)}, "NeedDaemonReload": {"b", truth(&u.NeedReload)},
		"Triggers": {"as", list(&u.Triggers)}, "TriggeredBy": {"as", list(&u.TriggeredBy)},
		"ActiveEnterTimestamp":          {"t", moment(&u.ActiveEnter)},
		"ActiveEnterTimestampMonotonic": {"t", func(d *dbus.Decoder) { u.ActiveEnterMonotonic = microseconds(d.Uint64()) }},
	}
	answer.Body.Expect("a{sv}")
	answer.Body.Dictionary(func(key, signature string) bool {
		v, ok := wanted[key]
		if !ok || v.signature != signature {
			return false
		}
		v.read(&answer.Body)
		delete(wanted, key)
		return true
	})
	if err := answer.Body.Err(); err != nil {
		return err
	}
	for name := range wanted {
		return fmt.Errorf("systemd does not tell %s", name)
	}
	return nil
}

// property is one property that only some kinds of units have. They are asked
// for one by one: a service has 400, and to make systemd write them all takes 1 ms.
type property struct {
	iface, name string
	value
}

// typeProperties returns what is to be asked of a unit of this kind, and what
// puts the answers together.
func typeProperties(u *Unit) (properties []property, finish func()) {
	add := func(iface, name, signature string, read func(*dbus.Decoder)) {
		properties = append(properties, property{busName + "." + iface, name, value{signature, read}})
	}
	switch {
	case u.LoadState != "loaded":
	case strings.HasSuffix(u.Name, ".service"):
		u.Service = &ServiceState{}
		serviceProperties(u.Service, add)
	case strings.HasSuffix(u.Name, ".timer"):
		u.Timer = &TimerState{}
		return properties, timerProperties(u.Timer, add)
	case strings.HasSuffix(u.Name, ".socket"):
		u.Socket = &SocketState{}
		add("Socket", "Accept", "b", truth(&u.Socket.Accept))
		add("Socket", "Listen", "a(ss)", func(d *dbus.Decoder) {
			d.Array("(ss)", func() { u.Socket.Listen = append(u.Socket.Listen, UnitListen{d.String(), d.String()}) })
		})
	}
	return properties, func() {}
}

func serviceProperties(s *ServiceState, add func(iface, name, signature string, read func(*dbus.Decoder))) {
	add("Service", "Type", "s", text(&s.Type))
	add("Service", "MainPID", "u", number(&s.MainPID))
	add("Service", "Result", "s", text(&s.Result))
	add("Service", "ExecMainCode", "i", number(&s.ExecMainCode))
	add("Service", "ExecMainStatus", "i", number(&s.ExecMainStatus))
	add("Service", "ExecMainStartTimestamp", "t", moment(&s.ExecMainStart))
	add("Service", "ExecMainExitTimestamp", "t", moment(&s.ExecMainExit))
	const command = "(sasbttttuii)"
	add("Service", "ExecStart", "a"+command, func(d *dbus.Decoder) {
		d.Array(command, func() {
			s.ExecStart = append(s.ExecStart, ExecCommand{Path: d.String(), Args: d.Strings()})
			d.Skip("bttttuii")
		})
	})
}

func timerProperties(t *TimerState, add func(iface, name, signature string, read func(*dbus.Decoder))) (finish func()) {
	var monotonic uint64
	add("Timer", "Unit", "s", text(&t.Unit))
	add("Timer", "Result", "s", text(&t.Result))
	add("Timer", "Persistent", "b", truth(&t.Persistent))
	add("Timer", "LastTriggerUSec", "t", moment(&t.LastTrigger))
	add("Timer", "NextElapseUSecRealtime", "t", moment(&t.NextElapse))
	add("Timer", "NextElapseUSecMonotonic", "t", func(d *dbus.Decoder) { monotonic = d.Uint64() })
	add("Timer", "TimersCalendar", "a(sst)", func(d *dbus.Decoder) {
		d.Array("(sst)", func() {
			d.Skip("s") // OnCalendar
			t.Calendar = append(t.Calendar, d.String())
			d.Skip("t")
		})
	})
	add("Timer", "TimersMonotonic", "a(stt)", func(d *dbus.Decoder) {
		d.Array("(stt)", func() {
			if t.Monotonic == nil {
				t.Monotonic = make(map[string]time.Duration)
			}
			base := strings.TrimSuffix(d.String(), "USec") + "Sec"
			offset := microseconds(d.Uint64())
			if old, repeated := t.Monotonic[base]; !repeated || offset < old {
				t.Monotonic[base] = offset
			}
			d.Skip("t")
		})
	})
	return func() {
		if at := monotonicToWall(monotonic); !at.IsZero() && (t.NextElapse.IsZero() || at.Before(t.NextElapse)) {
			t.NextElapse = at
		}
	}
}

// systemd writes times in microseconds: 0 for never, all ones for no limit.
const usecInfinity = ^uint64(0)

func wallTime(usec uint64) time.Time {
	if usec == 0 || usec > 1<<62 {
		return time.Time{}
	}
	return time.UnixMicro(int64(usec))
}

func microseconds(usec uint64) time.Duration {
	const most = uint64(1<<63-1) / uint64(time.Microsecond)
	return time.Duration(min(usec, most)) * time.Microsecond
}

// monotonicToWall is the wall clock's time of a moment of CLOCK_MONOTONIC.
func monotonicToWall(usec uint64) time.Time {
	var now unix.Timespec
	if usec == 0 || usec == usecInfinity || unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return time.Time{}
	}
	return time.Now().Add(microseconds(usec) - time.Duration(now.Nano()))
}
