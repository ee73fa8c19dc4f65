package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Machine is a virtual machine with a good host's Debian and a kernel of its
// own: the only place where audit, the clock, a reboot and a power cut are real.
// It runs without the processor's help, so everything in it is slow.
type Machine struct {
	hands
	*machine
}

// machine is what the subtests of a test share of a machine.
type machine struct {
	work  *workdir
	from  string // folder of disk.raw, vmlinuz, initrd.img
	port  int    // of this machine, on loopback: the guest's port 22
	args  string // of the kernel, about its audit
	cpus  string // of qemu's -smp
	qemu  *exec.Cmd
	ended chan struct{}
	agent *agent
}

const (
	machineBootTimeout = 20 * time.Minute // where others use the processors, too
	machineTimeout     = 10 * time.Minute // of one program
)

const (
	kernelArguments = "root=/dev/vda ro console=ttyS0 net.ifnames=0 mitigations=off"
	// auditArguments: from the first process on, as the requirements want.
	auditArguments = "audit=1 audit_backlog_limit=8192"
)

// allProcessors are four cores with two threads each, as the requirements want,
// though the test machine may have fewer.
const allProcessors = "8,sockets=1,cores=4,threads=2"

// machineDevices: with several threads of emulation the kernel locks up at times
// while it patches itself.
var machineDevices = []string{
	"-accel", "tcg,thread=single,tb-size=512", "-cpu", "Haswell-v4", "-m", "4096",
	"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
	"-device", "virtio-rng-pci",
	"-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
	"-device", "virtio-blk-pci,drive=disk", "-device", "virtio-net-pci,netdev=net",
}

// StartVM boots a virtual machine from a fresh copy of the disk and waits until
// it has settled. It goes with the test.
func StartVM(t testing.TB) *Machine {
	t.Helper()
	return startVM(t, allProcessors)
}

// StartSmallVM is StartVM with one processor, which boots in half the time. The
// host's configuration asks for no more.
func StartSmallVM(t testing.TB) *Machine {
	t.Helper()
	m := startVM(t, "1")
	const config = "/etc/hostguard/hostguard.yaml"
	m.WriteFile(config, m.ReadFile(config)+"parameters: {HW-001: {cores: 1, threads: 1}}\n")
	return m
}

func startVM(t testing.TB, cpus string) *Machine {
	t.Helper()
	Need(t, Virtual)
	from, err := disk()
	if err != nil {
		t.Fatal(err)
	}
	work, err := newWorkdir("vm")
	if err != nil {
		t.Fatal(err)
	}
	m := (&Machine{machine: &machine{work: work, from: from, args: auditArguments, cpus: cpus}}).For(t)
	t.Cleanup(m.Stop)
	_, err = Command{Args: []string{"qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw",
		"-b", filepath.Join(from, "disk.raw"), m.Disk()}}.must()
	if err == nil {
		m.port, err = freePort()
	}
	if err == nil {
		err = m.boot()
	}
	if err != nil {
		t.Fatalf("cannot boot a virtual machine: %v\nconsole:\n%s", err, m.Console())
	}
	return m
}

// For returns the same machine for a subtest.
func (m *Machine) For(t testing.TB) *Machine {
	shared := &Machine{machine: m.machine}
	shared.hands = hands{t, shared}
	return shared
}

// Disk is the path of the machine's disk, a qcow2 file.
func (m *Machine) Disk() string { return m.work.join("disk.qcow2") }

// Console is the end of what the machine wrote on its serial console.
func (m *Machine) Console() string {
	text, _ := os.ReadFile(m.work.join("console.log"))
	return lastLines(string(bytes.ToValidUTF8(text, nil)), 40)
}

// boot starts the machine and waits until it has settled.
func (m *Machine) boot(arguments ...string) error {
	deadline := time.Now().Add(machineBootTimeout)
	line := strings.Join(slices.Concat([]string{kernelArguments, m.args}, arguments), " ")
	if err := m.start(deadline, "-append", line); err != nil {
		return err
	}
	return m.settle(deadline)
}

