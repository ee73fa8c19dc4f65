package lab

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestSynchronisedClock(t *testing.T) {
	Need(t, Root)
	for range 2 { // two holders, as two packages' tests would be
		SynchronisedClock(t)
	}
	var clock unix.Timex
	if _, err := unix.Adjtimex(&clock); err != nil {
		t.Fatal(err)
	}
	if clock.Status&unix.STA_UNSYNC != 0 {
		t.Error("the kernel says that its clock is not synchronised")
	}
}
