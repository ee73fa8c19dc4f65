package lab

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// LockAudit keeps the kernel's audit for this test until it ends: test programs
// that run at the same time would see each other's rules, and auditing switched
// on and off. Tests of one program that lock it must not be parallel.
func LockAudit(t testing.TB) {
	t.Helper()
	Need(t, Audit)
	lock, err := os.OpenFile("/run/hostguard-test-audit.lock", os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
}
