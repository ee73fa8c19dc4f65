package host

import (
	"context"
	"time"
)

type processFacts struct{}

// Process is one process of the running host, kernel threads included.
// Everything but numbers is the process's own word: it can be anything.
type Process struct {
	PID, PPID int
	UID       uint32        // effective
	Comm      string        // at most 15 bytes, chosen by the process
	Exe       string        // path of the running program; " (deleted)" at the end when it is gone; empty for kernel threads
	Argv      []string      // at most 4096 bytes of it; empty for kernel threads and zombies
	Start     time.Duration // since boot, by CLOCK_BOOTTIME, to 10 ms
	Unit      string        // systemd unit by cgroup: "ssh.service", "session-3.scope"; empty when there is none
	Container string        // id of the container by cgroup, 64 hex digits; empty on the host
	Kernel    bool          // a kernel thread
}

// Processes returns all processes by pid. One that ends meanwhile is left
// out. Without root the programs of others cannot be seen: their Exe is empty
// and the error of ProcessesUnseen says so.
func (h *Host) Processes(ctx context.Context) (map[int]Process, error) {
	return nil, ErrNotRunning
}
