package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	securejoin "github.com/cyphar/filepath-securejoin"
)

// Host is a Debian of its own, booted with systemd in a container: real units,
// real D-Bus, real sshd and dockerd. It shares the machine's kernel, hence its
// clock and its audit, which refuses to answer there.
type Host struct {
	hands
	work *workdir
	root string // the tree as this machine sees it
	link *link

	cgroup *os.File
	nspawn *exec.Cmd
	ended  chan struct{} // closed when nspawn has ended
	leader int           // the container's first process; 0: not booted

	settled []func(*Host) bool // what else has to be true before the host counts as booted
}

// Option changes a host before it boots.
type Option func(*Host)

// Before runs f on the host's tree before it boots. Files can be written, and
// Run runs programs in the tree without a running system (systemctl enable works).
func Before(f func(*Host)) Option { return f }

// dockerData is a folder of the machine's own file system inside the host:
// docker's overlays cannot lie on the overlay that the host is.
const dockerData = "/var/lib/docker"

// bootTimeout bounds a boot, which takes about a second.
const bootTimeout = 90 * time.Second

// Boot starts a new host, a fresh copy of the base tree changed by the options,
// and waits until it has settled. The host goes with the test.
func Boot(t testing.TB, options ...Option) *Host {
	t.Helper()
	Need(t, Booted)
	work, root, err := copyTree("host")
	if err != nil {
		t.Fatal(err)
	}
	h := (&Host{work: work, root: root}).For(t)
	t.Cleanup(h.Stop)
	for _, option := range options {
		option(h)
	}
	if err := h.boot(); err != nil {
		t.Fatalf("cannot boot a test host: %v\nconsole:\n%s", err, h.consoleTail())
	}
	return h
}

// For returns the same host for a subtest, whose failures are then the
// subtest's. Several subtests can share one boot that way.
func (h *Host) For(t testing.TB) *Host {
	shared := *h
	shared.hands = hands{t, &shared}
	return &shared
}

// Name is the host's name to the machine.
func (h *Host) name() string { return filepath.Base(h.work.path) }

func (h *Host) boot() (err error) {
	if h.link == nil {
		if err := h.plug(); err != nil {
			return err
		}
	}
	data := h.work.join("docker")
	if err := os.MkdirAll(data, 0o710); err != nil {
		return err
	}
	console, err := os.OpenFile(h.work.join("console.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	nspawn, err := program("systemd-nspawn")
	if err != nil {
		return err
	}
	h.nspawn = exec.Command(nspawn,
		"--register=no", "--keep-unit", "--quiet",
		"--machine="+h.name(), "--directory="+h.root,
		fmt.Sprintf("--network-namespace-path=/proc/%d/fd/%d", os.Getpid(), h.link.host.Fd()),
		"--capability=CAP_NET_ADMIN", // over that namespace
		"--resolv-conf=off", "--timezone=off", "--link-journal=no",
		"--bind="+data+":"+dockerData,
		"--boot")
	// The host gets the version 2 hierarchy alone, whatever this machine has.
	// No filter of system calls: runc needs keyrings and bpf, and auditd is to hear
	// the kernel refuse, as hostguard does, not that there is no audit.
	h.nspawn.Env = append(cleanEnv, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", "SYSTEMD_SECCOMP=0")
	h.nspawn.Stdout, h.nspawn.Stderr = console, console
	h.nspawn.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig:   syscall.SIGKILL, // nspawn takes its container along
		Setpgid:     true,
		UseCgroupFD: true,
		CgroupFD:    int(h.cgroup.Fd()),
	}
	if err := startKept(h.nspawn); err != nil {
		return fmt.Errorf("cannot start systemd-nspawn: %w", err)
	}
	ended := make(chan struct{})
	h.ended = ended
	go func(nspawn *exec.Cmd) {
		_ = nspawn.Wait()
		close(ended)
	}(h.nspawn)

	deadline := time.Now().Add(bootTimeout)
	if err := h.findLeader(deadline); err != nil {
		return err
	}
	return h.settle(deadline)
}

// plug makes the host's network, its cgroup and what runs outside it.
func (h *Host) plug() (err error) {
	if h.link, err = newLink(); err != nil {
		return err
	}
	if h.cgroup, err = makeCgroup(h.name()); err != nil {
		return err
	}
	return startTimeServer(h.work, h.link.outside, h.cgroup)
}

// findLeader waits for the container's first process to be a systemd that can
// be spoken to.
func (h *Host) findLeader(deadline time.Time) error {
	children := fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", h.nspawn.Process.Pid)
	found := poll(time.Until(deadline), func() bool {
		if h.hasEnded() {
			return true
		}
		text, _ := os.ReadFile(children)
		for _, field := range strings.Fields(string(text)) {
			info, err := os.Lstat("/proc/" + field + "/root/run/systemd/private")
			if err == nil && info.Mode()&fs.ModeSocket != 0 {
				h.leader, _ = strconv.Atoi(field)
				return true
			}
		}
		return false
	})
	switch {
	case h.hasEnded():
		return errors.New("systemd-nspawn ended")
	case !found:
		return fmt.Errorf("no systemd answers after %v", bootTimeout)
	}
	return nil
}

// settle waits until the boot is over and no unit is being started, restarted
// or stopped.
func (h *Host) settle(deadline time.Time) error {
	state, err := h.command("systemctl", "is-system-running", "--wait").within(deadline).Run()
	if err != nil {
		return err
	}
	if word := strings.TrimSpace(state.Stdout); word != "running" && word != "degraded" {
		return fmt.Errorf("the system is %q: %s", word, state.Stderr)
	}
	var moving string
	settled := poll(time.Until(deadline), func() bool {
		var result Result
		result, err = h.command("systemctl", "list-units", "--no-legend", "--plain",
			"--state=activating,deactivating,reloading").within(deadline).Run()
		moving = result.Stdout
		return err != nil || strings.TrimSpace(moving) == ""
	})
	if err == nil && !settled {
		err = fmt.Errorf("units do not settle:\n%s", moving)
	}
	for i, done := range h.settled {
		if err == nil && !poll(time.Until(deadline), func() bool { return done(h) }) {
			err = fmt.Errorf("the host boots but its condition %d is not met", i)
		}
	}
	return err
}

func (h *Host) hasEnded() bool {
	if h.ended == nil {
		return true
	}
	select {
	case <-h.ended:
		return true
	default:
		return false
	}
}

// command is a command inside the host: in its namespaces when it runs, else
// in its tree only.
func (h *Host) command(args ...string) Command {
	if h.leader == 0 {
		return Command{Args: append([]string{"chroot", h.root}, args...)}
	}
	enter := []string{"nsenter", "--target", strconv.Itoa(h.leader),
		"--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"}
	return Command{Args: append(enter, args...)}
}

// within gives a command the time until then.
func (c Command) within(deadline time.Time) Command {
	c.Timeout = max(time.Until(deadline), time.Second)
	return c
}

func (h *Host) String() string { return "the test host" }

func (h *Host) details() string { return "" }

func (h *Host) run(input string, args []string) (Result, error) {
	command := h.command(args...)
	command.Stdin = strings.NewReader(input)
	return command.Run()
}

func (h *Host) write(path string, content []byte, mode fs.FileMode) error {
	place, err := h.find(path)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(place), 0o755)
	}
	if err == nil {
		// A program that this process starts meanwhile would have a program of ours
		// open for writing, which then cannot be run.
		syscall.ForkLock.RLock()
		err = os.WriteFile(place, content, mode)
		syscall.ForkLock.RUnlock()
	}
	if err == nil {
		err = os.Chmod(place, mode)
	}
	return err
}

