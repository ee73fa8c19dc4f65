package lab

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// timeServerConfig is an NTP server on the outside of a test host. It serves
// this machine's time and with -x never touches it.
const timeServerConfig = `local stratum 2
allow all
cmdport 0
bindcmdaddress /
user root
pidfile %[1]s/time.pid
`

// startTimeServer runs chronyd as an NTP server in the network outside a host,
// in the host's cgroup, so that it ends with the host.
func startTimeServer(work *workdir, outside, cgroup *os.File) error {
	path, err := program("chronyd")
	if err != nil {
		return err
	}
	config := work.join("time.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, timeServerConfig, work.path), 0o644); err != nil {
		return fmt.Errorf("cannot start a time server: %w", err)
	}
	log, err := os.Create(work.join("time.log"))
	if err != nil {
		return fmt.Errorf("cannot start a time server: %w", err)
	}
	defer log.Close()
	return startIn(cgroup, log, outside, "nsenter", "--net=/proc/self/fd/3", path, "-x", "-d", "-f", config)
}

// startIn starts a program that runs until its cgroup is removed or this
// process ends. The file becomes its descriptor 3.
func startIn(cgroup, log, file *os.File, name string, args ...string) error {
	path, err := program(name)
	if err != nil {
		return err
	}
	cmd := exec.Command(path, args...)
	cmd.Env = cleanEnv
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{file}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig:   syscall.SIGKILL,
		Setpgid:     true, // a ^C meant for the test ends it in order
		UseCgroupFD: true,
		CgroupFD:    int(cgroup.Fd()),
	}
	if err := startKept(cmd); err != nil {
		return fmt.Errorf("cannot start %s: %w", name, err)
	}
	go func() { _ = cmd.Wait() }()
	return nil
}
