package host

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	const rest = " S 1 10 10 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9131 1000 5 184467 1 1 0"
	for name, test := range map[string]struct {
		stat string
		want Process
		bad  bool
	}{
		"plain":                    {stat: "10 (sshd)" + rest, want: Process{PID: 10, PPID: 1, Comm: "sshd", Start: 91310 * time.Millisecond}},
		"name with parentheses":    {stat: "10 (a) R 2 (b))" + rest, want: Process{PID: 10, PPID: 1, Comm: "a) R 2 (b)", Start: 91310 * time.Millisecond}},
		"name with a line break":   {stat: "10 (a\nb)" + rest, want: Process{PID: 10, PPID: 1, Comm: "a\nb", Start: 91310 * time.Millisecond}},
		"kernel thread":            {stat: "2 (kthreadd)" + strings.Replace(rest, "4194560", "2129984", 1), want: Process{PID: 2, PPID: 1, Comm: "kthreadd", Start: 91310 * time.Millisecond, Kernel: true}},
		"no name":                  {stat: "10 sshd S 1", bad: true},
		"too short":                {stat: "10 (sshd) S 1 10", bad: true},
		"empty":                    {bad: true},
		"numbers that are none":    {stat: "10 (sshd) S x 10 10 0 -1 y 1 2 3 4 5 6 7 8 20 0 1 0 z", bad: true},
		"parentheses turned round": {stat: ")10(", bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseStat([]byte(test.stat))
			if (err != nil) != test.bad {
				t.Fatalf("error %v, want one: %v", err, test.bad)
			}
			if diff := cmp.Diff(test.want, got); err == nil && diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The program of a process lies where its user puts it: one with a path that
// is longer than the kernel tells must not keep us from seeing the others.
func TestProgramTooDeepToBeNamed(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	must(t, exec.Command("/bin/cp", "/bin/sleep", top).Run())
	dir, err := unix.Open(top, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	name := strings.Repeat("d", 200)
	for range 25 {
		must(t, unix.Mkdirat(dir, name, 0o700))
		next, err := unix.Openat(dir, name, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		must(t, err)
		unix.Close(dir)
		dir = next
	}
	defer unix.Close(dir)
	must(t, unix.Renameat(unix.AT_FDCWD, top+"/sleep", dir, "sleep"))
	fd, err := unix.Openat(dir, "sleep", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	program := os.NewFile(uintptr(fd), "sleep")
	defer program.Close()
	cmd := exec.Command("/proc/self/fd/3", "60")
	cmd.ExtraFiles = []*os.File{program}
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	processes, err := New(Options{}).Processes(t.Context())
	must(t, err)
	if p := processes[cmd.Process.Pid]; p.Comm == "" || p.Exe != "" || !p.Hidden {
		t.Errorf("%+v", p)
	}
}

func TestProgram(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]Process{
		"sshd": {Exe: "/usr/sbin/sshd", Comm: "x"}, "dockerd": {Exe: "/usr/sbin/dockerd (deleted)", Comm: "x"}, "x": {Comm: "x"},
	} {
		if got := p.Program(); got != want {
			t.Errorf("%+v: %s", p, got)
		}
	}
}

func TestOwnerByCgroup(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("0123456789abcdef", 4)
	for name, test := range map[string]struct{ cgroups, unit, container string }{
		"service":                       {"0::/system.slice/ssh.service\n", "ssh.service", ""},
		"instance below its own slice":  {"0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service", ""},
		"below a service":               {"0::/system.slice/docker.service/init\n", "docker.service", ""},
		"login session":                 {"0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope", ""},
		"user's own unit":               {"0::/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service\n", "user@1000.service", ""},
		"user who poses as a container": {"0::/user.slice/user-1000.slice/user@1000.service/docker-" + id + ".scope\n", "user@1000.service", ""},
		"docker by systemd":             {"0::/system.slice/docker-" + id + ".scope\n", "docker-" + id + ".scope", id},
		"docker by cgroupfs":            {"0::/docker/" + id + "\n", "", id},
		"docker by cgroupfs, version 1": {"12:cpu:/docker/" + id + "\n1:name=systemd:/docker/" + id + "\n0::/\n", "", id},
		"containerd of kubernetes":      {"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + id + ".scope\n", "cri-containerd-" + id + ".scope", id},
		"version 1 and 2 side by side":  {"3:memory:/x\n1:name=systemd:/system.slice/cron.service\n0::/system.slice/cron.service\n", "cron.service", ""},
		"version 1 without a unit":      {"1:name=systemd:/\n0::/init.scope\n", "init.scope", ""},
		"escaped name":                  {"0::/system.slice/_tasks.service\n", "tasks.service", ""},
		"no unit":                       {"0::/\n", "", ""},
		"short id":                      {"0::/docker/0123456789ab\n", "", ""},
		"empty":                         {"", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			unit, container := ownerByCgroup(test.cgroups)
			if unit != test.unit || container != test.container {
				t.Errorf("got unit %q, container %q, want %q, %q", unit, container, test.unit, test.container)
			}
		})
	}
}

// A process may name itself and its arguments as it likes.
func FuzzParseStat(f *testing.F) {
	f.Add([]byte("10 (a) b) S 1 10 10 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9131 1000"))
	f.Fuzz(func(t *testing.T, stat []byte) {
		p, err := parseStat(stat)
		if err == nil && !strings.Contains(string(stat), "("+p.Comm+")") {
			t.Errorf("the name %q is not in %q", p.Comm, stat)
		}
	})
}

func FuzzOwnerByCgroup(f *testing.F) {
	f.Add("1:name=systemd:/\n0::/system.slice/ssh.service\n")
	f.Fuzz(func(t *testing.T, cgroups string) {
		unit, container := ownerByCgroup(cgroups)
		if strings.Contains(unit, "/") || container != "" && len(container) != 64 {
			t.Errorf("unit %q, container %q", unit, container)
		}
	})
}

// TestEffectiveUIDIsThatOfStatus compares with /proc/PID/status, for every
// process of this machine and for one of another user that is not dumpable.
func TestEffectiveUIDIsThatOfStatus(t *testing.T) {
	if os.Geteuid() == 0 {
		sleep, err := os.ReadFile("/bin/sleep")
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		unreadable := filepath.Join(dir, "sleep") // who runs it must not be dumped, so that it is not read that way
		if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o711), os.Chmod(dir, 0o711), os.WriteFile(unreadable, sleep, 0o111), os.Chmod(unreadable, 0o111)); err != nil {
			t.Fatal(err)
		}
		other := exec.Command(unreadable, "60")
		other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Pdeathsig: syscall.SIGKILL}
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { other.Process.Kill(); other.Wait() }()
	}
	processes, err := New(Options{}).Processes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	users := map[uint32]bool{}
	for pid, p := range processes {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if p.Kernel || err != nil { // ended meanwhile
			continue
		}
		_, line, _ := strings.Cut(string(status), "\nUid:")
		if want := strings.Fields(line)[1]; fmt.Sprint(p.UID) != want {
			now, err := effectiveUID(fmt.Sprintf("/proc/%d", pid)) // it may have changed in between
			if err == nil && fmt.Sprint(now) != want {
				t.Errorf("process %d (%s): %d, status says %s", pid, p.Comm, now, want)
			}
		}
		users[p.UID] = true
	}
	if os.Geteuid() == 0 && !users[65534] {
		t.Errorf("only processes of the users %v", slices.Sorted(maps.Keys(users)))
	}
}
