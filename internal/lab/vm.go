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
	work  *workdir
	boot  string // folder of disk.raw, vmlinuz, initrd.img
	port  int    // of this machine, on loopback: the guest's port 22
	args  string // of the kernel, about its audit
	qemu  *exec.Cmd
	ended chan struct{}
	agent *agent
}

const (
	machineBootTimeout = 5 * time.Minute
	machineTimeout     = 5 * time.Minute // of one program
)

const (
	kernelArguments = "root=/dev/vda ro console=ttyS0 net.ifnames=0 mitigations=off "
	// auditArguments: from the first process on, as the requirements want.
	auditArguments = "audit=1 audit_backlog_limit=8192"
)

// machineDevices: four cores with two threads each, as the requirements want,
// though the test machine may have fewer.
var machineDevices = []string{
	"-accel", "tcg,thread=multi,tb-size=512", "-cpu", "Haswell-v4", "-smp", "8,sockets=1,cores=4,threads=2", "-m", "4096",
	"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
	"-device", "virtio-rng-pci",
	"-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
	"-device", "virtio-blk-pci,drive=disk", "-device", "virtio-net-pci,netdev=net",
}

// StartVM boots a virtual machine from a fresh copy of the disk and waits until
// it has settled. It goes with the test.
func StartVM(t testing.TB) *Machine {
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
	m := (&Machine{work: work, boot: from, args: auditArguments}).For(t)
	t.Cleanup(m.Stop)
	_, err = Command{Args: []string{"qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw",
		"-b", filepath.Join(from, "disk.raw"), m.Disk()}}.must()
	if err == nil {
		m.port, err = freePort()
	}
	if err == nil {
		err = m.start()
	}
	if err != nil {
		t.Fatalf("cannot boot a virtual machine: %v\nconsole:\n%s", err, m.Console())
	}
	return m
}

// For returns the same machine for a subtest.
func (m *Machine) For(t testing.TB) *Machine {
	shared := *m
	shared.hands = hands{t, &shared}
	return &shared
}

// Disk is the path of the machine's disk, a qcow2 file.
func (m *Machine) Disk() string { return m.work.join("disk.qcow2") }

// Console is the end of what the machine wrote on its serial console.
func (m *Machine) Console() string {
	text, _ := os.ReadFile(m.work.join("console.log"))
	return lastLines(string(bytes.ToValidUTF8(text, nil)), 40)
}

func (m *Machine) start() error {
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
	m.qemu = exec.Command(path, append([]string{
		"-kernel", filepath.Join(m.boot, "vmlinuz"), "-initrd", filepath.Join(m.boot, "initrd.img"), "-append", kernelArguments + m.args,
		"-serial", "file:" + m.work.join("console.log"),
		"-chardev", "socket,id=agent,server=on,wait=off,path=" + socket,
		"-drive", "if=none,id=disk,format=qcow2,file=" + m.Disk(),
		"-netdev", fmt.Sprintf("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:%d-:22", m.port),
	}, machineDevices...)...)
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
	return m.settle(socket, time.Now().Add(machineBootTimeout))
}

// settle waits for the agent, for the end of the boot, and for the clock.
func (m *Machine) settle(socket string, deadline time.Time) (err error) {
	listening := poll(time.Until(deadline), func() bool {
		_, err := os.Stat(socket)
		return err == nil || m.hasEnded()
	})
	if !listening || m.hasEnded() {
		text, _ := os.ReadFile(m.work.join("qemu.log"))
		return fmt.Errorf("qemu does not run: %s", text)
	}
	if m.agent, err = dialAgent(socket, deadline); err != nil {
		return err
	}
	state, err := m.agent.run([]string{"systemctl", "is-system-running", "--wait"}, "", deadline)
	if err != nil {
		return err
	}
	if word := strings.TrimSpace(state.Stdout); word != "running" && word != "degraded" {
		return fmt.Errorf("the system is %q: %s", word, state.Stderr)
	}
	// The first answer takes docker long in here: 10 s are a test's own deadline.
	if _, err := m.agent.run([]string{"docker", "info"}, "", deadline); err != nil {
		return err
	}
	// Exits with 0 as soon as chronyd has set the clock by its server.
	synchronised, err := m.agent.run([]string{"chronyc", "waitsync", "600", "0", "0", "0.1"}, "", deadline)
	if err == nil && synchronised.Code != 0 {
		why, _ := m.agent.run([]string{"sh", "-c", "chronyc -n sources; journalctl --no-pager -u chrony -u lab-time"}, "", deadline)
		err = fmt.Errorf("the clock does not synchronise: %s%s", why.Stdout, why.Stderr)
	}
	return err
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

// PowerCut ends the machine as a power cut would and boots it again.
func (m *Machine) PowerCut() {
	m.t.Helper()
	m.powerOff()
	m.powerOn()
}

func (m *Machine) powerOn() {
	m.t.Helper()
	m.agent.conn.Close()
	if err := m.start(); err != nil {
		m.t.Fatalf("cannot boot the virtual machine again: %v\nconsole:\n%s", err, m.Console())
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
