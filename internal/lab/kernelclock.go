package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// SynchronisedClock makes the kernel say, while the test runs, that its clock
// is synchronised, as it does on a machine whose time daemon works. The flag is
// this machine's and all its test hosts': several tests may want it at once, in
// several processes, and the last one to end puts back what was there. The time
// itself is never touched.
func SynchronisedClock(t testing.TB) {
	t.Helper()
	Need(t, Root)
	release, err := holdClockFlag()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := release(); err != nil {
			t.Error(err)
		}
	})
}

// holdClockFlag clears STA_UNSYNC. Two files of the cache tell processes of each
// other: who holds "clock.note" alone may change the flag, and the note in it is
// what the flag was; each holder of the flag shares "clock.holders".
func holdClockFlag() (release func() error, err error) {
	if err := os.MkdirAll(cacheDir(), 0o755); err != nil {
		return nil, fmt.Errorf("cannot hold the kernel's clock: %w", err)
	}
	notePath := filepath.Join(cacheDir(), "clock.note")
	note, err := lockFile(notePath, unix.LOCK_EX)
	if err != nil {
		return nil, fmt.Errorf("cannot hold the kernel's clock: %w", err)
	}
	defer note.Close()
	holders, err := lockFile(filepath.Join(cacheDir(), "clock.holders"), unix.LOCK_SH)
	if err != nil {
		return nil, fmt.Errorf("cannot hold the kernel's clock: %w", err)
	}
	if err = saveClockFlag(notePath); err == nil {
		err = setClockFlag(0)
	}
	if err != nil {
		holders.Close()
		return nil, fmt.Errorf("cannot hold the kernel's clock: %w", err)
	}
	return func() error {
		defer holders.Close()
		note, err := lockFile(notePath, unix.LOCK_EX)
		if err != nil {
			return fmt.Errorf("cannot put the kernel's clock flag back: %w", err)
		}
		defer note.Close()
		if unix.Flock(int(holders.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			return nil // others go on
		}
		return restoreClockFlag(notePath)
	}, nil
}

func lockFile(path string, how int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), how); err != nil {
		file.Close()
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	return file, nil
}

// saveClockFlag notes the flag, unless a killed test left its note.
func saveClockFlag(path string) error {
	if text, err := os.ReadFile(path); err == nil && len(text) > 0 {
		return nil
	}
	var clock unix.Timex
	if _, err := unix.Adjtimex(&clock); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strconv.Itoa(int(clock.Status&unix.STA_UNSYNC))), 0o600)
}

func restoreClockFlag(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot put the kernel's clock flag back: %w", err)
	}
	flag, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 32)
	if err != nil {
		return fmt.Errorf("cannot put the kernel's clock flag back: %w", err)
	}
	if err := setClockFlag(int32(flag)); err != nil {
		return fmt.Errorf("cannot put the kernel's clock flag back: %w", err)
	}
	return os.Truncate(path, 0)
}

// setClockFlag sets or clears STA_UNSYNC. Clearing also states a small maximum
// error: the kernel lets it grow from there and sets the flag again at 16 s.
func setClockFlag(flag int32) error {
	var clock unix.Timex
	if _, err := unix.Adjtimex(&clock); err != nil {
		return err
	}
	if clock.Status&unix.STA_UNSYNC == flag {
		return nil
	}
	clock.Modes = unix.ADJ_STATUS
	clock.Status = clock.Status&^unix.STA_UNSYNC | flag
	if flag == 0 {
		clock.Modes |= unix.ADJ_MAXERROR | unix.ADJ_ESTERROR
		clock.Maxerror, clock.Esterror = 1000, 500
	}
	_, err := unix.Adjtimex(&clock)
	return err
}