// start starts qemu, and waits until the machine's agent answers.
func (m *Machine) start(deadline time.Time, more ...string) error {
	path, err := program("qemu-system-x86_64")
	if err != nil {
		return err
	}
	log, err := os.OpenFile(m.work.join("qemu.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	socket := m.work.join("agent")
	_ = os.Remove(socket)
	m.qemu = exec.Command(path, slices.Concat([]string{
		"-kernel", filepath.Join(m.from, "vmlinuz"), "-initrd", filepath.Join(m.from, "initrd.img"),
		"-serial", "file:" + m.work.join("console.log"),
		"-smp", m.cpus,
		"-chardev", "socket,id=agent,server=on,wait=off,path=" + socket,
		"-qmp", "unix:" + m.work.join("monitor") + ",server=on,wait=off",
		"-drive", "if=none,id=disk,format=qcow2,file=" + m.Disk(),
		"-netdev", fmt.Sprintf("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:%d-:22", m.port),
	}, machineDevices, more)...)
	m.qemu.Env = cleanEnv
	m.qemu.Stdout, m.qemu.Stderr = log, log
	m.qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := startKept(m.qemu); err != nil {
		return fmt.Errorf("cannot start qemu: %w", err)
	}
	ended := make(chan struct{})
	m.ended = ended
	go func(qemu *exec.Cmd) {
		_ = qemu.Wait()
		close(ended)
	}(m.qemu)
	listening := poll(time.Until(deadline), func() bool {
		_, err := os.Stat(socket)
		return err == nil || m.hasEnded()
	})
	if !listening || m.hasEnded() {
		text, _ := os.ReadFile(m.work.join("qemu.log"))
		return fmt.Errorf("qemu does not run: %s", text)
	}
	m.agent, err = dialAgent(socket, deadline)
	return err
}

// settle waits for the end of the boot, and for the clock.
func (m *Machine) settle(deadline time.Time) error {
	state, err := m.agent.run([]string{"systemctl", "is-system-running", "--wait"}, "", deadline)
	if err != nil {
		return err
	}
	if word := strings.TrimSpace(state.Stdout); word != "running" && word != "degraded" {
		return fmt.Errorf("the system is %q: %s", word, state.Stderr)
	}
	for _, daemon := range []struct {
		unit string
		wait []string
	}{
		// The first answer takes docker long in here: 10 s are a test's own deadline.
		{"docker.service", []string{"docker", "info"}},
		// Exits with 0 as soon as chronyd has set the clock by its server.
		{"chrony.service", []string{"chronyc", "waitsync", "600", "0", "0", "0.1"}},
	} {
		if runs, err := m.agent.run([]string{"systemctl", "is-active", daemon.unit}, "", deadline); err != nil {
			return err
		} else if runs.Code != 0 {
			continue // the test knows why
		}
		waited, err := m.agent.run(daemon.wait, "", deadline)
		if err == nil && waited.Code != 0 {
			why, _ := m.agent.run([]string{"journalctl", "--no-pager", "-n", "40", "-u", daemon.unit, "-u", "lab-time"}, "", deadline)
			err = fmt.Errorf("%s is not at work: %s%s", daemon.unit, waited.Stderr, why.Stdout)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *Machine) hasEnded() bool {
	select {
	case <-m.ended:
		return true
	default:
		return false
	}
}

func (m *Machine) String() string { return "the virtual machine" }

func (m *Machine) details() string { return "\nconsole:\n" + m.Console() }

func (m *Machine) run(input string, args []string) (Result, error) {
	return m.agent.run(args, input, time.Now().Add(machineTimeout))
}

func (m *Machine) write(path string, content []byte, mode fs.FileMode) error {
	if err := m.must("mkdir", "-p", filepath.Dir(path)); err != nil {
		return err
	}
	if err := m.agent.writeFile(path, content, time.Now().Add(machineTimeout)); err != nil {
		return err
	}
	return m.must("chmod", strconv.FormatUint(uint64(mode.Perm()), 8), path)
}

func (m *Machine) read(path string) ([]byte, error) {
	result, err := m.run("", []string{"cat", path})
	if err == nil && result.Code != 0 {
		err = errors.New(result.Stderr)
	}
	return []byte(result.Stdout), err
}

func (m *Machine) must(args ...string) error {
	result, err := m.run("", args)
	if err == nil && result.Code != 0 {
		err = fmt.Errorf("%q: %s", args, result.Stderr)
	}
	return err
}

// SSH logs into the machine over the network as the given user with the given
// private key and runs a command.
func (m *Machine) SSH(user, key string, command ...string) Result {
	m.t.Helper()
	return Exec(m.t, append([]string{"ssh", "-F", "none", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes",
		"-i", key, "-p", strconv.Itoa(m.port), user + "@127.0.0.1", "--"}, command...)...)
}

// Reboot shuts the machine down in order and boots it again.
func (m *Machine) Reboot() {
	m.t.Helper()
	m.Must("systemctl", "--no-block", "poweroff")
	select {
	case <-m.ended:
	case <-time.After(machineTimeout):
		m.t.Fatalf("the virtual machine does not shut down; console:\n%s", m.Console())
	}
	m.powerOn()
}

// RebootWith is Reboot with these arguments for the kernel in place of those
// that have it audit from its start.
func (m *Machine) RebootWith(arguments string) {
	m.t.Helper()
	m.args = arguments
	m.Reboot()
}

// PowerCut ends the machine as a power cut would and boots it again, with these
// arguments for the kernel besides.
func (m *Machine) PowerCut(arguments ...string) {
	m.t.Helper()
	m.powerOff()
	m.powerOn(arguments...)
}

// PowerCutAfter is PowerCut at the moment when a shell script ends in the machine.
func (m *Machine) PowerCutAfter(script string, arguments ...string) {
	m.t.Helper()
	marker := fmt.Sprintf("power cut %d", time.Now().UnixNano())
	m.Must("systemd-run", "--quiet", "--no-block", "/bin/sh", "-c", script+"\necho "+marker+" >/dev/ttyS0")
	came := poll(machineTimeout, func() bool {
		text, err := os.ReadFile(m.work.join("console.log"))
		return err == nil && bytes.Contains(text, []byte(marker))
	})
	if !came {
		m.t.Fatalf("the script does not end; console:\n%s", m.Console())
	}
	m.PowerCut(arguments...)
}

func (m *Machine) powerOn(arguments ...string) {
	m.t.Helper()
	m.agent.conn.Close()
	if err := m.boot(arguments...); err != nil {
		m.t.Fatalf("cannot boot the virtual machine again: %v\nconsole:\n%s", err, m.Console())
	}
}

// Save keeps the machine as it runs now, disk and memory, for Restore: in place
// of what was saved before.
func (m *Machine) Save() {
	m.t.Helper()
	if err := monitor(m.work.join("monitor"), "savevm "+savedState, time.Now().Add(machineTimeout)); err != nil {
		m.t.Fatalf("cannot save the virtual machine: %v", err)
	}
}

// Restore ends the machine and has it run again as it was saved; its clock goes
// on from then.
func (m *Machine) Restore() {
	m.t.Helper()
	m.powerOff()
	m.agent.conn.Close()
	if err := m.start(time.Now().Add(machineTimeout), "-loadvm", savedState); err != nil {
		m.t.Fatalf("cannot restore the virtual machine: %v\nconsole:\n%s", err, m.Console())
	}
}

func (m *Machine) powerOff() {
	if m.ended != nil {
		_ = m.qemu.Process.Kill()
		<-m.ended
	}
}

// Stop ends the machine at once and removes all of it. The test's end does that too.
func (m *Machine) Stop() {
	m.t.Helper()
	if m.work == nil {
		return
	}
	if m.agent != nil {
		m.agent.conn.Close()
	}
	m.powerOff()
	if err := m.work.remove(); err != nil {
		m.t.Errorf("cannot remove a virtual machine: %v", err)
	}
	m.work = nil
}

// freePort returns a port of loopback that is free now.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("cannot find a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
