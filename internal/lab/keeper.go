package lab

import (
	"os/exec"
	"runtime"
	"sync"
)

// keeper is a thread that lives as long as this process. Programs that are to
// die with us are started on it: the kernel sends Pdeathsig (prctl(2)) when the
// thread that started a program ends, and Go ends threads as it likes.
var keeper = sync.OnceValue(func() chan<- func() {
	starts := make(chan func())
	go func() {
		runtime.LockOSThread()
		for start := range starts {
			start()
		}
	}()
	return starts
})

// startKept is cmd.Start for a command whose SysProcAttr sets Pdeathsig.
func startKept(cmd *exec.Cmd) error {
	started := make(chan error)
	keeper() <- func() { started <- cmd.Start() }
	return <-started
}
