package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

type clockFacts struct {
	kernelClock fact[KernelClock]
	timesync    fact[Timesync]
	timeDaemons fact[[]TimeDaemon]
	timeSources fact[[]TimeSources]
}

// KernelClock is what the kernel says about its clock. In a container it is
// the clock of the machine.
type KernelClock struct {
	Synchronised bool          // somebody disciplines the clock: STA_UNSYNC is clear
	MaxError     time.Duration // grows by 500 ppm since the last update, to 16 s
	EstError     time.Duration // the daemon's own estimate
	Status       uint32        // STA_ flags of adjtimex(2)
}

// KernelClock asks the kernel by adjtimex(2), changing nothing.
func (h *Host) KernelClock(ctx context.Context) (KernelClock, error) {
	return h.kernelClock.get(ctx, func(context.Context) (KernelClock, error) {
		if !h.Running() {
			return KernelClock{}, ErrNotRunning
		}
		var t unix.Timex
		if _, err := unix.Adjtimex(&t); err != nil {
			return KernelClock{}, fmt.Errorf("cannot ask the kernel for the state of its clock (adjtimex): %w", err)
		}
		return KernelClock{
			Synchronised: t.Status&unix.STA_UNSYNC == 0,
			MaxError:     time.Duration(t.Maxerror) * time.Microsecond,
			EstError:     time.Duration(t.Esterror) * time.Microsecond,
			Status:       uint32(t.Status),
		}, nil
	})
}

// Timesync is what the running systemd-timesyncd says about its servers, see
// org.freedesktop.timesync1(5).
type Timesync struct {
	System   []string // NTP= of its files
	Runtime  []string // set over D-Bus
	Link     []string // of network interfaces, by DHCP or .network files
	Fallback []string // FallbackNTP=, or what was compiled in; used when the others are empty
	Current  string   // the one it uses now; empty: none
}

const systemBus = "unix:path=/run/dbus/system_bus_socket"

// Timesync asks the running systemd-timesyncd over D-Bus. It does not start
// one that is not running: that is an error.
func (h *Host) Timesync(ctx context.Context) (Timesync, error) {
	return h.timesync.get(ctx, func(ctx context.Context) (Timesync, error) {
		if !h.Running() {
			return Timesync{}, ErrNotRunning
		}
		properties, err := timesyncProperties(ctx)
		if err != nil {
			return Timesync{}, fmt.Errorf("cannot ask systemd-timesyncd for its servers: %w", err)
		}
		list := func(name string) []string {
			names, _ := properties[name].Value().([]string)
			return names
		}
		current, _ := properties["ServerName"].Value().(string)
		if _, known := properties["FallbackNTPServers"]; !known {
			return Timesync{}, errors.New("cannot ask systemd-timesyncd for its servers: its answer has no FallbackNTPServers")
		}
		return Timesync{
			System: list("SystemNTPServers"), Runtime: list("RuntimeNTPServers"),
			Link: list("LinkNTPServers"), Fallback: list("FallbackNTPServers"), Current: current,
		}, nil
	})
}

func timesyncProperties(ctx context.Context) (map[string]dbus.Variant, error) {
	conn, err := dbus.Dial(systemBus, dbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.Auth(nil); err != nil {
		return nil, err
	}
	if err := conn.Hello(); err != nil {
		return nil, err
	}
	var properties map[string]dbus.Variant
	err = conn.Object("org.freedesktop.timesync1", "/org/freedesktop/timesync1").
		CallWithContext(ctx, "org.freedesktop.DBus.Properties.GetAll", dbus.FlagNoAutoStart, "org.freedesktop.timesync1.Manager").
		Store(&properties)
	return properties, err
}
