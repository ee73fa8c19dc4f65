package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/dbus"
)

type clockFacts struct {
	kernelClock fact[KernelClock]
	timesync    fact[Timesync]
	timeDaemons fact[timeDaemons]
	timeSources fact[[]TimeSources]

	clockAnswers sync.Map // question → *fact[[]TimeAnswer]
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

const systemBus = "/run/dbus/system_bus_socket"

// Timesync asks the running systemd-timesyncd over D-Bus. It does not start
// one that is not running: that is an error.
func (h *Host) Timesync(ctx context.Context) (Timesync, error) {
	return h.timesync.get(ctx, func(ctx context.Context) (Timesync, error) {
		if !h.Running() {
			return Timesync{}, ErrNotRunning
		}
		t, err := askTimesync(ctx)
		if err != nil {
			return Timesync{}, fmt.Errorf("cannot ask systemd-timesyncd for its servers: %w", err)
		}
		return t, nil
	})
}

func askTimesync(ctx context.Context) (Timesync, error) {
	conn, err := dbus.DialBus(ctx, systemBus)
	if err != nil {
		return Timesync{}, err
	}
	defer conn.Close()
	body, err := conn.Ask(ctx, dbus.Call{
		Destination: "org.freedesktop.timesync1", Path: "/org/freedesktop/timesync1",
		Interface: busProperties, Member: "GetAll", Args: []string{"org.freedesktop.timesync1.Manager"},
	})
	if err != nil {
		return Timesync{}, err
	}
	var t Timesync
	complete := false
	lists := map[string]*[]string{
		"SystemNTPServers": &t.System, "RuntimeNTPServers": &t.Runtime, "LinkNTPServers": &t.Link, "FallbackNTPServers": &t.Fallback,
	}
	body.Expect("a{sv}")
	body.Dictionary(func(key, signature string) bool {
		switch into := lists[key]; {
		case into != nil && signature == "as":
			*into = body.Strings()
			complete = complete || key == "FallbackNTPServers"
		case key == "ServerName" && signature == "s":
			t.Current = body.String()
		default:
			return false
		}
		return true
	})
	if err := body.Err(); err != nil {
		return Timesync{}, err
	}
	if !complete {
		return Timesync{}, errors.New("its answer has no FallbackNTPServers")
	}
	return t, nil
}