func (h *Host) read(path string) ([]byte, error) {
	place, err := h.find(path)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(place)
}

// Outside runs a program of this machine in the network outside the host,
// where the host is Address and the time server OutsideAddress.
func (h *Host) Outside(args ...string) Result {
	h.t.Helper()
	enter := fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), h.link.outside.Fd())
	return Exec(h.t, append([]string{"nsenter", enter, "--"}, args...)...)
}

// Address is the host's address as Outside and the host itself see it.
func (h *Host) Address() string { return hostAddress }

// OutsideAddress is where the host reaches the time server.
func (h *Host) OutsideAddress() string { return outsideAddress }

// Path returns where this machine finds a file of the host. Links on the way
// are resolved inside the host, the last component's too.
func (h *Host) Path(path string) string {
	h.t.Helper()
	inside, err := h.find(path)
	if err != nil {
		h.t.Fatalf("cannot find %s in the test host: %v", path, err)
	}
	return inside
}

func (h *Host) find(path string) (string, error) {
	root := h.root
	if h.leader != 0 {
		root = fmt.Sprintf("/proc/%d/root", h.leader) // with /run, /tmp and docker's data
	}
	return securejoin.SecureJoin(root, path)
}

// Reboot shuts the host down in order and boots it again from its tree.
func (h *Host) Reboot() {
	h.t.Helper()
	_ = h.nspawn.Process.Signal(syscall.SIGTERM) // nspawn asks its systemd to halt
	select {
	case <-h.ended:
	case <-time.After(30 * time.Second):
		h.t.Fatalf("the test host does not shut down; console:\n%s", h.consoleTail())
	}
	h.leader = 0
	if err := h.boot(); err != nil {
		h.t.Fatalf("cannot boot a test host again: %v\nconsole:\n%s", err, h.consoleTail())
	}
}

// Stop ends the host at once and removes all of it. The test's end does that too.
func (h *Host) Stop() {
	h.t.Helper()
	if h.work == nil {
		return
	}
	if err := h.work.remove(); err != nil {
		h.t.Errorf("cannot remove a test host: %v", err)
	}
	if h.ended != nil {
		<-h.ended
	}
	if h.link != nil {
		h.link.close()
	}
	if h.cgroup != nil {
		h.cgroup.Close()
	}
	h.work, h.leader = nil, 0
}

// consoleTail is the end of what the host wrote on its console.
func (h *Host) consoleTail() string {
	if h.work == nil {
		return ""
	}
	text, _ := os.ReadFile(h.work.join("console.log"))
	return lastLines(string(bytes.ToValidUTF8(text, nil)), 40)
}
