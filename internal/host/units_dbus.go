package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// Names of org.freedesktop.systemd1(5).
const (
	busName       = "org.freedesktop.systemd1"
	busPath       = "/org/freedesktop/systemd1"
	busManager    = busName + ".Manager."
	busUnit       = busName + ".Unit"
	busProperties = "org.freedesktop.DBus.Properties."
)

// manager is a connection to systemd. It lives as long as its Host.
type manager struct{ conn *dbus.Conn }

// dialManager connects to the running systemd. Root speaks with it directly,
// which works without a message bus and costs half; others by the system bus.
func dialManager(ctx context.Context) (*manager, error) {
	if _, err := os.Lstat("/run/systemd/system"); err != nil { // the test of sd_booted(3)
		return nil, fmt.Errorf("systemd is not the running service manager: %w", err)
	}
	address, viaBus := "unix:path=/run/systemd/private", false
	if os.Geteuid() != 0 {
		address, viaBus = "unix:path=/run/dbus/system_bus_socket", true
	}
	// The connection outlives the gathering of this fact, so it has no ctx;
	// the dialling of a local socket does not wait, and each call has its own.
	conn, err := dbus.Dial(address)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to systemd: %w", err)
	}
	m := &manager{conn}
	greeted := make(chan error, 1)
	go func() {
		err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))})
		if err == nil && viaBus {
			err = conn.Hello()
		}
		greeted <- err
	}()
	select {
	case err = <-greeted:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err == nil {
		err = m.wake(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("cannot connect to systemd: %w", err)
	}
	return m, nil
}

// wake waits for a first answer. Systemd (252 at least) lets a message lie that
// arrives together with the end of the authentication until another one comes:
// so another one is sent until there is an answer.
func (m *manager) wake(ctx context.Context) error {
	const patience = 500 * time.Microsecond
	answers := make(chan *dbus.Call, 100)
	for sent := 0; ; sent++ {
		if sent < cap(answers) {
			m.conn.Object(busName, busPath).GoWithContext(ctx, "org.freedesktop.DBus.Peer.Ping", 0, answers)
		}
		select {
		case answer := <-answers:
			return answer.Err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(patience << min(sent, 8)):
		}
	}
}

func (m *manager) call(ctx context.Context, path dbus.ObjectPath, method string, args ...any) *dbus.Call {
	return m.conn.Object(busName, path).CallWithContext(ctx, method, dbus.FlagNoAutoStart, args...)
}

// list is one ListUnits call: about 8 µs a unit.
func (m *manager) list(ctx context.Context) ([]Unit, error) {
	var rows []struct {
		Name, Description, LoadState, ActiveState, SubState, Following string
		Path                                                           dbus.ObjectPath
		JobID                                                          uint32
		JobType                                                        string
		JobPath                                                        dbus.ObjectPath
	}
	if err := m.call(ctx, busPath, busManager+"ListUnits").Store(&rows); err != nil {
		return nil, fmt.Errorf("cannot list systemd's units: %w", err)
	}
	units := make([]Unit, len(rows))
	for i, r := range rows {
		units[i] = Unit{Name: r.Name, ID: r.Name, LoadState: r.LoadState, ActiveState: r.ActiveState, SubState: r.SubState}
	}
	return units, nil
}

// unit asks for one unit. Its parts are asked for at the same time; systemd
// answers in some 50 µs a property.
func (m *manager) unit(ctx context.Context, name string) (Unit, error) {
	if strings.Contains(name, "@.") {
		return m.template(ctx, name)
	}
	var path dbus.ObjectPath
	if err := m.call(ctx, busPath, busManager+"LoadUnit", name).Store(&path); err != nil {
		return Unit{}, err
	}
	u := Unit{Name: name}
	var err error
	if u.LoadState, err = get[string](ctx, m, path, busUnit, "LoadState"); err != nil {
		return Unit{}, err
	}
	if u.LoadState == "not-found" {
		u.ID, u.ActiveState, u.SubState = name, "inactive", "dead"
		return u, nil
	}
	if err := m.unitProperties(ctx, path, &u); err != nil {
		return Unit{}, err
	}
	// The property UnitFileState is what systemd remembers, this is what the
	// files say now: what the next boot will go by.
	if u.UnitFileState, err = m.unitFileState(ctx, u.ID); err != nil {
		return Unit{}, err
	}
	switch {
	case u.LoadState != "loaded":
	case strings.HasSuffix(name, ".service"):
		u.Service, err = m.serviceState(ctx, path)
	case strings.HasSuffix(name, ".timer"):
		u.Timer, err = m.timerState(ctx, path)
	case strings.HasSuffix(name, ".socket"):
		u.Socket, err = m.socketState(ctx, path)
	}
	return u, err
}

// template answers for a name such as getty@.service, of which systemd knows
// only the file.
func (m *manager) template(ctx context.Context, name string) (Unit, error) {
	u := Unit{Name: name, ID: name, LoadState: "template"}
	var err error
	u.UnitFileState, err = m.unitFileState(ctx, name)
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

// unitFileState is empty when the unit has no file, and "bad" when systemd
// cannot make sense of it: a link loop, a link to another kind of unit.
func (m *manager) unitFileState(ctx context.Context, name string) (string, error) {
	var state string
	err := m.call(ctx, busPath, busManager+"GetUnitFileState", name).Store(&state)
	var failed dbus.Error
	if errors.As(err, &failed) {
		switch failed.Name {
		case "org.freedesktop.DBus.Error.FileNotFound":
			return "", nil
		case "org.freedesktop.DBus.Error.InvalidArgs", "System.Error.ELOOP", "System.Error.ENOLINK", "System.Error.EBADMSG":
			return "bad", nil
		}
	}
	return state, err
}

func (m *manager) unitProperties(ctx context.Context, path dbus.ObjectPath, u *Unit) error {
	var props map[string]dbus.Variant
	if err := m.call(ctx, path, busProperties+"GetAll", busUnit).Store(&props); err != nil {
		return err
	}
	var enter, enterMono uint64
	for name, into := range map[string]any{
		"Id": &u.ID, "ActiveState": &u.ActiveState, "SubState": &u.SubState,
		"FragmentPath": &u.FragmentPath, "SourcePath": &u.SourcePath, "DropInPaths": &u.DropInPaths,
		"NeedDaemonReload": &u.NeedReload, "Triggers": &u.Triggers, "TriggeredBy": &u.TriggeredBy,
		"ActiveEnterTimestamp": &enter, "ActiveEnterTimestampMonotonic": &enterMono,
	} {
		v, ok := props[name]
		if !ok {
			return fmt.Errorf("systemd does not tell %s", name)
		}
		if err := v.Store(into); err != nil {
			return fmt.Errorf("cannot read %s: %w", name, err)
		}
	}
	u.ActiveEnter, u.ActiveEnterMonotonic = wallTime(enter), microseconds(enterMono)
	return nil
}

func (m *manager) serviceState(ctx context.Context, path dbus.ObjectPath) (*ServiceState, error) {
	const iface = busName + ".Service"
	var s ServiceState
	var pid uint32
	var code, status int32
	var start, exit uint64
	var commands []struct {
		Path                                       string
		Args                                       []string
		IgnoreFailure                              bool
		Start, StartMonotonic, Exit, ExitMonotonic uint64
		PID                                        uint32
		Code, Status                               int32
	}
	err := m.properties(ctx, path, iface, map[string]any{
		"Type": &s.Type, "MainPID": &pid, "Result": &s.Result,
		"ExecMainCode": &code, "ExecMainStatus": &status,
		"ExecMainStartTimestamp": &start, "ExecMainExitTimestamp": &exit,
		"ExecStart": &commands,
	})
	if err != nil {
		return nil, err
	}
	s.MainPID, s.ExecMainCode, s.ExecMainStatus = int(pid), int(code), int(status)
	s.ExecMainStart, s.ExecMainExit = wallTime(start), wallTime(exit)
	for _, c := range commands {
		s.ExecStart = append(s.ExecStart, ExecCommand{Path: c.Path, Args: c.Args})
	}
	return &s, nil
}

func (m *manager) timerState(ctx context.Context, path dbus.ObjectPath) (*TimerState, error) {
	const iface = busName + ".Timer"
	var t TimerState
	var last, next, nextMono uint64
	var calendar []struct {
		Base, Spec string
		Next       uint64
	}
	var monotonic []struct {
		Base         string
		Offset, Next uint64
	}
	err := m.properties(ctx, path, iface, map[string]any{
		"Unit": &t.Unit, "Result": &t.Result, "Persistent": &t.Persistent,
		"LastTriggerUSec": &last, "NextElapseUSecRealtime": &next, "NextElapseUSecMonotonic": &nextMono,
		"TimersCalendar": &calendar, "TimersMonotonic": &monotonic,
	})
	if err != nil {
		return nil, err
	}
	t.LastTrigger, t.NextElapse = wallTime(last), wallTime(next)
	if at := monotonicToWall(nextMono); !at.IsZero() && (t.NextElapse.IsZero() || at.Before(t.NextElapse)) {
		t.NextElapse = at
	}
	for _, c := range calendar {
		t.Calendar = append(t.Calendar, c.Spec)
	}
	for _, c := range monotonic {
		if t.Monotonic == nil {
			t.Monotonic = make(map[string]time.Duration)
		}
		base := strings.TrimSuffix(c.Base, "USec") + "Sec"
		if old, repeated := t.Monotonic[base]; !repeated || microseconds(c.Offset) < old {
			t.Monotonic[base] = microseconds(c.Offset)
		}
	}
	return &t, nil
}

func (m *manager) socketState(ctx context.Context, path dbus.ObjectPath) (*SocketState, error) {
	var s SocketState
	var listen []struct{ Type, Address string }
	err := m.properties(ctx, path, busName+".Socket", map[string]any{"Accept": &s.Accept, "Listen": &listen})
	if err != nil {
		return nil, err
	}
	for _, l := range listen {
		s.Listen = append(s.Listen, UnitListen(l))
	}
	return &s, nil
}

// properties reads single properties, all at the same time: a service has
// 400, and to make systemd write them all takes 1 ms.
func (m *manager) properties(ctx context.Context, path dbus.ObjectPath, iface string, into map[string]any) error {
	var wg sync.WaitGroup
	errs := make(chan error, len(into))
	for name, value := range into {
		wg.Go(func() {
			var v dbus.Variant
			err := m.call(ctx, path, busProperties+"Get", iface, name).Store(&v)
			if err == nil {
				err = v.Store(value)
			}
			if err != nil {
				errs <- fmt.Errorf("cannot read %s: %w", name, err)
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

func get[T any](ctx context.Context, m *manager, path dbus.ObjectPath, iface, name string) (T, error) {
	var value T
	err := m.properties(ctx, path, iface, map[string]any{name: &value})
	return value, err
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
